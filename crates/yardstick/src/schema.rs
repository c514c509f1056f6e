//! JSON Schema, held on a short leash: schemas come from clients.
//!
//! Before a validator is built, the schema is bounded in depth, bytes, patterns and in the
//! parts that it has once its references are put in; a schema that refers to itself without
//! going deeper into the data is refused. References lead into the schema itself and are
//! written `#` or `#/…`: what a name stands for (`$id`, `$anchor`, `$dynamicRef`) would be
//! for the validator to find, and the bounds could not see it.

use super::{Allowance, PATTERN_SIZE};
use jsonschema::{PatternOptions, Retrieve, Uri, Validator};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Values and references stand at most so deep in each other: a validator goes as deep on its
/// thread's stack.
const DEPTH: usize = 64;
/// So many faults of a document are told.
const FAULTS: usize = 5;

/// A schema that documents can be held against.
#[derive(Clone, Debug)]
pub struct Schema(Arc<Validator>);

impl Schema {
    /// What is wrong with `document`, if anything. Takes time as the document is large.
    pub fn check(&self, document: &Value) -> Result<(), String> {
        let fault = |error: jsonschema::ValidationError<'_>| {
            format!("at {:?}: {}", error.instance_path().to_string(), brief(&error))
        };
        let faults: Vec<String> = self.0.iter_errors(document).take(FAULTS).map(fault).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }

    pub(super) fn of(schema: &Value, allowance: &mut Allowance) -> Result<Self, String> {
        let (mut refs, mut fine) = (BTreeSet::new(), BTreeSet::new());
        Parts::look(schema, 0, allowance, &mut refs)?;
        let mut parts = Parts { root: schema, known: BTreeMap::new(), open: BTreeSet::new() };
        for to in refs {
            parts.ring(to, 0, &mut fine)?;
        }
        // The whole is being gone through already, for a reference to it.
        parts.open.insert("#");
        let all = parts.of(schema, 0, allowance)?;
        allowance.schema_parts(all.parts)?;
        let patterns = PatternOptions::regex().size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE);
        let options = jsonschema::options().with_retriever(Nowhere).with_pattern_options(patterns);
        let built = options.build(schema);
        let unfit = |error| format!("this is not a JSON Schema that can be used: {}", brief(&error));
        built.map(|validator| Schema(Arc::new(validator))).map_err(unfit)
    }
}

/// Refuses to fetch anything.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} lies outside of the schema, and nothing is fetched").into())
    }
}

fn brief(error: &jsonschema::ValidationError<'_>) -> String {
    clip(&error.to_string(), 300)
}

fn clip(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// A schema as it will be gone through: its references and what is at their ends.
struct Parts<'a> {
    root: &'a Value,
    /// What references lead to, with what was found out about it.
    known: BTreeMap<&'a str, Extent>,
    /// The references that are being followed.
    open: BTreeSet<&'a str>,
}

/// How much there is once references are put in.
#[derive(Clone, Copy, Debug)]
struct Extent {
    parts: u64,
    height: usize,
}

impl<'a> Parts<'a> {
    /// Bounds `part` as it is written, before anything follows its references, which it finds.
    fn look(
        part: &'a Value,
        depth: usize,
        share: &mut Allowance,
        refs: &mut BTreeSet<&'a str>,
    ) -> Result<(), String> {
        if depth > DEPTH {
            return Err(format!("it is nested more than {DEPTH} deep"));
        }
        match part {
            Value::Object(members) => {
                for (key, value) in members {
                    share.schema_bytes(key.len() + 4)?;
                    match (key.as_str(), value) {
                        ("pattern", Value::String(pattern)) => share.pattern(pattern.len())?,
                        ("patternProperties", Value::Object(patterns)) => {
                            patterns.keys().try_for_each(|pattern| share.pattern(pattern.len()))?;
                        }
                        ("$ref", Value::String(to)) => {
                            refs.insert(to);
                        }
                        _ => {}
                    }
                    Self::look(value, depth + 1, share, refs)?;
                }
                Ok(())
            }
            Value::Array(items) => items.iter().try_for_each(|item| Self::look(item, depth + 1, share, refs)),
            Value::String(text) => share.schema_bytes(text.len() + 2),
            Value::Null | Value::Bool(_) | Value::Number(_) => share.schema_bytes(4),
        }
    }

