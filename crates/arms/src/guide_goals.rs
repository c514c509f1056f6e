//! The simulated model's own answers, played to the arms: what the built-in script of `llm-sim`
//! says about the guide's goals is something that the arms can work with.

use crate::{
    Arm, Coder, Executor, ExecutorSettings, Judge, Planner, Work,
    think::scripted::{Pieces, calls, says, thinking},
    worker::unreliable::UnreliableLeases,
};
use octollm_access::{Capability, Policy};
use octollm_client::{Completion, Decision, VerdictReport};
use octollm_contract::{ArmName, Criterion};
use octollm_plan::{ArmOffer, Brief, InputValue, Instruction, Planning, StepOutput};
use octollm_sandbox::Kernel;
use serde_json::Value;
use std::sync::Arc;

/// A rule of the script.
fn written(name: &str) -> Value {
    let script: toml::Table = include_str!("../../llm/src/sim/default.toml").parse().unwrap();
    let script = serde_json::to_value(script).unwrap();
    let rules = script["rule"].as_array().unwrap();
    rules.iter().find(|rule| rule["name"] == name).unwrap_or_else(|| panic!("no rule {name}")).clone()
}

/// What the arm asked first is what the rule waits for: its patterns fit the prompts.
fn is_for(name: &str, leases: &UnreliableLeases) {
    let rule = written(name);
    let asked = leases.asked();
    let (system, user) = (asked[0].ask.messages[0].text(), asked[0].ask.messages[1].text());
    for (pattern, text) in [(&rule["system"], system), (&rule["user"], user)] {
        if let Some(pattern) = pattern.as_str() {
            assert!(regex::Regex::new(pattern).unwrap().is_match(text), "{name}: {pattern} is not in {text}");
        }
    }
    let tools: Vec<&str> = asked[0].ask.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert!(rule["tool"].as_str().is_none_or(|tool| tools.contains(&tool)), "{name}: {tools:?}");
}

/// The answers of a rule of the script, with `holes` filled in.
fn rule(name: &str, holes: &[(&str, &str)]) -> Vec<Pieces> {
    let rule = written(name);
    let filled = |text: &str| {
        holes
            .iter()
            .fold(text.to_owned(), |text, (hole, value)| text.replace(&format!("{{{{{hole}}}}}"), value))
    };
    let answer = |answer: &Value| match (answer["json"].as_str(), answer["tool_calls"].as_array()) {
        (Some(json), _) => says(filled(json)),
        (None, Some(made)) => {
            let made: Vec<(&str, Value)> =
                made.iter().map(|call| (call["name"].as_str().unwrap(), call["arguments"].clone())).collect();
            calls(&made)
        }
        (None, None) => says(answer["text"].as_str().unwrap()),
    };
    rule["answer"].as_array().unwrap().iter().map(answer).collect()
}

async fn perform(
    arm: &dyn Arm,
    mut work: Work,
    change: impl FnOnce(&mut octollm_client::Grant),
) -> Completion {
    change(Arc::get_mut(&mut work.grant).unwrap());
    arm.perform(work).await.unwrap()
}

/// The simulated plan is read, passes the policy, and has this step.
async fn planned(name: &str, goal: &str, holes: &[(&str, &str)], policy: Policy) -> octollm_plan::PlanStep {
    let (work, leases) = thinking(ArmName::Planner, Instruction::Think("plan".into()), rule(name, holes));
    let offer = |arm| ArmOffer { arm, tools: Vec::new(), thinks: true };
    let arms = [ArmName::Executor, ArmName::Coder, ArmName::Judge].map(offer).to_vec();
    let planning = Planning { policy, arms, ..Planning::default() };
    let brief = Brief { goal: goal.into(), planning: Some(Box::new(planning)), ..Brief::default() };
    let done = perform(&Planner, work, |grant| grant.brief = Some(Box::new(brief))).await;
    is_for(name, &leases);
    let Some(Decision::Plan(mut plan)) = done.decision else { panic!("{name}: {done:?}") };
    assert_eq!(plan.steps.len(), 1);
    plan.steps.remove(0)
}

#[tokio::test]
async fn the_script_of_the_simulated_model_reaches_the_guide_s_goals() {
    let scratch = tempfile::tempdir().unwrap();
    let settings =
        ExecutorSettings { scratch: scratch.path().to_owned(), closed: Vec::new(), kernel: Kernel::probe() };
    let may = |read: &str, command: &str| Policy {
        read_roots: [read.to_owned()].into(),
        commands: [command.to_owned()].into(),
        ..Policy::default()
    };
    let listing =
        planned("plan-list-files", "List files in /tmp directory", &[("folder", "/tmp")], may("/tmp", "x"))
            .await;
    assert!(matches!(listing.instruction, Instruction::Tool(_)));

    let sort = "Write a Python function to sort a list";
    let brief = |goal: &str| Some(Box::new(Brief { goal: goal.into(), ..Brief::default() }));
    for (plan, code, tested) in [
        ("plan-sort-a-list-tested", "code-sort-a-list-tested", settings.kernel.can_lock().is_ok()),
        ("plan-sort-a-list", "code-sort-a-list", false),
    ] {
        let mut step = planned(plan, sort, &[], may("/x", "python3")).await;
        if !code.ends_with("-tested") {
            step.capability.commands.clear();
        }
        if code.ends_with("-tested") && !tested {
            continue; // no room on this machine
        }
        let (work, leases) = thinking(ArmName::Coder, step.instruction.clone(), rule(code, &[]));
        let done = perform(&Coder::new(settings.clone()), work, |grant| {
            grant.spec = step;
            grant.brief = brief(sort);
        })
        .await;
        is_for(code, &leases);
        assert_eq!(done.output.data["ran_well"], tested, "{}", done.output.text);
        assert_eq!(done.output.data["files"], serde_json::json!(["sort_list.py", "test_sort_list.py"]));
        assert_eq!(leases.asked().len(), if tested { 3 } else { 2 });
    }

    let analyse = "Analyze security of a web application";
    let step = planned("plan-web-security", analyse, &[], Policy::default()).await;
    let (work, leases) =
        thinking(ArmName::Executor, step.instruction.clone(), rule("analyse-web-security", &[]));
    let done = perform(&Executor::new(settings), work, |grant| {
        grant.spec = step;
        grant.brief = brief(analyse);
    })
    .await;
    is_for("analyse-web-security", &leases);
    assert!(done.output.text.contains("Authentication"));
    assert_eq!(done.output.exit_code, None);

    let quote = [("quote", "passwords are hashed")];
    for (name, count) in [("verdict-of-one", 1), ("verdict-of-two", 2), ("verdict-of-three", 3)] {
        let criteria = vec![Criterion::FreeText("It is said.".into()); count];
        let (work, leases) = thinking(ArmName::Judge, Instruction::Judge { criteria }, rule(name, &quote));
        let result: StepOutput = done.output.clone();
        let judged = perform(&Judge, work, |grant| {
            grant.spec.capability = Capability::default();
            grant.inputs.insert("r".parse().unwrap(), InputValue::Whole(Box::new(result)));
        })
        .await;
        is_for(name, &leases);
        assert_eq!(
            judged.decision,
            Some(Decision::Verdict(VerdictReport::Accepted)),
            "{}",
            judged.output.text
        );
    }
}
