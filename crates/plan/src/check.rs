//! The checks that make a plan one that may be run.

use crate::{DoneStep, Instruction, Plan, PlanStep, StepName, ToolCall, ValueType};
use octollm_access::{BeyondPolicy, Policy};
use octollm_contract::ArmName;
use std::collections::{BTreeMap, BTreeSet};

/// A plan has at most this many steps, without the one that judges its result.
pub const MAX_STEPS: usize = 64;
/// A step needs at most this many others.
const MAX_NEEDS: usize = 64;
/// A summary or a sentence for an arm has at most this many bytes.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// A plan that passed every check, with its steps in an order in which needs come first.
///
/// Places count the steps of the task: those of a first plan begin at 0, those of a revised one
/// behind the steps that the task already has.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedPlan {
    first: u16,
    steps: Vec<CheckedStep>,
    result: Vec<u16>,
}

/// A step of a checked plan; its needs are places in the task.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedStep {
    /// The step as written.
    pub step: PlanStep,
    /// The places of the steps that must be done before, each smaller than this step's own.
    pub needs: Vec<u16>,
    /// The place of the step whose workspace this one starts from, if any wrote one. In a revised
    /// plan a step that builds on none of the plan's own starts from the task's last one.
    pub workspace_from: Option<u16>,
    /// A person must approve before it starts.
    pub needs_approval: bool,
}

/// Something that forbids to run a plan. Every fault of a plan is reported, not the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFault {
    /// No steps.
    #[error("the plan has no steps")]
    Empty,
    /// Too many steps.
    #[error("the plan has {0} steps; at most {MAX_STEPS} are allowed")]
    TooManySteps(usize),
    /// Two steps of one name.
    #[error("two steps are called {0}")]
    DuplicateStep(StepName),
    /// A need, an input or a result that names no step.
    #[error("{step} refers to {missing}, which is not a step of the plan")]
    UnknownStep {
        /// Where.
        step: String,
        /// What.
        missing: StepName,
    },
    /// Steps that wait for each other.
    #[error("the steps {} wait for each other", .0.iter().map(StepName::as_str).collect::<Vec<_>>().join(", "))]
    Cycle(Vec<StepName>),
    /// The plan has no result, or names a step twice in it.
    #[error("the plan's result must name at least one step, each once")]
    BadResult,
    /// An arm that cannot do what it is told.
    #[error("{step}: the {arm} arm does not take this kind of instruction")]
    WrongArm {
        /// Where.
        step: StepName,
        /// Who.
        arm: ArmName,
    },
    /// A criterion by which a judge of the plan could judge nothing.
    #[error("{step}: criterion {number}: {why}")]
    UnusableCriterion {
        /// Where.
        step: StepName,
        /// Which of the step's, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// An arm that takes no steps of this task.
    #[error("{step}: no steps can be given to the {arm} arm here")]
    ArmNotOffered {
        /// Where.
        step: StepName,
        /// Who.
        arm: ArmName,
    },
    /// A tool call that some who may meet the plan cannot read.
    #[error(
        "{step}: a server of the version before still runs on the same database and cannot read this tool call \
         (`hidden: false`, `required` or `details` of `find` and `list`, `line_ends` of `count`, a name that is `one_of` several); leave it out, or ask again when that server is gone"
    )]
    NotReadByAll {
        /// Where.
        step: StepName,
    },
    /// A reference to an output that the step does not have.
    #[error("{step}: {from} does not give {wanted:?}")]
    NoSuchOutput {
        /// Where.
        step: StepName,
        /// The step referred to.
        from: StepName,
        /// What it does not give.
        wanted: ValueType,
    },
    /// An argument that names an input which is missing or of another type.
    #[error("{step}: the tool takes an input {input:?} of type {wanted:?}, which the step does not have")]
    MissingInput {
        /// Where.
        step: StepName,
        /// The input's name.
        input: String,
        /// The type it must have.
        wanted: ValueType,
    },
    /// Arguments that make no sense together.
    #[error("{step}: {why}")]
    BadArguments {
        /// Where.
        step: StepName,
        /// What is wrong with them.
        why: String,
    },
    /// Two steps that may change the workspace and may run at once.
    #[error("{0} and {1} may both change the workspace; one must need the other")]
    UnorderedWriters(StepName, StepName),
    /// The step lacks what its instruction needs. That it asks for no more than its task may do is
    /// [`PlanFault::BeyondPolicy`]; that it asks for no more than it needs is not checked.
    #[error("{step}: {why}")]
    Capability {
        /// Where.
        step: StepName,
        /// What is wrong.
        why: String,
    },
    /// The step asks for more than the policy allows.
    #[error("{step}: {beyond}")]
    BeyondPolicy {
        /// Where.
        step: StepName,
        /// What goes beyond.
        beyond: BeyondPolicy,
    },
    /// A step that waits for too many others.
    #[error("{step} needs {needs} steps; at most {MAX_NEEDS} are allowed")]
    TooManyNeeds {
        /// Where.
        step: StepName,
        /// How many.
        needs: usize,
    },
    /// A text over its limit.
    #[error("{0}: its texts are over {MAX_TEXT_BYTES} bytes")]
    TooLong(StepName),
}

