//! An answer while it comes: bytes in, chunks out, within time and bounds.
//!
//! Promises: [`Answering::next`] gives every chunk once, or one error and then nothing; it may be
//! dropped while it waits without losing anything; dropping [`Answering`] closes the connection
//! (HTTP/1.1) or the stream (HTTP/2), so that the server stops. An answer is whole only if its end
//! came, which is the word why it ended: a stream that closes or stalls before it is cut, whatever text had
//! come.

use crate::{
    Bounds, CallError, Phase, anthropic,
    draft::{Draft, Wrong},
    lenient, openai,
    sse::{BadStream, Decoder, Event},
};
use futures_util::Stream;
use octollm_contract::{
    Millis,
    model::{Chunk, Usage},
};
use reqwest::Response;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long after an answer's last word its connection's end is waited for, so that the connection
/// can be used again. Servers send both at once.
const LAST_BYTES_WITHIN: Duration = Duration::from_millis(20);

/// How long each part of a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// To connect, TLS included.
    pub connect: Millis,
    /// From the sending of the request to the first piece of the answer. Local servers load a
    /// model in it.
    pub first_token: Millis,
    /// From one piece to the next. Comments and pings are no pieces.
    pub between_tokens: Millis,
    /// From the word that the answer ends (`finish_reason`) to the usage and the end of the stream. What does
    /// not come in it is not waited for: the answer is whole.
    pub end: Millis,
    /// For the whole call.
    pub total: Millis,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            connect: Millis::from_secs(10),
            first_token: Millis::from_secs(120),
            between_tokens: Millis::from_secs(60),
            end: Millis::from_secs(3),
            total: Millis::from_secs(600),
        }
    }
}

