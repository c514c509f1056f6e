//! What a key's tasks may do at most.

use crate::{Capability, NetworkGrant};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    path::{Component, Path},
};
use utoipa::ToSchema;

/// The most that the steps of a key's tasks may do. The empty policy allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Absolute paths below which steps may read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub read_roots: BTreeSet<String>,
    /// Hosts that steps may connect to; `private` must be set for hosts of the own network.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<NetworkGrant>,
    /// Steps may connect to any host that resolves to public addresses only.
    #[serde(default)]
    pub any_public_host: bool,
    /// Programs that steps may run.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub commands: BTreeSet<String>,
    /// Steps may run any program, in a locked room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_command: bool,
    /// Steps may hand whole strings to `sh -c`.
    #[serde(default)]
    pub shell: bool,
    /// What a person must approve before it is done.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub approvals: BTreeSet<Approval>,
}

/// A kind of act that a person must approve first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// Running any program.
    Command,
    /// Connecting to any host.
    Network,
    /// Changing the workspace.
    Write,
}

/// The first thing of a capability that a policy does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeyondPolicy {
    /// A path below no granted root, or one that is not absolute and plain.
    #[error("reading {0} is not allowed: it lies below none of the policy's read_roots")]
    ReadRoot(String),
    /// A host that is not granted.
    #[error("connecting to {0} is not allowed by the policy's hosts")]
    Host(String),
    /// A host of the own network that is granted only for public addresses.
    #[error(
        "connecting to {0} on this machine's own network is not allowed: the policy must name it as private"
    )]
    PrivateHost(String),
    /// A program that is not granted.
    #[error("running {0} is not allowed by the policy's commands")]
    Command(String),
    /// Shell strings are not granted.
    #[error("handing a string to the shell is not allowed by the policy")]
    Shell,
}

impl Policy {
    /// What the first admin key of an all-in-one `serve` gets: read `/tmp`; no network, no commands.
    #[must_use]
    pub fn default_admin() -> Self {
        Policy { read_roots: BTreeSet::from(["/tmp".to_owned()]), ..Policy::default() }
    }

    /// Whether nothing in `asked` goes beyond this policy.
    pub fn grant(&self, asked: &Capability) -> Result<(), BeyondPolicy> {
        if let Some(path) = asked.read_roots.iter().find(|path| !self.may_read(path)) {
            return Err(BeyondPolicy::ReadRoot(path.clone()));
        }
        asked.hosts.iter().try_for_each(|host| self.may_connect(host))?;
        let may_run = |program: &&String| self.any_command || self.commands.contains(*program);
        if let Some(program) = asked.commands.iter().find(|program| !may_run(program)) {
            return Err(BeyondPolicy::Command(program.clone()));
        }
        if asked.shell && !self.shell { Err(BeyondPolicy::Shell) } else { Ok(()) }
    }

    /// Whether `asked` holds something that a person must approve first.
    #[must_use]
    pub fn needs_approval(&self, asked: &Capability) -> bool {
        self.approvals.iter().any(|kind| match kind {
            Approval::Command => asked.shell || !asked.commands.is_empty(),
            Approval::Network => !asked.hosts.is_empty(),
            Approval::Write => asked.writes_workspace,
        })
    }

    fn may_read(&self, path: &str) -> bool {
        let path = Path::new(path);
        let plain = path.is_absolute()
            && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        // `Path::starts_with` compares whole components: /tmpx is not below /tmp.
        plain && self.read_roots.iter().any(|root| path.starts_with(root))
    }

    fn may_connect(&self, asked: &NetworkGrant) -> Result<(), BeyondPolicy> {
        let mut named = self.hosts.iter().filter(|own| own.host.includes(&asked.host)).peekable();
        if named.peek().is_none() && !self.any_public_host {
            return Err(BeyondPolicy::Host(asked.host.to_string()));
        }
        if asked.private && !named.any(|own| own.private) {
            return Err(BeyondPolicy::PrivateHost(asked.host.to_string()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(path: &str) -> Capability {
        Capability { read_roots: BTreeSet::from([path.to_owned()]), ..Capability::default() }
    }

    /// P6: the default admin policy reads /tmp and nothing that only looks like it.
    #[test]
    fn the_default_admin_reads_below_tmp_only() {
        let policy = Policy::default_admin();
        assert_eq!(policy.grant(&reads("/tmp/a/b")), Ok(()));
        for path in ["/", "/tmpx", "/tmp/../etc", "tmp", "", "/etc"] {
            assert_eq!(policy.grant(&reads(path)), Err(BeyondPolicy::ReadRoot(path.into())));
        }
    }

    #[test]
    fn a_public_grant_does_not_open_the_own_network() {
        let grant = |host: &str, private| NetworkGrant { host: host.parse().unwrap(), private };
        let asks = |g: NetworkGrant| Capability { hosts: BTreeSet::from([g]), ..Capability::default() };
        let policy = Policy {
            hosts: BTreeSet::from([grant("a.org", false), grant("b.org", true)]),
            ..Policy::default()
        };
        assert_eq!(policy.grant(&asks(grant("a.org:443", false))), Ok(()));
        assert_eq!(policy.grant(&asks(grant("b.org:80", true))), Ok(()));
        assert!(matches!(policy.grant(&asks(grant("a.org", true))), Err(BeyondPolicy::PrivateHost(_))));
        assert!(matches!(policy.grant(&asks(grant("c.org", false))), Err(BeyondPolicy::Host(_))));
        let open = Policy { any_public_host: true, ..Policy::default() };
        assert_eq!(open.grant(&asks(grant("c.org", false))), Ok(()));
        assert!(matches!(open.grant(&asks(grant("c.org", true))), Err(BeyondPolicy::PrivateHost(_))));
    }

    #[test]
    fn what_is_not_named_is_refused() {
        let policy = Policy::default();
        assert_eq!(policy.grant(&Capability::default()), Ok(()));
        let command = Capability { commands: BTreeSet::from(["ls".into()]), ..Capability::default() };
        assert_eq!(policy.grant(&command), Err(BeyondPolicy::Command("ls".into())));
        assert_eq!(Policy { any_command: true, ..Policy::default() }.grant(&command), Ok(()));
        assert_eq!(
            policy.grant(&Capability { shell: true, ..Capability::default() }),
            Err(BeyondPolicy::Shell)
        );
    }
}
