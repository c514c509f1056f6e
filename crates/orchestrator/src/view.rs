//! From what the store keeps to what a client sees. No decision is made here.

use crate::{approval, planning, stored::PlanDocument};
use octollm_contract::{
    ArmName, Document, TaskId, Timestamp,
    api::{
        ArtefactView, Awaited, DeliveriesView, EventView, StepView, TaskError, TaskResult, TaskSummary,
        TaskView, Timestamps, Usage, VerdictView,
    },
};
use octollm_lifecycle::{Awaits, Event, EventKind, Failure, StepState, TaskState, Waits};
use octollm_plan::{StepOutput, compose};
use octollm_store::{Receipt, StepRecord, TaskLine, TaskRecord};
use serde_json::{Value, json};

type Unreadable = serde_json::Error;

/// A task, whole.
pub(crate) fn task(record: &TaskRecord) -> Result<TaskView, Unreadable> {
    let task = &record.task;
    let outputs = outputs(record)?;
    Ok(TaskView {
        task_id: task.id,
        status: task.state.status(),
        goal: record.goal.clone(),
        priority: task.priority,
        result: result(record, &outputs)?,
        error: match &task.state {
            TaskState::Failed { failure, .. } => Some(error(task.id, failure)),
            TaskState::Queued
            | TaskState::Planning
            | TaskState::Running
            | TaskState::Waiting { .. }
            | TaskState::Stopping { .. }
            | TaskState::Completed { .. }
            | TaskState::Cancelled { .. } => None,
        },
        question: asked(record, &outputs)?.map(|(_, question)| question),
        awaits: asked(record, &outputs)?.map(|(awaits, _)| awaits),
        awaits_step_id: task.state.waits_at().map(|place| task.id.step(place)),
        verdicts: verdicts(record, &outputs),
        steps: steps(record, &outputs)?,
        usage: Usage {
            cost_usd: task.ledger.cost(),
            tokens: task.ledger.tokens().spent(),
            unsettled_calls: u32::try_from(task.holds.len()).expect("a task has at most HOLDS_MAX holds"),
        },
        timestamps: Timestamps {
            accepted_at: task.terms.accepted_at,
            started_at: task.started_at,
            finished_at: task.state.ended_at(),
            not_before: task.terms.not_before,
            deadline: task.terms.deadline,
        },
    })
}

fn outputs(record: &TaskRecord) -> Result<Vec<Option<StepOutput>>, Unreadable> {
    record.steps.iter().map(|step| step.output.as_ref().map(Document::read).transpose()).collect()
}

fn result(record: &TaskRecord, outputs: &[Option<StepOutput>]) -> Result<Option<TaskResult>, Unreadable> {
    let TaskState::Completed { .. } = record.task.state else { return Ok(None) };
    Ok(Some(compose(&result_outputs(record, outputs)?)))
}

/// The outputs that a task's result is made of; none before it has one.
pub(crate) fn results(record: &TaskRecord) -> Result<Vec<StepOutput>, Unreadable> {
    let TaskState::Completed { .. } = record.task.state else { return Ok(Vec::new()) };
    Ok(result_outputs(record, &outputs(record)?)?.into_iter().cloned().collect())
}

fn result_outputs<'a>(
    record: &TaskRecord,
    outputs: &'a [Option<StepOutput>],
) -> Result<Vec<&'a StepOutput>, Unreadable> {
    let plan: PlanDocument = record.plan.read()?;
    Ok(plan.result.iter().filter_map(|place| outputs.get(usize::from(*place))?.as_ref()).collect())
}

fn error(task: TaskId, failure: &Failure) -> TaskError {
    TaskError {
        reason: failure.reason.as_str().to_owned(),
        message: shown(&failure.message),
        step_id: failure.place.map(|place| task.step(place)),
    }
}

/// What an arm said of a failure, for people: it may quote a file, a program or a model, whose
/// controls and marks of direction would make a terminal show something else.
fn shown(message: &str) -> String {
    octollm_screen::text::neutralise(message).into_owned()
}

/// What the last judge that was heard has found.
fn verdicts(record: &TaskRecord, outputs: &[Option<StepOutput>]) -> Vec<VerdictView> {
    let judged = record.task.places().zip(outputs).filter(|((_, step), _)| step.arm == ArmName::Judge);
    let last = judged.filter_map(|(_, output)| output.as_ref()).last();
    let found = last.and_then(|output| output.data.get("criteria").cloned());
    // A judge of another version may write its findings otherwise; they are in its text, too.
    found.and_then(|found| serde_json::from_value(found).ok()).unwrap_or_default()
}

