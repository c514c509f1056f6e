//! Prometheus rules, and as much of PromQL as rules about expressions need: calls and series.
//!
//! No parser of PromQL: a scanner that finds names, calls, selectors and groupings, and is right about
//! strings, comments and brackets. What it cannot tell it does not report.

use crate::read::Node;

use super::value::{At, text};

/// The rules of a PrometheusRule or of a plain rules file.
#[derive(Debug, Clone)]
pub struct PromRules {
    /// All rules of all groups.
    pub rules: Vec<PromRule>,
}

/// One recording or alerting rule.
#[derive(Debug, Clone)]
pub struct PromRule {
    /// `alert` or `record`.
    pub name: Option<At<String>>,
    /// Whether it is an alert.
    pub alert: bool,
    /// `expr`.
    pub expr: At<String>,
}

impl PromRules {
    /// From a node with `groups`.
    pub(crate) fn of(node: &Node) -> Self {
        let groups = node.get("groups").map_or(&[][..], Node::items);
        let rules = groups
            .iter()
            .flat_map(|group| group.get("rules").map_or(&[][..], Node::items))
            .filter_map(|rule| {
                let alert = text(rule, &["alert"]);
                let is_alert = alert.is_some();
                Some(PromRule {
                    name: alert.or_else(|| text(rule, &["record"])),
                    alert: is_alert,
                    expr: text(rule, &["expr"])?,
                })
            })
            .collect();
        Self { rules }
    }
}

/// An expression cut into what the rules look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// Every series that is selected.
    pub series: Vec<Series>,
    /// Every function or aggregation call, outermost first.
    pub calls: Vec<Call>,
}

/// A selected series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Its metric's name.
    pub name: String,
    /// The text between its braces, or nothing.
    pub labels: String,
    /// Offset in the expression.
    pub at: usize,
}

/// A call of a function or an aggregation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `rate`, `sum`, `histogram_quantile` …
    pub name: String,
    /// Where the name stands.
    pub at: usize,
    /// What stands between its brackets.
    pub inside: std::ops::Range<usize>,
    /// Labels of a `by (…)` before or after; `None` when there is none or it is `without`.
    pub by: Option<Vec<String>>,
    /// Whether there is a `without (…)`.
    pub without: bool,
}

const AGGREGATIONS: [&str; 12] = [
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "quantile",
    "group",
    "count_values",
];

const WORDS: [&str; 16] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "inf",
    "nan",
    "atan2",
    "start",
    "end",
];

impl Expression {
    /// Scans `text`. Never fails: what is no PromQL gives no series.
    pub fn scan(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut out = Self { series: Vec::new(), calls: Vec::new() };
        let mut at = 0;
        let mut grouping_until = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'"' | b'\'' | b'`' => at = string_end(bytes, at),
                b'#' => at += bytes[at..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - at),
                b'{' | b'[' => at = bracket_end(bytes, at),
                byte if byte.is_ascii_alphabetic() || byte == b'_' || byte == b':' => {
                    let start = at;
                    while at < bytes.len() && is_name(bytes[at]) {
                        at += 1;
                    }
                    let name = &text[start..at];
                    let next = skip_space(bytes, at);
                    if start < grouping_until || (WORDS.contains(&name.to_lowercase().as_str())) {
                        if matches!(name, "by" | "without" | "on" | "ignoring" | "group_left" | "group_right")
                            && bytes.get(next) == Some(&b'(')
                        {
                            grouping_until = bracket_end(bytes, next);
                        }
                        continue;
                    }
                    let is_aggregation = AGGREGATIONS.contains(&name);
                    if bytes.get(next) == Some(&b'(') || is_aggregation {
                        if let Some(call) = call(text, name, start, next) {
                            out.calls.push(call);
                        }
                    } else {
                        let labels = match bytes.get(next) {
                            Some(b'{') => text.get(next + 1..bracket_end(bytes, next).saturating_sub(1)),
                            _ => None,
                        };
                        let labels = labels.unwrap_or("").to_owned();
                        out.series.push(Series { name: name.to_owned(), labels, at: start });
                    }
                }
                byte if byte.is_ascii_digit() => {
                    // Numbers and durations, so that `5m` is no series.
                    while at < bytes.len() && (is_name(bytes[at]) || bytes[at] == b'.') {
                        at += 1;
                    }
                }
                b'$' => {
                    // A dashboard's variable.
                    at += 1;
                    while at < bytes.len() && is_name(bytes[at]) {
                        at += 1;
                    }
                }
                _ => at += 1,
            }
        }
        out
    }

    /// The series inside a call.
    pub fn series_in<'a>(&'a self, call: &Call) -> impl Iterator<Item = &'a Series> {
        let inside = call.inside.clone();
        self.series.iter().filter(move |series| inside.contains(&series.at))
    }

    /// The calls inside a call.
    pub fn calls_in<'a>(&'a self, call: &Call) -> impl Iterator<Item = &'a Call> {
        let inside = call.inside.clone();
        self.calls.iter().filter(move |inner| inside.contains(&inner.at))
    }
}

