//! The shape of what a model writes, before anything of it is believed.

use super::{DRAFT_BYTES_MAX, DraftFault};
use crate::ValueType;
use octollm_contract::Criterion;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum WireDraft {
    Plan { steps: Vec<WireStep>, result: Vec<String> },
    Question { question: String },
    Refusal { reason: String },
}

/// Lists that a model leaves out or sets to null are empty.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireStep {
    pub(super) name: String,
    pub(super) arm: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) summary: String,
    #[serde(default)]
    pub(super) tool: Option<WireTool>,
    #[serde(default)]
    pub(super) instruction: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) criteria: Vec<Criterion>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) inputs: Vec<WireInput>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) needs: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) reads: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) hosts: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) commands: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) writes: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireTool {
    pub(super) tool: String,
    #[serde(default)]
    pub(super) arguments: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireInput {
    pub(super) name: String,
    pub(super) step: String,
    #[serde(default = "text")]
    pub(super) output: ValueType,
}

fn text() -> ValueType {
    ValueType::Text
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

impl WireDraft {
    /// One JSON object, alone or between the fences that models like to write around it.
    pub(super) fn parse(text: &str) -> Result<Self, DraftFault> {
        if text.len() > DRAFT_BYTES_MAX {
            return Err(DraftFault::TooLong { bytes: text.len() });
        }
        // `serde_json` bounds the depth at 128.
        serde_json::from_str(unfenced(text))
            .map_err(|error| DraftFault::Shape(super::shortened_to(&error.to_string(), 300)))
    }
}

/// The text between a first line of three backticks and a last one, or the whole text.
fn unfenced(text: &str) -> &str {
    let text = text.trim().trim_start_matches('\u{feff}').trim_start();
    let Some(inside) = text.strip_prefix("```").and_then(|rest| rest.split_once('\n')) else { return text };
    inside.1.trim_end().strip_suffix("```").unwrap_or(inside.1).trim()
}
