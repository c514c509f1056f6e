//! What a description of files becomes: a listing of a folder itself, or a search below it.

use super::NotUnderstood;
use super::entries::{Entries, Noun};
use super::sought::Sought;
use crate::{Arg, FindKind, SortBy, ToolCall};
use octollm_contract::Edition;

/// Whether a description means a folder's own entries or all below it, where the goal does not say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    Own,
    All,
}

/// What becomes of a step's output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It is part of the result.
    Shown,
    /// It is part of the result, and a later clause works on it.
    Later,
    /// Only another step uses it.
    Inside,
}

/// What a search tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The lines that hold the text.
    Lines,
    /// How many they are.
    Number,
}

/// "files" in a plain listing is whatever lies there, as with `ls`; where order, number or a
/// later step matter, it is regular files.
pub(super) fn kind_of(e: &Entries, depth: Depth, used: Use, words: &str) -> Result<FindKind, NotUnderstood> {
    let conditions = e.sort.is_some_and(|s| s != SortBy::Name)
        || e.limit.is_some()
        || !is_plain(e)
        || e.containing.is_some();
    let plain = depth == Depth::Own && used == Use::Shown && !conditions;
    match (e.noun, e.only) {
        (Noun::Files | Noun::Any, Some(only)) => Ok(only),
        (Noun::Folders, None | Some(FindKind::Folder)) => Ok(FindKind::Folder),
        (Noun::Folders, Some(FindKind::File | FindKind::Any)) => {
            Err(NotUnderstood::unclear(words, "folders that are files do not exist"))
        }
        (Noun::Files, None) if plain => Ok(FindKind::Any),
        (Noun::Files, None) => Ok(FindKind::File),
        // "*.txt" whose contents a later step wants are files.
        (Noun::Any, None) if used == Use::Later && e.name.is_some() => Ok(FindKind::File),
        (Noun::Any, None) => Ok(FindKind::Any),
    }
}

/// No condition that only `find` knows.
pub(super) fn is_plain(e: &Entries) -> bool {
    e.name.is_none() && !e.is_aged() && e.size.is_none()
}

/// Whether hidden entries are meant. A search sees them and a listing does not, whatever its
/// conditions, unless the goal says so, asks for all, or for names that begin with a dot; a
/// shell's pattern fits none.
pub(super) fn is_hidden_too(e: &Entries, depth: Depth) -> bool {
    let named = e.name.as_ref().is_some_and(|name| name.starts_with('.'));
    let searched = depth == Depth::All && !e.expanded;
    e.hidden.unwrap_or(searched || named || (e.every && e.name.is_none()))
}

/// What a file system says is the size of a folder is that of its list of names.
const FOLDERS_BY_SIZE: &str = "folders are not put in order by what lies in them; \
    say \"list the folders in … and show the disk usage of each\", or \"how big is …\" of one";

pub(super) fn find_or_list(
    e: &Entries,
    path: String,
    kind: FindKind,
    depth: Depth,
    used: Use,
    readers: Edition,
    words: &str,
) -> Result<ToolCall, NotUnderstood> {
    let recursive = e.recursive.unwrap_or(depth == Depth::All);
    if kind != FindKind::File && e.size.is_some_and(|size| size.at_most == Some(0)) {
        return Err(NotUnderstood::unclear(words, "only files are found by being empty, not folders"));
    }
    if e.size.is_some() && kind == FindKind::Folder {
        return Err(NotUnderstood::unclear(words, "a folder has no size of its own; say \"disk usage\""));
    }
    if kind == FindKind::Folder && matches!(e.sort, Some(SortBy::Largest | SortBy::Smallest)) {
        return Err(NotUnderstood::unclear(words, FOLDERS_BY_SIZE));
    }
    let hidden = is_hidden_too(e, depth);
    if !hidden && e.name.as_ref().is_some_and(|name| name.starts_with('.')) && !e.expanded {
        return Err(NotUnderstood::unclear(words, "names that begin with a dot are those of hidden files"));
    }
    if depth == Depth::Own && is_plain(e) && !e.count {
        return Ok(ToolCall::List {
            path,
            hidden,
            recursive,
            kind,
            sort: e.sort.unwrap_or_default(),
            limit: e.limit,
            details: e.details || e.long && readers >= Edition::Second,
        });
    }
    // Before the second edition `find` had no words for either: what the goal does not say was shown, and nothing
    // had to be there, nor was more than a name told.
    let unsaid = readers < Edition::Second && e.hidden.is_none();
    Ok(ToolCall::Find {
        path,
        name: e.name.clone(),
        max_depth: (!recursive).then_some(1),
        hidden: hidden || unsaid,
        kind,
        newer_than: e.newer_than,
        older_than: e.older_than,
        changed: e.changed,
        size: e.size.unwrap_or_default(),
        sort: e.sort.unwrap_or_default(),
        limit: e.limit,
        details: e.details || e.long && readers >= Edition::Second,
        // `cat *.txt` fails where there is none, and "list *.txt" says so.
        required: (e.must || (e.expanded && used == Use::Inside)) && readers >= Edition::Second,
        itself: e.itself && readers >= Edition::Second,
        if_there: e.if_there && readers >= Edition::Second,
        count: e.count && readers >= Edition::Second,
    })
}

/// A search for a text, in paths or in a text.
pub(super) fn search_call(
    sought: &Sought,
    paths: Option<Arg<Vec<String>>>,
    text: Option<Arg<String>>,
    name: Option<String>,
    wanted: Wanted,
) -> ToolCall {
    ToolCall::Search {
        pattern: sought.pattern.clone(),
        regex: sought.regex,
        ignore_case: sought.ignore_case,
        paths,
        text,
        name,
        count: wanted == Wanted::Number,
    }
}
