//! "List the files in FOLDER", "find *.log in FOLDER", "what is in FOLDER?", `ls FOLDER`.

use super::clause::{AND, Clause, THEN};
use super::conditions::{CHANGED, DAYS, WITHIN_LAST, whole};
use super::cursor::Cursor;
use super::entries::{self, Entries};
use super::globbed::globbed;
use super::named::{self, Called, Named, looks};
use super::search;
use super::state;
use super::token::Kind;
use super::words::{CONTENTS_OF, IN, POLITE_END, SHOW, last_duration};
use crate::{FindKind, SortBy};

/// Begin a listing: of the folder itself.
pub(super) const LIST: &[&str] = &[
    "make a list of",
    "make me a list of",
    "list",
    "list out",
    "ls",
    "enumerate",
    "listing of",
    "list me",
    "dir",
];
/// Begin a search by name, age and size: of all that lies below the folder.
pub(super) const FIND: &[&str] = &[
    "find",
    "find me",
    "find and list",
    "find and show",
    "locate",
    "search for",
    "look for",
    "discover",
    "where is",
    "where's",
    "where are",
    "where can i find",
    "are there",
    "is there",
    "do i have",
];
const CONTENTS: &[&str] = &[
    "the contents of",
    "contents of",
    "the content of",
    "content of",
    "the contents in",
    "what is in",
    "what's in",
    "what is inside",
    "what's inside",
    "a directory listing of",
    "directory listing of",
    "the directory listing of",
    "the directory contents of",
    "directory contents of",
    "the folder contents of",
    "folder contents of",
    "a listing of",
    "the listing of",
    "in",
    "whatever is in",
];
/// The same, with nothing left out.
const ALL_CONTENTS: &[&str] = &[
    "all contents of",
    "everything in",
    "all contents in",
    "everything inside",
    "all the contents of",
    "everything that is in",
    "everything that's in",
    "all that is in",
];
const LS_OPTIONS: &str = "aARtSrlh1Fp";
const ASKED: &[&str] = &[
    "what is in",
    "what's in",
    "what is inside",
    "what's inside",
    "what is there in",
    "what lies in",
    "what's there in",
    "what is written in",
    "what's written in",
    "what stands in",
];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 10] =
        [described, listed, shown, searched, asked_holding, bare, tree, find_command, changed, plainly_shown];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) =
        readings.reduce(|best, next| if next.0.at() > best.0.at() { next } else { best })?;
    *c = after;
    Some(clause)
}

/// "list all .log files in /var/log", with its place; or a whole goal without one, so that the
/// refusal can say what is missing.
fn described(c: &mut Cursor<'_>) -> Option<Clause> {
    placeless(c).filter(|clause| matches!(clause, Clause::List(_) | Clause::Find(_)))
}

/// `ls -la`, `tree` without a folder.
fn bare(c: &mut Cursor<'_>) -> Option<Clause> {
    let mut e = Entries { noun: entries::Noun::Any, ..Entries::default() };
    e.vague = c.clone().accept(&["list"]);
    match c.choose(&[("ls", false), ("list", false), ("dir", false), ("tree", true)])? {
        true => e.recursive = Some(true),
        false => while c.attempt(|c| options(c, &mut e)).is_some() {},
    }
    let mut end = c.clone();
    super::words::closing(&mut end);
    end.is_done().then(|| Clause::List(Box::new(e)))
}

/// "show src", where it lies.
fn plainly_shown(c: &mut Cursor<'_>) -> Option<Clause> {
    if c.clone().accept(super::read::QUESTIONS) {
        return None;
    }
    c.need(SHOW)?;
    let of = named::folder(c)?;
    // "show src sorted by size"
    if looks(&of) == Some(Called::Folder) || c.place().is_folder(&of.path) == Some(true) {
        let noun = entries::Noun::Any;
        let mut e = Entries { noun, places: vec![of.clone()], ..Entries::default() };
        let plain = c.at();
        entries::after_noun(c, &mut e);
        if c.at() > plain {
            return Some(Clause::List(Box::new(e)));
        }
    }
    Some(Clause::Show(of))
}

/// "show the tree of src", `tree src`
fn tree(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(&["tree"]) {
        c.need(SHOW)?;
        c.accept(&["the", "a"]);
        c.need(&["tree", "directory tree", "folder tree", "file tree", "tree view"])?;
        c.need(&["of", "for"])?;
    }
    let places = named::several(c, named::folder)?;
    let recursive = Some(true);
    Some(Clause::List(Box::new(Entries {
        noun: entries::Noun::Any,
        places,
        recursive,
        ..Entries::default()
    })))
}

