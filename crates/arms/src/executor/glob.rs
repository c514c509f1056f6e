//! File-name patterns: `*`, `?`, `[abc]`, `[a-z]`, `[!a]`, `{a,b}`; matched against a whole name.

use crate::Undone;
use regex::bytes::{Regex, RegexBuilder};
use std::{ffi::OsStr, fmt::Write as _, os::unix::ffi::OsStrExt as _};

/// A pattern has at most this many bytes.
const PATTERN_BYTES: usize = 1024;

/// A compiled pattern. Matching takes time linear in the name.
pub(super) struct Glob(Regex);

impl Glob {
    pub(super) fn new(pattern: &str) -> Result<Self, Undone> {
        let bad = || Undone::for_good(format!("{:?} is not a file-name pattern", clip(pattern)));
        if pattern.len() > PATTERN_BYTES {
            return Err(bad());
        }
        RegexBuilder::new(&translated(pattern)).size_limit(1 << 20).build().map(Glob).map_err(|_| bad())
    }

    pub(super) fn of(pattern: Option<&str>) -> Result<Option<Self>, Undone> {
        pattern.map(Glob::new).transpose()
    }

    pub(super) fn fits(&self, name: &OsStr) -> bool {
        self.0.is_match(name.as_bytes())
    }
}

fn clip(pattern: &str) -> String {
    pattern.chars().take(80).collect()
}

fn translated(pattern: &str) -> String {
    format!("(?s)^{}$", part(pattern))
}

fn part(pattern: &str) -> String {
    let mut regex = String::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => regex.push_str("(?-u:.)*"),
            '?' => regex.push('.'),
            '[' => match class(rest.as_str()) {
                Some((class, after)) => {
                    regex.push_str(&class);
                    rest = after.chars();
                }
                None => regex.push_str("\\["),
            },
            '{' => match choice(rest.as_str()) {
                Some((choice, after)) => {
                    regex.push_str(&choice);
                    rest = after.chars();
                }
                None => regex.push_str("\\{"),
            },
            '\\' => regex.push_str(&regex::escape(rest.next().unwrap_or('\\').encode_utf8(&mut [0; 4]))),
            plain => regex.push_str(&regex::escape(plain.encode_utf8(&mut [0; 4]))),
        }
    }
    regex
}

/// The choice that `text` begins with, without its `{`, and what follows. As in a shell it is none without a comma.
fn choice(text: &str) -> Option<(String, &str)> {
    let (inner, after) = text.split_once('}')?;
    if !inner.contains(',') || inner.contains(['{', '\\', '[']) {
        return None;
    }
    let parts: Vec<String> = inner.split(',').map(part).collect();
    Some((format!("(?:{})", parts.join("|")), after))
}

/// The class that `text` begins with, without its `[`, as a regular expression, and what follows.
fn class(text: &str) -> Option<(String, &str)> {
    let (negated, inner) = match text.strip_prefix(['!', '^']) {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    // A `]` that comes first stands for itself.
    let end = inner.char_indices().skip(1).find(|(_, c)| *c == ']')?.0;
    let mut class = String::from(if negated { "[^" } else { "[" });
    for c in inner[..end].chars() {
        if c == '-' {
            class.push('-');
        } else {
            // Writing to a String cannot fail.
            let _ = write!(class, "\\x{{{:x}}}", u32::from(c));
        }
    }
    class.push(']');
    Some((class, &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_whole_names() {
        let check = |pattern: &str, fits: &[&str], not: &[&str]| {
            let glob = Glob::new(pattern).unwrap();
            fits.iter().for_each(|name| assert!(glob.fits(OsStr::new(name)), "{pattern} {name}"));
            not.iter().for_each(|name| assert!(!glob.fits(OsStr::new(name)), "{pattern} {name}"));
        };
        check("*.log", &["a.log", ".log", "a\nb.log"], &["a.logs", "alog"]);
        check("a?c", &["abc", "aäc"], &["ac", "abbc"]);
        check("[a-c]x[!0-9]", &["axy", "cxz"], &["dxy", "ax1"]);
        check("[]x]", &["]", "x"], &["["]);
        check("*.{py,r*}", &["a.py", "b.rs"], &["a.p", "py"]);
        check("a{b}{", &["a{b}{"], &["ab"]);
        check("\\{a,b}", &["{a,b}"], &["a"]);
        check("a[b", &["a[b"], &["ab"]);
        check("a+(b)", &["a+(b)"], &["aab"]);
        check("\\*", &["*"], &["a"]);
        assert!(Glob::new("[z-a]").is_err());
    }
}
