//! Pods against nodes: anti-affinity, pools, taints.

use crate::lint::context::Context;
use crate::lint::finding::Severity;
use crate::lint::pack::left_pending;
use crate::manifest::{NodePool, Object, ObjectId, Workload};

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] = &[
    &ONE_A_NODE,
    &UNREAD_POD_FIELDS,
    &POD_TOO_BIG,
    &POOL_TOO_SMALL,
    &NO_POOL_FOR_LABEL,
    &UNTAINTED_POOL,
    &UNTOLERATED,
];

macro_rules! deployment {
    ($pod:expr) => {
        concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {matchLabels: {app: a}}\n",
            "  template:\n    metadata: {labels: {app: a}}\n    spec:\n",
            $pod
        )
    };
}

macro_rules! hpa {
    ($max:expr) => {
        concat!(
            "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec:\n",
            "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}\n  minReplicas: 2\n  maxReplicas: ",
            $max,
            "\n"
        )
    };
}

macro_rules! pool {
    ($spec:expr) => {
        concat!("---\napiVersion: octollm.dev/v1\nkind: NodePool\nmetadata: {name: p}\nspec: {", $spec, "}\n")
    };
}

const HOSTNAME: &str = "kubernetes.io/hostname";

/// The most nodes of all pools that a workload's pods may run on; `None` without pools.
fn nodes_for(context: &Context<'_>, workload: &Workload) -> Option<i64> {
    let mut any = false;
    let mut nodes = 0_i64;
    for (_, _, pool) in context.node_pools() {
        any = true;
        if admits(pool, workload) {
            nodes = nodes.saturating_add(pool.max.as_ref().map_or(0, |max| max.value));
        }
    }
    any.then_some(nodes)
}

/// Whether a pool's labels and taints let the pods in.
fn admits(pool: &NodePool, workload: &Workload) -> bool {
    let labels = workload.template.node_labels.iter().all(|(key, value)| {
        pool.labels.iter().any(|(name, has)| name == key && *has == value.value) || is_set_by_cloud(key)
    });
    let taints = pool
        .taints
        .iter()
        .filter(|taint| taint.effect != "PreferNoSchedule")
        .all(|taint| workload.template.tolerates(taint));
    labels && taints
}

/// Labels that every node has without a pool saying so.
fn is_set_by_cloud(key: &str) -> bool {
    key.starts_with("kubernetes.io/")
        || key.starts_with("topology.kubernetes.io/")
        || key.starts_with("node.kubernetes.io/")
}

