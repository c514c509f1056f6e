//! `acceptance_criteria` of `POST /tasks`: what a result must be.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{OneOfBuilder, RefOr, Schema, schema::AdditionalProperties},
};

/// One condition on a result: structured, or a sentence that a model judges.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Criterion {
    /// Checked by rule.
    Structured(StructuredCriterion),
    /// Judged by a model.
    FreeText(String),
}

impl ToSchema for Criterion {}

impl PartialSchema for Criterion {
    fn schema() -> RefOr<Schema> {
        let sentence = String::schema();
        OneOfBuilder::new()
            .description(Some("One condition on a result: structured, or a sentence that a model judges"))
            .item(closed(StructuredCriterion::schema()))
            .item(sentence)
            .into()
    }
}

/// The same kinds without any other fields: what is derived does not say that none is taken.
fn closed(schema: RefOr<Schema>) -> RefOr<Schema> {
    let RefOr::T(Schema::OneOf(mut kinds)) = schema else { return schema };
    for kind in &mut kinds.items {
        if let RefOr::T(Schema::Object(kind)) = kind {
            kind.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
    Schema::OneOf(kinds).into()
}

impl<'de> Deserialize<'de> for Criterion {
    /// Reads member by member, so that an error names the one at fault.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Criterion::FreeText(text)),
            Value::Object(members) => structured(members).map(Criterion::Structured),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                Err("an object with a `type`, or a sentence, is wanted".to_owned())
            }
        }
        .map_err(serde::de::Error::custom)
    }
}

/// The criterion that `members` mean. The text of an error begins as serde's do: with "missing field"
/// or "field", and the name.
fn structured(mut members: Map<String, Value>) -> Result<StructuredCriterion, String> {
    let kind: String = member(&mut members, "type")?;
    let criterion = match kind.as_str() {
        "contains" => StructuredCriterion::Contains { text: member(&mut members, "text")? },
        "regex" => StructuredCriterion::Regex { pattern: member(&mut members, "pattern")? },
        "exit_code" => StructuredCriterion::ExitCode { equals: member(&mut members, "equals")? },
        "json_schema" => StructuredCriterion::JsonSchema { schema: member(&mut members, "schema")? },
        "artefact_exists" => StructuredCriterion::ArtefactExists { path: member(&mut members, "path")? },
        _ => {
            let kind: String = kind.chars().take(80).collect();
            return Err(format!(
                "field `type`: {kind:?} is not one of contains, regex, exit_code, json_schema, artefact_exists"
            ));
        }
    };
    match members.keys().next() {
        Some(name) => Err(format!("field `{name}`: a criterion of the type {kind} has no such field")),
        None => Ok(criterion),
    }
}

fn member<T: serde::de::DeserializeOwned>(members: &mut Map<String, Value>, name: &str) -> Result<T, String> {
    let value = members.remove(name).ok_or_else(|| format!("missing field `{name}`"))?;
    serde_json::from_value(value).map_err(|error| {
        let said = crate::in_words(&error.to_string(), "an object");
        format!("field `{name}`: {said}")
    })
}

impl From<StructuredCriterion> for Criterion {
    fn from(criterion: StructuredCriterion) -> Self {
        Criterion::Structured(criterion)
    }
}

/// A condition that is checked by rule, without a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum StructuredCriterion {
    /// The result's text holds this text.
    Contains {
        /// The text that must occur.
        text: String,
    },
    /// The result's text holds a match of this pattern (syntax of the `regex` crate).
    Regex {
        /// The pattern.
        pattern: String,
    },
    /// The last command of the result ended with this code.
    ExitCode {
        /// The wanted code.
        equals: i32,
    },
    /// The result's data (or its text, read as JSON) is valid against this schema.
    JsonSchema {
        /// A JSON Schema (2020-12 unless `$schema` says otherwise).
        schema: Value,
    },
    /// The result has a file at this path.
    ArtefactExists {
        /// A path relative to the task's workspace.
        path: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_are_structured_or_sentences() {
        let read = |json| serde_json::from_str::<Criterion>(json);
        assert!(matches!(read(r#"{"type":"exit_code","equals":0}"#), Ok(Criterion::Structured(_))));
        assert!(matches!(read(r#""is polite""#), Ok(Criterion::FreeText(_))));
        assert!(read(r#"{"type":"exit_code","equals":0,"more":1}"#).is_err());
        assert!(read(r#"{"type":"guess"}"#).is_err());
    }
}
