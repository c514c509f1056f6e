//! An object against its field table: what the API server's strict decoding would refuse.
//!
//! Keeps going after each fault, so that one typo hides no other. Null stands for "not written".

use crate::quantity::Quantity;
use crate::read::{Entry, Node, PlainKind, Scalar, Span, Value};
use crate::slip::slips;

use super::table::{Field, Shape, table};

/// One thing that does not fit the field tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field, as `spec.template.spec.containers[0].image`.
    pub path: String,
    /// Where to look: the key of an unknown field, the value of a wrong one, the map that lacks one.
    pub span: Span,
    /// What is wrong.
    pub what: FaultKind,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The kind has no such field.
    Unknown {
        /// The known field that its writer most likely meant.
        meant: Option<&'static str>,
    },
    /// A field that must be there is not.
    Missing,
    /// The value is of another type.
    WrongType {
        /// What it must be, in words.
        wanted: &'static str,
        /// What it is, in words.
        got: &'static str,
    },
    /// A bare word that YAML reads as a boolean or number where a string must be.
    NeedsQuotes {
        /// What the decoder makes of it, in words.
        got: &'static str,
        /// The allowed value that differs in case alone.
        meant: Option<&'static str>,
    },
    /// Not a Kubernetes quantity.
    BadQuantity {
        /// What is wrong with it and how to write it.
        why: String,
    },
    /// Not one of the values that the field may have.
    BadValue {
        /// The values.
        allowed: Vec<&'static str>,
    },
}

/// Checks `node` as the type that the tables call `name`.
pub(super) fn check(node: &Node, name: &'static str) -> Vec<Fault> {
    let mut checker = Checker { path: Vec::new(), faults: Vec::new() };
    checker.object(node, name);
    checker.faults
}

/// Whole numbers that the API keeps in 32 bits; the published schemas do not tell them from those of 64.
const NARROW: [&str; 21] = [
    "replicas",
    "minReplicas",
    "maxReplicas",
    "minReplicaCount",
    "maxReplicaCount",
    "idleReplicaCount",
    "pollingInterval",
    "cooldownPeriod",
    "initialCooldownPeriod",
    "averageUtilization",
    "stabilizationWindowSeconds",
    "periodSeconds",
    "value",
    "port",
    "containerPort",
    "nodePort",
    "revisionHistoryLimit",
    "minReadySeconds",
    "progressDeadlineSeconds",
    "initialDelaySeconds",
    "failureThreshold",
];

/// `-0` is 0.
fn is_zero(text: &str) -> bool {
    text.parse::<Quantity>().is_ok_and(|quantity| quantity.milli() == 0)
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

struct Checker<'a> {
    path: Vec<Step<'a>>,
    faults: Vec<Fault>,
}

impl<'a> Checker<'a> {
    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    fn fault(&mut self, span: Span, what: FaultKind) {
        self.faults.push(Fault { path: self.path(), span, what });
    }

