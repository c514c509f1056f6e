//! What is kept of a call with its step: who answered, at what cost, and where the answer lies.
//! Its form is for ever: fields are only added.

use octollm_contract::{
    ContentHash, Cost, Document, Millis, Timestamp,
    model::{Counted, Finish, Usage},
};
use serde::{Deserialize, Serialize};

/// The receipt of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The model that was asked for.
    pub model: String,
    /// Who answered, as the server named it, where that is another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<String>,
    /// Who was called.
    pub provider: String,
    /// The answer is a simulation (P10).
    #[serde(default)]
    pub simulated: bool,
    /// What was charged, in tokens.
    pub usage: Usage,
    /// What was charged, in US dollars; null: nobody knows a price.
    pub cost_usd: Cost,
    /// The version of the prices.
    pub catalogue: String,
    /// The provider reported more than was held for the call, which is what was charged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disputed: bool,
    /// When the provider was called.
    pub at: Timestamp,
    /// Until the first piece of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<Millis>,
    /// Until the end.
    pub took_ms: Millis,
    /// How often the provider was called until it took the question.
    pub tries: u32,
    /// Secrets that were masked in the question.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub masked: u32,
    /// The hash of the question.
    pub asked: ContentHash,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With an answer, which is kept.
    Answered {
        /// Where.
        answer: ContentHash,
        /// Why it ended.
        finish: Finish,
    },
    /// Without, though the provider may have done it: it is not made again under its number.
    Failed(String),
    /// It was not done and cost nothing: the same question may be asked again.
    NotMade(String),
}

/// The receipt that the lifecycle writes of a call that nobody settled, whichever question it was.
#[derive(Deserialize)]
struct Presumed {
    presumed: bool,
}

/// Whether `receipt` says that nobody knows what became of the call.
pub(crate) fn is_presumed(receipt: &Document) -> bool {
    receipt.read().is_ok_and(|Presumed { presumed }| presumed)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Receipt {
    /// Whether the tokens are the provider's own count.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.usage.counted == Counted::Exact && !self.disputed
    }
}
