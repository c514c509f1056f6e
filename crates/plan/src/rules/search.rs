//! "Search for 'x' in FILE", "find the lines that contain 'x' in FILE", `grep x FILE`.
//!
//! Promises: what is looked for is a text, never a thing: "find the bug in main.rs" is no
//! search. A bare word counts as a text only where a text is announced ("search for", "containing"), and not
//! when it is plural or names what one would have to understand (bugs, meaning).

use super::bare::{self, is_article, is_code, is_text, is_written};
use super::clause::Clause;
use super::cursor::{Cursor, Table};
use super::entries::Noun;
use super::grep;
use super::lacking;
use super::named::{self, Called, Named};
use super::pattern;
use super::sought::Sought;
use super::token::{Kind, Token};
use super::whom::{self, Whom};
use super::words::SHOW;

pub(super) const SEARCH: &[&str] =
    &["search", "look", "grep", "scan", "search through", "look through", "scan through"];
/// Stand before the place of a search.
pub(super) const INSIDE: &[&str] =
    &["in", "inside", "within", "through", "throughout", "across", "under", "from"];
const LINES: &[&str] = &[
    "lines",
    "line",
    "all lines",
    "the lines",
    "all the lines",
    "every line",
    "each line",
    "all of the lines",
    "any lines",
    "matches",
    "all matches",
    "occurrences",
    "all occurrences",
    "the occurrences",
    "every occurrence",
    "instances",
    "all instances",
    "mentions",
    "all mentions",
    "every mention",
    "all the occurrences",
];
/// What a word for holding says of what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// It stands in the text, and not in a name.
    Text,
    /// The same, and it is a word.
    Word,
    /// It may be a pattern.
    Pattern,
    /// It may stand in a name as well.
    Either,
}

pub(super) const HOLDING: &Table<Holding> = &[
    ("containing", Holding::Text),
    ("that contain", Holding::Text),
    ("which contain", Holding::Text),
    ("that contains", Holding::Text),
    ("contain", Holding::Text),
    ("contains", Holding::Text),
    ("with", Holding::Either),
    ("having", Holding::Either),
    ("that have", Holding::Either),
    ("that include", Holding::Text),
    ("which include", Holding::Text),
    ("including", Holding::Either),
    ("that mention", Holding::Word),
    ("which mention", Holding::Word),
    ("mention", Holding::Word),
    ("mentions", Holding::Word),
    ("mentioning", Holding::Word),
    ("matching", Holding::Pattern),
    ("that match", Holding::Pattern),
    ("which match", Holding::Pattern),
    ("match", Holding::Pattern),
];
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    Begins,
    Ends,
}

/// Say where in a line the text stands.
pub(super) const EDGES: &Table<Edge> = &[
    ("that start with", Edge::Begins),
    ("that starts with", Edge::Begins),
    ("that begin with", Edge::Begins),
    ("that begins with", Edge::Begins),
    ("which start with", Edge::Begins),
    ("which begin with", Edge::Begins),
    ("starting with", Edge::Begins),
    ("beginning with", Edge::Begins),
    ("start with", Edge::Begins),
    ("begin with", Edge::Begins),
    ("that end with", Edge::Ends),
    ("that ends with", Edge::Ends),
    ("that end in", Edge::Ends),
    ("which end with", Edge::Ends),
    ("ending with", Edge::Ends),
    ("ending in", Edge::Ends),
    ("end with", Edge::Ends),
    ("end in", Edge::Ends),
];
pub(super) const TEXT: &Table<bool> = &[
    ("the text", false),
    ("the string", false),
    ("the word", false),
    ("the phrase", false),
    ("the term", false),
    ("the keyword", false),
    ("the exact text", false),
    ("text", false),
    ("string", false),
    ("word", false),
    ("phrase", false),
    ("the words", false),
    ("regex", true),
    ("the regex", true),
    ("the regexp", true),
    ("the regular expression", true),
    ("a regex", true),
    ("regular expression", true),
    ("the pattern", true),
];
pub(super) const CASE: &Table<bool> = &[
    ("ignoring case", true),
    ("ignore case", true),
    ("case-insensitive", true),
    ("case-insensitively", true),
    ("case insensitive", true),
    ("case insensitively", true),
    ("regardless of case", true),
    ("without regard to case", true),
    ("in any case", true),
    ("in upper or lower case", true),
    ("ignoring upper and lower case", true),
    ("case-sensitive", false),
    ("case-sensitively", false),
    ("case sensitive", false),
    ("respecting case", false),
];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 10] = [
        grep::clause,
        text_first,
        place_first,
        lines,
        counted,
        lacking::clause,
        find_text,
        find_word,
        asked,
        asked_where,
    ];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) = readings.max_by_key(|(after, _)| after.at())?;
    *c = after;
    Some(clause)
}

