//! The answer: in pieces while it comes, whole when it has come.

use super::{ToolCall, once::Once};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One piece of an answer. The order is: `Begun` once, text, tool calls and usage as they come,
/// `End` once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = ModelChunk)]
pub enum Chunk {
    /// The model has begun.
    Begun {
        /// Who answers, as the server names it; may be more exact than what was asked for.
        model: String,
        /// The server says that this is a simulation. For provenance (P10).
        #[serde(default)]
        simulated: bool,
    },
    /// Some more text.
    Text {
        /// What comes next; never cut inside a character.
        text: String,
    },
    /// A tool call, whole.
    ToolCall(ToolCall),
    /// What has been used so far; the last one counts.
    Usage(Usage),
    /// The answer is whole.
    End {
        /// Why it ended.
        finish: Finish,
    },
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ModelFinish)]
pub enum Finish {
    /// The model had said all.
    Stop,
    /// It reached [`super::Ask::max_output_tokens`] or the end of its context: the text is cut.
    Length,
    /// It wants tools called.
    ToolCalls,
    /// The provider's filter ended it, or the model refused.
    Filtered,
}

/// Tokens, each counted in exactly one of the four kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ModelUsage)]
pub struct Usage {
    /// Read by the model at the full price.
    pub input: u64,
    /// Written by the model, reasoning included.
    pub output: u64,
    /// Read from the provider's prompt cache.
    #[serde(default)]
    pub cache_read: u64,
    /// Written to the provider's prompt cache.
    #[serde(default)]
    pub cache_write: u64,
    /// Who counted.
    pub counted: Counted,
}

impl Usage {
    /// All tokens, or the greatest number if they do not fit.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input
            .saturating_add(self.output)
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }
}

/// How much a number of tokens can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ModelCounted)]
pub enum Counted {
    /// The provider counted and said so at the end.
    Exact,
    /// Ours, from the text: the provider said nothing (yet), or something impossible.
    Estimated,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Who answered, as the server names it.
    pub model: String,
    /// It is a simulation (P10).
    #[serde(default)]
    pub simulated: bool,
    /// The text, without the reasoning that it began with; empty when the model only called tools.
    #[serde(default)]
    pub text: String,
    /// The tools that it wants called, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// What it used.
    pub usage: Usage,
    /// Why it ended.
    pub finish: Finish,
}

/// Tool arguments that are not a JSON object; the text is fit to be told to the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the arguments are not a JSON object: {why}")]
pub struct NotAnObject {
    /// The parser's words.
    pub why: String,
}

/// An answer in which no JSON stands; the text is fit to be told to the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not JSON: {why}")]
pub struct NotJson {
    /// The parser's words.
    pub why: String,
}

impl Answer {
    /// The JSON document in the text: the whole text, or what stands in its first code fence, or
    /// from the first brace or bracket that begins one. Whether it has the form that was asked
    /// for is for the caller to check.
    pub fn json(&self) -> Result<Value, NotJson> {
        json_in(&self.text)
    }
}

/// The JSON document in a model's text: see [`Answer::json`]. One with a key that is there twice is none.
pub fn json_in(text: &str) -> Result<Value, NotJson> {
    let text = text.trim();
    let not_json = |error: serde_json::Error| NotJson { why: error.to_string() };
    let document = match serde_json::from_str::<Value>(text) {
        Ok(_) => text,
        Err(error) => fenced(text)
            .and_then(first_document)
            .or_else(|| first_document(text))
            .ok_or_else(|| not_json(error))?,
    };
    serde_json::from_str(document).map(|Once(value)| value).map_err(not_json)
}

/// What stands between the first pair of code fences.
fn fenced(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("```")?;
    let (_language, inside) = after.split_once('\n')?;
    Some(inside.split_once("```").map_or(inside, |(inside, _)| inside))
}

/// So many places at which a document may begin are tried: each costs a parse.
const BEGINNINGS_MAX: usize = 16;

