//! How far the bodies of secrets reach. Each takes time linear in what it finds, or is bounded.

use super::shapes::Class::{self, Capital, Url};
use std::{cell::Cell, ops::Range};

/// How many characters of a class follow.
pub(super) fn length(bytes: &[u8], from: usize, of: Class) -> usize {
    bytes[from.min(bytes.len())..].iter().take_while(|b| of.has(**b)).count()
}

/// A header or payload has at least so many characters.
const JWT_PART_LEAST: usize = 10;

/// The end of a token that begins at `at`: header, payload and signature. The signature may be
/// missing, its dot not.
pub(super) fn jwt(bytes: &[u8], at: usize) -> Option<usize> {
    let header = length(bytes, at, Url);
    if header >= JWT_PART_LEAST { jwt_behind(bytes, at + header) } else { None }
}

/// What is known of the header that was looked at last: where it is, and whether a payload
/// follows. All tokens that may begin in one run of characters go on behind the same dot, which is
/// looked for once.
#[derive(Default)]
pub(super) struct Headers(Cell<Option<(usize, usize, bool)>>);

impl Headers {
    /// Whether a token begins at `at`.
    pub(super) fn begins_token(&self, bytes: &[u8], at: usize) -> bool {
        let known = self.0.get().filter(|(start, end, _)| (*start..*end).contains(&at));
        let (_, end, goes_on) = known.unwrap_or_else(|| {
            let end = at + length(bytes, at, Url);
            (at, end, jwt_behind(bytes, end).is_some())
        });
        if known.is_none() {
            self.0.set(Some((at, end, goes_on)));
        }
        goes_on && end - at >= JWT_PART_LEAST
    }
}

/// The end of a token whose header ends at `at`.
fn jwt_behind(bytes: &[u8], at: usize) -> Option<usize> {
    let dot = |at: usize| (bytes.get(at) == Some(&b'.')).then_some(at + 1);
    let payload_at = dot(at)?;
    let payload = length(bytes, payload_at, Url);
    let signature_at = dot(payload_at + payload).filter(|_| payload >= JWT_PART_LEAST)?;
    Some(signature_at + length(bytes, signature_at, Url))
}

const LABEL_MAX: usize = 64;

/// Where the label that begins at `from` ends.
fn label(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let length = bytes[from..].iter().take(LABEL_MAX).position(|b| *b == b'-')?;
    Some(from..from + length)
}

/// Whether the label that begins at `from` is a private key's. What is masked in a label makes it
/// shorter, and must not make it a label.
pub(super) fn is_private(text: &str, from: usize) -> bool {
    let label = label(text.as_bytes(), from).and_then(|label| text.get(label));
    label.is_some_and(|label| {
        label.contains("PRIVATE KEY") && label.bytes().all(|b| Capital.has(b) || b == b' ')
    })
}

/// The end of the block whose label begins at `from`. One that is cut off is secret to its end.
pub(super) fn pem(text: &str, from: usize) -> usize {
    const END: &str = "-----END ";
    text[from..].find(END).map_or(text.len(), |at| label_end(text.as_bytes(), from + at + END.len()))
}

/// The end of the dashes behind the label that begins at `from`.
pub(super) fn label_end(bytes: &[u8], from: usize) -> usize {
    let dashes = |at: usize| bytes[at..].iter().take(5).take_while(|b| **b == b'-').count();
    label(bytes, from).map_or(from, |label| label.end + dashes(label.end))
}

/// Where the key begins whose lines stand before `at`; nothing before `edge` is of it. The line
/// before the end may be short; those before that are long, or cut where the text begins.
pub(super) fn key_before(bytes: &[u8], at: usize, edge: usize) -> Option<usize> {
    const LAST_LEAST: usize = 4;
    const LINE_LEAST: usize = 20;
    let escaped = |at: usize| at >= edge + 2 && matches!(bytes[at - 2..at], [b'\\', b'n' | b'r']);
    let mut key = None;
    let mut line_end = at;
    loop {
        while line_end > edge && (bytes[line_end - 1].is_ascii_whitespace() || escaped(line_end)) {
            line_end -= if escaped(line_end) { 2 } else { 1 };
        }
        if key.is_none() && !bytes[line_end..at].iter().any(|b| matches!(b, b'\n' | b'\r' | b'\\')) {
            return None;
        }
        let of_key = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        let mut line = line_end - bytes[edge..line_end].iter().rev().take_while(of_key).count();
        if line < line_end && escaped(line + 1) {
            line += 1;
        }
        let least = if line == edge {
            1
        } else if key.is_none() {
            LAST_LEAST
        } else {
            LINE_LEAST
        };
        if line_end - line < least {
            return key;
        }
        key = Some(line);
        let blanks = bytes[edge..line].iter().rev().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let before = line - blanks;
        if before == edge || !(matches!(bytes[before - 1], b'\n' | b'\r') || escaped(before)) {
            return key;
        }
        line_end = before;
    }
}

/// Where the value of `name = "value"`, `name: value` or `"name":"value"` begins.
pub(super) fn value(bytes: &[u8], from: usize) -> Option<usize> {
    const BETWEEN_MAX: usize = 12;
    let between = |b: &&u8| matches!(b, b' ' | b'\t' | b'"' | b'\'' | b'\\' | b'=' | b':' | b'>' | b'`');
    let gap = bytes[from..].iter().take(BETWEEN_MAX).take_while(between).count();
    let assigns = bytes[from..from + gap].iter().any(|b| matches!(b, b'=' | b':'));
    assigns.then_some(from + gap)
}

