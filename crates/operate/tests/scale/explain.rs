//! Transcripts of `scale explain`.

use crate::transcript::Transcript;

const HPA: &str = "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: executor}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: executor}
  minReplicas: 1
  maxReplicas: 10
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}
    - type: External
      external: {metric: {name: backlog}, target: {type: AverageValue, averageValue: 8}}
";

#[test]
fn a_decision_is_told_from_pairs_and_files() {
    let explain = |format| {
        Transcript::of(&["explain", "-f", "-", "--values", "replicas=5", "@/now.yaml", "--format", format])
            .file("now.yaml", "cpu: 24\nmetric: {backlog: 12}\n")
            .input(HPA)
            .show()
    };
    insta::assert_snapshot!(explain("text"), @r"
    HorizontalPodAutoscaler executor (-:3:18) scales Deployment/executor: 5 replicas now, 1 to 10 allowed
      cpu resource utilization (percentage of request) (cpu = 24)
        value 24 % of the request (240m a pod), ratio 0.343 to its target
        pods: 5 counted, 0 not ready, 0 without a sample, 0 ignored
        proposes 2 (ratio × pods, rounded up)
      external metric backlog (metric.backlog = 12)
        value 2400m a pod, ratio 0.300 to its target
        proposes 2 (ratio × pods, rounded up)
      wins: cpu resource utilization (percentage of request), recommending 2 (the largest proposal)
      stabilization holds it at 5: the highest recommendation of the scale-down window is 5
      nothing cuts it (the rates allow 10)
      AbleToScale=True ScaleDownStabilized: recent recommendations were higher than current one, applying the highest recent recommendation
      ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count
      ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
      result: 5 → 5 replicas
      next change, if the values stay: to 2 in 315 s
    exit 0
    ");
    let json = explain("json");
    assert!(json.contains("\"result\": 5") && json.ends_with("]\nexit 0"), "{json}");
}

#[test]
fn the_moment_decides_what_a_cron_trigger_asks_for() {
    let keda = "\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: coder}
spec:
  scaleTargetRef: {name: coder}
  minReplicaCount: 0
  maxReplicaCount: 8
  triggers:
    - type: cron
      metadata: {timezone: Europe/Berlin, start: 0 8 * * 1-5, end: 0 18 * * 1-5, desiredReplicas: \"4\"}
";
    let shown = Transcript::of(&["explain", "-f", "-", "--values", "replicas=0"]).input(keda).show();
    insta::assert_snapshot!(shown, @r"
    ScaledObject coder (-:3:18) scales Deployment/coder: 0 replicas now, 0 to 8 allowed
      KEDA: a trigger is active and nothing runs: woken: 0 → 1
      result: 0 → 1 replicas
      next change, if the values stay: to 4 in 15 s
    exit 0
    ");
}

#[test]
fn faulty_manifests_are_refused_with_the_faults() {
    let shown = Transcript::of(&["explain", "-f", "@/hpa.yaml", "--values", "replicas=5"])
        .file("hpa.yaml", &HPA.replace("maxReplicas: 10", "maxReplicas: 10\n  minReplica: 2"))
        .show();
    insta::assert_snapshot!(shown, @r"
    ! hpa.yaml:8:3: error[unknown-field]: HorizontalPodAutoscaler executor: `spec.minReplica` is no field of HorizontalPodAutoscaler and is ignored; remove or move it
    !
    ! 1 error
    exit 2
    ");
}

#[test]
fn values_that_cannot_be_used_are_named() {
    let explain = |value| {
        Transcript::of(&["explain", "-f", "@/hpa.yaml", "--values", value]).file("hpa.yaml", HPA).show()
    };
    insta::assert_snapshot!(explain("cpus=3"), @r"
    ! there is no key `cpus`; use replicas, cpu, memory, metric.<name> or pods.<i>.<field>
    exit 2
    ");
    insta::assert_snapshot!(explain("@/none.yaml"), @r"
    ! none.yaml: no such file or folder
    exit 2
    ");
}

#[test]
fn a_scaler_that_is_not_there_is_told_with_those_that_are() {
    let shown = Transcript::of(&["explain", "-f", "-", "--name", "coder"]).input(HPA).show();
    insta::assert_snapshot!(shown, @r"
    ! no HorizontalPodAutoscaler or ScaledObject of the name coder; there are: HorizontalPodAutoscaler executor
    exit 2
    ");
}
