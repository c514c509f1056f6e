//! OpenAI's chat completions, as OpenAI and everybody who is compatible speak them: a question to
//! a request, an answer's pieces to a [`Draft`]. Pure.
//!
//! Source: the OpenAI API reference, "Chat completions" and "Streaming"; the servers' own
//! documentation for what they do differently ([`crate::quirks`]).

use crate::{
    draft::{Draft, Reported, Wrong},
    quirks::{FormBy, InstructBy, LimitBy, Quirks},
    structured,
};
use octollm_contract::model::{Ask, Finish, Message, Tool, ToolCall, ToolChoice};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The body of a streaming request.
pub(crate) fn request(ask: &Ask, quirks: Quirks) -> Value {
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    set("model", json!(ask.model));
    set("stream", json!(true));
    if quirks.stream_usage {
        set("stream_options", json!({"include_usage": true}));
    }
    let limit = match quirks.limit {
        LimitBy::MaxTokens => "max_tokens",
        LimitBy::MaxCompletionTokens => "max_completion_tokens",
    };
    set(limit, json!(ask.max_output_tokens));
    if let Some(hundredths) = ask.temperature_hundredths.filter(|_| quirks.temperature) {
        set("temperature", json!(f64::from(hundredths) / 100.0));
    }
    if quirks.stop && !ask.stop.is_empty() {
        set("stop", json!(ask.stop));
    }
    let mut tools: Vec<Value> = ask.tools.iter().map(function).collect();
    let mut choice = choice(&ask.tool_choice);
    let mut prompt = None;
    if let Some(output) = &ask.output {
        match quirks.form {
            FormBy::JsonSchema => {
                let strict = structured::is_strict(&output.schema);
                let schema = json!({"name": output.name, "schema": output.schema, "strict": strict});
                set("response_format", json!({"type": "json_schema", "json_schema": schema}));
            }
            FormBy::JsonObject => {
                set("response_format", json!({"type": "json_object"}));
                prompt = Some(structured::prompt(output));
            }
            FormBy::Tool if ask.tools.is_empty() => {
                tools = vec![function(&structured::tool(output))];
                choice = json!({"type": "function", "function": {"name": output.name}});
            }
            FormBy::Tool | FormBy::Prompt => prompt = Some(structured::prompt(output)),
        }
    }
    if !tools.is_empty() {
        set("tools", json!(tools));
        if quirks.tool_choice {
            set("tool_choice", choice);
        }
    }
    set("messages", json!(messages(ask, quirks.instruct, prompt)));
    Value::Object(body)
}

fn function(tool: &Tool) -> Value {
    let Tool { name, description, parameters } = tool;
    json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}})
}

