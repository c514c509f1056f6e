//! What one step may do.

use crate::Policy;
use crate::policy::BeyondPolicy;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};
use utoipa::ToSchema;

/// What a step may do. The empty capability may compute on its inputs and nothing else.
///
/// A capability is part of the plan: the planner asks for it, [`Policy::grant`] checks it
/// at the accept, and the arm builds the room from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// Absolute paths, without `.` and `..`, below which the step may read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub read_roots: BTreeSet<String>,
    /// The policy's own roots, set when the plan is checked: a root of `read_roots` that is a
    /// link, or lies behind one, counts only where it leads to below one of these. Whoever
    /// may write below a granted root could otherwise link to anything. Empty: `read_roots`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub read_within: BTreeSet<String>,
    /// Hosts that the step may connect to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<NetworkGrant>,
    /// Programs that the step may run, by the name or path that the plan gives.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub commands: BTreeSet<String>,
    /// The step may hand a whole string to `sh -c`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shell: bool,
    /// The step may change the task's workspace.
    #[serde(default, skip_serializing_if = "is_false")]
    pub writes_workspace: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Capability {
    /// Whether nothing in `self` goes beyond `policy`; the error names the first thing that does.
    pub fn check(&self, policy: &Policy) -> Result<(), BeyondPolicy> {
        policy.grant(self)
    }
}

/// A host that may be connected to, and whether it may be on this machine or its network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkGrant {
    /// The host, and the port when only one is meant.
    pub host: HostPort,
    /// The host may resolve to a private, loopback or link-local address: someone who may
    /// decide that named it on purpose.
    #[serde(default, skip_serializing_if = "is_false")]
    pub private: bool,
}

/// `host` or `host:port`: lower-case, no scheme, no path. IPv6 addresses stand in brackets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    host: String,
    port: Option<u16>,
}

impl HostPort {
    /// The host, lower-case; an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, when only one is meant.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether a connection to `host` at `port` is meant.
    #[must_use]
    pub fn covers(&self, host: &str, port: u16) -> bool {
        self.host == spelled(host) && self.port.is_none_or(|own| own == port)
    }

    /// Whether everything that `other` means is meant by `self` too.
    #[must_use]
    pub fn includes(&self, other: &HostPort) -> bool {
        self.host == other.host && (self.port.is_none() || self.port == other.port)
    }
}

/// A host in the one spelling that is kept: `::ffff:127.0.0.1` and `::FFFF:7f00:1` are the same.
fn spelled(host: &str) -> String {
    let address = host.parse::<std::net::Ipv6Addr>();
    address.map_or_else(|_| host.to_ascii_lowercase(), |address| address.to_string())
}

/// A text that is not a host with an optional port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host such as example.org, example.org:8080 or [::1]:80")]
pub struct InvalidHost(String);

impl FromStr for HostPort {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refusal = || InvalidHost(text.chars().take(80).collect());
        let (host, rest) = match text.strip_prefix('[') {
            Some(inner) => {
                let (host, rest) = inner.split_once(']').ok_or_else(refusal)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| refusal())?;
                (host, rest)
            }
            None => {
                let at = text.find(':').unwrap_or(text.len());
                let (host, rest) = text.split_at(at);
                let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
                if host.is_empty() || host.len() > 253 || !host.bytes().all(named) {
                    return Err(refusal());
                }
                (host, rest)
            }
        };
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port.parse::<u16>().ok().filter(|p| *p != 0).ok_or_else(refusal)?),
            None if rest.is_empty() => None,
            None => return Err(refusal()),
        };
        Ok(HostPort { host: spelled(host), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?
        } else {
            f.write_str(&self.host)?
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HostPort {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for HostPort {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("host or host:port"))
            .into()
    }
}

impl ToSchema for HostPort {}

#[cfg(test)]
mod tests {
    use super::*;

    /// However a URL spells an address, the grant of it is found.
    #[test]
    fn an_address_is_granted_in_every_spelling() {
        let spellings = ["::ffff:127.0.0.1", "::ffff:7f00:1", "::FFFF:7F00:0001", "0:0:0:0:0:ffff:127.0.0.1"];
        for grant in spellings {
            let grant: HostPort = format!("[{grant}]:80").parse().unwrap();
            assert!(spellings.iter().all(|asked| grant.covers(asked, 80)), "{grant}");
            assert!(!grant.covers("::ffff:127.0.0.2", 80) && !grant.covers("::ffff:127.0.0.1", 81));
        }
    }

    #[test]
    fn a_host_reads_back_as_itself_or_is_refused() {
        for good in ["example.org", "example.org:8080", "127.0.0.1:80", "[::1]:80", "[fe80::1]"] {
            assert_eq!(good.parse::<HostPort>().map(|h| h.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "http://x", "a/b", "a:0", "a:99999", "a:", "::1", "[::1", "[x]:1", "a b", "user@host"]
        {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }
}