impl CheckedPlan {
    /// The place of the first of its steps.
    #[must_use]
    pub fn first(&self) -> u16 {
        self.first
    }

    /// The step at a place of the task, if it is one of this plan's.
    #[must_use]
    pub fn at(&self, place: u16) -> Option<&CheckedStep> {
        self.steps.get(usize::from(place.checked_sub(self.first)?))
    }

    /// The steps; each one's needs come before it.
    #[must_use]
    pub fn steps(&self) -> &[CheckedStep] {
        &self.steps
    }

    /// The places of the steps that make the result, in order.
    #[must_use]
    pub fn result(&self) -> &[u16] {
        &self.result
    }
}

impl Plan {
    /// Checks the plan of a new task against `policy`. The error holds every fault found.
    pub fn check(self, policy: &Policy) -> Result<CheckedPlan, Vec<PlanFault>> {
        self.check_after(policy, &[], 0)
    }

    /// Checks a plan that goes on where an earlier one ended: it may refer to the steps that are
    /// `done`, and its own get places from `first` on, which is behind all of theirs.
    pub fn check_after(
        self,
        policy: &Policy,
        done: &[DoneStep],
        first: u16,
    ) -> Result<CheckedPlan, Vec<PlanFault>> {
        self.checked(policy, done, first, MAX_STEPS)
    }

