//! The schema that a model's answer is asked to keep to.

use super::LIST_MAX;
use crate::{MAX_STEPS, ToolName};
use octollm_contract::ArmName;
use serde_json::{Value, json};

/// A JSON Schema for what [`super::Draft::read`] reads, for servers that hold a model to one.
/// `arms` are those that a step may name.
#[must_use]
pub fn schema(arms: &[ArmName]) -> Value {
    let arms: Vec<&str> =
        arms.iter().filter(|arm| **arm != ArmName::Planner).map(|arm| arm.as_str()).collect();
    let tools: Vec<&str> = ToolName::ALL.iter().map(|tool| tool.as_str()).collect();
    let name = json!({ "type": "string", "pattern": "^[a-z0-9_-]{1,40}$" });
    let texts = json!({ "type": "array", "items": { "type": "string" }, "maxItems": LIST_MAX });
    json!({
        "type": "object",
        "properties": {
            "kind": { "enum": ["plan", "question", "refusal"] },
            "steps": { "type": "array", "maxItems": MAX_STEPS, "items": {
                "type": "object",
                "properties": {
                    "name": name,
                    "arm": { "enum": arms },
                    "summary": { "type": "string" },
                    "tool": { "type": ["object", "null"], "properties": {
                        "tool": { "enum": tools },
                        "arguments": { "type": "object" }
                    }, "required": ["tool", "arguments"], "additionalProperties": false },
                    "instruction": { "type": ["string", "null"] },
                    "criteria": { "type": "array", "maxItems": LIST_MAX, "items": { "type": ["string", "object"] } },
                    "inputs": { "type": "array", "maxItems": LIST_MAX, "items": {
                        "type": "object",
                        "properties": {
                            "name": name,
                            "step": name,
                            "output": { "enum": ["text", "paths", "number", "data", "whole"] }
                        },
                        "required": ["name", "step", "output"], "additionalProperties": false
                    } },
                    "needs": { "type": "array", "items": name, "maxItems": LIST_MAX },
                    "reads": texts, "hosts": texts, "commands": texts,
                    "writes": { "type": "boolean" }
                },
                "required": ["name", "arm", "summary"], "additionalProperties": false
            } },
            "result": { "type": "array", "items": name, "maxItems": LIST_MAX },
            "question": { "type": "string" },
            "reason": { "type": "string" }
        },
        "required": ["kind"],
        "additionalProperties": false
    })
}
