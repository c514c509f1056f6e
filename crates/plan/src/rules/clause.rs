//! A goal as a row of clauses: one verb each, joined by "then", "and", punctuation or numbers.
//!
//! Promises: every token belongs to a clause, to a joint between two, or to politeness;
//! otherwise the whole goal is refused with the words that are left over.

use super::cursor::Cursor;
use super::entries::Entries;
use super::named::{self, Named};
use super::place::Place;
use super::run::Command;
use super::sought::Sought;
use super::token::{Kind, Token};
use super::whom::Whom;
use super::words::{self, POLITE};
use super::{
    NotUnderstood, compare, count, disk, fetch, hash, lines, list, machine, read, refusal, run, search, state,
};
use crate::{CountWhat, HashKind};
use std::cell::Cell;

/// What one clause asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    /// The entries of a folder itself.
    List(Box<Entries>),
    /// Entries of a folder and of all below it.
    Find(Box<Entries>),
    /// What lies at a path, which may be a file or a folder.
    Show(Named),
    Read {
        part: Part,
        of: Whom,
    },
    Count {
        what: Vec<CountWhat>,
        of: Whom,
    },
    /// How many files or folders fit a description.
    CountEntries(Box<Entries>),
    /// How many an earlier clause found.
    CountFound(Whom),
    /// How many lines the search before has found.
    CountMatches,
    Search {
        sought: Sought,
        of: Whom,
    },
    /// In how many lines a text stands.
    CountHolding {
        sought: Sought,
        of: Whom,
    },
    Hash {
        kind: HashKind,
        of: Whom,
    },
    DiskUse {
        of: Whom,
    },
    /// Two files, both in one place when an earlier clause names them.
    Compare(Vec<Whom>),
    Fetch(String),
    Run(Command),
    /// A program with these arguments, over files.
    Program {
        argv: Vec<String>,
        of: Vec<Named>,
    },
    /// Which folder relative paths start from.
    Here,
    /// Words that are understood and may mean two things, or leave one out: what to say instead.
    Unclear(&'static str),
}

impl Clause {
    /// Whether it works on what an earlier clause names, finds or gives.
    pub(super) fn points_back(&self) -> bool {
        match self {
            Clause::Read { of, .. }
            | Clause::Count { of, .. }
            | Clause::CountFound(of)
            | Clause::Search { of, .. }
            | Clause::CountHolding { of, .. }
            | Clause::Hash { of, .. }
            | Clause::DiskUse { of } => of.points_back(),
            Clause::Compare(two) => two.iter().any(Whom::points_back),
            Clause::List(_)
            | Clause::Find(_)
            | Clause::Show(_)
            | Clause::CountEntries(_)
            | Clause::Fetch(_)
            | Clause::Run(_)
            | Clause::Program { .. }
            | Clause::CountMatches
            | Clause::Here
            | Clause::Unclear(_) => false,
        }
    }

    /// What it works on, if that is files.
    pub(super) fn whom_mut(&mut self) -> Option<&mut Whom> {
        match self {
            Clause::Read { of, .. }
            | Clause::Count { of, .. }
            | Clause::Search { of, .. }
            | Clause::CountHolding { of, .. }
            | Clause::Hash { of, .. }
            | Clause::DiskUse { of } => Some(of),
            Clause::CountFound(_)
            | Clause::List(_)
            | Clause::Find(_)
            | Clause::Show(_)
            | Clause::CountEntries(_)
            | Clause::Compare(..)
            | Clause::Fetch(_)
            | Clause::Run(_)
            | Clause::Program { .. }
            | Clause::CountMatches
            | Clause::Here
            | Clause::Unclear(_) => None,
        }
    }

    /// The description of what is listed, found or counted.
    pub(super) fn entries(&self) -> Option<&Entries> {
        if let Clause::List(e) | Clause::Find(e) | Clause::CountEntries(e) = self { Some(e) } else { None }
    }