fn first_document(text: &str) -> Option<&str> {
    text.match_indices(['{', '[']).take(BEGINNINGS_MAX).find_map(|(at, _)| {
        let mut documents = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        documents.next()?.ok()?;
        Some(&text[at..at + documents.byte_offset()])
    })
}

/// What stands around reasoning that a model writes into its text, as those do whose server has no
/// field for it.
const REASONING: [(&str, &str); 3] =
    [("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<reasoning>", "</reasoning>")];

/// The text without the reasoning that it begins with. Reasoning that has no end is followed by no
/// answer. Done twice it changes nothing more.
fn without_reasoning(text: &str) -> &str {
    let mut answer = text;
    let begun = |text: &str| {
        let text = text.trim_start();
        REASONING.iter().find_map(|(begin, end)| Some((text.strip_prefix(begin)?.len(), *end)))
    };
    while let Some((length, end)) = begun(answer) {
        let inside = &answer[answer.len() - length..];
        answer = inside.split_once(end).map_or("", |(_, after)| after.trim_start());
    }
    answer
}

/// Puts the chunks of one answer together.
#[derive(Clone, Debug, Default)]
pub struct Gathering {
    model: String,
    simulated: bool,
    text: String,
    tool_calls: Vec<ToolCall>,
    usage: Option<Usage>,
    finish: Option<Finish>,
}

impl Gathering {
    /// Takes the next chunk.
    pub fn push(&mut self, chunk: Chunk) {
        match chunk {
            Chunk::Begun { model, simulated } => (self.model, self.simulated) = (model, simulated),
            Chunk::Text { text } => self.text.push_str(&text),
            Chunk::ToolCall(call) => self.tool_calls.push(call),
            Chunk::Usage(usage) => self.usage = Some(usage),
            Chunk::End { finish } => self.finish = Some(finish),
        }
    }

