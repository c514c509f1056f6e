//! Acceptance criteria are checked before anything is stored: a judge that could not read its
//! criterion would fail a task that was accepted.

use super::submit::SubmitError;
use octollm_contract::{Criterion, api::StructuredCriterion};

/// A task has at most so many criteria.
const MAX_CRITERIA: usize = 64;
/// A text, pattern or path in a criterion has at most so many characters.
const MAX_CHARACTERS: usize = 10_000;
/// A compiled pattern takes at most so many bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// The structured criteria, each one fit to be judged by.
pub(super) fn structured(criteria: Vec<Criterion>) -> Result<Vec<StructuredCriterion>, SubmitError> {
    if criteria.len() > MAX_CRITERIA {
        return Err(invalid("acceptance_criteria".into(), format!("at most {MAX_CRITERIA} are taken")));
    }
    let checked = criteria.into_iter().enumerate().map(|(at, criterion)| match criterion {
        Criterion::Structured(criterion) => check(at, &criterion).map(|()| criterion),
        Criterion::FreeText(_) => Err(SubmitError::NotHonoured {
            field: format!("acceptance_criteria[{at}]"),
            detail: "a sentence needs a model to judge it; use a structured criterion, such as \
                     {\"type\": \"contains\", \"text\": \"…\"}"
                .into(),
        }),
    });
    checked.collect()
}

fn check(at: usize, criterion: &StructuredCriterion) -> Result<(), SubmitError> {
    let field = |name: &str| format!("acceptance_criteria[{at}].{name}");
    match criterion {
        StructuredCriterion::Contains { text } => sized(field("text"), text),
        StructuredCriterion::ExitCode { .. } => Ok(()),
        StructuredCriterion::Regex { pattern } => {
            sized(field("pattern"), pattern)?;
            let built = regex::RegexBuilder::new(pattern).size_limit(MAX_COMPILED_BYTES).build();
            built.map(drop).map_err(|error| invalid(field("pattern"), error.to_string()))
        }
        StructuredCriterion::JsonSchema { schema } => {
            let built = jsonschema::validator_for(schema);
            built.map(drop).map_err(|error| {
                invalid(field("schema"), format!("this is not a JSON Schema that can be used: {error}"))
            })
        }
        StructuredCriterion::ArtefactExists { path } => {
            sized(field("path"), path)?;
            let relative = std::path::Path::new(path);
            let plain = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
            if plain {
                Ok(())
            } else {
                Err(invalid(
                    field("path"),
                    "a path relative to the workspace, without `.` and `..`, is taken".into(),
                ))
            }
        }
    }
}

fn sized(field: String, text: &str) -> Result<(), SubmitError> {
    if text.is_empty() || text.chars().count() > MAX_CHARACTERS {
        return Err(invalid(field, format!("1 to {MAX_CHARACTERS} characters are taken")));
    }
    Ok(())
}

fn invalid(field: String, detail: String) -> SubmitError {
    SubmitError::Invalid { field, detail }
}
