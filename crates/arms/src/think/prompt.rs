//! What a model is told at the beginning. The system prompts are files beside this one; all
//! that comes from elsewhere stands in them as marked data.
//!
//! Promises: the beginning fits the model's window. What does not fit is cut where it is longest,
//! and each cut is said in its place; a goal and an instruction are never cut, they are refused.

use crate::{Undone, Work};
use octollm_contract::ContentHash;
use octollm_plan::{Brief, InputValue};
use octollm_screen::{
    data::{Nonce, marked},
    text::neutralise,
};

/// How a conversation begins.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    system: String,
    parts: Vec<Part>,
}

/// A piece of what a model is told at the beginning.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Our own words.
    Words(String),
    /// What comes from elsewhere.
    Data {
        /// A word for what it is, for the mark around it.
        label: String,
        text: String,
        /// At most so many bytes of it are shown.
        most: usize,
        /// Without the whole of it the model cannot know what is wanted.
        essential: bool,
    },
}

/// What cannot be left out is more than the window takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    pub(crate) bytes: usize,
    pub(crate) room: usize,
}

/// What every system prompt ends with.
const DATA: &str = include_str!("prompts/data.md");
/// An input of a step is shown up to this many bytes.
const INPUT_BYTES: usize = 48 << 10;
/// Facts from the client likewise.
const CONTEXT_BYTES: usize = 32 << 10;
/// Of a goal and of an instruction so many bytes are read; the accept and the plan take no more.
const ESSENTIAL_BYTES: usize = 128 << 10;
/// What the marks around a piece of data take at most, besides its label.
const AROUND: usize = 160;

impl Part {
    /// Data that may be cut, at the latest at `most` bytes.
    pub(crate) fn data(label: impl Into<String>, text: impl Into<String>, most: usize) -> Part {
        Part::Data { label: label.into(), text: text.into(), most, essential: false }
    }

    /// Data that says what is wanted.
    pub(crate) fn essential(label: &str, text: impl Into<String>) -> Part {
        Part::Data { label: label.into(), text: text.into(), most: ESSENTIAL_BYTES, essential: true }
    }

    /// What it takes when no more than `cap` bytes of it are shown, as far as it may be cut.
    fn bytes(&self, cap: usize) -> usize {
        match self {
            Part::Words(words) => words.len() + 2,
            Part::Data { label, most, essential, .. } => {
                let cap = if *essential { *most } else { (*most).min(cap) };
                self.whole().min(cap) + label.len() + AROUND
            }
        }
    }

    fn whole(&self) -> usize {
        match self {
            Part::Words(words) => words.len(),
            Part::Data { text, .. } => neutralise(text).len(),
        }
    }

    fn may_be_cut(&self) -> bool {
        matches!(self, Part::Data { essential: false, .. })
    }
}

impl Prompt {
    /// `system` with the sentences about data, and what it is about.
    pub(crate) fn new(work: &Work, system: &str, parts: Vec<Part>) -> Self {
        let data = DATA.replace("{nonce}", nonce(work).as_str());
        Prompt { system: format!("{}\n\n{}", system.trim_end(), data.trim_end()), parts }
    }

