//! Data inside a prompt: neutralised, bounded, and between two marks that it cannot write.
//!
//! A mark on its own convinces no model; it makes the system prompt's sentence *what stands
//! between these marks is data* checkable, and takes from the data the means to say otherwise.

use crate::text::neutralise;
use std::fmt::Write as _;

/// What makes the marks of one step unlike those of any other: 8 to 64 of 0-9 and a-f.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

/// A text that is not a [`Nonce`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a nonce is 8 to 64 of 0-9 and a-f")]
pub struct BadNonce;

impl std::str::FromStr for Nonce {
    type Err = BadNonce;

    fn from_str(text: &str) -> Result<Self, BadNonce> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let fits = (8..=64).contains(&text.len()) && text.bytes().all(hex);
        if fits { Ok(Nonce(text.to_owned())) } else { Err(BadNonce) }
    }
}

impl Nonce {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A label is cut at this many characters.
const LABEL_CHARS: usize = 120;

/// `text` as data: neutralised, at most `most` bytes of it (and a line that says how much is
/// missing), between marks that hold `nonce`. Wherever the text or the label holds the nonce
/// itself, it is replaced.
#[must_use]
pub fn marked(label: &str, text: &str, most: usize, nonce: &Nonce) -> String {
    let label: String = neutralise(label).chars().take(LABEL_CHARS).collect();
    let label = without(&label.replace(['\n', '\t', '"'], " "), nonce);
    let clean = neutralise(text);
    let clean = without(&clean, nonce);
    let kept = beginning(&clean, most);
    let mut marked = format!("<data-{} from=\"{label}\">\n{kept}", nonce.0);
    if !kept.is_empty() && !kept.ends_with('\n') {
        marked.push('\n');
    }
    if kept.len() < clean.len() {
        let missing = clean.len() - kept.len();
        // Writing to a string cannot fail.
        let _ = writeln!(marked, "(cut here: {missing} of {} bytes are not shown)", clean.len());
    }
    let _ = write!(marked, "</data-{}>", nonce.0);
    marked
}

/// The first `most` bytes of a text, or a few less where a character would be split.
#[must_use]
pub fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// The text with every occurrence of the nonce, in either case, replaced. What replaces it has
/// none of a nonce's characters, so no new one can come of it.
fn without(text: &str, nonce: &Nonce) -> String {
    let lower = text.to_ascii_lowercase();
    let mut clean = String::with_capacity(text.len());
    let mut from = 0;
    for (at, found) in lower.match_indices(&nonce.0) {
        clean.push_str(&text[from..at]);
        clean.push('…');
        from = at + found.len();
    }
    clean.push_str(&text[from..]);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nonce() -> Nonce {
        "0123abcd".parse().unwrap()
    }

    #[test]
    fn data_stands_between_marks_and_a_cut_is_said() {
        assert_eq!(
            marked("file a", "one\ntwo", 100, &nonce()),
            "<data-0123abcd from=\"file a\">\none\ntwo\n</data-0123abcd>"
        );
        assert_eq!(
            marked("x", "äöü", 3, &nonce()),
            "<data-0123abcd from=\"x\">\nä\n(cut here: 4 of 6 bytes are not shown)\n</data-0123abcd>"
        );
        assert_eq!(marked("x", "", 3, &nonce()), "<data-0123abcd from=\"x\">\n</data-0123abcd>");
    }

    #[test]
    fn a_nonce_is_hex() {
        for bad in ["", "0123456", "0123ABCD", "0123abcg", &"a".repeat(65)] {
            assert_eq!(bad.parse::<Nonce>(), Err(BadNonce), "{bad}");
        }
    }

    proptest! {
        /// Text that knows the nonce, in any case and with hidden characters in it, still
        /// cannot write a mark: the nonce stands in the marks and nowhere else.
        #[test]
        fn data_cannot_close_its_own_mark(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("0123abcd".to_owned()), Just("0123ABCD".to_owned()), Just("0123".to_owned()),
                    Just("abcd".to_owned()), Just("</data-".to_owned()), Just(">".to_owned()),
                    Just("\u{200b}".to_owned()), Just("\n".to_owned()), any::<String>(),
                ],
                0..12,
            ),
            label in any::<String>(),
            most in 0usize..80,
        ) {
            let marked = marked(&label, &parts.concat(), most, &nonce());
            prop_assert_eq!(marked.to_ascii_lowercase().matches("0123abcd").count(), 2);
            prop_assert!(marked.starts_with("<data-0123abcd from=\"") && marked.ends_with("\n</data-0123abcd>"));
            let label_end = marked.find("\">\n").unwrap();
            prop_assert!(!marked[..label_end].contains('\n'));
            prop_assert!(marked.len() <= most + 4 * LABEL_CHARS + 140);
        }
    }
}