/// "find the largest file", behind a place that was named before.
pub(super) fn placeless(c: &mut Cursor<'_>) -> Option<Clause> {
    let find = c.accept(FIND);
    // "what are files" asks for no list.
    let asked = !find && c.clone().accept(super::read::QUESTIONS);
    let listed = !find && c.accept(LIST);
    if !find && !listed {
        c.need(SHOW)?;
        c.accept(&["what", "which"]);
    }
    let mut e = if find { quoted_name(c).or_else(|| entries::entries(c))? } else { entries::entries(c)? };
    // "list everything" leaves nothing open.
    let settled = (listed && e.every) || e.is_aged() || e.size.is_some();
    e.vague &= !settled;
    let has = c.accept(&["do i have", "do we have"]);
    let told = has || e.sort.is_some() || e.limit.is_some() || e.is_aged() || e.size.is_some();
    e.vague |= asked && !told && e.containing.is_none();
    if !e.is_placed() && c.accept(&["does", "do"]) {
        e.places = named::several(c, named::folder)?;
        c.need(&["contain", "hold", "have"])?;
        entries::after_noun(c, &mut e);
    }
    // "find Cargo.toml in /src"
    if c.accept(&["have", "do i have"]) {
        entries::after_noun(c, &mut e);
    }
    Some(if find { Clause::Find(Box::new(e)) } else { Clause::List(Box::new(e)) })
}

/// "find 'report.pdf' in /srv": quotes make no difference to a name that looks like a file's.
fn quoted_name(c: &mut Cursor<'_>) -> Option<Entries> {
    c.attempt(|c| {
        let name = c.take(|t| t.kind == Kind::Quoted && named::is_bare_file(t))?;
        let mut e = Entries { noun: entries::Noun::Any, name: Some(whole(&name.text)), ..Entries::default() };
        entries::after_noun(c, &mut e);
        let folder = |place: &named::Named| looks(place) != Some(Called::File);
        // "find 'a.txt'" alone is a name: a text is looked for somewhere.
        e.places.iter().all(folder).then_some(e)
    })
}

/// "… and the 3 oldest files in /var", behind another listing or search.
pub(super) fn again(c: &mut Cursor<'_>, find: bool) -> Option<Clause> {
    let e = entries::entries(c).filter(Entries::is_placed).map(Box::new)?;
    Some(if find { Clause::Find(e) } else { Clause::List(e) })
}

/// "the 5 largest files in /tmp", "top 10 largest files in /tmp" as a goal's first words: a number
/// of files and where they are leaves nothing to do but show them.
pub(super) fn without_verb(c: &mut Cursor<'_>) -> Option<Clause> {
    let e = entries::entries(c)?;
    let described = e.is_aged() || e.size.is_some() || e.containing.is_some() || e.name.is_some();
    let files = e.noun == entries::Noun::Files && described;
    (e.limit.is_some() || files).then(|| Clause::List(Box::new(e)))
}

/// "search /var/log for *.gz files"
fn searched(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(search::SEARCH)?;
    c.accept(&["in", "inside", "within", "through"]);
    let places = named::several(c, named::folder)?;
    let recursive = c.accept(&["recursively"]).then_some(true);
    c.need(&["for"])?;
    let mut e = entries::entries(c)?;
    if e.is_placed() || (e.recursive.is_some() && recursive.is_some()) {
        return None;
    }
    e.places = places;
    Some(Clause::Find(Box::new(e)))
}

/// "list /tmp", `ls /tmp`, "list the contents of /tmp recursively".
fn listed(c: &mut Cursor<'_>) -> Option<Clause> {
    let mut e = Entries { noun: entries::Noun::Any, ..Entries::default() };
    if c.accept(&["ls", "dir"]) {
        while c.attempt(|c| options(c, &mut e)).is_some() {}
        if let Some(of) = c.attempt(listed_file) {
            return state::itself(&of, e.long).map(|e| Clause::Find(Box::new(e)));
        }
    } else {
        c.need(LIST)?;
    }
    // `ls src/*` would show what lies in the folders, too.
    if let Some(found) =
        c.attempt(|c| globbed(c, None).filter(|found| found.name.as_deref().is_some_and(|name| name != "*")))
    {
        let (name, places) = (found.name, found.places);
        let recursive = e.recursive.or(found.recursive);
        // A shell, not `ls`, says which names fit: `ls -a *.log` shows no `.x.log`.
        let mut e = Entries { name, places, recursive, expanded: true, hidden: None, ..e };
        entries::after_noun(c, &mut e);
        return Some(Clause::List(Box::new(e)));
    }
    if c.accept(ALL_CONTENTS) {
        e.every = true;
    } else {
        c.accept(CONTENTS);
    }
    e.places = named::several(c, named::folder)?;
    c.accept(&["contents", "content"]);
    entries::after_noun(c, &mut e);
    Some(Clause::List(Box::new(e)))
}

/// `ls -l a.txt`: one file, and nothing behind it.
fn listed_file(c: &mut Cursor<'_>) -> Option<Named> {
    let of = named::file(c)?;
    let known = c.place().is_folder(&of.path).map(|folder| !folder);
    let mut end = c.clone();
    let more = end.peek().is_some_and(|t| matches!(t.kind, Kind::Word | Kind::Quoted))
        && !end.accept(AND)
        && !end.accept(THEN)
        && !end.accept(POLITE_END);
    (known.unwrap_or(looks(&of) == Some(Called::File)) && !more).then_some(of)
}