    pub(crate) fn checked(
        self,
        policy: &Policy,
        done: &[DoneStep],
        first: u16,
        steps_max: usize,
    ) -> Result<CheckedPlan, Vec<PlanFault>> {
        match self.steps.len() {
            0 => return Err(vec![PlanFault::Empty]),
            n if n > steps_max => return Err(vec![PlanFault::TooManySteps(n)]),
            _ => {}
        }
        let mut faults = Vec::new();
        let mut known: BTreeMap<&StepName, Known<'_>> =
            done.iter().map(|step| (&step.name, Known::Done(step))).collect();
        for (place, step) in self.steps.iter().enumerate() {
            if known.insert(&step.name, Known::Planned(place, step)).is_some() {
                faults.push(PlanFault::DuplicateStep(step.name.clone()));
            }
        }
        for step in &self.steps {
            check_step(step, policy, &mut faults);
            check_references(step, &known, &mut faults);
        }
        for name in &self.result {
            if !known.contains_key(name) {
                faults.push(PlanFault::UnknownStep { step: "result".into(), missing: name.clone() });
            }
        }
        if self.result.is_empty() || self.result.iter().collect::<BTreeSet<_>>().len() != self.result.len() {
            faults.push(PlanFault::BadResult);
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let order = in_order(&self.steps, &known).map_err(|cycle| vec![PlanFault::Cycle(cycle)])?;
        let Some(steps) = place_steps(&order, done, first, policy) else {
            return Err(vec![PlanFault::TooManySteps(usize::from(first) + order.len())]);
        };
        let faults = unordered_writers(&steps, first);
        if !faults.is_empty() {
            return Err(faults);
        }
        let place_of = |name: &StepName| {
            let planned = (first..).zip(&steps).find(|(_, step)| step.step.name == *name);
            let finished = || done.iter().find(|step| step.name == *name).map(|step| step.place);
            planned.map(|(place, _)| place).or_else(finished)
        };
        let result = self.result.iter().filter_map(place_of).collect();
        Ok(CheckedPlan { first, steps, result })
    }
}

/// A step that a plan may refer to.
#[derive(Clone, Copy)]
enum Known<'a> {
    /// Of the plan itself, at this place of what was written.
    Planned(usize, &'a PlanStep),
    /// Of an earlier plan.
    Done(&'a DoneStep),
}

fn needs_of(step: &PlanStep) -> BTreeSet<&StepName> {
    step.needs.iter().chain(step.inputs.values().map(|from| &from.step)).collect()
}

fn check_step(step: &PlanStep, policy: &Policy, faults: &mut Vec<PlanFault>) {
    let name = || step.name.clone();
    let needs = needs_of(step).len();
    if needs > MAX_NEEDS {
        faults.push(PlanFault::TooManyNeeds { step: name(), needs });
    }
    if step.summary.len() > MAX_TEXT_BYTES {
        faults.push(PlanFault::TooLong(name()));
    }
    let fits = match (&step.instruction, step.arm) {
        (Instruction::Tool(_), ArmName::Executor) => true,
        (Instruction::Judge { criteria }, ArmName::Judge) => {
            if criteria.is_empty() {
                faults.push(PlanFault::BadArguments {
                    step: name(),
                    why: "a judge needs at least one criterion".into(),
                });
            }
            true
        }
        (
            Instruction::Think(text),
            ArmName::Planner | ArmName::Executor | ArmName::Coder | ArmName::Guardian | ArmName::Retriever,
        ) => {
            if text.len() > MAX_TEXT_BYTES {
                faults.push(PlanFault::TooLong(name()));
            }
            true
        }
        (Instruction::Tool(_) | Instruction::Judge { .. } | Instruction::Think(_), _) => false,
    };
    if !fits {
        faults.push(PlanFault::WrongArm { step: name(), arm: step.arm });
    }
    if let Instruction::Tool(call) = &step.instruction {
        check_arguments(step, call, faults);
    }
    if let Err(beyond) = policy.grant(&step.capability) {
        faults.push(PlanFault::BeyondPolicy { step: name(), beyond });
    }
}

fn check_arguments(step: &PlanStep, call: &ToolCall, faults: &mut Vec<PlanFault>) {
    let mut bad =
        |why: &str| faults.push(PlanFault::BadArguments { step: step.name.clone(), why: why.into() });
    if let Some(why) = call.fault_of_lines() {
        bad(why);
    }
    match call {
        ToolCall::Count { paths, text, .. }
        | ToolCall::Search { paths, text, .. }
        | ToolCall::Hash { paths, text, .. }
            if paths.is_some() == text.is_some() =>
        {
            bad("exactly one of paths and text must be given");
        }
        ToolCall::Shell { argv, .. } if argv.first().is_none_or(String::is_empty) => {
            bad("argv must name a program")
        }
        ToolCall::Shell { argv, .. } if !step.capability.commands.contains(&argv[0]) => {
            faults.push(PlanFault::Capability {
                step: step.name.clone(),
                why: format!("it runs {} without the capability to", argv[0]),
            });
        }
        ToolCall::ShellString { .. } if !step.capability.shell => {
            faults.push(PlanFault::Capability {
                step: step.name.clone(),
                why: "it runs a shell string without the capability `shell`".into(),
            });
        }
        ToolCall::WriteFile { .. } if !step.capability.writes_workspace => {
            faults.push(PlanFault::Capability {
                step: step.name.clone(),
                why: "it writes without the capability `writes_workspace`".into(),
            });
        }
        ToolCall::List { .. }
        | ToolCall::Find { .. }
        | ToolCall::ReadFile { .. }
        | ToolCall::WriteFile { .. }
        | ToolCall::Count { .. }
        | ToolCall::Search { .. }
        | ToolCall::Hash { .. }
        | ToolCall::DiskUse { .. }
        | ToolCall::Compare { .. }
        | ToolCall::HttpFetch { .. }
        | ToolCall::Shell { .. }
        | ToolCall::ShellString { .. } => {}
    }
}

fn check_references(step: &PlanStep, known: &BTreeMap<&StepName, Known<'_>>, faults: &mut Vec<PlanFault>) {
    for need in needs_of(step) {
        if !known.contains_key(need) {
            faults.push(PlanFault::UnknownStep { step: step.name.to_string(), missing: need.clone() });
        }
    }
    for from in step.inputs.values() {
        let gives = |output: &ValueType| match known.get(&from.step) {
            Some(Known::Planned(_, step)) => step.instruction.yields().contains(output),
            Some(Known::Done(step)) => step.yields.contains(output),
            None => true, // told above
        };
        if !gives(&from.output) {
            faults.push(PlanFault::NoSuchOutput {
                step: step.name.clone(),
                from: from.step.clone(),
                wanted: from.output,
            });
        }
    }
    if let Instruction::Tool(call) = &step.instruction {
        for (input, wanted) in call.uses() {
            if step.inputs.get(input).is_none_or(|from| from.output != wanted) {
                faults.push(PlanFault::MissingInput {
                    step: step.name.clone(),
                    input: input.to_string(),
                    wanted,
                });
            }
        }
    }
}

/// The steps in an order in which needs come first, stable against the written order
/// (Kahn 1962); the error names the steps that are left over, which wait for each other.
fn in_order<'a>(
    steps: &'a [PlanStep],
    known: &BTreeMap<&StepName, Known<'_>>,
) -> Result<Vec<&'a PlanStep>, Vec<StepName>> {
    let mut order: Vec<&PlanStep> = Vec::with_capacity(steps.len());
    let mut placed = vec![false; steps.len()];
    while order.len() < steps.len() {
        let next = steps.iter().enumerate().find(|(place, step)| {
            let is_placed = |need: &&StepName| match known.get(need) {
                Some(Known::Planned(place, _)) => placed[*place],
                Some(Known::Done(_)) => true,
                None => false,
            };
            !placed[*place] && needs_of(step).iter().all(is_placed)
        });
        let Some((place, step)) = next else {
            let waiting = steps.iter().enumerate().filter(|(place, _)| !placed[*place]);
            return Err(waiting.map(|(_, step)| step.name.clone()).collect());
        };
        placed[place] = true;
        order.push(step);
    }
    Ok(order)
}

