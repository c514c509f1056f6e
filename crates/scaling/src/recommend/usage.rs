//! Recorded usage: a CSV, or what Prometheus' `query_range` answers.
//!
//! CSV: the header `timestamp,namespace,pod,container,cpu_cores,memory_bytes`; timestamps are Unix seconds or RFC 3339;
//! an empty number is no sample. Prometheus: one response or a list of them, `resultType` matrix, with the labels
//! `namespace`, `pod` and `container`; a series says what it is by its name (`container_cpu_usage_seconds_total` is
//! turned into a rate, `container_memory_working_set_bytes`) or by a label `resource` of `cpu` (in cores) or `memory`
//! (in bytes). Errors name the line or the series. Samples keep the order of their time.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::moment::Moment;

/// The header of the CSV.
pub const HEADER: &str = "timestamp,namespace,pod,container,cpu_cores,memory_bytes";

/// Whose usage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Namespace.
    pub namespace: String,
    /// Pod.
    pub pod: String,
    /// Container.
    pub container: String,
}

/// One container's samples, by time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// In cores.
    pub cpu_cores: Vec<(Moment, f64)>,
    /// In bytes.
    pub memory_bytes: Vec<(Moment, f64)>,
}

/// All recorded usage.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// By container.
    pub containers: BTreeMap<Owner, Samples>,
}

/// Why recorded usage cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// The bytes are not UTF-8.
    #[error("{path}: not UTF-8")]
    NotUtf8 {
        /// The file.
        path: String,
    },
    /// The first line is not the header.
    #[error("{path}:1: the header must be {HEADER}")]
    Header {
        /// The file.
        path: String,
    },
    /// A line of the CSV has a field that cannot be read.
    #[error("{path}:{line}: {field}: {why}")]
    Line {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The JSON is no answer of `query_range`.
    #[error("{path}: {why}")]
    Export {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
}

impl Usage {
    /// Reads a file: JSON when it begins with `{` or `[`, else CSV.
    ///
    /// # Errors
    /// [`UsageError`] naming file and line or series.
    pub fn read(path: &str, bytes: Vec<u8>) -> Result<Self, UsageError> {
        let text = String::from_utf8(bytes).map_err(|_| UsageError::NotUtf8 { path: path.to_owned() })?;
        let body = text.trim_start_matches('\u{feff}');
        let mut usage = match body.trim_start().chars().next() {
            Some('{' | '[') => export(path, body)?,
            Some(_) | None => csv(path, body)?,
        };
        for samples in usage.containers.values_mut() {
            samples.cpu_cores.sort_by_key(|(at, _)| *at);
            samples.memory_bytes.sort_by_key(|(at, _)| *at);
        }
        Ok(usage)
    }
}

fn csv(path: &str, text: &str) -> Result<Usage, UsageError> {
    let mut lines = text.lines();
    if lines.next().is_none_or(|header| header.trim() != HEADER) {
        return Err(UsageError::Header { path: path.to_owned() });
    }
    let mut usage = Usage::default();
    for (index, line) in lines.enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |field: &'static str, why: &str| UsageError::Line {
            path: path.to_owned(),
            line: index + 2,
            field,
            why: why.to_owned(),
        };
        let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let [timestamp, namespace, pod, container, cpu, memory] = fields.as_slice() else {
            return Err(wrong("line", &format!("{} fields, the header has 6", fields.len())));
        };
        let at = moment(timestamp).ok_or_else(|| wrong("timestamp", "neither Unix seconds nor RFC 3339"))?;
        let number = |field: &'static str, text: &str| -> Result<Option<f64>, UsageError> {
            if text.is_empty() {
                return Ok(None);
            }
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
            number.map(Some).ok_or_else(|| wrong(field, &format!("`{text}` is no number from 0 up")))
        };
        let (cpu, memory) = (number("cpu_cores", cpu)?, number("memory_bytes", memory)?);
        if pod.is_empty() || container.is_empty() {
            return Err(wrong("pod", "pod and container must be named"));
        }
        let owner = Owner {
            namespace: (*namespace).to_owned(),
            pod: (*pod).to_owned(),
            container: (*container).to_owned(),
        };
        let samples = usage.containers.entry(owner).or_default();
        samples.cpu_cores.extend(cpu.map(|cpu| (at, cpu)));
        samples.memory_bytes.extend(memory.map(|memory| (at, memory)));
    }
    Ok(usage)
}

