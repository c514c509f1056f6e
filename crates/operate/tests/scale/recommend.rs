//! Transcripts of `scale recommend`.

use crate::transcript::Transcript;

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: coder, namespace: octollm}
spec:
  selector: {matchLabels: {app: coder}}
  template:
    metadata: {labels: {app: coder}}
    spec:
      containers:
        - name: coder
          image: coder
          resources: {requests: {cpu: \"1\", memory: 2Gi}}
";

/// Two days of two quiet pods, a sample each ten minutes.
fn usage() -> String {
    let mut csv = "timestamp,namespace,pod,container,cpu_cores,memory_bytes\n".to_owned();
    for sample in 0..288 {
        let (day, hour, minute) = (1 + sample / 144, sample / 6 % 24, sample % 6 * 10);
        for pod in ["coder-5d9-a", "coder-5d9-b"] {
            csv +=
                &format!("2026-11-{day:02}T{hour:02}:{minute:02}:00Z,octollm,{pod},coder,0.21,419430400\n");
        }
    }
    csv
}

#[test]
fn requests_are_compared_with_what_was_used() {
    let recommend = |format| {
        Transcript::of(&["recommend", "--usage", "-", "-f", "@/set.yaml", "--format", format])
            .file("set.yaml", DEPLOYMENT)
            .input(&usage())
            .show()
    };
    insta::assert_snapshot!(recommend("text"), @r"
    Deployment coder / coder (set.yaml:10:17), 576 samples over 2.0 days, 2.0 pods
      cpu     1 → 247m (from 245m to 864m is fine): too high: lower it
      memory  2Gi → 489Mi (from 486Mi to 1709Mi is fine): too high: lower it
      saves 1506m CPU and saves 3120Mi memory over 2.0 pods

    in all: 1506m cores and 3120Mi of memory to be saved
    exit 0
    ");
    let json = recommend("json");
    assert!(json.contains("\"container\": \"coder\"") && json.ends_with("}\nexit 0"), "{json}");
}

#[test]
fn usage_that_cannot_be_read_names_line_and_field() {
    let recommend = |usage: &str| {
        Transcript::of(&["recommend", "--usage", "@/usage.csv", "-f", "@/set.yaml"])
            .file("set.yaml", DEPLOYMENT)
            .file("usage.csv", usage)
            .show()
    };
    insta::assert_snapshot!(recommend(&usage().replacen("0.21", "much", 1)), @r"
    ! usage.csv:2: cpu_cores: `much` is no number from 0 up
    exit 2
    ");
    insta::assert_snapshot!(recommend("time,cpu\n"), @r"
    ! usage.csv:1: the header must be timestamp,namespace,pod,container,cpu_cores,memory_bytes
    exit 2
    ");
}
