//! Anthropic's messages: a question to a request, an answer's events to a [`Draft`]. Pure.
//!
//! Source: the Anthropic API reference, "Messages" and "Streaming messages", version 2023-06-01.

use crate::{
    draft::{Draft, Reported, Wrong},
    quirks::{FormBy, Quirks},
    structured,
};
use octollm_contract::model::{Ask, Finish, Message, Tool, ToolChoice};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The version of the API that this is written for.
pub(crate) const VERSION: &str = "2023-06-01";

/// The body of a streaming request.
pub(crate) fn request(ask: &Ask, quirks: Quirks) -> Value {
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    set("model", json!(ask.model));
    set("stream", json!(true));
    set("max_tokens", json!(ask.max_output_tokens));
    if let Some(hundredths) = ask.temperature_hundredths.filter(|_| quirks.temperature) {
        set("temperature", json!(f64::from(hundredths.min(100)) / 100.0));
    }
    // White space alone is refused as a place to stop.
    let stop: Vec<&String> = ask.stop.iter().filter(|text| !text.trim().is_empty()).collect();
    if quirks.stop && !stop.is_empty() {
        set("stop_sequences", json!(stop));
    }
    let mut tools: Vec<Value> = ask.tools.iter().map(tool).collect();
    let mut choice = match &ask.tool_choice {
        ToolChoice::Auto => json!({"type": "auto"}),
        ToolChoice::None => json!({"type": "none"}),
        ToolChoice::Required => json!({"type": "any"}),
        ToolChoice::Only(name) => json!({"type": "tool", "name": name}),
    };
    let mut prompt = None;
    if let Some(output) = &ask.output {
        if quirks.form == FormBy::Tool && ask.tools.is_empty() {
            tools = vec![tool(&structured::tool(output))];
            choice = json!({"type": "tool", "name": output.name});
        } else {
            prompt = Some(structured::prompt(output));
        }
    }
    if !tools.is_empty() {
        set("tools", json!(tools));
        if quirks.tool_choice {
            set("tool_choice", choice);
        }
    }
    let system: Vec<&str> = ask
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::System { text } => Some(text.as_str()),
            Message::User { .. } | Message::Assistant { .. } | Message::Tool { .. } => None,
        })
        .filter(|text| !text.is_empty())
        .collect();
    if !system.is_empty() {
        set("system", json!(system.join("\n\n")));
    }
    set("messages", json!(turns(ask, prompt)));
    Value::Object(body)
}

fn tool(tool: &Tool) -> Value {
    json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters})
}

/// The conversation as turns of `user` and `assistant` that alternate.
fn turns(ask: &Ask, prompt: Option<String>) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut add = |role: &'static str, block: Value| match turns.last_mut() {
        Some((last, blocks)) if *last == role => blocks.push(block),
        Some(_) | None => turns.push((role, vec![block])),
    };
    let text_block = |text: &str| json!({"type": "text", "text": text});
    for message in &ask.messages {
        match message {
            Message::System { .. } => {}
            Message::User { text } if text.is_empty() => {}
            Message::User { text } => add("user", text_block(text)),
            Message::Assistant { text, tool_calls } => {
                if !text.is_empty() {
                    add("assistant", text_block(text));
                }
                for call in tool_calls {
                    let input = match call.object() {
                        Ok(object) => Value::Object(object),
                        Err(_) => json!({"unreadable": call.arguments}),
                    };
                    add(
                        "assistant",
                        json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}),
                    );
                }
            }
            Message::Tool { call_id, text } => {
                add("user", json!({"type": "tool_result", "tool_use_id": call_id, "content": text}));
            }
        }
    }
    if let Some(prompt) = prompt {
        add("user", text_block(&prompt));
    }
    turns.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Started,
    },
    ContentBlockStart {
        index: u64,
        content_block: Block,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        delta: Stopped,
        usage: Option<Value>,
    },
    MessageStop,
    Error {
        error: Value,
    },
    /// A whole answer.
    Message(Whole),
    /// Pings, ends of blocks, and what will be added.
    #[serde(other)]
    Else,
}

#[derive(Deserialize)]
struct Started {
    model: Option<String>,
    usage: Option<Value>,
    simulated: Option<bool>,
}

#[derive(Deserialize)]
struct Whole {
    model: Option<String>,
    usage: Option<Value>,
    simulated: Option<bool>,
    content: Vec<Block>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: Option<String>,
    },
    ToolUse {
        id: Option<String>,
        name: Option<String>,
        input: Option<Value>,
    },
    /// Thinking, and what will be added.
    #[serde(other)]
    Else,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Else,
}

#[derive(Deserialize)]
struct Stopped {
    stop_reason: Option<String>,
}

