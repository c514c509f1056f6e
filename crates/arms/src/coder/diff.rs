//! What a step changed, as a unified diff.

use crate::{Undone, Work};
use octollm_artefacts::{Entry, Manifest, WorkspacePath};
use similar::TextDiff;
use std::{collections::BTreeMap, time::Duration};

/// A file over this size is named and not compared line by line.
const FILE_BYTES: u64 = 512 << 10;
/// The diff ends after this many bytes, and says so.
const DIFF_BYTES: usize = 1 << 20;
/// Comparing two texts that have little in common ends after this long with a coarser diff.
const COMPARE_FOR: Duration = Duration::from_secs(2);

/// The files that differ, and how.
pub(super) async fn unified(before: &Manifest, after: &Manifest, work: &Work) -> Result<String, Undone> {
    let old: BTreeMap<&WorkspacePath, &Entry> = before.files().collect();
    let new: BTreeMap<&WorkspacePath, &Entry> = after.files().collect();
    let mut paths: Vec<&WorkspacePath> = old.keys().chain(new.keys()).copied().collect();
    paths.sort();
    paths.dedup();
    let mut diff = String::new();
    for path in paths {
        let (was, is) = (old.get(path).copied(), new.get(path).copied());
        if was.map(|entry| entry.sha256) == is.map(|entry| entry.sha256) {
            continue;
        }
        if diff.len() > DIFF_BYTES {
            diff.push_str("(the diff is cut here: it is too long)\n");
            break;
        }
        let name = |entry: Option<&Entry>, side: &str| match entry {
            Some(_) => format!("{side}/{path}"),
            None => "/dev/null".to_owned(),
        };
        let (from, to) = (name(was, "a"), name(is, "b"));
        diff.push_str(&match (text(was, work).await?, text(is, work).await?) {
            (Some(was), Some(is)) => {
                let compared = TextDiff::configure().timeout(COMPARE_FOR).diff_lines(&was, &is);
                compared.unified_diff().header(&from, &to).to_string()
            }
            (None, _) | (_, None) => format!("Files {from} and {to} differ\n"),
        });
    }
    Ok(diff)
}

/// The text of a file; none when it is too large or no text, and nothing when it is not there.
async fn text(entry: Option<&Entry>, work: &Work) -> Result<Option<String>, Undone> {
    match entry {
        None => Ok(Some(String::new())),
        Some(entry) if entry.bytes > FILE_BYTES => Ok(None),
        Some(entry) => Ok(String::from_utf8(work.link.get(entry.sha256).await?.to_vec()).ok()),
    }
}
