//! A plan as a model writes it: a plainer form than [`Plan`], read strictly.
//!
//! A model gives one JSON object of a `kind`: a plan, a question to the client, or a refusal.
//! [`Draft::read`] turns it into the plan's own types or says everything that is wrong with it
//! in words that a model can act on. What a step needs for its own tool call (the path it reads,
//! the host it fetches, the program it runs) it is taken to ask for; whether it may is the
//! policy's to say, when the plan is checked.
//!
//! Promises: nothing that a model writes makes it panic, take more than linear time or memory in
//! a bounded text, or name a step, an arm, a path or a program that the types do not allow.
//!
//! Must not know: models, prompts, which steps are done.

mod call;
mod capability;
mod schema;
#[cfg(test)]
mod tests;
mod wire;

use crate::{Instruction, Plan, PlanStep, Reference, StepName, ToolName, ValueType};
pub use call::read as read_call;
use octollm_contract::{ArmName, Criterion, Millis};
pub use schema::schema;
use std::collections::BTreeMap;
use wire::{WireDraft, WireStep};

/// A draft has at most this many bytes.
pub const DRAFT_BYTES_MAX: usize = 512 << 10;
/// A question or a reason has at most this many bytes.
const SAYING_BYTES_MAX: usize = 4 << 10;
/// An instruction has at most this many bytes.
const INSTRUCTION_BYTES_MAX: usize = 16 << 10;
/// A summary has at most this many bytes.
const SUMMARY_BYTES_MAX: usize = 500;
/// A list of a step has at most this many entries.
const LIST_MAX: usize = 64;
/// So many faults are told; what is wrong beyond them is found the next time.
const FAULTS_MAX: usize = 20;

/// What a planner wrote.
#[derive(Clone, Debug, PartialEq)]
pub enum Draft {
    /// A plan, not yet checked against any policy.
    Plan(Plan),
    /// Something that only the client can say.
    Question(String),
    /// Why there can be no plan.
    Refusal(String),
}

/// What is wrong with a draft.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftFault {
    /// More text than is looked at.
    #[error("the answer has {bytes} bytes; at most {DRAFT_BYTES_MAX} are read")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// Not one JSON object, or not one of this shape.
    #[error("the answer is not the JSON object that was asked for: {0}")]
    Shape(String),
    /// Something outside the steps.
    #[error("{field}: {why}")]
    Field {
        /// Where.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Something of a step.
    #[error("step {step}: {why}")]
    Step {
        /// What the draft calls it, shortened.
        step: String,
        /// What is wrong.
        why: String,
    },
}

impl Draft {
    /// Reads what a model wrote. `arms` are those that a step may name. The error holds every
    /// fault found, up to a limit.
    pub fn read(text: &str, arms: &[ArmName]) -> Result<Draft, Vec<DraftFault>> {
        let wire = WireDraft::parse(text).map_err(|fault| vec![fault])?;
        match wire {
            WireDraft::Plan { steps, result } => plan(steps, result, arms).map(Draft::Plan),
            WireDraft::Question { question } => saying("question", question).map(Draft::Question),
            WireDraft::Refusal { reason } => saying("reason", reason).map(Draft::Refusal),
        }
    }
}

fn saying(field: &'static str, text: String) -> Result<String, Vec<DraftFault>> {
    let fault = |why: String| Err(vec![DraftFault::Field { field, why }]);
    match text.trim() {
        "" => fault("it is empty".into()),
        said if said.len() > SAYING_BYTES_MAX => fault(format!("it is over {SAYING_BYTES_MAX} bytes")),
        said => Ok(said.to_owned()),
    }
}