fn call(text: &str, name: &str, start: usize, next: usize) -> Option<Call> {
    let bytes = text.as_bytes();
    let mut by = None;
    let mut without = false;
    let mut grouping = |at: usize| -> usize {
        let word_end = text[at..].find(|c: char| !c.is_ascii_alphabetic()).map_or(text.len(), |len| at + len);
        let open = skip_space(bytes, word_end);
        if bytes.get(open) != Some(&b'(') {
            return at;
        }
        let end = bracket_end(bytes, open);
        let labels = text.get(open + 1..end.saturating_sub(1)).unwrap_or("");
        match &text[at..word_end] {
            "by" => by = Some(labels.split(',').map(|label| label.trim().to_owned()).collect()),
            "without" => without = true,
            _ => return at,
        }
        skip_space(bytes, end)
    };
    let open = if bytes.get(next) == Some(&b'(') { next } else { grouping(next) };
    if bytes.get(open) != Some(&b'(') {
        return None;
    }
    let end = bracket_end(bytes, open);
    let after = skip_space(bytes, end);
    if after < bytes.len() && bytes[after].is_ascii_alphabetic() {
        grouping(after);
    }
    let inside = open + 1..end.saturating_sub(1).max(open + 1);
    Some(Call { name: name.to_owned(), at: start, inside, by, without })
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' && quote != b'`' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// One past the bracket that closes the one at `start`; the end when none does.
fn bracket_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            b'"' | b'\'' | b'`' => {
                at = string_end(bytes, at);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_calls_and_groupings_are_found() {
        let text = "sum by (le, pod) (rate(http_x_bucket{job=\"a(b\"}[5m])) / on (pod) group_left \
                    avg(kube_y{z='}'}) by (pod) * 100 # comment rate(z)";
        let scan = Expression::scan(text);
        let names: Vec<_> = scan.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["http_x_bucket", "kube_y"]);
        let calls: Vec<_> = scan.calls.iter().map(|call| (call.name.as_str(), call.by.clone())).collect();
        assert_eq!(calls.len(), 3);
        assert_eq!(calls[0], ("sum", Some(vec!["le".to_owned(), "pod".to_owned()])));
        assert_eq!(calls[2], ("avg", Some(vec!["pod".to_owned()])));
        assert_eq!(scan.series_in(&scan.calls[1]).count(), 1);
        assert_eq!(scan.series[1].labels, "z='}'");
    }

    #[test]
    fn durations_variables_and_templates_are_no_series() {
        let scan = Expression::scan("rate(x[$__rate_interval]) > 5m and $var or sum(<<.Series>>)");
        let names: Vec<_> = scan.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["x", "Series"]);
    }

    #[test]
    fn unbalanced_text_ends() {
        for text in ["sum(", "sum by (", "{\"", "a{b=\"\\", "sum by", "((((", "rate)x("] {
            Expression::scan(text);
        }
    }
}
