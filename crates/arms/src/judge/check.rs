//! One criterion against a result.

use super::{Finding, schema};
use crate::Undone;
use octollm_contract::api::{StructuredCriterion, TaskResult};
use regex::RegexBuilder;
use serde_json::Value;
use std::sync::Arc;

/// A compiled pattern takes at most so many bytes.
const PATTERN_SIZE: usize = 1 << 20;
/// A criterion is quoted, and evidence given, up to this many characters.
const QUOTED: usize = 200;

/// What is judged.
pub(super) struct Subject {
    pub(super) result: TaskResult,
    /// Of the last program that the result comes from.
    pub(super) exit_code: Option<i32>,
}

pub(super) async fn check(criterion: StructuredCriterion, subject: &Arc<Subject>) -> Result<Finding, Undone> {
    let text = subject.result.text.as_str();
    Ok(match criterion {
        StructuredCriterion::Contains { text: wanted } => {
            let at = text.find(&wanted);
            let found =
                at.map_or_else(|| nothing_like(text), |at| format!("it stands in {}", line_at(text, at)));
            finding(format!("contains {:?}", clip(&wanted)), at.is_some(), found)
        }
        StructuredCriterion::Regex { pattern } => {
            let named = format!("regex {:?}", clip(&pattern));
            let subject = Arc::clone(subject);
            // A client's pattern over a large text may take long: not on the threads of the heartbeats.
            let searching =
                tokio::task::spawn_blocking(move || matched(named, &pattern, &subject.result.text));
            searching.await.map_err(|_| Undone::for_now("the pattern could not be searched for"))?
        }
        StructuredCriterion::ExitCode { equals } => {
            let found = match subject.exit_code {
                Some(code) => format!("the exit code is {code}"),
                None => "no program was run".to_owned(),
            };
            finding(format!("exit_code {equals}"), subject.exit_code == Some(equals), found)
        }
        StructuredCriterion::ArtefactExists { path } => {
            let wanted = path.strip_prefix("./").unwrap_or(&path);
            let found = subject.result.artefacts.iter().find(|artefact| artefact.path == wanted);
            let told = match found {
                Some(artefact) => format!("it has {} bytes, SHA-256 {}", artefact.bytes, artefact.sha256),
                None => format!("the result has {} files, none of this path", subject.result.artefacts.len()),
            };
            finding(format!("artefact_exists {:?}", clip(&path)), found.is_some(), told)
        }
        StructuredCriterion::JsonSchema { schema } => {
            let (holds, evidence) = match document(&subject.result) {
                Err(why) => (false, why),
                Ok(document) => match schema::check(schema, document).await? {
                    Ok(()) => (true, "the data is valid".to_owned()),
                    Err(why) => (false, why),
                },
            };
            finding("json_schema".to_owned(), holds, evidence)
        }
    })
}

fn matched(named: String, pattern: &str, text: &str) -> Finding {
    let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE).build();
    match compiled {
        Err(error) => {
            finding(named, false, format!("the pattern cannot be used: {}", clip(&error.to_string())))
        }
        Ok(compiled) => {
            let hit = compiled.find(text);
            let told = |hit: regex::Match<'_>| {
                format!("{:?} matches in {}", clip(hit.as_str()), line_at(text, hit.start()))
            };
            finding(named, hit.is_some(), hit.map_or_else(|| nothing_like(text), told))
        }
    }
}

fn finding(criterion: String, holds: bool, evidence: String) -> Finding {
    Finding { criterion, holds, evidence }
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
