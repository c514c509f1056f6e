//! A request of either API, in the words that a script's rules match.

use super::Api;
use crate::count_text;
use serde_json::Value;

#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) model: String,
    /// All system messages.
    pub(super) system: String,
    /// The last user message that is text.
    pub(super) user: String,
    /// The last message, whoever's; a tool's output too.
    pub(super) last: String,
    /// Everything, a message a paragraph.
    pub(super) any: String,
    /// How many turns the model has had.
    pub(super) turn: usize,
    /// The names of the tools that may be called.
    pub(super) tools: Vec<String>,
    /// The tool that must be called.
    pub(super) forced: Option<String>,
    /// The name of the form that is asked for.
    pub(super) form: Option<String>,
    pub(super) output_max: Option<u64>,
    pub(super) stream: bool,
    pub(super) stream_usage: bool,
}

impl Asked {
    pub(super) fn read(api: Api, body: &[u8]) -> Result<Asked, String> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| format!("the request is not JSON: {error}"))?;
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let truth = |pointer: &str| body.pointer(pointer).and_then(Value::as_bool) == Some(true);
        let limit =
            ["/max_completion_tokens", "/max_tokens"].into_iter().find_map(|p| body.pointer(p)?.as_u64());
        let tool_name = match api {
            Api::OpenAi => "/function/name",
            Api::Anthropic => "/name",
        };
        let name = |tool: &Value| tool.pointer(tool_name).and_then(Value::as_str).map(str::to_owned);
        let tools =
            body.get("tools").and_then(Value::as_array).into_iter().flatten().filter_map(name).collect();
        let mut asked = Asked {
            model: text("/model").ok_or("the request names no model")?,
            tools,
            forced: body.get("tool_choice").and_then(name),
            form: text("/response_format/json_schema/name"),
            output_max: limit,
            stream: truth("/stream"),
            stream_usage: truth("/stream_options/include_usage"),
            ..Asked::default()
        };
        if let Some(system) = body.get("system") {
            asked.say("system", words(system));
        }
        let messages = body.get("messages").and_then(Value::as_array).ok_or("the request has no messages")?;
        for message in messages {
            let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
            let content = message.get("content").unwrap_or(&Value::Null);
            // Anthropic's tool outputs stand in user messages.
            let is_output = content.pointer("/0/type").and_then(Value::as_str) == Some("tool_result");
            asked.say(if is_output { "tool" } else { role }, words(content));
        }
        if api == Api::Anthropic && limit.is_none() {
            return Err("max_tokens: field required".to_owned());
        }
        Ok(asked)
    }

    fn say(&mut self, role: &str, text: String) {
        self.any.push_str(&text);
        self.any.push_str("\n\n");
        match role {
            "system" | "developer" => {
                self.system.push_str(&text);
                self.system.push_str("\n\n");
            }
            "user" => self.user.clone_from(&text),
            "assistant" => self.turn += 1,
            _ => {}
        }
        self.last = text;
    }

    /// Tokens as this server counts them: by the model's tokenizer where it is known, else a
    /// quarter of the bytes.
    pub(super) fn tokens(&self, text: &str) -> u64 {
        match count_text(&self.model, text) {
            crate::Count { tokens, by: crate::CountedBy::Tokenizer } => tokens,
            crate::Count { tokens, by: crate::CountedBy::Bytes } => tokens.div_ceil(4),
        }
    }
}

/// The text of a message's content: a string, or the text blocks and tool outputs of a list.
fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let each = blocks.iter().map(|block| {
                let inner = block.get("text").or_else(|| block.get("content"));
                inner.map(words).unwrap_or_default()
            });
            each.collect::<Vec<_>>().join("\n")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}
