//! A policy as it is asked for: in the order it was written, and not checked yet.
//!
//! Promises (P8): what becomes a [`Policy`] can be honoured, so that nobody holds a key that seems to
//! grant something and grants nothing, or more than was meant; a refusal names the entry.

use crate::{Approval, NetworkGrant, Policy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A list has at most so many entries.
const ENTRIES_MAX: usize = 256;
/// An entry has at most so many bytes, as a path on Linux.
const ENTRY_BYTES_MAX: usize = 4096;

/// The most that the steps of a key's tasks may do. What is left out is not allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyAsk {
    /// Absolute paths, without `.` and `..`, below which steps may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read_roots: Vec<String>,
    /// Hosts that steps may connect to; `private` must be set for hosts of the own network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<NetworkGrant>,
    /// Steps may connect to any host that resolves to public addresses only.
    pub any_public_host: bool,
    /// Programs that steps may run: names, or absolute paths; without arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// Steps may run any program, in a locked room.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub any_command: bool,
    /// Steps may hand whole strings to `sh -c`.
    pub shell: bool,
    /// What a person must approve before it is done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
}

/// Why a policy cannot be had: the entry, and what is taken there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct InvalidPolicy {
    /// The entry at fault, such as `read_roots[0]`.
    pub field: String,
    /// What is taken there.
    pub detail: String,
}

impl PolicyAsk {
    /// The policy, if every entry of it can be honoured; the error names the first that cannot.
    pub fn checked(self) -> Result<Policy, InvalidPolicy> {
        Ok(Policy {
            read_roots: each("read_roots", self.read_roots, root)?,
            hosts: hosts(self.hosts)?,
            any_public_host: self.any_public_host,
            commands: each("commands", self.commands, command)?,
            any_command: self.any_command,
            shell: self.shell,
            approvals: each("approvals", self.approvals, Ok)?,
        })
    }
}

/// The checked entries of the list `name`, none of which is there twice.
fn each<T, U: Ord>(
    name: &str,
    list: Vec<T>,
    check: impl Fn(T) -> Result<U, String>,
) -> Result<BTreeSet<U>, InvalidPolicy> {
    if list.len() > ENTRIES_MAX {
        let detail = format!("at most {ENTRIES_MAX} entries are taken");
        return Err(InvalidPolicy { field: name.to_owned(), detail });
    }
    let mut checked = BTreeSet::new();
    for (at, entry) in list.into_iter().enumerate() {
        let refused = |detail| InvalidPolicy { field: format!("{name}[{at}]"), detail };
        let entry = check(entry).map_err(refused)?;
        if !checked.insert(entry) {
            return Err(refused("the entry is there twice".to_owned()));
        }
    }
    Ok(checked)
}

/// A host that is there with and without `private` is there twice: nobody can tell what was meant.
fn hosts(list: Vec<NetworkGrant>) -> Result<BTreeSet<NetworkGrant>, InvalidPolicy> {
    each("hosts", list.iter().collect(), |grant| Ok(&grant.host))?;
    Ok(list.into_iter().collect())
}

fn root(root: String) -> Result<String, String> {
    let trimmed = if root.len() > 1 { root.strip_suffix('/').unwrap_or(&root) } else { &root };
    let plain = root == "/" || trimmed.strip_prefix('/').is_some_and(is_plain);
    if plain && fits(&root) {
        Ok(trimmed.to_owned())
    } else {
        Err(format!("{} is no absolute path without `.`, `..` and empty parts", shown(&root)))
    }
}

fn command(command: String) -> Result<String, String> {
    let spaced = command.contains(char::is_whitespace);
    let is_path = command.strip_prefix('/').is_some_and(is_plain);
    let is_name = !command.contains('/') && is_plain(&command) && !command.starts_with('-');
    if !spaced && fits(&command) && (is_path || is_name) {
        Ok(command)
    } else {
        Err(format!(
            "{} is no program's name such as `git` and no absolute path such as `/usr/bin/git`; arguments are not part of it",
            shown(&command)
        ))
    }
}

fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn fits(entry: &str) -> bool {
    entry.len() <= ENTRY_BYTES_MAX && !entry.contains(char::is_control)
}

fn shown(entry: &str) -> String {
    format!("{:?}", entry.chars().take(80).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_of(policy: PolicyAsk) -> Option<String> {
        policy.checked().err().map(|invalid| invalid.field)
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    /// P8: an entry that could not be honoured is refused by its place in the list as it was sent.
    #[test]
    fn a_policy_that_cannot_be_honoured_is_refused_by_its_entry() {
        for root in
            ["", "tmp", "./tmp", "~", "/tmp/..", "/tmp/../etc", "/./tmp", "/a//b", "//", "/a\u{7}", "/a//"]
        {
            let policy = PolicyAsk { read_roots: texts(&["/usr", root]), ..PolicyAsk::default() };
            assert_eq!(field_of(policy).as_deref(), Some("read_roots[1]"), "{root:?}");
        }
        for command in
            ["", " ", "ls -l", "bin/ls", "./ls", "..", ".", "/", "/bin/", "/bin/../ls", "-ls", "ls\n"]
        {
            let policy = PolicyAsk { commands: texts(&["git", command]), ..PolicyAsk::default() };
            assert_eq!(field_of(policy).as_deref(), Some("commands[1]"), "{command:?}");
        }
        let grant = |host: &str, private| NetworkGrant { host: host.parse().unwrap(), private };
        for (policy, field) in [
            (PolicyAsk { read_roots: texts(&["/b", "/a", "/b/"]), ..PolicyAsk::default() }, "read_roots[2]"),
            (PolicyAsk { commands: texts(&["b", "a", "a"]), ..PolicyAsk::default() }, "commands[2]"),
            (
                PolicyAsk {
                    hosts: vec![grant("b", false), grant("a", true), grant("B", true)],
                    ..PolicyAsk::default()
                },
                "hosts[2]",
            ),
            (
                PolicyAsk { approvals: vec![Approval::Write, Approval::Write], ..PolicyAsk::default() },
                "approvals[1]",
            ),
            (
                PolicyAsk { commands: (0..257).map(|n| format!("c{n}")).collect(), ..PolicyAsk::default() },
                "commands",
            ),
        ] {
            assert_eq!(field_of(policy.clone()).as_deref(), Some(field), "{policy:?}");
        }
    }

    #[test]
    fn a_policy_that_can_be_honoured_is_had() {
        let ask = PolicyAsk {
            read_roots: texts(&["/", "/tmp/", "/srv/a b/..c"]),
            commands: texts(&["git", "g++", "/usr/bin/env"]),
            ..PolicyAsk::default()
        };
        let policy = ask.checked().unwrap();
        assert_eq!(policy.read_roots, texts(&["/", "/tmp", "/srv/a b/..c"]).into_iter().collect());
        assert_eq!(policy.commands, texts(&["git", "g++", "/usr/bin/env"]).into_iter().collect());
    }
}