fn moment(text: &str) -> Option<Moment> {
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds_to_moment(seconds);
    }
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    Some(Moment::from_millis(timestamp.as_millisecond()))
}

fn seconds_to_moment(seconds: f64) -> Option<Moment> {
    // Within ten thousand years of the epoch, so that the product is exact enough and fits.
    if !seconds.is_finite() || seconds.abs() > 4e11 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
    let millis = (seconds * 1000.0).round() as i64;
    Some(Moment::from_millis(millis))
}

fn export(path: &str, text: &str) -> Result<Usage, UsageError> {
    let wrong = |why: String| UsageError::Export { path: path.to_owned(), why };
    let root: Value = serde_json::from_str(text).map_err(|error| wrong(format!("not JSON: {error}")))?;
    let responses = match root {
        Value::Array(responses) => responses,
        one => vec![one],
    };
    let mut usage = Usage::default();
    for response in &responses {
        let result = response.pointer("/data/result").or_else(|| response.get("result"));
        let Some(Value::Array(series)) = result else {
            return Err(wrong("no data.result: write the answer of /api/v1/query_range".to_owned()));
        };
        for (index, one) in series.iter().enumerate() {
            add_series(&mut usage, one).map_err(|why| wrong(format!("series {index}: {why}")))?;
        }
    }
    Ok(usage)
}

enum What {
    Cores,
    CoreSeconds,
    Bytes,
}

fn add_series(usage: &mut Usage, series: &Value) -> Result<(), String> {
    let label = |name: &str| series.pointer(&format!("/metric/{name}")).and_then(Value::as_str).unwrap_or("");
    let what = match (label("__name__"), label("resource")) {
        (_, "cpu") => What::Cores,
        (_, "memory") => What::Bytes,
        (name, _) if name.contains("memory") => What::Bytes,
        (name, _) if name.contains("cpu") && name.ends_with("_total") => What::CoreSeconds,
        (name, _) if name.contains("cpu") => What::Cores,
        _ => return Err("neither its name nor a label `resource` says cpu or memory".to_owned()),
    };
    let owner = Owner {
        namespace: label("namespace").to_owned(),
        pod: label("pod").to_owned(),
        container: label("container").to_owned(),
    };
    // The series of the whole pod and of its pause container carry no name.
    if owner.container.is_empty() || owner.container == "POD" {
        return Ok(());
    }
    if owner.pod.is_empty() {
        return Err("no label `pod`".to_owned());
    }
    let Some(Value::Array(values)) = series.get("values") else {
        return Err("no `values`: ask with query_range, not query".to_owned());
    };
    let mut points = Vec::with_capacity(values.len());
    for value in values {
        let at = value.get(0).and_then(Value::as_f64).and_then(seconds_to_moment);
        let number = value.get(1).and_then(Value::as_str).and_then(|text| text.parse::<f64>().ok());
        match (at, number) {
            (Some(at), Some(number)) if number.is_finite() && number >= 0.0 => points.push((at, number)),
            (Some(_), Some(_)) => {} // NaN and its kin are no samples.
            _ => return Err("a value that is not [seconds, \"number\"]".to_owned()),
        }
    }
    let samples = usage.containers.entry(owner).or_default();
    match what {
        What::Bytes => samples.memory_bytes.extend(points),
        What::Cores => samples.cpu_cores.extend(points),
        What::CoreSeconds => samples.cpu_cores.extend(points.windows(2).filter_map(rate)),
    }
    Ok(())
}

/// Cores between two readings of a counter; nothing across a restart.
fn rate(pair: &[(Moment, f64)]) -> Option<(Moment, f64)> {
    let [(from, before), (to, after)] = pair else { return None };
    let millis = to.millis_since(*from);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a scrape interval")]
    let seconds = millis as f64 / 1000.0;
    (seconds > 0.0 && after >= before).then(|| (*to, (after - before) / seconds))
}
