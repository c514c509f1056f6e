//! Answers in a wanted form, from servers that cannot be told the form: the words that ask for it
//! in the prompt, and whether a schema is one that OpenAI's strict mode takes.

use octollm_contract::model::{Structured, Tool};
use serde_json::Value;

/// What a server without structured output is told, before the schema.
pub(crate) const PROMPT: &str = "Answer with one JSON document and nothing else: no words before or after it, \
no code fence. It must be valid against this JSON Schema:\n";

/// The instruction for servers that know no `response_format`.
pub(crate) fn prompt(output: &Structured) -> String {
    format!("{PROMPT}{}", output.schema)
}

/// The tool whose arguments are the answer, for servers that are best asked that way.
pub(crate) fn tool(output: &Structured) -> Tool {
    Tool {
        name: output.name.clone(),
        description: "Give the answer by calling this.".to_owned(),
        parameters: output.schema.clone(),
    }
}

/// Whether OpenAI's strict mode takes the schema: every object in it closed, with all its
/// properties required. Others are sent without `strict`.
pub(crate) fn is_strict(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => {
            let closed = match map.get("properties") {
                Some(Value::Object(properties)) => {
                    let required = map.get("required").and_then(Value::as_array);
                    map.get("additionalProperties") == Some(&Value::Bool(false))
                        && required.is_some_and(|names| {
                            properties.keys().all(|key| names.iter().any(|name| name.as_str() == Some(key)))
                        })
                }
                Some(_) => true,
                // An object of anything is not closed.
                None => map.get("type").and_then(Value::as_str) != Some("object"),
            };
            closed && map.values().all(is_strict)
        }
        Value::Array(items) => items.iter().all(is_strict),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_closed_schemas_are_strict() {
        let closed = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
        assert!(is_strict(&closed));
        for open in [
            json!({"type": "object"}),
            json!({"type": "object", "properties": {"a": {}}, "required": ["a"]}),
            json!({"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": false}),
            json!({"type": "array", "items": {"type": "object"}}),
        ] {
            assert!(!is_strict(&open), "{open}");
        }
    }
}
