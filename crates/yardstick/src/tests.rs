//! Criteria that mean harm are refused soon, and those that do not are not.

use super::*;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

fn schema(schema: Value) -> StructuredCriterion {
    StructuredCriterion::JsonSchema { schema }
}

fn regex(pattern: impl Into<String>) -> StructuredCriterion {
    StructuredCriterion::Regex { pattern: pattern.into() }
}

/// All of a task's criteria, within the second that bad input may take (P8).
fn all(criteria: &[StructuredCriterion]) -> Result<Vec<Yardstick>, Unfit> {
    let begun = Instant::now();
    let mut allowance = Allowance::default();
    let made = criteria.iter().map(|criterion| allowance.yardstick(criterion)).collect();
    // A second in a release on a machine of its own; a build for tests has neither.
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    made
}

fn refused(criterion: StructuredCriterion, member: &str, why: &str) {
    let unfit = all(&[criterion]).expect_err(why);
    assert!(unfit.member == member && unfit.why.contains(why), "{why}: {unfit:?}");
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({}), |inner, _| json!({ "not": inner }))
}

/// A schema whose references double at each of `levels`.
fn doubling(levels: usize) -> Value {
    let mut defs = Map::from_iter([("a00".to_owned(), json!({ "minProperties": 0 }))]);
    for n in 1..levels {
        let below = json!({ "$ref": format!("#/$defs/a{:02}", n - 1) });
        defs.insert(format!("a{n:02}"), json!({ "allOf": [below, below] }));
    }
    json!({ "$ref": format!("#/$defs/a{:02}", levels - 1), "$defs": defs })
}

/// P8: what a judge could not use is refused before the work, and says where.
#[test]
fn what_cannot_be_judged_by_is_refused_at_once() {
    refused(StructuredCriterion::Contains { text: String::new() }, "text", "1 to 10000");
    refused(regex("("), "pattern", "unclosed");
    refused(regex("(?=a)"), "pattern", "look-around");
    refused(regex("(a{1000}){1000}"), "pattern", "size limit");
    refused(regex("a".repeat(PATTERN_BYTES + 1)), "pattern", "together");
    for path in ["/etc/passwd", "../a", "a//b", "a/", "."] {
        refused(StructuredCriterion::ArtefactExists { path: path.into() }, "path", "relative");
    }
    refused(schema(json!({ "type": "no such type" })), "schema", "not a JSON Schema");
    refused(schema(json!({ "pattern": "(?=a)" })), "schema", "not a JSON Schema");
    refused(schema(json!({ "pattern": "(a{1000}){1000}" })), "schema", "not a JSON Schema");
    refused(schema(json!({ "patternProperties": { "(": {} } })), "schema", "not a JSON Schema");
    refused(schema(json!({ "description": "x".repeat(300_000) })), "schema", "262144 bytes");
    refused(schema(nested(DEEP)), "schema", "nested");
    refused(schema(doubling(40)), "schema", "parts");
    for elsewhere in ["http://127.0.0.1:1/x.json", "file:///etc/passwd", "other.json", "#name"] {
        refused(schema(json!({ "$ref": elsewhere })), "schema", "lead into the schema itself");
    }
    refused(schema(json!({ "$schema": "http://127.0.0.1:1/x" })), "schema", "not a JSON Schema");
    refused(schema(json!({ "properties": { "a": { "$id": "http://127.0.0.1:1/" } } })), "schema", "`$id`");
    refused(schema(json!({ "$dynamicRef": "#a", "$dynamicAnchor": "a" })), "schema", "not taken");
}

/// As deep as a request can be written by hand, if not read: far beyond any stack's measure.
const DEEP: usize = 5_000;

/// A schema that comes back to itself for the same piece of data would be checked for ever.
#[test]
fn a_schema_refers_to_itself_only_for_what_lies_deeper() {
    let ring = |schema_: Value| refused(schema(schema_), "schema", "refers to itself");
    ring(json!({ "$ref": "#" }));
    ring(json!({ "not": { "not": { "$ref": "#/not" } } }));
    ring(
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "allOf": [{ "$ref": "#/$defs/a" }] } } }),
    );
    // The ring is met first where it goes deeper.
    ring(json!({ "$ref": "#/$defs/a", "$defs": {
        "a": { "items": { "$ref": "#/$defs/b" }, "oneOf": [{ "$ref": "#/$defs/c" }] },
        "b": { "$ref": "#/$defs/a" },
        "c": { "$ref": "#/$defs/b" },
    } }));
    ring(json!({ "dependentSchemas": { "enum": { "$ref": "#" } } }));
    let tree = json!({ "additionalProperties": { "$ref": "#" }, "type": "object" });
    let made = all(&[schema(tree)]).unwrap();
    let [Yardstick::JsonSchema(tree)] = made.as_slice() else { panic!("{made:?}") };
    assert!(tree.check(&json!({ "a": { "a": {} } })).is_ok());
    assert!(tree.check(&json!({ "a": { "a": 1 } })).unwrap_err().contains("/a/a"));
}

/// References that are long in a row are as deep for a validator as what is nested, however
/// they are named and in whatever order they are met.
#[test]
fn a_long_row_of_references_is_refused() {
    for flip in [false, true] {
        let name = |n: usize| format!("d{:05}", if flip { 9_999 - n } else { n });
        let def = |n: usize| (name(n), json!({ "$ref": format!("#/$defs/{}", name(n + 1)) }));
        let mut defs: Map<String, Value> = (0..DEEP).map(def).collect();
        defs.insert(name(DEEP), json!({}));
        let unfit = all(&[schema(json!({ "$defs": defs }))]).unwrap_err();
        assert!(unfit.why.contains("references"), "{unfit:?}");
    }
}

/// P8: the bounds hold for all criteria of a task together.
#[test]
fn the_bounds_are_for_all_criteria_together() {
    let many = vec![regex("a"); PATTERNS + 1];
    assert!(all(&many[1..]).is_ok());
    assert_eq!(all(&many).unwrap_err().member, "pattern");
    let large = schema(json!({ "description": "x".repeat(SCHEMA_BYTES / 2) }));
    assert_eq!(all(&[large.clone(), large]).unwrap_err().member, "schema");
    let parts = || schema(doubling(11));
    assert!(all(&[parts()]).is_ok());
    assert_eq!(all(&[parts(), parts()]).unwrap_err().member, "schema");
}

/// The costliest that the bounds let through.
#[test]
fn what_is_just_within_the_bounds_is_soon_compiled() {
    // Whether they fit in the compiled size or not, it is soon told.
    let each = (PATTERN_BYTES - 4 * PATTERNS) / PATTERNS / 3;
    drop(all(&vec![regex(format!("(?i){}", r"\pL".repeat(each))); PATTERNS]));
    drop(all(&[regex(format!("(?i){}", r"\pL".repeat(PATTERN_BYTES / 3 - 2)))]));
    assert!(all(&[schema(doubling(11))]).is_ok());
    let wide: Map<String, Value> =
        (0..4_000).map(|n| (format!("p{n}"), json!({ "type": "string" }))).collect();
    assert!(all(&[schema(json!({ "properties": wide }))]).is_ok());
    assert!(all(&[schema(nested(60))]).is_ok());
}
