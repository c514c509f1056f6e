//! Which answer a request gets: the first rule whose conditions all hold, the answer whose turn it
//! is (the last one repeats), with what the patterns captured put in. Pure.

use super::{
    asked::Asked,
    script::{Reply, Rule, Script, Sequence, Timing},
};
use regex::Regex;
use serde_json::Value;
use std::collections::HashMap;

/// The answer that was chosen.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) rule: String,
    pub(super) reply: Reply,
    pub(super) timing: Timing,
}

pub(super) fn choose(script: &Script, asked: &Asked, seen_before: u64) -> Option<Part> {
    script.rules.iter().find_map(|rule| {
        let captured = matched(rule, asked)?;
        let at = match rule.sequence {
            Sequence::Turn => asked.turn,
            Sequence::Request => usize::try_from(seen_before).unwrap_or(usize::MAX),
        };
        let reply = rule.answers.get(at).or_else(|| rule.answers.last())?;
        let timing = rule.timing.unwrap_or(script.timing);
        Some(Part { rule: rule.name.clone(), reply: filled(reply, &captured), timing })
    })
}

/// What a rule's patterns captured, if all its conditions hold.
fn matched(rule: &Rule, asked: &Asked) -> Option<HashMap<String, String>> {
    let mut captured = HashMap::new();
    let conditions: [(&Option<Regex>, &str); 4] = [
        (&rule.system, &asked.system),
        (&rule.user, &asked.user),
        (&rule.last, &asked.last),
        (&rule.any, &asked.any),
    ];
    for (pattern, text) in conditions {
        let Some(pattern) = pattern else { continue };
        let found = pattern.captures(text)?;
        for name in pattern.capture_names().flatten() {
            let text = found.name(name).map(|m| m.as_str()).unwrap_or_default();
            captured.insert(name.to_owned(), text.to_owned());
        }
    }
    let form = asked.form.as_ref().or(asked.forced.as_ref());
    let formed = rule.form.as_ref().is_none_or(|name| form == Some(name));
    let tooled = rule.tool.as_ref().is_none_or(|name| asked.tools.contains(name));
    (formed && tooled).then_some(captured)
}

fn filled(reply: &Reply, captured: &HashMap<String, String>) -> Reply {
    Reply {
        text: fill(&reply.text, captured),
        json: reply.json.as_ref().map(|json| fill_in(json, captured)),
        tool_calls: reply
            .tool_calls
            .iter()
            .map(|(name, json)| (name.clone(), fill_in(json, captured)))
            .collect(),
        finish: reply.finish,
        fault: reply.fault,
    }
}

fn fill(text: &str, captured: &HashMap<String, String>) -> String {
    let mut filled = String::with_capacity(text.len());
    pieces(text, |piece| match piece {
        Piece::Text(text) => filled.push_str(text),
        Piece::Hole(name) => filled.push_str(captured.get(name).map_or("", String::as_str)),
    });
    filled
}

fn fill_in(json: &Value, captured: &HashMap<String, String>) -> Value {
    match json {
        Value::String(text) => Value::String(fill(text, captured)),
        Value::Array(items) => items.iter().map(|item| fill_in(item, captured)).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), fill_in(value, captured))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => json.clone(),
    }
}

/// The names of the captures that a text uses.
pub(super) fn holes(text: &str, names: &mut Vec<String>) {
    pieces(text, |piece| match piece {
        Piece::Text(_) => {}
        Piece::Hole(name) => names.push(name.to_owned()),
    });
}

/// The names of the captures that the texts of a document use.
pub(super) fn holes_in(json: &Value, names: &mut Vec<String>) {
    match json {
        Value::String(text) => holes(text, names),
        Value::Array(items) => items.iter().for_each(|item| holes_in(item, names)),
        Value::Object(map) => map.values().for_each(|value| holes_in(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

enum Piece<'a> {
    Text(&'a str),
    Hole(&'a str),
}

/// `{{name}}` is a hole; other braces are text.
fn pieces<'a>(mut text: &'a str, mut each: impl FnMut(Piece<'a>)) {
    while let Some((before, rest)) = text.split_once("{{") {
        let name = rest.split_once("}}").map(|(name, _)| name);
        let is_name =
            |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match name.filter(is_name) {
            Some(name) => {
                each(Piece::Text(before));
                each(Piece::Hole(name));
                text = &rest[name.len() + 2..];
            }
            None => {
                // Only the first brace: the next may begin a hole.
                each(Piece::Text(&text[..=before.len()]));
                text = &text[before.len() + 1..];
            }
        }
    }
    each(Piece::Text(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCRIPT: &str = r#"
        [[rule]]
        name = "turns"
        system = "planner"
        user = '(?i)sort (?<what>\w+)'
        [[rule.answer]]
        tool_calls = [{ name = "write", arguments = { path = "{{what}}.py", deep = ["{{what}}", 1] } }]
        [[rule.answer]]
        text = "sorted {{what}}, {{}} {{{what}}}"

        [[rule]]
        name = "repeats"
        user = "again"
        sequence = "request"
        [[rule.answer]]
        fault = "error"
        [[rule.answer]]
        json = { ok = true }

        [[rule]]
        name = "form"
        form = "verdict"
        [[rule.answer]]
        json = '{"a": null}'
    "#;

    fn chosen(asked: &Asked, seen: u64) -> Option<Part> {
        choose(&Script::parse(SCRIPT, "test").unwrap(), asked, seen)
    }

    #[test]
    fn the_first_rule_that_holds_answers_by_turn() {
        let mut asked = Asked { system: "a planner".into(), user: "SORT lists".into(), ..Asked::default() };
        let first = chosen(&asked, 7).unwrap().reply;
        let arguments = serde_json::json!({"path": "lists.py", "deep": ["lists", 1]});
        assert_eq!(first.tool_calls, [("write".to_owned(), arguments)]);
        for turn in [1, 2, 9] {
            asked.turn = turn;
            assert_eq!(chosen(&asked, 0).unwrap().reply.text, "sorted lists, {{}} {lists}");
        }
        asked.system.clear();
        assert!(chosen(&asked, 0).is_none());
    }

    #[test]
    fn answers_by_request_follow_its_repetitions() {
        let asked = Asked { user: "again".into(), turn: 5, ..Asked::default() };
        assert!(chosen(&asked, 0).unwrap().reply.fault.is_some());
        assert_eq!(chosen(&asked, 1).unwrap().reply.json, Some(serde_json::json!({"ok": true})));
    }

    #[test]
    fn a_form_is_asked_for_by_schema_or_by_tool() {
        for asked in [
            Asked { form: Some("verdict".into()), ..Asked::default() },
            Asked { forced: Some("verdict".into()), ..Asked::default() },
        ] {
            assert_eq!(chosen(&asked, 0).unwrap().rule, "form");
        }
    }

    proptest! {
        #[test]
        fn a_text_without_holes_stays_as_it_is(text in "([^{}]|\\{ |\\} |\\{\\{ ){0,20}") {
            prop_assert_eq!(fill(&text, &HashMap::new()), text);
        }
    }
}