    fn target(&self, to: &str) -> Result<&'a Value, String> {
        let unfit = |why: &str| format!("the reference {:?} {why}", clip(to, 80));
        let within = to.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let pointer =
            within.ok_or_else(|| unfit("does not lead into the schema itself, as `#` and `#/…` do"))?;
        if pointer.contains('%') {
            return Err(unfit("has a `%`, which is not taken"));
        }
        self.root.pointer(pointer).ok_or_else(|| unfit("leads nowhere"))
    }

    /// Finds a reference that comes back to itself without going deeper into the data.
    fn ring(&mut self, to: &'a str, depth: usize, fine: &mut BTreeSet<&'a str>) -> Result<(), String> {
        if fine.contains(to) {
            return Ok(());
        }
        if depth > DEPTH {
            return Err(format!("references lead to references more than {DEPTH} times"));
        }
        if !self.open.insert(to) {
            return Err(format!("the reference {:?} refers to itself", clip(to, 80)));
        }
        let mut next = Vec::new();
        at_once(self.target(to)?, &mut next);
        for to in next {
            self.ring(to, depth + 1, fine)?;
        }
        self.open.remove(to);
        fine.insert(to);
        Ok(())
    }

    /// What `part` comes to.
    fn of(&mut self, part: &'a Value, depth: usize, share: &Allowance) -> Result<Extent, String> {
        let mut all = Extent { parts: 1, height: 0 };
        let mut add = |below: Extent| {
            all.parts += below.parts;
            all.height = all.height.max(below.height + 1);
            if depth + all.height > DEPTH {
                return Err(format!("it is nested more than {DEPTH} deep, once its references are put in"));
            }
            share.clone().schema_parts(all.parts)
        };
        match part {
            Value::Object(members) => {
                for (key, value) in members {
                    match (key.as_str(), value) {
                        ("$ref", Value::String(to)) => add(self.follow(to, depth + 1, share)?)?,
                        (
                            "$dynamicRef" | "$recursiveRef" | "$anchor" | "$dynamicAnchor",
                            Value::String(_),
                        ) => {
                            return Err(format!("`{key}` is not taken; `$ref` with `#/…` is"));
                        }
                        ("$id" | "id", Value::String(_)) if depth > 0 => {
                            return Err(format!("`{key}` is taken at the top only"));
                        }
                        ("enum" | "const" | "default" | "examples", _) => {
                            add(Extent { parts: 1, height: 0 })?
                        }
                        // The keys of these are names, and no keywords.
                        (named, Value::Object(schemas)) if names_schemas(named) => {
                            for schema in schemas.values() {
                                add(self.of(schema, depth + 2, share)?)?;
                            }
                        }
                        _ => add(self.of(value, depth + 1, share)?)?,
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    add(self.of(item, depth + 1, share)?)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(all)
    }

    fn follow(&mut self, to: &'a str, depth: usize, share: &Allowance) -> Result<Extent, String> {
        if let Some(known) = self.known.get(to) {
            return Ok(*known);
        }
        // A reference to itself that goes deeper into the data ends with the data.
        if !self.open.insert(to) {
            return Ok(Extent { parts: 1, height: 0 });
        }
        let extent = self.of(self.target(to)?, depth, share)?;
        self.open.remove(to);
        self.known.insert(to, extent);
        Ok(extent)
    }
}

/// The references in `part` that are followed for the same piece of data as it.
fn at_once<'a>(part: &'a Value, refs: &mut Vec<&'a str>) {
    match part {
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("$ref", Value::String(to)) => refs.push(to),
                    ("dependentSchemas", Value::Object(schemas)) => {
                        schemas.values().for_each(|s| at_once(s, refs))
                    }
                    ("enum" | "const" | "default" | "examples", _) => {}
                    _ if deeper(key) => {}
                    _ => at_once(value, refs),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| at_once(item, refs)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn names_schemas(key: &str) -> bool {
    matches!(key, "properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions")
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
