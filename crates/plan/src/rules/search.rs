//! "Search for 'x' in FILE", "find the lines that contain 'x' in FILE", `grep x FILE`.
//!
//! Promises: what is looked for is a text, never a thing: "find the bug in main.rs" is no
//! search. A bare word counts as a text only after "search for", and not when it is plural or
//! names what one would have to understand (bugs, meaning).

use super::clause::Clause;
use super::cursor::{Cursor, Table};
use super::named;
use super::token::{Kind, Token};
use super::whom::{self, Whom};
use super::words::SHOW;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sought {
    pub(super) pattern: String,
    pub(super) regex: bool,
    pub(super) ignore_case: bool,
}

pub(super) const SEARCH: &[&str] =
    &["search", "look", "grep", "scan", "search through", "look through", "scan through"];
const LINES: &[&str] = &[
    "lines",
    "line",
    "all lines",
    "the lines",
    "all the lines",
    "every line",
    "each line",
    "all of the lines",
    "any lines",
    "matches",
    "all matches",
    "occurrences",
    "all occurrences",
    "the occurrences",
    "every occurrence",
    "instances",
    "all instances",
    "mentions",
    "all mentions",
    "every mention",
    "all the occurrences",
];
pub(super) const HOLDING: &[&str] = &[
    "containing",
    "that contain",
    "which contain",
    "that contains",
    "contain",
    "contains",
    "with",
    "having",
    "that have",
    "that include",
    "which include",
    "including",
    "that mention",
    "mentioning",
    "matching",
    "that match",
    "which match",
];
pub(super) const TEXT: &Table<bool> = &[
    ("the text", false),
    ("the string", false),
    ("the word", false),
    ("the phrase", false),
    ("the term", false),
    ("the keyword", false),
    ("the exact text", false),
    ("text", false),
    ("string", false),
    ("word", false),
    ("phrase", false),
    ("the words", false),
    ("regex", true),
    ("the regex", true),
    ("the regexp", true),
    ("the regular expression", true),
    ("a regex", true),
    ("regular expression", true),
    ("the pattern", true),
];
pub(super) const CASE: &Table<bool> = &[
    ("ignoring case", true),
    ("ignore case", true),
    ("case-insensitive", true),
    ("case-insensitively", true),
    ("case insensitive", true),
    ("case insensitively", true),
    ("regardless of case", true),
    ("without regard to case", true),
    ("in any case", true),
    ("in upper or lower case", true),
    ("ignoring upper and lower case", true),
    ("case-sensitive", false),
    ("case-sensitively", false),
    ("case sensitive", false),
    ("respecting case", false),
];

/// Words that name a judgement rather than a text. A plural does, too.
const JUDGEMENTS: &[&str] = &[
    "bug",
    "issue",
    "problem",
    "vulnerability",
    "mistake",
    "typo",
    "duplicate",
    "secret",
    "malware",
    "virus",
    "leak",
    "flaw",
    "weakness",
    "clue",
    "answer",
    "information",
    "info",
    "data",
    "anything",
    "something",
    "everything",
    "nothing",
    "evidence",
    "meaning",
    "inspiration",
    "advice",
    "help",
    "me",
    "it",
    "them",
    "that",
    "this",
    "files",
    "folders",
    "file",
    "folder",
    "lines",
    "text",
    "any",
    "all",
    "the",
    "a",
    "an",
    "my",
    "new",
    "old",
    "code",
    "plagiarism",
    "trouble",
    "content",
    "stuff",
    "truth",
    "treasure",
    "love",
    "happiness",
    "life",
    "sensitive",
    "suspicious",
    "interesting",
    "unused",
    "dead",
    "what",
    "where",
    "who",
    "how",
    "why",
    "whatever",
    "corruption",
    "performance",
    "security",
    "quality",
    "syntax",
    "grammar",
    "spelling",
];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 5] =
        [text_first, place_first, lines, find_text, asked];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) = readings.max_by_key(|(after, _)| after.at())?;
    *c = after;
    Some(clause)
}

fn finish(c: &mut Cursor<'_>, mut sought: Sought, of: Whom) -> Option<Clause> {
    case(c, &mut sought);
    c.accept(&["recursively"]);
    case(c, &mut sought);
    Some(Clause::Search { sought, of })
}

fn case(c: &mut Cursor<'_>, sought: &mut Sought) {
    let found = c.attempt(|c| {
        c.punctuation(Kind::Comma);
        c.choose(CASE)
    });
    sought.ignore_case |= found.unwrap_or(false);
}

fn place(c: &mut Cursor<'_>) -> Option<Whom> {
    c.accept(&["all of", "the contents of"]);
    whom::anything(c)
}

