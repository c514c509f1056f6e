//! Characters that are there without being seen, or that make a text look like another one.
//!
//! Controls and marks of direction become visible as `<U+XXXX>`: a reader sees that something
//! was there. Between two characters that could be of one token they go, so that a token is whole
//! again before it is looked for. Sequences that style a terminal's text go whole. What has no
//! place of its own on paper (zero-width characters, variation selectors, tag characters,
//! fillers) is taken out: that is how text is hidden from people and told to models. Line ends of
//! every kind become `\n`. Letters of every script stay as they are.

use std::{borrow::Cow, ops::Range};

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
    match first_hidden(text) {
        None => Cow::Borrowed(text),
        Some(first) => Cow::Owned(cleaned(text, first, |_, _| {})),
    }
}

fn first_hidden(text: &str) -> Option<usize> {
    text.char_indices().find(|(_, c)| !matches!(fate(*c), Fate::Stays)).map(|(at, _)| at)
}

/// A text as [`neutralise`] gives it, that knows where each part of it stood.
pub(crate) struct SeenThrough<'t> {
    original: &'t str,
    pub(crate) text: String,
    /// From an offset here on, the bytes are those from an offset there on, up to the next pair.
    runs: Vec<(usize, usize)>,
}

impl<'t> SeenThrough<'t> {
    /// `None` where nothing is hidden.
    pub(crate) fn of(original: &'t str) -> Option<Self> {
        let first = first_hidden(original)?;
        let mut runs = vec![(0, 0)];
        let text = cleaned(original, first, |here, there| {
            let (began, stood) = runs[runs.len() - 1];
            if here - began != there - stood {
                runs.push((here, there));
            }
        });
        Some(SeenThrough { original, text, runs })
    }

    /// Where it stood: from the first character of it to the last, with what is hidden between them.
    pub(crate) fn stood(&self, here: Range<usize>) -> Range<usize> {
        let last = self.there(here.end.saturating_sub(1).max(here.start));
        self.there(here.start)..self.original.ceil_char_boundary(last + 1)
    }

    fn there(&self, here: usize) -> usize {
        let after = self.runs.partition_point(|(began, _)| *began <= here);
        let (began, stood) = self.runs[after - 1];
        // What is shown is longer than what it stands for.
        let end = self.runs.get(after).map_or(self.original.len(), |(_, stood)| *stood);
        self.original.floor_char_boundary((stood + here - began).min(end.saturating_sub(1)))
    }
}

