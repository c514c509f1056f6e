//! Conditions on one file or folder: its age, its size, its name, a text in it.
//!
//! Promises: those of [`super::entries`], whose descriptions these are parts of.

use super::bare;
use super::cursor::{Cursor, Table};
use super::entries::{Entries, WHICH_ARE, set};
use super::search;
use super::token::{Kind, Token};
use super::words::{self, IN, duration, last_duration, number, size};
use crate::{ChangedOn, SizeBound};
use octollm_contract::Millis;

/// A condition on the entry itself.
pub(super) fn quality(c: &mut Cursor<'_>, e: &mut Entries) -> Option<()> {
    if let Some((age, length)) = c.attempt(age) {
        return match age {
            Age::Newer => set(&mut e.newer_than, length),
            Age::Older => set(&mut e.older_than, length),
        };
    }
    if let Some(days) = c.attempt(days) {
        return set(&mut e.changed, days);
    }
    if let Some(bound) = c.attempt(size_bound) {
        e.size = Some(both(e.size, bound)?);
        return Some(());
    }
    if c.attempt(of_characters).is_some() {
        return set(&mut e.unclear, bare::SAY_CHARACTERS);
    }
    if let Some(glob) = c.attempt(name) {
        return match glob {
            Ok(glob) => set(&mut e.name, glob),
            Err(why) => set(&mut e.unclear, why),
        };
    }
    if let Some(why) = c.attempt(no_size) {
        return set(&mut e.unclear, why);
    }
    if let Some(why) = c.attempt(without_unit) {
        return set(&mut e.unclear, why);
    }
    match c.attempt(search::containing)? {
        Ok(sought) => set(&mut e.containing, sought),
        Err(why) => set(&mut e.unclear, why),
    }
}

/// "larger than 5 MB" and "smaller than 10 MB": one bound for each end.
fn both(first: Option<SizeBound>, second: SizeBound) -> Option<SizeBound> {
    let (at_least, at_most) = match (first, second) {
        (None, second) => return Some(second),
        (
            Some(SizeBound { at_least: Some(least), at_most: None }),
            SizeBound { at_least: None, at_most: Some(most) },
        )
        | (
            Some(SizeBound { at_least: None, at_most: Some(most) }),
            SizeBound { at_least: Some(least), at_most: None },
        ) => (least, most),
        (Some(_), _) => return None,
    };
    (at_least <= at_most).then_some(SizeBound { at_least: Some(at_least), at_most: Some(at_most) })
}

/// "bigger than 99999999999999 GB", "bigger than 1.00001 MB".
fn no_size(c: &mut Cursor<'_>) -> Option<&'static str> {
    c.accept(WHICH_ARE);
    c.accept(SIZE_LEAD);
    c.choose(SIZES)?;
    let number = c.word(|t| t.lower.starts_with(|f: char| f.is_ascii_digit()))?;
    let at = number.lower.find(|f: char| !f.is_ascii_digit() && f != '.').unwrap_or(number.lower.len());
    let (digits, unit) = number.lower.split_at(at);
    let glued = || words::SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes);
    let unit = if unit.is_empty() { c.choose(words::SIZE_UNITS)? } else { glued()? };
    Some(match digits.contains('.') {
        true if unit == 1 => "bytes are whole: write 1000 or 1,000 for a thousand",
        true => "say the size with at most three digits behind the point, or in a smaller unit",
        false => "no file is as large as that, or as small",
    })
}

