//! JSON bodies are read strictly: what two readers could understand differently is refused.
//!
//! The scan is one pass over the text, with memory bounded by the text, before anything is
//! built: nesting is bounded, no object has a key twice, no string holds U+0000. What is not
//! JSON at all is left to the parser, which names the place. The error names the field.

use octollm_contract::{Problem, ProblemKind, in_words};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use std::{borrow::Cow, collections::HashSet, fmt::Write as _};

use crate::problem::problem;

/// Objects and arrays inside one another.
const DEPTH_MAX: usize = 64;
/// A path in a problem is cut after so many characters.
const PATH_CHARACTERS_MAX: usize = 200;

/// Reads `bytes` as a `T`, or says which field is at fault.
pub(super) fn read<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let detail = format!("the body is not UTF-8: byte {} is at fault", error.valid_up_to());
        invalid(detail, "body")
    })?;
    if text.trim().is_empty() {
        return Err(invalid("the body is empty; JSON is wanted".to_owned(), "body"));
    }
    scan(text)?;
    // Serde would take it for the fields, and name the first that does not fit.
    if text.trim_start().starts_with('[') {
        return Err(invalid("an object is wanted, not an array".to_owned(), "body"));
    }
    // Naming the field costs more than reading it: only what is refused is read that way.
    let value = serde_json::from_str(text).or_else(|_| read_naming_the_field(text))?;
    if text.contains('[') {
        objects_stay_objects(text, &value)?;
    }
    Ok(value)
}

fn read_naming_the_field<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let (at, path) = (error.path().clone(), error.path().to_string());
        let inner = error.into_inner();
        let field = named(&inner).map_or_else(|| path.clone(), |name| joined(&path, &name));
        let field = if field == "." { "body" } else { &field };
        invalid(names_wanted::<T>(text, &at, &inner).unwrap_or_else(|| told(&inner)), field)
    })?;
    deserializer.end().map_err(|error| invalid(told(&error), "body"))?;
    Ok(value)
}

/// Which words are taken at the place where something stands that is no text: for that, serde has the words for
/// what is no JSON at all, and tells them only who sends another text.
fn names_wanted<T: DeserializeOwned>(text: &str, at: &Path, error: &serde_json::Error) -> Option<String> {
    if !error.to_string().starts_with("expected value") {
        return None;
    }
    let mut sent: Value = serde_json::from_str(text).ok()?;
    let mut place = &mut sent;
    for segment in at.iter() {
        place = match segment {
            Segment::Seq { index } => place.get_mut(*index)?,
            Segment::Map { key: name } | Segment::Enum { variant: name } => place.get_mut(name)?,
            Segment::Unknown => return None,
        };
    }
    let found = match std::mem::replace(place, Value::String(String::new())) {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::Array(_) => "an array".to_owned(),
        Value::String(_) | Value::Object(_) => return None,
    };
    let said = serde_json::from_value::<T>(sent).err()?.to_string();
    let names = said.strip_prefix("unknown variant ``, expected ")?;
    Some(format!("{names} is wanted, not {found} at line {} column {}", error.line(), error.column()))
}

fn told(error: &serde_json::Error) -> String {
    in_words(&error.to_string(), "an object")
}

/// Serde takes an array for a struct, field by field; the API takes objects only.
fn objects_stay_objects<T: Serialize>(text: &str, read: &T) -> Result<(), Problem> {
    let unread = |error: serde_json::Error| invalid(told(&error), "body");
    let sent: Value = serde_json::from_str(text).map_err(unread)?;
    let meant = serde_json::to_value(read).map_err(unread)?;
    match array_for_object(&sent, &meant, String::new()) {
        Some(path) => {
            let field = if path.is_empty() { "body" } else { &path };
            Err(invalid("an object is wanted, not an array".to_owned(), field))
        }
        None => Ok(()),
    }
}

/// Where `sent` has an array and `meant` an object.
fn array_for_object(sent: &Value, meant: &Value, path: String) -> Option<String> {
    match (sent, meant) {
        (Value::Array(_), Value::Object(_)) => Some(path),
        (Value::Array(sent), Value::Array(meant)) => {
            let pairs = sent.iter().zip(meant).enumerate();
            pairs.into_iter().find_map(|(at, (s, m))| array_for_object(s, m, format!("{path}[{at}]")))
        }
        (Value::Object(sent), Value::Object(meant)) => sent
            .iter()
            .find_map(|(key, s)| meant.get(key).and_then(|m| array_for_object(s, m, joined(&path, key)))),
        _ => None,
    }
}

/// The field that serde names in its text when the path does not reach it: one that is missing
/// or unknown.
fn named(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let rest = text.strip_prefix("missing field `").or_else(|| text.strip_prefix("field `"))?;
    rest.split_once('`').map(|(name, _)| name.to_owned())
}