    fn entries_mut(&mut self) -> Option<&mut Entries> {
        if let Clause::List(e) | Clause::Find(e) | Clause::CountEntries(e) = self { Some(e) } else { None }
    }

    /// What to say instead, where the words leave something open.
    pub(super) fn unclear(&self) -> Option<&'static str> {
        match self {
            Clause::Unclear(why) => Some(why),
            Clause::List(e) | Clause::Find(e) | Clause::CountEntries(e) => e.left_open(),
            Clause::Search { sought, of } | Clause::CountHolding { sought, of } => {
                sought.left_open().or_else(|| of.left_open())
            }
            Clause::Read { of, .. }
            | Clause::Count { of, .. }
            | Clause::CountFound(of)
            | Clause::Hash { of, .. }
            | Clause::DiskUse { of } => of.left_open(),
            Clause::Show(_)
            | Clause::Compare(..)
            | Clause::Fetch(_)
            | Clause::Run(_)
            | Clause::Program { .. }
            | Clause::CountMatches
            | Clause::Here => None,
        }
    }
}

/// How much of a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// The whole, where no word says whether the text is wanted or the names.
    Shown,
    First(u32),
    Last(u32),
    /// From one line to another, or to the end.
    Range(u32, Option<u32>),
}

impl Part {
    /// The program that gives this part of a text.
    pub(super) fn of_a_text(self) -> Option<Vec<String>> {
        let argv = match self {
            Part::Whole | Part::Shown => return None,
            Part::First(lines) => ["head".to_owned(), "-n".to_owned(), lines.to_string()],
            Part::Last(lines) => ["tail".to_owned(), "-n".to_owned(), lines.to_string()],
            Part::Range(from, to) => {
                let to = to.map_or("$".to_owned(), |to| to.to_string());
                ["sed".to_owned(), "-n".to_owned(), format!("{from},{to}p")]
            }
        };
        Some(argv.into())
    }
}

/// A clause, its words, and whether it waits for the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) clause: Clause,
    pub(super) words: String,
    pub(super) after_previous: bool,
}

/// How two clauses are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joint {
    /// The second may run beside the first.
    And,
    /// The second comes after the first.
    Then,
}

pub(super) const THEN: &[&str] = &[
    "then",
    "and then",
    "after that",
    "and after that",
    "afterwards",
    "and afterwards",
    "next",
    "and next",
    "finally",
    "and finally",
    "lastly",
    "and lastly",
    "followed by",
    "second",
    "secondly",
    "third",
    "thirdly",
    "once done",
    "when done",
];
pub(super) const AND: &[&str] = &["and", "and also", "also", "as well as", "plus", "&"];

/// Cuts a goal into its clauses.
pub(super) fn clauses(goal: &str, tokens: &[Token], place: &Place) -> Result<Vec<Placed>, NotUnderstood> {
    let furthest = Cell::new(0);
    let mut c = Cursor::new(goal, tokens, place, &furthest);
    let mut found: Vec<Placed> = Vec::new();
    while c.punctuation(Kind::Newline) {}
    bullet(&mut c);
    if c.is_done() {
        return Err(NotUnderstood::Empty);
    }
    let mut after_previous = false;
    loop {
        let from = c.at();
        let again = found.last().and_then(|placed| {
            // "…, then the words in b.txt"
            if matches!(placed.clause, Clause::Count { .. }) {
                return c.attempt(count::again);
            }
            if after_previous {
                return None;
            }
            if matches!(placed.clause, Clause::Fetch(_)) {
                return c.attempt(fetch::again);
            }
            let find = matches!(placed.clause, Clause::Find(_));
            if find || matches!(placed.clause, Clause::List(_)) {
                return c.last_resort(|c| list::again(c, find));
            }
            None
        });
        let first = found.is_empty();
        let clause = again.or_else(|| clause(&mut c));
        let Some(clause) = clause.or_else(|| if first { c.last_resort(list::without_verb) } else { None })
        else {
            return Err(not_understood(&c));
        };
        if found.len() >= crate::MAX_STEPS {
            return Err(NotUnderstood::TooManySteps);
        }
        found.push(Placed { clause, words: c.since(from).to_owned(), after_previous });
        let mut end = c.clone();
        words::closing(&mut end);
        if end.is_done() {
            return with_shared_places(found);
        }
        match joint(&mut c) {
            Some(joint) => after_previous = joint == Joint::Then,
            None => {
                // "list the files in 'My Docs'", where there is none.
                let placeless = found.last().is_some_and(|placed| match &placed.clause {
                    Clause::List(e) | Clause::Find(e) | Clause::CountEntries(e) => !e.is_placed(),
                    _ => false,
                });
                if placeless && let Some(named) = bare_name(&c) {
                    return Err(named);
                }
                // "count the lines in src"
                let of_files =
                    found.last().is_some_and(|placed| matches!(placed.clause, Clause::Count { .. }));
                if of_files && let Some((_, folder)) = c.folder_at_furthest() {
                    return Err(NotUnderstood::unclear(folder, A_FOLDER));
                }
                return Err(NotUnderstood::words(c.rest()));
            }
        }
    }
}

