//! What a provider sends as text and is none: half a pair of UTF-16 escapes, bytes that are not UTF-8.
//!
//! Promises: such a place becomes U+FFFD and costs nothing else of the answer, so that its usage is still
//! read and nobody pays the worst case for a character; what is text stays byte for byte.

use std::borrow::Cow;

/// What stands in JSON for a character that is none.
const REPLACEMENT: &str = "\\ufffd";
/// The bytes of an escape such as `\ud83d`.
const ESCAPE: usize = 6;

/// Bytes as text.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// A JSON document in which each escape of a surrogate is one of a pair.
pub(crate) fn document(json: &str) -> Cow<'_, str> {
    let mut mended = String::new();
    let (mut taken, mut at) = (0, 0);
    // Backslashes stand only in strings, and each begins an escape.
    while let Some(found) = json[at..].find('\\') {
        at += found;
        at += match escaped(&json[at..]) {
            Some(0xD800..=0xDBFF) if matches!(escaped(&json[at + ESCAPE..]), Some(0xDC00..=0xDFFF)) => {
                2 * ESCAPE
            }
            Some(0xD800..=0xDFFF) => {
                mended.push_str(&json[taken..at]);
                mended.push_str(REPLACEMENT);
                taken = at + ESCAPE;
                ESCAPE
            }
            Some(_) => ESCAPE,
            // `\n`, `\\`, or nothing that JSON has.
            None => 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    if taken == 0 {
        return Cow::Borrowed(json);
    }
    mended.push_str(&json[taken..]);
    Cow::Owned(mended)
}

/// The unit of UTF-16 whose escape a text begins with.
fn escaped(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_a_pair_is_replaced_and_everything_else_stays() {
        let cases = [
            (r#""a\ud800b""#, "a\u{fffd}b"),
            (r#""\udc00""#, "\u{fffd}"),
            (r#""\uD83D\uDE00 \ud83d\ud83d\ude00""#, "\u{1f600} \u{fffd}\u{1f600}"),
            (r#""\ud83d\n\ude00""#, "\u{fffd}\n\u{fffd}"),
            // A backslash and five letters.
            (r#""\\ud800\\\ud800""#, "\\ud800\\\u{fffd}"),
            (r#""\u00e9é""#, "éé"),
        ];
        for (json, wanted) in cases {
            let read: String = serde_json::from_str(&document(json)).unwrap();
            assert_eq!(read, wanted, "{json}");
        }
    }

    proptest! {
        #[test]
        fn what_can_be_read_is_not_touched_and_mended_twice_is_mended_once(
            text: String, wild in r#"(\\|u|d8|D8|dc|00|3d|[a-f0-9]|"|é){0,40}"#,
        ) {
            let sound = serde_json::to_string(&text).unwrap();
            prop_assert!(matches!(document(&sound), Cow::Borrowed(same) if same == sound));
            let once = document(&wild).into_owned();
            let twice = document(&once).into_owned();
            prop_assert_eq!(twice, once);
        }
    }
}
