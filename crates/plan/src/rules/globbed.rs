//! `src/*.rs`: a path with a pattern for a name, as a shell has it.
//!
//! Promises: only the name is a pattern, and `**/` before it means the folders below; a folder
//! with a pattern in it is not understood.

use super::conditions::is_glob;
use super::cursor::Cursor;
use super::entries::{Entries, Noun};
use super::named::{Called, Named};
use super::token::is_url;
use crate::FindKind;
use octollm_contract::Edition;

/// `src/*.rs`, `*.txt`, `src/**/*.rs`: a path with a pattern for a name, as a shell has it.
pub(super) fn globbed(c: &mut Cursor<'_>, only: Option<FindKind>) -> Option<Entries> {
    // In quotes it is a character of the name, as in a shell.
    let token = c.word(|t| t.text.contains('*'))?;
    let (folder, name) = match token.text.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => (".", token.text.as_str()),
    };
    let (folder, recursive) = match folder.strip_suffix("**") {
        Some("") => (".", true),
        Some(above) => (above, true),
        None => (folder, false),
    };
    let plain = !folder.contains(['*', '?', '[', '\n', ' ']) && !is_url(folder);
    // Before the second edition nothing could say that a bare `*` must fit something and fits nothing hidden.
    let listed = name == "*" && c.place().readers < Edition::Second;
    let name =
        if listed { None } else { Some(name).filter(|name| *name == "*" || is_glob(name)).map(Some)? };
    plain.then(|| Entries {
        noun: Noun::Any,
        only,
        name: name.map(str::to_owned),
        recursive: Some(recursive),
        expanded: true,
        places: vec![Named { path: folder.to_owned(), called: Called::Folder }],
        ..Entries::default()
    })
}
