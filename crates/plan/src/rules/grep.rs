//! `grep -rn PATTERN PLACE`, as on a command line, and "grep for TODO in PLACE".
//!
//! Promises: a pattern means what it means to `grep`; an option that changes what is found is
//! honoured, and one that is not known here refuses the goal.

use super::bare::is_article;
use super::clause::Clause;
use super::cursor::Cursor;
use super::search::{self, Sought};
use super::token::{Kind, Token};

/// How a pattern is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// A basic regular expression.
    Basic,
    /// `-E`
    Extended,
    /// `-F`
    Fixed,
}

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(&["grep"])?;
    let (mut ignore_case, mut syntax) = (false, Syntax::Basic);
    while let Some(options) = c.word(is_known) {
        for option in options.text.chars() {
            match option {
                'i' => ignore_case = true,
                'E' => syntax = Syntax::Extended,
                'F' => syntax = Syntax::Fixed,
                // Folders are always searched below, and the numbers of lines are always given.
                _ => {}
            }
        }
    }
    let spoken = c.accept(&["for"]) || c.peek().is_some_and(|t| t.lower == "the");
    let mut sought = match c.attempt(|c| if spoken { search::marked(c) } else { None }) {
        Some(sought) => sought,
        None => {
            let quoted = c.take(|t| t.kind == Kind::Quoted);
            let token = quoted.or_else(|| c.word(|t| !is_article(t) && !t.text.starts_with('-')))?;
            let (pattern, regex) = match syntax {
                _ if spoken => (token.text.clone(), false),
                Syntax::Fixed => (token.text.clone(), false),
                Syntax::Extended => match extended(&token.text) {
                    Some(regex) => (regex, true),
                    None => return Some(Clause::Unclear(OTHER_PATTERN)),
                },
                Syntax::Basic => match basic(&token.text) {
                    Some(meant) => meant,
                    None => return Some(Clause::Unclear(OTHER_PATTERN)),
                },
            };
            Sought { regex, ..search::sought(&pattern, false)? }
        }
    };
    sought.ignore_case = ignore_case;
    search::case(c, &mut sought);
    c.accept(search::INSIDE);
    let of = search::place(c)?;
    search::finish(c, sought, of)
}

const OTHER_PATTERN: &str = "this pattern means something to grep that is not known here; \
                             say \"run `grep …`\", or \"find the lines matching the regex '…' in …\"";

/// `-rn`, of options that this file knows.
fn is_known(token: &Token) -> bool {
    is_option(&token.text)
}

pub(super) fn is_option(word: &str) -> bool {
    let options = word.strip_prefix('-').unwrap_or_default();
    !options.is_empty()
        && options.chars().all(|option| matches!(option, 'i' | 'E' | 'F' | 'r' | 'R' | 'n' | 'H'))
}

/// An extended regular expression, whose syntax is that of the `regex` crate but for what is left out here.
fn extended(pattern: &str) -> Option<String> {
    if pattern.starts_with(['*', '+', '?', '{'])
        || ["\\", "(?", "{,", "(*"].iter().any(|other| pattern.contains(other))
    {
        return None;
    }
    let (mut regex, mut rest) = (String::new(), pattern);
    while let Some(c) = rest.chars().next() {
        rest = rest.strip_prefix(c)?;
        match c {
            '[' => rest = class(rest, &mut regex)?,
            other => regex.push(other),
        }
    }
    Some(regex)
}

/// A class whose `[` has been read; what is behind it. Those that the `regex` crate reads in another way, with
/// escapes, classes within and operations on classes, are left out.
fn class<'p>(rest: &'p str, regex: &mut String) -> Option<&'p str> {
    let skipped = rest.len() - rest.trim_start_matches('^').len();
    // A `]` that comes first stands for itself.
    let end = rest.char_indices().skip(skipped + 1).find(|(_, c)| *c == ']')?.0;
    let inner = &rest[..end];
    if skipped > 1 || inner.contains(['[', '&', '~', ']', '\\']) || inner.contains("--") {
        return None;
    }
    regex.push('[');
    regex.push_str(inner);
    regex.push(']');
    Some(&rest[end + 1..])
}

