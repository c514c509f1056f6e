//! "Compare FILE with FILE", "are FILE and FILE identical?", `diff FILE FILE`; either may be "it", and both "them".

use super::clause::Clause;
use super::cursor::Cursor;
use super::named::{self, Called, Named};
use super::whom::{self, Earlier, Whom};
use super::words::{COMPUTE, SHOW};

const SAME: &[&str] = &["identical", "the same", "equal", "different", "the same file", "identical files"];
/// Where there are two, beside the words for several.
const BOTH: &[&str] = &[
    "both",
    "both of them",
    "the two",
    "these two",
    "both files",
    "the two files",
    "these two files",
    "the contents of both",
];
const JOIN: &[&str] = &["and", "with", "to", "against", "and the file", "with the file"];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 4] = [compare, difference, same_pair, same_as];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) =
        readings.reduce(|best, next| if next.0.at() > best.0.at() { next } else { best })?;
    *c = after;
    Some(clause)
}

fn pair(c: &mut Cursor<'_>, join: &[&str], needed: bool) -> Option<Vec<Whom>> {
    c.accept(&["the contents of", "the content of"]);
    let called = c.attempt(|c| {
        c.accept(&["the", "the two", "these", "these two", "two", "both"]);
        c.need(named::FILES)
    });
    let one = |c: &mut Cursor<'_>| match called {
        Some(()) => named::called_file(c).and_then(file),
        None => side(c),
    };
    let left = one(c)?;
    let joined = c.accept(join);
    if needed && !joined {
        return None;
    }
    let right = one(c)?;
    Some(vec![left, right])
}

/// One of the two: a file, or the one that the goal has spoken of.
fn side(c: &mut Cursor<'_>) -> Option<Whom> {
    c.attempt(|c| named::file(c).and_then(file))
        .or_else(|| c.attempt(|c| whom::earlier(c).filter(|of| matches!(of, Whom::Earlier(Earlier::One, _)))))
}

fn file(named: Named) -> Option<Whom> {
    (named::looks(&named) != Some(Called::Folder)).then(|| Whom::Named(vec![named]))
}

/// The two that the goal has spoken of.
fn both(c: &mut Cursor<'_>) -> Option<Vec<Whom>> {
    let from = c.at();
    if c.accept(BOTH) {
        return Some(vec![Whom::Earlier(Earlier::Many, c.since(from).to_owned())]);
    }
    let several = whom::earlier(c).filter(|of| matches!(of, Whom::Earlier(Earlier::Many, _)));
    several.map(|of| vec![of])
}

fn compare(c: &mut Cursor<'_>) -> Option<Clause> {
    let bare = c.accept(&["diff", "cmp"]);
    if !bare {
        c.need(&["compare"])?;
    }
    let two = match bare {
        true => pair(c, JOIN, false)?,
        false => c.attempt(|c| pair(c, JOIN, true)).or_else(|| {
            let both = both(c);
            c.accept(&["with each other", "to each other", "against each other", "with one another"]);
            both
        })?,
    };
    Some(Clause::Compare(two))
}

/// "show the differences between FILE and FILE"
fn difference(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(SHOW) {
        c.accept(COMPUTE);
    }
    c.accept(&["the", "any", "all", "all the"]);
    c.need(&["difference between", "differences between", "diff between", "diff of"])?;
    let two = c.attempt(|c| pair(c, &["and"], true)).or_else(|| both(c))?;
    Some(Clause::Compare(two))
}

fn whether(c: &mut Cursor<'_>) {
    c.attempt(|c| {
        if !c.accept(SHOW) && !c.accept(&["see", "verify", "make sure"]) {
            c.need(COMPUTE)?;
        }
        c.need(&["if", "whether", "that"])
    });
}

/// "are FILE and FILE identical?", "check whether FILE and FILE are the same".
fn same_pair(c: &mut Cursor<'_>) -> Option<Clause> {
    whether(c);
    let asked = c.accept(&["are", "do"]);
    let two = c.attempt(|c| pair(c, &["and"], true)).or_else(|| both(c))?;
    let said = match asked {
        true => c.accept(&["differ", "match", "have the same content", "have the same contents"]),
        false => c.choose(&[("are", false), ("differ", true), ("match", true)])?,
    };
    (said || c.accept(SAME)).then_some(Clause::Compare(two))
}

/// "is FILE identical to FILE?"
fn same_as(c: &mut Cursor<'_>) -> Option<Clause> {
    whether(c);
    let asked = c.accept(&["is", "does"]);
    let left = side(c)?;
    if !asked {
        c.need(&["is"])?;
    }
    c.need(&["identical to", "the same as", "equal to", "different from", "match", "differ from"])?;
    let right = side(c)?;
    Some(Clause::Compare(vec![left, right]))
}
