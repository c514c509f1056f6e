//! A goal as a row of tokens: words, quoted texts and the punctuation between clauses.
//!
//! Promises: linear in the goal's length; every character of the goal belongs to a token or
//! is white space, so that nothing can be skipped; unclosed quotes and characters that a
//! reader cannot see are refused.

use super::NotUnderstood;

/// A goal has at most this many bytes; a longer one is no goal of tools only.
pub(super) const MAX_GOAL_BYTES: usize = 8 * 1024;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A run of characters without white space; escaped spaces belong to it.
    Word,
    /// What stood between quotes.
    Quoted,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `.`, `?`, `!` or `:` after a word.
    Stop,
    /// The end of a line.
    Newline,
}

/// One token and where it stands in the goal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// The text, without quotes and with escapes undone.
    pub(super) text: String,
    /// The text in lower-case ASCII, for looking words up.
    pub(super) lower: String,
    /// The first byte in the goal, with the quote.
    pub(super) start: usize,
    /// One past the last byte in the goal, with the quote.
    pub(super) end: usize,
}

/// Cuts `goal` into tokens.
pub(super) fn tokens(goal: &str) -> Result<Vec<Token>, NotUnderstood> {
    if goal.len() > MAX_GOAL_BYTES {
        return Err(NotUnderstood::TooLong { bytes: goal.len() });
    }
    if let Some(unseen) = goal.chars().find(|c| is_unseen(*c)) {
        return Err(NotUnderstood::UnseenCharacter(unseen));
    }
    let chars: Vec<(usize, char)> = goal.char_indices().collect();
    let mut reader = Reader { goal, chars: &chars, at: 0, tokens: Vec::new() };
    while let Some(&(_, c)) = reader.chars.get(reader.at) {
        match c {
            '\n' => reader.mark(Kind::Newline),
            c if c.is_whitespace() => reader.at += 1,
            ',' => reader.mark(Kind::Comma),
            ';' => reader.mark(Kind::Semicolon),
            c => match closing(c) {
                Some(close) => reader.quoted(close)?,
                None => reader.word(),
            },
        }
    }
    Ok(reader.tokens)
}

/// Control characters, and those that change how a text looks without being seen.
fn is_unseen(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn closing(open: char) -> Option<char> {
    match open {
        '\'' | '"' | '`' => Some(open),
        '“' => Some('”'),
        '‘' => Some('’'),
        '«' => Some('»'),
        _ => None,
    }
}

fn is_stop(c: char) -> bool {
    matches!(c, '.' | '?' | '!' | ':')
}

struct Reader<'g> {
    goal: &'g str,
    chars: &'g [(usize, char)],
    at: usize,
    tokens: Vec<Token>,
}

impl Reader<'_> {
    fn byte(&self, at: usize) -> usize {
        self.chars.get(at).map_or(self.goal.len(), |(byte, _)| *byte)
    }

    fn push(&mut self, kind: Kind, text: String, from: usize) {
        let (start, end) = (self.byte(from), self.byte(self.at));
        let lower = text.replace('’', "'").to_ascii_lowercase();
        self.tokens.push(Token { kind, text, lower, start, end });
    }

    fn mark(&mut self, kind: Kind) {
        let from = self.at;
        self.at += 1;
        self.push(kind, self.chars[from].1.to_string(), from);
    }

    /// A quote closes before white space, punctuation or the end, so that `'it's'` is whole.
    fn quoted(&mut self, close: char) -> Result<(), NotUnderstood> {
        let from = self.at;
        let mut text = String::new();
        self.at += 1;
        while let Some(&(_, c)) = self.chars.get(self.at) {
            self.at += 1;
            let next = self.chars.get(self.at).map(|(_, c)| *c);
            let ends = next.is_none_or(|n| n.is_whitespace() || matches!(n, ',' | ';') || is_stop(n));
            match c {
                '\\' if next == Some(close) || next == Some('\\') => {
                    text.extend(next);
                    self.at += 1;
                }
                c if c == close && ends => {
                    self.push(Kind::Quoted, text, from);
                    self.stops();
                    return Ok(());
                }
                c => text.push(c),
            }
        }
        let open = self.goal[self.byte(from)..].chars().take(40).collect();
        Err(NotUnderstood::UnclosedQuote { from: open })
    }

    /// Whether the quote that stands here is closed further on in the same line.
    fn closes(&self, quote: char) -> bool {
        let behind = self.chars.get(self.at + 1..).unwrap_or_default().iter().map(|(_, c)| *c);
        behind.take_while(|c| *c != '\n').any(|c| c == quote)
    }

    /// Punctuation right after a word or a quote.
    fn stops(&mut self) {
        while self.chars.get(self.at).is_some_and(|(_, c)| is_stop(*c)) {
            self.mark(Kind::Stop);
        }
    }

    /// The digits of `1,000` with the commas between its groups, which part no words; else nothing is taken.
    fn grouped_digits(&mut self) -> String {
        let ahead = || self.chars.get(self.at..).unwrap_or_default().iter().map(|(_, c)| *c);
        let taken = ahead().take_while(|c| c.is_ascii_digit() || *c == ',').count();
        let written: String = ahead().take(taken).collect();
        let number = written.trim_end_matches(',');
        let (first, others) = number.split_once(',').unwrap_or((number, ""));
        if !(1..=3).contains(&first.len()) || !others.split(',').all(|group| group.len() == 3) {
            return String::new();
        }
        self.at += number.len();
        number.to_owned()
    }

    fn word(&mut self) {
        let from = self.at;
        let mut text = self.grouped_digits();
        // One past the last escaped character: what was escaped is never punctuation.
        let mut fixed = 0;
        while let Some(&(_, c)) = self.chars.get(self.at) {
            let next = self.chars.get(self.at + 1).map(|(_, c)| *c);
            match (c, next) {
                ('\\', Some(escaped)) if escaped != '\n' => {
                    text.push(escaped);
                    self.at += 2;
                    fixed = text.len();
                }
                (c, _) if c.is_whitespace() => break,
                (',' | ';', _) if !is_url(&text) => break,
                (',' | ';', None) => break,
                (',' | ';', Some(n)) if n.is_whitespace() => break,
                ('\'' | '"', _) if takes_value(&text) && self.closes(c) => {
                    self.at += 1;
                    while let Some(&(_, inner)) = self.chars.get(self.at).filter(|(_, inner)| *inner != c) {
                        text.push(inner);
                        self.at += 1;
                    }
                    self.at += 1;
                    fixed = text.len();
                }
                (c, _) => {
                    text.push(c);
                    self.at += 1;
                }
            }
        }
        let kept = text.trim_end_matches(is_stop);
        let dots = text.strip_prefix(kept).unwrap_or_default();
        // `.`, `..` and `/a/..` end in dots that are theirs; the one of `/a/.` may end a sentence.
        let own = match (kept.is_empty(), kept.ends_with('/')) {
            (true, _) | (_, true) if dots.starts_with("..") => 2,
            (true, _) if dots.starts_with('.') => 1,
            (_, _) => 0,
        };
        let kept = (kept.len() + own).max(fixed);
        let stops = text[kept..].chars().count();
        text.truncate(kept);
        self.at -= stops;
        if text.is_empty() {
            self.stops()
        } else {
            self.push(Kind::Word, text, from)
        }
        self.stops();
    }
}