fn plan(steps: Vec<WireStep>, result: Vec<String>, arms: &[ArmName]) -> Result<Plan, Vec<DraftFault>> {
    // Before anything is made of them: ten thousand steps are one fault, not ten thousand.
    if steps.is_empty() || steps.len() > crate::MAX_STEPS {
        let why = format!("there are {}; a plan has 1 to {}", steps.len(), crate::MAX_STEPS);
        return Err(vec![DraftFault::Field { field: "steps", why }]);
    }
    let mut faults = Vec::new();
    let mut made = Vec::with_capacity(steps.len());
    for wire in steps {
        let name = shortened(&wire.name);
        match step(wire, arms) {
            Ok(step) => made.push(step),
            Err(whys) => {
                faults.extend(whys.into_iter().map(|why| DraftFault::Step { step: name.clone(), why }))
            }
        }
    }
    let result = names(result, "result").unwrap_or_else(|why| {
        faults.push(DraftFault::Field { field: "result", why });
        Vec::new()
    });
    if !faults.is_empty() {
        faults.truncate(FAULTS_MAX);
        return Err(faults);
    }
    capability::inherit_read_roots(&mut made);
    Ok(Plan { steps: made, result })
}

fn step(mut wire: WireStep, arms: &[ArmName]) -> Result<PlanStep, Vec<String>> {
    let mut faults = Vec::new();
    let name: Option<StepName> = wire.name.parse().map_err(|e| faults.push(format!("{e}"))).ok();
    let arm = arm(&wire.arm, arms).map_err(|why| faults.push(why)).ok();
    if wire.summary.len() > SUMMARY_BYTES_MAX {
        faults.push(format!("its summary is over {SUMMARY_BYTES_MAX} bytes"));
    }
    let needs = names(wire.needs, "needs").map_err(|why| faults.push(why)).unwrap_or_default();
    let time_limit = time_limit(wire.tool.as_mut()).map_err(|why| faults.push(why)).unwrap_or_default();
    let mut inputs = inputs(wire.inputs).map_err(|why| faults.push(why)).unwrap_or_default();
    let instruction =
        instruction(wire.tool, wire.instruction, wire.criteria, arm).map_err(|why| faults.push(why)).ok();
    if let Some(Instruction::Judge { .. }) = &instruction {
        inputs = judged(inputs, &needs);
        if inputs.is_empty() {
            faults.push("a judge step names in `needs` the steps whose results it judges".into());
        }
    }
    let asked = capability::Asked {
        reads: wire.reads,
        hosts: wire.hosts,
        commands: wire.commands,
        writes: wire.writes,
    };
    let capability =
        capability::of(asked, instruction.as_ref(), arm).map_err(|whys| faults.extend(whys)).ok();
    match (name, arm, instruction, capability) {
        (Some(name), Some(arm), Some(instruction), Some(capability)) if faults.is_empty() => {
            let summary = wire.summary;
            Ok(PlanStep { name, arm, summary, instruction, inputs, needs, capability, time_limit })
        }
        _ => Err(faults),
    }
}

/// The argument of a program's tool that bounds its time.
const TIMEOUT: &str = "timeout_seconds";
/// A step that runs a program has five minutes, nine tenths of them for the program.
const TIMEOUT_MAX: u64 = 270;

/// How long a step may take whose program is given so many seconds: they are nine tenths of it.
fn time_limit(tool: Option<&mut wire::WireTool>) -> Result<Option<Millis>, String> {
    let program = tool.filter(|tool| {
        [ToolName::Shell, ToolName::ShellString].iter().any(|program| program.as_str() == tool.tool)
    });
    let Some(asked) =
        program.and_then(|tool| tool.arguments.remove(TIMEOUT)).filter(|asked| !asked.is_null())
    else {
        return Ok(None);
    };
    match asked.as_u64() {
        Some(seconds @ 1..=TIMEOUT_MAX) => Ok(Some(Millis::new((seconds * 10_000).div_ceil(9)))),
        Some(_) | None => Err(format!("{TIMEOUT} is a whole number from 1 to {TIMEOUT_MAX}")),
    }
}