impl Times {
    /// The deadlines of a call that began at `started` and whose request is sent at `sent`.
    pub(crate) fn from(self, started: Instant, sent: Instant) -> Deadlines {
        Deadlines {
            times: self,
            total: started + self.total.to_duration(),
            piece: sent + self.first_token.to_duration(),
            begun: false,
            end: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Deadlines {
    times: Times,
    total: Instant,
    piece: Instant,
    begun: bool,
    /// The answer is over but for its last words.
    end: Option<Instant>,
}

impl Deadlines {
    /// The deadline that comes first, and what it means.
    pub(crate) fn first(&self) -> (Instant, Phase, Millis) {
        if self.total <= self.piece {
            (self.total, Phase::Total, self.times.total)
        } else if self.begun {
            (self.piece, Phase::BetweenTokens, self.times.between_tokens)
        } else {
            (self.piece, Phase::FirstToken, self.times.first_token)
        }
    }

    /// Until when the next bytes are waited for.
    fn next(&self) -> (Instant, Phase, Millis) {
        let (until, phase, limit) = self.first();
        (self.end.map_or(until, |end| end.min(until)), phase, limit)
    }

    /// Once: whatever a server goes on to send, its last words are waited for no longer.
    fn answer_finished(&mut self) {
        self.end.get_or_insert_with(|| Instant::now() + self.times.end.to_duration());
    }

    fn piece_came(&mut self) {
        self.begun = true;
        self.piece = Instant::now() + self.times.between_tokens.to_duration();
    }
}

/// Who translates.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    OpenAi,
    Anthropic,
}

impl Reader {
    pub(crate) fn event(self, data: &str, draft: &mut Draft) -> Result<(), Wrong> {
        let data = lenient::document(data);
        match self {
            Reader::OpenAi => openai::event(&data, draft),
            Reader::Anthropic => anthropic::event(&data, draft),
        }
    }

    pub(crate) fn whole(self, body: &str, draft: &mut Draft) -> Result<(), Wrong> {
        let body = lenient::document(body);
        match self {
            Reader::OpenAi => openai::whole(&body, draft),
            Reader::Anthropic => anthropic::whole(&body, draft),
        }
    }
}

/// What the body turned out to be, by its first byte that is no white space.
#[derive(Debug)]
enum Body {
    /// Nothing yet.
    Unseen,
    /// A stream of events.
    Events(Decoder),
    /// One JSON document: the server does not stream, or reports an error.
    Whole(Vec<u8>),
}

/// An answer while it comes.
#[derive(Debug)]
pub struct Answering {
    /// `None` once nothing more is read.
    response: Option<Response>,
    reader: Reader,
    draft: Draft,
    body: Body,
    bytes: usize,
    bounds: Bounds,
    deadlines: Deadlines,
}

impl Answering {
    pub(crate) fn new(
        response: Response,
        reader: Reader,
        draft: Draft,
        bounds: Bounds,
        deadlines: Deadlines,
    ) -> Self {
        Answering { response: Some(response), reader, draft, body: Body::Unseen, bytes: 0, bounds, deadlines }
    }

    /// The next chunk; `None` after the end or after an error.
    pub async fn next(&mut self) -> Option<Result<Chunk, CallError>> {
        loop {
            if let Some(chunk) = self.draft.pop() {
                return Some(Ok(chunk));
            }
            let response = self.response.as_mut()?;
            let (until, phase, limit) = self.deadlines.next();
            let read = timeout_at(until, response.chunk()).await;
            let outcome = match read {
                // Some servers keep the connection and leave [DONE] out.
                Err(_) if self.draft.has_finished() => {
                    self.draft.end().map_err(|wrong| self.draft.error(wrong))
                }
                Err(_) => {
                    let usage = self.draft.has_begun().then(|| self.draft.usage());
                    Err(CallError::TimedOut { phase, limit, usage })
                }
                Ok(Err(error)) => Err(self.broken(&crate::provider::chain(&error.without_url()))),
                Ok(Ok(None)) => self.closed(),
                Ok(Ok(Some(bytes))) => self.take(&bytes).map_err(|wrong| self.draft.error(wrong)),
            };
            if self.draft.has_ended() && outcome.is_ok() {
                self.let_go().await;
            }
            if let Err(error) = outcome {
                self.response = None;
                return Some(Err(error));
            }
        }
    }

    /// What has been used so far: for whoever stops listening before the end.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.draft.usage()
    }

    /// As a stream of the same items.
    pub fn into_stream(self) -> impl Stream<Item = Result<Chunk, CallError>> + Send {
        futures_util::stream::unfold(self, |mut answering| async move {
            let item = answering.next().await?;
            Some((item, answering))
        })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        self.bytes += bytes.len();
        let limit = self.bounds.body_bytes_max;
        if self.bytes > limit {
            return Err(Wrong::TooLarge { what: "bytes", limit });
        }
        if let Body::Unseen = self.body {
            match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
                None => return Ok(()),
                Some(b'{' | b'[') => self.body = Body::Whole(Vec::new()),
                Some(b'<') => {
                    return Err(Wrong::Malformed("it is a page, not an answer of a model".to_owned()));
                }
                Some(_) => self.body = Body::Events(Decoder::new(limit)),
            }
        }
        match &mut self.body {
            Body::Unseen => Ok(()),
            Body::Whole(body) => {
                body.extend_from_slice(bytes);
                Ok(())
            }
            Body::Events(decoder) => {
                let mut events = Vec::new();
                let read = decoder.push(bytes, &mut events);
                self.events(&events)?;
                match read {
                    // What follows the end does not matter.
                    _ if self.draft.has_ended() => Ok(()),
                    Ok(()) => Ok(()),
                    Err(BadStream::TooLong) => Err(Wrong::TooLarge { what: "bytes in a line", limit }),
                }
            }
        }
    }

    fn events(&mut self, events: &[Event]) -> Result<(), Wrong> {
        for event in events {
            if self.draft.has_ended() {
                break;
            }
            if event.name == "ping" || event.data.trim().is_empty() {
                continue;
            }
            self.reader.event(&event.data, &mut self.draft)?;
            self.deadlines.piece_came();
            if self.draft.has_finished() {
                self.deadlines.answer_finished();
            }
        }
        Ok(())
    }

    /// The body has ended: was the answer whole?
    fn closed(&mut self) -> Result<(), CallError> {
        self.response = None;
        match std::mem::replace(&mut self.body, Body::Unseen) {
            Body::Unseen => {}
            Body::Whole(body) => {
                let read = self.reader.whole(&lenient::text(&body), &mut self.draft);
                return read.map_err(|wrong| self.draft.error(wrong));
            }
            Body::Events(decoder) => {
                if let Some(event) = decoder.end() {
                    // A last event without its end may be half of one: then it is no event.
                    match self.events(std::slice::from_ref(&event)) {
                        Ok(()) | Err(Wrong::Malformed(_)) => {}
                        Err(wrong @ (Wrong::TooLarge { .. } | Wrong::Failed { .. })) => {
                            return Err(self.draft.error(wrong));
                        }
                    }
                }
                // Some servers leave [DONE] out.
                if self.draft.has_finished() && !self.draft.has_ended() {
                    self.draft.end().map_err(|wrong| self.draft.error(wrong))?;
                }
            }
        }
        if self.draft.has_ended() { Ok(()) } else { Err(self.broken("it closed before its end")) }
    }

