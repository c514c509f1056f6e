//! An answer while it is being written: what both translators ([`crate::openai`],
//! [`crate::anthropic`]) fill, with the bounds that hold for every provider.
//!
//! Promises: chunks come out in the order of [`Chunk`]; a tool call comes out whole; text, calls
//! and arguments are bounded; the key that the server was sent is in none of it; usage that cannot be true (negative,
//! not a number, nothing written though text came) is replaced by an estimate and marked so.

use crate::{CallError, ProviderKey, count, count_text, key::Blotting};
use octollm_contract::model::{Ask, Chunk, Counted, Finish, ToolCall, Usage};
use std::collections::VecDeque;

/// The bounds of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the answer's body, and of one line or event in it.
    pub body_bytes_max: usize,
    /// Tool calls.
    pub calls_max: usize,
    /// Bytes of all tool arguments together.
    pub arguments_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { body_bytes_max: 8 << 20, calls_max: 64, arguments_bytes_max: 1 << 20 }
    }
}

/// The longest token of a known tokenizer is a run of 128 spaces: a server that writes more bytes
/// than that per token does not keep to the limit that it was given.
const BYTES_PER_TOKEN_MAX: usize = 128;
/// No text that means something has more bytes a token than this on the whole: what is reported
/// below it cannot be true.
const BYTES_PER_TOKEN_BELIEVED: u64 = 32;
/// For answers of very few tokens.
const TEXT_BYTES_MIN: usize = 4096;

/// What is wrong with an answer; becomes a [`CallError`] with the usage so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It cannot be read.
    Malformed(String),
    /// It passes a bound.
    TooLarge { what: &'static str, limit: usize },
    /// The server says in the answer that it failed: a status if it names one, and its words as they came.
    Failed { status: Option<u16>, said: String },
}

/// Usage as a server reported it, before anybody believed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) cache_read: u64,
    pub(crate) cache_write: u64,
}

#[derive(Debug, Default)]
struct Part {
    id: String,
    name: String,
    arguments: String,
}

#[derive(Debug)]
pub(crate) struct Draft {
    ask: Ask,
    bounds: Bounds,
    /// The name of the tool through which the answer's text is asked for, where a server needs one.
    form: Option<String>,
    /// What no word of the server may give away.
    key: Option<ProviderKey>,
    /// The text on its way out.
    blotting: Blotting,
    simulated: bool,
    out: VecDeque<Chunk>,
    begun: bool,
    written: String,
    parts: Vec<Part>,
    /// Which part a server's own number means.
    slots: Vec<(u64, usize)>,
    reported: Reported,
    /// The report is the last one, not one on the way.
    reported_whole: bool,
    finish: Option<Finish>,
    ended: bool,
}

impl Draft {
    pub(crate) fn new(ask: Ask, bounds: Bounds, form: Option<String>, simulated: bool) -> Self {
        Draft {
            ask,
            bounds,
            form,
            key: None,
            blotting: Blotting::default(),
            simulated,
            out: VecDeque::new(),
            begun: false,
            written: String::new(),
            parts: Vec::new(),
            slots: Vec::new(),
            reported: Reported::default(),
            reported_whole: false,
            finish: None,
            ended: false,
        }
    }

    /// The same of a server that was sent this key.
    pub(crate) fn asked_with(self, key: Option<ProviderKey>) -> Self {
        Draft { blotting: Blotting::of(key.clone()), key, ..self }
    }