fn joined(path: &str, name: &str) -> String {
    if path == "." || path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn invalid(detail: String, field: &str) -> Problem {
    let field: String = field.chars().take(PATH_CHARACTERS_MAX).collect();
    problem(ProblemKind::InvalidRequest, detail, field.as_str())
}

enum Frame<'a> {
    Object { keys: HashSet<Cow<'a, str>>, at: Option<Cow<'a, str>>, wants_key: bool },
    Array { at: usize },
}

fn scan(text: &str) -> Result<(), Problem> {
    let bytes = text.as_bytes();
    let mut frames: Vec<Frame<'_>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                if frames.len() == DEPTH_MAX {
                    let detail = format!("objects and arrays nest at most {DEPTH_MAX} deep");
                    return Err(invalid(detail, &path(&frames)));
                }
                frames.push(if *byte == b'{' {
                    Frame::Object { keys: HashSet::new(), at: None, wants_key: true }
                } else {
                    Frame::Array { at: 0 }
                });
            }
            b'}' | b']' => {
                frames.pop();
            }
            b',' => match frames.last_mut() {
                Some(Frame::Object { wants_key, .. }) => *wants_key = true,
                Some(Frame::Array { at }) => *at += 1,
                None => {}
            },
            b'"' => {
                let Some(end) = string_end(bytes, at) else { return Ok(()) };
                let raw = &text[at..=end];
                let value: Cow<'_, str> = if raw.contains('\\') {
                    match serde_json::from_str::<String>(raw) {
                        Ok(value) => value.into(),
                        // The parser refuses it with its place.
                        Err(_) => return Ok(()),
                    }
                } else {
                    raw[1..raw.len() - 1].into()
                };
                string(&mut frames, value)?;
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

fn string<'a>(frames: &mut [Frame<'a>], value: Cow<'a, str>) -> Result<(), Problem> {
    let has_nul = value.contains('\0');
    let mut twice = false;
    if let Some(Frame::Object { keys, at, wants_key }) = frames.last_mut()
        && *wants_key
    {
        *wants_key = false;
        twice = !keys.insert(value.clone());
        *at = Some(value);
    }
    if twice {
        return Err(invalid("the field is there twice".to_owned(), &path(frames)));
    }
    if has_nul {
        return Err(invalid("the character U+0000 is not taken".to_owned(), &path(frames)));
    }
    Ok(())
}

