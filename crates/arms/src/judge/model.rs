//! Criteria that are sentences, judged by a model whose evidence is checked.
//!
//! A verdict that a criterion holds must quote the result, word for word but for white space;
//! one whose quote is not there is void. So is one for a criterion that nobody asked about, and
//! a second one for the same. What is void is asked once more and then counts as not judged,
//! which is not fulfilled.

use super::{Finding, check::Subject};
use crate::{
    Undone, Work,
    think::{Form, Part, Prompt, Talk, data, goal},
};
use octollm_contract::model::{Message, Structured};
use serde::Deserialize;
use serde_json::{Number, Value, json};
use std::collections::BTreeMap;

/// The result's text is shown up to this many bytes, and its files together up to as many.
const TEXT_BYTES: usize = 48 << 10;
/// So many files are shown.
const FILES_MAX: usize = 12;
/// A quote of fewer characters shows nothing, unless the result is as short.
const QUOTE_CHARS_MIN: usize = 4;
/// Quotes and reasons are told up to this many characters.
const TOLD_CHARS: usize = 300;
/// What is void is asked again so often.
const AGAIN_MAX: u32 = 1;

#[derive(Debug, Deserialize)]
struct Verdicts {
    verdicts: Vec<Verdict>,
}

/// As a model writes it: more fields than these are ignored.
#[derive(Debug, Deserialize)]
struct Verdict {
    criterion: usize,
    holds: bool,
    #[serde(default)]
    confidence: Option<Number>,
    #[serde(default)]
    quote: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// One finding for each sentence, in order, and who judged.
pub(super) async fn judge(
    sentences: &[String],
    subject: &Subject,
    work: &Work,
) -> Result<(Vec<Finding>, String), Undone> {
    let (mut parts, searched) = shown(subject, work).await?;
    let about = work.grant.brief.as_deref().map(goal).unwrap_or_default();
    parts.splice(0..0, about);
    parts.extend(asked(sentences));
    let mut talk =
        Talk::begin(work, Prompt::new(work, include_str!("../think/prompts/judge.md"), parts)).await?;
    let form =
        Form { tools: Vec::new(), output: Some(Structured { name: "verdicts".into(), schema: schema() }) };
    let mut found: BTreeMap<usize, Finding> = BTreeMap::new();
    let mut void: BTreeMap<usize, String>;
    let mut again = again(talk.messages());
    loop {
        let said = talk.ask(&form).await?;
        void = take(&said.text, sentences, &searched, &mut found);
        if void.is_empty() || again >= AGAIN_MAX {
            break;
        }
        again += 1;
        let told: String = void.iter().map(|(at, why)| format!("- criterion {}: {why}\n", at + 1)).collect();
        let marked = data(work, "what is void", &told, 4000);
        talk.useful();
        talk.complain(format!("{AGAIN}\n{marked}"), &told).await?;
    }
    let findings = (0..sentences.len()).map(|at| {
        found.remove(&at).unwrap_or_else(|| Finding {
            criterion: named(&sentences[at]),
            holds: false,
            evidence: format!(
                "not judged, so not fulfilled: {}",
                void.get(&at).map_or("the model gave no verdict", String::as_str)
            ),
            confidence: None,
        })
    });
    Ok((findings.collect(), talk.made_by("judge")))
}

const AGAIN: &str =
    "These verdicts are void. Answer again with one JSON object, with verdicts for these criteria.";

fn again(messages: &[Message]) -> u32 {
    let asked = messages.iter().filter(|m| matches!(m, Message::User { text } if text.starts_with(AGAIN)));
    u32::try_from(asked.count()).unwrap_or(u32::MAX)
}

/// Keeps the verdicts that stand, and says of every criterion without one why.
fn take(
    text: &str,
    sentences: &[String],
    searched: &str,
    found: &mut BTreeMap<usize, Finding>,
) -> BTreeMap<usize, String> {
    let open: Vec<usize> = (0..sentences.len()).filter(|at| !found.contains_key(at)).collect();
    let every = |why: &str| open.iter().map(|at| (*at, why.to_owned())).collect();
    let verdicts = match read(text) {
        Ok(verdicts) => verdicts,
        Err(why) => return every(&why),
    };
    let mut void: BTreeMap<usize, String> = every("the answer holds no verdict of it");
    let mut given: BTreeMap<usize, u32> = BTreeMap::new();
    for verdict in &verdicts {
        *given.entry(verdict.criterion).or_insert(0) += 1;
    }
    for verdict in verdicts {
        let Some(at) = verdict.criterion.checked_sub(1).filter(|at| open.contains(at)) else { continue };
        let judged = match given.get(&verdict.criterion) {
            Some(1) => finding(&sentences[at], verdict, searched),
            Some(_) | None => Err("the answer holds more than one verdict of it".to_owned()),
        };
        match judged {
            Ok(finding) => {
                void.remove(&at);
                found.insert(at, finding);
            }
            Err(why) => drop(void.insert(at, why)),
        }
    }
    void
}

fn read(text: &str) -> Result<Vec<Verdict>, String> {
    let value = octollm_contract::model::json_in(text).map_err(|error| error.to_string())?;
    let read: Verdicts = serde_json::from_value(value)
        .map_err(|error| format!("the answer is not the JSON object that was asked for: {error}"))?;
    Ok(read.verdicts)
}

fn finding(sentence: &str, verdict: Verdict, searched: &str) -> Result<Finding, String> {
    let quote = normalised(verdict.quote.as_deref().unwrap_or(""));
    let reason = verdict.reason.as_deref().unwrap_or("").trim();
    let confidence = verdict.confidence.as_ref().map(percent).transpose()?;
    if verdict.holds && confidence == Some(0) {
        return Err("it says that the criterion holds, with a confidence of 0".to_owned());
    }
    let evidence = match quote.as_str() {
        "" if verdict.holds => return Err("it says that the criterion holds and quotes nothing".to_owned()),
        "" if reason.is_empty() => return Err("it has neither a quote nor a reason".to_owned()),
        "" => clip(reason),
        quote if !searched.contains(quote) => {
            return Err(format!("the quote {:?} does not stand in the result", clip(quote)));
        }
        quote if verdict.holds && quote.chars().count() < QUOTE_CHARS_MIN.min(searched.chars().count()) => {
            return Err(format!("the quote {quote:?} is too short to show anything"));
        }
        quote if reason.is_empty() => format!("{:?}", clip(quote)),
        quote => format!("{:?}: {}", clip(quote), clip(reason)),
    };
    Ok(Finding { criterion: named(sentence), holds: verdict.holds, evidence, confidence })
}

/// Percent. Models write shares of one, too; those have a point, as in `0.9` and `1.0`.
fn percent(written: &Number) -> Result<u8, String> {
    let value = written.as_f64().unwrap_or(f64::NAN);
    let share = written.is_f64() && (0.0..=1.0).contains(&value);
    let percent = if share { value * 100.0 } else { value };
    if !(0.0..=100.0).contains(&percent) {
        return Err(format!("its confidence is {written}, which is not 0 to 100"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 100")]
    Ok(percent.round() as u8)
}

fn named(sentence: &str) -> String {
    format!("{:?}", clip(sentence))
}

fn clip(text: &str) -> String {
    let clean = octollm_screen::text::neutralise(text);
    let mut clipped: String = clean.chars().take(TOLD_CHARS).collect();
    if clipped.len() < clean.len() {
        clipped.push('…');
    }
    clipped
}

/// One blank for every run of white space, and none at the ends.
fn normalised(text: &str) -> String {
    let clean = octollm_screen::text::neutralise(text);
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the model sees of the result, and the same as it is searched for quotes.
async fn shown(subject: &Subject, work: &Work) -> Result<(Vec<Part>, String), Undone> {
    let result = &subject.result;
    let mut parts = vec![("the result's text".to_owned(), result.text.clone())];
    if !result.data.is_null() {
        let pretty = serde_json::to_string_pretty(&result.data).unwrap_or_default();
        parts.push(("the result's data".to_owned(), pretty));
    }
    let mut room = TEXT_BYTES;
    for file in result.artefacts.iter().take(FILES_MAX) {
        if usize::try_from(file.bytes).is_ok_and(|bytes| bytes <= room) {
            let bytes = work.link.get(file.sha256).await?;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                room -= text.len().min(room);
                parts.push((format!("the file {}", file.path), text.to_owned()));
                continue;
            }
        }
        parts.push((format!("the file {}", file.path), format!("({} bytes, not shown)", file.bytes)));
    }
    let mut seen = String::new();
    let mut shown = Vec::new();
    for (label, text) in parts {
        let clean = octollm_screen::text::neutralise(&text);
        // Only what is shown can be quoted.
        seen.push_str(octollm_screen::data::beginning(&clean, TEXT_BYTES));
        seen.push('\n');
        shown.push(Part::data(label, text, TEXT_BYTES));
    }
    if subject.partial {
        shown.push(Part::Words("Some of the result's text was not kept and cannot be judged.".to_owned()));
    }
    let exit = |code| Part::Words(format!("The last program ended with exit code {code}."));
    shown.extend(subject.exit_code.map(exit));
    Ok((shown, normalised(&seen)))
}

fn asked(sentences: &[String]) -> [Part; 2] {
    let numbered: String = (1..).zip(sentences).map(|(n, sentence)| format!("{n}. {sentence}\n")).collect();
    [Part::essential("the criteria", numbered), Part::Words("Judge each of these criteria.".to_owned())]
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": { "verdicts": { "type": "array", "items": {
            "type": "object",
            "properties": {
                "criterion": { "type": "integer" },
                "holds": { "type": "boolean" },
                "confidence": { "type": "integer" },
                "quote": { "type": "string" },
                "reason": { "type": "string" }
            },
            "required": ["criterion", "holds", "confidence", "quote", "reason"],
            "additionalProperties": false
        } } },
        "required": ["verdicts"],
        "additionalProperties": false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever writes both of two words has said neither.
    #[test]
    fn a_verdict_that_is_there_twice_is_none() {
        let verdict = r#"{"criterion":1,"holds":true,"confidence":90,"quote":"q","reason":"r"}"#;
        assert_eq!(read(&format!("{{\"verdicts\":[{verdict}]}}")).map(|read| read.len()), Ok(1));
        for twice in [
            format!("{{\"verdicts\":[{}]}}", verdict.replace("true", "false,\"holds\":true")),
            format!("{{\"verdicts\":[],\"verdicts\":[{verdict}]}}"),
            format!("```json\n{{\"verdicts\":[],\"verdicts\":[{verdict}]}}\n```"),
        ] {
            let why = read(&twice).map(|read| read.len()).unwrap_err();
            assert!(why.contains("is there twice"), "{twice}: {why}");
        }
    }

    /// A share is told from a percentage by its point.
    #[test]
    fn a_confidence_is_percent_or_a_share_with_a_point() {
        let read = |written: &str| percent(&serde_json::from_str(written).unwrap()).ok();
        for (written, percent) in [
            ("90", Some(90)),
            ("0.9", Some(90)),
            ("1.0", Some(100)),
            ("1", Some(1)),
            ("0", Some(0)),
            ("0.004", Some(0)),
            ("87.6", Some(88)),
            ("100.0", Some(100)),
            ("100.4", None),
            ("-0.1", None),
            ("1e300", None),
        ] {
            assert_eq!(read(written), percent, "{written}");
        }
    }
}