/// The text from its `first` hidden character on made clean. `stands(here, there)` is told of each
/// character that is kept or shown: its place in the clean text, and in the other.
fn cleaned(text: &str, first: usize, mut stands: impl FnMut(usize, usize)) -> String {
    let mut clean = String::with_capacity(text.len());
    clean.push_str(&text[..first]);
    let mut rest = &text[first..];
    // What would be shown, if no token goes on behind it, and where it stood.
    let mut shown = Vec::new();
    while let Some(c) = rest.chars().next() {
        let at = text.len() - rest.len();
        let styling = styling(rest);
        if styling > 0 {
            rest = &rest[styling..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match fate(c) {
            Fate::Goes => {}
            Fate::IsShown => shown.push((at, c)),
            Fate::Stays => {
                show(&mut clean, &mut shown, Some(c), &mut stands);
                stands(clean.len(), at);
                clean.push(c);
            }
            Fate::EndsALine => {
                show(&mut clean, &mut shown, None, &mut stands);
                stands(clean.len(), at);
                clean.push('\n');
                if c == '\r' {
                    rest = rest.strip_prefix('\n').unwrap_or(rest);
                }
            }
        }
    }
    show(&mut clean, &mut shown, None, &mut stands);
    clean
}

/// Shows the characters, or lets them go where they stand inside what could be a token.
fn show(
    clean: &mut String,
    shown: &mut Vec<(usize, char)>,
    next: Option<char>,
    stands: &mut impl FnMut(usize, usize),
) {
    let of_token =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '+' | '/' | '=');
    let inside = clean.chars().next_back().is_some_and(of_token) && next.is_some_and(of_token);
    for (at, c) in shown.drain(..).filter(|_| !inside) {
        stands(clean.len(), at);
        clean.push_str(&format!("<U+{:04X}>", u32::from(c)));
        // It is longer here than there.
        stands(clean.len(), at + c.len_utf8());
    }
}

/// The length of the sequence for a terminal that the text begins with; 0 where it begins with
/// none, or with one that does not end as it should.
fn styling(text: &str) -> usize {
    let bytes = text.as_bytes();
    // The introducer is one character, or an escape and a letter.
    let (kind, body) = match bytes {
        [0x1b, kind, ..] => (*kind, 2),
        [0xc2, kind @ 0x80..=0x9f, ..] => (kind - 0x40, 2),
        _ => return 0,
    };
    let count = |from: usize, of: std::ops::RangeInclusive<u8>| {
        bytes[from..].iter().take_while(|b| of.contains(*b)).count()
    };
    let ends = |at: usize, of: std::ops::RangeInclusive<u8>| match bytes.get(at) {
        Some(b) if of.contains(b) => at + 1,
        Some(_) | None => 0,
    };
    match kind {
        b'[' => {
            let parameters = body + count(body, 0x30..=0x3f);
            ends(parameters + count(parameters, 0x20..=0x2f), 0x40..=0x7e)
        }
        // A string: it holds no control but that which ends it.
        b']' | b'P' | b'X' | b'^' | b'_' => {
            let end = text[body..].find(char::is_control).map_or(text.len(), |at| body + at);
            let ended = |mark: &str| text[end..].starts_with(mark).then(|| end + mark.len());
            ended("\u{7}").or_else(|| ended("\u{1b}\\")).or_else(|| ended("\u{9c}")).unwrap_or(0)
        }
        _ if bytes[0] != 0x1b => 0,
        b' '..=b'/' => {
            let last = 1 + count(1, 0x20..=0x2f);
            ends(last, 0x30..=0x7e)
        }
        b'7' | b'8' | b'=' | b'>' | b'c' | b'D' | b'E' | b'H' | b'M' | b'N' | b'O' | b'Z' | b'\\' => body,
        _ => 0,
    }
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
            ("x\u{202e}y\u{2069}", "xy<U+2069>"),
            ("x \u{202e}y\u{2069}", "x <U+202E>y<U+2069>"),
            ("\u{1b}[31mred\0\u{7f}\u{9b}", "red<U+0000><U+007F><U+009B>"),
            ("ghp_\u{1b}[m\u{1b}[Ka\u{1}B\0\u{202e}\u{200b}3\u{1b}(B\u{1b}[0;1mx\u{9b}1my", "ghp_aB3xy"),
            ("a\u{1b}]8;;http://x/\u{7}b\u{1b}]8;;\u{1b}\\c\u{1b}7d\u{9d}0;t\u{9c}e", "abcde"),
            ("(\u{1b}]0;no end\nx \u{1b}[1;2", "(<U+001B>]0;no end\nx <U+001B>[1;2"),
            ("a\u{1b}\u{1b}[mb\u{1b}", "ab<U+001B>"),
            ("a\r\nb\rc\u{2028}d\r\r\n", "a\nb\nc\nd\n\n"),
            ("Grüße, 世界 — naïve\t✓\n", "Grüße, 世界 — naïve\t✓\n"),
        ] {
            assert_eq!(neutralise(text), clean);
        }
        assert!(matches!(neutralise("plain\n"), Cow::Borrowed(_)));
        assert!(hides(&tagged) && !hides("a\r\nb"));
    }

    #[test]
    fn what_is_seen_through_is_found_again_where_it_stood() {
        for (text, what, stood) in [
            ("x\u{200b}ab\u{feff}cd\u{200b} y", "abcd", "ab\u{feff}cd"),
            ("é \u{202e} a\u{1b}[mb\u{1b}[m.", "ab", "a\u{1b}[mb"),
            ("(\u{202e})", "U+20", "\u{202e}"),
            ("a\r\nb\u{ad}", "a\nb", "a\r\nb"),
        ] {
            let through = SeenThrough::of(text).unwrap();
            let at = through.text.find(what).unwrap();
            assert_eq!(&text[through.stood(at..at + what.len())], stood, "{text:?}");
        }
        assert!(SeenThrough::of("plain\n").is_none());
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
        fn twice_is_once(text in any::<String>(), odd in "[\\r\\n\u{200b}\u{202e}\u{e0041}\u{1b}\u{9b}\u{9c}\u{7}\\[\\]\\\\8m(a]{0,20}") {
            let text = format!("{text}{odd}");
            let once = neutralise(&text).into_owned();
            prop_assert_eq!(neutralise(&once), once.as_str());
            prop_assert!(!hides(&once));
            if let Some(through) = SeenThrough::of(&text) {
                prop_assert_eq!(&through.text, &once);
                for (at, c) in once.char_indices() {
                    let stood = &text[through.stood(at..at + c.len_utf8())];
                    prop_assert!(stood.starts_with(c) || c == '\n' || hides(stood), "{:?} {:?}", c, stood);
                }
            }
        }
    }
}
