//! How many tokens a question has, before it is asked.
//!
//! Promises: an upper bound, so that a hold made of it suffices (P5): the text by the model's own
//! tokenizer where that is known, else one token a byte, which no byte-level tokenizer exceeds;
//! what providers put around messages and tools is added generously. Time is linear in the text:
//! what tokenizers are slow at (long runs without a break, very long texts) is counted by bytes.
//! A tokenizer's table takes tens of megabytes and is loaded at its first use.

use octollm_contract::model::{Ask, Message, ToolCall};
use tiktoken_rs::{CoreBPE, bpe_for_tokenizer, tokenizer::get_tokenizer};

/// What a provider puts around one message, tool call or tool: role, name, separators. OpenAI's
/// published figures are 3 or 4 for a message and about 11 for a function.
const AROUND_EACH: u64 = 16;
/// What it puts around the whole, tool preamble included (Anthropic's is the largest published:
/// 346 tokens as soon as there is a tool; 530 with a forced one on old models).
const AROUND_ALL: u64 = 16;
const AROUND_TOOLS: u64 = 530;
/// Texts beyond this are counted by bytes.
const TOKENIZED_BYTES_MAX: usize = 256 * 1024;
/// So are texts with a longer run of one kind of character: the pattern that cuts words is
/// quadratic in it.
const RUN_BYTES_MAX: usize = 512;

/// A number of tokens that the question does not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// At most so many.
    pub tokens: u64,
    /// How they were counted.
    pub by: CountedBy,
}

/// How tokens were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedBy {
    /// All text by the model's own tokenizer.
    Tokenizer,
    /// Some text by its bytes: up to five times too many.
    Bytes,
}

/// The tokens of everything that `ask` sends, for the model that it names.
#[must_use]
pub fn count(ask: &Ask) -> Count {
    let tokenizer = get_tokenizer(&ask.model).and_then(|tokenizer| bpe_for_tokenizer(tokenizer).ok());
    let mut tally = Tally { tokenizer, tokens: AROUND_ALL, by: CountedBy::Tokenizer };
    for message in &ask.messages {
        tally.text(message.text());
        tally.add(AROUND_EACH);
        match message {
            Message::Assistant { tool_calls, .. } => {
                for ToolCall { id, name, arguments } in tool_calls {
                    [id, name, arguments].into_iter().for_each(|text| tally.text(text));
                    tally.add(AROUND_EACH);
                }
            }
            Message::Tool { call_id, .. } => tally.text(call_id),
            Message::System { .. } | Message::User { .. } => {}
        }
    }
    let mut tools = ask.tools.len();
    for tool in &ask.tools {
        tally.text(&tool.name);
        tally.text(&tool.description);
        tally.text(&tool.parameters.to_string());
        tally.add(AROUND_EACH);
    }
    if let Some(output) = &ask.output {
        // As a tool or as text in the prompt, whichever the provider takes.
        tally.text(&output.name);
        tally.text(&output.schema.to_string());
        tally.add(AROUND_EACH + crate::structured::PROMPT.len() as u64);
        tools += 1;
    }
    if tools > 0 {
        tally.add(AROUND_TOOLS);
    }
    Count { tokens: tally.tokens, by: tally.by }
}

/// The tokens of a text alone, such as an answer that came without its usage.
#[must_use]
pub fn count_text(model: &str, text: &str) -> Count {
    let tokenizer = get_tokenizer(model).and_then(|tokenizer| bpe_for_tokenizer(tokenizer).ok());
    let mut tally = Tally { tokenizer, tokens: 0, by: CountedBy::Tokenizer };
    tally.text(text);
    Count { tokens: tally.tokens, by: tally.by }
}

struct Tally {
    tokenizer: Option<&'static CoreBPE>,
    tokens: u64,
    by: CountedBy,
}

impl Tally {
    fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn text(&mut self, text: &str) {
        let tokens = match self.tokenizer {
            Some(tokenizer) if is_tame(text) => tokenizer.count_ordinary(text),
            Some(_) | None => {
                if !text.is_empty() {
                    self.by = CountedBy::Bytes;
                }
                text.len()
            }
        };
        self.add(tokens as u64);
    }
}

/// Whether a tokenizer is quick on this text.
fn is_tame(text: &str) -> bool {
    if text.len() > TOKENIZED_BYTES_MAX {
        return false;
    }
    let (mut run, mut kind) = (0, Kind::Space);
    for c in text.chars() {
        let this = Kind::of(c);
        run = if this == kind { run + c.len_utf8() } else { c.len_utf8() };
        kind = this;
        if run > RUN_BYTES_MAX {
            return false;
        }
    }
    true
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Letter,
    Other,
}

impl Kind {
    fn of(c: char) -> Kind {
        if c.is_whitespace() {
            Kind::Space
        } else if c.is_alphanumeric() {
            Kind::Letter
        } else {
            Kind::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::model::{Structured, Tool};
    use proptest::prelude::*;
    use serde_json::json;

    fn asking(model: &str, text: &str) -> Ask {
        Ask::new(model, vec![Message::user(text)], 10)
    }

    #[test]
    fn a_known_model_is_counted_by_its_tokenizer() {
        // "hello world" is 2 tokens in both tables.
        for model in ["gpt-4", "gpt-4o-2024-08-06"] {
            assert_eq!(count_text(model, "hello world"), Count { tokens: 2, by: CountedBy::Tokenizer });
            assert_eq!(count(&asking(model, "hello world")).tokens, 2 + AROUND_EACH + AROUND_ALL);
        }
    }

    #[test]
    fn an_unknown_model_is_counted_by_bytes_and_marked() {
        assert_eq!(count_text("llama3.2", "hello wörld"), Count { tokens: 12, by: CountedBy::Bytes });
        assert_eq!(count_text("", ""), Count { tokens: 0, by: CountedBy::Tokenizer });
    }

    #[test]
    fn what_tokenizers_are_slow_at_is_counted_by_bytes() {
        for text in ["a".repeat(600), " ".repeat(600), "😀".repeat(200), "a b".repeat(100_000)] {
            let count = count_text("gpt-4o", &text);
            assert_eq!(count, Count { tokens: text.len() as u64, by: CountedBy::Bytes });
        }
    }

    #[test]
    fn tools_calls_and_schemas_count() {
        let plain = asking("gpt-4o", "x");
        let mut with = plain.clone();
        with.tools =
            vec![Tool { name: "t".into(), description: "d".into(), parameters: json!({"type": "object"}) }];
        assert!(count(&with).tokens > count(&plain).tokens + AROUND_TOOLS);
        let mut formed = plain.clone();
        formed.output = Some(Structured { name: "n".into(), schema: json!({"type": "object"}) });
        assert!(count(&formed).tokens > count(&plain).tokens + AROUND_TOOLS);
        let call = ToolCall { id: "1".into(), name: "t".into(), arguments: "{}".into() };
        let mut called = plain.clone();
        called.messages.push(Message::Assistant { text: String::new(), tool_calls: vec![call] });
        assert!(count(&called).tokens > count(&plain).tokens + AROUND_EACH);
    }

    proptest! {
        /// P5: bytes bound tokens from above.
        #[test]
        fn no_text_has_more_tokens_than_bytes(text in "(\\PC{0,80}|\\s{0,80}){0,4}") {
            prop_assert!(count_text("gpt-4o", &text).tokens <= text.len() as u64);
            prop_assert!(count_text("gpt-4", &text).tokens <= text.len() as u64);
        }
    }
}