/// None when a place would not fit its type.
fn place_steps(
    order: &[&PlanStep],
    done: &[DoneStep],
    first: u16,
    policy: &Policy,
) -> Option<Vec<CheckedStep>> {
    let last_written = done.iter().filter(|step| step.wrote).map(|step| step.place).max();
    let mut checked: Vec<CheckedStep> = Vec::with_capacity(order.len());
    for (index, step) in order.iter().enumerate() {
        first.checked_add(u16::try_from(index).ok()?)?;
        let wanted = needs_of(step);
        let own = (first..).zip(order).take(index).filter(|(_, other)| wanted.contains(&other.name));
        let own: Vec<u16> = own.map(|(place, _)| place).collect();
        let earlier = done.iter().filter(|other| wanted.contains(&other.name)).map(|other| other.place);
        let earlier: BTreeSet<u16> = earlier.collect();
        let ancestors = ancestors(&checked, first, &own);
        let written = ancestors.iter().rev().copied().find(|p| writes(&checked[usize::from(*p - first)]));
        let needs_approval = policy.needs_approval(&step.capability);
        let mut step = (*step).clone();
        // What a link may lead to is the policy's to say, not the plan's.
        step.capability.read_within =
            if step.capability.read_roots.is_empty() { BTreeSet::new() } else { policy.read_roots.clone() };
        let needs = earlier.into_iter().chain(own).collect();
        checked.push(CheckedStep { step, needs, workspace_from: written.or(last_written), needs_approval });
    }
    Some(checked)
}

fn writes(step: &CheckedStep) -> bool {
    step.step.capability.writes_workspace
}

/// `needs` and all that they need of the plan's own steps, in the plan's order.
fn ancestors(checked: &[CheckedStep], first: u16, needs: &[u16]) -> BTreeSet<u16> {
    let mut found: BTreeSet<u16> = BTreeSet::new();
    let mut open: Vec<u16> = needs.to_vec();
    while let Some(place) = open.pop() {
        let own = place.checked_sub(first).and_then(|index| checked.get(usize::from(index)));
        if let Some(step) = own.filter(|_| found.insert(place)) {
            open.extend(&step.needs);
        }
    }
    found
}

fn unordered_writers(checked: &[CheckedStep], first: u16) -> Vec<PlanFault> {
    let writers: Vec<(u16, &CheckedStep)> = (first..).zip(checked).filter(|(_, step)| writes(step)).collect();
    let unordered =
        writers.windows(2).filter(|pair| !ancestors(checked, first, &pair[1].1.needs).contains(&pair[0].0));
    let names = |pair: &[(u16, &CheckedStep)]| {
        PlanFault::UnorderedWriters(pair[0].1.step.name.clone(), pair[1].1.step.name.clone())
    };
    unordered.map(names).collect()
}
