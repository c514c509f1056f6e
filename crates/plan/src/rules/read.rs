//! "Read FILE", "show the first 5 lines of FILE", `cat FILE`, `head -n 5 FILE`.

use super::clause::{Clause, Part};
use super::cursor::{Cursor, Table};
use super::lines;
use super::named::{self, Called, looks};
use super::whom::{self, Whom};
use super::words::{CONTENTS_OF, SHOW, number};

/// Begin the reading of a file.
pub(super) const READ: &[&str] =
    &["read", "read me", "read out", "cat", "open", "dump", "type out", "print out"];
const CONTENTS: &[&str] = &[
    "the contents of",
    "the content of",
    "contents of",
    "content of",
    "the text of",
    "the full text of",
    "the whole of",
    "everything in",
    "the full contents of",
    "the entire contents of",
    "all of",
    "the entire",
    "the whole",
    "all the contents of",
    "what is in",
    "what's in",
];
const EDGES: &Table<bool> =
    &[("first", true), ("top", true), ("last", false), ("bottom", false), ("final", false)];

/// Ask what something is; what is in it is asked with more words.
pub(super) const QUESTIONS: &[&str] = &[
    "what is",
    "what are",
    "what's",
    "what're",
    "which",
    "which is",
    "which are",
    "what",
    "let me know",
    "i want to know",
    "i'd like to know",
    "i would like to know",
    "report",
];

/// What `head` and `tail` show when no number is given.
pub(super) const DEFAULT_LINES: u32 = 10;

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 3] = [edge, head_or_tail, whole];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) =
        readings.reduce(|best, next| if next.0.at() > best.0.at() { next } else { best })?;
    *c = after;
    Some(clause)
}

/// "show the first 5 lines of FILE".
fn edge(c: &mut Cursor<'_>) -> Option<Clause> {
    let begins = c.at();
    // "the first 3 lines of FILE" says it without a verb, too.
    let asked = c.accept(READ) || c.accept(&["list", "read"]) || c.accept(SHOW);
    c.accept(&["only", "just"]);
    let owner = c.attempt(whom::owner);
    c.accept(&["the"]);
    let (first, count) = match c.choose(EDGES) {
        Some(first) => match c.attempt(number) {
            Some(count) => {
                c.need(&["lines", "line"])?;
                (first, count)
            }
            None => {
                c.need(&["line"])?;
                (first, 1)
            }
        },
        None => {
            let count = number(c)?;
            let first = c.choose(EDGES)?;
            c.need(&["lines", "line"])?;
            (first, count)
        }
    };
    let part = if first { Part::First(count) } else { Part::Last(count) };
    if let Some(of) = owner {
        return Some(Clause::Read { part, of });
    }
    // "sort names.txt, then show the first line"
    let of = lines::of_which(c, begins, asked)?;
    Some(Clause::Read { part, of })
}

/// `head FILE`, `tail -n 20 FILE`, "show the head of FILE".
fn head_or_tail(c: &mut Cursor<'_>) -> Option<Clause> {
    let shown = c.attempt(|c| {
        c.need(SHOW)?;
        c.need(&["the"])
    });
    let first = match shown {
        Some(()) => c.choose(&[
            ("head", true),
            ("tail", false),
            ("beginning", true),
            ("start", true),
            ("end", false),
        ])?,
        None => c.choose(&[("head", true), ("tail", false)])?,
    };
    let count = c.attempt(|c| {
        if c.accept(&["-n"]) {
            return number(c);
        }
        glued(&c.word(|t| glued(&t.text).is_some())?.text)
    });
    c.accept(&["of"]);
    let of = whom::files(c)?;
    let count = count.unwrap_or(DEFAULT_LINES);
    let part = if first { Part::First(count) } else { Part::Last(count) };
    Some(Clause::Read { part, of })
}

/// `-20`, `-n20`
fn glued(option: &str) -> Option<u32> {
    let digits = option.strip_prefix("-n").or_else(|| option.strip_prefix('-'))?;
    let plain = digits.len() < 8 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|count| plain && *count > 0)
}

/// "read FILE": the verb says that it is a file; after "show", the path's looks decide.
fn whole(c: &mut Cursor<'_>) -> Option<Clause> {
    // "What is /etc/hosts?" does not ask for its text.
    let asked = c.clone().accept(QUESTIONS);
    let read = c.accept(READ);
    if !read && !c.accept(SHOW) && !c.clone().accept(CONTENTS_OF) {
        return None;
    }
    let owned = c.attempt(|c| {
        let of = whom::owner(c)?;
        c.need(&["contents", "content", "text"])?;
        Some(Clause::Read { part: Part::Whole, of })
    });
    if owned.is_some() {
        return owned;
    }
    let contents = c.accept(CONTENTS);
    if asked && !contents {
        return None;
    }
    let of = whom::files(c)?;
    let found = match &of {
        Whom::Named(all) => all.clone(),
        // "show the files in /tmp" is a listing; "read all .txt files in /tmp" is not.
        Whom::Entries(_) if !read => return None,
        Whom::Entries(_) | Whom::Earlier(..) => {
            let part = if read || contents { Part::Whole } else { Part::Shown };
            return Some(Clause::Read { part, of });
        }
        Whom::Literal(_) => return None,
    };
    if read {
        c.accept(&["contents", "content"]);
        let folder = found.iter().any(|named| looks(named) == Some(Called::Folder));
        return (!folder).then_some(Clause::Read { part: Part::Whole, of });
    }
    let contents = c.accept(&["contents", "content"]);
    match found.as_slice() {
        [one] if looks(one) != Some(Called::File) && (contents || looks(one).is_none()) => {
            Some(Clause::Show(one.clone()))
        }
        all if all.iter().all(|named| looks(named) == Some(Called::File)) => {
            Some(Clause::Read { part: Part::Whole, of })
        }
        [one] => folder_shown(one),
        _ => None,
    }
}

/// "show /tmp"
fn folder_shown(one: &named::Named) -> Option<Clause> {
    Some(Clause::Show(one.clone()))
}
