//! The checks of a plan: each fault has a plan that shows it, and the laws of a checked plan
//! hold for plans that nobody would write.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail by panicking")]

use octollm_access::{Approval, Capability, Policy};
use octollm_contract::{ArmName, Criterion, api::StructuredCriterion};
use octollm_plan::{
    Arg, CheckedPlan, CountWhat, DoneStep, Instruction, MAX_STEPS, Plan, PlanFault, PlanStep, Reference,
    StepName, ToolCall, ValueType,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn step(name: &str, needs: &[&str]) -> PlanStep {
    let call = ToolCall::Hash {
        kind: Default::default(),
        paths: Some(Arg::Given(vec!["/tmp/a".into()])),
        text: None,
    };
    PlanStep {
        name: name.parse().unwrap(),
        arm: ArmName::Executor,
        summary: String::new(),
        instruction: Instruction::Tool(call),
        inputs: BTreeMap::new(),
        needs: needs.iter().map(|need| need.parse().unwrap()).collect(),
        capability: Capability::default(),
        time_limit: None,
    }
}

fn tool(name: &str, call: ToolCall) -> PlanStep {
    PlanStep { instruction: Instruction::Tool(call), ..step(name, &[]) }
}

fn writer(name: &str, needs: &[&str]) -> PlanStep {
    let call = ToolCall::WriteFile { path: "a".into(), content: Arg::Given(String::new()) };
    let capability = Capability { writes_workspace: true, ..Capability::default() };
    PlanStep { instruction: Instruction::Tool(call), capability, ..step(name, needs) }
}

fn with_input(mut step: PlanStep, input: &str, from: &str, output: ValueType) -> PlanStep {
    step.inputs.insert(input.parse().unwrap(), Reference { step: from.parse().unwrap(), output });
    step
}

/// A plan whose result is its first step.
fn plan(steps: Vec<PlanStep>) -> Plan {
    let result = steps.iter().take(1).map(|step| step.name.clone()).collect();
    Plan { steps, result }
}

fn names(checked: &CheckedPlan) -> Vec<&str> {
    checked.steps().iter().map(|step| step.step.name.as_str()).collect()
}

/// The faults of a plan under the empty policy, as text.
fn faults(plan: Plan) -> String {
    let faults = plan.check(&Policy::default()).expect_err("the plan has a fault");
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plan_has_steps_and_not_too_many() {
    assert_eq!(plan(vec![]).check(&Policy::default()), Err(vec![PlanFault::Empty]));
    let many = |n: usize| plan((0..n).map(|i| step(&format!("s{i}"), &[])).collect());
    assert!(many(MAX_STEPS).check(&Policy::default()).is_ok());
    assert_eq!(
        many(MAX_STEPS + 1).check(&Policy::default()),
        Err(vec![PlanFault::TooManySteps(MAX_STEPS + 1)])
    );
}

#[test]
fn names_are_unique_and_references_lead_to_steps() {
    insta::assert_snapshot!(faults(plan(vec![step("a", &[]), step("a", &[])])), @"two steps are called a");
    insta::assert_snapshot!(faults(plan(vec![step("a", &["b"])])), @"a refers to b, which is not a step of the plan");
    let unknown = with_input(step("a", &[]), "x", "b", ValueType::Text);
    insta::assert_snapshot!(faults(plan(vec![unknown])), @"a refers to b, which is not a step of the plan");
    let lost = Plan { result: vec!["b".parse().unwrap()], ..plan(vec![step("a", &[])]) };
    insta::assert_snapshot!(faults(lost), @"result refers to b, which is not a step of the plan");
}

#[test]
fn the_result_names_steps_once_each() {
    let none = Plan { result: vec![], ..plan(vec![step("a", &[])]) };
    assert_eq!(none.check(&Policy::default()), Err(vec![PlanFault::BadResult]));
    let twice = Plan { result: vec!["a".parse().unwrap(); 2], ..plan(vec![step("a", &[])]) };
    assert_eq!(twice.check(&Policy::default()), Err(vec![PlanFault::BadResult]));
}

#[test]
fn steps_that_wait_for_each_other_are_named() {
    let plan = plan(vec![step("a", &["b"]), step("b", &["a"]), step("c", &[])]);
    insta::assert_snapshot!(faults(plan), @"the steps a, b wait for each other");
    let own = self::plan(vec![step("a", &["a"])]);
    insta::assert_snapshot!(faults(own), @"the steps a wait for each other");
}

#[test]
fn an_arm_gets_only_what_it_does() {
    let coder = PlanStep { arm: ArmName::Coder, ..step("a", &[]) };
    insta::assert_snapshot!(faults(plan(vec![coder])), @"a: the coder arm does not take this kind of instruction");
    let think = |arm| PlanStep { arm, instruction: Instruction::Think("why".into()), ..step("a", &[]) };
    insta::assert_snapshot!(faults(plan(vec![think(ArmName::Judge)])), @"a: the judge arm does not take this kind of instruction");
    for arm in [ArmName::Planner, ArmName::Executor, ArmName::Coder] {
        assert!(plan(vec![think(arm)]).check(&Policy::default()).is_ok(), "{arm}");
    }
    let judge = |criteria| PlanStep {
        arm: ArmName::Judge,
        instruction: Instruction::Judge { criteria },
        ..step("a", &[])
    };
    insta::assert_snapshot!(faults(plan(vec![judge(vec![])])), @"a: a judge needs at least one criterion");
    let contains = StructuredCriterion::Contains { text: "x".into() }.into();
    let sentence = Criterion::FreeText("it is short".into());
    assert!(plan(vec![judge(vec![contains, sentence])]).check(&Policy::default()).is_ok());
}

#[test]
fn an_input_has_the_type_that_the_tool_takes() {
    let count = |input: &str| ToolCall::Count {
        what: CountWhat::Lines,
        paths: Some(Arg::Input(input.parse().unwrap())),
        text: None,
        name: None,
        recursive: false,
    };
    let paths_of_hash = with_input(tool("b", count("x")), "x", "a", ValueType::Paths);
    insta::assert_snapshot!(faults(plan(vec![step("a", &[]), paths_of_hash])), @"b: a does not give Paths");
    let missing = tool("b", count("x"));
    insta::assert_snapshot!(faults(plan(vec![missing])), @r#"b: the tool takes an input "x" of type Paths, which the step does not have"#);
    let other_type = with_input(tool("b", count("x")), "x", "a", ValueType::Text);
    insta::assert_snapshot!(faults(plan(vec![step("a", &[]), other_type])), @r#"b: the tool takes an input "x" of type Paths, which the step does not have"#);
}

#[test]
fn arguments_make_sense_together() {
    let both = ToolCall::Hash {
        kind: Default::default(),
        paths: Some(Arg::Given(vec![])),
        text: Some(Arg::Given("x".into())),
    };
    insta::assert_snapshot!(faults(plan(vec![tool("a", both)])), @"a: exactly one of paths and text must be given");
    let none = ToolCall::Hash { kind: Default::default(), paths: None, text: None };
    insta::assert_snapshot!(faults(plan(vec![tool("a", none)])), @"a: exactly one of paths and text must be given");
    let empty = ToolCall::Shell { argv: vec![], stdin: None, any_exit: false };
    insta::assert_snapshot!(faults(plan(vec![tool("a", empty)])), @"a: argv must name a program");
}

/// P6: a step that acts without the capability to is refused at the accept.
#[test]
fn what_a_step_does_it_asks_for() {
    let shell = ToolCall::Shell { argv: vec!["ls".into()], stdin: None, any_exit: false };
    insta::assert_snapshot!(faults(plan(vec![tool("a", shell)])), @"a: it runs ls without the capability to");
    let string = ToolCall::ShellString { script: "ls | wc".into(), any_exit: false };
    insta::assert_snapshot!(faults(plan(vec![tool("a", string)])), @"a: it runs a shell string without the capability `shell`");
    let write = PlanStep { capability: Capability::default(), ..writer("a", &[]) };
    insta::assert_snapshot!(faults(plan(vec![write])), @"a: it writes without the capability `writes_workspace`");
}

/// P6: what a step asks for beyond the policy is refused, and what needs approval says so.
#[test]
fn a_policy_bounds_every_step() {
    let reads = Capability { read_roots: BTreeSet::from(["/etc".to_owned()]), ..Capability::default() };
    let asks = PlanStep { capability: reads, ..step("a", &[]) };
    insta::assert_snapshot!(faults(plan(vec![asks])), @"a: reading /etc is not allowed: it lies below none of the policy's read_roots");
    let policy = Policy { approvals: BTreeSet::from([Approval::Write]), ..Policy::default() };
    let checked = plan(vec![writer("a", &[]), step("b", &["a"])]).check(&policy).unwrap();
    assert_eq!(checked.steps().iter().map(|s| s.needs_approval).collect::<Vec<_>>(), [true, false]);
}

/// P6: what a root that is a link may lead to is the policy's to say, whatever the plan says.
#[test]
fn a_checked_step_is_held_within_the_roots_of_the_policy() {
    let roots = |path: &str| BTreeSet::from([path.to_owned()]);
    let asks = Capability { read_roots: roots("/tmp/a"), read_within: roots("/"), ..Capability::default() };
    let policy = Policy { read_roots: roots("/tmp"), ..Policy::default() };
    let steps = vec![PlanStep { capability: asks, ..step("a", &[]) }, step("b", &[])];
    let checked = plan(steps).check(&policy).unwrap();
    let within: Vec<_> = checked.steps().iter().map(|s| s.step.capability.read_within.clone()).collect();
    assert_eq!(within, [roots("/tmp"), BTreeSet::new()]);
}

#[test]
fn writers_are_ordered_and_hand_the_workspace_on() {
    insta::assert_snapshot!(faults(plan(vec![writer("a", &[]), writer("b", &[])])), @"a and b may both change the workspace; one must need the other");
    let checked = plan(vec![writer("c", &["b"]), step("b", &["a"]), writer("a", &[])])
        .check(&Policy::default())
        .unwrap();
    assert_eq!(names(&checked), ["a", "b", "c"]);
    assert_eq!(
        checked.steps().iter().map(|s| s.workspace_from).collect::<Vec<_>>(),
        [None, Some(0), Some(0)]
    );
    assert_eq!(checked.result(), [2]);
}

fn done(name: &str, place: u16, wrote: bool) -> DoneStep {
    let yields = vec![ValueType::Text, ValueType::Whole];
    DoneStep { name: name.parse().unwrap(), place, yields, wrote }
}

#[test]
fn a_later_plan_builds_on_what_is_done_and_has_its_places_behind() {
    let earlier = [done("old", 0, true), done("older", 1, false)];
    let check = |plan: Plan| plan.check_after(&Policy::default(), &earlier, 3);
    let judge = with_input(step("judge", &["fix"]), "x", "older", ValueType::Text);
    let mut later = plan(vec![judge, writer("fix", &[])]);
    later.result.push("old".parse().unwrap());
    let checked = check(later).unwrap();
    assert_eq!(names(&checked), ["fix", "judge"]);
    assert_eq!((checked.first(), checked.at(4).map(|s| s.step.name.as_str())), (3, Some("judge")));
    assert_eq!((checked.at(2), checked.at(5)), (None, None));
    assert_eq!(checked.steps()[0].workspace_from, Some(0), "it goes on with the workspace as it is");
    assert_eq!((&checked.steps()[1].needs, checked.steps()[1].workspace_from), (&vec![1, 3], Some(3)));
    assert_eq!(checked.result().last(), Some(&0));
    let told = |plan| check(plan).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    insta::assert_snapshot!(told(plan(vec![step("old", &[])])), @"two steps are called old");
    insta::assert_snapshot!(told(plan(vec![step("a", &["gone"])])), @"a refers to gone, which is not a step of the plan");
    let wrong = with_input(step("a", &[]), "x", "old", ValueType::Paths);
    insta::assert_snapshot!(told(plan(vec![wrong])), @"a: old does not give Paths");
    let full = plan(vec![step("a", &[]), step("b", &[])]);
    assert_eq!(
        full.check_after(&Policy::default(), &[], u16::MAX),
        Err(vec![PlanFault::TooManySteps(65537)])
    );
}

/// A document of the first version, whose judge knew structured criteria only, is still read.
#[test]
fn an_instruction_of_the_first_version_is_still_read() {
    let stored = r#"{"judge":{"criteria":[{"type":"contains","text":"x"}]}}"#;
    let read: Instruction = serde_json::from_str(stored).unwrap();
    let contains = StructuredCriterion::Contains { text: "x".into() };
    assert_eq!(read, Instruction::Judge { criteria: vec![Criterion::Structured(contains)] });
    assert_eq!(serde_json::to_string(&read).unwrap(), stored);
}

#[test]
fn a_step_waits_for_a_bounded_number_of_others() {
    let names: Vec<String> = (0..65).map(|n| format!("s{n}")).collect();
    let needs: Vec<&str> = names.iter().map(String::as_str).collect();
    let faults = faults(plan(vec![step("a", &needs)]));
    assert_eq!(faults.lines().next(), Some("a needs 65 steps; at most 64 are allowed"));
}

#[test]
fn texts_are_bounded() {
    let long = PlanStep { summary: "x".repeat(64 * 1024 + 1), ..step("a", &[]) };
    insta::assert_snapshot!(faults(plan(vec![long])), @"a: its texts are over 65536 bytes");
    let think = PlanStep {
        arm: ArmName::Planner,
        instruction: Instruction::Think("x".repeat(64 * 1024 + 1)),
        ..step("a", &[])
    };
    insta::assert_snapshot!(faults(plan(vec![think])), @"a: its texts are over 65536 bytes");
}

/// Steps `s0…` with any needs, some of which write; cycles, strangers and repeated names happen.
fn any_plan() -> impl Strategy<Value = Plan> {
    let any_step = (
        0usize..10,
        proptest::collection::vec(0usize..11, 0..4),
        any::<bool>(),
        proptest::option::of((0usize..10, 0usize..5)),
    );
    (proptest::collection::vec(any_step, 0..9), proptest::collection::vec(0usize..10, 0..3)).prop_map(
        |(steps, result)| {
            let name = |n: usize| format!("s{n}");
            let steps: Vec<PlanStep> = steps
                .iter()
                .enumerate()
                .map(|(at, (odd, needs, writes, input))| {
                    // Now and then a name that another step has.
                    let own = name(if *odd == 9 { 0 } else { at });
                    let needs: Vec<String> = needs.iter().map(|n| name(*n)).collect();
                    let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
                    let made = if *writes { writer(&own, &needs) } else { step(&own, &needs) };
                    let types = [
                        ValueType::Text,
                        ValueType::Paths,
                        ValueType::Number,
                        ValueType::Data,
                        ValueType::Whole,
                    ];
                    match input {
                        Some((from, output)) => with_input(made, "x", &name(*from), types[*output]),
                        None => made,
                    }
                })
                .collect();
            Plan { steps, result: result.iter().map(|n| name(*n).parse().unwrap()).collect() }
        },
    )
}

/// A plan without strangers and repeats, whose only possible faults are cycles and writers.
fn any_graph() -> impl Strategy<Value = Plan> {
    proptest::collection::vec(
        (proptest::collection::vec(any::<prop::sample::Index>(), 0..3), any::<bool>()),
        1..9,
    )
    .prop_map(|steps| {
        let count = steps.len();
        let made = steps.iter().enumerate().map(|(at, (needs, writes))| {
            let needs: Vec<String> = needs.iter().map(|n| format!("s{}", n.index(count))).collect();
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            let name = format!("s{at}");
            if *writes { writer(&name, &needs) } else { step(&name, &needs) }
        });
        plan(made.collect())
    })
}

/// What each step reaches through its needs: an independent check, by closure and not by order.
fn reach(steps: &[PlanStep]) -> BTreeMap<&StepName, BTreeSet<&StepName>> {
    let mut reach: BTreeMap<&StepName, BTreeSet<&StepName>> =
        steps.iter().map(|s| (&s.name, s.needs.iter().collect())).collect();
    for _ in steps {
        let before = reach.clone();
        for further in reach.values_mut() {
            let more: Vec<&StepName> = further.iter().flat_map(|n| before[*n].iter().copied()).collect();
            further.extend(more);
        }
    }
    reach
}

proptest! {
    /// P8: a plan of any shape is checked without a panic; what passes keeps the laws.
    #[test]
    fn any_plan_is_checked(plan in any_plan()) {
        let count = plan.steps.len();
        if let Ok(checked) = plan.check(&Policy::default()) {
            prop_assert_eq!(checked.steps().len(), count);
            for (place, step) in checked.steps().iter().enumerate() {
                prop_assert!(step.needs.iter().all(|need| usize::from(*need) < place));
                prop_assert!(step.workspace_from.is_none_or(|from| usize::from(from) < place));
                let named: BTreeSet<&StepName> =
                    step.step.needs.iter().chain(step.step.inputs.values().map(|from| &from.step)).collect();
                let placed: BTreeSet<&StepName> =
                    step.needs.iter().map(|need| &checked.steps()[usize::from(*need)].step.name).collect();
                prop_assert_eq!(named, placed);
            }
        }
    }

    /// A cycle is found exactly when a step reaches itself, and every step of it is named; the
    /// writers of a plan that passes reach each other.
    #[test]
    fn cycles_and_unordered_writers_are_always_found(plan in any_graph()) {
        let steps = plan.steps.clone();
        let reach = reach(&steps);
        let in_cycle: Vec<&StepName> = steps.iter().map(|s| &s.name).filter(|name| reach[*name].contains(name)).collect();
        let writers: Vec<&StepName> = steps.iter().filter(|s| s.capability.writes_workspace).map(|s| &s.name).collect();
        let ordered = writers.iter().all(|a| writers.iter().all(|b| a == b || reach[*a].contains(b) || reach[*b].contains(a)));
        match plan.check(&Policy::default()) {
            Ok(_) => prop_assert!(in_cycle.is_empty() && ordered),
            Err(faults) => match faults.as_slice() {
                [PlanFault::Cycle(named)] => {
                    prop_assert!(!in_cycle.is_empty());
                    prop_assert!(in_cycle.iter().all(|name| named.contains(name)));
                }
                unordered => {
                    prop_assert!(in_cycle.is_empty() && !ordered);
                    prop_assert!(unordered.iter().all(|f| matches!(f, PlanFault::UnorderedWriters(..))));
                }
            },
        }
    }
}
