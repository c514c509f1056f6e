//! What models cost: a dated file of prices, and the arithmetic on it.
//!
//! Promises (P5): whole micro-dollars, rounded up against the spender once per call; a sum that
//! does not fit is `None` and never wraps; an unknown model is `None` and never 0; a model's id is
//! resolved by the rows of the file and one rule about dates, and never guessed.

use octollm_contract::{MicroUsd, model::Usage};
use serde::Deserialize;
use std::collections::HashMap;

const BUILT_IN: &str = include_str!("catalogue.toml");
const PER: u128 = 1_000_000;

/// The prices of all models that are known.
#[derive(Clone, Debug)]
pub struct Catalogue {
    version: String,
    source: String,
    models: Vec<Priced>,
    /// Names and aliases to places in `models`.
    places: HashMap<String, usize>,
}

/// A model with its price and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced {
    /// The model's id.
    pub name: String,
    /// Other ids of exactly this model.
    pub aliases: Vec<String>,
    /// What it costs.
    pub price: Price,
    /// Tokens that input and output may have together.
    pub context: u64,
    /// Tokens that one answer may have.
    pub output_max: u64,
    /// Where the figures come from.
    pub source: String,
}

/// Micro-dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Of what the model reads.
    pub input: u64,
    /// Of what it writes.
    pub output: u64,
    /// Of what comes from the provider's cache; the price of input when the file says nothing.
    pub cache_read: Option<u64>,
    /// Of what goes to the provider's cache; the price of input when the file says nothing.
    pub cache_write: Option<u64>,
}

impl Price {
    /// What `usage` costs, rounded up to a whole micro-dollar; `None` when it does not fit.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Option<MicroUsd> {
        dollars([
            (usage.input, self.input),
            (usage.output, self.output),
            (usage.cache_read, self.cache_read.unwrap_or(self.input)),
            (usage.cache_write, self.cache_write.unwrap_or(self.input)),
        ])
    }

    /// The most that a call with so many tokens of input can cost: all of them at the dearest
    /// price that input can have, and as much output as may come. `None` when it does not fit.
    #[must_use]
    pub fn worst_case(&self, input_tokens: u64, output_tokens_max: u64) -> Option<MicroUsd> {
        let dearest = [Some(self.input), self.cache_read, self.cache_write]
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(self.input);
        dollars([(input_tokens, dearest), (output_tokens_max, self.output)])
    }
}

fn dollars<const N: usize>(parts: [(u64, u64); N]) -> Option<MicroUsd> {
    let mut sum = 0u128;
    for (tokens, price) in parts {
        sum = sum.checked_add(u128::from(tokens) * u128::from(price))?;
    }
    u64::try_from(sum.div_ceil(PER)).ok().map(MicroUsd::new)
}