/// A basic regular expression in the syntax of the `regex` crate, and whether it is more than a
/// plain text. The escapes of GNU `grep` are known that mean the same here; others are left out.
fn basic(pattern: &str) -> Option<(String, bool)> {
    if !pattern.contains(['.', '[', '*', '^', '$', '\\']) {
        return Some((pattern.to_owned(), false));
    }
    let mut regex = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = rest.strip_prefix(c)?;
        match c {
            '\\' => {
                let escaped = rest.chars().next()?;
                rest = rest.strip_prefix(escaped)?;
                match escaped {
                    // What repeats needs something before it.
                    '+' | '?' | '{' if begins(&regex) => return None,
                    '|' | '+' | '?' | '(' | ')' | '{' | '}' => regex.push(escaped),
                    '.' | '[' | ']' | '*' | '^' | '$' | '\\' => {
                        regex.push('\\');
                        regex.push(escaped);
                    }
                    '/' | '-' | '"' | '\'' => regex.push(escaped),
                    _ => return None,
                }
            }
            '[' => rest = class(rest, &mut regex)?,
            '^' if opens(&regex) => regex.push('^'),
            '$' if rest.is_empty() || rest.starts_with("\\|") || rest.starts_with("\\)") => regex.push('$'),
            '*' if !begins(&regex) => regex.push('*'),
            '.' => regex.push('.'),
            '^' | '$' | '*' | '+' | '?' | '(' | ')' | '{' | '}' | '|' | ']' => {
                regex.push('\\');
                regex.push(c);
            }
            plain => regex.push(plain),
        }
    }
    // `\\{,3\\}` is none of the `regex` crate.
    (!regex.contains("{,")).then_some((regex, true))
}

/// Whether a pattern or a branch of it begins here.
fn opens(regex: &str) -> bool {
    let escaped = regex.ends_with(r"\(") || regex.ends_with(r"\|");
    regex.is_empty() || (regex.ends_with(['(', '|']) && !escaped)
}

/// Whether nothing stands yet in a pattern or a branch of it that could be repeated.
fn begins(regex: &str) -> bool {
    opens(regex) || regex.strip_suffix('^').is_some_and(opens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basic_regular_expression_keeps_its_meaning() {
        let cases = [
            ("TODO(me)", Some(("TODO(me)", false))),
            ("^root", Some(("^root", true))),
            ("f(x).*", Some((r"f\(x\).*", true))),
            ("a^b$c$", Some((r"a\^b\$c$", true))),
            ("*a*", Some((r"\*a*", true))),
            ("^*", Some((r"^\*", true))),
            ("[^a-z]+", Some((r"[^a-z]\+", true))),
            ("[a", None),
            ("[]a]", None),
            ("[[:digit:]]", None),
            (r"a\|b", Some(("a|b", true))),
            (r"^\(a\|^b*\)\{2,3\}$", Some(("^(a|^b*){2,3}$", true))),
            (r"a\+\.\*", Some((r"a+\.\*", true))),
            (r"\(*a\)", Some((r"(\*a)", true))),
            (r"\+a", None),
            (r"\(a\)\1", None),
            (r"\ba", None),
        ];
        for (pattern, meant) in cases {
            assert_eq!(basic(pattern), meant.map(|(text, regex)| (text.to_owned(), regex)), "{pattern}");
        }
    }

    /// What the `regex` crate reads in another way than `grep` is refused.
    #[test]
    fn classes_and_groups_that_mean_something_else_here_are_left_out() {
        for pattern in [r"[\d]", "[+--]", "[a&&b]", "[[:digit:]]", "[]a]"] {
            assert_eq!((basic(pattern), extended(pattern)), (None, None), "{pattern}");
        }
        for pattern in ["(?i)a", r"\d", "a{,3}", "*a", "(*a)"] {
            assert_eq!(extended(pattern), None, "{pattern}");
        }
        assert_eq!(extended("^(a|b)+[0-9]{2}$").as_deref(), Some("^(a|b)+[0-9]{2}$"));
    }
}
