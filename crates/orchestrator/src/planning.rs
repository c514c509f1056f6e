//! How a task gets a plan from a planner: the step that asks for one, what a step that thinks is
//! told, and what becomes of the planner's answer. Functions of what is stored; no I/O.
//!
//! Promises: what a planner writes is checked against the policy of the key that the task was
//! accepted under, whatever it says itself (P6); what it is told is bounded, and is of its own
//! tenant's tasks only, because it comes from this task and its session (P7).
//!
//! Must not know: prompts, models.

use crate::{
    app::only_looks,
    stored::{PlanDocument, StepDocument, written},
};
use octollm_access::{Capability, Policy};
use octollm_contract::{
    ArmName, Document, Edition, SessionId,
    api::{SubmitTask, TaskStatus},
};
use octollm_lifecycle::{Awaits, NewStep, PLANNER_TIME_LIMIT, QUESTIONS_MAX, Replans, StepState, TaskState};
use octollm_plan::{
    Answered, ArmOffer, Brief, DoneStep, Earlier, Failure, Finished, Instruction, Plan, PlanFault, PlanStep,
    Planning, StepOutput, ToolName, ValueType, compose,
};
use octollm_store::{StepRecord, TaskRecord};
use std::collections::BTreeMap;

/// How often a plan is revised at most.
pub(crate) const REVISIONS_MAX: u32 = 2;
/// A planner is told of so many earlier tasks of the session.
pub(crate) const SESSION_TASKS: usize = 5;
/// Of a result or of an evidence, a planner sees so many characters.
const SEEN_CHARACTERS: usize = 2_000;

type Unreadable = serde_json::Error;

/// The step that asks a planner for a plan. A revision puts in one without a document; this is it.
pub(crate) fn planner_step(place: u16) -> StepDocument {
    let name = if place == 0 { "plan".to_owned() } else { format!("plan-{place}") };
    StepDocument {
        step: PlanStep {
            name: name.parse().expect("a word and a number name a step"),
            arm: ArmName::Planner,
            summary: "write a plan for the goal".to_owned(),
            instruction: Instruction::Think("Write a plan that reaches the goal.".to_owned()),
            inputs: BTreeMap::new(),
            needs: Vec::new(),
            capability: Capability::default(),
            time_limit: None,
        },
        places: BTreeMap::new(),
        workspace_from: Vec::new(),
    }
}

/// The session that the task belongs to.
pub(crate) fn session(record: &TaskRecord) -> Result<Option<SessionId>, Unreadable> {
    let request: SubmitTask = record.request.read()?;
    // It was checked at the accept.
    Ok(request.session_id.and_then(|id| id.parse().ok()))
}

/// What the step at `place` is told of its task. `session`: earlier tasks, newest first.
pub(crate) fn brief(
    record: &TaskRecord,
    place: u16,
    session: &[TaskRecord],
    readers: Edition,
) -> Result<Brief, Unreadable> {
    let request: SubmitTask = record.request.read()?;
    let planning = match record.task.step(place) {
        Some(step) if step.arm == ArmName::Planner => Some(Box::new(planning(record, session, readers)?)),
        Some(_) | None => None,
    };
    Ok(Brief {
        goal: record.goal.clone(),
        constraints: request.constraints,
        context: request.context,
        criteria: request.acceptance_criteria,
        planning,
    })
}

fn planning(record: &TaskRecord, session: &[TaskRecord], readers: Edition) -> Result<Planning, Unreadable> {
    let kept = kept(record)?;
    let most = match record.task.terms.replans {
        Replans::No => 0,
        Replans::UpTo(most) => most,
    };
    // A planner does well without a task that cannot be read any more.
    let earlier = session.iter().rev().filter_map(|record| earlier(record).ok()).collect();
    Ok(Planning {
        policy: policy(record)?,
        arms: arms(),
        revision: record.task.revisions,
        first: u16::try_from(record.task.steps.len()).unwrap_or(u16::MAX),
        readers,
        revisions_left: most.saturating_sub(record.task.revisions),
        questions_left: QUESTIONS_MAX.saturating_sub(record.task.questions),
        done: kept.iter().filter_map(finished).collect(),
        failures: kept.iter().filter_map(failure).collect(),
        answers: answers(record, &kept)?,
        session: earlier,
    })
}

