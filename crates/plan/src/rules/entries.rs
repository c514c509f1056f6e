//! "The 5 largest .log files in /var/log older than a week": files and folders by description.
//!
//! Promises: a condition is taken at most once, a second of its kind stays over and so refuses
//! the goal; vague words (large, recent, interesting) are no conditions.

use super::conditions::{is_ending, quality, whole};
use super::cursor::{Cursor, Table};
use super::extent::{DETAILS, HIDDEN, ONLY, RECURSION};
use super::kinds;
use super::named::{self, Named};
use super::orders::{self, ORDERS, Order};
use super::sought::Sought;
use super::token::{Kind, Token};
use super::words::{IN, number};
use crate::{ChangedOn, FindKind, SizeBound, SortBy};
use octollm_contract::Millis;

/// What a noun means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Noun {
    /// "files": regular files, and in a plain listing whatever lies in the folder.
    #[default]
    Files,
    /// "folders".
    Folders,
    /// "files and folders", "everything".
    Any,
}

/// Files and folders by description. What is absent is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    pub(super) noun: Noun,
    pub(super) only: Option<FindKind>,
    pub(super) name: Option<String>,
    pub(super) newer_than: Option<Millis>,
    pub(super) older_than: Option<Millis>,
    pub(super) changed: Option<ChangedOn>,
    pub(super) size: Option<SizeBound>,
    pub(super) containing: Option<Sought>,
    pub(super) sort: Option<SortBy>,
    pub(super) limit: Option<u32>,
    pub(super) recursive: Option<bool>,
    pub(super) hidden: Option<bool>,
    /// "all files", "every folder": nothing is to be left out.
    pub(super) every: bool,
    /// The name is a pattern that stands in a path, as a shell has it.
    pub(super) expanded: bool,
    pub(super) places: Vec<Named>,
    /// The words that point back to the folder: "in it".
    pub(super) there: Option<String>,
    /// In the order of the names turned around.
    pub(super) turned: bool,
    /// "everything", "items": too little to be said without a place.
    pub(super) vague: bool,
    /// Size and time of each are wanted, too.
    pub(super) details: bool,
    /// So they are by the way, as in `ls -l`: readers that have no word for it show names.
    pub(super) long: bool,
    /// The noun is in the singular.
    pub(super) one: bool,
    /// It is named, and must be there.
    pub(super) must: bool,
    /// The folder itself fits, too: `find src -type d`.
    pub(super) itself: bool,
    /// Only how many there are is wanted.
    pub(super) count: bool,
    /// The folder need not be there: "does src/main.rs exist?"
    pub(super) if_there: bool,
    /// Their names are asked for, or a list of them.
    pub(super) names: bool,
    /// A condition stands behind the place.
    pub(super) trailing: bool,
    /// What to say instead of a condition that may mean two things.
    pub(super) unclear: Option<&'static str>,
}

const NAMES_HOLDING: &str =
    "say \"the files with '…' in the name\", or \"the files containing '…'\" for the text in them";
/// What works on files works on what is in them.
pub(super) const OF_NAMES: &str = "it would be done with what is in the files, not with their names: leave out the names or \
                                   the list if that is meant, or say \"list the files in …\"";

impl Entries {
    /// Whether the goal says where they are.
    pub(super) fn is_placed(&self) -> bool {
        !self.places.is_empty() || self.there.is_some()
    }

    /// What to say instead, where the words leave something open.
    pub(super) fn left_open(&self) -> Option<&'static str> {
        let held = self.containing.as_ref();
        let named = || held.filter(|_| self.names).map(|_| NAMES_HOLDING);
        self.unclear.or_else(named).or_else(|| held.and_then(Sought::left_open))
    }

    /// Whether there is a condition on the time of the last change.
    pub(super) fn is_aged(&self) -> bool {
        self.newer_than.is_some() || self.older_than.is_some() || self.changed.is_some()
    }
}

