//! What is known of the moment: `key=value` pairs, from the command line or a file.
//!
//! Keys: `replicas`; `cpu` and `memory` in percent of the request; `metric.<name>` as a number or quantity (for a Pods
//! metric the average of a pod, else the whole value); `pods.<i>.<field>` with the fields `cpu`, `memory`,
//! `metric.<name>`, `phase`, `ready`, `deleting`, `age` (seconds since the pod started). A value `none` means that
//! there is no sample, for a metric that it fails.

use std::collections::BTreeMap;

use crate::hpa::Phase;
use crate::quantity::Quantity;
use crate::read::{Node, Sources, Value};

/// What is known of the moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    /// `replicas`.
    pub replicas: Option<i32>,
    /// `cpu`, `memory` and `metric.<name>` by key; `None` means that it fails.
    pub readings: BTreeMap<String, Option<f64>>,
    /// `pods.<i>.…` by index.
    pub pods: BTreeMap<usize, PodValues>,
}

/// What is known of one pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodValues {
    /// `phase`.
    pub phase: Option<Phase>,
    /// `ready`.
    pub ready: Option<bool>,
    /// `deleting`.
    pub deleting: bool,
    /// `age`, in seconds.
    pub age_seconds: Option<i64>,
    /// `cpu`, `memory` and `metric.<name>`; `None` means no sample.
    pub readings: BTreeMap<String, Option<f64>>,
}

/// Why a value cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValuesError {
    /// No `=` between key and value.
    #[error("`{text}` is no key=value")]
    NoPair {
        /// The text.
        text: String,
    },
    /// No such key.
    #[error("there is no key `{key}`; use replicas, cpu, memory, metric.<name> or pods.<i>.<field>")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// The value does not fit its key.
    #[error("`{key}`: `{value}` is no {wanted}")]
    BadValue {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// The file is neither `key=value` lines nor YAML.
    #[error("{0}")]
    Unreadable(crate::read::Unreadable),
}

impl Values {
    /// Takes one `key=value`.
    ///
    /// # Errors
    /// [`ValuesError`] naming the key.
    pub fn set_pair(&mut self, pair: &str) -> Result<(), ValuesError> {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(ValuesError::NoPair { text: pair.to_owned() });
        };
        self.set(key.trim(), value.trim())
    }

    /// Takes a file: lines `key=value` (with `#` comments), or a YAML or JSON map, nested or flat.
    ///
    /// # Errors
    /// [`ValuesError`] naming the line or the key.
    pub fn set_file(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), ValuesError> {
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let lines =
                || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let is_pair =
                |line: &str| line.split_once('=').is_some_and(|(key, _)| !key.contains([':', '{', '"']));
            if lines().all(is_pair) {
                return lines().try_for_each(|line| self.set_pair(line));
            }
        }
        let mut sources = Sources::default();
        let (_, documents) = sources.read(path, bytes);
        for document in documents.map_err(ValuesError::Unreadable)? {
            self.set_node(String::new(), &document.root)?;
        }
        Ok(())
    }

    fn set_node(&mut self, key: String, node: &Node) -> Result<(), ValuesError> {
        let below = |part: &str| if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") };
        match &node.value {
            Value::Null => self.set(&key, "none"),
            Value::Scalar(scalar) => self.set(&key, &scalar.text),
            Value::Map(entries) => {
                entries.iter().try_for_each(|entry| self.set_node(below(&entry.key), &entry.value))
            }
            Value::List(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| self.set_node(below(&index.to_string()), item)),
        }
    }

    /// Takes one value.
    ///
    /// # Errors
    /// [`ValuesError`] naming the key.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ValuesError> {
        let bad = |wanted| ValuesError::BadValue { key: key.to_owned(), value: value.to_owned(), wanted };
        if key == "replicas" {
            self.replicas = Some(value.parse().map_err(|_| bad("whole number"))?);
            return Ok(());
        }
        if is_reading(key) {
            self.readings.insert(key.to_owned(), reading(value).ok_or_else(|| bad("number"))?);
            return Ok(());
        }
        let unknown = || ValuesError::UnknownKey { key: key.to_owned() };
        let (index, field) =
            key.strip_prefix("pods.").and_then(|rest| rest.split_once('.')).ok_or_else(unknown)?;
        let index: usize = index.parse().map_err(|_| unknown())?;
        let pod = self.pods.entry(index).or_default();
        match field {
            "phase" => pod.phase = Some(phase(value).ok_or_else(|| bad("phase (Running, Pending, Failed)"))?),
            "ready" => pod.ready = Some(value.parse().map_err(|_| bad("true or false"))?),
            "deleting" => pod.deleting = value.parse().map_err(|_| bad("true or false"))?,
            "age" => pod.age_seconds = Some(value.parse().map_err(|_| bad("number of seconds"))?),
            field if is_reading(field) => {
                pod.readings.insert(field.to_owned(), reading(value).ok_or_else(|| bad("number"))?);
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

fn is_reading(key: &str) -> bool {
    matches!(key, "cpu" | "memory") || key.strip_prefix("metric.").is_some_and(|name| !name.is_empty())
}

/// A number, a percentage, a quantity, or `none`.
fn reading(value: &str) -> Option<Option<f64>> {
    if matches!(value, "none" | "failed" | "null") {
        return Some(None);
    }
    let number = value.strip_suffix('%').unwrap_or(value).trim();
    let parsed = number.parse::<f64>().ok().filter(|number| number.is_finite());
    let parsed = parsed.or_else(|| number.parse::<Quantity>().ok().map(Quantity::as_f64));
    parsed.filter(|number| *number >= 0.0).map(Some)
}

fn phase(value: &str) -> Option<Phase> {
    match value {
        "Running" => Some(Phase::Running),
        "Pending" => Some(Phase::Pending),
        "Succeeded" => Some(Phase::Succeeded),
        "Failed" => Some(Phase::Failed),
        "Unknown" => Some(Phase::Unknown),
        _ => None,
    }
}
