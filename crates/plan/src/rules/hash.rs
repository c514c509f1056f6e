//! "Hash FILE", "compute the sha256 checksum of FILE", `md5sum FILE`.

use super::clause::Clause;
use super::cursor::{Cursor, Table};
use super::token::Kind;
use super::whom::{self, Whom};
use super::words::{COMPUTE, SHOW};
use crate::HashKind;

pub(super) const FUNCTIONS: &Table<HashKind> = &[
    ("sha256", HashKind::Sha256),
    ("sha-256", HashKind::Sha256),
    ("sha 256", HashKind::Sha256),
    ("sha256sum", HashKind::Sha256),
    ("sha512", HashKind::Sha512),
    ("sha-512", HashKind::Sha512),
    ("sha 512", HashKind::Sha512),
    ("sha512sum", HashKind::Sha512),
    ("sha1", HashKind::Sha1),
    ("sha-1", HashKind::Sha1),
    ("sha1sum", HashKind::Sha1),
    ("md5", HashKind::Md5),
    ("md5sum", HashKind::Md5),
];
pub(super) const NOUNS: &[&str] = &["hash", "hashes", "checksum", "checksums", "hash value", "hash values"];
/// Mean a digest only behind the name of a function: "the sum of numbers.csv" is another.
const NOUNS_BEHIND: &[&str] = &["sum", "sums", "digest", "digests", "hash sum"];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let forms: [fn(&mut Cursor<'_>) -> Option<Clause>; 3] = [verb, noun, owned];
    let readings = forms.into_iter().filter_map(|form| c.attempt_from(form));
    let (after, clause) =
        readings.reduce(|best, next| if next.0.at() > best.0.at() { next } else { best })?;
    *c = after;
    Some(clause)
}

fn with(c: &mut Cursor<'_>) -> Option<HashKind> {
    c.attempt(|c| {
        c.need(&["with", "using", "by", "as", "in"])?;
        let kind = c.choose(FUNCTIONS)?;
        c.accept(NOUNS);
        Some(kind)
    })
}

/// The noun, which may be left out behind the name of a function.
fn said(c: &mut Cursor<'_>, kind: Option<HashKind>) -> Option<()> {
    if c.accept(NOUNS) {
        return Some(());
    }
    kind.map(|_| {
        c.accept(NOUNS_BEHIND);
    })
}

/// "hash FILE with sha512", `sha256sum FILE`.
fn verb(c: &mut Cursor<'_>) -> Option<Clause> {
    let kind = c.choose(FUNCTIONS);
    match kind {
        Some(_) => {
            said(c, kind)?;
            c.accept(&["of", "for"]);
        }
        None => {
            c.need(&["hash", "checksum"])?;
            c.accept(&["of", "for"]);
        }
    }
    let of = whom::files(c).or_else(|| quoted(c))?;
    let kind = if kind.is_some() { kind } else { with(c) };
    Some(Clause::Hash { kind: kind.unwrap_or_default(), of })
}

/// "hash 'hunter2'": a quote that looks like no file is a text.
fn quoted(c: &mut Cursor<'_>) -> Option<Whom> {
    let from = c.at();
    let token = c.take(|t| t.kind == Kind::Quoted && !t.text.is_empty() && !t.text.contains('/'))?;
    // What stands in backticks is a command or a name, and no text.
    (!c.since(from).starts_with('`')).then(|| Whom::Literal(token.text.clone()))
}

/// "compute the sha256 checksum of FILE".
fn noun(c: &mut Cursor<'_>) -> Option<Clause> {
    if !c.accept(SHOW) {
        c.need(COMPUTE)?;
    }
    c.accept(&["the", "a", "an"]);
    let kind = c.choose(FUNCTIONS);
    said(c, kind)?;
    c.need(&["of", "for"])?;
    let of = whom::files(c)?;
    let kind = if kind.is_some() { kind } else { with(c) };
    Some(Clause::Hash { kind: kind.unwrap_or_default(), of })
}

/// "compute its hash".
fn owned(c: &mut Cursor<'_>) -> Option<Clause> {
    // "… and its hash" needs no verb.
    if !c.accept(SHOW) {
        c.accept(COMPUTE);
    }
    let of = whom::owner(c)?;
    let kind = c.choose(FUNCTIONS);
    said(c, kind)?;
    let kind = if kind.is_some() { kind } else { with(c) };
    Some(Clause::Hash { kind: kind.unwrap_or_default(), of })
}
