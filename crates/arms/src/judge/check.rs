//! One criterion against a result.

use super::Finding;
use octollm_contract::api::{StructuredCriterion, TaskResult};
use octollm_yardstick::{Allowance, Unfit, Yardstick};
use serde_json::Value;

/// A criterion is quoted, and evidence given, up to this many characters.
const QUOTED: usize = 200;

/// What is judged. Its text is what the work made, without remarks for people and what a
/// program said of itself.
pub(super) struct Subject {
    pub(super) result: TaskResult,
    /// Some of the text was not kept, so that what stands in it cannot be told.
    pub(super) partial: bool,
    /// Of the last program that the result comes from.
    pub(super) exit_code: Option<i32>,
}

/// Blocks while a pattern or schema of a client is compiled and held against the text.
pub(super) fn check(
    criterion: &StructuredCriterion,
    allowance: &mut Allowance,
    subject: &Subject,
) -> Finding {
    let (holds, evidence) = match allowance.yardstick(criterion) {
        Ok(yardstick) => measured(&yardstick, subject),
        Err(Unfit { member, why }) => (false, format!("the {member} cannot be used: {}", clip(&why))),
    };
    Finding { criterion: in_words(criterion), holds, evidence, confidence: None }
}

fn measured(yardstick: &Yardstick, subject: &Subject) -> (bool, String) {
    let text = subject.result.text.as_str();
    match yardstick {
        Yardstick::Contains(_) | Yardstick::Regex(_) | Yardstick::JsonSchema(_) if subject.partial => {
            (false, "this cannot be told, because some of the result's text was not kept".to_owned())
        }
        Yardstick::Contains(wanted) => {
            let at = text.find(wanted);
            (
                at.is_some(),
                at.map_or_else(|| nothing_like(text), |at| format!("it stands in {}", line_at(text, at))),
            )
        }
        Yardstick::Regex(pattern) => {
            let hit = pattern.find(text);
            let told = |hit: regex::Match<'_>| {
                format!("{:?} matches in {}", clip(hit.as_str()), line_at(text, hit.start()))
            };
            (hit.is_some(), hit.map_or_else(|| nothing_like(text), told))
        }
        Yardstick::ExitCode(equals) => {
            let found = match subject.exit_code {
                Some(code) => format!("the exit code is {code}"),
                None => "no program was run".to_owned(),
            };
            (subject.exit_code == Some(*equals), found)
        }
        Yardstick::ArtefactExists(path) => {
            let found = subject.result.artefacts.iter().find(|artefact| artefact.path == *path);
            let told = match found {
                Some(artefact) => format!("it has {} bytes, SHA-256 {}", artefact.bytes, artefact.sha256),
                None => format!("the result has {} files, none of this path", subject.result.artefacts.len()),
            };
            (found.is_some(), told)
        }
        Yardstick::JsonSchema(schema) => match document(&subject.result).map(|data| schema.check(&data)) {
            Ok(Ok(())) => (true, "the data is valid".to_owned()),
            Ok(Err(why)) | Err(why) => (false, why),
        },
    }
}

fn in_words(criterion: &StructuredCriterion) -> String {
    match criterion {
        StructuredCriterion::Contains { text } => format!("contains {:?}", clip(text)),
        StructuredCriterion::Regex { pattern } => format!("regex {:?}", clip(pattern)),
        StructuredCriterion::ExitCode { equals } => format!("exit_code {equals}"),
        StructuredCriterion::ArtefactExists { path } => format!("artefact_exists {:?}", clip(path)),
        StructuredCriterion::JsonSchema { .. } => "json_schema".to_owned(),
    }
}

/// The finding for a criterion that took too long.
pub(super) fn endless(criterion: &StructuredCriterion, seconds: u64) -> Finding {
    let evidence = format!("this cannot be told: looking for it takes over {seconds} s");
    Finding { criterion: in_words(criterion), holds: false, evidence, confidence: None }
}

/// The data that a schema is held against: the result's, or its text read as JSON.
fn document(result: &TaskResult) -> Result<Value, String> {
    if result.data.is_null() {
        return serde_json::from_str(&result.text)
            .map_err(|error| format!("the result has no data, and its text is not JSON: {error}"));
    }
    // A text that is JSON itself is what its maker meant; data of tools only describes it.
    match serde_json::from_str(&result.text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => Ok(value),
        Ok(_) | Err(_) => Ok(result.data.clone()),
    }
}

fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(QUOTED).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}

fn line_at(text: &str, at: usize) -> String {
    let number = text[..at].matches('\n').count() + 1;
    let line = text[at..].lines().next().unwrap_or("");
    let start = text[..at].rfind('\n').map_or(0, |before| before + 1);
    format!("line {number}: {:?}", clip(&format!("{}{line}", &text[start..at])))
}

fn nothing_like(text: &str) -> String {
    format!("not in the result's text ({} characters, which begins {:?})", text.chars().count(), clip(text))
}
