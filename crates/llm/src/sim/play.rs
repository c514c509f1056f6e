//! The sending of an answer: at its speed, with its fault.

use super::{
    Api, anthropic,
    asked::Asked,
    choose::Part,
    dice::Roll,
    log::{Log, Outcome, Ticket},
    openai, refusal,
    script::{Drawn, Fault, Faults, Finish, Reply, Script, Timing},
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use std::{collections::VecDeque, io, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// A token of this server's is about so many bytes.
const TOKEN_BYTES: usize = 4;
/// What is due within so long is sent at once: more writes would measure the kernel.
const AT_ONCE: Duration = Duration::from_millis(5);
/// A draw never makes a wait longer.
const WAIT_SECONDS_MAX: f64 = 3600.0;

/// An answer, cut into tokens.
pub(super) struct Content {
    pub(super) id: String,
    pub(super) text: Vec<String>,
    pub(super) calls: Vec<Called>,
    pub(super) input: u64,
    pub(super) end: End,
}

pub(super) struct Called {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Stop,
    Calls,
    Length,
    Filtered,
}

/// Bytes that are sent together, and the tokens in them.
pub(super) struct Frame {
    pub(super) tokens: u64,
    pub(super) text: String,
}

impl Content {
    pub(super) fn output(&self) -> u64 {
        let calls: usize = self.calls.iter().map(|call| 1 + call.arguments.len()).sum();
        (self.text.len() + calls) as u64
    }

    fn of(reply: Reply, asked: &Asked, id: String) -> Content {
        let Reply { text, json, tool_calls, finish, .. } = reply;
        let mut calls: Vec<(String, String)> =
            tool_calls.into_iter().map(|(name, arguments)| (name, arguments.to_string())).collect();
        let mut text = text;
        if let Some(json) = json {
            match &asked.forced {
                // The form was asked for as a tool.
                Some(name) => calls.push((name.clone(), json.to_string())),
                None => text = json.to_string(),
            }
        }
        let mut content = Content {
            input: asked.tokens(&asked.any),
            text: tokens(&text),
            calls: Vec::new(),
            end: match finish {
                Some(Finish::Length) => End::Length,
                Some(Finish::Filtered) => End::Filtered,
                Some(Finish::Stop) | None if calls.is_empty() => End::Stop,
                Some(Finish::Stop) | None => End::Calls,
            },
            id,
        };
        let limit = asked.output_max.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let mut left = limit;
        let mut take = |pieces: &mut Vec<String>, head: usize| {
            let fits = pieces.len() + head <= left;
            pieces.truncate(left.saturating_sub(head));
            left = left.saturating_sub(pieces.len() + head);
            fits
        };
        let mut whole = take(&mut content.text, 0);
        for (number, (name, arguments)) in calls.into_iter().enumerate() {
            if !whole {
                break;
            }
            let mut arguments = tokens(&arguments);
            whole = take(&mut arguments, 1);
            let id = format!("call_{}_{number}", content.id);
            content.calls.push(Called { id, name, arguments });
        }
        if !whole {
            content.end = End::Length;
        }
        content
    }
}

/// A text in pieces of a few bytes, never cut inside a character.
fn tokens(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        if !piece.is_empty() && piece.len() + c.len_utf8() > TOKEN_BYTES {
            pieces.push(std::mem::take(&mut piece));
        }
        piece.push(c);
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Whole,
    Cut,
    Malformed,
    Stall,
}

pub(super) fn play(
    api: Api,
    asked: &Asked,
    part: Part,
    script: &Script,
    roll: &mut Roll,
    log: &Arc<Log>,
    question: Option<String>,
) -> Response {
    let Part { rule, reply, timing } = part;
    let fault = reply.fault.or_else(|| drawn_fault(&script.faults, roll.share()));
    let (first, per_token) = pace(timing, roll);
    let content = Content::of(reply, asked, roll.id());
    let mut ticket = log.open(&content.id, &asked.model, Some(&rule), content.input, question);
    let ending = match fault {
        Some(Fault::Error) => {
            ticket.is(Outcome::Failed);
            let why = "the simulated model failed, as its script says";
            return refusal(api, StatusCode::INTERNAL_SERVER_ERROR, "api_error", why);
        }
        Some(Fault::RateLimit) => {
            ticket.is(Outcome::Failed);
            let why = "the simulated model limits the rate, as its script says";
            let mut response = refusal(api, StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", why);
            let seconds = HeaderValue::from(script.faults.retry_after_seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            return response;
        }
        Some(Fault::Cut) => Ending::Cut,
        Some(Fault::Malformed) => Ending::Malformed,
        Some(Fault::Stall) => Ending::Stall,
        None => Ending::Whole,
    };
    let mut frames = match (api, asked.stream) {
        (Api::OpenAi, true) => openai::stream(asked, &content),
        (Api::OpenAi, false) => openai::whole(asked, &content),
        (Api::Anthropic, true) => anthropic::stream(asked, &content),
        (Api::Anthropic, false) => anthropic::whole(asked, &content),
    };
    if ending != Ending::Whole {
        halve(&mut frames);
    }
    let tokens = u32::try_from(content.output()).unwrap_or(u32::MAX);
    // An answer that comes whole comes when its last token would have.
    let first = if asked.stream { first } else { first.saturating_add(per_token.saturating_mul(tokens)) };
    let playing = Playing {
        frames: frames.into(),
        ticket: Some(ticket),
        due: Instant::now() + first,
        per_token,
        ending,
    };
    let kind = if asked.stream { "text/event-stream" } else { "application/json" };
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(stream::unfold(playing, Playing::next)))
        .into_response()
}

fn drawn_fault(faults: &Faults, share: f64) -> Option<Fault> {
    let mut upto = 0.0;
    [
        (Fault::Error, faults.error),
        (Fault::RateLimit, faults.rate_limit),
        (Fault::Cut, faults.cut),
        (Fault::Malformed, faults.malformed),
        (Fault::Stall, faults.stall),
    ]
    .into_iter()
    .find_map(|(fault, part)| {
        upto += part;
        (share < upto).then_some(fault)
    })
}

fn pace(timing: Timing, roll: &mut Roll) -> (Duration, Duration) {
    let mut draw = |drawn: Drawn| match drawn {
        Drawn::Fixed(value) => value,
        Drawn::Uniform(from, to) => from + (to - from) * roll.share(),
        Drawn::Lognormal { median, sigma } => median * (sigma * roll.normal()).exp(),
    };
    let first = draw(timing.first_token_ms) / 1000.0;
    let per_token = 1.0 / draw(timing.tokens_per_second).max(0.1);
    let seconds = |value: f64| Duration::from_secs_f64(value.clamp(0.0, WAIT_SECONDS_MAX));
    (seconds(first), seconds(per_token))
}

/// Keeps the first half: of the frames, or of the only one.
fn halve(frames: &mut Vec<Frame>) {
    if let [only] = frames.as_mut_slice() {
        only.tokens /= 2;
        let mut half = only.text.len() / 2;
        while !only.text.is_char_boundary(half) {
            half -= 1;
        }
        only.text.truncate(half);
    } else {
        frames.truncate(frames.len() / 2);
    }
}

struct Playing {
    frames: VecDeque<Frame>,
    /// Taken when the call is closed in the log: before its last byte goes out, so that a client
    /// that has the answer finds it there.
    ticket: Option<Ticket>,
    due: Instant,
    per_token: Duration,
    ending: Ending,
}

impl Playing {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Playing)> {
        if self.frames.is_empty() {
            return self.end().await;
        }
        let (mut bytes, mut written, mut takes) = (String::new(), 0, Duration::ZERO);
        while let Some(frame) = self.frames.pop_front() {
            bytes.push_str(&frame.text);
            written += frame.tokens;
            takes += self.per_token.saturating_mul(u32::try_from(frame.tokens).unwrap_or(u32::MAX));
            // What has no tokens waits for nothing.
            if takes >= AT_ONCE && self.frames.front().is_some_and(|frame| frame.tokens > 0) {
                break;
            }
        }
        // The runtime's timer counts whole milliseconds: what is due is not to wait for its next one.
        if self.due > Instant::now() {
            sleep_until(self.due).await;
        }
        self.due += takes;
        if let Some(ticket) = &mut self.ticket {
            ticket.wrote(written);
        }
        if self.frames.is_empty() && self.ending == Ending::Whole {
            self.close(Outcome::Finished);
        }
        Some((Ok(Bytes::from(bytes)), self))
    }

    async fn end(mut self) -> Option<(io::Result<Bytes>, Playing)> {
        match self.ending {
            Ending::Whole => None,
            Ending::Malformed => {
                self.close(Outcome::Broken);
                self.ending = Ending::Whole;
                let broken =
                    "data: {\"type\": \"message_delta\", \"choices\": [{\"delta\": {\"content\": \"bro\n\n";
                Some((Ok(Bytes::from_static(broken.as_bytes())), self))
            }
            Ending::Cut => {
                self.close(Outcome::Broken);
                self.ending = Ending::Whole;
                // Waiting once lets the connection send what it holds; an error throws that away.
                tokio::task::yield_now().await;
                Some((Err(io::Error::other("cut, as the script says")), self))
            }
            Ending::Stall => {
                if let Some(ticket) = &mut self.ticket {
                    ticket.is(Outcome::Broken);
                }
                std::future::pending().await
            }
        }
    }

    fn close(&mut self, outcome: Outcome) {
        if let Some(mut ticket) = self.ticket.take() {
            ticket.is(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_to_the_limit_of_tokens() {
        let reply = Reply { text: "a".repeat(100), ..Reply::default() };
        let asked = Asked { output_max: Some(5), ..Asked::default() };
        let content = Content::of(reply.clone(), &asked, String::new());
        assert_eq!((content.output(), content.end), (5, End::Length));
        let content = Content::of(reply, &Asked::default(), String::new());
        assert_eq!((content.output(), content.end), (25, End::Stop));
    }

    #[test]
    fn faults_come_with_their_shares() {
        let faults = Faults { error: 0.1, stall: 0.2, ..Faults::default() };
        for (share, fault) in
            [(0.0, Some(Fault::Error)), (0.1, Some(Fault::Stall)), (0.31, None), (0.99, None)]
        {
            assert_eq!(drawn_fault(&faults, share), fault, "{share}");
        }
    }
}
