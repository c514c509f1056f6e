//! What makes a criterion fit to judge by, and the yardstick that it then is.
//!
//! The accept asks here before anything is stored, and the judge measures with what it gets
//! here: one place, one set of bounds, one set of options. So no task is accepted that its
//! judge would refuse to judge after the work.
//!
//! Promises: criteria come from clients, and all of a task's together take a fraction of a
//! second to be looked at, whatever they hold; nothing is fetched for a schema; patterns match
//! in time linear in the text.
//!
//! Must not know: results, who judges them, threads.

mod schema;

use octollm_contract::{Criterion, api::StructuredCriterion};
use regex::{Regex, RegexBuilder};
pub use schema::Schema;

/// A task has at most so many criteria.
pub const MAX_CRITERIA: usize = 64;
/// A text or path in a criterion has at most so many characters.
const TEXT_CHARACTERS: usize = 10_000;
/// A compiled pattern takes at most so many bytes.
const PATTERN_SIZE: usize = 1 << 20;
/// All patterns of a task's criteria, those in schemas too, are at most so many.
const PATTERNS: usize = 32;
/// They have at most so many bytes together: a class of letters with `(?i)` in front takes
/// longer to read than anything else of its length, and no size limit sees it.
const PATTERN_BYTES: usize = 4_000;
/// All schemas of a task's criteria have at most so many bytes of text.
const SCHEMA_BYTES: usize = 256 << 10;
/// All references resolved again and again, they have at most so many parts.
const SCHEMA_PARTS: u64 = 20_000;

/// A criterion that can be measured with.
#[derive(Clone, Debug)]
pub enum Yardstick {
    /// The text stands in the result's text.
    Contains(String),
    /// The pattern matches somewhere in the result's text.
    Regex(Regex),
    /// The last program ended so.
    ExitCode(i32),
    /// The result has a file of this path.
    ArtefactExists(String),
    /// The result's data is valid.
    JsonSchema(Schema),
}

/// Why nothing can be judged by a criterion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unfit {
    /// The member of the criterion that is at fault.
    pub member: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// What all criteria of one task may take together; each yardstick made takes its share.
#[derive(Clone, Debug)]
pub struct Allowance {
    patterns: usize,
    pattern_bytes: usize,
    schema_bytes: usize,
    schema_parts: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Allowance {
            patterns: PATTERNS,
            pattern_bytes: PATTERN_BYTES,
            schema_bytes: SCHEMA_BYTES,
            schema_parts: SCHEMA_PARTS,
        }
    }
}

impl Allowance {
    /// The yardstick that `criterion` is. Blocks for as long as compiling it takes.
    pub fn yardstick(&mut self, criterion: &StructuredCriterion) -> Result<Yardstick, Unfit> {
        match criterion {
            StructuredCriterion::Contains { text } => {
                sized("text", text)?;
                Ok(Yardstick::Contains(text.clone()))
            }
            StructuredCriterion::ExitCode { equals } => Ok(Yardstick::ExitCode(*equals)),
            StructuredCriterion::Regex { pattern } => {
                sized("pattern", pattern)?;
                let unfit = |why: String| Unfit { member: "pattern", why };
                self.pattern(pattern.len()).map_err(unfit)?;
                let mut options = RegexBuilder::new(pattern);
                let built = options.size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE).build();
                built.map(Yardstick::Regex).map_err(|error| unfit(error.to_string()))
            }
            StructuredCriterion::JsonSchema { schema } => Schema::of(schema, self)
                .map(Yardstick::JsonSchema)
                .map_err(|why| Unfit { member: "schema", why }),
            StructuredCriterion::ArtefactExists { path } => {
                sized("path", path)?;
                let path = path.strip_prefix("./").unwrap_or(path);
                if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains('\0') {
                    let why = "a path relative to the workspace, without `.` and `..`, is taken".into();
                    return Err(Unfit { member: "path", why });
                }
                Ok(Yardstick::ArtefactExists(path.to_owned()))
            }
        }
    }

    fn pattern(&mut self, bytes: usize) -> Result<(), String> {
        let left = (self.patterns.checked_sub(1)).zip(self.pattern_bytes.checked_sub(bytes));
        let too_much =
            || format!("all patterns of a task are at most {PATTERNS} of {PATTERN_BYTES} bytes together");
        (self.patterns, self.pattern_bytes) = left.ok_or_else(too_much)?;
        Ok(())
    }

    fn schema_bytes(&mut self, bytes: usize) -> Result<(), String> {
        let too_much = || format!("all schemas of a task have at most {SCHEMA_BYTES} bytes together");
        self.schema_bytes = self.schema_bytes.checked_sub(bytes).ok_or_else(too_much)?;
        Ok(())
    }

    fn schema_parts(&mut self, parts: u64) -> Result<(), String> {
        let too_much = || {
            format!(
                "all schemas of a task have at most {SCHEMA_PARTS} parts together, once their references are put in"
            )
        };
        self.schema_parts = self.schema_parts.checked_sub(parts).ok_or_else(too_much)?;
        Ok(())
    }
}

/// Why each of the criteria that one plan's own judges are to judge by cannot be used; all of them draw
/// on one allowance. For [`octollm_plan::Terms`](../octollm_plan/struct.Terms.html), which asks no
/// yardstick itself.
///
/// Sentences are a model's, and a schema's judge reads it on a thread that is deep enough for any.
#[must_use]
pub fn unusable(criteria: &[&Criterion]) -> Vec<Option<String>> {
    let mut allowance = Allowance::default();
    let unfit = |criterion: &&Criterion| match criterion {
        Criterion::FreeText(_) | Criterion::Structured(StructuredCriterion::JsonSchema { .. }) => None,
        Criterion::Structured(rule) => allowance
            .yardstick(rule)
            .err()
            .map(|Unfit { member, why }| format!("the {member} cannot be used: {why}")),
    };
    criteria.iter().map(unfit).collect()
}

fn sized(member: &'static str, text: &str) -> Result<(), Unfit> {
    if text.is_empty() || text.chars().count() > TEXT_CHARACTERS {
        return Err(Unfit { member, why: format!("1 to {TEXT_CHARACTERS} characters are taken") });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
