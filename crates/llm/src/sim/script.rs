//! The script: which request gets which answer. A TOML file, read and checked whole before anything
//! is served; docs/models.md describes it, and a test reads the example there.

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use toml::Spanned;

/// A script that holds together: every pattern compiles, every capture that an answer uses is one
/// that its rule makes.
#[derive(Debug)]
pub struct Script {
    /// What `/v1/models` lists.
    pub(super) models: Vec<String>,
    pub(super) timing: Timing,
    pub(super) faults: Faults,
    pub(super) rules: Vec<Rule>,
}

/// A script that cannot be used: where, what is wrong, what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct BadScript {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what is taken instead.
    pub what: String,
}

/// How long answers take.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Timing {
    /// Until the first token.
    #[serde(default = "Timing::first")]
    pub(super) first_token_ms: Drawn,
    /// From there on.
    #[serde(default = "Timing::rate")]
    pub(super) tokens_per_second: Drawn,
}

impl Timing {
    const fn first() -> Drawn {
        Drawn::Fixed(20.0)
    }

    const fn rate() -> Drawn {
        Drawn::Fixed(2000.0)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Timing { first_token_ms: Timing::first(), tokens_per_second: Timing::rate() }
    }
}

/// A number that is drawn for each call.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Drawn {
    /// Always this.
    Fixed(f64),
    /// Evenly between two.
    Uniform(f64, f64),
    /// Log-normal: half of the draws are below the median; sigma is the spread of the logarithm.
    Lognormal { median: f64, sigma: f64 },
}

/// The share of calls, from 0 to 1, with which this happens.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Faults {
    pub(super) error: f64,
    pub(super) rate_limit: f64,
    pub(super) cut: f64,
    pub(super) malformed: f64,
    pub(super) stall: f64,
    /// What a rate limit asks to wait.
    pub(super) retry_after_seconds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    Error,
    RateLimit,
    Cut,
    Malformed,
    Stall,
}

/// By what a rule counts through its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sequence {
    /// By the turns that the model has had in the conversation.
    #[default]
    Turn,
    /// By how often the very same request came.
    Request,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) system: Option<Regex>,
    pub(super) user: Option<Regex>,
    pub(super) last: Option<Regex>,
    pub(super) any: Option<Regex>,
    pub(super) form: Option<String>,
    pub(super) tool: Option<String>,
    pub(super) sequence: Sequence,
    pub(super) timing: Option<Timing>,
    pub(super) answers: Vec<Reply>,
}