static ONE_A_NODE: Rule = Rule {
    id: "anti-affinity-one-a-node",
    severity: Severity::Warning,
    title: "required anti-affinity by host means one node for each replica",
    explain: "A required podAntiAffinity on kubernetes.io/hostname against the workload's own pods allows one of them a \
              node: the maximum of replicas needs as many nodes, and a rolling update one more for its surge. What does \
              not fit stays Pending while the HPA waits. Use a preferred term or topologySpreadConstraints with \
              ScheduleAnyway. The rule speaks when something scales the workload, or when the set's pools have too few \
              nodes.",
    check: |context, sink| {
        for (id, object, workload) in context.workloads() {
            for term in &workload.template.anti_affinity {
                let by_host = term.topology.as_ref().is_some_and(|topology| topology.value == HOSTNAME);
                // A fragment without labels is taken to select its own pods when the name says so.
                let own = term.selector.matches(&workload.template.labels)
                    || workload.template.labels.is_empty()
                        && term.selector.to_string().contains(object.name());
                let scaled = !context.scalers_of(object).is_empty();
                let (_, most) = context.replicas_of(object, workload);
                let nodes = nodes_for(context, workload);
                let too_few = nodes.is_some_and(|nodes| most > nodes);
                if !by_host || !own || most < 2 || !(scaled && nodes.is_none() || too_few) {
                    continue;
                }
                let surge = surge(workload, most);
                let have = nodes.map_or(String::new(), |nodes| {
                    format!(
                        "; the pools of the set end at {nodes} nodes, so {} pods stay Pending",
                        most.saturating_sub(nodes).max(0)
                    )
                });
                sink.at(
                    id,
                    term.topology.as_ref().map_or(term.span, |topology| topology.span),
                    format!(
                        "{}: one pod a node: {most} replicas need {most} nodes and a rolling update {surge} more{have}; \
                         prefer instead of require, or use topologySpreadConstraints with ScheduleAnyway",
                        object.label()
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            deployment!(
                "      affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {matchLabels: {app: a}}, topologyKey: kubernetes.io/hostname}]}}\n      containers: [{name: a, image: a}]\n"
            ),
            hpa!("10")
        ),
        silent: concat!(
            deployment!(
                "      topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: a}}}]\n      containers: [{name: a, image: a}]\n"
            ),
            hpa!("10")
        ),
    },
};

/// How many pods a rolling update adds: `maxSurge`, 25 % rounded up where nothing is written.
fn surge(workload: &Workload, replicas: i64) -> i64 {
    let written = workload.max_surge.as_ref().map_or("25%", |surge| surge.value.as_str());
    match written.strip_suffix('%') {
        Some(percent) => {
            let scaled = percent.parse::<i64>().unwrap_or(25).saturating_mul(replicas);
            scaled.div_euclid(100) + i64::from(scaled.rem_euclid(100) != 0)
        }
        None => written.parse().unwrap_or(1),
    }
}

const POD_FIELDS: [&str; 5] =
    ["nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName"];

static UNREAD_POD_FIELDS: Rule = Rule {
    id: "configmap-holds-pod-fields",
    severity: Severity::Error,
    title: "a ConfigMap holds nodeSelector or tolerations that nobody reads",
    explain: "Kubernetes reads `nodeSelector`, `tolerations` and `affinity` from pod templates only. Written into a \
              ConfigMap that no workload mounts they do nothing: no pod goes to the pool they describe. Put them into \
              the pod templates, and label and taint the node group itself.",
    check: |context, sink| {
        for (id, object) in context.set.iter() {
            let crate::manifest::Detail::ConfigMap(contents) = &object.detail else { continue };
            let is_mounted = || {
                context.workloads().any(|(_, other, workload)| {
                    other.shares_namespace(object)
                        && workload.template.config_maps.iter().any(|name| name == object.name())
                })
            };
            if contents.is_empty() || is_mounted() {
                continue;
            }
            for content in contents {
                let held: Vec<&str> = ["nodeSelector", "tolerations", "affinity"]
                    .into_iter()
                    .filter(|key| {
                        content
                            .get(key)
                            .is_some_and(|node| !node.entries().is_empty() || !node.items().is_empty())
                    })
                    .collect();
                // A program's own settings may have such keys beside others.
                let is_pod = content.entries().iter().all(|entry| POD_FIELDS.contains(&entry.key.as_str()));
                if let Some(entry) = held.first().and_then(|key| content.entry(key)).filter(|_| is_pod) {
                    sink.at(
                        id,
                        entry.key_span,
                        format!(
                            "{}: nobody reads the {} in here: no pod tolerates or prefers anything because of it. Move it \
                             into the pod templates and taint the node group itself",
                            object.label(),
                            held.join(" and ")
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: v1
kind: ConfigMap
metadata: {name: spot}
data:
  spot.yaml: |
    tolerations:
      - {key: spot, operator: Exists, effect: NoSchedule}
",
        silent: "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      tolerations:
        - {key: spot, operator: Exists, effect: NoSchedule}
      containers: [{name: a, image: a}]
",
    },
};

type Pools<'a> = Vec<(ObjectId, &'a Object, &'a NodePool)>;
type Workloads<'a> = Vec<(ObjectId, &'a Object, &'a Workload)>;

/// The pools of the set with its workloads; no workloads where the set has no pools.
fn with_pools<'a>(context: &Context<'a>) -> (Pools<'a>, Workloads<'a>) {
    let pools: Pools<'a> = context.node_pools().collect();
    let workloads = if pools.is_empty() { Vec::new() } else { context.workloads().collect() };
    (pools, workloads)
}

static POD_TOO_BIG: Rule = Rule {
    id: "pod-beyond-nodes",
    severity: Severity::Error,
    title: "a pod requests more than any node that it may run on has",
    explain: "It stays Pending for ever, and the Cluster Autoscaler adds no node for it, since none would help.",
    check: |context, sink| {
        let (pools, workloads) = with_pools(context);
        for (id, object, workload) in workloads {
            let open: Vec<_> = pools.iter().filter(|(_, _, pool)| admits(pool, workload)).collect();
            for resource in ["cpu", "memory"] {
                let Some(request) = workload.template.request_milli(resource) else { continue };
                let capacity = |pool: &NodePool| {
                    let at = if resource == "cpu" { &pool.cpu } else { &pool.memory };
                    at.as_ref().map_or(0, |at| at.value.milli())
                };
                let Some(largest) = open.iter().map(|(_, _, pool)| capacity(pool)).max() else { continue };
                if request > largest {
                    let shown = |milli: i64| crate::quantity::Quantity::from_milli(milli).to_string();
                    sink.at(
                        id,
                        object.span(),
                        format!(
                            "{}: a pod requests {} {resource}, the largest node that it may run on has {}: it stays Pending",
                            object.label(),
                            shown(request),
                            shown(largest)
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            deployment!(
                "      containers: [{name: a, image: a, resources: {requests: {cpu: 8, memory: 1Gi}}}]\n"
            ),
            pool!("min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}")
        ),
        silent: concat!(
            deployment!(
                "      containers: [{name: a, image: a, resources: {requests: {cpu: 2, memory: 1Gi}}}]\n"
            ),
            pool!("min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}")
        ),
    },
};

static POOL_TOO_SMALL: Rule = Rule {
    id: "pools-too-small",
    severity: Severity::Warning,
    title: "all scalers at their maximum ask for more than all pools at theirs have",
    explain: "The maxima are promises: if everything is busy together the last pods stay Pending. Raise the pools, lower \
              maxima, or give priorities so that the right pods wait. Sums of requests are compared first; where they \
              fit, the autoscaler's own packer places the pods by requests alone, largest first.",
    check: |context, sink| {
        let (pools, workloads) = with_pools(context);
        let Some((id, pool_object, _)) = pools.first() else { return };
        let mut sums_fit = true;
        for resource in ["cpu", "memory"] {
            let mut wanted = 0_i64;
            for (_, object, workload) in &workloads {
                let (_, most) = context.replicas_of(object, workload);
                let request = workload.template.request_milli(resource).unwrap_or(0);
                wanted = wanted.saturating_add(request.saturating_mul(most));
            }
            let capacity: i64 = pools
                .iter()
                .map(|(_, _, pool)| {
                    let at = if resource == "cpu" { &pool.cpu } else { &pool.memory };
                    let one = at.as_ref().map_or(0, |at| at.value.milli());
                    one.saturating_mul(pool.max.as_ref().map_or(0, |max| max.value))
                })
                .fold(0, i64::saturating_add);
            if wanted > capacity {
                sums_fit = false;
                let shown = |milli: i64| crate::quantity::Quantity::from_milli(milli).to_string();
                sink.at(
                    *id,
                    pool_object.span(),
                    format!(
                        "{}: at all maxima the pods of the set request {} {resource}, all pools at their maximum have {}: \
                         the rest stays Pending",
                        pool_object.label(),
                        shown(wanted),
                        shown(capacity)
                    ),
                );
            }
        }
        let waiting = if sums_fit { left_pending(context, &pools, &workloads) } else { 0 };
        if waiting > 0 {
            let message = format!(
                "{}: at all maxima {waiting} of the set's pods find no node, though the sums fit: what each node has left is \
                 less than one of them requests",
                pool_object.label()
            );
            sink.at(*id, pool_object.span(), message);
        }
    },
    fixture: Fixture {
        fires: concat!(
            deployment!(
                "      containers: [{name: a, image: a, resources: {requests: {cpu: 2, memory: 1Gi}}}]\n"
            ),
            hpa!("10"),
            pool!("min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}")
        ),
        silent: concat!(
            deployment!(
                "      containers: [{name: a, image: a, resources: {requests: {cpu: 2, memory: 1Gi}}}]\n"
            ),
            hpa!("6"),
            pool!("min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}")
        ),
    },
};

static NO_POOL_FOR_LABEL: Rule = Rule {
    id: "node-selector-without-pool",
    severity: Severity::Error,
    title: "pods ask for a node label that no pool of the set has",
    explain: "The pods stay Pending: no node carries the label and the Cluster Autoscaler knows no group that would.",
    check: |context, sink| {
        let (pools, workloads) = with_pools(context);
        for (id, object, workload) in workloads {
            for (key, value) in &workload.template.node_labels {
                let has = pools
                    .iter()
                    .any(|(_, _, pool)| pool.labels.iter().any(|(k, v)| k == key && *v == value.value));
                if !has && !is_set_by_cloud(key) {
                    sink.at(
                        id,
                        value.span,
                        format!(
                            "{}: no pool of the set has the label {key}={}: its pods stay Pending",
                            object.label(),
                            value.value
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            deployment!("      nodeSelector: {pool: spot}\n      containers: [{name: a, image: a}]\n"),
            pool!("min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}")
        ),
        silent: concat!(
            deployment!("      nodeSelector: {pool: spot}\n      containers: [{name: a, image: a}]\n"),
            pool!("min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}, labels: {pool: spot}")
        ),
    },
};

static UNTAINTED_POOL: Rule = Rule {
    id: "toleration-without-taint",
    severity: Severity::Warning,
    title: "pods tolerate a taint that no pool of the set has",
    explain: "A toleration only lets pods onto tainted nodes; it keeps nobody else away. If the pool is not tainted, any \
              pod lands there: on a spot pool, one that cannot stand to be interrupted.",
    check: |context, sink| {
        let (pools, workloads) = with_pools(context);
        for (id, object, workload) in workloads {
            for toleration in &workload.template.tolerations {
                let builtin = toleration.key.is_empty() || toleration.key.starts_with("node.kubernetes.io/");
                let tainted = pools
                    .iter()
                    .any(|(_, _, pool)| pool.taints.iter().any(|taint| taint.key == toleration.key));
                if !builtin && !tainted {
                    sink.at(
                        id,
                        toleration.span,
                        format!(
                            "{}: no pool of the set has a taint `{}`: the toleration changes nothing and every other pod \
                             may run on the nodes it is meant for",
                            object.label(),
                            toleration.key
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            deployment!(
                "      tolerations: [{key: spot, operator: Exists}]\n      containers: [{name: a, image: a}]\n"
            ),
            pool!("min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}")
        ),
        silent: concat!(
            deployment!(
                "      tolerations: [{key: spot, operator: Exists}]\n      containers: [{name: a, image: a}]\n"
            ),
            pool!(
                "min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}, taints: [{key: spot, value: \"true\", effect: NoSchedule}]"
            )
        ),
    },
};

static UNTOLERATED: Rule = Rule {
    id: "no-pool-admits",
    severity: Severity::Error,
    title: "every pool of the set keeps these pods away",
    explain: "Each pool has a taint that the pods do not tolerate or lacks a label that they ask for: they stay Pending.",
    check: |context, sink| {
        let (pools, workloads) = with_pools(context);
        for (id, object, workload) in workloads {
            let labels_exist = workload.template.node_labels.iter().all(|(key, value)| {
                is_set_by_cloud(key)
                    || pools
                        .iter()
                        .any(|(_, _, pool)| pool.labels.iter().any(|(k, v)| k == key && *v == value.value))
            });
            if labels_exist && !pools.iter().any(|(_, _, pool)| admits(pool, workload)) {
                let taints: Vec<&str> = pools
                    .iter()
                    .flat_map(|(_, _, pool)| pool.taints.iter().map(|taint| taint.key.as_str()))
                    .collect();
                sink.at(
                    id,
                    object.span(),
                    format!(
                        "{}: no pool of the set takes its pods (taints: {}): they stay Pending",
                        object.label(),
                        taints.join(", ")
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            deployment!("      containers: [{name: a, image: a}]\n"),
            pool!(
                "min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}, taints: [{key: spot, value: \"true\", effect: NoSchedule}]"
            )
        ),
        silent: concat!(
            deployment!(
                "      tolerations: [{key: spot, operator: Exists}]\n      containers: [{name: a, image: a}]\n"
            ),
            pool!(
                "min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}, taints: [{key: spot, value: \"true\", effect: NoSchedule}]"
            )
        ),
    },
};
