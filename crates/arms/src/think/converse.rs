//! The loop in which a model calls tools until it says that it is done, or a bound is met.

use super::{
    prompt,
    talk::{Form, Talk, quoted},
};
use crate::Undone;
use async_trait::async_trait;
use octollm_contract::{
    ContentHash,
    model::{Message, Tool, ToolCall},
};
use octollm_screen::{data::beginning, text::neutralise};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What ends a conversation that does not end by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Questions to the model.
    pub(crate) questions: u32,
    /// Calls of tools.
    pub(crate) calls: usize,
    /// Bytes of one result that the model sees.
    pub(crate) result_bytes: usize,
    /// The same call with the same result, so often: no progress.
    pub(crate) repeats: u32,
    /// A text without a call of a tool is the result; otherwise the model is told to go on.
    pub(crate) text_ends: bool,
}

/// One call of a tool, its arguments read.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Map<String, Value>,
}

/// What comes of a call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A result for the model, with a word for what it is.
    Result {
        /// What it comes from, for the mark around it.
        label: String,
        /// The result: data.
        text: String,
    },
    /// The call could not be made as it was; the model is told why and may try otherwise.
    Refused(String),
    /// The model says that it is done.
    Finished(String),
}

impl Reply {
    /// A call that failed goes back to the model, one that was stopped ends the step.
    pub(crate) fn of_failure(undone: Undone) -> Result<Reply, Undone> {
        match undone {
            Undone::Failed { message, .. } => Ok(Reply::Refused(message)),
            undone @ (Undone::Later { .. } | Undone::Stopped) => Err(undone),
        }
    }
}

/// The arguments of a call as a `T`, or what to tell the model.
pub(crate) fn read_arguments<T: serde::de::DeserializeOwned>(
    arguments: Map<String, Value>,
) -> Result<T, Reply> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| Reply::Refused(format!("the arguments do not fit: {error}")))
}

/// A tool with these arguments.
pub(crate) fn tool(name: &str, description: &str, properties: Value, required: &[&str]) -> Tool {
    let parameters = serde_json::json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false
    });
    Tool { name: name.into(), description: description.into(), parameters }
}

/// The tools of a step that thinks.
#[async_trait]
pub(crate) trait Toolbox: Send {
    /// What the model may call.
    fn tools(&self) -> Vec<Tool>;

    /// The call changes something outside the room, and doing it twice is not doing it once.
    fn changes_the_world(&self, call: &Call) -> bool;