/// The end of the user and password of a URL whose authority begins at `from`.
pub(super) fn user_info(bytes: &[u8], from: usize) -> Option<usize> {
    const PART_MAX: usize = 512;
    let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'/' | b'@' | b'"' | b'\'' | b'<' | b'>');
    let length = bytes[from..].iter().take(PART_MAX).take_while(|b| !ends(b)).count();
    let colon = bytes[from..from + length].iter().position(|b| *b == b':')?;
    let has_password = colon + 1 < length && bytes.get(from + length) == Some(&b'@');
    has_password.then_some(from + length)
}

/// The value that follows when `name=` begins at `from`.
fn pair(bytes: &[u8], from: usize) -> Option<usize> {
    const NAME_MAX: usize = 64;
    let of_name = |b: &&u8| Url.has(**b) || **b == b'.';
    let name = bytes[from..].iter().take(NAME_MAX).take_while(of_name).count();
    (name > 0 && bytes.get(from + name) == Some(&b'=')).then_some(from + name + 1)
}

/// Whether the pairs of a cookie header begin at `from`: the first has a value that is rather random than a
/// word or code.
pub(super) fn are_cookies(bytes: &[u8], from: usize) -> bool {
    const LEAST: usize = 16;
    const SEEN: usize = 128;
    let Some(value) = pair(bytes, from) else { return false };
    let seen = &bytes[..bytes.len().min(value + SEEN)];
    let text = &seen[value..password_end(seen, value)];
    // A mask has a bracket, so that what is masked once is not looked at again.
    let is_code = text.iter().any(|b| matches!(b, b'(' | b'[' | b'{' | b'$'));
    let has = |of: fn(&u8) -> bool| text.iter().any(of);
    text.len() >= LEAST && !is_code && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
}

/// The end of the pairs that begin at `from`.
pub(super) fn cookies_end(bytes: &[u8], from: usize) -> usize {
    let mut end = from;
    loop {
        end = password_end(bytes, end);
        if bytes.get(end) != Some(&b';') {
            return end;
        }
        let blank = usize::from(bytes.get(end + 1) == Some(&b' '));
        match pair(bytes, end + 1 + blank) {
            Some(value) => end = value,
            None => return end,
        }
    }
}

/// What ends a password in a text: it may hold nearly everything.
fn ends_password(b: u8) -> bool {
    b.is_ascii_whitespace()
        || b.is_ascii_control()
        || matches!(b, b'"' | b'\'' | b'`' | b'\\' | b'<' | b'>' | b',' | b';' | b')' | b']' | b'}')
}

/// The end of the password that begins at `from`.
pub(super) fn password_end(bytes: &[u8], from: usize) -> usize {
    from + bytes[from..].iter().take_while(|b| !ends_password(**b)).count()
}

/// Whether what stands at `value`, behind a name that ends at `name`, is rather a password than a
/// word, a number, a path or code: a letter and a digit close together, and twice so, or with a sign of those that
/// passwords are asked to have, where neither quotes nor a bare `=` say that it is a literal.
pub(super) fn is_password(bytes: &[u8], name: usize, value: usize) -> bool {
    const LEAST: usize = 8;
    const PIECE_LEAST: usize = 6;
    const SEEN: usize = 128;
    let seen = &bytes[..bytes.len().min(value + SEEN)];
    let end = password_end(seen, value);
    let text = &seen[value..end];
    let is_path = || matches!(text, [b'/' | b'~' | b'.' | b'$' | b'%' | b'@' | b'#', ..]);
    // A mask has a bracket, so that what is masked once is not looked at again.
    let is_code =
        || text.iter().any(|b| matches!(b, b'(' | b'[' | b'{')) || text.windows(2).any(|two| two == b"::");
    let quote = bytes[value - 1];
    let quoted = matches!(quote, b'"' | b'\'' | b'`');
    let closed = end == value + SEEN || bytes.get(end).is_none_or(|b| *b == quote || *b == b'\\');
    if text.len() < LEAST || is_path() || is_code() || (quoted && !closed) {
        return false;
    }
    let bare = || bytes[name..value] == *b"=" && !text.iter().any(|b| matches!(b, b'.' | b'_'));
    if has_a_sign(text) {
        return true;
    }
    let groups = if quoted || bare() { 1 } else { 2 };
    text.split(|b| !b.is_ascii_alphanumeric()).any(|piece| {
        let digits = piece.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
        let digits = digits.filter(|group| group[0].is_ascii_digit()).count();
        piece.len() >= PIECE_LEAST && digits >= groups && piece.iter().any(u8::is_ascii_alphabetic)
    })
}

/// Whether letters, a digit and a sign such as `!` stand together, as in no word, address or path. An `@` stands in
/// addresses, too, which have no capitals; in front, `&` and `*` are code, and `&name=` goes on with what is asked.
fn has_a_sign(text: &[u8]) -> bool {
    let asked = text.iter().position(|b| *b == b'&').filter(|at| text[*at..].contains(&b'='));
    let text = &text[..asked.unwrap_or(text.len())];
    if matches!(text, [b'&' | b'*', ..]) {
        return false;
    }
    let any = |is: fn(&u8) -> bool| text.iter().any(is);
    let sign = any(|b| matches!(b, b'!' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*'));
    let at = || any(|b| *b == b'@') && any(u8::is_ascii_uppercase) && any(u8::is_ascii_lowercase);
    let is_address = || text.windows(2).any(|two| two == b"//");
    any(u8::is_ascii_digit) && any(u8::is_ascii_alphabetic) && (sign || at()) && !is_address()
}