/// One answer. Texts in it may have `{{name}}` for what the rule's patterns captured.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reply {
    pub(super) text: String,
    /// Instead of `text`.
    pub(super) json: Option<Value>,
    pub(super) tool_calls: Vec<(String, Value)>,
    pub(super) finish: Option<Finish>,
    pub(super) fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Finish {
    Stop,
    Length,
    Filtered,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    models: Vec<String>,
    timing: Option<Spanned<Timing>>,
    faults: Option<Spanned<Faults>>,
    #[serde(default)]
    rule: Vec<Spanned<RuleFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    name: Spanned<String>,
    system: Option<Spanned<String>>,
    user: Option<Spanned<String>>,
    last: Option<Spanned<String>>,
    any: Option<Spanned<String>>,
    form: Option<String>,
    tool: Option<String>,
    #[serde(default)]
    sequence: Sequence,
    timing: Option<Spanned<Timing>>,
    #[serde(default)]
    answer: Vec<Spanned<ReplyFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyFile {
    text: Option<String>,
    json: Option<Value>,
    #[serde(default)]
    tool_calls: Vec<CallFile>,
    finish: Option<Finish>,
    fault: Option<Fault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallFile {
    name: String,
    #[serde(default)]
    arguments: Value,
}

impl Script {
    /// The script that is used when none is named: it knows the three goals of the scaling guide's
    /// load test.
    ///
    /// # Panics
    /// Never: a test reads the file.
    #[must_use]
    pub fn built_in() -> Self {
        Script::parse(include_str!("default.toml"), "default.toml")
            .expect("the embedded script is read by a test")
    }

    /// Reads a script; `file` is its name, for errors.
    pub fn parse(text: &str, file: &str) -> Result<Self, BadScript> {
        let bad = |at: usize, what: String| BadScript {
            file: file.to_owned(),
            line: 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count(),
            what,
        };
        let script: File = toml::from_str(text)
            .map_err(|error| bad(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
        let timing =
            script.timing.map(|timing| checked_timing(&timing, &bad)).transpose()?.unwrap_or_default();
        let faults =
            script.faults.map(|faults| checked_faults(&faults, &bad)).transpose()?.unwrap_or_default();
        let mut names = BTreeSet::new();
        let mut rules = Vec::new();
        for rule in script.rule {
            let at = rule.span().start;
            let rule = checked_rule(rule.into_inner(), at, &bad)?;
            if !names.insert(rule.name.clone()) {
                return Err(bad(
                    at,
                    format!("there are two rules named {:?}; the log could not tell them apart", rule.name),
                ));
            }
            rules.push(rule);
        }
        let models = if script.models.is_empty() { vec!["octollm-sim".to_owned()] } else { script.models };
        Ok(Script { models, timing, faults, rules })
    }
}

type Bad<'a> = dyn Fn(usize, String) -> BadScript + 'a;

fn checked_rule(rule: RuleFile, at: usize, bad: &Bad<'_>) -> Result<Rule, BadScript> {
    let RuleFile { name, system, user, last, any, form, tool, sequence, timing, answer } = rule;
    let mut captures = BTreeSet::new();
    let mut pattern = |text: Option<Spanned<String>>| -> Result<Option<Regex>, BadScript> {
        let Some(text) = text else { return Ok(None) };
        let regex = Regex::new(text.as_ref()).map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim().to_owned();
            bad(
                text.span().start,
                format!("this is no regular expression ({why}); in '…' no backslash needs doubling"),
            )
        })?;
        captures.extend(regex.capture_names().flatten().map(str::to_owned));
        Ok(Some(regex))
    };
    let (system, user, last, any) = (pattern(system)?, pattern(user)?, pattern(last)?, pattern(any)?);
    if answer.is_empty() {
        return Err(bad(
            at,
            format!("rule {:?} has no answer; add [[rule.answer]] with a text", name.as_ref()),
        ));
    }
    let mut answers = Vec::new();
    for reply in answer {
        let at = reply.span().start;
        answers.push(checked_reply(reply.into_inner(), at, &captures, bad)?);
    }
    let timing = timing.as_ref().map(|timing| checked_timing(timing, bad)).transpose()?;
    Ok(Rule { name: name.into_inner(), system, user, last, any, form, tool, sequence, timing, answers })
}

fn checked_reply(
    reply: ReplyFile,
    at: usize,
    captures: &BTreeSet<String>,
    bad: &Bad<'_>,
) -> Result<Reply, BadScript> {
    let ReplyFile { text, json, tool_calls, finish, fault } = reply;
    if text.is_some() && json.is_some() {
        return Err(bad(at, "an answer has text or json, not both".to_owned()));
    }
    if text.is_none() && json.is_none() && tool_calls.is_empty() && fault.is_none() {
        return Err(bad(at, "an answer needs one of text, json, tool_calls, fault".to_owned()));
    }
    let json = match json {
        // A string is JSON text, for what TOML cannot say (null, long nesting).
        Some(Value::String(text)) => {
            Some(serde_json::from_str(&text).map_err(|error| bad(at, format!("json is not JSON: {error}")))?)
        }
        other => other,
    };
    let calls = tool_calls.into_iter().map(|call| {
        let arguments =
            if call.arguments.is_null() { Value::Object(serde_json::Map::new()) } else { call.arguments };
        (call.name, arguments)
    });
    let reply = Reply { text: text.unwrap_or_default(), json, tool_calls: calls.collect(), finish, fault };
    let mut used = Vec::new();
    super::choose::holes(&reply.text, &mut used);
    let values = reply.json.iter().chain(reply.tool_calls.iter().map(|(_, arguments)| arguments));
    values.for_each(|value| super::choose::holes_in(value, &mut used));
    match used.into_iter().find(|name| !captures.contains(name)) {
        None => Ok(reply),
        Some(name) => Err(bad(
            at,
            format!(
                "{{{{{name}}}}} is captured by no pattern of this rule; write (?<{name}>…) in one of them"
            ),
        )),
    }
}

fn checked_timing(timing: &Spanned<Timing>, bad: &Bad<'_>) -> Result<Timing, BadScript> {
    let Timing { first_token_ms, tokens_per_second } = *timing.as_ref();
    let refuse = |what: &str| Err(bad(timing.span().start, what.to_owned()));
    if !first_token_ms.is_between(0.0, 3_600_000.0) {
        return refuse("first_token_ms must lie between 0 and 3600000, the lesser bound first");
    }
    if !tokens_per_second.is_between(0.1, 1_000_000.0) {
        return refuse("tokens_per_second must lie between 0.1 and 1000000, the lesser bound first");
    }
    Ok(Timing { first_token_ms, tokens_per_second })
}

impl Drawn {
    fn is_between(self, low: f64, high: f64) -> bool {
        match self {
            Drawn::Fixed(value) => (low..=high).contains(&value),
            Drawn::Uniform(from, to) => (low..=high).contains(&from) && (from..=high).contains(&to),
            Drawn::Lognormal { median, sigma } => {
                (low..=high).contains(&median) && median > 0.0 && (0.0..=5.0).contains(&sigma)
            }
        }
    }
}

fn checked_faults(faults: &Spanned<Faults>, bad: &Bad<'_>) -> Result<Faults, BadScript> {
    let Faults { error, rate_limit, cut, malformed, stall, .. } = *faults.as_ref();
    let shares = [error, rate_limit, cut, malformed, stall];
    if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || shares.iter().sum::<f64>() > 1.0 {
        let what = "shares of faults lie between 0 and 1, and all together at most at 1";
        return Err(bad(faults.span().start, what.to_owned()));
    }
    Ok(*faults.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> String {
        Script::parse(text, "my.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_script_is_sound() {
        assert!(Script::built_in().rules.len() >= 3);
    }

    #[test]
    fn the_documented_script_is_sound() {
        let docs = include_str!("../../../../docs/models.md");
        let (_, after) = docs.split_once("<!-- script: read by a test -->\n```toml\n").unwrap();
        let (script, _) = after.split_once("```").unwrap();
        let script = Script::parse(script, "docs/models.md").unwrap();
        let rules: Vec<_> =
            script.rules.iter().map(|rule| (rule.name.as_str(), rule.answers.len())).collect();
        assert_eq!(rules, [("fix", 2), ("verdict", 1), ("flaky", 2)]);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line_and_the_remedy() {
        let rule = "[[rule]]\nname = \"a\"\n";
        insta::assert_snapshot!(
            [
                refused("models = 3"),
                refused(&format!("{rule}usr = 'x'\n")),
                refused(&format!("{rule}user = '('\n[[rule.answer]]\ntext = 'x'\n")),
                refused(rule),
                refused(&format!("{rule}\n[[rule.answer]]\n")),
                refused(&format!("{rule}\n[[rule.answer]]\ntext = 'a'\njson = {{}}\n")),
                refused(&format!("{rule}\n[[rule.answer]]\njson = '{{'\n")),
                refused(&format!("{rule}user = '(?<x>.)'\n[[rule.answer]]\ntext = '{{{{x}}}} {{{{y}}}}'\n")),
                refused(&format!("{rule}[[rule.answer]]\ntext = 'x'\n{rule}[[rule.answer]]\ntext = 'y'\n")),
                refused("[faults]\nerror = 0.6\ncut = 0.6\n"),
                refused("[timing]\ntokens_per_second = { uniform = [10, 5] }\n"),
            ]
            .join("\n"),
            @r#"
            my.toml:1: invalid type: integer `3`, expected a sequence
            my.toml:3: unknown field `usr`, expected one of `name`, `system`, `user`, `last`, `any`, `form`, `tool`, `sequence`, `timing`, `answer`
            my.toml:3: this is no regular expression (error: unclosed group); in '…' no backslash needs doubling
            my.toml:1: rule "a" has no answer; add [[rule.answer]] with a text
            my.toml:4: an answer needs one of text, json, tool_calls, fault
            my.toml:4: an answer has text or json, not both
            my.toml:4: json is not JSON: EOF while parsing an object at line 1 column 1
            my.toml:4: {{y}} is captured by no pattern of this rule; write (?<y>…) in one of them
            my.toml:5: there are two rules named "a"; the log could not tell them apart
            my.toml:1: shares of faults lie between 0 and 1, and all together at most at 1
            my.toml:1: tokens_per_second must lie between 0.1 and 1000000, the lesser bound first
            "#
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _script = Script::parse(&text, "x");
        }
    }
}
