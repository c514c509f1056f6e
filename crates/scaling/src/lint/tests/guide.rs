//! The guide's files hold known faults: each is found, and what needs load, commands or code is not claimed.
//!
//! The files are not part of the project: the test reads `OCTOLLM_GUIDE_DIR`, else `shared/data/guide` beside
//! the repository, and says so loudly when neither is there.

use std::path::PathBuf;

use super::*;

fn guide() -> Option<Loaded> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/guide");
    let folder = std::env::var("OCTOLLM_GUIDE_DIR").map_or_else(|_| PathBuf::from(beside), PathBuf::from);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("SKIPPED: no guide at {}; set OCTOLLM_GUIDE_DIR to its folder", folder.display());
        return None;
    };
    let mut inputs: Vec<Input> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .map(|entry| Input {
            path: entry.file_name().to_string_lossy().into_owned(),
            bytes: std::fs::read(entry.path()).unwrap(),
        })
        .collect();
    inputs.sort_by(|a, b| a.path.cmp(&b.path));
    Some(load(inputs))
}

/// Fault of the facts' part B, rule, part of the file's name, part of the message.
const EXPECTED: [(&str, &str, &str, &str); 62] = [
    ("1", "hpa-metric-unserved", "planner-arm-hpa", "octollm_planner_queue_depth has no rule"),
    ("1", "hpa-metric-unserved", "executor-arm-hpa", "stays at 5 replicas"),
    ("1", "hpa-metric-unserved", "coder-arm-hpa", "octollm_coder_queue_depth has no rule"),
    ("1", "hpa-metric-unserved", "guardian-arm-hpa", "octollm_guardian_pii_checks_per_second has no rule"),
    ("1", "hpa-metric-unserved", "retriever-arm-hpa", "octollm_retriever_latency_p95_seconds has no rule"),
    ("2", "hpa-latency-metric", "orchestrator-hpa", "octollm_api_latency_p95_seconds"),
    ("2", "hpa-latency-metric", "retriever-arm-hpa", "octollm_retriever_latency_p95_seconds"),
    ("4", "hpa-memory-metric", "orchestrator-hpa", "memory"),
    ("4", "hpa-memory-metric", "executor-arm-hpa", "memory"),
    ("4", "hpa-memory-metric", "reflex-layer-hpa", "memory"),
    ("5", "adapter-query-template", "prometheus-adapter-config", "reads all namespaces"),
    ("6", "adapter-config-unread", "prometheus-adapter-config", "rules.custom"),
    ("7", "hpa-no-behavior", "planner-arm-hpa", "without behavior"),
    ("7", "hpa-no-behavior", "executor-arm-hpa", "without behavior"),
    ("7", "hpa-no-behavior", "coder-arm-hpa", "without behavior"),
    ("7", "hpa-no-behavior", "judge-arm-hpa", "without behavior"),
    ("7", "hpa-no-behavior", "guardian-arm-hpa", "without behavior"),
    ("7", "hpa-no-behavior", "retriever-arm-hpa", "without behavior"),
    ("9", "vpa-fights-hpa", "orchestrator-vpa.yaml", "cpu and memory"),
    ("9", "duplicate-object", "orchestrator-vpa", "whichever is applied last"),
    ("9", "duplicate-object", "option2-hpa-and-vpa", "HorizontalPodAutoscaler orchestrator-hpa"),
    ("10", "anti-affinity-one-a-node", "executor-arm-with-affinity", "10 replicas need 10 nodes"),
    ("11", "hpa-single-replica", "planner-arm-hpa", "99.896"),
    ("11", "hpa-single-replica", "executor-arm-hpa", "99.896"),
    ("11", "hpa-single-replica", "coder-arm-hpa", "99.896"),
    ("11", "hpa-single-replica", "judge-arm-hpa", "99.896"),
    ("11", "hpa-single-replica", "retriever-arm-hpa", "99.896"),
    ("12", "pdb-absent", "postgresql-replica", "no PodDisruptionBudget"),
    ("12", "pdb-absent", "qdrant-cluster", "no PodDisruptionBudget"),
    ("12", "pdb-absent", "redis-cluster", "no PodDisruptionBudget"),
    ("12", "pod-no-readiness-probe", "postgresql-replica", "readinessProbe"),
    ("12", "pod-no-readiness-probe", "qdrant-cluster", "readinessProbe"),
    ("12", "pod-no-readiness-probe", "redis-cluster", "readinessProbe"),
    ("12", "pod-no-spread", "qdrant-cluster", "may share a node"),
    ("12", "pod-no-priority", "postgresql-replica", "priorityClassName"),
    ("12a", "hpa-global-gauge", "orchestrator-hpa", "from 2 to 10 replicas"),
    ("12a", "hpa-global-gauge", "executor-arm-hpa", "does not exist on the pods of executor-arm"),
    ("12a", "hpa-global-gauge", "option2-hpa-and-vpa", "octollm_task_queue_depth"),
    ("12c", "keda-zero-wakes-by-clock", "scale-to-zero", "0 pods"),
    ("13", "duplicate-key", "executor-arm-with-affinity", "podAntiAffinity"),
    ("14", "missing-field", "option2-hpa-and-vpa", "spec.scaleTargetRef"),
    ("14", "missing-field", "option2-hpa-and-vpa", "spec.maxReplicas"),
    ("14", "missing-field", "option2-hpa-and-vpa", "spec.targetRef"),
    ("14", "missing-field", "executor-arm-with-affinity", "spec.selector"),
    ("14", "missing-field", "database-nodepool-taint", "spec.selector"),
    ("15", "vpa-mode-auto", "option2-hpa-and-vpa", "Auto is deprecated"),
    ("16", "vpa-container-unchecked", "arm-vpas", "cannot be checked: the Deployment is not in the set"),
    ("17", "image-frozen-registry", "eks-cluster-autoscaler", "registry.k8s.io"),
    ("17", "cluster-autoscaler-version", "eks-cluster-autoscaler", "minor version"),
    ("17", "cluster-autoscaler-rbac", "eks-cluster-autoscaler", "ServiceAccount"),
    ("18", "postgres-replication-env", "postgresql-replica", "2 independent empty databases"),
    ("18", "statefulset-headless-service", "postgresql-replica", "not headless"),
    ("19", "qdrant-env-underscores", "qdrant-cluster", "QDRANT__CLUSTER__ENABLED"),
    ("19", "qdrant-env-underscores", "qdrant-cluster", "QDRANT__CLUSTER__P2P__PORT"),
    ("19", "qdrant-no-bootstrap", "qdrant-cluster", "3 separate single nodes"),
    ("20", "redis-memory-headroom", "redis-cluster", "4.0 GiB; the limit is 3.0 GiB"),
    ("20", "redis-cluster-clients", "redis-cluster", "3 × 2.0 GiB = 6.0 GiB"),
    ("20a", "statefulset-headless-service", "qdrant-cluster", "qdrant-0.qdrant does not resolve"),
    (
        "20a",
        "statefulset-headless-service",
        "redis-cluster",
        "redis-cluster-0.redis-cluster does not resolve",
    ),
    ("21", "configmap-holds-pod-fields", "spot-nodepool", "nodeSelector and tolerations"),
    ("22", "promql-rate-of-gauge", "grafana-dashboard", "changes()"),
    ("22", "promql-cpu-share", "grafana-dashboard", "percent of the request"),
];

