//! "Fetch URL", "download the page at URL", `curl URL`.

use super::clause::Clause;
use super::cursor::Cursor;
use super::read::QUESTIONS;
use super::token::{Kind, Token, is_url};
use super::words::SHOW;

pub(super) const FETCH: &[&str] = &[
    "fetch",
    "fetch me",
    "download",
    "retrieve",
    "curl",
    "request",
    "load",
    "read",
    "open",
    "visit",
    "pull",
    "grab",
    "cat",
    "wget",
    "make a get request to",
    "send a get request to",
    "http get",
    "get",
];
const PAGES: &[&str] = &[
    "page",
    "the page",
    "the web page",
    "the webpage",
    "web page",
    "the website",
    "website",
    "the url",
    "url",
    "the site",
    "the contents of",
    "the content of",
    "contents of",
    "the body of",
    "the text of",
    "the html of",
    "the document",
    "the resource",
    "the file",
    "the json",
    "the data",
    "the response of",
    "the response from",
    "a page",
    "what is",
    "the link",
    "link",
];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    if let Some(clause) = c.attempt(answered) {
        return Some(clause);
    }
    // "What is URL?" does not ask for what it answers; "what is at URL?" does.
    let asked = c.clone().accept(QUESTIONS);
    if !c.accept(FETCH) {
        c.need(SHOW)?;
    }
    let from = c.at();
    while c.accept(PAGES) || c.accept(&["at", "from", "on", "behind", "found at"]) {}
    if asked && c.at() == from {
        return None;
    }
    let token = c.take(|t| matches!(t.kind, Kind::Word | Kind::Quoted) && is_address(t))?;
    Some(Clause::Fetch(token.text.clone()))
}

/// "… and URL", behind another fetch.
pub(super) fn again(c: &mut Cursor<'_>) -> Option<Clause> {
    c.take(|t| matches!(t.kind, Kind::Word | Kind::Quoted) && is_address(t))
        .map(|token| Clause::Fetch(token.text.clone()))
}

/// "what does URL return?"
fn answered(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(&["what does"])?;
    let token = c.take(|t| matches!(t.kind, Kind::Word | Kind::Quoted) && is_address(t))?;
    c.need(&["return", "say", "contain", "give", "give back", "answer", "respond", "respond with"])?;
    Some(Clause::Fetch(token.text.clone()))
}

/// A URL, or a bare site name that the refusal will tell to be written as one.
fn is_address(token: &Token) -> bool {
    let bare = || token.lower.starts_with("www.") && !token.lower.contains(char::is_whitespace);
    is_url(&token.text) || bare()
}
