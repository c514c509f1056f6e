//! What a search looks for: a text as it stands, or a regular expression.
//!
//! Promises: a text that the goal calls neither, and that looks like a regular expression, is not searched for; the
//! goal has to say which it is.

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sought {
    pub(super) pattern: String,
    pub(super) regex: bool,
    pub(super) ignore_case: bool,
    /// The goal says what it is: a text, a word, a regular expression.
    pub(super) told: bool,
}

impl Sought {
    /// What to say instead of what may be a text or a regular expression.
    pub(super) fn left_open(&self) -> Option<&'static str> {
        (!self.told && !self.regex && looks_like_a_regex(&self.pattern)).then_some(REGEX_OR_TEXT)
    }
}

const REGEX_OR_TEXT: &str =
    "it may be a text or a regular expression: say \"the text '…'\" or \"the regex '…'\"";

/// `^GET`, `404$`, `GET.*404`, `404|500`, `[0-9]`, `\d`: people write it with a pattern in mind, and seldom as it stands.
fn looks_like_a_regex(text: &str) -> bool {
    let anchored = text.len() > 1 && (text.starts_with('^') || text.ends_with('$'));
    let parts = text.split('|').collect::<Vec<_>>();
    let glued = |part: &&str| !part.is_empty() && part.trim() == *part;
    let branches = parts.len() > 1 && parts.iter().all(glued);
    let signs = [".*", ".+", ".?", "[0-9]", "[a-z", "[A-Z", "[^", "\\d", "\\w", "\\s", "\\b", "\\."];
    anchored || branches || signs.iter().any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_people_write_as_a_pattern_looks_like_one() {
        for pattern in ["^GET", "404$", "GET.*404", "404|500", "[0-9]+", r"\d", "[a-z]x"] {
            assert!(looks_like_a_regex(pattern), "{pattern}");
        }
        for text in ["f(x)", "a || b", "x*y", "arr[0]", "why?", "notes.txt", "$5", "^", "a | b", r"C:\temp"] {
            assert!(!looks_like_a_regex(text), "{text}");
        }
    }
}