fn choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::None => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Only(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

fn messages(ask: &Ask, instruct: InstructBy, prompt: Option<String>) -> Vec<Value> {
    let mut messages = Vec::new();
    // What waits for the next user message to stand before it.
    let mut before = String::new();
    for message in &ask.messages {
        messages.push(match message {
            Message::System { text } => match instruct {
                InstructBy::System => json!({"role": "system", "content": text}),
                InstructBy::Developer => json!({"role": "developer", "content": text}),
                InstructBy::User => {
                    before.push_str(text);
                    before.push_str("\n\n");
                    continue;
                }
            },
            Message::User { text } => {
                json!({"role": "user", "content": format!("{}{text}", std::mem::take(&mut before))})
            }
            Message::Assistant { text, tool_calls } => {
                let content = if text.is_empty() { Value::Null } else { json!(text) };
                let mut message = json!({"role": "assistant", "content": content});
                if tool_calls.is_empty() {
                    message["content"] = json!(text);
                } else {
                    message["tool_calls"] = tool_calls.iter().map(called).collect();
                }
                message
            }
            Message::Tool { call_id, text } => {
                json!({"role": "tool", "tool_call_id": call_id, "content": text})
            }
        });
    }
    let rest = [before, prompt.unwrap_or_default()].concat();
    if !rest.is_empty() {
        // With the last user message where there is one at the end: chat templates want roles to
        // alternate, and many refuse a system message that is not the first.
        match messages.last_mut() {
            Some(last) if last["role"] == "user" => {
                let text = last["content"].as_str().unwrap_or_default();
                last["content"] = json!(format!("{text}\n\n{rest}"));
            }
            Some(_) | None => messages.push(json!({"role": "user", "content": rest})),
        }
    }
    messages
}

fn called(call: &ToolCall) -> Value {
    // Templates parse the arguments of earlier calls; those that are no object would fail the request.
    let arguments = match call.object() {
        Ok(object) => Value::Object(object).to_string(),
        Err(_) => json!({"unreadable": call.arguments}).to_string(),
    };
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

/// A piece of a stream, or a whole answer. Everything is optional: servers leave things out.
#[derive(Deserialize)]
struct Piece {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<Value>,
    system_fingerprint: Option<String>,
    simulated: Option<bool>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<Value>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallPiece>>,
}

#[derive(Deserialize)]
struct CallPiece {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionPiece>,
}

#[derive(Deserialize)]
struct FunctionPiece {
    name: Option<String>,
    arguments: Option<Value>,
}

/// Reads the data of one event of a stream.
pub(crate) fn event(data: &str, draft: &mut Draft) -> Result<(), Wrong> {
    if data.trim() == "[DONE]" {
        return if draft.has_begun() {
            draft.end()
        } else {
            Err(Wrong::Malformed("the stream ended before it began".to_owned()))
        };
    }
    piece(data, draft)
}

/// Reads an answer that came whole, though a stream was asked for.
pub(crate) fn whole(body: &str, draft: &mut Draft) -> Result<(), Wrong> {
    piece(body, draft)?;
    if !draft.has_finished() {
        return Err(Wrong::Malformed("the answer has no finish_reason".to_owned()));
    }
    draft.end()
}

fn piece(text: &str, draft: &mut Draft) -> Result<(), Wrong> {
    let Piece { model, choices, usage, error, system_fingerprint, simulated } =
        serde_json::from_str(text).map_err(|error| Wrong::Malformed(format!("not a completion: {error}")))?;
    if let Some(error) = error.filter(|error| !error.is_null()) {
        return Err(failed(&error));
    }
    if choices.is_none() && usage.is_none() {
        return Err(Wrong::Malformed("neither choices nor usage nor error".to_owned()));
    }
    let simulated = simulated == Some(true) || system_fingerprint.as_deref() == Some(crate::SIMULATED_BY);
    draft.begin(model.as_deref(), simulated);
    for Choice { delta, finish_reason, .. } in
        choices.unwrap_or_default().into_iter().filter(|choice| choice.index.unwrap_or(0) == 0)
    {
        let mut refused = false;
        if let Some(Delta { content, refusal, tool_calls }) = delta {
            draft.text(&words(content.as_ref()))?;
            if let Some(refusal) = refusal.filter(|text| !text.is_empty()) {
                draft.text(&refusal)?;
                refused = true;
            }
            for CallPiece { index, id, function } in tool_calls.unwrap_or_default() {
                let (name, arguments) = function.map_or((None, None), |f| (f.name, f.arguments));
                let arguments = match arguments {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text,
                    Some(other) => other.to_string(),
                };
                draft.call(index, id.as_deref(), name.as_deref(), &arguments)?;
            }
        }
        if refused {
            draft.finish(Finish::Filtered);
        } else if let Some(reason) = finish_reason.filter(|_| !draft.was_filtered()) {
            draft.finish(match reason.as_str() {
                "length" => Finish::Length,
                "tool_calls" | "function_call" => Finish::ToolCalls,
                "content_filter" => Finish::Filtered,
                // "stop", and what compatible servers make up ("eos", "stop_sequence").
                _ => Finish::Stop,
            });
        }
    }
    if let Some(usage) = usage.filter(|usage| !usage.is_null()) {
        draft.report(reported(&usage), true);
    }
    Ok(())
}

/// The text of `content`: a string, or the text parts of a list.
fn words(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        Some(_) | None => String::new(),
    }
}

/// `prompt_tokens` counts the cached ones too; here each token is in one kind.
fn reported(usage: &Value) -> Reported {
    let number = |key: &str| usage.get(key).and_then(Value::as_u64);
    let cached = usage.pointer("/prompt_tokens_details/cached_tokens").and_then(Value::as_u64).unwrap_or(0);
    let input = number("prompt_tokens").and_then(|all| all.checked_sub(cached));
    Reported { input, output: number("completion_tokens"), cache_read: cached, cache_write: 0 }
}

/// An error that stands in an answer with status 200.
fn failed(error: &Value) -> Wrong {
    let part = |key: &str| error.get(key).and_then(Value::as_str);
    let said = part("message").or_else(|| error.as_str()).map_or_else(|| error.to_string(), str::to_owned);
    let number = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let kind = format!("{} {}", part("type").unwrap_or_default(), part("code").unwrap_or_default());
    let status = number.filter(|code| (400..600).contains(code)).or_else(|| {
        let names = |word: &str| kind.contains(word);
        if names("rate_limit") {
            Some(429)
        } else if names("overloaded") || names("server_error") {
            Some(503)
        } else if names("invalid_request") {
            Some(400)
        } else {
            None
        }
    });
    Wrong::Failed { status, said }
}
