//! Container policies of VPAs: which containers, and between which bounds.

use crate::lint::finding::Severity;
use crate::lint::fix::Edit;

use super::vpa::{deployment, vpa};
use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] =
    &[&CONTAINER_NAME, &CONTAINER_UNCHECKED, &CONTAINER_OFF, &BOUNDS, &BEYOND_NODE];

/// Sidecars that an admission webhook adds to pods.
const INJECTED: [&str; 5] = ["istio-proxy", "linkerd-proxy", "vault-agent", "daprd", "envoy-sidecar"];

static CONTAINER_NAME: Rule = Rule {
    id: "vpa-container-name",
    severity: Severity::Warning,
    title: "a container policy names no container of the target",
    explain: "A policy for a name that the pods do not have applies to nothing: the real container is sized without \
              its bounds. The rule compares with the target's pod template.",
    check: |context, sink| {
        for (id, object, vpa) in context.vpas() {
            let Some(target) = &vpa.target else { continue };
            // A policy that switches an injected sidecar off is for a container that no template shows.
            let named: Vec<_> = vpa
                .containers
                .iter()
                .filter(|policy| policy.mode.as_ref().is_none_or(|mode| mode.value != "Off"))
                .filter_map(|policy| policy.name.as_ref())
                .filter(|name| name.value != "*" && !INJECTED.contains(&name.value.as_str()))
                .collect();
            // A target outside the set is `vpa-container-unchecked`.
            let Some((_, workload_object, workload)) = context.target(object, target) else { continue };
            let real: Vec<&str> = workload
                .template
                .containers
                .iter()
                .chain(&workload.template.sidecars)
                .map(|container| container.label())
                .collect();
            for name in named.iter().filter(|name| !real.is_empty() && !real.contains(&name.value.as_str())) {
                let message = format!(
                    "{}: {} has no container `{}` (it has {}): the policy applies to nothing and {} is sized without bounds",
                    object.label(),
                    workload_object.label(),
                    name.value,
                    real.join(", "),
                    real[0]
                );
                let reported = sink.at(id, name.span, message);
                if let [only] = real.as_slice() {
                    reported.fix(vec![Edit::replace(name.span, *only)]);
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            vpa!(
                "Off",
                "  resourcePolicy: {containerPolicies: [{containerName: app, maxAllowed: {cpu: 2}}]}\n"
            ),
            deployment!("2")
        ),
        silent: concat!(
            vpa!(
                "Off",
                "  resourcePolicy: {containerPolicies: [{containerName: web, maxAllowed: {cpu: 2}}]}\n"
            ),
            deployment!("2")
        ),
    },
};

static CONTAINER_UNCHECKED: Rule = Rule {
    id: "vpa-container-unchecked",
    severity: Severity::Info,
    title: "whether a container policy's name is right cannot be checked",
    explain: "The names of `containerPolicies` must be those of the target's containers, or the policy never applies. The \
              target is not in the set: lint it together with its workload.",
    check: |context, sink| {
        for (id, object, vpa) in context.vpas() {
            let Some(target) = vpa.target.as_ref().filter(|target| context.target(object, target).is_none())
            else {
                continue;
            };
            for name in vpa
                .containers
                .iter()
                .filter_map(|policy| policy.name.as_ref())
                .filter(|name| name.value != "*")
            {
                sink.at(
                    id,
                    name.span,
                    format!(
                        "{}: whether {} {} has a container `{}` cannot be checked: the {} is not in the set; if the names \
                         differ the policy never applies",
                        object.label(),
                        target.kind,
                        target.name.value,
                        name.value,
                        target.kind
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: vpa!(
            "Off",
            "  resourcePolicy: {containerPolicies: [{containerName: web, maxAllowed: {cpu: 2}}]}\n"
        ),
        silent: concat!(
            vpa!(
                "Off",
                "  resourcePolicy: {containerPolicies: [{containerName: web, maxAllowed: {cpu: 2}}]}\n"
            ),
            deployment!("2")
        ),
    },
};

static CONTAINER_OFF: Rule = Rule {
    id: "vpa-container-off",
    severity: Severity::Warning,
    title: "every container policy is `mode: Off`, which is not \"recommend only\"",
    explain: "`containerPolicies[].mode: Off` takes the container out altogether: no recommendation is made for it. \
              Recommend-only is `updatePolicy.updateMode: \"Off\"`. Off for a sidecar beside other policies is fine.",
    check: |context, sink| {
        for (id, object, vpa) in context.vpas() {
            let off = |policy: &crate::manifest::ContainerPolicy| {
                policy.mode.as_ref().is_some_and(|mode| mode.value == "Off")
            };
            if vpa.containers.is_empty() || !vpa.containers.iter().all(off) {
                continue;
            }
            // A sidecar switched off by name leaves the others to the default policy.
            let covers_all =
                vpa.containers.iter().any(|policy| policy.name.as_ref().is_none_or(|name| name.value == "*"));
            let only = vpa.target.as_ref().and_then(|target| context.target(object, target)).is_some_and(
                |(_, _, workload)| {
                    let named = |name: &str| {
                        vpa.containers.iter().any(|p| p.name.as_ref().is_some_and(|n| n.value == name))
                    };
                    workload.template.containers.iter().all(|container| named(container.label()))
                },
            );
            if covers_all || only {
                let span = vpa.containers[0].mode.as_ref().map_or(object.span(), |mode| mode.span);
                sink.at(
                    id,
                    span,
                    format!(
                        "{}: every container is switched off, so nothing is recommended at all; for recommendations \
                         only write updatePolicy.updateMode: \"Off\" and drop this mode",
                        object.label()
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: vpa!(
            "Initial",
            "  resourcePolicy: {containerPolicies: [{containerName: \"*\", mode: \"Off\"}]}\n"
        ),
        silent: vpa!("Off", "  resourcePolicy: {containerPolicies: [{containerName: \"*\", mode: Auto}]}\n"),
    },
};

static BOUNDS: Rule = Rule {
    id: "vpa-bounds",
    severity: Severity::Error,
    title: "minAllowed is above maxAllowed",
    explain: "No recommendation fits; the VPA caps to the maximum and the minimum never holds.",
    check: |context, sink| {
        for (id, object, vpa) in context.vpas() {
            for policy in &vpa.containers {
                for (index, resource) in ["cpu", "memory"].into_iter().enumerate() {
                    if let (Some(min), Some(max)) = (&policy.min[index], &policy.max[index])
                        && min.value > max.value
                    {
                        sink.at(
                            id,
                            min.span,
                            format!(
                                "{}: minAllowed {resource} {} is above maxAllowed {}",
                                object.label(),
                                min.value,
                                max.value
                            ),
                        );
                    }
                }
            }
        }
    },
    fixture: Fixture {
        fires: vpa!(
            "Off",
            "  resourcePolicy: {containerPolicies: [{containerName: \"*\", minAllowed: {cpu: 2}, maxAllowed: {cpu: 1}}]}\n"
        ),
        silent: vpa!(
            "Off",
            "  resourcePolicy: {containerPolicies: [{containerName: \"*\", minAllowed: {cpu: 1}, maxAllowed: {cpu: 2}}]}\n"
        ),
    },
};

static BEYOND_NODE: Rule = Rule {
    id: "vpa-beyond-node",
    severity: Severity::Warning,
    title: "maxAllowed is more than any node of the set's pools has",
    explain: "A recommendation above what a node has makes pods that stay Pending for ever, one eviction after the \
              other. Cap below the largest machine of the pools that the pods may use.",
    check: |context, sink| {
        let largest = |resource: usize| {
            context
                .node_pools()
                .filter_map(|(_, _, pool)| [&pool.cpu, &pool.memory][resource].as_ref().map(|at| at.value))
                .max()
        };
        for (id, object, vpa) in context.vpas().filter(|(_, _, vpa)| vpa.changes_requests()) {
            for policy in &vpa.containers {
                for (index, resource) in ["cpu", "memory"].into_iter().enumerate() {
                    if let (Some(max), Some(node)) = (&policy.max[index], largest(index))
                        && max.value > node
                    {
                        sink.at(
                            id,
                            max.span,
                            format!(
                                "{}: maxAllowed {resource} {} is more than the largest node has ({node}): pods sized \
                                 between the two stay Pending",
                                object.label(),
                                max.value
                            ),
                        );
                    }
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            vpa!(
                "Recreate",
                "  resourcePolicy: {containerPolicies: [{containerName: \"*\", maxAllowed: {cpu: 8}}]}\n"
            ),
            "---\napiVersion: octollm.dev/v1\nkind: NodePool\nmetadata: {name: p}\nspec: {min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}}\n"
        ),
        silent: concat!(
            vpa!(
                "Recreate",
                "  resourcePolicy: {containerPolicies: [{containerName: \"*\", maxAllowed: {cpu: 3}}]}\n"
            ),
            "---\napiVersion: octollm.dev/v1\nkind: NodePool\nmetadata: {name: p}\nspec: {min: 1, max: 3, machine: {cpu: 4, memory: 16Gi}}\n"
        ),
    },
};
