//! A model that says what a test tells it to, well or badly.

use crate::{
    Link, Work,
    worker::unreliable::{UnreliableLeases, grant},
};
use octollm_client::{ModelTerms, ThinkError};
use octollm_contract::{
    ArmName,
    model::{Chunk, Counted, Finish, ToolCall, Usage},
};
use octollm_plan::Instruction;
use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(crate) type Pieces = Vec<Result<Chunk, ThinkError>>;

/// An answer of these pieces, between a beginning and an end.
pub(crate) fn pieces(middle: Vec<Chunk>, finish: Finish) -> Pieces {
    let usage = Usage { input: 10, output: 5, cache_read: 0, cache_write: 0, counted: Counted::Exact };
    let mut all = vec![Chunk::Begun { model: "scripted".into(), simulated: true }];
    all.extend(middle);
    all.extend([Chunk::Usage(usage), Chunk::End { finish }]);
    all.into_iter().map(Ok).collect()
}

/// A text and nothing else.
pub(crate) fn says(text: impl Into<String>) -> Pieces {
    pieces(vec![Chunk::Text { text: text.into() }], Finish::Stop)
}

/// Calls of tools, in order.
pub(crate) fn calls(calls: &[(&str, Value)]) -> Pieces {
    let raw: Vec<(&str, String)> =
        calls.iter().map(|(name, arguments)| (*name, arguments.to_string())).collect();
    let raw: Vec<(&str, &str)> = raw.iter().map(|(name, arguments)| (*name, arguments.as_str())).collect();
    raw_calls(&raw)
}

/// Calls with arguments that need not be JSON, all with the same id.
pub(crate) fn raw_calls(calls: &[(&str, &str)]) -> Pieces {
    let call = |(name, arguments): &(&str, &str)| {
        Chunk::ToolCall(ToolCall { id: "same".into(), name: (*name).into(), arguments: (*arguments).into() })
    };
    pieces(calls.iter().map(call).collect(), Finish::ToolCalls)
}

/// A step that thinks, whose model says `answers`.
pub(crate) fn thinking(
    arm: ArmName,
    instruction: Instruction,
    answers: Vec<Pieces>,
) -> (Work, Arc<UnreliableLeases>) {
    let leases = UnreliableLeases::new();
    for answer in answers {
        leases.next_thought(Ok(answer));
    }
    let mut grant = grant(0, arm, instruction);
    grant.models =
        vec![ModelTerms { model: "scripted".into(), context_tokens: 32_000, output_tokens_max: 4096 }];
    let work = Work {
        cancel: CancellationToken::new(),
        link: Link::new(Arc::clone(&leases) as _, grant.token.clone()),
        worker: "w1".parse().expect("a worker's name"),
        started: crate::clock::now(),
        refused: Vec::new(),
        grant: Arc::new(grant),
    };
    (work, leases)
}