pub(super) const NOUNS: &Table<Noun> = &[
    ("file", Noun::Files),
    ("files", Noun::Files),
    ("filenames", Noun::Files),
    ("file names", Noun::Files),
    ("folder", Noun::Folders),
    ("folders", Noun::Folders),
    ("directory", Noun::Folders),
    ("directories", Noun::Folders),
    ("dirs", Noun::Folders),
    ("subfolders", Noun::Folders),
    ("sub-folders", Noun::Folders),
    ("subdirectories", Noun::Folders),
    ("sub-directories", Noun::Folders),
    ("files and folders", Noun::Any),
    ("folders and files", Noun::Any),
    ("files and directories", Noun::Any),
    ("directories and files", Noun::Any),
    ("entries", Noun::Any),
    ("items", Noun::Any),
    ("everything", Noun::Any),
    ("anything", Noun::Any),
];

const LIST_OF: &[&str] = &[
    "a list of",
    "the list of",
    "list of",
    "the names of",
    "names of",
    "the name of",
    "a listing of",
    "me",
    "out",
    "the paths of",
    "the path of",
    "the path to",
];
const DETERMINER: &[&str] = &["the", "a", "an", "any", "my", "both"];

/// The folder that the goal has spoken of.
pub(super) const THERE: &[&str] = &[
    "it",
    "there",
    "that folder",
    "that directory",
    "the folder",
    "the directory",
    "the same folder",
    "the same directory",
];

pub(super) const WHICH_ARE: &[&str] = &[
    "that are",
    "which are",
    "that were",
    "which were",
    "that is",
    "which is",
    "that was",
    "that have been",
    "which have been",
    "that has been",
    "are",
    "were",
    "is",
    "have been",
    "has been",
    "been",
    "that have",
    "which have",
    "there are",
    "are there",
    "that",
    "which",
];
/// "which file was modified last?"
const LAST_CHANGED: &[&str] = &[
    "was modified last",
    "was changed last",
    "was edited last",
    "was updated last",
    "was last modified",
    "was last changed",
    "was last edited",
    "was last updated",
    "was modified most recently",
    "was changed most recently",
    "was most recently modified",
    "was most recently changed",
    "changed last",
    "changed most recently",
];
const LYING: &[&str] = &[
    "located",
    "stored",
    "present",
    "contained",
    "found",
    "lying",
    "that live",
    "which live",
    "that exist",
    "existing",
    "which exist",
    "that i have",
    "i have",
    "do i have",
    "directly",
    "there are",
    "exist",
];

const BOTH_KINDS: &str = "the ending is one of files: ask for the files and for the folders, each with its place, as in \
                          \"find .rs files in src and find folders in src\"";
const ONE_OR_ALL: &str = "say \"the … file\" for one, or \"the … files\" for all of them in that order";