/// Whether a quote behind this opens the value of an option: `-d' '`, `--include='*.rs'`.
fn takes_value(word: &str) -> bool {
    let letter = |word: &str| word.len() == 1 && word.bytes().all(|b| b.is_ascii_alphabetic());
    let long = word.starts_with("--") && word.ends_with('=');
    long || word.strip_prefix('-').is_some_and(letter)
}

/// Whether a word is, or begins as, a URL: the schemes that people write.
pub(super) fn is_url(word: &str) -> bool {
    let scheme = word.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(goal: &str) -> String {
        let tokens = tokens(goal).unwrap();
        let shown = tokens.iter().map(|t| match t.kind {
            Kind::Word => t.text.clone(),
            Kind::Quoted => format!("<{}>", t.text),
            Kind::Comma | Kind::Semicolon | Kind::Stop => format!("({})", t.text),
            Kind::Newline => "(nl)".into(),
        });
        shown.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn punctuation_parts_from_words_and_not_from_dots_of_paths() {
        assert_eq!(cut("List /tmp, then."), "List | /tmp | (,) | then | (.)");
        assert_eq!(cut("in . and .. and ~/a/.. ok?"), "in | . | and | .. | and | ~/a/.. | ok | (?)");
        assert_eq!(cut("/a,/b;/c ... ok"), "/a | (,) | /b | (;) | /c | .. | (.) | ok");
        assert_eq!(cut("https://x.org/a,b;c?d=1, ok"), "https://x.org/a,b;c?d=1 | (,) | ok");
        assert_eq!(
            cut("1,000 1,234,567KB, 1,2 12,3456 ,500"),
            "1,000 | 1,234,567KB | (,) | 1 | (,) | 2 | 12 | (,) | 3456 | (,) | 500"
        );
    }

    #[test]
    fn quotes_and_escapes_hold_a_path_together() {
        assert_eq!(cut(r"read /a\ b.txt"), "read | /a b.txt");
        assert_eq!(
            cut("read 'it's here.txt', `a b` “c d”."),
            "read | <it's here.txt> | (,) | <a b> | <c d> | (.)"
        );
        assert_eq!(cut(r#""say \"hi\" now""#), r#"<say "hi" now>"#);
        assert_eq!(cut("what's up"), "what's | up");
        assert_eq!(cut("cut -d' ' -f1 a.txt"), "cut | -d  | -f1 | a.txt");
        assert_eq!(cut(r#"sort -t"," --include='*.rs, x' a"#), "sort | -t, | --include=*.rs, x | a");
        assert_eq!(cut("the file -x's name"), "the | file | -x's | name");
    }

    #[test]
    fn what_cannot_be_seen_or_is_not_closed_is_refused() {
        assert!(matches!(tokens("read 'a b"), Err(NotUnderstood::UnclosedQuote { .. })));
        assert_eq!(tokens("a\u{0}b"), Err(NotUnderstood::UnseenCharacter('\u{0}')));
        assert_eq!(tokens("a\u{202e}b"), Err(NotUnderstood::UnseenCharacter('\u{202e}')));
        assert!(matches!(tokens(&"a ".repeat(10_000)), Err(NotUnderstood::TooLong { .. })));
    }
}