    /// The next chunk that is ready.
    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        self.out.pop_front()
    }

    pub(crate) const fn has_begun(&self) -> bool {
        self.begun
    }

    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) const fn has_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// The server has begun, and says who it is.
    pub(crate) fn begin(&mut self, model: Option<&str>, simulated: bool) {
        if !std::mem::replace(&mut self.begun, true) {
            let model = model.filter(|name| !name.is_empty()).unwrap_or(&self.ask.model);
            let model = crate::error::said(model, self.key.as_ref());
            self.simulated |= simulated;
            self.out.push_back(Chunk::Begun { model, simulated: self.simulated });
        }
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<(), Wrong> {
        if text.is_empty() {
            return Ok(());
        }
        self.begin(None, false);
        let tokens = usize::try_from(self.ask.max_output_tokens).unwrap_or(usize::MAX);
        let limit =
            tokens.saturating_mul(BYTES_PER_TOKEN_MAX).max(TEXT_BYTES_MIN).min(self.bounds.body_bytes_max);
        if self.written.len() + text.len() > limit {
            return Err(Wrong::TooLarge { what: "bytes of text", limit });
        }
        self.written.push_str(text);
        let text = self.blotting.piece(text);
        self.say(text);
        Ok(())
    }

    fn say(&mut self, text: String) {
        if !text.is_empty() {
            self.out.push_back(Chunk::Text { text });
        }
    }

    /// A text that came whole, without the key.
    fn blotted(&self, text: String) -> String {
        match &self.key {
            Some(key) => key.blotted_from(text),
            None => text,
        }
    }

    /// A piece of a tool call. `slot` is the server's number for it, if it gives one; an id that
    /// differs from the slot's begins another call (some servers number every call 0).
    pub(crate) fn call(
        &mut self,
        slot: Option<u64>,
        id: Option<&str>,
        name: Option<&str>,
        arguments: &str,
    ) -> Result<(), Wrong> {
        self.begin(None, false);
        let known = match slot {
            Some(slot) => self.slots.iter().rev().find(|(known, _)| *known == slot).map(|(_, part)| *part),
            None if id.is_some() => None,
            None => self.parts.len().checked_sub(1),
        };
        let id = id.unwrap_or_default();
        let at = match known {
            Some(at) if id.is_empty() || self.parts[at].id.is_empty() || self.parts[at].id == id => at,
            Some(_) | None => {
                if self.parts.len() == self.bounds.calls_max {
                    return Err(Wrong::TooLarge { what: "tool calls", limit: self.bounds.calls_max });
                }
                self.parts.push(Part::default());
                let at = self.parts.len() - 1;
                self.slots.push((slot.unwrap_or(u64::MAX), at));
                at
            }
        };
        let all: usize =
            self.parts.iter().map(|part| part.arguments.len() + part.name.len() + part.id.len()).sum();
        let more = arguments.len() + id.len() + name.map_or(0, str::len);
        if all + more > self.bounds.arguments_bytes_max {
            let limit = self.bounds.arguments_bytes_max;
            return Err(Wrong::TooLarge { what: "bytes of tool arguments", limit });
        }
        let part = &mut self.parts[at];
        if part.id.is_empty() {
            id.clone_into(&mut part.id);
        }
        if part.name.is_empty() {
            name.unwrap_or_default().clone_into(&mut part.name);
        }
        part.arguments.push_str(arguments);
        Ok(())
    }

    /// What the server says it used; `whole` when it is the last word.
    pub(crate) const fn report(&mut self, reported: Reported, whole: bool) {
        self.reported = reported;
        self.reported_whole = whole;
    }

    pub(crate) const fn reported(&self) -> Reported {
        self.reported
    }

    pub(crate) fn was_filtered(&self) -> bool {
        self.finish == Some(Finish::Filtered)
    }

    pub(crate) const fn finish(&mut self, finish: Finish) {
        self.finish = Some(finish);
    }

    /// The answer is whole: tool calls, usage and the end come out.
    pub(crate) fn end(&mut self) -> Result<(), Wrong> {
        if self.ended {
            return Ok(());
        }
        self.begin(None, false);
        let usage = self.usage();
        let mut called = false;
        let rest = self.blotting.rest();
        self.say(rest);
        for (number, part) in std::mem::take(&mut self.parts).into_iter().enumerate() {
            let [id, name, arguments] = [part.id, part.name, part.arguments].map(|text| self.blotted(text));
            let part = Part { id, name, arguments };
            if self.form.as_deref() == Some(part.name.as_str()) {
                self.out.push_back(Chunk::Text { text: part.arguments });
                continue;
            }
            if part.name.is_empty() {
                return Err(Wrong::Malformed("a tool call has no name".to_owned()));
            }
            // Unique in the conversation: the number of messages only grows.
            let made = || format!("call_{}_{number}", self.ask.messages.len());
            let id = if part.id.is_empty() { made() } else { part.id };
            called = true;
            self.out.push_back(Chunk::ToolCall(ToolCall { id, name: part.name, arguments: part.arguments }));
        }
        let finish = match self.finish.unwrap_or(Finish::Stop) {
            // Some servers say "stop" when they want tools called, and a form is no tool.
            Finish::Stop | Finish::ToolCalls if called => Finish::ToolCalls,
            Finish::Stop | Finish::ToolCalls => Finish::Stop,
            other @ (Finish::Length | Finish::Filtered) => other,
        };
        self.out.push_back(Chunk::Usage(usage));
        self.out.push_back(Chunk::End { finish });
        self.ended = true;
        Ok(())
    }

    /// What has been used so far: as reported where that can be true, else estimated from above.
    pub(crate) fn usage(&self) -> Usage {
        let Reported { input, output, cache_read, cache_write } = self.reported;
        let read = |input: u64| input.saturating_add(cache_read).saturating_add(cache_write);
        let input = input.filter(|input| read(*input) >= least(asked_bytes(&self.ask)));
        let believed = output.filter(|output| self.reported_whole && *output >= least(self.written_bytes()));
        let exact = input.is_some() && believed.is_some();
        let (cache_read, cache_write) = if input.is_some() { (cache_read, cache_write) } else { (0, 0) };
        Usage {
            input: input.unwrap_or_else(|| count(&self.ask).tokens),
            output: believed.unwrap_or_else(|| self.estimate().max(output.unwrap_or(0))),
            cache_read,
            cache_write,
            counted: if exact { Counted::Exact } else { Counted::Estimated },
        }
    }

    fn written_bytes(&self) -> usize {
        let calls = self.parts.iter().map(|part| part.name.len() + part.arguments.len());
        self.written.len() + calls.sum::<usize>()
    }

    /// The output's tokens from what was written; a server that keeps to its limit has no more.
    fn estimate(&self) -> u64 {
        let text = count_text(&self.ask.model, &self.written).tokens;
        let calls = self.parts.iter().map(|part| {
            count_text(&self.ask.model, &part.arguments).tokens
                + count_text(&self.ask.model, &part.name).tokens
                + 8
        });
        (text + calls.sum::<u64>()).min(u64::from(self.ask.max_output_tokens))
    }

    /// The error for what is wrong, with what was used by then.
    pub(crate) fn error(&self, wrong: Wrong) -> CallError {
        let usage = self.begun.then(|| self.usage());
        let key = self.key.as_ref();
        match wrong {
            Wrong::Malformed(why) => CallError::Malformed { why: crate::error::said(&why, key), usage },
            Wrong::TooLarge { what, limit } => CallError::TooLarge { what, limit: limit as u64, usage },
            Wrong::Failed { status, said } => match (usage, status) {
                (Some(usage), _) => CallError::Cut { why: crate::error::said(&said, key), usage },
                (None, Some(status)) => CallError::of_status(status, None, &said, key),
                (None, None) => CallError::Malformed { why: crate::error::said(&said, key), usage: None },
            },
        }
    }
}