/// "search for 'x' in FILE"; `grep -i x FILE`.
fn text_first(c: &mut Cursor<'_>) -> Option<Clause> {
    let mut ignore_case = false;
    let grep = c.accept(&["grep"]);
    let mut sought = if grep {
        // Folders are always searched below, and the numbers of lines are always given.
        ignore_case |= c.accept(&["-i", "-ri", "-ir", "-in", "-ni", "-rni", "-rin"]);
        c.accept(&["-r", "-R", "-n", "-rn", "-nr"]);
        c.accept(&["for"]);
        marked(c).or_else(|| bare(c, |_| true))?
    } else {
        c.need(SEARCH)?;
        ignore_case |= c.accept(&["case-insensitively", "case insensitively", "recursively"])
            && c.since(c.at() - 1) != "recursively";
        c.need(&["for", "up"])?;
        c.accept(LINES);
        if !c.accept(HOLDING) {
            c.accept(&["of"]);
        }
        marked(c).or_else(|| bare(c, is_text))?
    };
    sought.ignore_case = ignore_case;
    case(c, &mut sought);
    let named_in = c.accept(&["in", "inside", "within", "through", "throughout", "across", "under", "from"]);
    if !named_in && !grep {
        return None;
    }
    let of = place(c)?;
    finish(c, sought, of)
}

/// "search FILE for 'x'".
fn place_first(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(SEARCH)?;
    c.accept(&["in", "inside", "within", "under", "through", "into"]);
    let of = place(c)?;
    c.accept(&["recursively"]);
    c.need(&["for"])?;
    c.accept(LINES);
    if !c.accept(HOLDING) {
        c.accept(&["of"]);
    }
    let sought = marked(c).or_else(|| bare(c, is_text))?;
    finish(c, sought, of)
}

/// "find all lines containing 'x' in FILE", "show the lines in FILE that match the regex 'x'".
fn lines(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(&["find", "list", "extract", "locate", "find me", "filter"]) {
        c.need(SHOW)?;
    }
    c.accept(&["only", "just"]);
    c.need(LINES)?;
    let place_before = c.attempt(|c| {
        c.need(&["in", "of", "from"])?;
        place(c)
    });
    if !c.accept(HOLDING) {
        c.need(&["of", "for"])?;
    }
    let mut sought = marked(c)?;
    case(c, &mut sought);
    let of = match place_before {
        Some(of) => of,
        None => {
            c.need(&["in", "from", "of", "inside", "within", "under"])?;
            place(c)?
        }
    };
    finish(c, sought, of)
}

/// "find 'x' in FILE".
fn find_text(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(&["find", "locate"])?;
    let mut sought = marked(c).filter(|s| !s.pattern.contains('*') || s.regex)?;
    case(c, &mut sought);
    c.need(&["in", "inside", "within", "under"])?;
    let of = place(c)?;
    finish(c, sought, of)
}

/// "does FILE contain 'x'?"
fn asked(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(&["does", "do"]) {
        c.need(&["check if", "check whether", "see if", "see whether", "tell me if", "tell me whether"])?;
    }
    let of = place(c)?;
    c.need(&["contain", "contains", "mention", "mentions", "include", "includes", "have", "has"])?;
    let sought = marked(c)?;
    finish(c, sought, of)
}

/// "containing 'x'", as a condition on files.
pub(super) fn containing(c: &mut Cursor<'_>) -> Option<Sought> {
    c.need(HOLDING)?;
    let mut sought = marked(c)?;
    if c.accept(&[
        "in the name",
        "in their name",
        "in their names",
        "in its name",
        "in the filename",
        "extension",
    ]) {
        return None;
    }
    case(c, &mut sought);
    Some(sought)
}

/// A text in quotes, or a word that is called a text.
fn marked(c: &mut Cursor<'_>) -> Option<Sought> {
    c.attempt(|c| {
        let kind = c.choose(TEXT);
        let token = c.take(|t| match t.kind {
            Kind::Quoted => true,
            Kind::Word => kind.is_some() && !is_article(t),
            Kind::Comma | Kind::Semicolon | Kind::Stop | Kind::Newline => false,
        })?;
        sought(&token.text, kind == Some(true))
    })
}

/// One bare word.
fn bare(c: &mut Cursor<'_>, fits: fn(&Token) -> bool) -> Option<Sought> {
    let token = c.word(|t| !is_article(t) && fits(t))?;
    sought(&token.text, false)
}

fn sought(text: &str, regex: bool) -> Option<Sought> {
    (!text.is_empty() && text.len() <= 1000).then(|| Sought {
        pattern: text.to_owned(),
        regex,
        ignore_case: false,
    })
}

fn is_article(token: &Token) -> bool {
    matches!(
        token.lower.as_str(),
        "the"
            | "a"
            | "an"
            | "in"
            | "of"
            | "for"
            | "my"
            | "all"
            | "any"
            | "with"
            | "and"
            | "or"
            | "that"
            | "not"
    )
}

/// Whether a bare word is meant as it stands: written like a name in a program or a log, or a
/// plain singular word that is no judgement.
fn is_text(token: &Token) -> bool {
    let text = token.text.as_str();
    if named::ENDINGS.iter().any(|e| token.lower.ends_with(&format!(".{e}")))
        || text.contains(['*', '/', '\''])
        || text.starts_with('.')
    {
        return false;
    }
    let written = text.len() > 1
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
    let identifier = text.contains('_') || text.contains("::") || text.bytes().any(|b| b.is_ascii_digit());
    let plural = token.lower.ends_with('s') && !token.lower.ends_with("ss");
    let plain = text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') && !plural;
    written || identifier || (plain && !JUDGEMENTS.contains(&token.lower.as_str()))
}
