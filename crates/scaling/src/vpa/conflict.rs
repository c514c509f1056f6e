//! An HPA that scales on a resource whose requests a VPA changes.
//!
//! The HPA divides usage by the request; when the VPA raises the request, utilization falls and the
//! HPA removes pods, whose load raises the usage of the rest, and so on.

use super::policy::{ScalingMode, Spec};
use crate::hpa::{Metric, Resource, ResourceTarget, Spec as HpaSpec};

/// One resource that both change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Index into the HPA's `spec.metrics`.
    pub metric: usize,
    /// The resource.
    pub resource: Resource,
}

/// The metrics of `hpa` that a `vpa` on the same target fights with: Utilization of a resource that
/// it applies to at least one of `containers`.
#[must_use]
pub fn conflicts(hpa: &HpaSpec, vpa: &Spec, containers: &[String]) -> Vec<Conflict> {
    if !vpa.update_mode.applies() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, metric) in hpa.metrics.iter().enumerate() {
        let (resource, only) = match metric {
            Metric::Resource { resource, target: ResourceTarget::Utilization(_) } => (resource, None),
            Metric::ContainerResource { container, resource, target: ResourceTarget::Utilization(_) } => {
                (resource, Some(container))
            }
            Metric::Resource { .. }
            | Metric::ContainerResource { .. }
            | Metric::Pods { .. }
            | Metric::Object { .. }
            | Metric::External { .. }
            | Metric::Unknown { .. } => continue,
        };
        let changed = containers.iter().filter(|name| only.is_none_or(|only| only == *name)).any(|name| {
            let policy = vpa.policy_for(name);
            policy.mode == ScalingMode::Auto
                && match resource {
                    Resource::Cpu => policy.controlled.cpu,
                    Resource::Memory => policy.controlled.memory,
                    Resource::Named(_) => false,
                }
        });
        if changed {
            found.push(Conflict { metric: index, resource: resource.clone() });
        }
    }
    found
}
