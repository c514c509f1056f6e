//! "Count the lines in FILE", "how many files are in FOLDER?", `wc -l FILE`.

use super::bare;
use super::clause::Clause;
use super::cursor::{Cursor, Table};
use super::entries;
use super::named;
use super::token::Kind;
use super::whom::{self, Earlier, Whom};
use super::words::{COMPUTE, SHOW};
use crate::CountWhat;
use octollm_contract::Edition;

/// What can be counted in files and texts.
pub(super) const THINGS: &Table<CountWhat> = &[
    ("line", CountWhat::Lines),
    ("lines", CountWhat::Lines),
    ("lines of text", CountWhat::Lines),
    ("lines of code", CountWhat::Lines),
    ("line ends", CountWhat::LineEnds),
    ("line endings", CountWhat::LineEnds),
    ("newlines", CountWhat::LineEnds),
    ("word", CountWhat::Words),
    ("words", CountWhat::Words),
    ("byte", CountWhat::Bytes),
    ("bytes", CountWhat::Bytes),
    ("character", CountWhat::Characters),
    ("characters", CountWhat::Characters),
    ("chars", CountWhat::Characters),
];
const COUNT: &[&str] = &["count", "count up", "count out", "count me", "tally"];
const NUMBER_OF: &[&str] = &[
    "total",
    "the total",
    "number of",
    "the number of",
    "total number of",
    "the total number of",
    "how many",
    "how much",
    "a count of",
    "the count of",
    "the amount of",
];
const COUNTS: &Table<CountWhat> = &[
    ("line count", CountWhat::Lines),
    ("number of lines", CountWhat::Lines),
    ("word count", CountWhat::Words),
    ("number of words", CountWhat::Words),
    ("byte count", CountWhat::Bytes),
    ("number of bytes", CountWhat::Bytes),
    ("character count", CountWhat::Characters),
    ("number of characters", CountWhat::Characters),
];
const WC: &Table<CountWhat> = &[
    ("wc -l", CountWhat::LineEnds),
    ("wc -w", CountWhat::Words),
    ("wc -c", CountWhat::Bytes),
    ("wc -m", CountWhat::Characters),
];

/// The sum is told of several anyway.
const TOGETHER: &[&str] = &["together", "in total", "altogether", "combined", "in all"];
/// The same in front of the place, where "in all" begins one.
const IN_TOTAL: &[&str] = &["in total", "altogether"];
const MATCHES: &[&str] = &[
    "matches",
    "the matches",
    "hits",
    "the hits",
    "matching lines",
    "the matching lines",
    "lines found",
    "the lines found",
    "lines that match",
    "the lines that match",
];
const FOUND: &[&str] = &[
    "how many there are",
    "how many files there are",
    "how many there were",
    "how many were found",
    "how many files were found",
    "how many are there",
    "how many files are there",
];

/// Every form has one of these words. Its readings of a goal without any would take as long as all other
/// rules together, for many goals begin like a count ("show me the …").
const TELLING: &[&str] = &["count", "tally", "number", "many", "much", "amount", "total", "wc"];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.has_ahead(TELLING) {
        return None;
    }
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 9] =
        [things, owned, named_count, wc, matches, found, described, times, text];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) =
        readings.reduce(|best, next| if next.0.at() > best.0.at() { next } else { best })?;
    *c = after;
    Some(clause)
}

/// The words that ask for a number: "count", "how many", "tell me the number of".
fn asks(c: &mut Cursor<'_>) -> Option<()> {
    if c.accept(COUNT) {
        if !c.accept(NUMBER_OF) {
            c.accept(&["of"]);
        }
        return Some(());
    }
    if !c.accept(SHOW) {
        c.accept(COMPUTE);
    }
    c.need(NUMBER_OF)
}

/// "lines", "lines and words", "lines, words and characters".
fn kinds(c: &mut Cursor<'_>) -> Option<Vec<CountWhat>> {
    c.accept(&["the", "all", "all the", "all of the"]);
    let mut what = vec![c.choose(THINGS)?];
    while let Some(next) = c.attempt(|c| {
        named::joined(c)?;
        c.accept(&["the", "how many"]);
        c.choose(THINGS)
    }) {
        if what.contains(&next) {
            return None;
        }
        what.push(next);
    }
    Some(what)
}

