//! "Show the disk usage of FOLDER", "how big is FILE?", `du FOLDER`.

use super::clause::Clause;
use super::cursor::Cursor;
use super::entries::Entries;
use super::named;
use super::place::Place;
use super::whom::{self, Whom};
use super::words::{COMPUTE, SHOW};

pub(super) const NOUNS: &[&str] = &[
    "disk usage",
    "disk use",
    "disk space",
    "disk space usage",
    "disk space used",
    "disk space used by",
    "space used",
    "space used by",
    "size",
    "sizes",
    "size on disk",
    "sizes on disk",
    "total size",
    "total disk usage",
    "storage usage",
    "space usage",
    "file size",
    "file sizes",
    "folder size",
    "total disk use",
];
/// The sum, and the number of bytes, are told anyway.
const TOLD: &[&str] =
    &["together", "in total", "altogether", "combined", "in all", "in bytes", "on disk", "on the disk"];
const SPACE: &[&str] = &[
    "how much space",
    "how much disk space",
    "how much storage",
    "how much storage space",
    "how many bytes of disk space",
];
const USES: &[&str] = &[
    "use",
    "take",
    "take up",
    "occupy",
    "consume",
    "need",
    "using",
    "taking up",
    "taking",
    "occupying",
    "consuming",
    "uses",
    "takes",
    "takes up",
    "occupies",
    "consumes",
    "use up",
];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 5] = [du, noun, owned, space, big];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) =
        readings.reduce(|best, next| if next.0.at() > best.0.at() { next } else { best })?;
    *c = after;
    c.accept(TOLD);
    Some(clause)
}

fn du(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(&[
        "du",
        "du -sh",
        "du -hs",
        "du -h",
        "du -s",
        "disk usage of",
        "disk usage for",
        "disk use of",
        "measure",
    ])?;
    whom::anything(c).map(|of| Clause::DiskUse { of })
}

/// "show the disk usage of FOLDER"
fn noun(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(SHOW) {
        c.accept(COMPUTE);
    }
    c.accept(&["the", "a"]);
    let noun = c.at();
    c.need(NOUNS)?;
    let each =
        matches!(c.since(noun).to_ascii_lowercase().as_str(), "file sizes" | "sizes" | "sizes on disk");
    let inside = c.accept(&["in"]);
    if !inside && !c.accept(&["of", "for", "by", "used by"]) {
        return None;
    }
    let of = whom::anything(c)?;
    Some(Clause::DiskUse { of: if each { of_each_file(of, inside, c.place()) } else { of } })
}

/// "the file sizes in FOLDER" are those of the files in it.
fn of_each_file(of: Whom, inside: bool, place: &Place) -> Whom {
    match of {
        Whom::Named(places) if inside || places.iter().all(|one| named::is_folder(&one.path, place)) => {
            Whom::Entries(Box::new(Entries { places, ..Entries::default() }))
        }
        Whom::Named(_) | Whom::Entries(_) | Whom::Literal(_) | Whom::Earlier(..) => of,
    }
}

/// "show their sizes"
fn owned(c: &mut Cursor<'_>) -> Option<Clause> {
    // "… and their sizes" needs no verb.
    if !c.accept(SHOW) {
        c.accept(COMPUTE);
    }
    let of = whom::owner(c)?;
    c.need(NOUNS).map(|()| Clause::DiskUse { of })
}

/// "how much space does FOLDER take up?"
fn space(c: &mut Cursor<'_>) -> Option<Clause> {
    c.attempt(|c| if c.accept(SHOW) { Some(()) } else { c.need(COMPUTE) });
    c.need(SPACE)?;
    if c.accept(&["is used by", "is taken by", "is taken up by", "is occupied by", "is consumed by"]) {
        return whom::anything(c).map(|of| Clause::DiskUse { of });
    }
    c.accept(&["does", "do", "is", "are"]);
    let of = whom::anything(c)?;
    c.need(USES).map(|()| Clause::DiskUse { of })
}

/// "how big is FILE?"
fn big(c: &mut Cursor<'_>) -> Option<Clause> {
    c.attempt(|c| if c.accept(SHOW) { Some(()) } else { c.need(COMPUTE) });
    c.need(&["how big", "how large"])?;
    let verb = c.accept(&["is", "are"]);
    let of = whom::anything(c)?;
    (verb || c.accept(&["is", "are"])).then_some(Clause::DiskUse { of })
}