/// The arms that a plan may name.
fn arms() -> Vec<ArmOffer> {
    let tools = ToolName::ALL.iter().map(|tool| tool.as_str().to_owned()).collect();
    vec![
        ArmOffer { arm: ArmName::Executor, tools, thinks: true },
        ArmOffer { arm: ArmName::Coder, tools: Vec::new(), thinks: true },
        ArmOffer { arm: ArmName::Judge, tools: Vec::new(), thinks: false },
    ]
}

/// The policy that the task was accepted under.
fn policy(record: &TaskRecord) -> Result<Policy, Unreadable> {
    let plan: PlanDocument = record.plan.read()?;
    // A task of a version that kept none may do nothing beyond its plan.
    Ok(plan.policy.unwrap_or_default())
}

/// A step with its documents read.
struct KeptStep<'a> {
    place: u16,
    state: &'a StepState,
    document: StepDocument,
    output: Option<StepOutput>,
    record: &'a StepRecord,
}

fn kept(record: &TaskRecord) -> Result<Vec<KeptStep<'_>>, Unreadable> {
    let steps = record.task.places().zip(&record.steps).map(|((place, step), kept)| {
        Ok(KeptStep {
            place,
            state: &step.state,
            document: document(kept, place)?,
            output: kept.output.as_ref().map(Document::read).transpose()?,
            record: kept,
        })
    });
    steps.collect()
}

/// What a step is to do.
pub(crate) fn document(kept: &StepRecord, place: u16) -> Result<StepDocument, Unreadable> {
    match &kept.spec {
        Some(spec) => Ok(spec.read::<Option<StepDocument>>()?.unwrap_or_else(|| planner_step(place))),
        None => Ok(planner_step(place)),
    }
}

/// Whether another plan may do without the step at `place`. What only looks at what the goal names, by a plan of the
/// rules, fails because of what is there; a planner chose the path itself.
pub(crate) fn may_be_mended(record: &TaskRecord, place: u16) -> Result<bool, Unreadable> {
    let by_the_rules = record.task.step(0).is_some_and(|first| first.arm != ArmName::Planner);
    let first_plan = record.task.step(place).is_some_and(|step| step.plan_version <= 1);
    let Some(kept) = record.steps.get(usize::from(place)) else { return Ok(true) };
    Ok(!(by_the_rules && first_plan && only_looks(&document(kept, place)?.step.instruction)))
}

fn done(kept: &KeptStep<'_>) -> Option<DoneStep> {
    let step = &kept.document.step;
    let thinks_of_plans = matches!(step.arm, ArmName::Planner | ArmName::Judge);
    let output = kept.output.as_ref().filter(|_| *kept.state == StepState::Done && !thinks_of_plans)?;
    let has = |kind: &ValueType| match kind {
        ValueType::Text | ValueType::Data | ValueType::Whole => true,
        ValueType::Paths => output.paths.is_some(),
        ValueType::Number => output.number.is_some(),
    };
    Some(DoneStep {
        name: step.name.clone(),
        place: kept.place,
        yields: step.instruction.yields().iter().copied().filter(has).collect(),
        wrote: output.workspace.is_some(),
    })
}

fn finished(kept: &KeptStep<'_>) -> Option<Finished> {
    Some(Finished {
        step: done(kept)?,
        arm: kept.document.step.arm,
        summary: kept.document.step.summary.clone(),
        text: seen(&kept.output.as_ref()?.text),
    })
}

fn failure(kept: &KeptStep<'_>) -> Option<Failure> {
    let step = &kept.document.step;
    let message = match kept.state {
        StepState::Failed(failure) => failure.message.to_string(),
        StepState::Done => {
            let output = kept.output.as_ref().filter(|_| step.arm == ArmName::Judge)?;
            let refused = output.data.get("accepted") == Some(&serde_json::Value::Bool(false));
            refused.then(|| output.text.clone())?
        }
        StepState::Blocked | StepState::Ready { .. } | StepState::Leased(_) | StepState::Cancelled => {
            return None;
        }
    };
    Some(Failure {
        step: step.name.clone(),
        arm: step.arm,
        summary: step.summary.clone(),
        message: seen(&message),
    })
}

