//! What a reader of JSON or TOML says about a text, in the words of those who wrote it: its own are
//! Rust's names of types.

/// A text that was found is shown up to here.
const FOUND_CHARACTERS: usize = 100;

/// The message of a reader in plain words; `map` is what the text calls a group of fields, such as
/// "an object". What is plain already stays as it is.
#[must_use]
pub fn in_words(said: &str, map: &str) -> String {
    for (begin, plain) in [("unknown variant `", "unknown value"), ("unknown field `", "unknown field")] {
        let Some(rest) = said.strip_prefix(begin) else { continue };
        let end = ["`, expected ", "`, there are no "].iter().filter_map(|end| rest.rfind(end)).max();
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        return format!("{plain} `{}{rest}", shown(name));
    }
    if let Some(place) = said.strip_prefix("expected value") {
        return format!("a value is wanted{place}");
    }
    let (said, place) = said.split_at(place(said).unwrap_or(said.len()));
    // The reader's own words are about the escapes of UTF-16.
    if matches!(said, "lone leading surrogate in hex escape" | "unexpected end of hex escape") {
        return format!("one of \\ud800 to \\udfff stands without its other half: it is no character{place}");
    }
    let fault = ["invalid type: ", "invalid value: "].iter().find_map(|begin| said.strip_prefix(begin));
    if let Some((found, wanted)) = fault.and_then(|fault| fault.rsplit_once(", expected ")) {
        return format!("{} is wanted, not {}{place}", self::wanted(wanted, map), self::found(found, map));
    }
    // An array that was taken for the fields of an object, in their order, and did not suffice.
    match said.strip_prefix("invalid length ").and_then(|fault| fault.rsplit_once(", expected ")) {
        Some((_, wanted)) if wanted.starts_with("struct ") => format!("{map} is wanted, not an array{place}"),
        Some(_) | None => format!("{said}{place}"),
    }
}

/// Where ` at line N column M` begins, if the message ends so: the same words before may be what was read.
fn place(said: &str) -> Option<usize> {
    let at = said.rfind(" at line ")?;
    let (line, column) = said[at..].strip_prefix(" at line ")?.split_once(" column ")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(line) && is_number(column)).then_some(at)
}

fn found(found: &str, map: &str) -> String {
    let quoted = found.split_once('`').map(|(_, rest)| rest.trim_end_matches('`'));
    match (found.split([' ', '`']).next(), quoted) {
        (Some("integer" | "floating"), Some(number)) => format!("the number {number}"),
        (Some("boolean"), Some(value)) => value.to_owned(),
        (Some("map"), _) => map.to_owned(),
        (Some("sequence"), _) => "an array".to_owned(),
        (Some("null" | "unit"), _) => "null".to_owned(),
        (Some("string"), _) => {
            let text = found.strip_prefix("string ").unwrap_or(found);
            format!("the text {}", shown(text))
        }
        _ => found.to_owned(),
    }
}

fn shown(text: &str) -> String {
    let shown: String = text.chars().take(FOUND_CHARACTERS).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown}{more}")
}

fn wanted(wanted: &str, map: &str) -> String {
    let whole = |least: &str, most: &str| format!("a whole number from {least} to {most}");
    match wanted {
        "a string" | "string" | "a borrowed string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => map.to_owned(),
        "string or map" => format!("a text or {map}"),
        "u8" => whole("0", &u8::MAX.to_string()),
        "u16" => whole("0", &u16::MAX.to_string()),
        "u32" => whole("0", &u32::MAX.to_string()),
        "u64" | "usize" => whole("0", &u64::MAX.to_string()),
        "i32" => whole(&i32::MIN.to_string(), &i32::MAX.to_string()),
        "i64" => whole(&i64::MIN.to_string(), &i64::MAX.to_string()),
        "f64" | "f32" => "a number".to_owned(),
        named if named.starts_with("struct ") || named.starts_with("internally tagged enum ") => {
            map.to_owned()
        }
        plain => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Whole {
        _part: Part,
        _words: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    struct Part {
        _count: Option<u32>,
        _whether: Option<bool>,
        _kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Small,
    }

    /// No name of ours and no word of the reader's is told.
    #[test]
    fn what_a_reader_says_is_told_in_plain_words() {
        for (json, told) in [
            ("[]", "an object is wanted, not an array at line 1 column 2"),
            ("7", "an object is wanted, not the number 7 at line 1 column 1"),
            (
                r#"{"_part":"x, expected y"}"#,
                r#"an object is wanted, not the text "x, expected y" at line 1 column 24"#,
            ),
            (r#"{"_part":{},"_words":{}}"#, "an array is wanted, not an object at line 1 column 21"),
            (r#"{"_part":{},"_words":[null]}"#, "a text is wanted, not null at line 1 column 26"),
            (
                r#"{"_part":{"_count":-1}}"#,
                "a whole number from 0 to 4294967295 is wanted, not the number -1 at line 1 column 21",
            ),
            (
                r#"{"_part":{"_count":1.5}}"#,
                "a whole number from 0 to 4294967295 is wanted, not the number 1.5 at line 1 column 22",
            ),
            (
                r#"{"_part":{"_whether":"yes"}}"#,
                r#"true or false is wanted, not the text "yes" at line 1 column 26"#,
            ),
            (
                r#"{"_part":{"_count":true}}"#,
                "a whole number from 0 to 4294967295 is wanted, not true at line 1 column 23",
            ),
            (r#"{"_part":{"_kind":"large"}}"#, "unknown value `large`, expected `small` at line 1 column 25"),
            (
                r#"{"_part":"\ud800"}"#,
                r"one of \ud800 to \udfff stands without its other half: it is no character at line 1 column 17",
            ),
            (
                r#"{"_part":"\udc00 "}"#,
                r"one of \ud800 to \udfff stands without its other half: it is no character at line 1 column 16",
            ),
            ("x", "a value is wanted at line 1 column 1"),
            ("{}", "missing field `_part` at line 1 column 2"),
        ] {
            let said = serde_json::from_str::<Whole>(json).unwrap_err().to_string();
            assert_eq!(in_words(&said, "an object"), told, "{said}");
        }
    }

    /// A text that speaks of a line is what was found, with a place behind it and without one.
    #[test]
    fn what_was_read_is_no_place() {
        let told = "a whole number from 0 to 4294967295 is wanted, not the text ";
        for text in ["\"fails at line 3\"", "\"fails at line 3 column 4\"", "\" at line \""] {
            let json = format!("{{\"_part\":{{\"_count\":{text}}}}}");
            let said = serde_json::from_str::<Whole>(&json).unwrap_err().to_string();
            let place = format!(" at line 1 column {}", json.len() - 2);
            assert_eq!(in_words(&said, "an object"), format!("{told}{text}{place}"), "{said}");
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            let said = serde_json::from_value::<Whole>(value).unwrap_err().to_string();
            assert_eq!(in_words(&said, "an object"), format!("{told}{text}"), "{said}");
        }
    }

    #[test]
    fn a_long_text_is_not_told_whole() {
        let long = "x".repeat(1000);
        for json in [format!("\"{long}\""), format!("{{\"_part\":{{\"_kind\":\"{long}\"}}}}")] {
            let said = serde_json::from_str::<Whole>(&json).unwrap_err().to_string();
            assert!(in_words(&said, "an object").len() < 200, "{said}");
        }
        let said = format!("unknown field `{long}`, expected one of `a`, `b` at line 1 column 4");
        let told = format!("unknown field `{}…`, expected one of `a`, `b` at line 1 column 4", &long[..100]);
        assert_eq!(in_words(&said, "an object"), told);
    }
}