    /// The field's own name.
    fn key(&self) -> Option<&'a str> {
        match self.path.last() {
            Some(Step::Key(key)) => Some(key),
            Some(Step::Index(_)) | None => None,
        }
    }

    /// Whether the value stands under `requests` or `limits`.
    fn is_amount(&self) -> bool {
        matches!(self.path.as_slice(), [.., Step::Key("requests" | "limits"), Step::Key(_)])
    }

    fn wrong(&mut self, node: &Node, wanted: &'static str) {
        self.fault(node.span, FaultKind::WrongType { wanted, got: node.what() });
    }

    fn object(&mut self, node: &'a Node, name: &'static str) {
        let Value::Map(entries) = &node.value else { return self.wrong(node, "a map") };
        let fields = table().fields(name);
        for entry in entries {
            self.path.push(Step::Key(&entry.key));
            match fields.iter().find(|field| field.name == entry.key) {
                Some(field) => self.value(&entry.value, &field.shape),
                None => {
                    let meant = meant(entry, entries, fields);
                    self.fault(entry.key_span, FaultKind::Unknown { meant });
                }
            }
            self.path.pop();
        }
        for field in fields.iter().filter(|field| field.required && node.get(field.name).is_none()) {
            self.path.push(Step::Key(field.name));
            self.fault(node.span, FaultKind::Missing);
            self.path.pop();
        }
    }

    fn value(&mut self, node: &'a Node, shape: &Shape) {
        if node.is_null() {
            return;
        }
        match shape {
            Shape::Any => {}
            Shape::Type(name) => self.object(node, name),
            Shape::List(item, _) => match &node.value {
                Value::List(items) => {
                    for (index, value) in items.iter().enumerate() {
                        self.path.push(Step::Index(index));
                        self.value(value, item);
                        self.path.pop();
                    }
                }
                Value::Null | Value::Scalar(_) | Value::Map(_) => self.wrong(node, "a list"),
            },
            Shape::Map(value) => match &node.value {
                Value::Map(entries) => {
                    for entry in entries {
                        self.path.push(Step::Key(&entry.key));
                        self.value(&entry.value, value);
                        self.path.pop();
                    }
                }
                Value::Null | Value::Scalar(_) | Value::List(_) => self.wrong(node, "a map"),
            },
            Shape::String
            | Shape::Integer
            | Shape::Number
            | Shape::Boolean
            | Shape::Quantity
            | Shape::IntOrString
            | Shape::OneOf(_) => match &node.value {
                Value::Scalar(scalar) => self.scalar(node, scalar, shape),
                Value::Null | Value::List(_) | Value::Map(_) => self.wrong(node, shape.words()),
            },
        }
    }

    fn scalar(&mut self, node: &Node, scalar: &Scalar, shape: &Shape) {
        let kind = scalar.plain_kind();
        match shape {
            Shape::String => {
                if kind != PlainKind::Text {
                    self.fault(node.span, FaultKind::NeedsQuotes { got: scalar.what(), meant: None });
                }
            }
            Shape::Integer => {
                let bits = if self.key().is_some_and(|key| NARROW.contains(&key)) { 32 } else { 64 };
                if kind != PlainKind::Integer {
                    self.wrong(node, shape.words());
                } else if scalar.integer().is_none_or(|value| bits == 32 && i32::try_from(value).is_err()) {
                    let wanted =
                        if bits == 32 { "a whole number of 32 bits" } else { "a whole number of 64 bits" };
                    self.fault(node.span, FaultKind::WrongType { wanted, got: "a number beyond them" });
                }
            }
            Shape::Number => {
                if !matches!(kind, PlainKind::Integer | PlainKind::Float) {
                    self.wrong(node, shape.words());
                }
            }
            Shape::Boolean => {
                if !matches!(kind, PlainKind::Boolean(_)) {
                    self.wrong(node, shape.words());
                }
            }
            Shape::IntOrString => {
                if matches!(kind, PlainKind::Boolean(_) | PlainKind::Float) {
                    self.wrong(node, shape.words());
                }
            }
            Shape::Quantity => {
                if matches!(kind, PlainKind::Boolean(_)) {
                    self.wrong(node, shape.words());
                } else if let Err(error) = scalar.text.parse::<Quantity>() {
                    let near = nearest_quantity(&scalar.text);
                    let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
                    self.fault(node.span, FaultKind::BadQuantity { why: format!("{error}{hint}") });
                } else if self.is_amount() && scalar.text.starts_with('-') && !is_zero(&scalar.text) {
                    let why = "a request or limit is not below 0; write how much is wanted".to_owned();
                    self.fault(node.span, FaultKind::BadQuantity { why });
                }
            }
            Shape::OneOf(allowed) => {
                if kind != PlainKind::Text {
                    let meant =
                        allowed.iter().find(|value| value.eq_ignore_ascii_case(&scalar.text)).copied();
                    self.fault(node.span, FaultKind::NeedsQuotes { got: scalar.what(), meant });
                } else if !allowed.contains(&scalar.text.as_str()) && !scalar.text.is_empty() {
                    self.fault(node.span, FaultKind::BadValue { allowed: allowed.clone() });
                }
            }
            Shape::Any | Shape::List(..) | Shape::Map(_) | Shape::Type(_) => {}
        }
    }
}

impl Shape {
    fn words(&self) -> &'static str {
        match self {
            Shape::String | Shape::OneOf(_) => "a string",
            Shape::Integer => "a whole number",
            Shape::Number => "a number",
            Shape::Boolean => "true or false",
            Shape::Quantity => "a quantity",
            Shape::IntOrString => "a whole number or a string",
            Shape::List(..) => "a list",
            Shape::Map(_) | Shape::Type(_) => "a map",
            Shape::Any => "anything",
        }
    }
}

/// The field that an unknown one was most likely meant to be: close in spelling, and not there already.
fn meant(unknown: &Entry, entries: &[Entry], fields: &'static [Field]) -> Option<&'static str> {
    let written = unknown.key.to_lowercase();
    fields
        .iter()
        .map(|field| field.name)
        .filter(|name| !entries.iter().any(|entry| entry.key == *name))
        .filter_map(|name| Some((slips(&name.to_lowercase(), &written, 1 + name.len() / 8)?, name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// What people write for quantities that are none: `512MB`, `1 Gi`, `500mi`.
pub(crate) fn nearest_quantity(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = compact.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(compact.len());
    let (number, suffix) = compact.split_at(digits);
    let suffix = match suffix.to_lowercase().as_str() {
        "" => "",
        "k" | "kb" => "k",
        "mb" => "M",
        "gb" | "g" => "G",
        "tb" | "t" => "T",
        "ki" | "kib" => "Ki",
        "mi" | "mib" => "Mi",
        "gi" | "gib" => "Gi",
        "ti" | "tib" => "Ti",
        _ => return None,
    };
    let near = format!("{number}{suffix}");
    near.parse::<Quantity>().ok().map(|_| near)
}