/// "bigger than 10", "older than 30": a number without a unit, and what to say instead.
fn without_unit(c: &mut Cursor<'_>) -> Option<&'static str> {
    c.accept(WHICH_ARE);
    let why = if c.choose(AGES).is_some() {
        "say a unit of time, such as 30 days"
    } else {
        c.choose(SIZES)?;
        "say a unit, such as 10 MB"
    };
    number(c)?;
    let ends = c.peek().is_none_or(|t| matches!(t.kind, Kind::Semicolon | Kind::Stop | Kind::Newline));
    (ends || c.clone().accept(IN)).then_some(why)
}

/// "modified today", "not changed today".
fn days(c: &mut Cursor<'_>) -> Option<ChangedOn> {
    if c.accept(UNCHANGED) {
        return c.accept(&["today"]).then_some(ChangedOn::BeforeToday);
    }
    c.accept(WHICH_ARE);
    c.need(CHANGED)?;
    c.choose(DAYS)
}

fn age(c: &mut Cursor<'_>) -> Option<(Age, Millis)> {
    if c.accept(UNCHANGED) {
        if !c.accept(WITHIN_LAST) {
            c.need(&["for", "in", "since"])?;
        }
        c.accept(&["at least", "more than", "over"]);
        return Some((Age::Older, last_duration(c)?));
    }
    c.accept(WHICH_ARE);
    let changed = c.accept(CHANGED);
    if let Some(age) = c.choose(AGES) {
        return Some((age, duration(c)?));
    }
    if changed && c.accept(WITHIN_LAST) {
        return Some((Age::Newer, last_duration(c)?));
    }
    let age = c.choose(AGES_OLD)?;
    let length = duration(c)?;
    let ends: &[&str] = if changed { &["ago"] } else { &["old", "of age"] };
    c.need(ends)?;
    Some((age, length))
}

fn size_bound(c: &mut Cursor<'_>) -> Option<SizeBound> {
    c.accept(WHICH_ARE);
    if c.accept(NO_SIZE) {
        c.accept(&["bytes", "byte", "kb"]);
        return Some(SizeBound { at_least: None, at_most: Some(0) });
    }
    c.accept(SIZE_LEAD);
    if c.accept(&["between"]) {
        let at_least = size_or_number_of(c)?;
        c.need(&["and"])?;
        let at_most = size(c)?;
        c.accept(SIZE_TAIL);
        return (at_least <= at_most)
            .then_some(SizeBound { at_least: Some(at_least), at_most: Some(at_most) });
    }
    if c.accept(&["empty"]) {
        return Some(SizeBound { at_least: None, at_most: Some(0) });
    }
    let bound = c.choose(SIZES);
    let value = size(c)?;
    let bound = match bound {
        Some(bound) => bound,
        None if c.accept(&[
            "or more",
            "or larger",
            "or bigger",
            "or above",
            "and more",
            "and larger",
            "and above",
        ]) =>
        {
            Bound::AtLeast
        }
        None if c.accept(&["or less", "or smaller", "or below"]) => Bound::AtMost,
        None => return None,
    };
    c.accept(SIZE_TAIL);
    let (at_least, at_most) = match bound {
        Bound::Over => (Some(value.checked_add(1)?), None),
        Bound::AtLeast => (Some(value), None),
        Bound::Under => (None, Some(value.checked_sub(1)?)),
        Bound::AtMost => (None, Some(value)),
        Bound::Exactly => (Some(value), Some(value)),
    };
    Some(SizeBound { at_least, at_most })
}

/// The first of two sizes, which may borrow its unit from the second: "between 1 and 2 MB".
fn size_or_number_of(c: &mut Cursor<'_>) -> Option<u64> {
    if let Some(whole) = size(c) {
        return Some(whole);
    }
    let count = u64::from(number(c)?);
    let mut ahead = c.clone();
    ahead.need(&["and"])?;
    number(&mut ahead)?;
    count.checked_mul(ahead.choose(words::SIZE_UNITS)?)
}

/// "with spaces in their names", "starting with a digit".
fn of_characters(c: &mut Cursor<'_>) -> Option<()> {
    c.accept(&["that are", "which are", "that is", "are"]);
    let relation = c.choose(NAMES);
    match relation {
        Some(Name::Beginning | Name::Holding | Name::Ending) => {
            c.accept(&["a", "an", "any"]);
            c.word(bare::is_character)?;
        }
        Some(Name::Whole | Name::Glob | Name::Extension) => return None,
        None => {
            c.need(&["with", "with a", "with an", "having", "having a", "with any"])?;
            c.word(bare::is_character)?;
            c.need(IN_THE_NAME)?;
        }
    }
    Some(())
}

const IN_THE_NAME: &[&str] = &[
    "in the name",
    "in the names",
    "in their name",
    "in their names",
    "in its name",
    "in the filename",
    "in the file name",
];

/// The pattern of the names, or what to say instead.
fn name(c: &mut Cursor<'_>) -> Option<Result<String, &'static str>> {
    c.accept(&["that are", "which are", "that is", "are"]);
    let relation = match c.choose(NAMES) {
        Some(relation) => relation,
        None => {
            // "with .log extension", "with 'x' in the name"
            c.need(&["with", "with a", "with an", "having", "with the"])?;
            let token = c.take(|t| matches!(t.kind, Kind::Word | Kind::Quoted) && !t.text.is_empty())?;
            if is_ending(&token.text)
                && c.accept(&["extension", "extensions", "ending", "file extension", "suffix"])
            {
                return Some(Ok(format!("*{}", token.text)));
            }
            c.need(IN_THE_NAME)?;
            return literal(&token.text).map(|text| Ok(format!("*{text}*")));
        }
    };
    let token = c.take(|t| matches!(t.kind, Kind::Word | Kind::Quoted) && !t.text.is_empty())?;
    let text = token.text.as_str();
    if text.contains(['/', '\n']) || text.len() > 255 {
        return None;
    }
    if matches!(relation, Name::Whole) && is_quoted_pattern(token) {
        return Some(Err("in quotes * and ? are characters of the name: leave out the quotes for a pattern"));
    }
    let glob = match relation {
        Name::Whole if !matches!(token.lower.as_str(), "after" | "by" | "for" | "like") => Some(whole(text)),
        Name::Whole => None,
        Name::Glob => text.contains(['*', '?', '[']).then(|| text.to_owned()),
        Name::Ending if is_glob(text) && text.starts_with('*') => Some(text.to_owned()),
        Name::Ending => (token.kind == Kind::Quoted || is_ending(text))
            .then(|| literal(text))
            .flatten()
            .map(|t| format!("*{t}")),
        Name::Beginning => (token.kind == Kind::Quoted || is_plain(text) || is_letter(c, text))
            .then(|| literal(text))
            .flatten()
            .map(|t| format!("{t}*")),
        Name::Holding => literal(text).map(|t| format!("*{t}*")),
        Name::Extension => {
            let ending = text.trim_start_matches('*').trim_start_matches('.');
            is_ending(&format!(".{ending}")).then(|| format!("*.{ending}"))
        }
    };
    glob.map(Ok)
}

/// `"star*.txt"` may be the name of a file; nobody calls one `*.txt`.
fn is_quoted_pattern(token: &Token) -> bool {
    let ending = token.text.strip_prefix('*').is_some_and(is_ending);
    token.kind == Kind::Quoted && token.text.contains(['*', '?']) && !ending
}

/// A word of a name and not an article or a pronoun: "starting with the letter a" is no name.
fn is_plain(text: &str) -> bool {
    !matches!(text, "the" | "a" | "an" | "letter" | "letters" | "my" | "his" | "her" | "it")
}

/// "starting with a in /tmp": what follows leaves nothing for an article.
fn is_letter(c: &Cursor<'_>, text: &str) -> bool {
    let ends = c.is_done() || c.peek().is_some_and(|t| t.kind != Kind::Word && t.kind != Kind::Quoted);
    text == "a" && (ends || c.clone().accept(IN))
}

/// A whole name as a glob: with a `*` or a `?` it is one, else each character is itself.
pub(super) fn whole(name: &str) -> String {
    if name.contains(['*', '?']) {
        return name.to_owned();
    }
    name.replace('\\', "\\\\").replace('[', "\\[").replace('{', "\\{")
}

/// `text` as it stands inside a glob; what a glob would give a meaning is refused.
fn literal(text: &str) -> Option<&str> {
    (!text.contains(['*', '?', '[', ']', '{', '}', '\\', '/', '\n'])).then_some(text)
}

/// `.log`
pub(super) fn is_ending(text: &str) -> bool {
    let name = text.strip_prefix('.').unwrap_or_default();
    !name.is_empty()
        && name.len() <= 16
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_')
}

/// `*.log`, and nothing with a slash: the glob is over a name.
pub(super) fn is_glob(text: &str) -> bool {
    text.contains('*') && !text.contains(['/', ' ', '\n']) && text.len() <= 255
}

#[derive(Clone, Copy)]
pub(super) enum Name {
    Whole,
    Glob,
    Ending,
    Beginning,
    Holding,
    Extension,
}

pub(super) const NAMES: &Table<Name> = &[
    ("named", Name::Whole),
    ("called", Name::Whole),
    ("with the name", Name::Whole),
    ("with name", Name::Whole),
    ("whose name is", Name::Whole),
    ("by the name of", Name::Whole),
    ("matching", Name::Glob),
    ("that match", Name::Glob),
    ("match", Name::Glob),
    ("matching the pattern", Name::Glob),
    ("matching the glob", Name::Glob),
    ("whose name matches", Name::Glob),
    ("whose names match", Name::Glob),
    ("with names matching", Name::Glob),
    ("with a name matching", Name::Glob),
    ("with names like", Name::Glob),
    ("ending in", Name::Ending),
    ("ending with", Name::Ending),
    ("that end in", Name::Ending),
    ("that end with", Name::Ending),
    ("which end in", Name::Ending),
    ("which end with", Name::Ending),
    ("end in", Name::Ending),
    ("end with", Name::Ending),
    ("whose name ends in", Name::Ending),
    ("whose name ends with", Name::Ending),
    ("whose names end in", Name::Ending),
    ("whose names end with", Name::Ending),
    ("starting with", Name::Beginning),
    ("beginning with", Name::Beginning),
    ("that start with", Name::Beginning),
    ("that begin with", Name::Beginning),
    ("start with", Name::Beginning),
    ("begin with", Name::Beginning),
    ("whose name starts with", Name::Beginning),
    ("whose name begins with", Name::Beginning),
    ("whose names start with", Name::Beginning),
    ("whose names begin with", Name::Beginning),
    ("with names starting with", Name::Beginning),
    ("with a name starting with", Name::Beginning),
    ("with names beginning with", Name::Beginning),
    ("with a name beginning with", Name::Beginning),
    ("with names ending in", Name::Ending),
    ("with names ending with", Name::Ending),
    ("with a name ending in", Name::Ending),
    ("with a name ending with", Name::Ending),
    ("whose name contains", Name::Holding),
    ("whose names contain", Name::Holding),
    ("with names containing", Name::Holding),
    ("with a name containing", Name::Holding),
    ("with the extension", Name::Extension),
    ("with extension", Name::Extension),
    ("with the file extension", Name::Extension),
    ("with file extension", Name::Extension),
    ("whose extension is", Name::Extension),
    ("having the extension", Name::Extension),
    ("that have the extension", Name::Extension),
    ("have the extension", Name::Extension),
];

/// What a comparison with a size or an age means, after its words and before its value.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    Over,
    AtLeast,
    Under,
    AtMost,
    Exactly,
}

pub(super) const SIZES: &Table<Bound> = &[
    ("larger than", Bound::Over),
    ("bigger than", Bound::Over),
    ("greater than", Bound::Over),
    ("heavier than", Bound::Over),
    ("more than", Bound::Over),
    ("over", Bound::Over),
    ("above", Bound::Over),
    ("exceeding", Bound::Over),
    ("that exceed", Bound::Over),
    ("at least", Bound::AtLeast),
    ("no smaller than", Bound::AtLeast),
    ("not smaller than", Bound::AtLeast),
    ("no less than", Bound::AtLeast),
    ("smaller than", Bound::Under),
    ("less than", Bound::Under),
    ("lighter than", Bound::Under),
    ("under", Bound::Under),
    ("below", Bound::Under),
    ("at most", Bound::AtMost),
    ("up to", Bound::AtMost),
    ("no larger than", Bound::AtMost),
    ("not larger than", Bound::AtMost),
    ("no bigger than", Bound::AtMost),
    ("not bigger than", Bound::AtMost),
    ("no more than", Bound::AtMost),
    ("not more than", Bound::AtMost),
    ("exactly", Bound::Exactly),
    (">", Bound::Over),
    (">=", Bound::AtLeast),
    ("<", Bound::Under),
    ("<=", Bound::AtMost),
];
const SIZE_LEAD: &[&str] = &[
    "whose size is",
    "with a size",
    "with size",
    "with sizes",
    "of size",
    "with a size of",
    "with sizes of",
    "of",
    "having a size of",
    "that take",
    "using",
    "that use",
    "with",
    "weighing",
];
const NO_SIZE: &[&str] = &[
    "of size 0",
    "of size zero",
    "with size 0",
    "with size zero",
    "with a size of 0",
    "with a size of zero",
    "whose size is 0",
    "whose size is zero",
    "of 0 bytes",
    "of zero bytes",
    "with 0 bytes",
    "with zero bytes",
];
const SIZE_TAIL: &[&str] = &["in size", "large", "big", "of disk space", "of space"];

#[derive(Clone, Copy)]
pub(super) enum Age {
    Newer,
    Older,
}

/// Comparisons of an age that stand before the length of time.
pub(super) const AGES: &Table<Age> = &[
    ("newer than", Age::Newer),
    ("younger than", Age::Newer),
    ("more recent than", Age::Newer),
    ("not older than", Age::Newer),
    ("no older than", Age::Newer),
    ("older than", Age::Older),
    ("not newer than", Age::Older),
    ("no newer than", Age::Older),
    ("not younger than", Age::Older),
];
/// Those that need "old" or "ago" behind it.
pub(super) const AGES_OLD: &Table<Age> = &[
    ("less than", Age::Newer),
    ("at most", Age::Newer),
    ("under", Age::Newer),
    ("no more than", Age::Newer),
    ("not more than", Age::Newer),
    ("more than", Age::Older),
    ("over", Age::Older),
    ("at least", Age::Older),
];
pub(super) const CHANGED: &[&str] = &[
    "modified",
    "changed",
    "updated",
    "edited",
    "last modified",
    "last changed",
    "touched",
    "i modified",
    "i changed",
    "i edited",
    "that i modified",
    "that i changed",
    "that i edited",
    "written",
];
pub(super) const WITHIN_LAST: &[&str] = &[
    "in the last",
    "in the past",
    "within the last",
    "within the past",
    "during the last",
    "during the past",
    "over the last",
    "over the past",
    "in last",
    "in past",
    "within",
    "for the last",
    "for the past",
];
/// Days of the calendar, behind "changed".
pub(super) const DAYS: &Table<ChangedOn> = &[
    ("today", ChangedOn::Today),
    ("since midnight", ChangedOn::Today),
    ("yesterday", ChangedOn::Yesterday),
    ("since yesterday", ChangedOn::SinceYesterday),
    ("today or yesterday", ChangedOn::SinceYesterday),
    ("yesterday or today", ChangedOn::SinceYesterday),
    ("before today", ChangedOn::BeforeToday),
];
pub(super) const UNCHANGED: &[&str] = &[
    "not modified",
    "not changed",
    "not updated",
    "not edited",
    "not touched",
    "unmodified",
    "unchanged",
    "untouched",
    "that haven't been modified",
    "that haven't been changed",
    "that haven't been updated",
    "that haven't been touched",
    "that have not been modified",
    "that have not been changed",
    "that have not been touched",
    "that were not modified",
    "that have not been updated",
    "that weren't modified",
    "that haven't changed",
    "that have not changed",
    "which have not been modified",
    "which were not modified",
    "have not been modified",
    "haven't been modified",
    "not been modified",
];