/// What the task waits for now.
fn asked(
    record: &TaskRecord,
    outputs: &[Option<StepOutput>],
) -> Result<Option<(Awaited, String)>, Unreadable> {
    record.task.state.waits_at().map_or(Ok(None), |place| asked_at(record, outputs, place))
}

/// What the step at `place` waits for, or has waited for.
fn asked_at(
    record: &TaskRecord,
    outputs: &[Option<StepOutput>],
    place: u16,
) -> Result<Option<(Awaited, String)>, Unreadable> {
    let Some(step) = record.task.step(place) else { return Ok(None) };
    let awaits = match step.awaits {
        Awaits::Answer => Awaited::Answer,
        Awaits::Approval => Awaited::Approval,
        // It has what it waited for. No approval is asked for a planner.
        Awaits::Nothing if step.arm == ArmName::Planner => Awaited::Answer,
        Awaits::Nothing => Awaited::Approval,
    };
    let question = match awaits {
        Awaited::Answer => {
            let asked = step.needs.last().and_then(|asked| outputs.get(usize::from(*asked))?.as_ref());
            asked.map(|output| output.text.clone()).unwrap_or_default()
        }
        Awaited::Approval => {
            let Some(kept) = record.steps.get(usize::from(place)) else { return Ok(None) };
            approval::question(&planning::document(kept, place)?.step)?
        }
    };
    Ok(Some((awaits, question)))
}

fn steps(record: &TaskRecord, outputs: &[Option<StepOutput>]) -> Result<Vec<StepView>, Unreadable> {
    let views =
        record.task.places().zip(&record.steps).zip(outputs).map(|(((place, step), kept), output)| {
            let spec = planning::document(kept, place)?.step;
            Ok(StepView {
                step_id: record.task.step_id(place),
                name: spec.name.to_string(),
                arm: step.arm,
                instruction: spec.summary,
                status: step.state.status(),
                plan_version: step.plan_version,
                deliveries: DeliveriesView {
                    attempts: step.deliveries.attempts,
                    failures: step.deliveries.failures,
                    crashes: step.deliveries.crashes,
                    releases: step.deliveries.releases,
                },
                error: match &step.state {
                    StepState::Failed(failure) => Some(shown(&failure.message)),
                    StepState::Blocked
                    | StepState::Ready { .. }
                    | StepState::Leased(_)
                    | StepState::Done
                    | StepState::Cancelled => None,
                },
                provenance: provenance(output.as_ref(), kept)?,
            })
        });
    views.collect()
}

/// Who made a step's result, and the model calls that were made for it: those of attempts that
/// came to nothing, too, for they were paid.
fn provenance(output: Option<&StepOutput>, kept: &StepRecord) -> Result<Option<Value>, Unreadable> {
    let made = output.and_then(|output| output.provenance.as_ref());
    let mut provenance = made.map(serde_json::to_value).transpose()?;
    if !kept.receipts.is_empty() {
        let call = |receipt: &Receipt| {
            let mut call: Value = receipt.body.read()?;
            call["number"] = Value::from(receipt.number);
            // The ledger's own word for a call that nobody settled says nothing about its end.
            if call.get("presumed") == Some(&Value::Bool(true)) {
                call["outcome"] = json!({ "failed": "nobody knows what became of the call" });
            }
            Ok(call)
        };
        let calls: Result<Vec<Value>, Unreadable> = kept.receipts.iter().map(call).collect();
        provenance.get_or_insert_with(|| json!({}))["calls"] = Value::Array(calls?);
    }
    Ok(provenance)
}

/// The file at `path`: of the result if it has one there, else of the last step that made one.
pub(crate) fn artefact(record: &TaskRecord, path: &str) -> Result<Option<ArtefactView>, Unreadable> {
    let outputs = outputs(record)?;
    let of_result = result_outputs(record, &outputs)?;
    let in_order = of_result.into_iter().rev().chain(outputs.iter().rev().flatten());
    Ok(in_order.flat_map(|output| &output.artefacts).find(|made| made.path == path).cloned())
}

/// A line of a list.
pub(crate) fn summary(line: TaskLine) -> TaskSummary {
    TaskSummary {
        task_id: line.id,
        status: line.status,
        goal: line.goal,
        priority: line.priority,
        reason: line.failure.map(|failure| failure.reason.as_str().to_owned()),
        timestamps: Timestamps {
            accepted_at: line.accepted_at,
            started_at: line.started_at,
            finished_at: line.ended_at,
            not_before: line.not_before,
            deadline: line.deadline,
        },
    }
}

