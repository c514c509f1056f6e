//! Why a call of a model brought no whole answer: one variant for each thing the caller can do.

use crate::ProviderKey;
use octollm_contract::{Millis, model::Usage};
use octollm_screen::text::neutralise;

/// How much of what a server said is kept.
pub(crate) const SAID_CHARS_MAX: usize = 500;

/// Why there is no (whole) answer. What may be repeated is decided in [`crate::retry`], what has to
/// be paid in [`CallError::charge`].
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The provider will not do this request, now or later: change the request or the settings.
    #[error("the model server refused the request ({status}): {said}")]
    Refused {
        /// The answer's status.
        status: u16,
        /// The server's words, bounded.
        said: String,
    },
    /// The key is missing, wrong, or may not use this model: an operator must act.
    #[error("the model server did not accept the key ({status}): {said}")]
    BadKey {
        /// The answer's status.
        status: u16,
        /// The server's words, bounded.
        said: String,
    },
    /// The account has no money or quota left: waiting does not help.
    #[error("the account at the model server is used up: {said}")]
    OutOfCredit {
        /// The server's words, bounded.
        said: String,
    },
    /// Too many requests or tokens: wait.
    #[error("the model server limits the rate: {said}")]
    RateLimited {
        /// How long the server asks to wait.
        retry_after: Option<Millis>,
        /// The server's words, bounded.
        said: String,
    },
    /// The server cannot do it now and says so: wait, or take another.
    #[error("the model server is overloaded or failed ({status}): {said}")]
    Overloaded {
        /// The answer's status.
        status: u16,
        /// How long the server asks to wait.
        retry_after: Option<Millis>,
        /// The server's words, bounded.
        said: String,
    },
    /// No connection: nothing was sent, so it is safe to repeat.
    #[error("the model server at {at} cannot be reached")]
    Unreachable {
        /// Its address, without secrets.
        at: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The request was sent and no answer began: it may have been done, and may be paid for.
    #[error("the model server gave no answer to a request that it may have done: {why}")]
    Unknown {
        /// What happened.
        why: String,
    },
    /// A time limit of ours ran out.
    #[error("the model server took too long: nothing within {limit} ({phase})")]
    TimedOut {
        /// What was waited for.
        phase: Phase,
        /// How long.
        limit: Millis,
        /// What had been used by then, as far as is known; `None` before the first byte.
        usage: Option<Usage>,
    },
    /// An answer came that is not one: broken JSON, a page in HTML, an error in a stream.
    #[error("the model server's answer cannot be read: {why}")]
    Malformed {
        /// What is wrong with it.
        why: String,
        /// What had been used by then, as far as is known.
        usage: Option<Usage>,
    },
    /// The answer passed a bound of ours and was cut.
    #[error("the model server's answer has more than {limit} {what}")]
    TooLarge {
        /// What there was too much of, with its unit: "bytes", "bytes in a line", "tool calls".
        what: &'static str,
        /// The bound.
        limit: u64,
        /// What had been used by then, as far as is known.
        usage: Option<Usage>,
    },
    /// The stream broke off before its end.
    #[error("the model server's answer broke off: {why}")]
    Cut {
        /// What happened.
        why: String,
        /// What had been used by then; output at least, for the server may have written more.
        usage: Usage,
    },
}

/// What was waited for when the time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first piece of the answer, counted from the sending of the request.
    FirstToken,
    /// The next piece.
    BetweenTokens,
    /// The end of the answer, counted from the start of the call.
    Total,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Phase::FirstToken => "until the first token",
            Phase::BetweenTokens => "between two tokens",
            Phase::Total => "for the whole answer",
        })
    }
}

/// What a failed call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// Nothing: it did not reach the provider, or the provider refused it.
    Nothing,
    /// Nobody knows: whoever must not overspend counts the whole hold.
    Unknown,
    /// At least this; the provider may have counted more output than arrived here.
    AtLeast(Usage),
}

impl CallError {
    /// What a status that is no success means.
    pub(crate) fn of_status(
        status: u16,
        retry_after: Option<Millis>,
        body: &str,
        key: Option<&ProviderKey>,
    ) -> CallError {
        let lower = body.to_ascii_lowercase();
        let used_up = ["insufficient_quota", "credit balance is too low", "billing_hard_limit"];
        let said = said(body, key);
        match status {
            _ if used_up.iter().any(|words| lower.contains(words)) => CallError::OutOfCredit { said },
            401 | 403 => CallError::BadKey { status, said },
            402 => CallError::OutOfCredit { said },
            429 => CallError::RateLimited { retry_after, said },
            // The server itself says that it did not do it.
            408 | 409 | 425 | 500 | 503 | 529 => CallError::Overloaded { status, retry_after, said },
            // 501 is neither: what is not implemented was not done, and waiting does not bring it.
            // Somebody between here and the server lost the answer; the server may have written it.
            502..=599 => CallError::Unknown { why: format!("status {status}: {said}") },
            _ => CallError::Refused { status, said },
        }
    }

    /// What the failed call may cost. Errors that a provider answers with a status are not billed
    /// by any provider we know; what broke after the request was sent may be.
    #[must_use]
    pub const fn charge(&self) -> Charge {
        match self {
            CallError::Refused { .. }
            | CallError::BadKey { .. }
            | CallError::OutOfCredit { .. }
            | CallError::RateLimited { .. }
            | CallError::Overloaded { .. }
            | CallError::Unreachable { .. } => Charge::Nothing,
            CallError::Unknown { .. } => Charge::Unknown,
            CallError::Cut { usage, .. } => Charge::AtLeast(*usage),
            CallError::TimedOut { usage, .. }
            | CallError::Malformed { usage, .. }
            | CallError::TooLarge { usage, .. } => match usage {
                Some(usage) => Charge::AtLeast(*usage),
                None => Charge::Unknown,
            },
        }
    }
}

/// A server's words for people: bounded, on one line, with nothing hidden in them, and without the key
/// that it was sent. The key goes first: a bound may leave only a part of it, which would not be known.
pub(crate) fn said(text: &str, key: Option<&ProviderKey>) -> String {
    let text = text.trim();
    let clean = key.map_or_else(|| neutralise(text), |key| key.blotted(text).into());
    clean.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_CHARS_MAX).collect()
}
