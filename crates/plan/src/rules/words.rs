//! The words that several rules share: verbs, prepositions, politeness, numbers and units.
//!
//! The reference in `docs/offline-goals.md` is printed from these tables, so a word that is
//! understood is a word that is documented.

use super::cursor::{Cursor, Table};
use super::token::Kind;
use octollm_contract::Millis;

/// May stand before a clause.
pub(super) const POLITE: &[&str] = &[
    "please",
    "pls",
    "plz",
    "kindly",
    "hey",
    "hey there",
    "hi",
    "hi there",
    "hello",
    "hello there",
    "thanks",
    "thx",
    "octollm",
    "ok",
    "okay",
    "could you",
    "can you",
    "would you",
    "will you",
    "could you please",
    "could you kindly",
    "would you kindly",
    "would you be so kind as to",
    "be so kind as to",
    "it would be great if you could",
    "it would be nice if you could",
    "it would be good if you could",
    "i would appreciate it if you could",
    "i'd appreciate it if you could",
    "please to",
    "can you please",
    "would you please",
    "i want to",
    "i want you to",
    "i need to",
    "i need you to",
    "i would like to",
    "i would like you to",
    "i'd like to",
    "i'd like you to",
    "i wish to",
    "let's",
    "let us",
    "go ahead and",
    "just",
    "now",
    "help me",
    "help me to",
    "first",
    "firstly",
    "first of all",
    "use a tool to",
];

/// May stand after the last clause.
pub(super) const POLITE_END: &[&str] = &[
    "please",
    "pls",
    "plz",
    "for me",
    "to me",
    "for me please",
    "thanks",
    "thanks a lot",
    "thanks in advance",
    "thx",
    "ty",
    "thank you",
    "thank you very much",
    "thank you in advance",
    "now",
    "right now",
    "would you",
    "will you",
    "if you please",
];

/// Say that something is wanted to be seen; what follows says what.
pub(super) const SHOW: &[&str] = &[
    "show",
    "show me",
    "show to me",
    "show me please",
    "give me please",
    "tell me please",
    "i want see",
    "can i see",
    "could i see",
    "may i see",
    "can i get",
    "could i get",
    "can i have",
    "could i have",
    "display",
    "print",
    "print out",
    "give",
    "give me",
    "get",
    "get me",
    "tell me",
    "output",
    "view",
    "see",
    "let me see",
    "let me know",
    "gimme",
    "lemme see",
    "lemme have",
    "i need",
    "provide",
    "provide me with",
    "retrieve",
    "i want to see",
    "i want to know",
    "i'd like to know",
    "i would like to know",
    "which is",
    "which are",
    "what is",
    "what are",
    "what's",
    "what're",
    "report",
    "return",
    "which",
    "what",
];

/// Say that something is to be worked out.
pub(super) const COMPUTE: &[&str] = &[
    "compute",
    "calculate",
    "determine",
    "work out",
    "find",
    "find out",
    "generate",
    "create",
    "make",
    "measure",
    "check",
    "take",
    "figure out",
    "produce",
    "obtain",
];

/// Say what is wanted without a verb: "contents of a.txt".
pub(super) const CONTENTS_OF: &[&str] = &[
    "the contents of",
    "contents of",
    "the content of",
    "content of",
    "the text of",
    "the full contents of",
];

pub(super) const IN: &[&str] = &[
    "in",
    "inside",
    "within",
    "of",
    "from",
    "inside of",
    "for",
    "under",
    "below",
    "beneath",
    "underneath",
    "at",
    "on",
];

/// The words for the numbers that people write out.
const NUMBERS: &Table<u32> = &[
    ("one", 1),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("eleven", 11),
    ("twelve", 12),
    ("fifteen", 15),
    ("twenty", 20),
    ("thirty", 30),
    ("fifty", 50),
    ("hundred", 100),
    ("one hundred", 100),
    ("a hundred", 100),
];

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Units of time, in milliseconds. A month is 30 days and a year is 365 days.
pub(super) const TIME_UNITS: &Table<u64> = &[
    ("s", 1000),
    ("sec", 1000),
    ("secs", 1000),
    ("second", 1000),
    ("seconds", 1000),
    ("min", MINUTE),
    ("mins", MINUTE),
    ("minute", MINUTE),
    ("minutes", MINUTE),
    ("h", HOUR),
    ("hr", HOUR),
    ("hrs", HOUR),
    ("hour", HOUR),
    ("hours", HOUR),
    ("d", DAY),
    ("day", DAY),
    ("days", DAY),
    ("w", 7 * DAY),
    ("week", 7 * DAY),
    ("weeks", 7 * DAY),
    ("month", 30 * DAY),
    ("months", 30 * DAY),
    ("year", 365 * DAY),
    ("years", 365 * DAY),
];

