//! What a clause works on: named paths, files by description, a quoted text, or what an
//! earlier clause gave ("it", "them", "the output").

use super::cursor::{Cursor, Table};
use super::entries::{self, Entries};
use super::globbed;
use super::named::{self, Named};
use super::token::Kind;
use crate::FindKind;

/// What a clause works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Named(Vec<Named>),
    Entries(Box<Entries>),
    /// A text given in the goal itself.
    Literal(String),
    /// What an earlier clause gave, and the words that say so.
    Earlier(Earlier, String),
}

impl Whom {
    /// Whether it is what an earlier clause names, finds or gives.
    pub(super) fn points_back(&self) -> bool {
        matches!(self, Whom::Earlier(..))
    }

    /// What to say instead, where the words leave something open.
    pub(super) fn left_open(&self) -> Option<&'static str> {
        match self {
            Whom::Entries(e) => e.left_open().or_else(|| e.names.then_some(entries::OF_NAMES)),
            Whom::Named(_) | Whom::Literal(_) | Whom::Earlier(..) => None,
        }
    }
}

/// How a goal points back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Earlier {
    /// "it"
    One,
    /// "them"
    Many,
    /// "the output"
    Output,
}

pub(super) const EARLIER: &Table<Earlier> = &[
    ("it", Earlier::One),
    ("that", Earlier::One),
    ("this", Earlier::One),
    ("that file", Earlier::One),
    ("this file", Earlier::One),
    ("the file", Earlier::One),
    ("the same file", Earlier::One),
    ("them", Earlier::Many),
    ("they", Earlier::Many),
    ("these", Earlier::Many),
    ("those", Earlier::Many),
    ("each", Earlier::Many),
    ("the ones", Earlier::Many),
    ("the ones in it", Earlier::Many),
    ("the ones in there", Earlier::Many),
    ("all of them", Earlier::Many),
    ("them all", Earlier::Many),
    ("all of these", Earlier::Many),
    ("all of those", Earlier::Many),
    ("each of them", Earlier::Many),
    ("each of these", Earlier::Many),
    ("each of those", Earlier::Many),
    ("each one", Earlier::Many),
    ("each one of them", Earlier::Many),
    ("every one of them", Earlier::Many),
    ("these files", Earlier::Many),
    ("those files", Earlier::Many),
    ("the files", Earlier::Many),
    ("each file", Earlier::Many),
    ("every file", Earlier::Many),
    ("each of the files", Earlier::Many),
    ("each of those files", Earlier::Many),
    ("each of these files", Earlier::Many),
    ("all the files", Earlier::Many),
    ("all of the files", Earlier::Many),
    ("the files found", Earlier::Many),
    ("the found files", Earlier::Many),
    ("the files you found", Earlier::Many),
    ("the matching files", Earlier::Many),
    ("all files", Earlier::Many),
    ("those folders", Earlier::Many),
    ("these folders", Earlier::Many),
    ("the output", Earlier::Output),
    ("its output", Earlier::Output),
    ("that output", Earlier::Output),
    ("the result", Earlier::Output),
    ("the results", Earlier::Output),
    ("the page", Earlier::Output),
    ("that page", Earlier::Output),
    ("the response", Earlier::Output),
    ("the body", Earlier::Output),
    ("the text", Earlier::Output),
    ("the content", Earlier::Output),
    ("its content", Earlier::Output),
    ("its contents", Earlier::Output),
    ("the contents", Earlier::Output),
    ("those lines", Earlier::Output),
    ("these lines", Earlier::Output),
    ("the lines", Earlier::Output),
];

/// "its lines", "their size": the owner in front of what it owns.
pub(super) const OWNERS: &Table<Earlier> = &[
    ("its", Earlier::One),
    ("their", Earlier::Many),
    ("the file's", Earlier::One),
    ("the output's", Earlier::Output),
];

const LITERAL: &[&str] = &[
    "the text",
    "the string",
    "the phrase",
    "the sentence",
    "the word",
    "text",
    "string",
    "phrase",
    "sentence",
    "this text",
    "this string",
    "this sentence",
    "the following text",
];

/// Files: named, described with their folder, or pointed back to.
pub(super) fn files(c: &mut Cursor<'_>) -> Option<Whom> {
    whom(c, named::file, Some(FindKind::File))
}

/// Files or folders.
pub(super) fn anything(c: &mut Cursor<'_>) -> Option<Whom> {
    whom(c, named::either, None)
}

fn whom(
    c: &mut Cursor<'_>,
    one: fn(&mut Cursor<'_>) -> Option<Named>,
    only: Option<FindKind>,
) -> Option<Whom> {
    // Each reading is tried from here; the longest is meant.
    let readings = [
        c.attempt_from(|c| described(c)),
        c.attempt_from(|c| literal(c, only.is_some())),
        c.attempt_from(|c| contents_of(c, one)),
        c.attempt_from(earlier),
        c.attempt_from(|c| globbed::globbed(c, only)).map(|(after, e)| (after, Whom::Entries(Box::new(e)))),
    ];
    let (after, whom) = readings.into_iter().flatten().max_by_key(|(after, _)| after.at())?;
    *c = after;
    Some(whom)
}

fn contents_of(c: &mut Cursor<'_>, one: fn(&mut Cursor<'_>) -> Option<Named>) -> Option<Whom> {
    c.accept(&[
        "the contents of",
        "the content of",
        "contents of",
        "the text of",
        "both",
        "all of",
        "each of",
    ]);
    named::several(c, one).map(Whom::Named)
}

fn described(c: &mut Cursor<'_>) -> Option<Whom> {
    let entries = entries::entries(c)?;
    // "all .log files" and "the newest file" say which without a place, "the files" points back.
    let told = entries.limit.is_some() || entries.name.as_ref().is_some_and(|name| name.starts_with('*'));
    let told = told && entries.noun != entries::Noun::Any;
    (entries.is_placed() || told).then(|| Whom::Entries(Box::new(entries)))
}

/// A quoted text; one bare word may follow "the word" where it can be no place to look.
fn literal(c: &mut Cursor<'_>, bare: bool) -> Option<Whom> {
    let word = bare && c.clone().accept(&["the word"]);
    c.need(LITERAL)?;
    let _colon = c.punctuation(Kind::Stop);
    let token = c.take(|t| t.kind == Kind::Quoted || (word && t.kind == Kind::Word))?;
    Some(Whom::Literal(token.text.clone()))
}

/// Whether a word points back.
pub(super) fn is_earlier(word: &str) -> bool {
    EARLIER.iter().any(|(phrase, _)| *phrase == word)
}

pub(super) fn earlier(c: &mut Cursor<'_>) -> Option<Whom> {
    let from = c.at();
    let earlier = c.choose(EARLIER)?;
    Some(Whom::Earlier(earlier, c.since(from).to_owned()))
}

/// "its" or "their", before what is asked of it.
pub(super) fn owner(c: &mut Cursor<'_>) -> Option<Whom> {
    let from = c.at();
    let earlier = c.choose(OWNERS)?;
    Some(Whom::Earlier(earlier, c.since(from).to_owned()))
}