/// "Find csv files and json files in data": the place behind the last is meant for those before it, too.
fn with_shared_places(mut clauses: Vec<Placed>) -> Result<Vec<Placed>, NotUnderstood> {
    for at in (1..clauses.len()).rev() {
        let (before, behind) = clauses.split_at_mut(at);
        let (Some(first), Some(second)) = (before.last_mut(), behind.first()) else { continue };
        let alike = std::mem::discriminant(&first.clause) == std::mem::discriminant(&second.clause);
        let (Some(e), Some(placed)) = (first.clause.entries_mut(), second.clause.entries()) else { continue };
        if second.after_previous || e.is_placed() || !placed.is_placed() {
            continue;
        }
        // What stands behind the place may be said of both or of one.
        if !alike || placed.trailing || e.recursive != placed.recursive {
            return Err(NotUnderstood::unclear(&first.words, SAY_BOTH_PLACES));
        }
        e.places.clone_from(&placed.places);
        e.there.clone_from(&placed.there);
    }
    Ok(clauses)
}

const SAY_BOTH_PLACES: &str = "the folder of what follows may be meant for it, too, or not: say the folder in each part, as in \
                               \"find .csv files in data and find .json files in data\"";

/// The words that are left over, or that a name without a slash is no path.
fn not_understood(c: &Cursor<'_>) -> NotUnderstood {
    // "read src"
    if let Some((at, folder)) = c.folder_at_furthest()
        && at == c.at() + 1
    {
        return NotUnderstood::unclear(folder, A_FOLDER);
    }
    bare_name(c).unwrap_or_else(|| NotUnderstood::words(c.unclear_from_furthest()))
}

const A_FOLDER: &str =
    "it is a folder here: say \"the files in …\", \"list …\", \"search … for …\" or \"how big is …\"";

fn bare_name(c: &Cursor<'_>) -> Option<NotUnderstood> {
    const BEFORE: &[&str] = &["in", "inside", "within", "under", "below"];
    let name = c.bare_at_furthest(BEFORE, &["and", "then", "for", "to"])?;
    let whole = c.place().cwd.is_none();
    Some(NotUnderstood::BareName { name: refusal::cut(name, 120), whole })
}

/// `1.`, `2)`, `-`, `*` before a clause.
fn bullet(c: &mut Cursor<'_>) -> bool {
    let step = c.attempt(|c| {
        c.need(&["step"])?;
        words::number(c)?;
        c.punctuation(Kind::Stop).then_some(())
    });
    if step.is_some() {
        return true;
    }
    let dash = c.word(|t| matches!(t.text.as_str(), "-" | "*" | "•")).is_some();
    dash || c
        .attempt(|c| {
            let token = c.word(|t| {
                t.text.trim_end_matches(')').bytes().all(|b| b.is_ascii_digit()) && t.text.len() <= 3
            })?;
            let numbered = token.text.ends_with(')') || c.punctuation(Kind::Stop);
            numbered.then_some(())
        })
        .is_some()
}

