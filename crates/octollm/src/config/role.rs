//! Which part of the system a process of `serve` is.

use octollm_contract::ArmName;
use std::{collections::BTreeSet, str::FromStr};

/// A process's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything, with worker processes on this machine.
    All,
    /// The orchestrator; arms come over the network.
    Orchestrator,
    /// A worker for these arms, at least one, that leases from orchestrators over the network.
    Arms(BTreeSet<ArmName>),
}

/// The arms that this version has code for.
pub(crate) const BUILT: &[ArmName] = &[ArmName::Planner, ArmName::Executor, ArmName::Coder, ArmName::Judge];

/// The arm of this name, of those that are built.
pub(super) fn built(name: &str) -> Result<ArmName, NotBuilt> {
    let found = BUILT.iter().copied().find(|arm| arm.as_str() == name);
    found.ok_or_else(|| NotBuilt(name.chars().take(80).collect()))
}

/// No arm of this version has the name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not one of {names}", names = BUILT.iter().map(|arm| arm.as_str()).collect::<Vec<_>>().join(", "))]
pub(super) struct NotBuilt(String);

/// What is taken for a role, and why a text is none.
#[derive(Debug, thiserror::Error)]
#[error("it must be all, orchestrator, or arms such as arm:executor,arm:judge; {0}")]
pub(crate) struct NotARole(String);

impl FromStr for Role {
    type Err = NotARole;

    fn from_str(text: &str) -> Result<Self, NotARole> {
        match text {
            "all" => return Ok(Role::All),
            "orchestrator" => return Ok(Role::Orchestrator),
            _ => {}
        }
        let arm = |part: &str| {
            let part = part.trim();
            let name =
                part.strip_prefix("arm:").ok_or_else(|| NotARole(format!("{part:?} is none of them")))?;
            built(name).map_err(|error| NotARole(error.to_string()))
        };
        text.split(',').map(arm).collect::<Result<_, _>>().map(Role::Arms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_everything_or_one_part() {
        let arms = |names: &[ArmName]| Role::Arms(names.iter().copied().collect());
        assert_eq!("all".parse::<Role>().unwrap(), Role::All);
        assert_eq!("orchestrator".parse::<Role>().unwrap(), Role::Orchestrator);
        assert_eq!("arm:coder".parse::<Role>().unwrap(), arms(&[ArmName::Coder]));
        let two = "arm:judge, arm:executor".parse::<Role>().unwrap();
        assert_eq!(two, arms(&[ArmName::Executor, ArmName::Judge]));
        for wrong in [
            "",
            "arm:",
            "arm:boss",
            "arm:guardian",
            "executor",
            "arm:executor,",
            "orchestrator,arm:judge",
            "All",
        ] {
            assert!(wrong.parse::<Role>().is_err(), "{wrong}");
        }
    }
}
