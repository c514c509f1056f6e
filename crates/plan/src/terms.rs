//! What a plan is held against when it goes into a task.
//!
//! Promises: there is one such check. The accept makes it of a plan of the rules, the planner of what
//! its model wrote, and the orchestrator of what the planner hands over; so what one of them takes is
//! refused by none of the others while the task stays as it is.
//!
//! Must not know: who asks.

use crate::{CheckedPlan, DoneStep, MAX_STEPS, Plan, PlanFault, Planning};
use octollm_access::Policy;
use octollm_contract::{ArmName, Criterion};

/// The terms of a task for a plan of it.
#[derive(Clone, Debug)]
pub struct Terms<'t> {
    /// The most that the plan's steps may do. Its private hosts were named on purpose, so the
    /// steps' own grants of them are marked.
    pub policy: &'t Policy,
    /// The arms that the plan may name, besides the judge.
    pub arms: Vec<ArmName>,
    /// How the result will be judged: by a step that is added to the plan's own.
    pub criteria: Vec<Criterion>,
    /// Steps of earlier plans that the plan may refer to.
    pub done: Vec<DoneStep>,
    /// The place that the first of the plan's steps gets.
    pub first: u16,
}

impl Planning {
    /// The terms that a planner's plan has to keep to; `criteria` are the client's.
    #[must_use]
    pub fn terms(&self, criteria: &[Criterion]) -> Terms<'_> {
        let done: Vec<DoneStep> = self.done.iter().map(|finished| finished.step.clone()).collect();
        let behind = done.iter().map(|step| step.place.saturating_add(1)).max().unwrap_or(0);
        let arms = self.arms.iter().map(|offer| offer.arm).filter(|arm| *arm != ArmName::Planner);
        Terms {
            policy: &self.policy,
            arms: arms.collect(),
            criteria: criteria.to_vec(),
            done,
            first: self.first.max(behind),
        }
    }
}

impl Plan {
    /// The plan as it goes into the task: judged by the client's criteria, its private hosts marked,
    /// and checked. The error holds every fault found.
    pub fn settled(self, terms: &Terms<'_>) -> Result<CheckedPlan, Vec<PlanFault>> {
        // Only the author's own steps count: the judge's is not the author's to save.
        if self.steps.len() > MAX_STEPS {
            return Err(vec![PlanFault::TooManySteps(self.steps.len())]);
        }
        let offered = |arm: ArmName| arm == ArmName::Judge || terms.arms.contains(&arm);
        let strangers = self.steps.iter().filter(|step| !offered(step.arm));
        let strangers: Vec<PlanFault> = strangers
            .map(|step| PlanFault::ArmNotOffered { step: step.name.clone(), arm: step.arm })
            .collect();
        if !strangers.is_empty() {
            return Err(strangers);
        }
        let private = terms.policy.hosts.iter().filter(|own| own.private).map(|own| &own.host);
        let taken = |name: &crate::StepName| terms.done.iter().any(|step| step.name == *name);
        let plan = self.judged_beside(terms.criteria.clone(), taken).with_private_hosts(private);
        plan.checked(terms.policy, &terms.done, terms.first, MAX_STEPS + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArmOffer, Finished, Instruction, PlanStep, ValueType};
    use octollm_access::Capability;

    fn step(name: &str) -> PlanStep {
        PlanStep {
            name: name.parse().unwrap(),
            arm: ArmName::Executor,
            summary: String::new(),
            instruction: Instruction::Think("look".into()),
            inputs: Default::default(),
            needs: Vec::new(),
            capability: Capability::default(),
            time_limit: None,
        }
    }

    fn plan(steps: Vec<PlanStep>) -> Plan {
        let result = steps.iter().take(1).map(|step| step.name.clone()).collect();
        Plan { steps, result }
    }

    fn planning(policy: Policy) -> Planning {
        let arms = vec![ArmOffer { arm: ArmName::Executor, tools: Vec::new(), thinks: true }];
        Planning { policy, arms, ..Planning::default() }
    }

    fn criteria() -> Vec<Criterion> {
        vec![Criterion::FreeText("it is short".into())]
    }

    /// The judge's step is added to a plan of any length that an author may write.
    #[test]
    fn a_plan_of_the_greatest_length_is_still_judged() {
        let planning = planning(Policy::default());
        let most = || plan((0..MAX_STEPS).map(|n| step(&format!("s{n}"))).collect());
        let checked = most().settled(&planning.terms(&criteria())).unwrap();
        assert_eq!(checked.steps().len(), MAX_STEPS + 1);
        assert_eq!(checked.steps()[MAX_STEPS].step.arm, ArmName::Judge);
        let mut more = most();
        more.steps.push(step("one-more"));
        let faults = more.settled(&planning.terms(&criteria())).unwrap_err();
        assert_eq!(faults, [PlanFault::TooManySteps(MAX_STEPS + 1)]);
    }

    /// The judge's step takes no name that a step of an earlier plan has.
    #[test]
    fn the_judge_s_step_has_a_name_of_its_own() {
        let done = DoneStep {
            name: "judge".parse().unwrap(),
            place: 1,
            yields: vec![ValueType::Text],
            wrote: false,
        };
        let finished =
            Finished { step: done, arm: ArmName::Executor, summary: String::new(), text: String::new() };
        let planning = Planning { done: vec![finished], first: 7, ..planning(Policy::default()) };
        let checked = plan(vec![step("a")]).settled(&planning.terms(&criteria())).unwrap();
        let names: Vec<&str> = checked.steps().iter().map(|checked| checked.step.name.as_str()).collect();
        assert_eq!((names, checked.first()), (vec!["a", "judge-2"], 7));
    }

    /// P6: what the policy calls private on purpose is marked, and an arm that is not offered refused.
    #[test]
    fn private_hosts_are_marked_and_arms_must_be_offered() {
        let own = |private| octollm_access::NetworkGrant { host: "localhost:1".parse().unwrap(), private };
        let policy = Policy { hosts: [own(true)].into(), ..Policy::default() };
        let planning = planning(policy);
        let mut asks = step("a");
        asks.capability.hosts.insert(own(false));
        let checked = plan(vec![asks]).settled(&planning.terms(&[])).unwrap();
        assert!(checked.steps()[0].step.capability.hosts.contains(&own(true)));
        let coder = PlanStep { arm: ArmName::Coder, ..step("a") };
        let faults = plan(vec![coder]).settled(&planning.terms(&[])).unwrap_err();
        assert!(matches!(faults[..], [PlanFault::ArmNotOffered { arm: ArmName::Coder, .. }]), "{faults:?}");
    }
}
