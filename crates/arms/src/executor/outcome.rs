//! What a tool found, and how it becomes an output: capped for people, whole as an artefact.

use super::{
    text::size,
    workspace::{Committed, LeftOut},
};
use crate::{Undone, Work};
use bytes::Bytes;
use octollm_contract::{api::ArtefactView, names::OUTPUTS_FOLDER};
use octollm_plan::{Body, StepOutput};
use serde_json::Value;

/// An output's text is cut at this many bytes; an artefact holds the whole.
pub(crate) const TEXT_BYTES: usize = 64 << 10;
/// Paths for later steps: beyond either bound there are none, because a later step that saw
/// only some of them would give a wrong answer.
const PATHS_MAX: usize = 100_000;
const PATHS_BYTES: usize = 4 << 20;
/// The artefact that holds what `file` names of a step's output, whole.
pub(crate) fn whole_output(file: &str) -> String {
    format!("{OUTPUTS_FOLDER}/{file}")
}

/// What a tool found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) text: String,
    pub(crate) data: Value,
    /// None where one of them cannot be named in text, or where there are none to give.
    pub(crate) paths: Option<Vec<String>>,
    pub(crate) number: Option<u64>,
    pub(crate) exit_code: Option<i32>,
    /// What later steps work on, when it is not `text`.
    pub(crate) body: Content,
}

/// What later steps work on.
#[derive(Debug, Default)]
pub(crate) enum Content {
    /// The text for people.
    #[default]
    AsShown,
    /// This, without the remarks that the text for people has.
    Only(String),
    /// Nothing: some of it was not kept.
    Partial,
}

/// Makes the step's output.
pub(crate) async fn finish(
    found: Found,
    tool: &str,
    committed: Option<Committed>,
    work: &Work,
) -> Result<StepOutput, Undone> {
    let Found { mut text, mut data, mut paths, number, exit_code, body: mut content } = found;
    let (workspace, mut artefacts, left_out) = match committed {
        Some(Committed { manifest, files, left_out }) => (Some(manifest), files, left_out),
        None => (None, Vec::new(), LeftOut::default()),
    };
    let left_out_told = left_out.told();
    if let Some(told) = &left_out_told {
        if let Content::AsShown = content {
            content = Content::Only(text.clone());
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(told);
        if data.is_object() || data.is_null() {
            data["left_out"] = left_out.data();
        }
    }
    let fits = |paths: &Vec<String>| {
        paths.len() <= PATHS_MAX && paths.iter().map(String::len).sum::<usize>() <= PATHS_BYTES
    };
    if paths.as_ref().is_some_and(|paths| !fits(paths)) {
        paths = None;
        text.push_str("(too many paths for a later step to work on)\n");
    }
    let body = match content {
        Content::AsShown => None,
        Content::Only(body) if body == text => None,
        Content::Only(body) if body.len() > TEXT_BYTES => {
            let whole = Bytes::from(body);
            let path = whole_output(&format!("{}.body.txt", work.grant.spec.name));
            let (bytes, sha256) = (whole.len() as u64, work.link.put(whole).await?);
            artefacts.push(ArtefactView { path, bytes, sha256 });
            Some(Body::Whole(sha256))
        }
        Content::Only(body) => Some(Body::Text(body)),
        Content::Partial => Some(Body::Partial),
    };
    let mut whole_text = None;
    if text.len() > TEXT_BYTES {
        let whole = Bytes::from(std::mem::take(&mut text));
        text = beginning(&whole);
        let path = whole_output(&format!("{}.txt", work.grant.spec.name));
        let kept = size(whole.len() as u64);
        let told = if matches!(body, Some(Body::Partial)) {
            format!(
                "\n(cut here; {kept} were kept, not all that there was, and are in the artefact {path})\n"
            )
        } else {
            format!("\n(cut here; all {kept} are in the artefact {path})\n")
        };
        text.push_str(&told);
        text.push_str(left_out_told.as_deref().unwrap_or_default());
        let bytes = whole.len() as u64;
        let sha256 = work.link.put(whole).await?;
        artefacts.push(ArtefactView { path, bytes, sha256 });
        whole_text = Some(sha256);
    }
    Ok(StepOutput {
        text,
        whole_text,
        body,
        data,
        paths,
        number,
        exit_code,
        workspace,
        artefacts,
        citations: Vec::new(),
        provenance: Some(work.provenance(tool)),
    })
}

/// The first lines of a text, or its first characters when the first line is too long.
fn beginning(whole: &[u8]) -> String {
    let start = &whole[..TEXT_BYTES.min(whole.len())];
    let end =
        start.iter().rposition(|b| *b == b'\n').filter(|at| *at > TEXT_BYTES / 2).unwrap_or(start.len());
    let mut text = String::from_utf8_lossy(&start[..end]).into_owned();
    // The cut may have split a character.
    while text.ends_with('\u{fffd}') {
        text.pop();
    }
    text
}