/// So many bytes have at least so many tokens.
fn least(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN_BELIEVED)
}

/// The text of a question, without what providers put around it.
fn asked_bytes(ask: &Ask) -> usize {
    ask.messages.iter().map(|message| message.text().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::model::Message;

    fn draft() -> Draft {
        Draft::new(
            Ask::new("m", vec![Message::user("hi")], 10),
            Bounds::default(),
            Some("form".into()),
            false,
        )
    }

    fn chunks(draft: &mut Draft) -> Vec<Chunk> {
        std::iter::from_fn(|| draft.pop()).collect()
    }

    #[test]
    fn calls_that_are_all_numbered_0_are_told_apart_by_their_ids() {
        let mut draft = draft();
        draft.call(Some(0), Some("a"), Some("x"), "{\"p\":").unwrap();
        draft.call(Some(0), None, None, "1}").unwrap();
        draft.call(Some(0), Some("b"), Some("y"), "{}").unwrap();
        draft.call(Some(0), Some("b"), None, "").unwrap();
        draft.end().unwrap();
        let calls: Vec<_> = chunks(&mut draft)
            .into_iter()
            .filter_map(|chunk| match chunk {
                Chunk::ToolCall(call) => Some((call.id, call.name, call.arguments)),
                Chunk::Begun { .. } | Chunk::Text { .. } | Chunk::Usage(_) | Chunk::End { .. } => None,
            })
            .collect();
        let expected = [("a", "x", "{\"p\":1}"), ("b", "y", "{}")];
        assert_eq!(calls, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    }

    #[test]
    fn a_call_of_the_form_is_the_text() {
        let mut draft = draft();
        draft.call(Some(0), Some("a"), Some("form"), "{\"p\":1}").unwrap();
        draft.finish(Finish::ToolCalls);
        draft.end().unwrap();
        let chunks = chunks(&mut draft);
        assert!(chunks.contains(&Chunk::Text { text: "{\"p\":1}".into() }), "{chunks:?}");
        assert!(chunks.contains(&Chunk::End { finish: Finish::Stop }), "{chunks:?}");
    }

    /// `keys-in-the-gateway`: what a server echoes of the key that it was sent reaches nobody, in one piece
    /// or in several, as text or as a call.
    #[test]
    fn the_key_is_in_no_chunk() {
        let key = ProviderKey::parse("sk-0123456789").unwrap();
        let mut draft = draft().asked_with(Some(key));
        for piece in ["your key is sk-01", "2345", "6789, and", " sk-0123456789; sk-"] {
            draft.text(piece).unwrap();
        }
        draft.call(Some(0), Some("sk-0123456789"), Some("write"), "{\"text\":\"sk-0123").unwrap();
        draft.call(Some(0), None, None, "456789\"}").unwrap();
        draft.call(Some(1), Some("b"), Some("form"), "{\"key\":\"sk-0123456789\"}").unwrap();
        draft.end().unwrap();
        let chunks = chunks(&mut draft);
        assert!(!format!("{chunks:?}").contains("0123456789"), "{chunks:?}");
        let said = chunks.iter().filter_map(|chunk| match chunk {
            Chunk::Text { text } => Some(text.as_str()),
            Chunk::Begun { .. } | Chunk::ToolCall(_) | Chunk::Usage(_) | Chunk::End { .. } => None,
        });
        assert_eq!(said.collect::<String>(), "your key is …, and …; sk-{\"key\":\"…\"}");
        let call =
            ToolCall { id: "…".into(), name: "write".into(), arguments: "{\"text\":\"…\"}".into() };
        assert!(chunks.contains(&Chunk::ToolCall(call)), "{chunks:?}");
    }

    #[test]
    fn usage_that_cannot_be_true_is_estimated_and_marked() {
        let mut draft = draft();
        draft.text("hello").unwrap();
        draft.report(Reported { input: Some(7), output: Some(0), ..Reported::default() }, true);
        let Usage { input, output, counted, .. } = draft.usage();
        assert_eq!((input, output, counted), (7, 5, Counted::Estimated));
        draft.report(Reported { input: Some(7), output: Some(2), ..Reported::default() }, true);
        assert_eq!(draft.usage().counted, Counted::Exact);
        draft.report(Reported { input: None, output: Some(2), cache_read: 9, cache_write: 0 }, true);
        let Usage { cache_read, counted, .. } = draft.usage();
        assert_eq!((cache_read, counted), (0, Counted::Estimated));
    }

    /// P5: a server that reports nothing, or next to nothing, is not believed.
    #[test]
    fn usage_below_what_was_sent_and_written_is_estimated_and_marked() {
        let said = "a long answer with many words ".repeat(10);
        let ask = Ask::new("m", vec![Message::user(said.clone())], 1000);
        for (reported, believed) in
            [((0, 0), false), ((1, 1), false), ((9, 70), false), ((70, 9), false), ((75, 70), true)]
        {
            let mut draft = Draft::new(ask.clone(), Bounds::default(), None, false);
            draft.text(&said).unwrap();
            let (input, output) = (Some(reported.0), Some(reported.1));
            draft.report(Reported { input, output, ..Reported::default() }, true);
            let usage = draft.usage();
            assert_eq!(usage.counted == Counted::Exact, believed, "{reported:?}");
            assert!(usage.input >= 10 && usage.output >= 10, "{usage:?}");
        }
    }

    #[test]
    fn a_server_that_ignores_its_token_limit_is_cut() {
        let mut draft = draft();
        draft.text(&"x".repeat(4096)).unwrap();
        assert!(matches!(draft.text("x"), Err(Wrong::TooLarge { .. })));
    }
}
