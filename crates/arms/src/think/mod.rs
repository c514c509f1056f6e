//! Steps that think: a conversation with a model, its journal, and the loop in which a model
//! calls tools.
//!
//! Promises: a conversation is bounded in questions, tool calls, bytes and useless answers, and
//! ends with a reason when a bound is met. It is saved after every tool call; a later attempt
//! goes on from there, asks nothing again that was answered (questions keep their numbers, and
//! the gateway answers a repeated number from its record), and repeats no effect on the outside
//! world whose outcome is not known. Nothing that a tool, a file or another step says reaches a
//! prompt but as marked, neutralised, bounded data.
//!
//! Must not know: providers, prices, HTTP.

mod answer;
mod converse;
mod fit;
mod journal;
mod prompt;
#[cfg(test)]
pub(crate) mod scripted;
mod talk;
#[cfg(test)]
mod tests;

pub(crate) use converse::{Bounds, Call, Reply, Toolbox, converse, read_arguments, tool};
pub(crate) use journal::{Journal, Run};
#[cfg(test)]
pub(crate) use prompt::nonce;
pub(crate) use prompt::{Part, Prompt, data, goal, lines, values};
pub(crate) use talk::{Form, Talk, quoted};

/// What a step fails with when no model is offered to it (P10).
pub(crate) const NO_MODEL: &str =
    "this step needs a model, and none is configured; nothing was made up in its place";
