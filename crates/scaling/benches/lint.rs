//! How long reading and linting 1,000 manifests takes, in one set and with everything that rules compare.
//!
//! Prints manifests, bytes, milliseconds (the best of five runs) and manifests a second. The set is generated: 200
//! services of five manifests each (Deployment, Service, PDB, HPA, VPA), every tenth with a fault.

use std::fmt::Write as _;
use std::time::Instant;

use octollm_scaling::lint::lint;
use octollm_scaling::manifest::{Input, load};

const SERVICES: usize = 200;
const MANIFESTS: usize = SERVICES * 5;
const RUNS: usize = 5;

fn manifests() -> Vec<Input> {
    (0..SERVICES)
        .map(|index| {
            let mut text = String::new();
            let name = format!("service-{index}");
            let min = if index % 10 == 0 { 1 } else { 2 };
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  selector:\n    \
                 matchLabels: {{app: {name}}}\n  template:\n    metadata:\n      labels: {{app: {name}, tier: web}}\n    spec:\n      \
                 topologySpreadConstraints:\n        - {{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {{matchLabels: {{app: {name}}}}}}}\n      \
                 containers:\n        - name: {name}\n          image: registry.example/{name}:1.2.3\n          ports:\n            - {{name: http, containerPort: 8080}}\n          \
                 env:\n            - {{name: PORT, value: \"8080\"}}\n            - {{name: MODE, value: live}}\n          resources:\n            requests: {{cpu: 250m, memory: 256Mi}}\n            \
                 limits: {{cpu: \"1\", memory: 512Mi}}\n          readinessProbe: {{httpGet: {{path: /readyz, port: http}}}}\n          livenessProbe: {{httpGet: {{path: /healthz, port: http}}}}\n---\n\
                 apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  selector: {{app: {name}}}\n  ports:\n    - {{name: http, port: 80, targetPort: http}}\n---\n\
                 apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  maxUnavailable: 1\n  selector: {{matchLabels: {{app: {name}}}}}\n---\n\
                 apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}\n  \
                 minReplicas: {min}\n  maxReplicas: 20\n  metrics:\n    - type: Resource\n      resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 70}}}}\n  behavior:\n    \
                 scaleDown:\n      stabilizationWindowSeconds: 300\n      policies:\n        - {{type: Pods, value: 1, periodSeconds: 60}}\n---\n\
                 apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  targetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}\n  \
                 updatePolicy: {{updateMode: \"Off\"}}\n  resourcePolicy:\n    containerPolicies:\n      - {{containerName: {name}, maxAllowed: {{cpu: \"2\", memory: 2Gi}}}}\n"
            );
            Input { path: format!("shop/{name}.yaml"), bytes: text.into_bytes() }
        })
        .collect()
}

#[expect(clippy::print_stdout, reason = "a benchmark says what it measured")]
fn main() {
    let inputs = manifests();
    let bytes: usize = inputs.iter().map(|input| input.bytes.len()).sum();
    let mut best = f64::INFINITY;
    let mut findings = 0;
    for _ in 0..RUNS {
        let inputs = inputs.clone();
        let began = Instant::now();
        let loaded = load(inputs);
        findings = lint(&loaded).findings.len();
        best = best.min(began.elapsed().as_secs_f64());
    }
    let rate = f64::from(u32::try_from(MANIFESTS).unwrap_or(u32::MAX)) / best;
    println!(
        "lint: {MANIFESTS} manifests, {bytes} bytes, {findings} findings: {:.1} ms, {rate:.0} manifests/s",
        best * 1000.0
    );
}
