//! A scalar as written, and what YAML 1.1 (the dialect of Kubernetes' decoder) takes it for.

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Bare: its kind depends on its text.
    Plain,
    /// In single or double quotes: a string.
    Quoted,
    /// A literal block (`|`): a string whose lines are the file's lines.
    Literal,
    /// A folded block (`>`): a string.
    Folded,
}

/// A single value: its text without quotes, and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, escapes resolved.
    pub text: String,
    /// How it was written.
    pub style: Style,
}

/// What a plain scalar is to the decoder that `kubectl` uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainKind {
    /// `true`, `off`, `Yes` and their kin.
    Boolean(bool),
    /// A whole number: decimal, `0x`, `0o`, `0b` or with a leading 0.
    Integer,
    /// A number with a point or an exponent.
    Float,
    /// All else, and everything in quotes.
    Text,
}

impl Scalar {
    /// The kind of the value in YAML 1.1. Quoted and block scalars are text.
    pub fn plain_kind(&self) -> PlainKind {
        if self.style != Style::Plain {
            return PlainKind::Text;
        }
        match self.text.as_str() {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
                PlainKind::Boolean(true)
            }
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
                PlainKind::Boolean(false)
            }
            text if is_integer(text) => PlainKind::Integer,
            text if is_float(text) => PlainKind::Float,
            _ => PlainKind::Text,
        }
    }

    /// What the value is, in words for messages.
    pub fn what(&self) -> &'static str {
        match self.plain_kind() {
            PlainKind::Boolean(_) => "a boolean",
            PlainKind::Integer | PlainKind::Float => "a number",
            PlainKind::Text => "a string",
        }
    }

    /// The value as a whole number, if its kind is [`PlainKind::Integer`] and it fits.
    pub fn integer(&self) -> Option<i64> {
        if self.plain_kind() != PlainKind::Integer {
            return None;
        }
        let digits: String = self.text.chars().filter(|c| *c != '_').collect();
        let (sign, body) = match digits.strip_prefix('-') {
            Some(body) => (-1, body),
            None => (1, digits.strip_prefix('+').unwrap_or(&digits)),
        };
        let (radix, body) = radix(body);
        i64::from_str_radix(body, radix).ok().and_then(|value| value.checked_mul(sign))
    }
}

fn radix(body: &str) -> (u32, &str) {
    if let Some(hex) = body.strip_prefix("0x") {
        (16, hex)
    } else if let Some(binary) = body.strip_prefix("0b") {
        (2, binary)
    } else if let Some(octal) = body.strip_prefix("0o") {
        (8, octal)
    } else if body.len() > 1 && body.starts_with('0') {
        (8, &body[1..])
    } else {
        (10, body)
    }
}

fn is_integer(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !body.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let (radix, digits) = radix(body);
    !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix) || c == '_')
}

fn is_float(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(body, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (body, None),
    };
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit() || c == '_');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digit = mantissa.contains(|c: char| c.is_ascii_digit());
    let exponent_good = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && exponent.chars().all(|c| c.is_ascii_digit())
    });
    has_digit
        && digits(whole)
        && digits(fraction)
        && exponent_good
        && (mantissa.contains('.') || exponent.is_some() || whole.len() > 1 && whole.starts_with('0'))
}
