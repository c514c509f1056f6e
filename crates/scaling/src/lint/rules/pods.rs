//! Pods of workloads that have several replicas or a scaler: requests, probes, spread, priority, images.

use crate::lint::context::Context;
use crate::lint::finding::Severity;
use crate::lint::fix::Edit;
use crate::manifest::{FaultKind, Object, ObjectId, Workload, WorkloadKind};

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] =
    &[&TINY_MEMORY, &HUGE_CPU, &NO_REQUESTS, &NO_PROBE, &NO_SPREAD, &NO_PRIORITY, &FROZEN_REGISTRY];

macro_rules! replicated {
    ($pod:expr) => {
        concat!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: a}\nspec:\n  replicas: 3\n",
            "  selector: {matchLabels: {app: a}}\n  template:\n    metadata: {labels: {app: a}}\n    spec:\n",
            $pod
        )
    };
}

/// Workloads that run several pods, or that something scales: where these rules matter.
fn replicated<'a, 'c>(
    context: &'c Context<'a>,
) -> impl Iterator<Item = (ObjectId, &'a Object, &'a Workload, i64)> + use<'a, 'c> {
    context.workloads().filter_map(move |(id, object, workload)| {
        let (_, most) = context.replicas_of(object, workload);
        let several =
            most >= 2 && workload.kind != WorkloadKind::DaemonSet && !workload.template.containers.is_empty();
        several.then_some((id, object, workload, most))
    })
}

