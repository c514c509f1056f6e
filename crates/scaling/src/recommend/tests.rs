//! Usage in, requests out.

use super::*;
use crate::manifest::{Input, load};

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: web:1
          resources: {requests: {cpu: 1, memory: 2Gi}}
---
apiVersion: octollm.dev/v1
kind: NodePool
metadata: {name: p}
spec: {min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}, pricePerHour: 0.2}
";

fn loaded(text: &str) -> Loaded {
    load(vec![Input { path: "web.yaml".to_owned(), bytes: text.as_bytes().to_vec() }])
}

/// Two pods, a sample a minute for ten days, each at 0.2 cores and 300 MB.
fn csv() -> String {
    let mut text = format!("{HEADER}\n");
    for minute in 0..14_400 {
        for pod in ["web-5d8-a", "web-5d8-b"] {
            text.push_str(&format!("{},shop,{pod},web,0.2,300000000\n", 1_700_000_000 + minute * 60));
        }
    }
    text
}

#[test]
fn a_steady_container_gets_its_use_and_the_margin() {
    let usage = Usage::read("u.csv", csv().into_bytes()).unwrap();
    let recommended = recommend(&loaded(DEPLOYMENT), &usage);
    let row = &recommended.rows[0];
    let cpu = row.recommendation.cpu_milli.unwrap();
    assert!((200..=260).contains(&cpu.target), "{cpu:?}");
    assert!(cpu.lower <= cpu.target && cpu.target <= cpu.upper);
    assert!((row.pods - 2.0).abs() < 1e-9 && (row.days - 10.0).abs() < 0.01);
    assert!(row.saving_usd_month.unwrap() > 0.0);
    insta::assert_snapshot!("text", text(&recommended));
    assert_eq!(json(&recommended)["recommendations"][0]["cpu_milli"]["request"], 1000);
}

#[test]
fn a_vpa_of_the_set_caps_and_filters() {
    let vpa = "---\napiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: v, namespace: shop}\nspec:\n  \
               targetRef: {kind: Deployment, name: web}\n  resourcePolicy: {containerPolicies: [{containerName: web, \
               minAllowed: {cpu: 700m}, controlledResources: [cpu]}]}\n";
    let usage = Usage::read("u.csv", csv().into_bytes()).unwrap();
    let recommended = recommend(&loaded(&format!("{DEPLOYMENT}{vpa}")), &usage);
    assert_eq!(recommended.rows[0].recommendation.cpu_milli.unwrap().target, 700);
    assert!(recommended.rows[0].recommendation.memory_bytes.is_none());
}

#[test]
fn a_prometheus_export_gives_the_same_samples_as_the_csv() {
    let csv = format!(
        "{HEADER}\n1700000060,shop,web-1,web,0.5,\n1700000120,shop,web-1,web,0.25,\n1700000060,shop,web-1,web,,1000\n"
    );
    let series = |name: &str, values: &str| {
        format!(
            "{{\"metric\":{{\"__name__\":\"{name}\",\"namespace\":\"shop\",\"pod\":\"web-1\",\"container\":\"web\"}},\"values\":{values}}}"
        )
    };
    let export = format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{},{}]}}}}",
        series(
            "container_cpu_usage_seconds_total",
            "[[1700000000,\"10\"],[1700000060,\"40\"],[1700000120,\"55\"]]"
        ),
        series("container_memory_working_set_bytes", "[[1700000060,\"1000\"]]")
    );
    assert_eq!(
        Usage::read("u.csv", csv.into_bytes()).unwrap(),
        Usage::read("u.json", export.into_bytes()).unwrap()
    );
}

#[test]
fn usage_without_a_workload_is_named_and_not_dropped() {
    let csv = format!("{HEADER}\n2026-01-01T00:00:00Z,other,api-1,api,1,1\n");
    let recommended = recommend(&loaded(DEPLOYMENT), &Usage::read("u.csv", csv.into_bytes()).unwrap());
    assert_eq!(recommended.unmatched.len(), 1);
    assert!(text(&recommended).contains("no workload for other/api-1 container api"));
}

#[test]
fn errors_name_the_line_and_the_field() {
    let read = |text: &str| Usage::read("u.csv", text.as_bytes().to_vec()).unwrap_err().to_string();
    assert_eq!(read("a,b\n"), format!("u.csv:1: the header must be {HEADER}"));
    assert_eq!(
        read(&format!("{HEADER}\nyesterday,a,b,c,1,1\n")),
        "u.csv:2: timestamp: neither Unix seconds nor RFC 3339"
    );
    assert_eq!(read(&format!("{HEADER}\n1,a,b,c,-1,1\n")), "u.csv:2: cpu_cores: `-1` is no number from 0 up");
    assert_eq!(read(&format!("{HEADER}\n1,a,b\n")), "u.csv:2: line: 3 fields, the header has 6");
    assert_eq!(read("{}"), "u.csv: no data.result: write the answer of /api/v1/query_range");
}