/// Reads the data of one event of a stream.
pub(crate) fn event(data: &str, draft: &mut Draft) -> Result<(), Wrong> {
    let event: Event =
        serde_json::from_str(data).map_err(|error| Wrong::Malformed(format!("not an event: {error}")))?;
    match event {
        Event::MessageStart { message: Started { model, usage, simulated } } => {
            draft.begin(model.as_deref(), simulated == Some(true));
            report(draft, usage.as_ref(), false);
        }
        Event::ContentBlockStart { index, content_block } => block(Some(index), content_block, draft)?,
        Event::ContentBlockDelta { delta: Delta::Text { text }, .. } => draft.text(&text)?,
        Event::ContentBlockDelta { index, delta: Delta::InputJson { partial_json } } => {
            draft.call(Some(index), None, None, &partial_json)?;
        }
        Event::ContentBlockDelta { delta: Delta::Else, .. } | Event::Else => {}
        Event::MessageDelta { delta: Stopped { stop_reason }, usage } => {
            stopped(stop_reason.as_deref(), draft);
            report(draft, usage.as_ref(), true);
        }
        Event::MessageStop if draft.has_begun() => draft.end()?,
        Event::MessageStop => return Err(Wrong::Malformed("the stream ended before it began".to_owned())),
        Event::Error { error } => return Err(failed(&error)),
        Event::Message(message) => all(message, draft)?,
    }
    Ok(())
}

/// Reads an answer that came whole, though a stream was asked for.
pub(crate) fn whole(body: &str, draft: &mut Draft) -> Result<(), Wrong> {
    match serde_json::from_str(body) {
        Ok(Event::Message(message)) => all(message, draft),
        Ok(Event::Error { error }) => Err(failed(&error)),
        Ok(_) => Err(Wrong::Malformed("not a message".to_owned())),
        Err(error) => Err(Wrong::Malformed(format!("not a message: {error}"))),
    }
}

fn all(message: Whole, draft: &mut Draft) -> Result<(), Wrong> {
    let Whole { model, usage, simulated, content, stop_reason } = message;
    draft.begin(model.as_deref(), simulated == Some(true));
    for (index, part) in (0..).zip(content) {
        block(Some(index), part, draft)?;
    }
    stopped(stop_reason.as_deref(), draft);
    report(draft, usage.as_ref(), true);
    draft.end()
}

fn block(index: Option<u64>, block: Block, draft: &mut Draft) -> Result<(), Wrong> {
    match block {
        Block::Text { text } => draft.text(&text.unwrap_or_default()),
        Block::ToolUse { id, name, input } => {
            // A stream begins with an empty object and sends the real one in pieces.
            let input = input.filter(|input| input.as_object().is_none_or(|object| !object.is_empty()));
            let arguments =
                input.filter(|input| !input.is_null()).map_or_else(String::new, |i| i.to_string());
            draft.call(index, id.as_deref(), name.as_deref(), &arguments)
        }
        Block::Else => Ok(()),
    }
}

fn stopped(reason: Option<&str>, draft: &mut Draft) {
    if let Some(reason) = reason {
        draft.finish(match reason {
            "max_tokens" | "model_context_window_exceeded" => Finish::Length,
            "tool_use" => Finish::ToolCalls,
            "refusal" => Finish::Filtered,
            // "end_turn", "stop_sequence", "pause_turn".
            _ => Finish::Stop,
        });
    }
}

/// Later reports hold for what they name; the first one alone may name the input.
fn report(draft: &mut Draft, usage: Option<&Value>, whole: bool) {
    let Some(usage) = usage.filter(|usage| !usage.is_null()) else { return };
    let number = |key: &str| usage.get(key).and_then(Value::as_u64);
    let before = draft.reported();
    let reported = Reported {
        input: number("input_tokens").or(before.input),
        output: number("output_tokens"),
        cache_read: number("cache_read_input_tokens").unwrap_or(before.cache_read),
        cache_write: number("cache_creation_input_tokens").unwrap_or(before.cache_write),
    };
    draft.report(reported, whole);
}

fn failed(error: &Value) -> Wrong {
    let part = |key: &str| error.get(key).and_then(Value::as_str);
    let status = match part("type").unwrap_or_default() {
        "overloaded_error" => Some(529),
        "api_error" => Some(500),
        "rate_limit_error" => Some(429),
        "authentication_error" | "permission_error" => Some(401),
        "billing_error" => Some(402),
        "invalid_request_error" | "not_found_error" | "request_too_large" => Some(400),
        // A timeout inside the provider: nobody knows.
        "timeout_error" => Some(504),
        _ => None,
    };
    let said = part("message").map_or_else(|| error.to_string(), str::to_owned);
    Wrong::Failed { status, said }
}