static NO_REQUESTS: Rule = Rule {
    id: "pod-no-requests",
    severity: Severity::Warning,
    title: "a container of a replicated or scaled workload requests no CPU or memory",
    explain: "The scheduler and the Cluster Autoscaler count requests, not use: a pod without them fits everywhere, no \
              node is ever added for it, and it is the first to be killed or starved when a node is full. \
              Utilization metrics cannot be computed at all.",
    check: |context, sink| {
        for (id, object, workload, most) in replicated(context) {
            // A quantity that cannot be read is a fault of its own.
            let unread =
                object.faults.iter().any(|fault| matches!(fault.what, FaultKind::BadQuantity { .. }));
            if unread || context.has_limit_range(object) {
                continue;
            }
            for container in workload.template.running() {
                let lacks: Vec<&str> = ["cpu", "memory"]
                    .into_iter()
                    .filter(|resource| {
                        container.requests.get(resource).is_none()
                            && workload.template.requests.get(resource).is_none()
                    })
                    .collect();
                if !lacks.is_empty() {
                    let span = container.resources_span.or(container.name.as_ref().map(|name| name.span));
                    sink.at(
                        id,
                        span.unwrap_or(container.span),
                        format!(
                            "{}: container {} requests no {}: {most} pods of it count with none: no node is added for them and they \
                             share what is left",
                            object.label(),
                            container.label(),
                            lacks.join(" and no ")
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: replicated!(
            "      topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}]\n      containers: [{name: a, image: a, resources: {requests: {cpu: 100m}}}]\n"
        ),
        silent: replicated!(
            "      topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}]\n      containers: [{name: a, image: a, resources: {requests: {cpu: 100m, memory: 64Mi}}}]\n"
        ),
    },
};

static NO_PROBE: Rule = Rule {
    id: "pod-no-readiness-probe",
    severity: Severity::Warning,
    title: "a replicated workload that takes requests has no readiness probe",
    explain: "Without a readiness probe a pod counts as ready the moment its container starts: each scale-up sends \
              requests to pods that cannot answer yet, and the HPA counts their start-up CPU as load.",
    check: |context, sink| {
        for (id, object, workload, most) in replicated(context) {
            let serves = !context.services_of(object, workload).is_empty()
                || workload.template.containers.iter().any(|container| !container.ports.is_empty());
            if !serves || workload.template.running().any(|container| container.readiness) {
                continue;
            }
            let Some(container) = workload.template.containers.first() else { continue };
            let span = container.name.as_ref().map_or(container.span, |name| name.span);
            sink.at(
                id,
                span,
                format!(
                    "{}: no container has a readinessProbe: each of up to {most} pods gets requests the moment its \
                     process starts, and a rolling update goes on before the new pod can answer",
                    object.label()
                ),
            );
        }
    },
    fixture: Fixture {
        fires: replicated!("      containers: [{name: a, image: a, ports: [{containerPort: 80}]}]\n"),
        silent: replicated!(
            "      containers: [{name: a, image: a, ports: [{containerPort: 80}], readinessProbe: {tcpSocket: {port: 80}}}]\n"
        ),
    },
};

static NO_SPREAD: Rule = Rule {
    id: "pod-no-spread",
    severity: Severity::Warning,
    title: "replicas may all run on one node",
    explain: "Without topologySpreadConstraints or pod anti-affinity only the scheduler's soft default spreads pods \
              (maxSkew 3 over hosts, 5 over zones): up to three replicas may share a node and go with it. Spread over \
              `topology.kubernetes.io/zone` and `kubernetes.io/hostname`. The rule speaks of StatefulSets with \
              replicas and of workloads that take requests and whose scaler keeps at least two.",
    check: |context, sink| {
        for (id, object, workload, _) in replicated(context) {
            let template = &workload.template;
            let spread =
                !template.spread.is_empty() || !template.anti_affinity.is_empty() || template.prefers_spread;
            let (least, _) = context.replicas_of(object, workload);
            let scaled = !context.scalers_of(object).is_empty();
            let serves = !context.services_of(object, workload).is_empty()
                || template.containers.iter().any(|container| !container.ports.is_empty());
            let concerned = least >= 2 && (workload.kind == WorkloadKind::StatefulSet || scaled && serves);
            if spread || !concerned {
                continue;
            }
            let span = template.spec_span.unwrap_or(template.span);
            let together = least.min(3);
            sink.at(
                id,
                span,
                format!(
                    "{}: nothing spreads its pods: {together} of {least} may share a node under the scheduler's soft \
                     default, and one node failure takes them together; add topologySpreadConstraints",
                    object.label()
                ),
            );
        }
    },
    fixture: Fixture {
        fires: replicated!("      containers: [{name: a, image: a}]\n"),
        silent: replicated!(
            "      topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}]\n      containers: [{name: a, image: a}]\n"
        ),
    },
};

/// Less than this no process starts in.
const LEAST_MEMORY: i64 = 1 << 20;

static TINY_MEMORY: Rule = Rule {
    id: "pod-memory-bytes",
    severity: Severity::Error,
    title: "memory of less than a mebibyte: a suffix is missing or is `m`",
    explain: "Memory is counted in bytes and `m` is a thousandth: `512` is 512 bytes, `512m` half a byte. As a request \
              it counts as nothing, so any number of pods fits on a node; as a limit no container starts.",
    check: |context, sink| {
        for (id, object, workload) in context.workloads() {
            for container in workload.template.running() {
                for (what, resources) in [("requests", &container.requests), ("limits", &container.limits)] {
                    let tiny = resources.memory.as_ref().filter(|at| {
                        let bytes = at.value.units();
                        at.value.milli() > 0 && bytes < LEAST_MEMORY
                    });
                    let Some(at) = tiny else { continue };
                    let written =
                        context.sources().text(at.span.file)[at.span.range()].trim_matches(['"', '\'']);
                    let digits = written.trim_end_matches('m');
                    let meant =
                        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("{digits}Mi"));
                    let advice = meant.as_deref().unwrap_or("it in Mi or Gi");
                    let message = format!(
                        "{}: container {} {what} {written} of memory, which is {}; write {advice}",
                        object.label(),
                        container.label(),
                        in_bytes(at.value.milli())
                    );
                    let reported = sink.at(id, at.span, message);
                    if let Some(meant) = meant {
                        reported.fix(vec![Edit::replace(at.span, meant)]);
                    }
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {matchLabels: {app: a}}\n",
            "  template:\n    metadata: {labels: {app: a}}\n    spec: {containers: [{name: a, image: a, resources: {requests: {cpu: 100m, memory: 512m}}}]}\n"
        ),
        silent: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {matchLabels: {app: a}}\n",
            "  template:\n    metadata: {labels: {app: a}}\n    spec: {containers: [{name: a, image: a, resources: {requests: {cpu: 100m, memory: 512Mi}}}]}\n"
        ),
    },
};

/// A hundred whole cores: few machines have as many, and no container asks for them in round figures.
const MANY_CORES: i64 = 100;

static HUGE_CPU: Rule = Rule {
    id: "pod-cpu-cores",
    severity: Severity::Warning,
    title: "a hundred cores or more: the suffix `m` is missing",
    explain: "CPU is counted in cores: `250` is 250 cores, `250m` a quarter of one. As a request it fits on no usual node \
              and the pod stays Pending; as a limit it limits nothing.",
    check: |context, sink| {
        for (id, object, workload) in context.workloads() {
            for container in workload.template.running() {
                for (what, resources) in [("requests", &container.requests), ("limits", &container.limits)] {
                    let many = resources.cpu.as_ref().filter(|at| at.value.milli() / 1000 >= MANY_CORES);
                    let Some(at) = many else { continue };
                    let written =
                        context.sources().text(at.span.file)[at.span.range()].trim_matches(['"', '\'']);
                    // `0.25k` or `1e3` was thought about; a bare number was not.
                    if written.bytes().all(|byte| byte.is_ascii_digit()) {
                        let message = format!(
                            "{}: container {} {what} {written} whole cores; if thousandths are meant, write {written}m",
                            object.label(),
                            container.label()
                        );
                        sink.at(id, at.span, message)
                            .fix(vec![Edit::replace(at.span, format!("{written}m"))]);
                    }
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {matchLabels: {app: a}}\n",
            "  template:\n    metadata: {labels: {app: a}}\n    spec: {containers: [{name: a, image: a, resources: {requests: {cpu: 250, memory: 64Mi}}}]}\n"
        ),
        silent: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {matchLabels: {app: a}}\n",
            "  template:\n    metadata: {labels: {app: a}}\n    spec: {containers: [{name: a, image: a, resources: {requests: {cpu: 250m, memory: 64Mi}}}]}\n"
        ),
    },
};

fn in_bytes(milli: i64) -> String {
    if milli < 1000 { format!("0.{milli:03} bytes") } else { format!("{} bytes", milli / 1000) }
}

static NO_PRIORITY: Rule = Rule {
    id: "pod-no-priority",
    severity: Severity::Info,
    title: "nothing says which pods come first when nodes are full",
    explain: "When a pool is at its maximum, pods without a priority are equal: a burst of workers can keep a database \
              or the front door Pending. Give what must run a PriorityClass above what may wait. The rule speaks once \
              for a set that has scalers and StatefulSets with volumes together and names no priority.",
    check: |context, sink| {
        let any_priority =
            context.workloads().any(|(_, _, workload)| workload.template.priority_class.is_some());
        let scalers = context.scalers().count();
        if any_priority || scalers == 0 {
            return;
        }
        let stateful: Vec<_> = context
            .workloads()
            .filter(|(_, object, workload)| {
                let claims = object.root.at(&["spec", "volumeClaimTemplates"]);
                workload.kind == WorkloadKind::StatefulSet
                    && claims.is_some_and(|claims| !claims.items().is_empty())
            })
            .collect();
        if let Some((id, object, _)) = stateful.first() {
            let maxima = context.scalers().filter_map(|(_, _, scaler)| scaler.max());
            let peak = maxima.fold(0_i64, i64::saturating_add);
            sink.at(
                *id,
                object.span(),
                format!(
                    "{}: no workload names a priorityClassName: when nodes are full, {} StatefulSets queue behind up \
                     to {peak} pods that {scalers} scalers may ask for",
                    object.label(),
                    stateful.len()
                ),
            );
        }
    },
    fixture: Fixture {
        fires: concat!(
            replicated!("      containers: [{name: a, image: a}]\n"),
            "  volumeClaimTemplates: [{metadata: {name: data}}]\n",
            "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec:\n  scaleTargetRef: {kind: Deployment, name: b}\n  maxReplicas: 9\n"
        ),
        silent: concat!(
            replicated!("      priorityClassName: data\n      containers: [{name: a, image: a}]\n"),
            "  volumeClaimTemplates: [{metadata: {name: data}}]\n",
            "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec:\n  scaleTargetRef: {kind: Deployment, name: b}\n  maxReplicas: 9\n"
        ),
    },
};

static FROZEN_REGISTRY: Rule = Rule {
    id: "image-frozen-registry",
    severity: Severity::Error,
    title: "an image comes from k8s.gcr.io, frozen since April 2023",
    explain: "No image is added to k8s.gcr.io any more, and old ones may go at any time; a node that has to pull fails \
              with ImagePullBackOff just when the fleet grows. The same images are on registry.k8s.io.",
    check: |context, sink| {
        for (id, object, workload) in context.workloads() {
            for container in workload.template.running() {
                let Some(image) =
                    container.image.as_ref().filter(|image| image.value.starts_with("k8s.gcr.io/"))
                else {
                    continue;
                };
                let moved = image.value.replacen("k8s.gcr.io/", "registry.k8s.io/", 1);
                sink.at(
                    id,
                    image.span,
                    format!("{}: k8s.gcr.io is frozen since April 2023; take {moved}", object.label()),
                )
                .safe_fix(vec![Edit::replace(image.span, moved)]);
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: a, image: \"k8s.gcr.io/pause:3.9\"}]}
",
        silent: "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: a, image: \"registry.k8s.io/pause:3.9\"}]}
",
    },
};
