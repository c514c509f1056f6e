//! What a model is told at the beginning. The system prompts are files beside this one; all
//! that comes from elsewhere stands in them as marked data.

use crate::{Undone, Work};
use octollm_contract::ContentHash;
use octollm_plan::{Brief, InputValue};
use octollm_screen::data::{Nonce, marked};

/// How a conversation begins.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    pub(crate) system: String,
    pub(crate) user: String,
}

/// What every system prompt ends with.
const DATA: &str = include_str!("prompts/data.md");
/// An input of a step is shown up to this many bytes.
const INPUT_BYTES: usize = 48 << 10;
/// Facts from the client likewise.
const CONTEXT_BYTES: usize = 32 << 10;

impl Prompt {
    /// `system` with the sentences about data, and `user`.
    pub(crate) fn new(work: &Work, system: &str, user: String) -> Self {
        let data = DATA.replace("{nonce}", nonce(work).as_str());
        Prompt { system: format!("{}\n\n{}", system.trim_end(), data.trim_end()), user }
    }
}

/// What makes the marks of this step unlike any other's. It stays the same over attempts, so
/// that a question asked again is the same question; data that holds it has it replaced.
pub(crate) fn nonce(work: &Work) -> Nonce {
    let digits = ContentHash::of(format!("marks of {}", work.grant.step).as_bytes()).to_string();
    digits[..16].parse().expect("a hash is written in hexadecimal digits")
}

/// `text` as data of this step's prompts.
pub(crate) fn data(work: &Work, label: &str, text: &str, most: usize) -> String {
    marked(label, text, most, &nonce(work))
}

/// The goal, the constraints and the facts of the client, for arms that do one step of it.
pub(crate) fn goal(work: &Work, brief: &Brief) -> String {
    let mut parts = vec![data(work, "the goal of the whole task", &brief.goal, 24 << 10)];
    if !brief.constraints.is_empty() {
        parts.push(data(work, "constraints", &lines(&brief.constraints), 8 << 10));
    }
    if !brief.context.is_empty() {
        let context = serde_json::to_string_pretty(&brief.context).unwrap_or_default();
        parts.push(data(work, "facts from the client", &context, CONTEXT_BYTES));
    }
    parts.join("\n")
}

pub(crate) fn lines(texts: &[String]) -> String {
    texts.iter().map(|text| format!("- {text}\n")).collect()
}

/// The values of the step's inputs as data.
pub(crate) async fn values(work: &Work) -> Result<String, Undone> {
    let mut parts = Vec::new();
    for (name, value) in &work.grant.inputs {
        let text = match value {
            InputValue::Text(text) => text.clone(),
            InputValue::WholeText(kept) => work.whole_text(*kept).await?,
            InputValue::Paths(paths) => lines(paths),
            InputValue::Number(number) => number.to_string(),
            InputValue::Data(data) => serde_json::to_string_pretty(data).unwrap_or_default(),
            InputValue::Whole(output) => output.text.clone(),
        };
        parts.push(data(work, &format!("input {name}"), &text, INPUT_BYTES));
    }
    Ok(parts.join("\n"))
}