/// Reads a description. Its places may be empty; the caller knows whether one is needed.
pub(super) fn entries(c: &mut Cursor<'_>) -> Option<Entries> {
    c.attempt(|c| {
        let mut e = Entries::default();
        let begins = c.at();
        e.names = c.accept(LIST_OF) && c.since(begins).contains(' ');
        // "a list of file" is one of all.
        let mut listed =
            ["list of", "names of"].iter().any(|of| c.since(begins).to_ascii_lowercase().ends_with(of));
        // "all file" is said of all.
        let each = c.accept(&["every", "each", "all", "all the", "all of the", "all my"]);
        if !each {
            listed &= !c.accept(DETERMINER);
        }
        e.every = each;
        while c.attempt(|c| before_noun(c, &mut e)).is_some() {}
        let ending = if each && e.name.is_none() { c.attempt(ending_in_place) } else { None };
        let ended = ending.is_some();
        e.name = e.name.or(ending);
        let ordered = e.sort.is_some() && e.limit.is_none();
        let noun_from = c.at();
        match c.choose(NOUNS) {
            Some(noun) => {
                e.noun = noun;
                e.every |= c.since(noun_from).eq_ignore_ascii_case("everything");
                // "rs files and folders": all folders, or those whose names end so?
                if noun == Noun::Any && e.name.as_ref().is_some_and(|name| name.starts_with('*')) {
                    e.unclear = Some(BOTH_KINDS);
                }
                if e.name.is_none() {
                    // "the file Cargo.toml"
                    e.name = c.word(named::is_bare_file).map(|t| whole(&t.text));
                }
            }
            // "find *.log in /var/log", "find Cargo.toml in /src": a name needs no noun.
            None => {
                e.noun = Noun::Any;
                if ended {
                    e.noun = Noun::Files;
                } else if e.name.is_none() {
                    e.name = Some(whole(&c.word(named::is_bare_file)?.text));
                }
                if e.only.is_some() {
                    return None;
                }
                if ordered {
                    e.unclear = Some(ONE_OR_ALL);
                }
            }
        }
        let noun = c.since(noun_from).to_ascii_lowercase();
        e.vague = matches!(noun.as_str(), "everything" | "anything" | "items" | "entries");
        e.names |= matches!(noun.as_str(), "filenames" | "file names");
        let one = matches!(noun.as_str(), "file" | "folder" | "directory");
        e.one = one;
        // "the largest file" is one, "the largest files" are all of them in that order.
        if one && ordered {
            e.limit = Some(1);
        }
        after_noun(c, &mut e);
        // "folders and files ending in .rs"
        let folders_first = ["folders and", "directories and"].iter().any(|both| noun.starts_with(both));
        if folders_first && e.name.as_ref().is_some_and(|name| name.starts_with('*')) {
            e.unclear.get_or_insert(BOTH_KINDS);
        }
        // "a file in /tmp" is one of many, and nobody said which.
        let told = e.name.is_some() || e.limit.is_some() || e.containing.is_some();
        let told = told || e.size.is_some() || e.is_aged();
        (each || listed || !one || told).then_some(e)
    })
}

/// "every .iso in /srv", "all pdfs in ~": an ending needs no noun there.
fn ending_in_place(c: &mut Cursor<'_>) -> Option<String> {
    // "every csv", "all pdfs"
    let of_kind = |word: &str| kinds::KINDS.iter().find(|(kind, ending)| kind == ending && *kind == word);
    let singular = |t: &Token| of_kind(&t.lower).or_else(|| of_kind(t.lower.strip_suffix('s')?));
    let token = c.word(|t| is_ending(&t.text) || singular(t).is_some())?;
    let ending = singular(token).map_or(token.text.clone(), |(_, ending)| format!(".{ending}"));
    c.clone().accept(IN).then(|| format!("*{ending}"))
}

/// Reads the conditions that may follow a noun or a place, as many as there are.
pub(super) fn after_noun(c: &mut Cursor<'_>, e: &mut Entries) {
    loop {
        let placed = e.is_placed();
        let found = c.attempt(|c| {
            c.punctuation(Kind::Comma);
            condition(c, e)
        });
        if found.is_none() {
            return;
        }
        e.trailing |= placed;
    }
}

/// Puts `value` where nothing is yet; a second condition of one kind is not understood.
pub(super) fn set<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    if slot.is_some() {
        return None;
    }
    *slot = Some(value);
    Some(())
}

fn before_noun(c: &mut Cursor<'_>, e: &mut Entries) -> Option<()> {
    let ordered = c.attempt(|c| {
        let first = c.accept(&["first"]);
        c.accept(&["top"]);
        let before = c.attempt(number);
        let Some(order) = c.choose(ORDERS) else {
            return (first && before.is_some()).then_some((SortBy::Name, before));
        };
        Some((order, before.or_else(|| c.attempt(number))))
    });
    if let Some((order, limit)) = ordered {
        set(&mut e.sort, order)?;
        return match limit {
            Some(limit) => set(&mut e.limit, limit),
            None => Some(()),
        };
    }
    if c.accept(&["regular"]) {
        return set(&mut e.only, FindKind::File);
    }
    if c.accept(&["only", "just", "only the", "just the"]) {
        let mut ahead = c.clone();
        let folders = ahead.choose(NOUNS) == Some(Noun::Folders);
        return set(&mut e.only, if folders { FindKind::Folder } else { FindKind::File });
    }
    if c.accept(&["empty"]) {
        return set(&mut e.size, SizeBound { at_least: None, at_most: Some(0) });
    }
    if c.accept(&["non-hidden", "visible"]) {
        return set(&mut e.hidden, false);
    }
    if c.accept(&["hidden", "dot"]) {
        return set(&mut e.name, ".*".to_owned());
    }
    let text = c.attempt(|c| {
        c.need(&["text"])?;
        c.peek().filter(|t| matches!(t.lower.as_str(), "file" | "files")).map(|_| ())
    });
    if text.is_some() {
        return set(&mut e.unclear, "say \".txt files\" for those whose names end so");
    }
    set(&mut e.name, kinds::name(c)?)
}