    fn broken(&self, why: &str) -> CallError {
        if self.draft.has_begun() {
            CallError::Cut { why: why.to_owned(), usage: self.draft.usage() }
        } else {
            CallError::Unknown { why: why.to_owned() }
        }
    }

    /// Reads the end of a body whose last word came, so that its connection can be used again.
    async fn let_go(&mut self) {
        let Some(mut response) = self.response.take() else { return };
        let until = Instant::now() + LAST_BYTES_WITHIN;
        while let Ok(Ok(Some(_))) = timeout_at(until, response.chunk()).await {
            // A server that goes on after its end is not listened to for longer than that.
            if Instant::now() >= until {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::model::{Ask, Message};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn draft() -> Draft {
        let ask = Ask::new("m", vec![Message::user("hi")], 100);
        Draft::new(ask, Bounds::default(), Some("form".to_owned()), false)
    }

    /// Any JSON, with the names that the translators look for.
    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z]{0,3}|message_start|content_block_start|content_block_delta|message_delta|message_stop|error|message|text|tool_use|text_delta|input_json_delta|form".prop_map(Value::from),
        ];
        let key = "type|choices|delta|message|content|tool_calls|index|id|function|name|arguments|usage|prompt_tokens|completion_tokens|input_tokens|output_tokens|error|finish_reason|stop_reason|content_block|partial_json|text|model|input|code";
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(key, inner, 0..6).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    /// A stream of OpenAI's with one answer of text and a tool call, and the same of Anthropic's.
    fn sound(reader: Reader, text: &str, arguments: &str) -> Vec<Value> {
        match reader {
            Reader::OpenAi => vec![
                json!({"choices": [{"delta": {"content": text}}]}),
                json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": arguments}}]}}]}),
                json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
            ],
            Reader::Anthropic => vec![
                json!({"type": "message_start", "message": {"usage": {"input_tokens": 1}}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
                json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {}}}),
                json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": arguments}}),
                json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}}),
            ],
        }
    }

    const READERS: [Reader; 2] = [Reader::OpenAi, Reader::Anthropic];

    /// P5: what is no text costs its place in the answer and no more: usage is read as if it were some.
    #[test]
    fn what_is_no_text_is_replaced_in_both_apis() {
        let said = |reader: Reader, escape: &str| {
            let mut draft = draft();
            for data in sound(reader, "a HALF b", "{\"x\": \"HALF\"}") {
                reader.event(&data.to_string().replace("HALF", escape), &mut draft).unwrap();
            }
            draft.end().unwrap();
            std::iter::from_fn(|| draft.pop()).collect::<Vec<Chunk>>()
        };
        for reader in READERS {
            assert_eq!(said(reader, "\\ud83d"), said(reader, "\u{fffd}"));
        }
    }

    #[test]
    fn the_name_of_the_server_s_model_hides_nothing() {
        let mut draft = draft();
        draft.begin(Some("m\u{202e} (lin\u{200b}e)\n\u{7}"), false);
        let Some(Chunk::Begun { model, .. }) = draft.pop() else { panic!() };
        assert_eq!(model, "m<U+202E> (line) <U+0007>");
    }

    proptest! {
        #[test]
        fn no_document_makes_a_translator_panic_and_no_answer_ends_twice(
            documents in proptest::collection::vec(document(), 1..8), text: String,
        ) {
            for reader in READERS {
                let mut draft = draft();
                let mut all: Vec<String> = documents.iter().map(Value::to_string).collect();
                all.push(text.clone());
                for data in &all {
                    if reader.event(data, &mut draft).is_err() {
                        break;
                    }
                }
                let _as_a_whole = reader.whole(&all[0], &mut draft);
                let chunks: Vec<Chunk> = std::iter::from_fn(|| draft.pop()).collect();
                let count = |is: fn(&Chunk) -> bool| chunks.iter().filter(|chunk| is(chunk)).count();
                let (begun, ended) =
                    (count(|chunk| matches!(chunk, Chunk::Begun { .. })), count(|chunk| matches!(chunk, Chunk::End { .. })));
                prop_assert!(begun <= 1 && ended <= 1, "{:?}", chunks);
            }
        }

        #[test]
        fn both_apis_say_the_same(text: String, arguments: String) {
            let mut said = Vec::new();
            for reader in READERS {
                let mut draft = draft();
                for data in sound(reader, &text, &arguments) {
                    reader.event(&data.to_string(), &mut draft).unwrap();
                }
                draft.end().unwrap();
                said.push(std::iter::from_fn(|| draft.pop()).collect::<Vec<Chunk>>());
            }
            prop_assert_eq!(&said[0], &said[1]);
        }
    }
}
