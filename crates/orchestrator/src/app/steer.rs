//! What a caller can do to a task that was accepted.

use super::{App, Caller, ReadError};
use octollm_contract::{
    Document, StepId, TaskId,
    api::{TaskInput, TaskView},
};
use octollm_lifecycle::{Command, Given, Refusal};
use octollm_store::{DecideError, Directed, StoreError};

/// An answer to a question has at most so many characters.
const ANSWER_CHARACTERS_MAX: usize = 20_000;

/// Why a task was not steered. Nothing was changed, unless the store says that it does not know.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// There is no such task, or it is another tenant's.
    #[error("there is no such task")]
    NotFound,
    /// The task's state does not allow it.
    #[error(transparent)]
    Refused(Refusal),
    /// Send the other field.
    #[error("the task waits for {wanted}, not for {given}")]
    OtherInput {
        /// The field that was sent.
        given: &'static str,
        /// The field that it waits for.
        wanted: &'static str,
    },
    /// Read what the step that waits asks, and name that one.
    #[error("the task waits for an input to {waits}, not to {given}; read its `question` first")]
    OtherStep {
        /// The step that was named.
        given: StepId,
        /// The step that waits.
        waits: StepId,
    },
    /// Name the step whose question was read.
    #[error(
        "the task has asked more than once; say by `step_id` which question this answers. {waits} waits now; \
         read its `question` first"
    )]
    WhichQuestion {
        /// The step that waits.
        waits: StepId,
    },
    /// Name the step whose question was read: the task has several.
    #[error("`approve` needs `step_id`: the `awaits_step_id` of the task whose `question` was read")]
    NoStep,
    /// Name a step of this task.
    #[error("{0} is no step of this task")]
    NotItsStep(StepId),
    /// Send exactly one of `text` and `approve`.
    #[error("exactly one of text and approve must be given")]
    NotOneInput,
    /// Send an answer of the right length, in plain text.
    #[error("an answer has 1 to {ANSWER_CHARACTERS_MAX} characters, and no control characters")]
    NoAnswer,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The command was done, but what came of it cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl App {
    /// Wishes that the task ends, and gives it back as it is then.
    pub async fn cancel(&self, caller: &Caller, id: TaskId) -> Result<TaskView, SteerError> {
        self.steer(caller, id, Command::Cancel).await
    }

    /// Gives what the task waits for.
    pub async fn input(&self, caller: &Caller, id: TaskId, input: TaskInput) -> Result<TaskView, SteerError> {
        let TaskInput { text, approve, step_id } = input;
        if let Some(step) = step_id.filter(|step| step.task != id) {
            return Err(SteerError::NotItsStep(step));
        }
        let place = match (step_id, approve) {
            (Some(step), _) => Some(step.place),
            (None, Some(_)) => self.only_place(caller, id).await?,
            (None, None) => None,
        };
        let (given, [field, other]) = match (text, approve, place) {
            (None, Some(_), None) => return Err(SteerError::NoStep),
            (None, Some(true), Some(place)) => (Given::Approve { place }, ["approve", "text"]),
            (None, Some(false), Some(place)) => (Given::Refuse { place }, ["approve", "text"]),
            (Some(text), None, _) if !is_answer(&text) => return Err(SteerError::NoAnswer),
            (Some(text), None, place) => {
                let answer = Document::of(&text).expect("a text is JSON");
                (Given::Answer { place, answer }, ["text", "approve"])
            }
            (Some(_), Some(_), _) | (None, None, _) => return Err(SteerError::NotOneInput),
        };
        self.steer(caller, id, Command::Input(given)).await.map_err(|error| match (error, step_id) {
            (SteerError::Refused(Refusal::OtherInput), _) => {
                SteerError::OtherInput { given: field, wanted: other }
            }
            (SteerError::Refused(Refusal::OtherStep { waits }), given) => {
                SteerError::OtherStep { given: given.unwrap_or(id.step(0)), waits: id.step(waits) }
            }
            (SteerError::Refused(Refusal::WhichQuestion { waits }), _) => {
                SteerError::WhichQuestion { waits: id.step(waits) }
            }
            (error, _) => error,
        })
    }

    /// The place of a task's step that has no other: nothing else can have been read. A plan that grows later does
    /// not change what was meant.
    async fn only_place(&self, caller: &Caller, id: TaskId) -> Result<Option<u16>, ReadError> {
        Ok((self.task(caller, id).await?.steps.len() == 1).then_some(0))
    }

    async fn steer(&self, caller: &Caller, id: TaskId, command: Command) -> Result<TaskView, SteerError> {
        let directed = Directed { task: id, scope: caller.scope(), command };
        match self.parts.store.decide(vec![directed]).await.pop() {
            Some(Ok(_)) => {
                // It is written, whatever becomes of the read.
                self.has_written(caller);
                Ok(self.task(caller, id).await?)
            }
            Some(Err(DecideError::Refused(refusal))) => {
                // The caller is told of a state that it may not have been shown: it is learnt that it has.
                self.task(caller, id).await?;
                Err(SteerError::Refused(refusal))
            }
            Some(Err(DecideError::Store(error))) => Err(SteerError::Store(error)),
            Some(Err(DecideError::NotFound)) | None => Err(SteerError::NotFound),
        }
    }
}

fn is_answer(text: &str) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= ANSWER_CHARACTERS_MAX
        && text.chars().all(super::is_plain)
}