/// "in: /tmp", "the folder: /tmp"
pub(super) fn colon(c: &mut Cursor<'_>) {
    c.take(|t| t.kind == Kind::Stop && t.text == ":");
}

/// What lies below a folder lies in those below it, too.
const BELOW: &[&str] = &["under", "below", "beneath", "underneath"];

fn condition(c: &mut Cursor<'_>, e: &mut Entries) -> Option<()> {
    if let Some(recursive) = c.choose(RECURSION) {
        return set(&mut e.recursive, recursive);
    }
    if let Some(hidden) = c.choose(HIDDEN) {
        return set(&mut e.hidden, hidden);
    }
    // "with size 0" is a condition.
    let details = |c: &mut Cursor<'_>| {
        c.need(DETAILS)?;
        c.peek().is_none_or(|t| !t.text.starts_with(|f: char| f.is_ascii_digit())).then_some(())
    };
    if !e.details && c.attempt(details).is_some() {
        e.details = true;
        return Some(());
    }
    if let Some(only) = c.choose(ONLY) {
        return set(&mut e.only, only);
    }
    if !e.is_placed() && e.noun != Noun::Any && c.accept(&["only"]) {
        // "folders only"
        return set(&mut e.only, if e.noun == Noun::Folders { FindKind::Folder } else { FindKind::File });
    }
    if e.one && c.accept(LAST_CHANGED) {
        set(&mut e.limit, 1)?;
        return set(&mut e.sort, SortBy::Newest);
    }
    if e.one
        && let Some(order) = c.attempt(|c| {
            c.need(&["is the", "is"])?;
            c.choose(ORDERS)
        })
    {
        set(&mut e.limit, 1)?;
        return set(&mut e.sort, order);
    }
    match orders::order(c) {
        Some(Order::Turned) => {
            e.turned = true;
            return set(&mut e.sort, SortBy::Name);
        }
        Some(Order::By(order)) => return set(&mut e.sort, order),
        None => {}
    }
    if !e.is_placed() {
        let places = c.attempt(|c| {
            c.accept(WHICH_ARE);
            c.accept(LYING);
            if c.accept(&["here", "in here"]) {
                return Some(vec![Named { path: ".".into(), called: named::Called::Folder }]);
            }
            let anywhere = c.accept(&["anywhere", "somewhere"]) || c.clone().accept(BELOW);
            c.need(IN)?;
            colon(c);
            let places = named::several(c, named::folder)?;
            if anywhere {
                e.recursive.get_or_insert(true);
            }
            Some(places)
        });
        if let Some(places) = places {
            e.places = places;
            return Some(());
        }
        let there = c.attempt(|c| {
            c.accept(WHICH_ARE);
            c.accept(LYING);
            c.need(&["in", "inside", "within", "from"])?;
            let from = c.at();
            c.need(THERE)?;
            Some(c.since(from).to_owned())
        });
        if there.is_some() {
            e.there = there;
            return Some(());
        }
    }
    c.attempt(|c| {
        let mut with_and = c.clone();
        if with_and.accept(&["and", "but", "and that", "and which", "but that"])
            && quality(&mut with_and, e).is_some()
        {
            *c = with_and;
            return Some(());
        }
        quality(c, e)
    })
}