    /// The system message and the first one of the user, for a window of `room` bytes. Of it,
    /// three fifths are for the beginning; what cannot be cut may have four.
    pub(crate) fn fitted(&self, work: &Work, room: usize) -> Result<(String, String), TooLong> {
        let fixed = self.parts.iter().filter(|part| !part.may_be_cut()).map(|part| part.bytes(0));
        let marks = self.parts.iter().filter(|part| part.may_be_cut()).map(|part| part.bytes(0));
        let (fixed, marks) = (self.system.len() + fixed.sum::<usize>(), marks.sum::<usize>());
        if fixed + marks > room / 5 * 4 {
            return Err(TooLong { bytes: fixed + marks, room: room / 5 * 4 });
        }
        let cap = self.cap((room / 5 * 3).saturating_sub(fixed + marks));
        let nonce = nonce(work);
        let shown: Vec<String> = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Words(words) => words.clone(),
                Part::Data { label, text, most, essential } => {
                    let most = if *essential { *most } else { (*most).min(cap) };
                    marked(label, text, most, &nonce)
                }
            })
            .collect();
        Ok((self.system.clone(), shown.join("\n\n")))
    }

    /// The bound for each text that may be cut with which all of them take `room` bytes: short
    /// texts stay whole, and the longest are cut to one length.
    fn cap(&self, mut room: usize) -> usize {
        let texts = self.parts.iter().filter(|part| part.may_be_cut());
        let mut lengths: Vec<usize> = texts.map(|part| part.bytes(usize::MAX) - part.bytes(0)).collect();
        lengths.sort_unstable();
        for (at, length) in lengths.iter().enumerate() {
            let share = room / (lengths.len() - at);
            if *length > share {
                return share;
            }
            room -= length;
        }
        usize::MAX
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
pub(crate) fn goal(brief: &Brief) -> Vec<Part> {
    let mut parts = vec![Part::essential("the goal of the whole task", &brief.goal)];
    if !brief.constraints.is_empty() {
        parts.push(Part::data("constraints", lines(&brief.constraints), 8 << 10));
    }
    if !brief.context.is_empty() {
        let context = serde_json::to_string_pretty(&brief.context).unwrap_or_default();
        parts.push(Part::data("facts from the client", context, CONTEXT_BYTES));
    }
    parts
}

pub(crate) fn lines(texts: &[String]) -> String {
    texts.iter().map(|text| format!("- {text}\n")).collect()
}

/// The values of the step's inputs as data.
pub(crate) async fn values(work: &Work) -> Result<Vec<Part>, Undone> {
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
        parts.push(Part::data(format!("input {name}"), text, INPUT_BYTES));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::think::scripted::thinking;
    use octollm_contract::ArmName;
    use octollm_plan::Instruction;

    fn prompt(work: &Work, texts: &[usize]) -> Prompt {
        let mut parts = vec![Part::essential("the goal", "g".repeat(500)), Part::Words("Do it.".into())];
        parts.extend(texts.iter().map(|bytes| Part::data("a file", "x".repeat(*bytes), 48 << 10)));
        Prompt::new(work, "You work.", parts)
    }

    #[test]
    fn what_is_longest_is_cut_and_says_so() {
        let (work, _) = thinking(ArmName::Coder, Instruction::Think("x".into()), Vec::new());
        let (_, whole) = prompt(&work, &[100, 20_000]).fitted(&work, 100_000).unwrap();
        assert!(!whole.contains("cut here") && whole.len() > 20_600);
        let (_, cut) = prompt(&work, &[100, 20_000]).fitted(&work, 20_000).unwrap();
        assert_eq!(cut.matches("(cut here: ").count(), 1, "{cut}");
        assert!(cut.contains(&"g".repeat(500)) && cut.contains(&format!("{}\n", "x".repeat(100))));
        let refused = prompt(&work, &[100]).fitted(&work, 1_000).unwrap_err();
        assert!(refused.bytes > refused.room, "{refused:?}");
    }

    /// Whatever there is to be told, the beginning leaves room for what follows, or is refused.
    #[test]
    fn a_beginning_fits_or_is_refused() {
        let (work, _) = thinking(ArmName::Coder, Instruction::Think("x".into()), Vec::new());
        let lengths = [0, 1, 400, 5_000, 60_000];
        let pairs = lengths.iter().flat_map(|a| lengths.iter().map(move |b| vec![*a, *b]));
        for texts in pairs.chain([Vec::new(), vec![60_000; 9], vec![10; 9]]) {
            for room in [0, 500, 1_500, 3_000, 9_216, 18_432, 36_864, 200_000] {
                let Ok((system, user)) = prompt(&work, &texts).fitted(&work, room) else { continue };
                let bytes = system.len() + user.len();
                assert!(bytes <= room / 5 * 4, "{bytes} in {room}: {texts:?}");
                assert!(user.contains(&"g".repeat(500)), "{texts:?} in {room}");
            }
        }
    }
}
