//! "Show lines 3 to 7 of FILE", and what a standard program makes of a file's lines: "sort the lines of FILE".

use super::clause::{Clause, Part};
use super::cursor::{Cursor, Table};
use super::named::{self, Named};
use super::token::Kind;
use super::whom::{self, Earlier, Whom};
use super::words::{SHOW, number};

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 4] = [range, sorted, turned, numbered];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) =
        readings.reduce(|best, next| if next.0.at() > best.0.at() { next } else { best })?;
    *c = after;
    Some(clause)
}

fn program(argv: &[&str], of: Vec<Named>) -> Clause {
    Clause::Program { argv: argv.iter().map(|&word| word.to_owned()).collect(), of }
}

/// Says that a file's lines are wanted, which is said without a verb, too.
fn shows(c: &mut Cursor<'_>) -> bool {
    let asked = c.accept(SHOW) || c.accept(&["read", "list"]);
    c.accept(&["only", "just"]);
    c.accept(&["the"]);
    asked
}

pub(super) const LINES: &[&str] = &["line", "lines"];
const ORDINALS: &Table<u32> = &[
    ("first", 1),
    ("second", 2),
    ("third", 3),
    ("fourth", 4),
    ("fifth", 5),
    ("sixth", 6),
    ("seventh", 7),
    ("eighth", 8),
    ("ninth", 9),
    ("tenth", 10),
];

/// "second", "3rd", "40th".
pub(super) fn ordinal(c: &mut Cursor<'_>) -> Option<u32> {
    if let Some(named) = c.choose(ORDINALS) {
        return Some(named);
    }
    let of = |word: &str| {
        let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end))?;
        let plain = !digits.is_empty() && digits.len() < 9 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u32>().ok().filter(|number| plain && *number > 0)
    };
    c.word(|t| of(&t.lower).is_some()).and_then(|token| of(&token.lower))
}

/// "lines 3 to 7 of FILE", "lines 3-7 of FILE", "line 5 of FILE", "the 5th line of FILE".
fn range(c: &mut Cursor<'_>) -> Option<Clause> {
    let begins = c.at();
    let asked = shows(c);
    // Of "the second largest file" nothing is understood here.
    let nth = c.last_resort(|c| {
        let nth = ordinal(c)?;
        c.need(&["line"]).map(|()| nth)
    });
    if let Some(nth) = nth {
        let of = of_which(c, begins, asked)?;
        return Some(Clause::Read { part: Part::Range(nth, Some(nth)), of });
    }
    c.need(&["line", "lines", "line number", "lines number", "line numbers"])?;
    let between = c.accept(&["between"]);
    let onward = c.accept(&["from"]);
    let from = c.at();
    let (first, last) = match c.attempt(glued) {
        Some((first, last)) => (first, Some(last)),
        None => {
            let first = number(c)?;
            let join: &[&str] = if between { &["and"] } else { &["to", "through", "until", "-", "up to"] };
            let last = c.attempt(|c| {
                c.need(join)?;
                // "from line 3 to the end"
                if !between && c.accept(&["the end", "end", "the last line", "the last"]) {
                    Some(None)
                } else {
                    number(c).map(Some)
                }
            });
            // "lines from 98 of FILE" has no end but that of the file.
            (first, last.unwrap_or(if onward { None } else { Some(first) }))
        }
    };
    // "lines 1,200" may be a number, or two as `sed` has them.
    if c.since(from).contains(',') {
        return None;
    }
    let of = of_which(c, begins, asked)?;
    last.is_none_or(|last| first <= last).then_some(Clause::Read { part: Part::Range(first, last), of })
}

/// Whose lines they are: of what came before, where a clause that began at `begins` does not say. "Count the words in
/// a.txt and the first 3 lines" has no verb for these, and leaves open what is wanted of them.
pub(super) fn of_which(c: &mut Cursor<'_>, begins: usize, asked: bool) -> Option<Whom> {
    if c.accept(&["of", "from", "in"]) {
        return whom::files(c);
    }
    asked.then_some(())?;
    Some(Whom::Earlier(Earlier::One, c.since(begins).to_owned()))
}

/// `3-7`
fn glued(c: &mut Cursor<'_>) -> Option<(u32, u32)> {
    let token = c.word(|t| t.text.contains(['-', '–']))?;
    let (first, last) = token.text.split_once(['-', '–'])?;
    let whole = |text: &str| text.parse().ok().filter(|n| *n > 0 && text.bytes().all(|b| b.is_ascii_digit()));
    Some((whole(first)?, whole(last)?))
}

/// How lines are put in order, as options of `sort`.
pub(super) const HOW: &Table<&str> = &[
    ("alphabetically", ""),
    ("in alphabetical order", ""),
    ("in order", ""),
    ("numerically", "-n"),
    ("by number", "-n"),
    ("in numerical order", "-n"),
    ("in reverse", "-r"),
    ("in reverse order", "-r"),
    ("reversed", "-r"),
    ("in descending order", "-r"),
    ("descending", "-r"),
    ("without duplicates", "-u"),
    ("and remove duplicates", "-u"),
    ("removing duplicates", "-u"),
];

/// "sort FILE", "sort the lines of FILE numerically", "show FILE sorted".
fn sorted(c: &mut Cursor<'_>) -> Option<Clause> {
    let first = c.accept(&["sort"]);
    if first {
        c.attempt(|c| {
            c.accept(&["the", "all", "all the"]);
            c.need(&["lines", "contents", "content", "text"])?;
            c.need(&["of", "in"])
        });
    } else {
        c.need(SHOW)?;
        c.attempt(|c| {
            c.accept(&["the", "all the"]);
            c.need(&["lines of", "lines in", "contents of"])
        });
    }
    let of = named::file(c)?;
    if !first {
        c.need(&["sorted"])?;
    }
    let mut argv = vec!["sort"];
    while let Some(how) = c.attempt(|c| {
        c.punctuation(Kind::Comma);
        c.choose(HOW)
    }) {
        argv.extend(Some(how).filter(|how| !how.is_empty()));
    }
    Some(program(&argv, vec![of]))
}

/// "reverse the lines of FILE", "show FILE in reverse order".
fn turned(c: &mut Cursor<'_>) -> Option<Clause> {
    let verb = c.accept(&["reverse"]);
    if !verb {
        c.need(SHOW)?;
    }
    c.attempt(|c| {
        c.accept(&["the"]);
        c.need(&["lines of", "lines in", "order of the lines in", "order of the lines of"])
    });
    let of = named::file(c)?;
    if !verb {
        c.need(&["in reverse", "in reverse order", "backwards", "reversed", "from last to first"])?;
    }
    Some(program(&["tac"], vec![of]))
}

/// "show FILE with line numbers", "number the lines of FILE".
fn numbered(c: &mut Cursor<'_>) -> Option<Clause> {
    let verb = c.accept(&["number the lines of", "number the lines in", "number all lines of"]);
    if !verb && !c.accept(SHOW) {
        c.need(&["read", "cat"])?;
    }
    let of = named::file(c)?;
    if !verb {
        c.need(&["with line numbers", "with numbered lines", "with its line numbers"])?;
    }
    Some(program(&["cat", "-n"], vec![of]))
}
