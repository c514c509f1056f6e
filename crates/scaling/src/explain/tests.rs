//! Decisions told.

use super::*;
use crate::manifest::{Input, load};

const HPA: &str = "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}
    - type: External
      external: {metric: {name: jobs}, target: {type: AverageValue, averageValue: 8}}
  behavior:
    scaleUp:
      policies: [{type: Pods, value: 3, periodSeconds: 60}]
";

const KEDA: &str = "\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: mail}
spec:
  scaleTargetRef: {name: mail}
  minReplicaCount: 0
  maxReplicaCount: 10
  triggers:
    - type: metrics-api
      metadata: {url: \"http://a/b\", valueLocation: ready, targetValue: \"5\"}
";

fn told(text: &str, pairs: &[&str]) -> Vec<Explanation> {
    let loaded = load(vec![Input { path: "a.yaml".to_owned(), bytes: text.as_bytes().to_vec() }]);
    let mut values = Values::default();
    for pair in pairs {
        values.set_pair(pair).unwrap();
    }
    explain(&loaded, None, &values, Moment::from_millis(1_700_000_000_000)).unwrap()
}

#[test]
fn each_step_of_a_decision_is_told() {
    let all = told(HPA, &["replicas=3", "cpu=65", "metric.jobs=60", "pods.2.phase=Pending"]);
    insta::assert_snapshot!("scale-up", text(&all[0]));
    assert_eq!(all[0].result, 6);
    assert_eq!(json(&all[0])["recommendation"], 8);
    assert_eq!(json(&all[0])["limit"], "ScaleUpLimit");
}

#[test]
fn a_metric_without_a_value_fails_and_forbids_scaling_down() {
    let all = told(HPA, &["replicas=5", "cpu=24"]);
    insta::assert_snapshot!("failed-metric", text(&all[0]));
    assert_eq!(all[0].result, 5);
}

#[test]
fn scaling_down_waits_for_the_window_and_the_next_change_is_named() {
    let all = told(HPA, &["replicas=6", "cpu=10", "metric.jobs=1"]);
    assert_eq!(all[0].result, 6);
    let next = all[0].next.unwrap();
    assert_eq!((next.replicas, next.at.millis_since(all[0].now)), (2, 300_000));
}

#[test]
fn percentages_read_back_as_given_for_requests_of_a_tenth_of_a_core_and_more() {
    for request in ["333m", "1", "100m"] {
        let deployment = format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  selector: {{matchLabels: {{a: b}}}}\n  \
             template:\n    metadata: {{labels: {{a: b}}}}\n    spec: {{containers: [{{name: a, image: a, resources: {{requests: {{cpu: {request}}}}}}}]}}\n"
        );
        for percent in [1, 24, 33, 77, 99] {
            let all = told(
                &format!("{HPA}{deployment}"),
                &["replicas=3", &format!("cpu={percent}"), "metric.jobs=1"],
            );
            let Some(Ok(proposal)) = all[0].decision.as_ref().unwrap().metrics.first() else { panic!() };
            let hpa::Usage::Utilization { percent: seen, .. } = proposal.usage else { panic!() };
            assert_eq!(seen, percent, "{request}");
        }
    }
}

#[test]
fn keda_wakes_from_zero_and_puts_to_sleep() {
    let woken = told(KEDA, &["replicas=0", "metric.ready=12"]);
    assert_eq!(woken[0].result, 1);
    let said = text(&woken[0]);
    assert!(said.contains("0 replicas now, 0 to 10 allowed") && said.contains("woken: 0 → 1"), "{said}");
    // 12 waiting at 5 a pod: the HPA goes on from there.
    assert!(said.ends_with("next change, if the values stay: to 3 in 15 s\n"), "{said}");
    let asleep = told(KEDA, &["replicas=2", "metric.ready=0"]);
    assert_eq!(asleep[0].result, 0);
    let grown = told(KEDA, &["replicas=2", "metric.ready=31"]);
    // Without behavior a step ends at max(2 × current, 4).
    assert_eq!(grown[0].result, 4);
}

#[test]
fn values_come_from_lines_and_from_yaml_alike() {
    let mut lines = Values::default();
    lines
        .set_file(
            "v",
            b"# now\nreplicas=5\ncpu=24%\nmetric.jobs=1k\npods.0.ready=false\npods.1.cpu=none\n".to_vec(),
        )
        .unwrap();
    let mut yaml = Values::default();
    let nested = "replicas: 5\ncpu: 24\nmetric: {jobs: 1k}\npods:\n- {ready: false}\n- {cpu: null}\n";
    yaml.set_file("v.yaml", nested.as_bytes().to_vec()).unwrap();
    assert_eq!(lines, yaml);
    assert_eq!(
        Values::default().set_pair("cpus=3").unwrap_err().to_string(),
        "there is no key `cpus`; use replicas, cpu, memory, metric.<name> or pods.<i>.<field>"
    );
    assert_eq!(Values::default().set_pair("cpu=x").unwrap_err().to_string(), "`cpu`: `x` is no number");
}

#[test]
fn what_cannot_be_explained_says_why() {
    let loaded = load(vec![Input {
        path: "a.yaml".to_owned(),
        bytes: HPA.replace("maxReplicas: 10", "maxReplicas: x").into_bytes(),
    }]);
    let error = explain(&loaded, None, &Values::default(), Moment::from_millis(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.yaml:7:16: HorizontalPodAutoscaler web has faults in its fields; `scale lint` names them"
    );
    let loaded = load(vec![Input { path: "a.yaml".to_owned(), bytes: HPA.as_bytes().to_vec() }]);
    let error = explain(&loaded, Some("api"), &Values::default(), Moment::from_millis(0)).unwrap_err();
    assert!(error.to_string().ends_with("there are: HorizontalPodAutoscaler web"), "{error}");
    let mut values = Values::default();
    values.set_pair("replicas=99999999").unwrap();
    assert!(
        explain(&loaded, None, &values, Moment::from_millis(0))
            .unwrap_err()
            .to_string()
            .starts_with("replicas: ")
    );
}

#[test]
fn a_value_that_nothing_looks_at_is_refused() {
    let refused = |pairs: &[&str]| {
        let loaded = load(vec![Input { path: "a.yaml".to_owned(), bytes: HPA.as_bytes().to_vec() }]);
        let mut values = Values::default();
        pairs.iter().for_each(|pair| values.set_pair(pair).unwrap());
        explain(&loaded, None, &values, Moment::from_millis(0)).unwrap_err().to_string()
    };
    assert!(refused(&["replicas=3", "metric.job=4"]).contains("there are: cpu, metric.jobs"));
    assert!(refused(&["replicas=3", "pods.3.cpu=4"]).contains("there are 3 pods"));
}