pub(super) fn finish(c: &mut Cursor<'_>, mut sought: Sought, of: Whom) -> Option<Clause> {
    case(c, &mut sought);
    c.accept(&["recursively"]);
    case(c, &mut sought);
    Some(Clause::Search { sought, of })
}

pub(super) fn case(c: &mut Cursor<'_>, sought: &mut Sought) {
    let found = c.attempt(|c| {
        c.punctuation(Kind::Comma);
        c.choose(CASE)
    });
    sought.ignore_case |= found.unwrap_or(false);
}

pub(super) fn place(c: &mut Cursor<'_>) -> Option<Whom> {
    c.accept(&["all of", "the contents of"]);
    whom::anything(c)
}

/// "search for 'x' in FILE".
fn text_first(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(SEARCH)?;
    let how = c.choose(&[("case-insensitively", true), ("case insensitively", true), ("recursively", false)]);
    let announced = c.accept(&["for", "up"]);
    let mut matching = false;
    if announced {
        c.accept(LINES);
        match c.choose(HOLDING) {
            Some(held) => matching = held == Holding::Pattern && c.clone().choose(TEXT).is_none(),
            None => {
                c.accept(&["of"]);
            }
        }
    }
    let mut sought = marked(c).or_else(|| if announced { bare(c, is_text) } else { None })?;
    sought.ignore_case = how.unwrap_or(false);
    case(c, &mut sought);
    let mut end = c.clone();
    super::words::closing(&mut end);
    if announced && end.is_done() {
        return Some(Clause::Unclear("say in which file or folder, such as \"in /tmp\""));
    }
    c.need(INSIDE)?;
    let of = place(c)?;
    if matching && sought.pattern.contains(SIGNS) {
        return Some(Clause::Unclear(MATCHING));
    }
    // "search 'x' in FOLDER" may look for a name.
    let in_files = || match &of {
        Whom::Named(places) => places.iter().all(|place| named::looks(place) == Some(Called::File)),
        Whom::Entries(_) | Whom::Literal(_) | Whom::Earlier(..) => false,
    };
    if !announced && !in_files() {
        return None;
    }
    finish(c, sought, of)
}

/// "search FILE for 'x'".
fn place_first(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(SEARCH)?;
    c.accept(&["in", "inside", "within", "under", "through", "into"]);
    let of = place(c)?;
    c.accept(&["recursively"]);
    c.need(&["for"])?;
    c.accept(LINES);
    if c.choose(HOLDING).is_none() {
        c.accept(&["of"]);
    }
    let sought = marked(c).or_else(|| bare(c, is_text))?;
    finish(c, sought, of)
}

/// What lines are asked for with, if they are asked for with a verb.
pub(super) fn shows(c: &mut Cursor<'_>) {
    if !c.accept(&["find", "list", "extract", "locate", "find me", "filter"]) {
        c.accept(SHOW);
    }
    c.accept(&["only", "just"]);
}