/// Units of size, in bytes: decimal for kB, MB, GB, TB; binary for KiB and so on, and for the
/// bare letters K, M, G, T, as `find -size` and `ls -h` have them.
pub(super) const SIZE_UNITS: &Table<u64> = &[
    ("b", 1),
    ("byte", 1),
    ("bytes", 1),
    ("kb", 1000),
    ("kilobyte", 1000),
    ("kilobytes", 1000),
    ("mb", 1_000_000),
    ("megabyte", 1_000_000),
    ("megabytes", 1_000_000),
    ("megs", 1_000_000),
    ("gb", 1_000_000_000),
    ("gigabyte", 1_000_000_000),
    ("gigabytes", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("terabyte", 1_000_000_000_000),
    ("terabytes", 1_000_000_000_000),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kibibyte", 1 << 10),
    ("kibibytes", 1 << 10),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mebibyte", 1 << 20),
    ("mebibytes", 1 << 20),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gibibyte", 1 << 30),
    ("gibibytes", 1 << 30),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tebibyte", 1 << 40),
    ("tebibytes", 1 << 40),
];

/// A whole number above zero, in digits or in words.
pub(super) fn number(c: &mut Cursor<'_>) -> Option<u32> {
    if let Some(named) = c.choose(NUMBERS) {
        return Some(named);
    }
    let digits = c.word(|t| {
        let digits = ungrouped(&t.text);
        digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
    })?;
    ungrouped(&digits.text).parse().ok()
}

/// `1,000` as `1000`: a word that begins with a digit has commas only between groups of digits.
fn ungrouped(word: &str) -> String {
    word.replace(',', "")
}

/// `2 days`, `24h`, `a week`.
pub(super) fn duration(c: &mut Cursor<'_>) -> Option<Millis> {
    c.attempt(|c| {
        let count = if c.accept(&["a", "an"]) { Some(1) } else { c.attempt(number) };
        let (count, unit) = match count {
            Some(count) => (u64::from(count), c.choose(TIME_UNITS)?),
            None => {
                let glued = c.word(|t| t.lower.starts_with(|f: char| f.is_ascii_digit()))?;
                let glued = ungrouped(&glued.lower);
                let at = glued.find(|f: char| !f.is_ascii_digit())?;
                (glued[..at].parse::<u32>().ok().filter(|n| *n > 0)?.into(), unit(TIME_UNITS, &glued[at..])?)
            }
        };
        count.checked_mul(unit).map(Millis::new)
    })
}

/// A duration, or a bare unit as in "the last week".
pub(super) fn last_duration(c: &mut Cursor<'_>) -> Option<Millis> {
    const ONE: &[&str] = &["minute", "hour", "day", "week", "month", "year"];
    duration(c).or_else(|| {
        c.attempt(|c| {
            if c.peek().is_some_and(|t| ONE.contains(&t.lower.as_str())) {
                c.choose(TIME_UNITS)
            } else {
                None
            }
        })
        .map(Millis::new)
    })
}

/// `10 MB`, `1.5GiB`, in bytes.
pub(super) fn size(c: &mut Cursor<'_>) -> Option<u64> {
    c.attempt(|c| {
        if let Some(count) = c.attempt(|c| number(c).zip(c.choose(SIZE_UNITS))) {
            return u64::from(count.0).checked_mul(count.1);
        }
        let word = c.word(|t| t.lower.starts_with(|f: char| f.is_ascii_digit()))?;
        let word = ungrouped(&word.lower);
        let at = word.find(|f: char| !f.is_ascii_digit() && f != '.').unwrap_or(word.len());
        let (digits, glued) = word.split_at(at);
        let unit = if glued.is_empty() { c.choose(SIZE_UNITS)? } else { unit(SIZE_UNITS, glued)? };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        // A byte has no parts: the point of "1.000 bytes" parts thousands.
        let parted = unit == 1 && digits.contains('.');
        if parted || part.contains('.') || part.len() > 3 || whole.len() > 12 {
            return None;
        }
        let scale = 10u64.pow(u32::try_from(part.len()).ok()?);
        let thousandths = whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(if part.is_empty() {
            0
        } else {
            part.parse().ok()?
        })?;
        let bytes = thousandths.checked_mul(unit)?;
        bytes.is_multiple_of(scale).then_some(bytes / scale)
    })
}

fn unit(table: &Table<u64>, text: &str) -> Option<u64> {
    table.iter().find(|(name, _)| *name == text).map(|(_, unit)| *unit)
}

/// Punctuation that may end the last clause, and politeness behind it.
pub(super) fn closing(c: &mut Cursor<'_>) {
    loop {
        let mark = c.take(|t| matches!(t.kind, Kind::Stop | Kind::Newline)).is_some();
        let word = c.attempt(|c| {
            c.punctuation(Kind::Comma);
            c.need(POLITE_END)
        });
        if !mark && word.is_none() {
            return;
        }
    }
}