/// "count the lines in FILE", "how many lines does FILE have?"
fn things(c: &mut Cursor<'_>) -> Option<Clause> {
    let from = c.at();
    asks(c)?;
    let what = kinds(c)?;
    c.accept(IN_TOTAL);
    if c.accept(&["does", "do"]) {
        let of = whom::files(c)?;
        c.need(&["have", "contain", "hold", "has", "comprise"])?;
        c.accept(TOGETHER);
        return Some(Clause::Count { what, of });
    }
    // "how many lines has FILE", "count lines FILE"
    let of_file = c.attempt(|c| {
        c.accept(&["has", "have", "contains", "is", "are"]);
        whom::files(c).filter(|of| matches!(of, Whom::Named(_)))
    });
    if let Some(of) = of_file {
        c.accept(&["has", "have", "contains", "contain", "holds", "hold"]);
        c.accept(TOGETHER);
        return Some(Clause::Count { what, of });
    }
    let of = c.attempt(|c| {
        c.accept(&["are", "there are", "are there", "exist", "that are", "is", "contained", "are contained"]);
        c.need(&["in", "of", "from", "inside", "for", "within"])?;
        whom::files(c)
    });
    let quoted = c.attempt(|c| {
        c.accept(&["are", "there are", "are there", "is"]);
        c.need(&["in", "of"])?;
        c.take(|t| t.kind == Kind::Quoted)
    });
    if quoted.is_some() {
        return Some(Clause::Unclear("say \"in the text '…'\" or \"in the file '…'\""));
    }
    // "fetch URL and count the words": of what came before.
    if of.is_some() {
        c.accept(TOGETHER);
    } else {
        c.accept(&["there are", "are there", "it has", "it contains"]);
    }
    let of = of.unwrap_or_else(|| Whom::Earlier(Earlier::One, c.since(from).to_owned()));
    Some(Clause::Count { what, of })
}

/// "… and the words in b.txt", behind another count.
pub(super) fn again(c: &mut Cursor<'_>) -> Option<Clause> {
    let what = kinds(c)?;
    c.need(&["in", "of"])?;
    let of = whom::files(c)?;
    Some(Clause::Count { what, of })
}

/// "count its lines", "how many lines they have".
fn owned(c: &mut Cursor<'_>) -> Option<Clause> {
    if c.accept(COUNT) {
        let of = whom::owner(c)?;
        let what = kinds(c)?;
        return Some(Clause::Count { what, of });
    }
    if !c.accept(SHOW) {
        c.accept(COMPUTE);
    }
    if let Some(of) = c.attempt(whom::owner) {
        let what = c.choose(COUNTS)?;
        return Some(Clause::Count { what: vec![what], of });
    }
    c.need(NUMBER_OF)?;
    let what = kinds(c)?;
    let of = whom::files(c)?;
    c.need(&["has", "have", "contains", "contain"])?;
    Some(Clause::Count { what, of })
}

/// "the line count of FILE".
fn named_count(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(SHOW) {
        c.accept(COMPUTE);
    }
    c.accept(&["the", "a"]);
    let what = c.choose(COUNTS)?;
    let of = match c.accept(&["of", "for", "in", "from"]) {
        true => whom::files(c)?,
        false => whom::files(c).filter(|of| matches!(of, Whom::Named(_)))?,
    };
    Some(Clause::Count { what: vec![what], of })
}

fn wc(c: &mut Cursor<'_>) -> Option<Clause> {
    let mut what = match c.choose(WC) {
        Some(what) => vec![what],
        None => {
            c.need(&["wc"])?;
            vec![CountWhat::LineEnds, CountWhat::Words, CountWhat::Bytes]
        }
    };
    if c.place().readers < Edition::Second {
        // What `wc` was planned as before there was a word for line ends.
        for ends in what.iter_mut().filter(|what| **what == CountWhat::LineEnds) {
            *ends = CountWhat::Lines;
        }
    }
    let of = whom::files(c)?;
    Some(Clause::Count { what, of })
}

