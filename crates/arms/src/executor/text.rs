//! Text for people: names and sizes that cannot mislead, and sheets that cannot grow for ever.

use super::outcome::Content;
use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

/// The most text that one tool makes; what comes after is counted.
pub(super) const SHEET_BYTES: usize = 16 << 20;

/// A name as text: bytes that are not UTF-8 become U+FFFD; control characters and those that
/// turn the direction of writing are written as escapes, so that no name can forge a line, and a backslash
/// is doubled, so that none can look like an escape.
pub(super) fn shown(name: &OsStr) -> String {
    escaped(name.as_bytes(), |c| c == '\\' || is_unsafe(c))
}

/// A line of a file as text: as it stands, but for what could forge another.
pub(super) fn shown_line(line: &[u8]) -> String {
    escaped(line, |c| c != '\t' && is_unsafe(c))
}

fn escaped(bytes: &[u8], escapes: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for c in String::from_utf8_lossy(bytes).chars() {
        if escapes(c) {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A path as text; see [`shown`].
pub(super) fn shown_path(path: &Path) -> String {
    shown(path.as_os_str())
}

/// Begins a path whose bytes are not UTF-8 (RFC 8089).
const ESCAPED: &str = "file:";

/// A path for the next step, which must name the same file: one that is not UTF-8 becomes a `file:` URL.
pub(super) fn exact(path: &Path) -> String {
    if let Some(text) = path.to_str() {
        // A name of its own, and no URL.
        return if text.starts_with(ESCAPED) { format!("./{text}") } else { text.to_owned() };
    }
    let mut url = String::from(ESCAPED);
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(byte) {
            url.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

/// The path that [`exact`] has written.
pub(super) fn from_exact(text: &str) -> PathBuf {
    let bytes = text.strip_prefix(ESCAPED).and_then(unescaped);
    // What is UTF-8 is never escaped: that is a name of its own.
    match bytes.filter(|bytes| std::str::from_utf8(bytes).is_err()) {
        Some(bytes) => PathBuf::from(OsString::from_vec(bytes)),
        None => {
            let name = text.strip_prefix("./").filter(|name| name.starts_with(ESCAPED));
            PathBuf::from(name.unwrap_or(text))
        }
    }
}

fn unescaped(url: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(url.len());
    let mut rest = url;
    while let Some(at) = rest.find('%') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(rest.get(at + 1..at + 3)?, 16).ok()?);
        rest = &rest[at + 3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `2 files`.
pub(super) fn counted(number: u64, one: &str) -> String {
    let many = if let Some(stem) = one.strip_suffix('y') { format!("{stem}ies") } else { format!("{one}s") };
    format!("{} {}", grouped(number), if number == 1 { one } else { &many })
}

/// `1.2 MiB (1,234,567 bytes)`, `17 bytes`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let exact = counted(bytes, "byte");
    // The largest unit of which there is at least one; tenths, rounded down.
    let unit = UNITS.iter().zip(1..).take_while(|(_, power)| bytes >> (10 * power) > 0).last();
    match unit {
        None => exact,
        Some((unit, power)) => {
            let tenths = (u128::from(bytes) * 10) >> (10 * power);
            format!("{}.{} {unit} ({exact})", tenths / 10, tenths % 10)
        }
    }
}

/// Lines for people, up to a bound.
#[derive(Default)]
pub(super) struct Sheet {
    text: String,
    omitted: u64,
}

impl Sheet {
    /// Adds a line, or counts it when the sheet is full.
    pub(super) fn line(&mut self, line: impl AsRef<str>) {
        let line = line.as_ref();
        if self.text.len() + line.len() >= SHEET_BYTES {
            self.omitted += 1;
            return;
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Ends what was found; what is added from here on is for people alone.
    pub(super) fn end(mut self) -> Remarked {
        let whole = self.omitted == 0;
        let found = self.text.len();
        if !whole {
            // Writing to a String cannot fail.
            let _ = writeln!(self.text, "({} left out)", counted(self.omitted, "more line"));
        }
        Remarked { text: self.text, found, whole }
    }
}

/// What was found, and remarks for people behind it: a later step must not count or search
/// those (P10).
pub(super) struct Remarked {
    text: String,
    found: usize,
    whole: bool,
}

impl Remarked {
    pub(super) fn remark(&mut self, remark: impl AsRef<str>) {
        self.text.push_str(remark.as_ref());
        self.text.push('\n');
    }

    pub(super) fn remarks(&mut self, remarks: &[String]) {
        remarks.iter().for_each(|remark| self.remark(remark));
    }

    /// Something that was asked for is not among what was found.
    pub(super) fn not_whole(&mut self) {
        self.whole = false;
    }

    /// The text for people, and what a later step works on.
    pub(super) fn finish(self) -> (String, Content) {
        let body =
            if self.whole { Content::Only(self.text[..self.found].to_owned()) } else { Content::Partial };
        (self.text, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_can_forge_a_line_or_turn_the_writing_around() {
        let check = |name: &[u8], wanted| assert_eq!(shown(OsStr::from_bytes(name)), wanted);
        check(b"plain \xc3\xa4", "plain ä");
        check(b"a\nb\x1b[31m", r"a\nb\u{1b}[31m");
        check(b"x\xff", "x\u{fffd}");
        check("\u{202e}txt".as_bytes(), r"\u{202e}txt");
        check(br"a\nb", r"a\\nb");
        assert_eq!(shown_line(b"a\tb\\t\x1b"), "a\tb\\t\\u{1b}", "a line stands as it is");
    }

    #[test]
    fn a_path_is_handed_on_as_the_same_path() {
        for path in [&b"/a/b c"[..], b"/a/%41", b"/a/\xff %41", b"sub/\xc3", b"file:%41", b"file:%FF"] {
            let path = Path::new(OsStr::from_bytes(path));
            assert_eq!(from_exact(&exact(path)), path, "{}", exact(path));
        }
        assert_eq!(exact(Path::new(OsStr::from_bytes(b"/a/\xff %"))), "file:/a/%FF%20%25");
        assert_eq!(from_exact("file:%zz"), Path::new("file:%zz"));
    }

    #[test]
    fn sizes_are_human_and_exact() {
        let check = |bytes, wanted| assert_eq!(size(bytes), wanted);
        check(0, "0 bytes");
        check(1, "1 byte");
        check(1023, "1,023 bytes");
        check(1024, "1.0 KiB (1,024 bytes)");
        check(1_234_567, "1.1 MiB (1,234,567 bytes)");
        check(u64::MAX, "15.9 EiB (18,446,744,073,709,551,615 bytes)");
        assert_eq!(counted(2, "entry"), "2 entries");
    }
}
