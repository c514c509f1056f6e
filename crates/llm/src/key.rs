//! A provider's key: it does not print itself, and what a server writes does not give it away.

use octollm_screen::text::neutralise;
use reqwest::header::HeaderValue;

/// A shorter key guards nothing: it is a word such as `ollama`, which a server that wants none was given, and
/// which an answer may well have in it.
const SECRET_BYTES_LEAST: usize = 8;
/// What stands in place of a key.
const BLOT: &str = "…";

/// The key of an account at a provider.
#[derive(Clone)]
pub struct ProviderKey(Box<str>);

/// A text that cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the model server's key is empty or has characters that no key has")]
pub struct BadKeyText;

impl ProviderKey {
    /// Takes the key as an operator set it; white space around it is dropped.
    pub fn parse(text: &str) -> Result<Self, BadKeyText> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadKeyText);
        }
        Ok(ProviderKey(text.into()))
    }

    /// For a header, marked so that nobody logs it.
    pub(crate) fn header(&self, prefix: &str) -> HeaderValue {
        let mut value = HeaderValue::from_str(&format!("{prefix}{}", self.0))
            .expect("a key is printable ASCII, and so are the prefixes");
        value.set_sensitive(true);
        value
    }

    /// A server's words without the key, should it have echoed it, and with nothing hidden in them: the
    /// key is looked for when what stood between its characters is gone.
    pub(crate) fn blotted(&self, text: &str) -> String {
        neutralise(text).replace(&*self.0, BLOT)
    }

    /// A model's words without the key, should it have echoed it; nothing else of them is changed.
    pub(crate) fn blotted_from(&self, answer: String) -> String {
        if self.guards() && answer.contains(&*self.0) { answer.replace(&*self.0, BLOT) } else { answer }
    }

    fn guards(&self) -> bool {
        self.0.len() >= SECRET_BYTES_LEAST
    }
}

/// [`ProviderKey::blotted_from`] of a text that comes in pieces: what may be the key's beginning is held
/// back until it is known.
#[derive(Debug, Default)]
pub(crate) struct Blotting {
    key: Option<ProviderKey>,
    held: String,
}

impl Blotting {
    pub(crate) fn of(key: Option<ProviderKey>) -> Self {
        Blotting { key: key.filter(ProviderKey::guards), held: String::new() }
    }

    /// What can be said once this piece has come.
    pub(crate) fn piece(&mut self, text: &str) -> String {
        let Some(key) = &self.key else { return text.to_owned() };
        let mut said = key.blotted_from(std::mem::take(&mut self.held) + text);
        let begun =
            (1..key.0.len()).rev().find(|bytes| said.as_bytes().ends_with(&key.0.as_bytes()[..*bytes]));
        self.held = said.split_off(said.len() - begun.unwrap_or(0));
        said
    }

    /// What was held back, when no more comes.
    pub(crate) fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

impl std::fmt::Debug for ProviderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProviderKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_print_itself() {
        let key = ProviderKey::parse(" sk-secret\n").unwrap();
        assert_eq!(format!("{key:?} {:?}", key.header("Bearer ")), "ProviderKey(…) Sensitive");
        assert_eq!(key.blotted("wrong key sk-secret!"), "wrong key …!");
        for hidden in ["sk-\u{200b}secret", "sk-sec\u{0}ret", "\u{1b}[1msk\u{1b}[0m-secret"] {
            assert_eq!(key.blotted(hidden), "…", "{hidden:?}");
        }
        for bad in ["", " ", "a b", "a\nb", "clé"] {
            assert!(ProviderKey::parse(bad).is_err(), "{bad}");
        }
    }
    /// However a text is cut, the key in it is blotted and the rest stays as it came.
    #[test]
    fn a_key_is_blotted_out_of_pieces() {
        let key = ProviderKey::parse("sk-sk-secret").unwrap();
        for (text, said) in [
            ("the key sk-sk-secret.", "the key …."),
            ("sk-sk-sk-secret", "sk-…"),
            ("sk-sk-secretsk-sk-secret", "……"),
            ("é\u{200b}sk-sk-secre", "é\u{200b}sk-sk-secre"),
            ("", ""),
        ] {
            for size in 1..=text.len().max(1) {
                let mut blotting = Blotting::of(Some(key.clone()));
                let letters: Vec<char> = text.chars().collect();
                let pieces = letters.chunks(size).map(|piece| piece.iter().collect::<String>());
                let mut heard: String = pieces.map(|piece| blotting.piece(&piece)).collect();
                heard.push_str(&blotting.rest());
                assert_eq!(heard, said, "{text} in pieces of {size}");
            }
            assert_eq!(key.blotted_from(text.to_owned()), said);
        }
    }

    #[test]
    fn a_word_that_stands_for_a_key_is_no_secret_in_an_answer() {
        let key = ProviderKey::parse("ollama").unwrap();
        assert_eq!(key.blotted_from("ask ollama".to_owned()), "ask ollama");
        assert_eq!(Blotting::of(Some(key)).piece("ollam"), "ollam");
    }
}
