//! What a coder hands over: the workspace, what changed, and what was really run.

use super::{diff, tools::MayRun};
use crate::{
    Undone,
    executor::{
        outcome::{Found, finish, whole_output},
        workspace::Workspace,
    },
    think::{Run, Talk},
};
use bytes::Bytes;
use octollm_artefacts::Manifest;
use octollm_client::Completion;
use octollm_contract::api::ArtefactView;
use octollm_screen::{data::beginning, text::neutralise};
use serde_json::{Value, json};

/// The model's summary is told up to this many bytes.
const SUMMARY_BYTES: usize = 8 << 10;
/// The diff is told up to this many bytes; an artefact holds all of it.
const DIFF_SHOWN: usize = 24 << 10;

pub(super) async fn report(
    summary: &str,
    before: &Manifest,
    workspace: &mut Workspace,
    may_run: &MayRun,
    talk: &Talk<'_>,
) -> Result<Completion, Undone> {
    let work = talk.work;
    let committed = workspace.commit(work).await?;
    let diff = diff::unified(before, workspace.manifest(), work).await?;
    let last = talk.journal.runs.last();
    let files: Vec<&str> = committed.files.iter().map(|file| file.path.as_str()).collect();
    let named = if files.is_empty() { "none".to_owned() } else { files.join(", ") };
    let said = neutralise(summary.trim());
    let mut text = format!("{}\n\nFiles: {named}\n{}", beginning(&said, SUMMARY_BYTES), ran(last, may_run));
    if let Some(run) = last.filter(|run| !run.tail.trim().is_empty()) {
        text.push_str(&format!("\nThe end of its output:\n{}\n", run.tail.trim_end()));
    }
    if !diff.is_empty() {
        let shown = beginning(&diff, DIFF_SHOWN);
        let cut = if shown.len() < diff.len() { "(cut here; the artefact holds all of it)\n" } else { "" };
        text.push_str(&format!("\nChanges:\n{shown}{cut}"));
    }
    let run = |run: &Run| json!({ "argv": run.argv, "exit_code": run.exit_code, "outdated": run.outdated });
    let data = json!({
        "files": files,
        "runs": talk.journal.runs.iter().map(run).collect::<Vec<Value>>(),
        "ran_well": last.is_some_and(|run| run.exit_code == Some(0) && !run.outdated),
    });
    let exit_code = last.and_then(|run| run.exit_code);
    let tail = last.map(|run| run.tail.clone()).unwrap_or_default();
    let found = Found { text, data, exit_code, ..Found::default() };
    let mut output = finish(found, &talk.made_by("coder"), Some(committed), work).await?;
    for (kind, whole) in [("diff", diff), ("run.txt", tail)] {
        if !whole.is_empty() {
            let path = whole_output(&format!("{}.{kind}", work.grant.spec.name));
            let (bytes, whole) = (whole.len() as u64, Bytes::from(whole));
            output.artefacts.push(ArtefactView { path, bytes, sha256: work.link.put(whole).await? });
        }
    }
    Ok(Completion::of(output))
}

/// What was run, from what happened and not from what the model says (P10).
fn ran(last: Option<&Run>, may_run: &MayRun) -> String {
    let Some(run) = last else {
        let why = match may_run {
            MayRun::These(_) => "",
            MayRun::NotAllowed => ": the step's plan names no program, or the policy of the task allows none",
            MayRun::NoRoom => ": this machine cannot lock programs in",
        };
        return format!("Nothing was run, so nothing was tested{why}.\n");
    };
    let how = match run.exit_code {
        Some(code) => format!("ended with exit code {code}"),
        None => "could not be run to its end".to_owned(),
    };
    let after = if run.outdated { "; files were changed after it" } else { "" };
    format!("Last run: `{}` {how}{after}.\n", run.argv.join(" "))
}
