//! How a pattern of file names is written in a plan.
//!
//! Within the program `{a,b}` in it fits either, and `\{` is a brace. In the first edition of plans a brace was a character
//! like others, so a pattern with a choice is written in a form of its own, and a plain one is read as it was meant then.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// A pattern as plans have it.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a pattern of file names, or {\"one_of\": a pattern with a choice}")]
pub(crate) enum FileName {
    /// Such as `*.log`; a brace is a character of the name.
    Plain(String),
    /// With a choice.
    Choice(Choice),
}

/// A pattern with a choice.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    /// Such as `*.{py,rs}`.
    one_of: String,
}

/// Whether a brace in `pattern` may begin a choice.
pub(crate) fn is_choice(pattern: &str) -> bool {
    plain(pattern) != pattern
}

/// `pattern` with every brace a character of the name.
fn plain(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '[' => class(rest),
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            _ => c.len_utf8(),
        };
        if c == '{' {
            plain.push('\\');
        }
        plain.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    plain
}

/// How long the class is that `text` begins with, such as `[!a-z]`; one that has no end is its bracket alone.
fn class(text: &str) -> usize {
    let inner = &text[1..];
    let inner = inner.strip_prefix(['!', '^']).unwrap_or(inner);
    // A `]` that comes first stands for itself.
    let end = inner.char_indices().skip(1).find(|(_, c)| *c == ']');
    end.map_or(1, |(at, _)| text.len() - inner.len() + at + 1)
}

#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
pub(crate) fn serialize<S: Serializer>(pattern: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    let written = pattern.clone().map(|pattern| match is_choice(&pattern) {
        true => FileName::Choice(Choice { one_of: pattern }),
        false => FileName::Plain(pattern),
    });
    written.serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let written = Option::<FileName>::deserialize(from)?;
    Ok(written.map(|written| match written {
        FileName::Plain(pattern) => plain(&pattern),
        FileName::Choice(Choice { one_of }) => one_of,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brace_of_a_plain_pattern_is_a_character() {
        for (pattern, wanted) in [
            ("x{1,2}.txt", r"x\{1,2}.txt"),
            (r"x\{1,2}", r"x\{1,2}"),
            (r"\\{a,b}", r"\\\{a,b}"),
            ("[{]a", "[{]a"),
            ("[]{]ä{", r"[]{]ä\{"),
            ("[{a,b}", r"[\{a,b}"),
            ("a\\", "a\\"),
        ] {
            assert_eq!(plain(pattern), wanted);
            assert_eq!(plain(wanted), wanted, "once is enough");
        }
        assert!(is_choice("*.{py,rs}") && !is_choice(r"*.\{py,rs}"));
    }
}