/// "how many .log files are in /var/log?", "how many files does /tmp hold?"
fn described(c: &mut Cursor<'_>) -> Option<Clause> {
    placeless(c).filter(|clause| matches!(clause, Clause::CountEntries(_)))
}

/// The same, behind a place that was named before.
pub(super) fn placeless(c: &mut Cursor<'_>) -> Option<Clause> {
    asks(c)?;
    let mut e = entries::entries(c)?;
    // "how many files in total are in src"
    if c.accept(IN_TOTAL) {
        entries::after_noun(c, &mut e);
    }
    // "count a.txt" leaves open what of it.
    let bare = e.noun == entries::Noun::Any
        && !e.vague
        && e.name.as_ref().is_some_and(|name| !name.contains(['*', '?']));
    if bare {
        return None;
    }
    if !e.is_placed() && c.accept(&["does", "do"]) {
        e.places = named::several(c, named::folder)?;
        c.need(&["have", "contain", "hold", "has"])?;
        entries::after_noun(c, &mut e);
    }
    if !e.is_placed() {
        c.accept(&["are there", "there are", "there is", "is there"]);
        entries::after_noun(c, &mut e);
    }
    c.accept(TOGETHER);
    Some(Clause::CountEntries(Box::new(e)))
}

/// "how many times does 'x' occur in FILE", "count the occurrences of 'x' in FILE"
fn times(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(&["how many times"]) {
        if c.accept(COUNT) {
            c.accept(NUMBER_OF);
        } else {
            c.need(NUMBER_OF)?;
        }
        c.accept(&["the"]);
        c.need(&["times", "occurrences of", "occurrences", "instances of", "matches of", "matches for"])?;
    }
    while c.take(|t| matches!(t.kind, Kind::Word | Kind::Quoted)).is_some() {}
    Some(Clause::Unclear(
        "lines are counted and not the times in a line: say \"count the lines containing '…' in …\"",
    ))
}

/// "count 404 in FILE"
fn text(c: &mut Cursor<'_>) -> Option<Clause> {
    c.last_resort(|c| {
        c.need(COUNT)?;
        c.take(|t| t.kind == Kind::Quoted || (t.kind == Kind::Word && bare::is_text(t)))?;
        c.need(&["in"])?;
        whom::files(c).filter(|of| matches!(of, Whom::Named(_)))
    })?;
    Some(Clause::Unclear("say \"count the lines containing '…' in …\", with the text in quotes"))
}

/// "count the matches", "how many lines match", behind a search.
fn matches(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(COUNT) {
        c.attempt(|c| if c.accept(SHOW) { Some(()) } else { c.need(COMPUTE) });
    } else if c.accept(MATCHES) {
        return Some(Clause::CountMatches);
    }
    c.accept(&["the"]);
    if c.accept(&["how many lines match", "how many matched", "how many match"]) {
        return Some(Clause::CountMatches);
    }
    c.need(NUMBER_OF)?;
    c.need(MATCHES)?;
    c.accept(&["there are", "are there", "there were", "were there", "were found", "you found", "it found"]);
    Some(Clause::CountMatches)
}

/// "count them", behind a clause that found files.
fn found(c: &mut Cursor<'_>) -> Option<Clause> {
    let from = c.at();
    if c.accept(COUNT) && !c.clone().accept(FOUND) {
        return match whom::earlier(c)? {
            of @ Whom::Earlier(Earlier::Many, _) => Some(Clause::CountFound(of)),
            Whom::Earlier(..) | Whom::Named(_) | Whom::Entries(_) | Whom::Literal(_) => None,
        };
    }
    c.accept(SHOW);
    c.need(FOUND)?;
    Some(Clause::CountFound(Whom::Earlier(Earlier::Many, c.since(from).to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A form that none of the telling words is in would never be read.
    #[test]
    fn every_phrase_that_makes_a_count_has_a_telling_word() {
        let tables = COUNTS.iter().chain(WC).map(|(phrase, _)| *phrase);
        for phrase in [COUNT, NUMBER_OF, FOUND].concat().into_iter().chain(tables) {
            assert!(phrase.split(' ').any(|word| TELLING.contains(&word)), "{phrase}");
        }
    }
}