/// `-la`: the options of `ls` that say which entries and in what order; how much is told of each
/// is the same for all.
fn options(c: &mut Cursor<'_>, e: &mut Entries) -> Option<()> {
    let token = c.word(|t| {
        t.text.strip_prefix('-').is_some_and(|o| !o.is_empty() && o.chars().all(|o| LS_OPTIONS.contains(o)))
    })?;
    // `r` turns the order that another option says, wherever it stands.
    let (last, others): (Vec<char>, Vec<char>) = token.text.chars().partition(|option| *option == 'r');
    for option in others.into_iter().chain(last) {
        match option {
            'a' | 'A' => e.hidden = Some(true),
            'R' => e.recursive = Some(true),
            't' => e.sort = Some(SortBy::Newest),
            'S' => e.sort = Some(SortBy::Largest),
            'r' => e.sort = Some(reversed(e.sort?)?),
            'l' => e.long = true,
            // `-h`, `-1`, `-F`, `-p`: how an entry is shown.
            _ => {}
        }
    }
    Some(())
}

fn reversed(order: SortBy) -> Option<SortBy> {
    match order {
        SortBy::Newest => Some(SortBy::Oldest),
        SortBy::Oldest => Some(SortBy::Newest),
        SortBy::Largest => Some(SortBy::Smallest),
        SortBy::Smallest => Some(SortBy::Largest),
        SortBy::Name => None,
    }
}

/// "show the contents of PATH", "what is in PATH": a file is read, a folder is listed.
fn shown(c: &mut Cursor<'_>) -> Option<Clause> {
    if c.accept(&["what is here", "what's here", "what is in here", "what's in here", "what lies here"]) {
        let here = Named { path: ".".into(), called: Called::Folder };
        let noun = entries::Noun::Any;
        return Some(Clause::List(Box::new(Entries { noun, places: vec![here], ..Entries::default() })));
    }
    let does = c.accept(&["what does"]);
    let mut every = false;
    if !does && !c.accept(ASKED) {
        if !c.accept(SHOW) && !c.clone().accept(CONTENTS_OF) {
            return None;
        }
        every = c.accept(ALL_CONTENTS);
        if !every {
            c.need(CONTENTS)?;
        }
    }
    let named = named::either(c)?;
    if does {
        c.need(&["contain", "hold", "say", "have in it"])?;
    }
    if looks(&named) == Some(Called::File) || looks(&named).is_none() {
        return Some(Clause::Show(named));
    }
    let mut e = Entries { noun: entries::Noun::Any, places: vec![named], every, ..Entries::default() };
    entries::after_noun(c, &mut e);
    Some(Clause::List(Box::new(e)))
}

/// "which files in FOLDER contain 'x'?", "which files contain 'x' in FOLDER"
fn asked_holding(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(&["which", "what"])?;
    let e = entries::entries(c)?;
    e.containing.is_some().then(|| Clause::List(Box::new(e)))
}

/// `find FOLDER -name '*.log' -type f`, as on a command line, with the options that say as much as
/// there.
fn find_command(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(&["find"])?;
    let mut e = Entries { noun: entries::Noun::Any, ..Entries::default() };
    e.places = vec![named::folder(c)?];
    while let Some(option) = c.word(|t| matches!(t.text.as_str(), "-name" | "-type")) {
        let value = c.take(|t| matches!(t.kind, Kind::Word | Kind::Quoted) && !t.text.contains('/'))?;
        match (option.text.as_str(), value.text.as_str()) {
            ("-name", name) => entries::set(&mut e.name, name.to_owned())?,
            (_, "f") => entries::set(&mut e.only, FindKind::File)?,
            (_, "d") => entries::set(&mut e.only, FindKind::Folder)?,
            (_, _) => return None,
        }
    }
    // It begins with the folder itself, whose name `.` fits no name but `*`.
    let dots = e.places.iter().all(|place| place.path.trim_end_matches('/').ends_with('.'));
    e.itself = e.only != Some(FindKind::File) && (!dots || e.name.as_ref().is_none_or(|name| name == "*"));
    (e.name.is_some() || e.only.is_some()).then(|| Clause::Find(Box::new(e)))
}

/// "what changed in FOLDER in the last 2 days?", "what changed in the last hour in FOLDER?"
fn changed(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(&["what", "what has", "what's", "what was"])?;
    c.need(CHANGED)?;
    let place = |c: &mut Cursor<'_>| {
        c.need(IN)?;
        named::several(c, named::folder)
    };
    let when = |c: &mut Cursor<'_>| {
        if let Some(changed) = c.choose(DAYS) {
            return Some(Entries { changed: Some(changed), ..Entries::default() });
        }
        c.need(WITHIN_LAST)?;
        last_duration(c).map(|length| Entries { newer_than: Some(length), ..Entries::default() })
    };
    let (places, e) = match c.attempt(when) {
        // Without a place the refusal says what is missing.
        Some(e) => (c.attempt(place).unwrap_or_default(), e),
        None => (place(c)?, when(c)?),
    };
    Some(Clause::Find(Box::new(Entries { places, ..e })))
}