fn arm(text: &str, arms: &[ArmName]) -> Result<ArmName, String> {
    let offered: Vec<&str> = arms.iter().map(|arm| arm.as_str()).collect();
    match text.parse::<ArmName>() {
        Ok(ArmName::Planner) => Err("a plan has no steps for the planner".into()),
        Ok(arm) if arms.contains(&arm) => Ok(arm),
        Ok(_) | Err(_) => {
            Err(format!("there is no arm {:?} here; the arms are {}", shortened(text), offered.join(", ")))
        }
    }
}

fn names(texts: Vec<String>, what: &str) -> Result<Vec<StepName>, String> {
    if texts.len() > LIST_MAX {
        return Err(format!("{what} has {} entries; at most {LIST_MAX} are read", texts.len()));
    }
    texts.iter().map(|text| text.parse::<StepName>().map_err(|e| format!("{what}: {e}"))).collect()
}

fn inputs(wires: Vec<wire::WireInput>) -> Result<BTreeMap<crate::InputName, Reference>, String> {
    if wires.len() > LIST_MAX {
        return Err(format!("inputs has {} entries; at most {LIST_MAX} are read", wires.len()));
    }
    let mut inputs = BTreeMap::new();
    for wire in wires {
        let told = |e: crate::BadPlanName| format!("inputs: {e}");
        let name: crate::InputName = wire.name.parse().map_err(told)?;
        let reference = Reference { step: wire.step.parse().map_err(told)?, output: wire.output };
        if inputs.insert(name.clone(), reference).is_some() {
            return Err(format!("two inputs are called {name}"));
        }
    }
    Ok(inputs)
}

/// A judge takes whole outputs, whatever the draft calls them: those of its inputs, or else
/// those of the steps that it needs.
fn judged(
    inputs: BTreeMap<crate::InputName, Reference>,
    needs: &[StepName],
) -> BTreeMap<crate::InputName, Reference> {
    let whole =
        |(name, from): (crate::InputName, Reference)| (name, Reference { output: ValueType::Whole, ..from });
    if !inputs.is_empty() {
        return inputs.into_iter().map(whole).collect();
    }
    let needed = needs.iter().enumerate().filter_map(|(place, step)| {
        let name = format!("result-{place:02}").parse().ok()?;
        Some((name, Reference { step: step.clone(), output: ValueType::Whole }))
    });
    needed.collect()
}

fn instruction(
    tool: Option<wire::WireTool>,
    text: Option<String>,
    criteria: Vec<Criterion>,
    arm: Option<ArmName>,
) -> Result<Instruction, String> {
    let text = text.filter(|text| !text.trim().is_empty());
    match (tool, text, arm) {
        (None, None, Some(ArmName::Judge)) if !criteria.is_empty() => {
            if criteria.len() > LIST_MAX {
                return Err(format!("criteria has {} entries; at most {LIST_MAX} are read", criteria.len()));
            }
            let empty = |c: &Criterion| matches!(c, Criterion::FreeText(text) if text.trim().is_empty());
            if criteria.iter().any(empty) {
                return Err("a criterion is empty".into());
            }
            Ok(Instruction::Judge { criteria })
        }
        (_, _, Some(ArmName::Judge)) => {
            Err("a judge step has `criteria`, and neither `tool` nor `instruction`".into())
        }
        (_, _, _) if !criteria.is_empty() => Err("only a judge step has `criteria`".into()),
        (Some(tool), None, _) => call::read(&tool.tool, tool.arguments).map(Instruction::Tool),
        (None, Some(text), _) if text.len() > INSTRUCTION_BYTES_MAX => {
            Err(format!("its instruction is over {INSTRUCTION_BYTES_MAX} bytes"))
        }
        (None, Some(text), _) if text.contains('\0') => Err("its instruction holds a NUL".into()),
        (None, Some(text), _) => Ok(Instruction::Think(text)),
        (Some(_), Some(_), _) | (None, None, _) => {
            Err("it must have either a `tool` or an `instruction`".into())
        }
    }
}

/// A text of a draft as a message may repeat it.
fn shortened(text: &str) -> String {
    shortened_to(text, 60)
}

fn shortened_to(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}
