//! An answer of a model, made fit to be acted on and to be sent back as a part of the
//! conversation.

use octollm_contract::model::{Answer, Finish, ToolCall};
use octollm_screen::{data::beginning, text::neutralise};

/// A text of a model is kept up to this many bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 512 << 10;
/// The arguments of one call have at most this many bytes.
const ARGUMENT_BYTES_MAX: usize = 512 << 10;
/// An answer may call at most this many tools.
const CALLS_MAX: usize = 16;
/// A provider takes names of at most so many characters.
const NAME_CHARS_MAX: usize = 64;

/// What a model said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fit {
    pub(crate) text: String,
    /// With ids of our own: what a model gives may be empty, or given twice.
    pub(crate) calls: Vec<ToolCall>,
    /// Why nothing of it can be used, in words for the model.
    pub(crate) trouble: Option<String>,
}

/// Takes an answer in. `number` is its question's, for the ids.
pub(crate) fn fit(answer: Answer, number: u32) -> Fit {
    let long = answer.text.len() > TEXT_BYTES_MAX;
    let trouble = match answer.finish {
        _ if long => Some(format!(
            "Your answer had {} bytes; at most {TEXT_BYTES_MAX} are read. Answer shorter.",
            answer.text.len()
        )),
        _ if answer.tool_calls.len() > CALLS_MAX => Some(format!(
            "You called {} tools at once; at most {CALLS_MAX} are taken. None was run.",
            answer.tool_calls.len()
        )),
        _ if answer.tool_calls.iter().any(|call| call.arguments.len() > ARGUMENT_BYTES_MAX) => {
            Some(format!("A call's arguments have more than {ARGUMENT_BYTES_MAX} bytes. Nothing was run."))
        }
        Finish::Length => Some(
            "Your answer was cut off at its length limit, so nothing of it was used. Answer shorter, in smaller steps."
                .to_owned(),
        ),
        Finish::Filtered => Some("The provider's filter ended the answer.".to_owned()),
        Finish::Stop | Finish::ToolCalls if answer.tool_calls.is_empty() && answer.text.trim().is_empty() => {
            Some("Your answer was empty.".to_owned())
        }
        Finish::Stop | Finish::ToolCalls => None,
    };
    let mut text = neutralise(beginning(&answer.text, TEXT_BYTES_MAX)).into_owned();
    let calls = match trouble {
        // What is sent back must stay small, whatever came.
        Some(_) => {
            text.truncate(text.floor_char_boundary(2000));
            Vec::new()
        }
        None => answer
            .tool_calls
            .into_iter()
            .enumerate()
            .map(|(place, call)| named(call, number, place))
            .collect(),
    };
    Fit { text, calls, trouble }
}

fn named(call: ToolCall, number: u32, place: usize) -> ToolCall {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let valid = !call.name.is_empty() && call.name.len() <= NAME_CHARS_MAX && call.name.chars().all(fits);
    let name = if valid { call.name } else { "no-such-name".to_owned() };
    ToolCall { id: format!("call-{number}-{place}"), name, arguments: call.arguments }
}