/// "find all lines containing 'x' in FILE", "show the lines in FILE that match the regex 'x'".
fn lines(c: &mut Cursor<'_>) -> Option<Clause> {
    shows(c);
    c.need(LINES)?;
    match held_in(c, false)? {
        Ok((sought, of)) => finish(c, sought, of),
        Err(why) => Some(Clause::Unclear(why)),
    }
}

/// "count the lines with 'x' in FILE", "how many lines in FILE contain 'x'?"
fn counted(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(&["how many lines", "how many of the lines", "the number of lines", "number of lines"]) {
        if c.accept(&["count"]) {
            c.need(&["lines", "the lines", "all lines", "all the lines", "the number of lines"])?;
        } else {
            c.need(SHOW)?;
            c.need(&["the number of lines", "number of lines", "how many lines"])?;
        }
    }
    c.accept(&["are there", "there are"]);
    match held_in(c, true)? {
        Ok((mut sought, of)) => {
            case(c, &mut sought);
            Some(Clause::CountHolding { sought, of })
        }
        Err(why) => Some(Clause::Unclear(why)),
    }
}

/// "… containing 'x' in FILE", "… in FILE that match the regex 'x'"; "… of 'x' in FILE" where that may not be
/// anything else ("count the lines of 'main' in FILE"); or what to say instead.
fn held_in(c: &mut Cursor<'_>, said: bool) -> Option<Result<(Sought, Whom), &'static str>> {
    let place_before = c.attempt(|c| {
        c.need(&["in", "of", "from"])?;
        place(c)
    });
    let edge = c.choose(EDGES);
    let held = if edge.is_some() { Some(Holding::Text) } else { c.choose(HOLDING) };
    if held.is_none() {
        (!said).then_some(())?;
        c.need(&["of", "for"])?;
    }
    let told = c.clone().choose(TEXT).is_some();
    let marked = marked(c);
    let plain = marked.is_none();
    // "lines starting with uppercase", "lines containing digits"
    if matches!(held, Some(Holding::Text)) && plain {
        let mut ahead = c.clone();
        ahead.accept(&["a", "an", "any"]);
        if ahead.word(bare::is_character).is_some() {
            while c.take(|t| matches!(t.kind, Kind::Word | Kind::Quoted)).is_some() {}
            return Some(Err(bare::SAY_CHARACTERS));
        }
    }
    let found = marked.or_else(|| {
        // Lines "with beta" hold the word, and those "with comments" what it says.
        let fits = if held? == Holding::Either { lacking::is_held } else { fitting(held?) };
        bare(c, fits)
    });
    let Some(mut sought) = found else {
        // "lines with error in FILE" may ask for the word or for what it says.
        c.word(|t| !is_article(t))?;
        if place_before.is_none() {
            c.need(&["in", "from", "of", "inside", "within", "under"])?;
            place(c)?;
        }
        return Some(Err(SAY_QUOTES));
    };
    case(c, &mut sought);
    let of = match place_before {
        Some(of) => of,
        None => {
            c.need(&["in", "from", "of", "inside", "within", "under"])?;
            place(c)?
        }
    };
    // "lines that contain milk" of files asks for the word.
    let of_files = match &of {
        Whom::Named(all) => all.iter().all(is_file),
        Whom::Entries(e) => e.noun == Noun::Files,
        Whom::Literal(_) | Whom::Earlier(..) => false,
    };
    if plain && !of_files && !is_written(&sought.pattern) {
        return None;
    }
    // "lines matching '^x'" may mean the text as it stands.
    let matching = held == Some(Holding::Pattern) && !told;
    if matching && sought.pattern.contains(SIGNS) {
        return Some(Err(MATCHING));
    }
    if let Some(edge) = edge {
        let text = if sought.regex { return None } else { pattern::literal(&sought.pattern) };
        sought.pattern = match edge {
            Edge::Begins => format!("^{text}"),
            // The carriage return of a file from Windows is part of its line end.
            Edge::Ends => format!(r"{text}\r?$"),
        };
        sought.regex = true;
    }
    Some(Ok((sought, of)))
}

/// What people leave in a text for later, and no file is called.
const MARKS: &[&str] = &["TODO", "FIXME"];

/// "find 'x' in FILE", "is 'x' in FILE?"
fn find_text(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(&["find", "locate", "is"])?;
    let told = c.clone().choose(TEXT).is_some();
    let quoted = c.attempt(marked).filter(|s| !s.pattern.contains('*') || s.regex);
    let mut sought = quoted.or_else(|| bare(c, is_code))?;
    case(c, &mut sought);
    c.need(&["in", "inside", "within", "under"])?;
    let of = place(c)?;
    // In a folder it may be a file's name; one that has the ending of a file is read as one elsewhere.
    let in_files = match &of {
        Whom::Named(places) => places.iter().all(|place| named::looks(place) == Some(Called::File)),
        Whom::Entries(_) | Whom::Literal(_) | Whom::Earlier(..) => true,
    };
    let in_text_only = MARKS.contains(&sought.pattern.as_str()) || sought.pattern.contains("::");
    let may_be_name = !sought.pattern.contains(char::is_whitespace) && !in_text_only;
    let name = Named { path: sought.pattern.clone(), called: Called::Nothing };
    if !told && !in_files && named::looks(&name) == Some(Called::File) {
        return None;
    }
    if !told && !in_files && may_be_name {
        return Some(Clause::Unclear("say \"find the file named '…'\" or \"find the text '…'\""));
    }
    finish(c, sought, of)
}

/// "find beta in a.txt": of files that are named it asks for the word.
fn find_word(c: &mut Cursor<'_>) -> Option<Clause> {
    c.last_resort(|c| {
        c.need(&["find", "locate"])?;
        let mut sought = bare(c, is_text)?;
        case(c, &mut sought);
        c.need(&["in", "inside", "within"])?;
        let of = place(c).filter(|of| is_looked_up(&sought.pattern, of))?;
        finish(c, sought, of)
    })
}

/// Whether a plain word can be looked up in files that are named: not what is worked out from them, and "error" only
/// where a log is read.
fn is_looked_up(word: &str, of: &Whom) -> bool {
    let lower = word.to_ascii_lowercase();
    let worked_out = [bare::WORKED_OUT, bare::CHARACTERS].iter().any(|words| words.contains(&lower.as_str()));
    let in_logs = |named: &Named| named.path.ends_with(".log");
    match of {
        Whom::Named(all) if worked_out => all.iter().all(in_logs) && !bare::is_computed(word),
        Whom::Named(all) => all.iter().all(is_file),
        Whom::Entries(_) | Whom::Literal(_) | Whom::Earlier(..) => false,
    }
}

/// "does FILE contain 'x'?"
fn asked(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(&["does", "do"]) {
        c.need(&["check if", "check whether", "see if", "see whether", "tell me if", "tell me whether"])?;
    }
    let of = place(c)?;
    let mentioned = c.clone().choose(HOLDING) == Some(Holding::Word);
    if mentioned {
        c.choose(HOLDING)?;
    } else {
        c.need(&["contain", "contains", "include", "includes", "have", "has"])?;
    }
    // "does notes.txt mention milk" asks for the word; "does letter.txt contain profanity" for a judgement.
    let sought = marked(c).or_else(|| bare(c, if mentioned { is_text } else { is_code }));
    if sought.is_none() && c.word(|t| !is_article(t)).is_some() {
        return Some(Clause::Unclear(SAY_QUOTES));
    }
    finish(c, sought?, of)
}

fn is_file(named: &Named) -> bool {
    named::looks(named) == Some(Called::File)
}

/// "where does 'x' occur in FILE?"
fn asked_where(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(&["where does", "where do", "where is", "where are"])?;
    let marked = marked(c);
    let plain = marked.is_none();
    let mut sought = marked.or_else(|| bare(c, is_text))?;
    c.need(&["occur", "appear", "show up", "come up", "mentioned", "used", "found"])?;
    case(c, &mut sought);
    c.need(INSIDE)?;
    let of = place(c)?;
    (!plain || is_written(&sought.pattern) || is_looked_up(&sought.pattern, &of)).then_some(())?;
    finish(c, sought, of)
}

/// "containing 'x'", as a condition on files; or what to say instead of "with 'x'", which may be
/// said of the name.
pub(super) fn containing(c: &mut Cursor<'_>) -> Option<Result<Sought, &'static str>> {
    let held = c.choose(HOLDING)?;
    let of_text = matches!(held, Holding::Text | Holding::Word);
    // "with TODO in them"
    let inside = c.attempt(|c| {
        let sought = marked(c).or_else(|| bare(c, fitting(held)))?;
        c.need(&["in them", "in it", "inside", "inside them", "inside it", "in their text", "in the text"])?;
        let ends = c.peek().is_none_or(|t| t.kind != Kind::Quoted);
        ends.then_some(sought)
    });
    if let Some(sought) = inside {
        return Some(Ok(sought));
    }
    let told = c.clone().choose(TEXT).is_some();
    let mut sought = marked(c).or_else(|| match held {
        Holding::Text | Holding::Word => bare(c, is_text),
        Holding::Pattern | Holding::Either => None,
    })?;
    if c.accept(&[
        "in the name",
        "in their name",
        "in their names",
        "in its name",
        "in the filename",
        "extension",
    ]) {
        return None;
    }
    case(c, &mut sought);
    // "files matching the regex '…'" are those whose names do.
    if held == Holding::Pattern && sought.regex {
        return Some(Err(REGEX_OF_NAMES));
    }
    Some(if of_text || told { Ok(sought) } else { Err(NAME_OR_TEXT) })
}

/// What a regular expression gives a meaning, where a text is said to match.
const SIGNS: [char; 11] = ['^', '$', '*', '+', '?', '|', '\\', '[', '(', '{', '.'];
const MATCHING: &str = "say \"matching the regex '…'\" or \"containing the text '…'\"";
const SAY_QUOTES: &str = "put the text that is looked for in quotes";
const REGEX_OF_NAMES: &str = "names match a pattern such as '*.csv' and no regex: say \"named *.csv\", or \"containing the \
                              regex '…'\" for the text in files";
const NAME_OR_TEXT: &str = "say \"named '…'\", \"with '…' in the name\" or \"containing the text '…'\"";

/// A text in quotes, or a word that is called a text.
pub(super) fn marked(c: &mut Cursor<'_>) -> Option<Sought> {
    c.attempt(|c| {
        let kind = c.choose(TEXT);
        let token = c.take(|t| match t.kind {
            Kind::Quoted => true,
            Kind::Word => kind.is_some() && !is_article(t),
            Kind::Comma | Kind::Semicolon | Kind::Stop | Kind::Newline => false,
        })?;
        sought(&token.text, kind == Some(true)).map(|sought| Sought { told: kind.is_some(), ..sought })
    })
}

/// Which bare words are what is held: lines contain a word, and have whitespace.
fn fitting(held: Holding) -> fn(&Token) -> bool {
    match held {
        Holding::Text | Holding::Word => is_text,
        Holding::Pattern | Holding::Either => is_code,
    }
}

/// One bare word.
fn bare(c: &mut Cursor<'_>, fits: fn(&Token) -> bool) -> Option<Sought> {
    let token = c.word(|t| !is_article(t) && fits(t))?;
    sought(&token.text, false)
}

pub(super) fn sought(text: &str, regex: bool) -> Option<Sought> {
    (!text.is_empty() && text.len() <= 1000).then(|| Sought {
        pattern: text.to_owned(),
        regex,
        ignore_case: false,
        told: false,
    })
}
