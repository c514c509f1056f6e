//! What a VPA object asks for: mode, and a policy for each container.

use super::recommend::{Bounds, Recommendation};

/// One VPA, defaulted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// `updatePolicy.updateMode`; `Recreate` where the manifest is silent.
    pub update_mode: UpdateMode,
    /// `updatePolicy.minReplicas`; 2, the updater's flag, where the manifest is silent.
    pub min_replicas: i32,
    /// `resourcePolicy.containerPolicies`.
    pub containers: Vec<ContainerPolicy>,
}

impl Default for Spec {
    fn default() -> Self {
        Spec { update_mode: UpdateMode::Recreate, min_replicas: 2, containers: Vec::new() }
    }
}

/// `updateMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateMode {
    /// Recommendations only.
    Off,
    /// Requests are set when a pod is created, never later.
    Initial,
    /// Pods are evicted so that they come back with other requests.
    Recreate,
    /// Resized in place where that works, else evicted.
    InPlaceOrRecreate,
    /// Resized in place, never evicted.
    InPlace,
    /// Deprecated; the same as [`UpdateMode::Recreate`].
    Auto,
}

impl UpdateMode {
    /// The mode as written in a manifest. An unquoted `Off` is a boolean there, not this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "Off" => UpdateMode::Off,
            "Initial" => UpdateMode::Initial,
            "Recreate" => UpdateMode::Recreate,
            "InPlaceOrRecreate" => UpdateMode::InPlaceOrRecreate,
            "InPlace" => UpdateMode::InPlace,
            "Auto" => UpdateMode::Auto,
            _ => return None,
        })
    }

    /// Whether pods get other requests than their template says.
    #[must_use]
    pub fn applies(self) -> bool {
        self != UpdateMode::Off
    }

    /// Whether pods that run are changed.
    #[must_use]
    pub fn touches_running_pods(self) -> bool {
        match self {
            UpdateMode::Off | UpdateMode::Initial => false,
            UpdateMode::Recreate | UpdateMode::InPlaceOrRecreate | UpdateMode::InPlace | UpdateMode::Auto => {
                true
            }
        }
    }
}

/// One entry of `containerPolicies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPolicy {
    /// Which containers.
    pub scope: ContainerScope,
    /// `mode`.
    pub mode: ScalingMode,
    /// `minAllowed`.
    pub min_allowed: Amounts,
    /// `maxAllowed`.
    pub max_allowed: Amounts,
    /// `controlledResources`.
    pub controlled: Controlled,
    /// `controlledValues`.
    pub values: ControlledValues,
}

impl Default for ContainerPolicy {
    fn default() -> Self {
        ContainerPolicy {
            scope: ContainerScope::All,
            mode: ScalingMode::Auto,
            min_allowed: Amounts::default(),
            max_allowed: Amounts::default(),
            controlled: Controlled { cpu: true, memory: true },
            values: ControlledValues::RequestsAndLimits,
        }
    }
}

/// Which containers a policy is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerScope {
    /// `*`: those without a policy of their own.
    All,
    /// The container of this name.
    Named(String),
}

/// `mode` of a container policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalingMode {
    /// Recommended for, and updated as the VPA's mode says.
    Auto,
    /// Left out altogether: no recommendation, no update.
    Off,
}

/// `controlledResources`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Controlled {
    /// CPU is recommended.
    pub cpu: bool,
    /// Memory is recommended.
    pub memory: bool,
}

/// `controlledValues`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlledValues {
    /// Limits move in proportion to requests.
    RequestsAndLimits,
    /// Limits stay.
    RequestsOnly,
}

/// Amounts of the two resources a VPA knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// In millicores.
    pub cpu_milli: Option<i64>,
    /// In bytes.
    pub memory_bytes: Option<i64>,
}

impl Spec {
    /// The policy for the container called `name`: its own, else the one for all, else the default.
    #[must_use]
    pub fn policy_for(&self, name: &str) -> ContainerPolicy {
        let own = self.containers.iter().find(|p| p.scope == ContainerScope::Named(name.to_owned()));
        let all = || self.containers.iter().find(|p| p.scope == ContainerScope::All);
        own.or_else(all).cloned().unwrap_or_default()
    }

    /// The recommendation as the VPA's status shows it for the container called `name`: filtered by
    /// what is controlled, capped by what is allowed. `None` if the container is switched off.
    #[must_use]
    pub fn cap(&self, name: &str, recommendation: &Recommendation) -> Option<Recommendation> {
        let policy = self.policy_for(name);
        if policy.mode == ScalingMode::Off {
            return None;
        }
        let (least, most) = (policy.min_allowed, policy.max_allowed);
        Some(Recommendation {
            cpu_milli: recommendation
                .cpu_milli
                .filter(|_| policy.controlled.cpu)
                .map(|bounds| capped(bounds, least.cpu_milli, most.cpu_milli)),
            memory_bytes: recommendation
                .memory_bytes
                .filter(|_| policy.controlled.memory)
                .map(|bounds| capped(bounds, least.memory_bytes, most.memory_bytes)),
        })
    }
}

fn capped(bounds: Bounds, least: Option<i64>, most: Option<i64>) -> Bounds {
    let cap = |value: i64| {
        let raised = least.map_or(value, |least| value.max(least));
        most.map_or(raised, |most| raised.min(most))
    };
    Bounds { target: cap(bounds.target), lower: cap(bounds.lower), upper: cap(bounds.upper) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { target: 500, lower: 300, upper: 900 };
    const BOTH: Recommendation = Recommendation { cpu_milli: Some(BOUNDS), memory_bytes: Some(BOUNDS) };

    #[test]
    fn a_container_policy_wins_over_the_wildcard() {
        let spec = Spec {
            containers: vec![
                ContainerPolicy { mode: ScalingMode::Off, ..ContainerPolicy::default() },
                ContainerPolicy {
                    scope: ContainerScope::Named("main".into()),
                    max_allowed: Amounts { cpu_milli: Some(400), memory_bytes: None },
                    ..ContainerPolicy::default()
                },
            ],
            ..Spec::default()
        };
        assert_eq!(spec.cap("sidecar", &BOTH), None);
        let capped = spec.cap("main", &BOTH).expect("main is on");
        assert_eq!(capped.cpu_milli, Some(Bounds { target: 400, lower: 300, upper: 400 }));
        assert_eq!(capped.memory_bytes, Some(BOUNDS));
    }

    #[test]
    fn what_is_not_controlled_is_not_recommended() {
        let policy = ContainerPolicy {
            controlled: Controlled { cpu: false, memory: true },
            ..ContainerPolicy::default()
        };
        let spec = Spec { containers: vec![policy], ..Spec::default() };
        assert_eq!(spec.cap("main", &BOTH).and_then(|r| r.cpu_milli), None);
    }
}
