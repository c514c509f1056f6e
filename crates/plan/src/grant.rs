//! The policy that grants exactly what a plan asks, and who may name a host of the own network.
//!
//! The rules planner asks for a host with `private: false`: a goal that names
//! `http://localhost:8080/` is no permission to reach this machine's own network. Whoever may
//! decide names such hosts on purpose: for `octollm run` the user with `--allow-host`, for
//! `serve` the key's policy with hosts that are `private`. [`Plan::with_private_hosts`] then marks
//! the steps' own grants, before the plan is checked, and the arm refuses private addresses to
//! every grant that is not marked.
//!
//! Promises: marking adds no host to a step; [`Plan::exactly`] grants nothing that no step asks for.

use crate::Plan;
use octollm_access::{HostPort, NetworkGrant, Policy};
use std::collections::BTreeSet;

impl Plan {
    /// The plan, with every host that a step asks for and that one of `named` includes marked as
    /// one that may lie in the own network. A name without a port includes every port.
    #[must_use]
    pub fn with_private_hosts<'h>(mut self, named: impl IntoIterator<Item = &'h HostPort>) -> Plan {
        let named: Vec<&HostPort> = named.into_iter().collect();
        for step in &mut self.steps {
            let asked = std::mem::take(&mut step.capability.hosts);
            step.capability.hosts = asked
                .into_iter()
                .map(|grant| {
                    let private = grant.private || named.iter().any(|own| own.includes(&grant.host));
                    NetworkGrant { private, ..grant }
                })
                .collect();
        }
        self
    }

    /// The policy that grants what the steps ask for and nothing else, for `octollm run`, whose
    /// user asked for the plan. Nothing needs an approval.
    #[must_use]
    pub fn exactly(&self) -> Policy {
        let mut policy = Policy {
            read_roots: BTreeSet::new(),
            hosts: BTreeSet::new(),
            any_public_host: false,
            commands: BTreeSet::new(),
            any_command: false,
            shell: false,
            approvals: BTreeSet::new(),
        };
        for step in &self.steps {
            let asked = &step.capability;
            policy.read_roots.extend(asked.read_roots.iter().cloned());
            policy.hosts.extend(asked.hosts.iter().cloned());
            policy.commands.extend(asked.commands.iter().cloned());
            policy.shell |= asked.shell;
        }
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Place, plan};
    use octollm_access::BeyondPolicy;

    fn goal(goal: &str) -> Plan {
        plan(goal, &Place::default()).unwrap()
    }

    fn host(text: &str) -> HostPort {
        text.parse().unwrap()
    }

    /// P6: the policy made from a plan lets that plan pass and grants nothing beyond it.
    #[test]
    fn a_plan_passes_the_policy_that_is_exactly_its_own() {
        let plan = goal("list /tmp/a, read /etc/hosts, fetch http://example.org:81/ and run `uname -a`");
        let policy = plan.exactly();
        insta::assert_snapshot!(serde_json::to_string(&policy).unwrap(), @r#"{"read_roots":["/etc/hosts","/tmp/a"],"hosts":[{"host":"example.org:81"}],"any_public_host":false,"commands":["uname"],"shell":false}"#);
        assert!(plan.check(&policy).is_ok());
        for other in ["list /tmp", "read /etc/passwd", "fetch http://example.org/", "run id"] {
            assert!(goal(other).check(&policy).is_err(), "{other}");
        }
    }

    /// P6: a goal alone opens no private host; one named on purpose is opened at that port only.
    #[test]
    fn a_private_host_is_marked_only_when_it_is_named() {
        let plan = goal("fetch http://localhost:8080/ and fetch http://127.0.0.1/");
        assert!(plan.exactly().hosts.iter().all(|grant| !grant.private));
        for (named, marked) in
            [("localhost", 1), ("localhost:8080", 1), ("localhost:80", 0), ("127.0.0.1", 1)]
        {
            let marked_plan = plan.clone().with_private_hosts(&[host(named)]);
            assert_eq!(marked_plan.exactly().hosts.iter().filter(|g| g.private).count(), marked, "{named}");
            assert_eq!(marked_plan.exactly().hosts.len(), 2);
            let public = Policy { any_public_host: true, ..Policy::default() };
            let refused = marked_plan
                .steps
                .iter()
                .any(|s| matches!(public.grant(&s.capability), Err(BeyondPolicy::PrivateHost(_))));
            assert_eq!(refused, marked == 1, "{named}");
        }
    }
}
