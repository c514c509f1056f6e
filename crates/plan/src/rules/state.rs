//! "Does FILE exist?", "is FILE empty?", "when was FILE last changed?": what is asked about one file or folder.

use super::clause::Clause;
use super::conditions::whole;
use super::cursor::Cursor;
use super::entries::{Entries, Noun};
use super::named::{self, Called, Named, looks};
use super::whom::Whom;
use super::words::{COMPUTE, SHOW};
use crate::{CountWhat, FindKind};

/// Ask whether something is so.
const WHETHER: &[&str] = &[
    "check if",
    "check whether",
    "check that",
    "see if",
    "see whether",
    "tell me if",
    "tell me whether",
    "find out if",
    "find out whether",
    "i want to know if",
    "i want to know whether",
    "verify that",
];
pub(super) const TIME: &[&str] = &[
    "modification time",
    "modification date",
    "last modification time",
    "last modification date",
    "last modified date",
    "last modified time",
    "time of last modification",
    "date of last modification",
    "time of the last change",
    "date of the last change",
    "last change",
    "last modification",
    "mtime",
    "age",
];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 5] = [exists, is_empty, changed_when, old, time_of];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) =
        readings.reduce(|best, next| if next.0.at() > best.0.at() { next } else { best })?;
    *c = after;
    Some(clause)
}

/// "does FILE exist?", "check whether FILE exists": looked for by its name where it would lie.
fn exists(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(&["does", "do", "is"]) {
        c.need(WHETHER)?;
    }
    let of = named::either(c)?;
    c.need(&["exist", "exists", "there", "is there", "present", "is present"])?;
    let entries = at(&of)?;
    Some(Clause::Find(Box::new(Entries { if_there: true, ..entries })))
}

/// "is FILE empty?"
fn is_empty(c: &mut Cursor<'_>) -> Option<Clause> {
    let asked = c.accept(&["is", "are"]);
    if !asked {
        c.need(WHETHER)?;
    }
    let of = named::either(c)?;
    if !asked {
        c.need(&["is", "are"])?;
    }
    c.need(&["empty"])?;
    let known =
        c.place().is_folder(&of.path).map(|folder| if folder { Called::Folder } else { Called::File });
    Some(match looks(&of).or(known) {
        Some(Called::File) => Clause::Count { what: vec![CountWhat::Bytes], of: Whom::Named(vec![of]) },
        Some(Called::Folder) => Clause::List(Box::new(Entries {
            noun: Noun::Any,
            hidden: Some(true),
            places: vec![of],
            ..Entries::default()
        })),
        Some(Called::Nothing) | None => Clause::DiskUse { of: Whom::Named(vec![of]) },
    })
}

/// "when was FILE last changed?", "when did FILE change?"
fn changed_when(c: &mut Cursor<'_>) -> Option<Clause> {
    c.attempt(|c| if c.accept(SHOW) { Some(()) } else { c.need(&["check", "find out"]) });
    c.need(&["when"])?;
    let before = c.accept(&["was", "did", "has"]);
    let of = named::either(c)?;
    if !before {
        c.need(&["was", "has been"])?;
    } else {
        c.accept(&["been"]);
    }
    c.accept(&["last", "lastly"]);
    c.need(&[
        "modified",
        "changed",
        "updated",
        "edited",
        "written",
        "written to",
        "touched",
        "change",
        "saved",
    ])?;
    c.accept(&["last", "the last time"]);
    dated(&of)
}

/// "how old is FILE?"
fn old(c: &mut Cursor<'_>) -> Option<Clause> {
    c.attempt(|c| if c.accept(SHOW) { Some(()) } else { c.need(COMPUTE) });
    c.need(&["how old"])?;
    let verb = c.accept(&["is"]);
    let of = named::either(c)?;
    (verb || c.accept(&["is"])).then_some(())?;
    dated(&of)
}

/// "show the modification time of FILE"
fn time_of(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(SHOW) {
        c.accept(COMPUTE);
    }
    c.accept(&["the"]);
    c.need(TIME)?;
    c.need(&["of", "for"])?;
    dated(&named::either(c)?)
}

/// The file with the time of its last change; it must be there.
fn dated(of: &Named) -> Option<Clause> {
    Some(Clause::Find(Box::new(Entries { details: true, must: true, ..at(of)? })))
}

/// `ls FILE`: the file itself, which must be there.
pub(super) fn itself(of: &Named, long: bool) -> Option<Entries> {
    Some(Entries { long, must: true, ..at(of)? })
}

/// The file or folder itself, by its name where it would lie.
fn at(of: &Named) -> Option<Entries> {
    let path = of.path.trim_end_matches('/');
    let (place, name) = match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((place, name)) => (place, name),
        None => (".", path),
    };
    if matches!(name, "" | "." | ".." | "~") || name.contains(['*', '?']) {
        return None;
    }
    // "does the folder docs exist" of a file: no.
    let only = match of.called {
        Called::File => Some(FindKind::File),
        Called::Folder => Some(FindKind::Folder),
        Called::Nothing if of.path.ends_with('/') => Some(FindKind::Folder),
        Called::Nothing => None,
    };
    Some(Entries {
        noun: Noun::Any,
        only,
        name: Some(whole(name)),
        recursive: Some(false),
        hidden: Some(true),
        places: vec![Named { path: place.to_owned(), called: Called::Folder }],
        ..Entries::default()
    })
}
