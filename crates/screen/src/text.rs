//! Characters that are there without being seen, or that make a text look like another one.
//!
//! Controls and marks of direction become visible as `<U+XXXX>`: a reader sees that something
//! was there. What has no place of its own on paper (zero-width characters, variation selectors,
//! tag characters, fillers) is taken out: that is how text is hidden from people and told to
//! models. Line ends of every kind become `\n`. Letters of every script stay as they are.

use std::borrow::Cow;

/// What becomes of a character.
enum Fate {
    Stays,
    Goes,
    IsShown,
    EndsALine,
}

/// The text without anything hidden. Done twice it changes nothing more.
#[must_use]
pub fn neutralise(text: &str) -> Cow<'_, str> {
    let Some((first, _)) = text.char_indices().find(|(_, c)| !matches!(fate(*c), Fate::Stays)) else {
        return Cow::Borrowed(text);
    };
    let mut clean = String::with_capacity(text.len());
    clean.push_str(&text[..first]);
    let mut rest = text[first..].chars().peekable();
    while let Some(c) = rest.next() {
        match fate(c) {
            Fate::Stays => clean.push(c),
            Fate::Goes => {}
            Fate::IsShown => clean.push_str(&format!("<U+{:04X}>", u32::from(c))),
            Fate::EndsALine => {
                clean.push('\n');
                if c == '\r' && rest.peek() == Some(&'\n') {
                    rest.next();
                }
            }
        }
    }
    Cow::Owned(clean)
}

/// Whether a text holds characters that are hidden: those that [`neutralise`] takes out or shows.
#[must_use]
pub fn hides(text: &str) -> bool {
    text.chars().any(|c| matches!(fate(c), Fate::Goes | Fate::IsShown))
}

fn fate(c: char) -> Fate {
    match c {
        '\n' | '\t' | ' '..='~' => Fate::Stays,
        '\r' | '\u{2028}' | '\u{2029}' => Fate::EndsALine,
        // C0, DEL and C1.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Fate::IsShown,
        // Marks of direction: embeddings, overrides, isolates, and the plain ones.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Fate::IsShown
        }
        // Soft hyphen, grapheme joiner, fillers, vowel inherents, Mongolian separators.
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        // Zero width; invisible operators and deprecated format characters.
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        // Variation selectors and their supplement; musical controls; shorthand controls.
        | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{1bca0}'..='\u{1bca3}'
        // Tags, and the rest of their plane that Unicode keeps to be ignored.
        | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}' => Fate::Goes,
        _ => Fate::Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_hidden_goes_or_is_shown() {
        let tagged: String = "hi".chars().chain("IGNORE".chars().map(tag)).collect();
        for (text, clean) in [
            (tagged.as_str(), "hi"),
            ("a\u{200b}b\u{feff}c\u{fe0f}\u{e0101}", "abc"),
            ("x\u{202e}y\u{2069}", "x<U+202E>y<U+2069>"),
            ("\u{1b}[31mred\0\u{7f}\u{9b}", "<U+001B>[31mred<U+0000><U+007F><U+009B>"),
            ("a\r\nb\rc\u{2028}d\r\r\n", "a\nb\nc\nd\n\n"),
            ("Grüße, 世界 — naïve\t✓\n", "Grüße, 世界 — naïve\t✓\n"),
        ] {
            assert_eq!(neutralise(text), clean);
        }
        assert!(matches!(neutralise("plain\n"), Cow::Borrowed(_)));
        assert!(hides(&tagged) && !hides("a\r\nb"));
    }

    fn tag(c: char) -> char {
        char::from_u32(0xe0000 + u32::from(c)).unwrap()
    }

    /// Every character there is, not a sample: none is left that has another fate than to stay.
    #[test]
    fn nothing_hidden_is_left_of_any_character() {
        for c in '\0'..=char::MAX {
            let once = neutralise(c.encode_utf8(&mut [0; 4])).into_owned();
            assert_eq!(neutralise(&once), once, "U+{:04X}", u32::from(c));
        }
    }

    proptest! {
        #[test]
        fn twice_is_once(text in any::<String>(), odd in "[\\r\\n\u{200b}\u{202e}\u{e0041}a]{0,20}") {
            let text = format!("{text}{odd}");
            let once = neutralise(&text).into_owned();
            prop_assert_eq!(neutralise(&once), once.as_str());
            prop_assert!(!hides(&once));
        }
    }
}
