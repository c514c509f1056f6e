//! "What is the date?", `pwd`: what can be said of the machine and the place, and what cannot.

use super::clause::Clause;
use super::cursor::{Cursor, Table};
use super::named;
use super::words::SHOW;

pub(super) const DATE: &[&str] = &[
    "date",
    "what day is it",
    "what day is it today",
    "what day is today",
    "what date is it",
    "what date is it today",
    "what time is it",
    "what time is it now",
    "what is the date today",
    "what's the date today",
    "what is the time now",
];
const DATES: &[&str] = &[
    "date",
    "time",
    "date and time",
    "time and date",
    "current date",
    "current time",
    "current date and time",
    "today's date",
    "system time",
    "system date",
];
pub(super) const HERE: &[&str] = &["pwd", "where am i", "which folder am i in", "which directory am i in"];
const HERES: &[&str] = &[
    "current directory",
    "current folder",
    "working directory",
    "current working directory",
    "path of the current directory",
    "path of the current folder",
    "path of this folder",
];
/// Ask what is, and not to be shown what lies in it.
const ASK: &[&str] =
    &["what is", "what's", "which is", "tell me", "print", "show me", "show", "give me", "get"];

/// What a program in the locked room does not see.
const UNSEEN: &[&str] = &[
    "who am i",
    "whoami",
    "what is my user name",
    "what is my username",
    "uptime",
    "df",
    "df -h",
    "free",
    "free -h",
    "free -m",
    "ps",
    "ps aux",
    "ps -ef",
    "id",
    "who",
    "lscpu",
    "lsblk",
    "free disk space",
    "how much disk space is free",
    "how much disk space is left",
    "how much disk space is available",
    "how much free disk space is there",
    "how much free space is there",
    "how much memory is free",
    "how much memory is used",
    "how much free memory is there",
    "what processes are running",
    "which processes are running",
    "list processes",
    "list running processes",
    "list all running processes",
    "show running processes",
];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 4] = [date, here, part_of_path, unseen];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) = readings.max_by_key(|(after, _)| after.at())?;
    *c = after;
    Some(clause)
}

fn date(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(DATE) {
        c.need(SHOW)?;
        c.accept(&["the"]);
        c.need(DATES)?;
    }
    Some(Clause::Program { argv: vec!["date".into()], of: Vec::new() })
}

fn here(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(HERE) {
        let asks = c.clone().accept(&["what is", "what's", "which is", "tell me"]);
        c.need(ASK)?;
        c.accept(&["the", "my"]);
        let path = c.clone().accept(&["path"]);
        c.need(HERES)?;
        // "show the current folder" is a listing.
        (asks || path).then_some(())?;
    }
    Some(Clause::Here)
}

/// What of a path is asked for, and the program that tells it.
pub(super) const PARTS: &Table<&str> = &[
    ("dirname of", "dirname"),
    ("the dirname of", "dirname"),
    ("basename of", "basename"),
    ("the basename of", "basename"),
    ("base name of", "basename"),
    ("the base name of", "basename"),
];

/// "the basename of sub/a.txt": of the path as it stands, which need not be there.
fn part_of_path(c: &mut Cursor<'_>) -> Option<Clause> {
    c.accept(SHOW);
    let program = c.choose(PARTS)?;
    let of = named::either(c)?;
    let argv = |argument: &str| vec![program.to_owned(), argument.to_owned()];
    Some(match of.path.starts_with(['~', '-']) {
        true => Clause::Program { argv: vec![program.to_owned()], of: vec![of] },
        false => Clause::Program { argv: argv(&of.path), of: Vec::new() },
    })
}

fn unseen(c: &mut Cursor<'_>) -> Option<Clause> {
    c.last_resort(|c| {
        c.need(UNSEEN)?;
        let mut end = c.clone();
        super::words::closing(&mut end);
        end.is_done().then_some(())
    })?;
    Some(Clause::Unclear(
        "programs run in a locked room, as nobody, and see nothing of the machine's users, processes, memory \
         and disks; ask your shell",
    ))
}