const ALSO: [(&str, &str, &str, &str); 4] = [
    (
        "22",
        "promql-removed-metric",
        "grafana-dashboard",
        "scheduler_scheduling_attempt_duration_seconds_bucket",
    ),
    ("22", "promql-pending-unschedulable", "grafana-dashboard", "kube_pod_status_unschedulable"),
    ("22", "grafana-legacy-panel", "grafana-dashboard", "timeseries"),
    ("22", "grafana-panel-alert", "grafana-dashboard", "PrometheusRule"),
];

#[test]
fn every_fault_that_the_guide_s_files_show_is_found() {
    let Some(loaded) = guide() else { return };
    let report = lint(&loaded);
    if std::env::var_os("OCTOLLM_GUIDE_PRINT").is_some() {
        println!("{}", render::text(&loaded.sources, &report));
    }
    assert!(report.unreadable.is_empty(), "{:?}", report.unreadable);
    let missing: Vec<_> = EXPECTED
        .iter()
        .chain(&ALSO)
        .filter(|(_, rule, file, text)| {
            !report.findings.iter().any(|finding| {
                finding.rule.id == *rule
                    && loaded.sources.place(finding.span).file.contains(file)
                    && finding.message.contains(text)
            })
        })
        .collect();
    assert!(missing.is_empty(), "not found: {missing:#?}");
    // The guide's names of kube-state-metrics are right, and no connection figures are in its manifests.
    assert!(of_rule(&report, "connections-beyond-max").is_empty());
    assert!(of_rule(&report, "unknown-field").is_empty(), "{:?}", of_rule(&report, "unknown-field"));
}
