//! The Cluster Autoscaler's own Deployment.

use crate::lint::context::Context;
use crate::lint::finding::Severity;
use crate::manifest::{At, Container, Object, ObjectId, Workload};

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] = &[&VERSION, &RBAC];

/// The oldest minor version of Kubernetes that this project supports.
const OLDEST_MINOR: u32 = 30;

macro_rules! autoscaler {
    ($tag:expr) => {
        concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cluster-autoscaler, namespace: kube-system}\nspec:\n",
            "  selector: {matchLabels: {app: ca}}\n  template:\n    metadata: {labels: {app: ca}}\n    spec:\n",
            "      serviceAccountName: cluster-autoscaler\n",
            "      containers: [{name: ca, image: \"registry.k8s.io/autoscaling/cluster-autoscaler:",
            $tag,
            "\"}]\n"
        )
    };
}

fn autoscalers<'a>(
    context: &Context<'a>,
) -> impl Iterator<Item = (ObjectId, &'a Object, &'a Workload, &'a Container, &'a At<String>)> + use<'a> {
    context.workloads().flat_map(|(id, object, workload)| {
        workload.template.containers.iter().filter_map(move |container| {
            let image = container.image.as_ref()?;
            image.value.contains("/cluster-autoscaler:").then_some((id, object, workload, container, image))
        })
    })
}

/// The minor version in `…:v1.28.0` or `1.36`.
fn minor(text: &str) -> Option<u32> {
    let version = text.rsplit(':').next()?.trim_start_matches('v');
    version.strip_prefix("1.")?.split(['.', '-']).next()?.parse().ok()
}

static VERSION: Rule = Rule {
    id: "cluster-autoscaler-version",
    severity: Severity::Warning,
    title: "the Cluster Autoscaler does not match the cluster's minor version",
    explain: "The Cluster Autoscaler simulates the scheduler of its own minor version; upstream supports only the pair of \
              equal minors. With another scheduler it adds nodes for pods that will not go there, or none for pods that \
              would. The rule compares with `kubernetesVersion` of the set's node pools, and else names versions older \
              than any cluster this project supports.",
    check: |context, sink| {
        let cluster = context.node_pools().find_map(|(_, object, pool)| {
            pool.kubernetes.as_ref().and_then(|at| minor(&at.value)).map(|minor| (object, minor))
        });
        for (id, object, _, _, image) in autoscalers(context) {
            let Some(own) = minor(&image.value) else { continue };
            let message = match cluster {
                Some((pool, minor)) if minor != own => format!(
                    "{}: 1.{own} simulates the scheduler of 1.{own}, but {} runs 1.{minor}; take v1.{minor}",
                    object.label(),
                    pool.label()
                ),
                None if own < OLDEST_MINOR => format!(
                    "{}: 1.{own} goes only with a cluster of 1.{own}, which is out of support; it must have the cluster's \
                     own minor version (1.{OLDEST_MINOR} or later)",
                    object.label()
                ),
                Some(_) | None => continue,
            };
            sink.at(id, image.span, message);
        }
    },
    fixture: Fixture { fires: autoscaler!("v1.28.0"), silent: autoscaler!("v1.34.1") },
};

static RBAC: Rule = Rule {
    id: "cluster-autoscaler-rbac",
    severity: Severity::Error,
    title: "the Cluster Autoscaler's ServiceAccount or its rights are not in the set",
    explain: "It needs to watch pods, nodes, volumes, workloads and budgets and to update its status ConfigMap and lease. \
              Without its ServiceAccount no pod is made; without the ClusterRole and binding it logs \"forbidden\" and \
              never scales.",
    check: |context, sink| {
        for (id, object, workload, _, _) in autoscalers(context) {
            let Some(account) = &workload.template.service_account else { continue };
            let exists = |kind: &str| {
                context.set.iter().any(|(_, other)| other.kind == kind && other.name() == account.value)
            };
            let bound = context.set.iter().any(|(_, other)| {
                other.kind == "ClusterRoleBinding"
                    && other.root.get("subjects").is_some_and(|subjects| {
                        subjects.items().iter().any(|s| s.text_at(&["name"]) == Some(&account.value))
                    })
            });
            let lacks: Vec<&str> =
                [(exists("ServiceAccount"), "ServiceAccount"), (bound, "ClusterRole and ClusterRoleBinding")]
                    .into_iter()
                    .filter(|(has, _)| !has)
                    .map(|(_, what)| what)
                    .collect();
            if !lacks.is_empty() {
                sink.at(
                    id,
                    account.span,
                    format!(
                        "{}: the set has no {} for `{}`: {}",
                        object.label(),
                        lacks.join(" and no "),
                        account.value,
                        if lacks.len() == 2 { "no pod of it is made" } else { "it may do nothing" }
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: autoscaler!("v1.34.1"),
        silent: concat!(
            autoscaler!("v1.34.1"),
            "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: cluster-autoscaler, namespace: kube-system}\n---\n",
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: cluster-autoscaler}\n",
            "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-autoscaler}\n",
            "subjects: [{kind: ServiceAccount, name: cluster-autoscaler, namespace: kube-system}]\n"
        ),
    },
};
