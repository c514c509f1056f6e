//! The question: messages, tools, and the form that the answer shall have.

use super::{NotAnObject, once::Once};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One call of a model, in words that every provider's client can translate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ModelAsk)]
pub struct Ask {
    /// The model's id as its provider spells it. Empty: whatever the gateway is configured with.
    #[serde(default)]
    pub model: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// What the model may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Whether it may, must, or must not call one. Means nothing without `tools`.
    #[serde(default)]
    pub tool_choice: ToolChoice,
    /// The JSON that the answer's text shall be. A wish: whoever reads the answer checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Structured>,
    /// Tokens that the answer may have at most, reasoning included. What the hold is made of.
    pub max_output_tokens: u32,
    /// Hundredths: 70 is a temperature of 0.7. The provider's default when absent; left out for
    /// models that take none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_hundredths: Option<u16>,
    /// Texts at which the model stops.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

impl Ask {
    /// A question with nothing but messages.
    #[must_use]
    pub fn new(model: impl Into<String>, messages: Vec<Message>, max_output_tokens: u32) -> Self {
        Ask {
            model: model.into(),
            messages,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            output: None,
            max_output_tokens,
            temperature_hundredths: None,
            stop: Vec::new(),
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "role", rename_all = "snake_case")]
#[schema(as = ModelMessage)]
pub enum Message {
    /// What the program tells the model about its work.
    System {
        /// The instruction.
        text: String,
    },
    /// What is asked, and the data that it is about.
    User {
        /// The text.
        text: String,
    },
    /// What the model said before.
    Assistant {
        /// Its text; empty when it only called tools.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// The tools that it called, in its order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool that the model called gave back.
    Tool {
        /// The [`ToolCall::id`] that this answers.
        call_id: String,
        /// The tool's output.
        text: String,
    },
}

impl Message {
    /// A system message.
    #[must_use]
    pub fn system(text: impl Into<String>) -> Self {
        Message::System { text: text.into() }
    }

    /// A user message.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Message::User { text: text.into() }
    }

    /// An assistant message without tool calls.
    #[must_use]
    pub fn assistant(text: impl Into<String>) -> Self {
        Message::Assistant { text: text.into(), tool_calls: Vec::new() }
    }

    /// A tool's output.
    #[must_use]
    pub fn tool(call_id: impl Into<String>, text: impl Into<String>) -> Self {
        Message::Tool { call_id: call_id.into(), text: text.into() }
    }

    /// The text of the message, whoever said it.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Message::System { text }
            | Message::User { text }
            | Message::Assistant { text, .. }
            | Message::Tool { text, .. } => text,
        }
    }
}

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ModelTool)]
pub struct Tool {
    /// Its name: letters, digits, `_` and `-`, at most 64 (what every provider takes).
    pub name: String,
    /// What it does and when to use it, for the model.
    pub description: String,
    /// The JSON Schema of its arguments, an object.
    pub parameters: Value,
}

/// A call of a tool that the model wants made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ModelToolCall)]
pub struct ToolCall {
    /// What the tool's output refers to; unique within its conversation.
    pub id: String,
    /// The tool's name, as the model wrote it: perhaps of no tool at all.
    pub name: String,
    /// The arguments as the model wrote them: perhaps no JSON at all.
    pub arguments: String,
}

impl ToolCall {
    /// The arguments as a JSON object in which each key is there once. Nothing at all counts as no arguments.
    pub fn object(&self) -> Result<Map<String, Value>, NotAnObject> {
        if self.arguments.trim().is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_str(&self.arguments) {
            Ok(Once(Value::Object(object))) => Ok(object),
            Ok(Once(_)) => Err(NotAnObject { why: "they are JSON, but not an object".to_owned() }),
            Err(error) => Err(NotAnObject { why: error.to_string() }),
        }
    }
}

/// Whether the model may call tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ModelToolChoice)]
pub enum ToolChoice {
    /// As it sees fit.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It must call at least one.
    Required,
    /// It must call this one.
    Only(String),
}

/// The form that an answer's text shall have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ModelForm)]
pub struct Structured {
    /// A name for the form: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// The JSON Schema of the answer, an object.
    pub schema: Value,
}