    /// Makes the call. An error ends the step; what the model may do better is a [`Reply`].
    async fn call(&mut self, call: Call, talk: &mut Talk<'_>) -> Result<Reply, Undone>;
}

/// Has the model call tools until it is done; gives back what it said last.
pub(crate) async fn converse(
    talk: &mut Talk<'_>,
    toolbox: &mut dyn Toolbox,
    bounds: Bounds,
) -> Result<String, Undone> {
    let form = Form { tools: toolbox.tools(), output: None };
    // In a small window one result must not push out all others.
    let result_bytes = bounds.result_bytes.min(talk.room() / 6);
    let mut seen = repeats(talk.messages());
    let mut open = talk.open_calls();
    loop {
        if open.is_empty() {
            if talk.journal.asked >= bounds.questions {
                let why = format!("the step was not done after {} questions to the model", bounds.questions);
                return Err(Undone::for_good(format!("{why}. {}", quoted(last_words(talk.messages())))));
            }
            let said = talk.ask(&form).await?;
            if said.calls.is_empty() {
                if bounds.text_ends {
                    return Ok(said.text);
                }
                let names: Vec<&str> = form.tools.iter().map(|tool| tool.name.as_str()).collect();
                let why = format!(
                    "You called no tool. Go on by calling one of {}; when all is done, call `finish`.",
                    names.join(", ")
                );
                talk.useless(&why, &said.text).await?;
                continue;
            }
            open = said.calls;
        }
        for call in std::mem::take(&mut open) {
            if made(talk.messages()) >= bounds.calls {
                return Err(Undone::for_good(format!(
                    "the step was not done after {} calls of tools",
                    bounds.calls
                )));
            }
            match one(&call, &form, toolbox, talk).await? {
                Reply::Finished(summary) => return Ok(summary),
                Reply::Result { label, text } => {
                    talk.useful();
                    let told = prompt::data(talk.work, &label, &text, result_bytes);
                    answer(&call, told, talk, &mut seen, bounds).await?;
                }
                Reply::Refused(why) => {
                    let why = prompt::data(talk.work, "the reason", &why, 4000);
                    let told = format!("Error: nothing came of the call.\n{why}");
                    answer(&call, told, talk, &mut seen, bounds).await?;
                }
            }
        }
    }
}

/// Makes one call, its effect reserved before and finalised after where it has one.
async fn one(
    call: &ToolCall,
    form: &Form,
    toolbox: &mut dyn Toolbox,
    talk: &mut Talk<'_>,
) -> Result<Reply, Undone> {
    if !form.tools.iter().any(|tool| tool.name == call.name) {
        let names: Vec<&str> = form.tools.iter().map(|tool| tool.name.as_str()).collect();
        return Ok(Reply::Refused(format!("there is no such tool; the tools are {}", names.join(", "))));
    }
    let arguments = match call.object() {
        Ok(arguments) => arguments,
        Err(error) => return Ok(Reply::Refused(error.to_string())),
    };
    let read = Call { name: call.name.clone(), arguments };
    if !toolbox.changes_the_world(&read) {
        return toolbox.call(read, talk).await;
    }
    let key = key(talk, call, &read);
    if talk.journal.reserve(key, &read.name).is_err() {
        return Err(Undone::for_good(format!(
            "{} was begun by an earlier attempt and nobody knows how it ended; it changes things outside, so it is not done again",
            read.name
        )));
    }
    talk.save().await?;
    let reply = toolbox.call(read, talk).await?;
    talk.journal.finalise(key);
    Ok(reply)
}

/// Step, call and canonical arguments: `serde_json` keeps the keys of an object in order.
fn key(talk: &Talk<'_>, call: &ToolCall, read: &Call) -> ContentHash {
    let arguments = Value::Object(read.arguments.clone());
    ContentHash::of(format!("{} {} {} {arguments}", talk.work.grant.step, call.id, read.name).as_bytes())
}

/// So much of what a tool said stands in a failure.
const RESULT_BYTES: usize = 400;

/// Tells the model what came of its call, and saves.
async fn answer(
    call: &ToolCall,
    told: String,
    talk: &mut Talk<'_>,
    seen: &mut BTreeMap<ContentHash, u32>,
    bounds: Bounds,
) -> Result<(), Undone> {
    let times = seen.entry(trace(call, &told)).or_insert(0);
    *times += 1;
    if *times >= bounds.repeats {
        let clean = neutralise(&told);
        let result = beginning(&clean, RESULT_BYTES);
        return Err(Undone::for_good(format!(
            "the model makes no progress: it called {} {times} times in the same way, with the same result: {}",
            call.name,
            result.trim()
        )));
    }
    talk.add(Message::tool(call.id.clone(), told)).await?;
    talk.save().await
}

fn trace(call: &ToolCall, told: &str) -> ContentHash {
    ContentHash::of(format!("{}\0{}\0{told}", call.name, call.arguments).as_bytes())
}

/// How often each call had the same result, in a conversation that goes on.
fn repeats(messages: &[Message]) -> BTreeMap<ContentHash, u32> {
    let mut calls = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for message in messages {
        match message {
            Message::Assistant { tool_calls, .. } => {
                calls.extend(tool_calls.iter().map(|call| (call.id.as_str(), call)));
            }
            Message::Tool { call_id, text } => {
                if let Some(call) = calls.get(call_id.as_str()) {
                    *seen.entry(trace(call, text)).or_insert(0) += 1;
                }
            }
            Message::System { .. } | Message::User { .. } => {}
        }
    }
    seen
}

fn made(messages: &[Message]) -> usize {
    messages.iter().filter(|message| matches!(message, Message::Tool { .. })).count()
}

fn last_words(messages: &[Message]) -> &str {
    let said = messages.iter().rev().filter(|message| matches!(message, Message::Assistant { .. }));
    said.map(Message::text).find(|text| !text.is_empty()).unwrap_or("")
}