/// A price file that cannot be used; the text names the place and what is wrong there.
#[derive(Debug, thiserror::Error)]
pub enum BadCatalogue {
    /// The file is not TOML of the right form.
    #[error("the price file cannot be read: {0}")]
    Unreadable(#[source] toml::de::Error),
    /// Two rows answer to one id.
    #[error("the price file has two rows for {id:?}; keep one")]
    Twice {
        /// The id.
        id: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    source: String,
    #[serde(default)]
    model: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    input: u64,
    output: u64,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    context: u64,
    output_max: u64,
    source: String,
}

impl From<Row> for Priced {
    fn from(row: Row) -> Self {
        let Row { name, aliases, input, output, cache_read, cache_write, context, output_max, source } = row;
        Priced {
            name,
            aliases,
            price: Price { input, output, cache_read, cache_write },
            context,
            output_max,
            source,
        }
    }
}

impl Catalogue {
    /// The prices that the program carries.
    ///
    /// # Panics
    /// Never: a test reads the file.
    #[must_use]
    pub fn built_in() -> Self {
        Catalogue::parse(BUILT_IN).expect("the embedded price file is read by a test")
    }

    /// Reads a price file.
    pub fn parse(text: &str) -> Result<Self, BadCatalogue> {
        let File { version, source, model } = toml::from_str(text).map_err(BadCatalogue::Unreadable)?;
        let models: Vec<Priced> = model.into_iter().map(Priced::from).collect();
        let mut places = HashMap::new();
        for (at, model) in models.iter().enumerate() {
            for id in std::iter::once(&model.name).chain(&model.aliases) {
                if places.insert(id.clone(), at).is_some() {
                    return Err(BadCatalogue::Twice { id: id.clone() });
                }
            }
        }
        Ok(Catalogue { version, source, models, places })
    }

    /// The day on which the prices were looked up; part of every call's provenance.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where the prices come from, for people.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// All rows, in the file's order.
    #[must_use]
    pub fn models(&self) -> &[Priced] {
        &self.models
    }

    /// The row of a model: by its name or an alias, else by its name without the date it ends in.
    #[must_use]
    pub fn find(&self, model: &str) -> Option<&Priced> {
        let found = |id: &str| self.places.get(id).and_then(|at| self.models.get(*at));
        found(model).or_else(|| found(without_date(model)?))
    }
}

/// `gpt-4o` of `gpt-4o-2024-08-06`, `claude-3-opus` of `claude-3-opus-20240229`.
fn without_date(model: &str) -> Option<&str> {
    let shapes: [&[usize]; 2] = [&[4, 2, 2], &[8]];
    shapes.into_iter().find_map(|shape| {
        shape.iter().rev().try_fold(model, |rest, digits| {
            let (before, part) = rest.rsplit_once('-')?;
            (part.len() == *digits && part.bytes().all(|b| b.is_ascii_digit())).then_some(before)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::model::Counted;
    use proptest::prelude::*;

    fn usage(input: u64, output: u64, cache_read: u64, cache_write: u64) -> Usage {
        Usage { input, output, cache_read, cache_write, counted: Counted::Exact }
    }

    #[test]
    fn the_guides_five_models_are_the_first_rows_at_its_prices() {
        let catalogue = Catalogue::built_in();
        let first: Vec<_> = catalogue.models()[..5]
            .iter()
            .map(|m| (m.name.as_str(), m.price.input, m.price.output))
            .collect();
        assert_eq!(
            first,
            [
                ("gpt-4", 30_000_000, 60_000_000),
                ("gpt-4-turbo", 10_000_000, 30_000_000),
                ("gpt-3.5-turbo", 1_000_000, 2_000_000),
                ("claude-3-opus", 15_000_000, 75_000_000),
                ("claude-3-sonnet", 3_000_000, 15_000_000),
            ]
        );
        assert!(catalogue.version().parse::<jiff::civil::Date>().is_ok(), "{}", catalogue.version());
        for model in catalogue.models() {
            assert!(model.price.input > 0 && model.price.output > 0, "{} is free", model.name);
            assert!(model.output_max <= model.context && !model.source.is_empty(), "{}", model.name);
        }
    }

    #[test]
    fn a_date_is_taken_off_and_nothing_else_is_guessed() {
        let catalogue = Catalogue::built_in();
        for (id, row) in [
            ("gpt-4o-2024-08-06", Some("gpt-4o")),
            ("gpt-4o-2024-05-13", Some("gpt-4o-2024-05-13")),
            ("claude-3-opus-20240229", Some("claude-3-opus")),
            ("gpt-4-0613", Some("gpt-4")),
            ("gpt-4-32k", None),
            ("gpt-4o-latest", None),
            ("gpt-4o-audio-preview-2024-12-17", None),
            ("gpt", None),
            ("", None),
            ("-20240229", None),
            ("llama3.2", None),
            ("GPT-4", None),
        ] {
            assert_eq!(catalogue.find(id).map(|m| m.name.as_str()), row, "{id}");
        }
    }

    /// P5: a fraction of a micro-dollar is a whole one.
    #[test]
    fn a_cost_is_rounded_up_once() {
        let price = Price { input: 150_000, output: 600_000, cache_read: None, cache_write: Some(1_000_000) };
        assert_eq!(price.cost(&usage(1, 0, 0, 0)), Some(MicroUsd::new(1)));
        assert_eq!(price.cost(&usage(1, 1, 1, 0)), Some(MicroUsd::new(1)));
        assert_eq!(price.cost(&usage(1_000_000, 1_000_000, 0, 0)), Some(MicroUsd::new(750_000)));
        assert_eq!(price.cost(&usage(0, 0, 0, 2)), Some(MicroUsd::new(2)));
        assert_eq!(price.cost(&usage(0, 0, 0, 0)), Some(MicroUsd::ZERO));
        assert_eq!(Price { input: u64::MAX, ..price }.cost(&usage(u64::MAX, 0, 0, 0)), None);
    }

    #[test]
    fn a_file_that_is_wrong_is_refused_with_the_place() {
        let row = |name: &str, more: &str| {
            format!(
                "[[model]]\nname = \"{name}\"\ninput = 1\noutput = 1\ncontext = 1\noutput_max = 1\nsource = \"s\"\n{more}\n"
            )
        };
        let head = "version = \"2026-01-01\"\nsource = \"s\"\n";
        let parse = |rows: &[String]| Catalogue::parse(&format!("{head}{}", rows.concat()));
        assert!(parse(&[row("a", "")]).is_ok());
        assert!(matches!(parse(&[row("a", ""), row("a", "")]), Err(BadCatalogue::Twice { id }) if id == "a"));
        assert!(matches!(
            parse(&[row("a", ""), row("b", "aliases = [\"a\"]")]),
            Err(BadCatalogue::Twice { .. })
        ));
        for wrong in ["cached = 1", "cache_read = -1", "cache_read = 0.5"] {
            let Err(BadCatalogue::Unreadable(error)) = parse(&[row("a", wrong)]) else { panic!("{wrong}") };
            assert!(error.to_string().contains("line 10"), "{error}");
        }
    }

    proptest! {
        /// P5: what a call costs is never above its hold, whichever way its input was counted.
        #[test]
        fn the_worst_case_covers_every_usage(
            (input, read, write, output) in (0u64..1 << 40, 0u64..1 << 40, 0u64..1 << 40, 0u64..1 << 40),
            spare in 0u64..1000,
            price in (0u64..1 << 30, 0u64..1 << 30, proptest::option::of(0u64..1 << 30), proptest::option::of(0u64..1 << 30)),
        ) {
            let price = Price { input: price.0, output: price.1, cache_read: price.2, cache_write: price.3 };
            let used = usage(input, output, read, write);
            if let Some(worst) = price.worst_case(input + read + write + spare, output + spare) {
                prop_assert!(price.cost(&used).is_some_and(|cost| cost <= worst));
            }
        }

        #[test]
        fn money_never_wraps(input: u64, output: u64, read: u64, write: u64, a: u64, b: u64) {
            let price = Price { input: a, output: b, cache_read: Some(a), cache_write: Some(b) };
            let exact = u128::from(input) * u128::from(a);
            if let Some(cost) = price.cost(&usage(input, output, read, write)) {
                prop_assert!(u128::from(cost.get()) >= exact / PER);
            }
        }

        #[test]
        fn any_id_is_looked_up_without_panic(id: String) {
            let _row = Catalogue::built_in().find(&id);
        }
    }
}