fn joint(c: &mut Cursor<'_>) -> Option<Joint> {
    let mut joint = None;
    loop {
        // "second line of FILE" is no second step.
        let ahead = |c: &mut Cursor<'_>| lines::ordinal(c).and_then(|_| c.need(lines::LINES));
        let of_lines = c.clone().last_resort(ahead).is_some();
        if c.take(|t| matches!(t.kind, Kind::Semicolon | Kind::Stop | Kind::Newline)).is_some()
            || (!of_lines && c.accept(THEN))
        {
            joint = Some(Joint::Then);
        } else if c.punctuation(Kind::Comma) || c.accept(AND) {
            joint = joint.or(Some(Joint::And));
        } else if bullet(c) {
            joint = Some(Joint::Then);
        } else {
            return joint;
        }
    }
}

fn polite(c: &mut Cursor<'_>) {
    while c
        .attempt(|c| {
            c.punctuation(Kind::Comma);
            // "first 3 lines" is no beginning of a row of steps.
            let edge = |ahead: &mut Cursor<'_>| {
                ahead.need(&["first"])?;
                words::number(ahead).or_else(|| ahead.need(&["line", "lines"]).map(|()| 1))
            };
            if c.attempt_from(edge).is_some() {
                return None;
            }
            c.need(POLITE)
        })
        .is_some()
    {}
    // A comma behind the last of them.
    let _comma = c.at() > 0 && c.punctuation(Kind::Comma);
}

fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    polite(c);
    let rules: [fn(&mut Cursor<'_>) -> Option<Clause>; 14] = [
        run::clause,
        fetch::clause,
        compare::clause,
        hash::clause,
        disk::clause,
        count::clause,
        search::clause,
        read::clause,
        list::clause,
        in_place,
        lines::clause,
        state::clause,
        machine::clause,
        // Last: what another rule knows as well is done without a program.
        run::without_verb,
    ];
    let readings = rules.into_iter().filter_map(|rule| c.attempt_from(rule));
    // The longest reading; of two equally long ones the earlier rule's.
    let (after, clause) =
        readings.reduce(|best, next| if next.0.at() > best.0.at() { next } else { best })?;
    *c = after;
    Some(clause)
}

/// "In /tmp, find the largest file": the place stands first.
fn in_place(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(&["in", "inside", "within", "from", "under"])?;
    let places = named::several(c, named::folder)?;
    c.punctuation(Kind::Comma);
    polite(c);
    let (after, clause) = [list::placeless as fn(&mut Cursor<'_>) -> Option<Clause>, count::placeless]
        .into_iter()
        .filter_map(|rule| c.attempt_from(rule))
        .max_by_key(|(after, _)| after.at())?;
    *c = after;
    match clause {
        Clause::List(mut e) if !e.is_placed() => {
            e.places = places;
            Some(Clause::List(e))
        }
        Clause::Find(mut e) if !e.is_placed() => {
            e.places = places;
            Some(Clause::Find(e))
        }
        Clause::CountEntries(mut e) if !e.is_placed() => {
            e.places = places;
            Some(Clause::CountEntries(e))
        }
        Clause::List(_)
        | Clause::Find(_)
        | Clause::CountEntries(_)
        | Clause::Show(_)
        | Clause::Read { .. }
        | Clause::Count { .. }
        | Clause::CountFound(_)
        | Clause::Search { .. }
        | Clause::CountHolding { .. }
        | Clause::Hash { .. }
        | Clause::DiskUse { .. }
        | Clause::Compare(..)
        | Clause::Fetch(_)
        | Clause::Run(_)
        | Clause::Program { .. }
        | Clause::CountMatches
        | Clause::Here
        | Clause::Unclear(_) => None,
    }
}
