//! "Compare FILE with FILE", "are FILE and FILE identical?", `diff FILE FILE`.

use super::clause::Clause;
use super::cursor::Cursor;
use super::named::{self, Called, Named};
use super::words::{COMPUTE, SHOW};

const SAME: &[&str] = &["identical", "the same", "equal", "different", "the same file", "identical files"];
const JOIN: &[&str] = &["and", "with", "to", "against", "and the file", "with the file"];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 4] = [compare, difference, same_pair, same_as];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) =
        readings.reduce(|best, next| if next.0.at() > best.0.at() { next } else { best })?;
    *c = after;
    Some(clause)
}

fn pair(c: &mut Cursor<'_>, join: &[&str], needed: bool) -> Option<(Named, Named)> {
    c.accept(&["the contents of", "the content of"]);
    let called = c.attempt(|c| {
        c.accept(&["the", "the two", "these", "these two", "two", "both"]);
        c.need(named::FILES)
    });
    let one = |c: &mut Cursor<'_>| match called {
        Some(()) => named::called_file(c),
        None => named::file(c),
    };
    let left = one(c)?;
    let joined = c.accept(join);
    if needed && !joined {
        return None;
    }
    let right = one(c)?;
    let folder = |n: &Named| named::looks(n) == Some(Called::Folder);
    (!folder(&left) && !folder(&right)).then_some((left, right))
}

fn compare(c: &mut Cursor<'_>) -> Option<Clause> {
    let bare = c.accept(&["diff", "cmp"]);
    if !bare {
        c.need(&["compare"])?;
    }
    let (left, right) = pair(c, JOIN, !bare)?;
    Some(Clause::Compare(left, right))
}

/// "show the differences between FILE and FILE"
fn difference(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(SHOW) {
        c.accept(COMPUTE);
    }
    c.accept(&["the", "any", "all", "all the"]);
    c.need(&["difference between", "differences between", "diff between", "diff of"])?;
    let (left, right) = pair(c, &["and"], true)?;
    Some(Clause::Compare(left, right))
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
    let (left, right) = pair(c, &["and"], true)?;
    let said = match asked {
        true => c.accept(&["differ", "match", "have the same content", "have the same contents"]),
        false => c.choose(&[("are", false), ("differ", true), ("match", true)])?,
    };
    (said || c.accept(SAME)).then_some(Clause::Compare(left, right))
}

/// "is FILE identical to FILE?"
fn same_as(c: &mut Cursor<'_>) -> Option<Clause> {
    whether(c);
    let asked = c.accept(&["is", "does"]);
    let left = named::file(c)?;
    if !asked {
        c.need(&["is"])?;
    }
    c.need(&["identical to", "the same as", "equal to", "different from", "match", "differ from"])?;
    let right = named::file(c)?;
    Some(Clause::Compare(left, right))
}