/// An opaque name of the place in a list after `last`.
pub(crate) fn cursor(last: TaskId) -> String {
    last.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`cursor`] named.
pub(crate) fn read_cursor(cursor: &str) -> Option<TaskId> {
    let mut bytes = [0; 16];
    if cursor.len() != 32 || !cursor.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(cursor.get(at..at + 2)?, 16).ok()?;
    }
    Some(TaskId::from_bytes(bytes))
}

/// Whether the event can be told by itself, or takes its task's record.
pub(crate) fn needs_the_task(event: &Event) -> bool {
    matches!(event.kind, EventKind::TaskWaiting { .. })
}

/// An event as it is streamed; `record` where it [needs one](needs_the_task).
pub(crate) fn event(
    task: TaskId,
    event: Event,
    record: Option<&TaskRecord>,
) -> Result<EventView, Unreadable> {
    let data = match (&event.kind, record) {
        (EventKind::TaskWaiting { place }, Some(record)) => {
            let asked = asked_at(record, &outputs(record)?, *place)?;
            asked.map_or(Value::Null, |(awaits, question)| json!({ "awaits": awaits, "question": question }))
        }
        (kind, _) => event_data(kind),
    };
    Ok(EventView {
        id: event.number,
        event: event.kind.name().to_owned(),
        task_id: task,
        step_id: event.kind.place().map(|place| task.step(place)),
        at: event.at,
        data,
    })
}

fn event_data(kind: &EventKind) -> Value {
    let again = |from: &Timestamp| json!({ "retry_at": from });
    match kind {
        EventKind::TaskAccepted
        | EventKind::TaskWaiting { .. }
        | EventKind::TaskResumed { .. }
        | EventKind::TaskCancelling
        | EventKind::TaskCompleted
        | EventKind::TaskCancelled
        | EventKind::StepCheckpointed { .. }
        | EventKind::StepCompleted { .. }
        | EventKind::StepReleased { waits: None, .. }
        | EventKind::StepCancelled { .. } => Value::Null,
        EventKind::TaskFailed(failure) | EventKind::StepFailed { failure, .. } => {
            json!({ "reason": failure.reason.as_str(), "message": shown(&failure.message) })
        }
        EventKind::PlanWritten { version } => json!({ "version": version }),
        EventKind::StepStarted { worker, attempt, .. } => json!({ "worker": worker, "attempt": attempt }),
        EventKind::StepReleased { waits: Some(Waits { why, from }), .. } => {
            let mut data = again(from);
            data["message"] = Value::from(shown(why));
            data
        }
        EventKind::StepRetrying { message, from, .. } => {
            let mut data = again(from);
            data["message"] = Value::from(shown(message));
            data
        }
        EventKind::StepLapsed { crashes, from, .. } => {
            let mut data = again(from);
            data["crashes"] = Value::from(*crashes);
            data
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program wrote does not steer the terminal of whoever reads why the task failed.
    #[test]
    fn a_failures_message_has_no_hidden_characters() {
        use octollm_lifecycle::FailureReason;
        let message = "it wrote \u{1b}[2J\u{202e}evil\u{200b}".into();
        let failure = Failure { reason: FailureReason::StepFailed, message, place: None };
        let task = TaskId::from_bytes([1; 16]);
        let clean = "it wrote <U+202E>evil";
        assert_eq!(error(task, &failure).message, clean);
        let from = Timestamp::from_millis(0);
        let waits = Some(Waits { why: failure.message.clone(), from });
        for kind in [
            EventKind::TaskFailed(failure.clone()),
            EventKind::StepFailed { place: 0, failure: failure.clone() },
            EventKind::StepReleased { place: 0, waits },
            EventKind::StepRetrying { place: 0, message: failure.message.clone(), from },
        ] {
            assert_eq!(event_data(&kind)["message"], clean);
        }
    }

    #[test]
    fn a_cursor_reads_back_and_nothing_else_is_one() {
        let id = TaskId::from_bytes([0xa7; 16]);
        assert_eq!(read_cursor(&cursor(id)), Some(id));
        for bad in ["", "zz", &"g".repeat(32), &"A".repeat(32), "ä".repeat(16).as_str()] {
            assert_eq!(read_cursor(bad), None, "{bad}");
        }
    }
}
