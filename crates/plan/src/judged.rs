//! A plan whose result is checked: the judge's step at its end.

use crate::{Instruction, Plan, PlanStep, Reference, StepName, ToolCall, ValueType};
use octollm_access::Capability;
use octollm_contract::{ArmName, Criterion, api::StructuredCriterion};

impl Plan {
    /// This plan with a last step that judges the whole outputs of its result steps, in the
    /// order of the result; the plan unchanged when there is nothing to judge by.
    ///
    /// Where a criterion looks at an exit code, a program that ends with another code than 0
    /// has a result to be judged, and its step does not fail.
    #[must_use]
    pub fn judged_by(self, criteria: Vec<impl Into<Criterion>>) -> Plan {
        self.judged_beside(criteria.into_iter().map(Into::into).collect(), |_| false)
    }

    /// The same where some names are `taken` by steps of earlier plans.
    pub(crate) fn judged_beside(
        mut self,
        criteria: Vec<Criterion>,
        taken: impl Fn(&StepName) -> bool,
    ) -> Plan {
        if criteria.is_empty() {
            return self;
        }
        let by_exit_code = criteria.iter().any(|criterion| {
            matches!(criterion, Criterion::Structured(StructuredCriterion::ExitCode { .. }))
        });
        for step in self.steps.iter_mut().filter(|_| by_exit_code) {
            if let Instruction::Tool(
                ToolCall::Shell { any_exit, .. } | ToolCall::ShellString { any_exit, .. },
            ) = &mut step.instruction
            {
                *any_exit = true;
            }
        }
        let whole = |(place, step): (usize, &StepName)| {
            // Two digits, so that the names sort as the result does; a plan has at most 64 steps.
            let name = format!("result-{place:02}").parse().ok()?;
            Some((name, Reference { step: step.clone(), output: ValueType::Whole }))
        };
        let inputs = self.result.iter().enumerate().filter_map(whole).collect();
        let free = |name: &StepName| !taken(name) && self.steps.iter().all(|step| step.name != *name);
        let names = std::iter::once("judge".to_owned()).chain((2..).map(|n| format!("judge-{n}")));
        let name = names.filter_map(|name| name.parse().ok()).find(free);
        self.steps.extend(name.map(|name| PlanStep {
            name,
            arm: ArmName::Judge,
            summary: "check the result against the acceptance criteria".to_owned(),
            instruction: Instruction::Judge { criteria },
            inputs,
            needs: Vec::new(),
            capability: Capability::default(),
            time_limit: None,
        }));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(program: &str) -> Plan {
        let name: StepName = "judge".parse().unwrap();
        let call = ToolCall::Shell { argv: vec![program.into()], stdin: None, any_exit: false };
        let step = PlanStep {
            name: name.clone(),
            arm: ArmName::Executor,
            summary: String::new(),
            instruction: Instruction::Tool(call),
            inputs: Default::default(),
            needs: Vec::new(),
            capability: Capability { commands: [program.to_owned()].into(), ..Capability::default() },
            time_limit: None,
        };
        Plan { steps: vec![step], result: vec![name] }
    }

    fn lets_any_exit(plan: &Plan) -> bool {
        matches!(&plan.steps[0].instruction, Instruction::Tool(ToolCall::Shell { any_exit: true, .. }))
    }

    #[test]
    fn the_judge_sees_the_result_and_only_exit_criteria_forgive_an_exit_code() {
        let policy = octollm_access::Policy { commands: ["x".to_owned()].into(), ..Default::default() };
        assert_eq!(runs("x").judged_by(Vec::<Criterion>::new()), runs("x"));
        let plan = runs("x").judged_by(vec![StructuredCriterion::Contains { text: "a".into() }]);
        assert!(!lets_any_exit(&plan));
        let checked = plan.check(&policy).unwrap();
        assert_eq!(checked.steps()[1].needs, [0]);
        assert_eq!(checked.result(), [0]);
        assert_eq!(checked.steps()[1].step.name.as_str(), "judge-2");
        assert!(lets_any_exit(&runs("x").judged_by(vec![StructuredCriterion::ExitCode { equals: 1 }])));
    }
}