    /// What has been used, as far as is known.
    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The whole answer, once its end and its usage have come. Its text has no reasoning at its beginning:
    /// that is paid for like the rest, but it is neither what was asked for nor a part of the conversation.
    #[must_use]
    pub fn answer(self) -> Option<Answer> {
        let text = without_reasoning(&self.text);
        Some(Answer {
            model: self.model,
            simulated: self.simulated,
            text: text.to_owned(),
            tool_calls: self.tool_calls,
            usage: self.usage?,
            finish: self.finish?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ask, Message, Structured, Tool, ToolChoice};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const USAGE: Usage =
        Usage { input: 3, output: 2, cache_read: 1, cache_write: 0, counted: Counted::Exact };

    fn saying(text: &str) -> Answer {
        Answer {
            model: "m".into(),
            simulated: false,
            text: text.into(),
            tool_calls: vec![],
            usage: USAGE,
            finish: Finish::Stop,
        }
    }

    #[test]
    fn an_ask_reads_back_as_itself() {
        let ask = Ask {
            tools: vec![Tool { name: "read".into(), description: "reads".into(), parameters: json!({}) }],
            tool_choice: ToolChoice::Only("read".into()),
            output: Some(Structured { name: "plan".into(), schema: json!({"type": "object"}) }),
            temperature_hundredths: Some(70),
            stop: vec!["END".into()],
            ..Ask::new(
                "m",
                vec![
                    Message::system("be brief"),
                    Message::user("hello"),
                    Message::Assistant {
                        text: String::new(),
                        tool_calls: vec![ToolCall {
                            id: "1".into(),
                            name: "read".into(),
                            arguments: "{".into(),
                        }],
                    },
                    Message::tool("1", "not JSON"),
                ],
                100,
            )
        };
        let text = serde_json::to_string(&ask).unwrap();
        assert_eq!(serde_json::from_str::<Ask>(&text).unwrap(), ask);
    }

    #[test]
    fn every_chunk_reads_back_as_itself() {
        for chunk in [
            Chunk::Begun { model: "m".into(), simulated: true },
            Chunk::Text { text: "é".into() },
            Chunk::ToolCall(ToolCall { id: "1".into(), name: "n".into(), arguments: "{}".into() }),
            Chunk::Usage(USAGE),
            Chunk::End { finish: Finish::Filtered },
        ] {
            let text = serde_json::to_string(&chunk).unwrap();
            assert_eq!(serde_json::from_str::<Chunk>(&text).unwrap(), chunk, "{text}");
        }
    }

    #[test]
    fn json_is_found_where_models_put_it() {
        for text in [
            r#"{"a":[1]}"#,
            "  {\"a\":[1]}\n",
            "```json\n{\"a\":[1]}\n```",
            "Here it is:\n```\n{\"a\":[1]}\n```\nAnything else?",
            "Sure! {\"a\":[1]} is the answer.",
            "In {braces} or not: {\"a\":[1]}",
            "```json\n{\"a\":[1]}",
        ] {
            assert_eq!(saying(text).json(), Ok(json!({"a": [1]})), "{text}");
        }
        // What could be read in two ways is not looked for in a part of it.
        let twice = "Here: {\"verdicts\":[{\"a\":[1]}],\"verdicts\":[]}";
        assert!(saying(twice).json().is_err_and(|error| error.why.contains("is there twice")));
        for text in ["", "no", "{\"a\":", "```json\n{\"a\"\n```"] {
            assert!(saying(text).json().is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_without_its_end_is_none() {
        let mut gathering = Gathering::default();
        gathering.push(Chunk::Text { text: "half".into() });
        gathering.push(Chunk::Usage(USAGE));
        assert_eq!(gathering.usage(), Some(USAGE));
        assert_eq!(gathering.answer(), None);
    }

    fn gathered(pieces: &[&str]) -> Answer {
        let mut gathering = Gathering::default();
        for text in pieces {
            gathering.push(Chunk::Text { text: (*text).into() });
        }
        gathering.push(Chunk::Usage(USAGE));
        gathering.push(Chunk::End { finish: Finish::Stop });
        gathering.answer().unwrap()
    }

    #[test]
    fn reasoning_at_the_beginning_is_no_part_of_the_answer() {
        for (text, answer) in [
            ("<think>a {brace} or [two]</think>\n\nyes", "yes"),
            (" \n<thinking>x</thinking> <think></think>yes", "yes"),
            ("<reasoning>the tag <think> was asked about</reasoning>yes", "yes"),
            ("<think>it never ends: {\"a\": 1}", ""),
            ("<think>one</thinking> two", ""),
            // What stands elsewhere is the answer's own.
            ("  yes ", "  yes "),
            ("the tag <think>x</think> is one", "the tag <think>x</think> is one"),
            ("<thinker>x</thinker>", "<thinker>x</thinker>"),
        ] {
            assert_eq!(gathered(&[text]).text, answer, "{text}");
        }
        let planned = gathered(&["<thi", "nk>{\"not\": \"this\"}</th", "ink>{\"a\":[1]}"]);
        assert_eq!((planned.json(), planned.usage), (Ok(json!({"a": [1]})), USAGE));
    }

    proptest! {
        #[test]
        fn looking_for_json_never_panics(text: String) {
            let _found = saying(&text).json();
        }

        #[test]
        fn where_the_text_is_cut_does_not_matter(
            pieces in proptest::collection::vec(" |<think>|</think>|<|think>|.{0,9}", 0..6)
        ) {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let answer = gathered(&pieces);
            prop_assert_eq!(&answer, &gathered(&[&pieces.concat()]));
            prop_assert_eq!(&answer.text, &gathered(&[&answer.text]).text, "whoever passes it on");
        }

        #[test]
        fn a_total_never_wraps(input: u64, output: u64, cache_read: u64) {
            let usage = Usage { input, output, cache_read, ..USAGE };
            prop_assert!(usage.total() >= input.max(output).max(cache_read));
        }
    }
}
