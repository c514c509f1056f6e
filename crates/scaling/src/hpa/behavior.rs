//! `spec.behavior`: stabilization windows and rate policies, with the API server's defaults.
//!
//! [`RulesAsWritten`] is what a manifest says; [`Behavior::defaulted`] fills in field by field what
//! it leaves out, as the API server does. An empty `behavior: {}` gives the defaults, which is not
//! the same as no behavior.

use std::fmt;

use super::spec::{SpecFault, Tolerance};

/// Rules for both directions, defaulted.
#[derive(Debug, Clone, PartialEq)]
pub struct Behavior {
    /// `scaleUp`.
    pub up: Rules,
    /// `scaleDown`.
    pub down: Rules,
}

/// Rules for one direction, defaulted.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Recommendations younger than this steady the new one; 0..=3600 seconds.
    pub stabilization_seconds: i32,
    /// Which policy counts when several apply.
    pub select: SelectPolicy,
    /// Rate limits.
    pub policies: Vec<Policy>,
    /// The HPA's own tolerance for this direction.
    pub tolerance: Option<Tolerance>,
}

/// Rules for one direction as a manifest has them: what is `None` gets the default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RulesAsWritten {
    /// `stabilizationWindowSeconds`.
    pub stabilization_seconds: Option<i32>,
    /// `selectPolicy`.
    pub select: Option<SelectPolicy>,
    /// `policies`.
    pub policies: Option<Vec<Policy>>,
    /// `tolerance`.
    pub tolerance: Option<Tolerance>,
}

/// At most `value` pods or percent within `period_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Unit of `value`.
    pub kind: PolicyKind,
    /// Pods, or percent of the replicas at the period's start.
    pub value: i32,
    /// Length of the period, 1..=1800 seconds.
    pub period_seconds: i32,
}

/// Unit of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// Whole pods.
    Pods,
    /// Percent of the replicas at the period's start.
    Percent,
}

/// How several policies combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The policy that allows the larger change.
    Max,
    /// The policy that allows the smaller change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// A direction of scaling, printed as its key in `spec.behavior`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// More replicas.
    Up,
    /// Fewer replicas.
    Down,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Up => "scaleUp",
            Direction::Down => "scaleDown",
        })
    }
}

impl Behavior {
    /// Fills in what the manifest leaves out. `downscale_window_seconds` is the controller's flag,
    /// the default of the down window.
    #[must_use]
    pub fn defaulted(
        up: Option<RulesAsWritten>,
        down: Option<RulesAsWritten>,
        downscale_window_seconds: i32,
    ) -> Self {
        let percent = Policy { kind: PolicyKind::Percent, value: 100, period_seconds: 15 };
        let pods = Policy { kind: PolicyKind::Pods, value: 4, period_seconds: 15 };
        let fill = |written: Option<RulesAsWritten>, window, policies| {
            let written = written.unwrap_or_default();
            Rules {
                stabilization_seconds: written.stabilization_seconds.unwrap_or(window),
                select: written.select.unwrap_or(SelectPolicy::Max),
                policies: written.policies.unwrap_or(policies),
                tolerance: written.tolerance,
            }
        };
        Behavior {
            up: fill(up, 0, vec![pods, percent]),
            down: fill(down, downscale_window_seconds, vec![percent]),
        }
    }

    /// The rules of `direction`.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> &Rules {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    pub(super) fn each(&self) -> [(Direction, &Rules); 2] {
        [(Direction::Up, &self.up), (Direction::Down, &self.down)]
    }
}

impl Rules {
    /// The longest period of the policies in seconds, 0 without policies: after it an event of this
    /// direction may be overwritten.
    #[must_use]
    pub fn longest_period_seconds(&self) -> i32 {
        self.policies.iter().map(|p| p.period_seconds).max().unwrap_or(0).max(0)
    }

    pub(super) fn faults(&self, direction: Direction, faults: &mut Vec<SpecFault>) {
        if !(0..=3600).contains(&self.stabilization_seconds) {
            faults.push(SpecFault::WindowOutOfRange { direction });
        }
        if self.policies.is_empty() {
            faults.push(SpecFault::NoPolicies { direction });
        }
        for (policy, rule) in self.policies.iter().enumerate() {
            if rule.value < 1 {
                faults.push(SpecFault::PolicyValueNotPositive { direction, policy });
            }
            if !(1..=1800).contains(&rule.period_seconds) {
                faults.push(SpecFault::PeriodOutOfRange { direction, policy });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_behavior_gets_the_defaults_of_the_api_server() {
        let behavior = Behavior::defaulted(None, Some(RulesAsWritten::default()), 300);
        assert_eq!((behavior.up.stabilization_seconds, behavior.down.stabilization_seconds), (0, 300));
        assert_eq!(behavior.up.policies.len(), 2);
        assert_eq!(
            behavior.down.policies,
            [Policy { kind: PolicyKind::Percent, value: 100, period_seconds: 15 }]
        );
    }

    #[test]
    fn a_written_policy_list_replaces_the_default_list_whole() {
        let one = Policy { kind: PolicyKind::Pods, value: 1, period_seconds: 60 };
        let written = RulesAsWritten { policies: Some(vec![one]), ..RulesAsWritten::default() };
        assert_eq!(Behavior::defaulted(Some(written), None, 300).up.policies, [one]);
    }
}
