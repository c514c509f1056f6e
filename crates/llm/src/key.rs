//! A provider's key: it does not print itself.

use octollm_screen::text::neutralise;
use reqwest::header::HeaderValue;

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
        neutralise(text).replace(&*self.0, "…")
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
}