fn answers(record: &TaskRecord, kept: &[KeptStep<'_>]) -> Result<Vec<Answered>, Unreadable> {
    let mut answers = Vec::new();
    for step in kept {
        let Some(answer) = &step.record.answer else { continue };
        let asked = record.task.step(step.place).and_then(|step| step.needs.last().copied());
        let asked =
            asked.and_then(|place| kept.get(usize::from(place))).and_then(|kept| kept.output.as_ref());
        answers.push(Answered {
            question: asked.map(|output| output.text.clone()).unwrap_or_default(),
            answer: answer.read()?,
        });
    }
    Ok(answers)
}

fn earlier(record: &TaskRecord) -> Result<Earlier, Unreadable> {
    let outcome = match &record.task.state {
        TaskState::Failed { failure, .. } => format!("failed: {}", failure.message),
        TaskState::Completed { .. } => result_text(record)?,
        TaskState::Queued
        | TaskState::Planning
        | TaskState::Running
        | TaskState::Waiting { .. }
        | TaskState::Stopping { .. }
        | TaskState::Cancelled { .. } => TaskStatus::Cancelled.as_str().to_owned(),
    };
    Ok(Earlier { goal: seen(&record.goal), outcome: seen(&outcome) })
}

fn result_text(record: &TaskRecord) -> Result<String, Unreadable> {
    let plan: PlanDocument = record.plan.read()?;
    let outputs =
        plan.result.iter().filter_map(|place| record.steps.get(usize::from(*place))?.output.as_ref());
    let outputs: Result<Vec<StepOutput>, _> = outputs.map(Document::read).collect();
    Ok(compose(&outputs?.iter().collect::<Vec<_>>()).text)
}

fn seen(text: &str) -> String {
    match text.char_indices().nth(SEEN_CHARACTERS) {
        Some((at, _)) => format!("{} […]", &text[..at]),
        None => text.to_owned(),
    }
}

/// A plan that was checked, as it goes into the task.
pub(crate) struct Revision {
    pub(crate) plan: Document,
    pub(crate) steps: Vec<NewStep>,
    pub(crate) specs: Vec<Document>,
}

/// Why a planner's plan does not go into the task.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotPlanned {
    /// It does not hold: the planner may repair it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<PlanFault>),
    /// What is stored of the task cannot be read.
    #[error("what is stored of the task cannot be read")]
    Unreadable(#[from] Unreadable),
}

/// The plan that a planner has written for the task, checked and judged as the client wished. The
/// planner has made the same check: see [`octollm_plan::Terms`].
pub(crate) fn revision(record: &TaskRecord, plan: Plan, readers: Edition) -> Result<Revision, NotPlanned> {
    let request: SubmitTask = record.request.read()?;
    // The same facts that the planner was told, as they are now.
    let planning = planning(record, &[], readers)?;
    let terms = planning.terms(&request.acceptance_criteria, octollm_yardstick::unusable);
    let checked = plan.settled(&terms).map_err(NotPlanned::Faults)?;
    let (steps, specs) = written(&checked, &terms.done);
    let document = PlanDocument { policy: Some(planning.policy.clone()), ..PlanDocument::of(&checked) };
    Ok(Revision { plan: Document::of(&document)?, steps, specs })
}

/// The planner that goes on with the client's answer to the question of the one at `place`.
pub(crate) fn after_the_answer(record: &TaskRecord, place: u16) -> Result<(NewStep, Document), Unreadable> {
    let next = u16::try_from(record.task.steps.len()).unwrap_or(u16::MAX);
    let step = NewStep {
        arm: ArmName::Planner,
        needs: vec![place],
        awaits: Awaits::Answer,
        time_limit: PLANNER_TIME_LIMIT,
    };
    Ok((step, Document::of(&planner_step(next))?))
}
