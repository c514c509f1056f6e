//! How a step has a model think: through the orchestrator's gateway, with the step's token.

use futures_util::Stream;
use octollm_contract::{
    Millis,
    model::{Answer, Ask, Chunk, Gathering, WaitsFor},
};
use serde::{Deserialize, Serialize};
use std::pin::Pin;
use utoipa::ToSchema;

/// A question of a step to a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ThinkAsk {
    /// Which question of the step this is, from 1. The same number with the same question is
    /// asked once: a repetition gets the first answer, and nothing is paid again.
    pub number: u32,
    /// The question. Without a model the gateway chooses.
    pub ask: Ask,
}

/// An answer while it comes. It ends after [`Chunk::End`] or after an error.
pub type Thinking = Pin<Box<dyn Stream<Item = Result<Chunk, ThinkError>> + Send>>;

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum ThinkError {
    /// Drop the work: the lease is gone, or its task is being stopped.
    #[error("the lease is no longer held")]
    Lost,
    /// The task's budget does not cover what the call may cost at most. Ask for less, or give up.
    #[error("{0}")]
    OverBudget(String),
    /// The question cannot be asked like this: change it.
    #[error("{0}")]
    Refused(String),
    /// It is not asked now and nothing was paid. Ask again under the same number.
    #[error("no model can be asked now: {why}")]
    Busy {
        /// Not before this has passed.
        retry_after: Millis,
        /// What keeps it.
        waits_for: WaitsFor,
        /// What a provider said last, or what is full.
        why: String,
    },
    /// The call was made and brought no whole answer; what it used is charged. Another attempt
    /// takes the next number.
    #[error("{0}")]
    Failed(String),
    /// The orchestrator's answer did not come, or broke off. Ask again under the same number.
    #[error("the orchestrator cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A stream that ended before its answer did.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct BrokeOff;

/// A whole answer has at most so many bytes; nobody gathers more of it.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// The whole answer. One that goes on without an end is given up.
pub async fn whole(mut thinking: Thinking) -> Result<Answer, ThinkError> {
    use futures_util::StreamExt as _;
    let mut gathering = Gathering::default();
    let mut bytes = 0usize;
    while let Some(chunk) = thinking.next().await {
        let chunk = chunk?;
        bytes = bytes.saturating_add(match &chunk {
            Chunk::Text { text } => text.len(),
            Chunk::ToolCall(call) => call.name.len().saturating_add(call.arguments.len()),
            Chunk::Begun { .. } | Chunk::Usage(_) | Chunk::End { .. } => 0,
        });
        if bytes > ANSWER_BYTES_MAX {
            return Err(ThinkError::Failed(format!("the answer has more than {ANSWER_BYTES_MAX} bytes")));
        }
        gathering.push(chunk);
    }
    gathering.answer().ok_or_else(|| ThinkError::Unreachable(Box::new(BrokeOff)))
}

/// A line of the answer to `POST /internal/v1/step/think`, which is one JSON value a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThinkLine {
    /// The next piece.
    Chunk(Chunk),
    /// See [`ThinkError::Lost`]. Like the other errors it is the last line.
    Lost,
    /// See [`ThinkError::OverBudget`].
    OverBudget(String),
    /// See [`ThinkError::Refused`].
    Refused(String),
    /// See [`ThinkError::Busy`].
    Busy {
        /// Not before this has passed, in milliseconds.
        retry_after: Millis,
        /// What keeps it; one that does not say means a provider.
        #[serde(default)]
        waits_for: WaitsFor,
        /// What a provider said last, or what is full.
        why: String,
    },
    /// See [`ThinkError::Failed`].
    Failed(String),
    /// The orchestrator could not do its part.
    Away(String),
}

impl From<Result<Chunk, ThinkError>> for ThinkLine {
    fn from(said: Result<Chunk, ThinkError>) -> Self {
        match said {
            Ok(chunk) => ThinkLine::Chunk(chunk),
            Err(ThinkError::Lost) => ThinkLine::Lost,
            Err(ThinkError::OverBudget(why)) => ThinkLine::OverBudget(why),
            Err(ThinkError::Refused(why)) => ThinkLine::Refused(why),
            Err(ThinkError::Busy { retry_after, waits_for, why }) => {
                ThinkLine::Busy { retry_after, waits_for, why }
            }
            Err(ThinkError::Failed(why)) => ThinkLine::Failed(why),
            Err(ThinkError::Unreachable(why)) => ThinkLine::Away(why.to_string()),
        }
    }
}

impl From<ThinkLine> for Result<Chunk, ThinkError> {
    fn from(line: ThinkLine) -> Self {
        Err(match line {
            ThinkLine::Chunk(chunk) => return Ok(chunk),
            ThinkLine::Lost => ThinkError::Lost,
            ThinkLine::OverBudget(why) => ThinkError::OverBudget(why),
            ThinkLine::Refused(why) => ThinkError::Refused(why),
            ThinkLine::Busy { retry_after, waits_for, why } => {
                ThinkError::Busy { retry_after, waits_for, why }
            }
            ThinkLine::Failed(why) => ThinkError::Failed(why),
            ThinkLine::Away(why) => ThinkError::Unreachable(why.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_reads_back_as_what_was_said() {
        let lines = [
            ThinkLine::Chunk(Chunk::Text { text: "a\nb".into() }),
            ThinkLine::Lost,
            ThinkLine::OverBudget("x".into()),
            ThinkLine::Refused("x".into()),
            ThinkLine::Busy { retry_after: Millis::new(5), waits_for: WaitsFor::Turn, why: "x".into() },
            ThinkLine::Failed("x".into()),
            ThinkLine::Away("x".into()),
        ];
        for line in lines {
            let text = serde_json::to_string(&line).unwrap();
            assert!(!text.contains('\n'));
            let read: ThinkLine = serde_json::from_str(&text).unwrap();
            assert_eq!(ThinkLine::from(Result::from(read)), line);
        }
    }

    /// Both sides of a rolling upgrade: who does not say what a question waits for means a provider,
    /// and who does not know the word reads the rest.
    #[test]
    fn a_busy_line_is_read_across_versions() {
        let old = r#"{"busy":{"retry_after":5,"why":"x"}}"#;
        let read: ThinkLine = serde_json::from_str(old).unwrap();
        let provider =
            ThinkLine::Busy { retry_after: Millis::new(5), waits_for: WaitsFor::Provider, why: "x".into() };
        assert_eq!(read, provider);
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum OldLine {
            Busy { retry_after: Millis, why: String },
        }
        let new = ThinkLine::Busy { retry_after: Millis::new(5), waits_for: WaitsFor::Turn, why: "x".into() };
        let OldLine::Busy { retry_after, why } =
            serde_json::from_str(&serde_json::to_string(&new).unwrap()).unwrap();
        assert_eq!((retry_after, why.as_str()), (Millis::new(5), "x"));
    }
}