/// Where the string that begins at `start` ends.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn path(frames: &[Frame<'_>]) -> String {
    let mut path = String::new();
    for frame in frames {
        if path.len() > PATH_CHARACTERS_MAX {
            break;
        }
        let written = match frame {
            Frame::Object { at: Some(key), .. } if path.is_empty() => write!(path, "{key}"),
            Frame::Object { at: Some(key), .. } => write!(path, ".{key}"),
            Frame::Object { at: None, .. } => Ok(()),
            Frame::Array { at } => write!(path, "[{at}]"),
        };
        written.expect("a String takes text");
    }
    if path.is_empty() { "body".to_owned() } else { path.replace('\0', "\\u0000") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::api::SubmitTask;

    fn field_of(json: &str) -> Option<String> {
        read::<SubmitTask>(json.as_bytes()).err().and_then(|problem| problem.field)
    }

    /// P8: the field is named, whatever is wrong with the body.
    #[test]
    fn a_bad_body_is_refused_with_the_field_at_fault() {
        let deep = format!(r#"{{"goal":"a","context":{{"a":{}}}}}"#, "[".repeat(20_000));
        for (json, field) in [
            ("", "body"),
            ("[]", "body"),
            ("{}", "goal"),
            (r#"{"goal":"a"} x"#, "body"),
            (r#"{"goal":1}"#, "goal"),
            (r#"{"goal":"a","goal":"b"}"#, "goal"),
            (r#"{"goal":"a","\u0067oal":"b"}"#, "goal"),
            (r#"{"goal":"a\u0000"}"#, "goal"),
            (r#"{"goal":"a","context":{"x":{"y":1,"y":2}}}"#, "context.x.y"),
            (r#"{"goal":"a","context":{"x":[0,{"y":"\u0000"}]}}"#, "context.x[1].y"),
            (r#"{"goal":"a","goals":1}"#, "goals"),
            (r#"{"goal":"a","priority":"urgent"}"#, "priority"),
            (r#"{"goal":"a","budget":{"max_retries":1e400}}"#, "budget.max_retries"),
            (r#"{"goal":"a","budget":{"max_retries":9223372036854775808}}"#, "budget.max_retries"),
            (r#"{"goal":"a","budget":{"max_retries":-1}}"#, "budget.max_retries"),
            (r#"{"goal":"a","budget":{"max_retires":1}}"#, "budget.max_retires"),
            (r#"{"goal":"a","deadline":"yesterday"}"#, "deadline"),
            (r#"{"goal":"a","acceptance_criteria":[7]}"#, "acceptance_criteria[0]"),
            (r#"{"goal":"a","acceptance_criteria":["x",{}]}"#, "acceptance_criteria[1].type"),
            (r#"{"goal":"a","acceptance_criteria":[{"type":"guess"}]}"#, "acceptance_criteria[0].type"),
            (r#"{"goal":"a","acceptance_criteria":[{"type":7}]}"#, "acceptance_criteria[0].type"),
            (r#"{"goal":"a","acceptance_criteria":[{"type":"regex"}]}"#, "acceptance_criteria[0].pattern"),
            (
                r#"{"goal":"a","acceptance_criteria":[{"pattern":7,"type":"regex"}]}"#,
                "acceptance_criteria[0].pattern",
            ),
            (
                r#"{"goal":"a","acceptance_criteria":[{"type":"exit_code","equals":2147483648}]}"#,
                "acceptance_criteria[0].equals",
            ),
            (
                r#"{"goal":"a","acceptance_criteria":[{"type":"contains","text":"a","path":"b"}]}"#,
                "acceptance_criteria[0].path",
            ),
        ] {
            assert_eq!(field_of(json).as_deref(), Some(field), "{json}");
        }
        assert!(field_of(&deep).is_some_and(|field| field.starts_with("context.a[0][0]")));
        assert_eq!(read::<SubmitTask>(b"{\"goal\":\"\xff\"}").unwrap_err().field.as_deref(), Some("body"));
    }

    /// P8: whoever guesses a type is told those that there are.
    #[test]
    fn an_unknown_type_of_criterion_is_answered_with_the_known_ones() {
        let json = r#"{"goal":"a","acceptance_criteria":[{"type":"guess"}]}"#;
        let detail = read::<SubmitTask>(json.as_bytes()).unwrap_err().detail;
        assert!(detail.contains(r#""guess" is not one of contains, regex, exit_code"#), "{detail}");
        for known in ["contains", "regex", "exit_code", "json_schema", "artefact_exists"] {
            let json = format!(r#"{{"goal":"a","acceptance_criteria":[{{"type":"{known}"}}]}}"#);
            let detail = read::<SubmitTask>(json.as_bytes()).unwrap_err().detail;
            assert!(detail.starts_with("missing field") && detail.len() < 80, "{known}: {detail}");
        }
    }

    /// P8: who sends no text where one of some words is wanted is told them, as who sends another text is.
    #[test]
    fn the_words_that_are_taken_are_told_whatever_was_sent() {
        let told = |problem: Problem| (problem.field.unwrap(), problem.detail);
        for (found, shown) in [("null", "null"), ("5", "the number 5"), ("[]", "an array"), ("true", "true")]
        {
            let json = format!(r#"{{"priority":{found},"goal":"a"}}"#);
            let (field, detail) = told(read::<SubmitTask>(json.as_bytes()).unwrap_err());
            let words = "one of `low`, `medium`, `high`, `critical` is wanted, not";
            assert!(
                field == "priority" && detail.starts_with(&format!("{words} {shown} at line 1")),
                "{detail}"
            );
        }
        let json = br#"{"output":{"text":""},"decision":5}"#;
        let (field, detail) = told(read::<octollm_client::Completion>(json).unwrap_err());
        let words = "one of `verdict`, `plan`, `question` is wanted, not the number 5";
        assert!(field == "decision" && detail.starts_with(words), "{field}: {detail}");
        let (field, detail) = told(read::<octollm_client::wire::KeyAsk>(br#"{"role":null}"#).unwrap_err());
        assert!(field == "role" && detail.contains("`operator`, `arm` is wanted, not null"), "{detail}");
    }

    /// P8: what is wrong is said in the words of JSON, not of this program.
    #[test]
    fn no_name_of_a_type_of_ours_is_told() {
        for json in [
            "[]",
            "[null]",
            "x",
            "7",
            "null",
            "\"a\"",
            "true",
            r#"{"goal":{}}"#,
            r#"{"goal":"a","budget":7}"#,
            r#"{"goal":"a","budget":{"max_cost_usd":[]}}"#,
            r#"{"goal":"a","budget":{"max_tokens":{}}}"#,
            r#"{"goal":"a","priority":{}}"#,
            r#"{"goal":"a","context":[]}"#,
            r#"{"goal":"a","constraints":{}}"#,
            r#"{"goal":"a","deadline":7}"#,
            r#"{"goal":"a","acceptance_criteria":{}}"#,
            r#"{"goal":"a","acceptance_criteria":[{"type":{}}]}"#,
            r#"{"goal":"a","acceptance_criteria":[{"type":"contains","text":{}}]}"#,
        ] {
            let detail = read::<SubmitTask>(json.as_bytes()).unwrap_err().detail;
            let jargon = [
                "invalid",
                "struct",
                "enum",
                "variant",
                "map",
                "sequence",
                "u32",
                "u64",
                "SubmitTask",
                "i128",
            ];
            assert!(!jargon.iter().any(|word| detail.contains(word)), "{json}: {detail}");
        }
    }

    #[test]
    fn the_same_key_in_different_objects_is_fine() {
        assert_eq!(
            field_of(r#"{"goal":"a","context":{"goal":{"goal":[{"goal":1},{"goal":"\\\""}]}}}"#),
            None
        );
    }
}
