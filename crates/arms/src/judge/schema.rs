//! JSON Schema, held on a short leash: schemas come from clients.
//!
//! Nothing is fetched; patterns match in linear time; a schema that is too large, refers to
//! itself without going deeper into the data, or would be expanded too often is refused
//! before it is used; and what still takes too long is left behind on one of two threads that
//! may be lost to it.

use crate::Undone;
use jsonschema::{PatternOptions, Retrieve, Uri};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};

/// A schema has at most this many bytes as JSON.
const SCHEMA_BYTES: usize = 256 << 10;
/// All references resolved again and again, a schema has at most this many parts.
const PARTS: u64 = 200_000;
/// References stand at most so deep in each other.
const DEPTH: usize = 64;
/// A check takes at most so long.
const TIME: Duration = Duration::from_secs(5);

static THREADS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

/// Refuses to fetch anything.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} lies outside of the schema, and nothing is fetched").into())
    }
}

/// Whether `document` is valid against `schema`; the inner error says what is not, or why it
/// cannot be told.
pub(super) async fn check(schema: Value, document: Value) -> Result<Result<(), String>, Undone> {
    if let Err(why) = leash(&schema) {
        return Ok(Err(format!("the schema cannot be used: {why}")));
    }
    let permit = match timeout(TIME, THREADS.acquire()).await {
        Ok(Ok(permit)) => permit,
        Ok(Err(_)) | Err(_) => return Err(Undone::for_now("other schemas are still being checked")),
    };
    let checking = tokio::task::spawn_blocking(move || {
        let _held = permit;
        validate(&schema, &document)
    });
    match timeout(TIME, checking).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_)) => Ok(Err("the schema cannot be used: checking it failed".into())),
        Err(_) => Ok(Err(format!("the schema cannot be used: checking it takes over {} s", TIME.as_secs()))),
    }
}

fn validate(schema: &Value, document: &Value) -> Result<(), String> {
    let options = jsonschema::options()
        .with_retriever(Nowhere)
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20));
    let built =
        options.build(schema).map_err(|error| format!("the schema cannot be used: {}", brief(&error)))?;
    let faults: Vec<String> = built
        .iter_errors(document)
        .take(5)
        .map(|error| format!("at {:?}: {}", error.instance_path().to_string(), brief(&error)))
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn brief(error: &jsonschema::ValidationError<'_>) -> String {
    error.to_string().chars().take(300).collect()
}

/// Bounds what a validator will do with the schema.
fn leash(schema: &Value) -> Result<(), String> {
    let bytes = schema.to_string().len();
    if bytes > SCHEMA_BYTES {
        return Err(format!("it has {bytes} bytes, and {SCHEMA_BYTES} are allowed"));
    }
    let mut weights = Weights { root: schema, known: BTreeMap::new(), open: BTreeSet::new() };
    weights.of(schema, &mut BTreeSet::new(), 0).map(|_| ())
}

/// How many parts a schema has when its local references are put in.
struct Weights<'a> {
    root: &'a Value,
    known: BTreeMap<&'a str, u64>,
    open: BTreeSet<&'a str>,
}

impl<'a> Weights<'a> {
    /// `at_once` are the references that were followed since the data was last gone into.
    fn of(&mut self, part: &'a Value, at_once: &mut BTreeSet<&'a str>, depth: usize) -> Result<u64, String> {
        if depth > DEPTH * 4 {
            return Err("it is nested too deep".into());
        }
        let mut weight = 1_u64;
        match part {
            Value::Object(members) => {
                for (key, value) in members {
                    weight += match (key.as_str(), value) {
                        ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(to)) => {
                            self.follow(to, at_once, depth)?
                        }
                        ("enum" | "const" | "default" | "examples", _) => 1,
                        _ if deeper(key) => self.of(value, &mut BTreeSet::new(), depth + 1)?,
                        _ => self.of(value, at_once, depth + 1)?,
                    };
                    if weight > PARTS {
                        return Err(format!("it has more than {PARTS} parts once its references are put in"));
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    weight += self.of(item, at_once, depth + 1)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        if weight > PARTS {
            Err(format!("it has more than {PARTS} parts once its references are put in"))
        } else {
            Ok(weight)
        }
    }

    fn follow(&mut self, to: &'a str, at_once: &mut BTreeSet<&'a str>, depth: usize) -> Result<u64, String> {
        if at_once.contains(to) {
            return Err(format!("{:?} refers to itself", to.chars().take(80).collect::<String>()));
        }
        if let Some(known) = self.known.get(to) {
            return Ok(*known);
        }
        // A reference to itself that goes deeper into the data ends with the data.
        if self.open.contains(to) {
            return Ok(1);
        }
        let Some(pointer) = to.strip_prefix('#').filter(|p| p.is_empty() || p.starts_with('/')) else {
            return Ok(1); // by anchor or from elsewhere; the validator finds it or refuses
        };
        let Some(part) = self.root.pointer(&pointer.replace("%25", "%")) else { return Ok(1) };
        self.open.insert(to);
        at_once.insert(to);
        let weight = self.of(part, at_once, depth + 1);
        at_once.remove(to);
        self.open.remove(to);
        self.known.insert(to, *weight.as_ref().unwrap_or(&1));
        weight
    }
}

/// Keywords whose schemas look at a part of the data and not at the data itself.
fn deeper(key: &str) -> bool {
    matches!(
        key,
        "properties"
            | "patternProperties"
            | "additionalProperties"
            | "propertyNames"
            | "items"
            | "prefixItems"
            | "additionalItems"
            | "contains"
            | "unevaluatedItems"
            | "unevaluatedProperties"
            | "$defs"
            | "definitions"
    )
}
