//! What a plan is held against when it goes into a task.
//!
//! Promises: there is one such check. The accept makes it of a plan of the rules, the planner of what
//! its model wrote, and the orchestrator of what the planner hands over; so what one of them takes is
//! refused by none of the others while the task stays as it is.
//!
//! Must not know: who asks.

use crate::{CheckedPlan, DoneStep, Instruction, MAX_STEPS, Plan, PlanFault, Planning};
use octollm_access::Policy;
use octollm_contract::{ArmName, Criterion, Edition};

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
    /// What every orchestrator that may meet the plan can read.
    pub readers: Edition,
    /// Says which criteria could not be used.
    pub unusable: Unusable,
}

/// Why each of these criteria, all that a plan's own judges have, could not be used to judge by; `None`
/// for one that can. `octollm_yardstick::unusable` says it; the schemas that it reads draw entropy, which
/// is not for this crate.
pub type Unusable = fn(&[&Criterion]) -> Vec<Option<String>>;

impl Planning {
    /// The terms that a planner's plan has to keep to; `criteria` are the client's.
    #[must_use]
    pub fn terms(&self, criteria: &[Criterion], unusable: Unusable) -> Terms<'_> {
        let done: Vec<DoneStep> = self.done.iter().map(|finished| finished.step.clone()).collect();
        let behind = done.iter().map(|step| step.place.saturating_add(1)).max().unwrap_or(0);
        let arms = self.arms.iter().map(|offer| offer.arm).filter(|arm| *arm != ArmName::Planner);
        Terms {
            policy: &self.policy,
            arms: arms.collect(),
            criteria: criteria.to_vec(),
            done,
            first: self.first.max(behind),
            readers: self.readers,
            unusable,
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
        let unread = self.steps.iter().filter(|step| step.since() > terms.readers);
        let unread: Vec<PlanFault> =
            unread.map(|step| PlanFault::NotReadByAll { step: step.name.clone() }).collect();
        if !unread.is_empty() {
            return Err(unread);
        }
        // The client's were looked at when the task was accepted.
        let unusable = self.unusable(terms.unusable);
        if !unusable.is_empty() {
            return Err(unusable);
        }
        let private = terms.policy.hosts.iter().filter(|own| own.private).map(|own| &own.host);
        let taken = |name: &crate::StepName| terms.done.iter().any(|step| step.name == *name);
        let plan = self.judged_beside(terms.criteria.clone(), taken).with_private_hosts(private);
        plan.checked(terms.policy, &terms.done, terms.first, MAX_STEPS + 1)
    }

    /// The criteria of its judges by which nothing could be judged: such a judge would only refuse.
    fn unusable(&self, why: Unusable) -> Vec<PlanFault> {
        let judged = self.steps.iter().filter_map(|step| match &step.instruction {
            Instruction::Judge { criteria } => Some((step, criteria)),
            Instruction::Tool(_) | Instruction::Think(_) => None,
        });
        let all: Vec<_> = judged
            .flat_map(|(step, criteria)| {
                (1..).zip(criteria).map(|(number, criterion)| (&step.name, number, criterion))
            })
            .collect();
        let criteria: Vec<&Criterion> = all.iter().map(|(_, _, criterion)| *criterion).collect();
        let found = all.iter().zip(why(&criteria));
        let fault = |((step, number, _), why): (&(&crate::StepName, usize, _), Option<String>)| {
            Some(PlanFault::UnusableCriterion { step: (*step).clone(), number: *number, why: why? })
        };
        found.filter_map(fault).collect()
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

    fn all_fit(_: &[&Criterion]) -> Vec<Option<String>> {
        Vec::new()
    }

    fn criteria() -> Vec<Criterion> {
        vec![Criterion::FreeText("it is short".into())]
    }

    /// The judge's step is added to a plan of any length that an author may write.
    #[test]
    fn a_plan_of_the_greatest_length_is_still_judged() {
        let planning = planning(Policy::default());
        let most = || plan((0..MAX_STEPS).map(|n| step(&format!("s{n}"))).collect());
        let checked = most().settled(&planning.terms(&criteria(), all_fit)).unwrap();
        assert_eq!(checked.steps().len(), MAX_STEPS + 1);
        assert_eq!(checked.steps()[MAX_STEPS].step.arm, ArmName::Judge);
        let mut more = most();
        more.steps.push(step("one-more"));
        let faults = more.settled(&planning.terms(&criteria(), all_fit)).unwrap_err();
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
        let checked = plan(vec![step("a")]).settled(&planning.terms(&criteria(), all_fit)).unwrap();
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
        let checked = plan(vec![asks]).settled(&planning.terms(&[], all_fit)).unwrap();
        assert!(checked.steps()[0].step.capability.hosts.contains(&own(true)));
        let coder = PlanStep { arm: ArmName::Coder, ..step("a") };
        let faults = plan(vec![coder]).settled(&planning.terms(&[], all_fit)).unwrap_err();
        assert!(matches!(faults[..], [PlanFault::ArmNotOffered { arm: ArmName::Coder, .. }]), "{faults:?}");
    }

    /// What only the planner's arm refused before, nobody takes.
    #[test]
    fn a_judge_whose_criterion_cannot_be_used_is_a_fault_of_the_plan() {
        let planning = planning(Policy::default());
        let second = |criteria: &[&Criterion]| {
            criteria.iter().enumerate().map(|(at, _)| (at == 1).then(|| "it is empty".to_owned())).collect()
        };
        let judge = |name: &str| PlanStep {
            arm: ArmName::Judge,
            instruction: Instruction::Judge { criteria: criteria() },
            ..step(name)
        };
        let plan = || plan(vec![step("a"), judge("b"), judge("c")]);
        let faults = plan().settled(&planning.terms(&criteria(), second)).unwrap_err();
        let fault = |step: &str, number| {
            let why = "it is empty".to_owned();
            PlanFault::UnusableCriterion { step: step.parse().unwrap(), number, why }
        };
        assert_eq!(faults, [fault("c", 1)], "all of the plan's together");
        assert!(plan().settled(&planning.terms(&[], all_fit)).is_ok());
    }
}
