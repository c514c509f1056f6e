//! A step's workspace: a private folder made from the task's manifest, and the manifest that
//! is made of it again.

use super::{
    reach::Reach,
    text::{counted, shown, shown_path, size},
};
use crate::{Link, NoLink, Undone, Work};
use async_trait::async_trait;
use bytes::Bytes;
use octollm_access::Capability;
use octollm_artefacts::{
    Bounds, CollectError, Manifest, MaterialiseError, Shelf, Skipped, Why, collect, materialise,
};
use octollm_contract::{ContentHash, api::ArtefactView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{borrow::Cow, ffi::OsStr, io::Read as _, path::Path};

/// A file that is changed as a text has at most this many bytes.
const TEXT_BYTES: u64 = 4 << 20;

/// A private folder, there until [`Workspace::remove`] or a drop. A program may leave so much in
/// it that removing it takes long: that is done where it may block.
pub(crate) struct Workspace {
    /// Absent only while it is being removed.
    folder: Option<tempfile::TempDir>,
    from: Manifest,
    /// What was left out when it was kept last.
    left_out: LeftOut,
    /// What was left out of that before this folder was made, so that it is not in there.
    gone: LeftOut,
}

/// Whether what a call left in the folder was kept.
pub(crate) enum Kept {
    /// It was.
    Kept,
    /// It was too much: the folder is as it was kept last. The text says why, for a model.
    PutBack(String),
}

/// Why what the folder holds was not stored.
enum NotStored {
    /// It holds more than a workspace may.
    TooMuch(String),
    Undone(Undone),
}

/// What a step leaves behind.
pub(crate) struct Committed {
    pub(crate) manifest: ContentHash,
    pub(crate) files: Vec<ArtefactView>,
    pub(crate) left_out: LeftOut,
}

/// So much of what was left out is named.
const NAMED_LEFT_OUT: usize = 10;

/// What the folder holds and a manifest cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    count: usize,
    /// The first of it: a name that misleads nobody, and why.
    named: Vec<(String, Cow<'static, str>)>,
}

impl LeftOut {
    fn of(skipped: &[Skipped]) -> Self {
        let named = |Skipped { path, why }: &Skipped| (shown(OsStr::new(path)), Cow::from(reason(*why)));
        LeftOut { count: skipped.len(), named: skipped.iter().take(NAMED_LEFT_OUT).map(named).collect() }
    }

    /// Nothing was.
    pub(crate) fn is_none(&self) -> bool {
        self.count == 0
    }

    /// With what was left out of an earlier folder, as far as nothing has its name now.
    fn and(mut self, gone: &LeftOut, now: &Manifest) -> Self {
        if gone.is_none() {
            return self;
        }
        let unnamed = |all: &LeftOut| all.count.saturating_sub(all.named.len());
        // A program that makes them anew makes all of them.
        let more = unnamed(&self).max(unnamed(gone));
        let is_file = |name: &str| now.files().any(|(path, _)| shown(OsStr::new(path.as_str())) == name);
        for (name, why) in &gone.named {
            if !self.named.iter().any(|(own, _)| own == name) && !is_file(name) {
                self.named.push((name.clone(), why.clone()));
            }
        }
        self.named.sort();
        self.count = self.named.len() + more;
        self.named.truncate(NAMED_LEFT_OUT);
        self
    }

    /// For people, as a line; none where nothing was left out.
    pub(crate) fn told(&self) -> Option<String> {
        let named: Vec<String> = self.named.iter().map(|(name, why)| format!("{name} ({why})")).collect();
        let more = match self.count - self.named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = named.join(", ");
        (self.count > 0).then(|| format!("(Left out of the task's files: {named}{more})\n"))
    }

    /// For programs.
    pub(crate) fn data(&self) -> Value {
        let entry = |(path, why): &(String, Cow<'static, str>)| json!({ "path": path, "why": why });
        json!({ "count": self.count, "entries": self.named.iter().map(entry).collect::<Vec<Value>>() })
    }
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::Link => "a link",
        Why::Special => "a FIFO, a socket or a device",
        Why::Name => {
            "its name cannot be kept: it has control characters, is not UTF-8, or is too long or too deep"
        }
        Why::Mark => "its name marks the folders of servers and arms",
        Why::Outputs => "its name is that of the folder of whole outputs",
        Why::Unreadable => "it cannot be read",
    }
}

#[async_trait]
impl Shelf for Link {
    type Error = NoLink;

    async fn put(&self, bytes: Bytes) -> Result<ContentHash, NoLink> {
        Link::put(self, bytes).await
    }

    async fn get(&self, hash: ContentHash) -> Result<Bytes, NoLink> {
        Link::get(self, hash).await
    }
}

impl Workspace {
    /// Makes the folder below `scratch`, open to nobody else, with the files of the grant's
    /// manifest in it.
    pub(crate) async fn enter(scratch: &Path, work: &Work) -> Result<Self, Undone> {
        Self::enter_at(scratch, work.grant.workspace, LeftOut::default(), work).await
    }

    /// The same, with the files of this manifest, which an earlier attempt made of all but what it left out.
    pub(crate) async fn enter_at(
        scratch: &Path,
        manifest: Option<ContentHash>,
        left_out: LeftOut,
        work: &Work,
    ) -> Result<Self, Undone> {
        let folder = made(scratch)?;
        let from = match manifest {
            None => Manifest::default(),
            Some(hash) => {
                let bytes = work.link.get(hash).await?;
                let unfit =
                    |error| Undone::for_good(format!("the workspace's manifest cannot be read: {error}"));
                Manifest::from_bytes(&bytes).map_err(unfit)?
            }
        };
        let workspace = Workspace { folder: Some(folder), from, gone: left_out.clone(), left_out };
        match workspace.fill(work).await {
            Ok(()) => Ok(workspace),
            Err(why) => {
                workspace.remove().await;
                Err(why)
            }
        }
    }

    async fn fill(&self, work: &Work) -> Result<(), Undone> {
        let stop = work.cancel.cancelled();
        tokio::select! {
            () = stop => Err(Undone::Stopped),
            made = materialise(&self.from, self.path(), &work.link) => match made {
                Ok(()) => Ok(()),
                Err(MaterialiseError::Fetch { source, .. }) => Err(source.into()),
                Err(error @ MaterialiseError::Corrupt { .. }) => Err(Undone::for_good(error.to_string())),
                Err(error @ (MaterialiseError::NotEmpty(_) | MaterialiseError::Write { .. })) => {
                    Err(Undone::for_now(error.to_string()))
                }
            },
        }
    }

    /// Whether it held no file at the start, or when it was kept last.
    pub(crate) fn began_empty(&self) -> bool {
        self.from.files().len() == 0
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.as_ref().expect("it is taken only by what ends the workspace").path()
    }

    /// Returns when the folder is gone.
    pub(crate) async fn remove(mut self) {
        let folder = self.folder.take();
        if tokio::task::spawn_blocking(move || remove(folder)).await.is_err() {
            tracing::warn!("removing a workspace was broken off");
        }
    }

    /// The files that it was made from, or that were stored last.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.from
    }

    /// What is not among them.
    pub(crate) fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// The whole text of a file in it. No link is followed, and what is no text is refused.
    pub(crate) fn text(&self, path: &str) -> Result<String, Undone> {
        let reach = Reach::new(&Capability::default(), Some(self.path()));
        let (_, file, stat) = reach.file(path).map_err(|error| Undone::for_good(error.to_string()))?;
        if u64::try_from(stat.st_size).is_ok_and(|bytes| bytes > TEXT_BYTES) {
            return Err(Undone::for_good(format!("{path} has more than {TEXT_BYTES} bytes")));
        }
        let mut text = String::new();
        let read = file.take(TEXT_BYTES).read_to_string(&mut text);
        read.map_err(|error| Undone::for_good(format!("{path} cannot be read as text: {error}")))?;
        Ok(text)
    }

    /// Stores what the folder holds now and its manifest.
    pub(crate) async fn commit(&mut self, work: &Work) -> Result<Committed, Undone> {
        match self.store(work).await {
            Ok(committed) => Ok(committed),
            Err(NotStored::TooMuch(why)) => {
                Err(Undone::for_good(format!("{why}. {}", self.most().await).trim_end().to_owned()))
            }
            Err(NotStored::Undone(undone)) => Err(undone),
        }
    }

    /// Where the most of it lies, in a sentence.
    async fn most(&self) -> String {
        let folder = self.path().to_owned();
        tokio::task::spawn_blocking(move || survey(&folder)).await.unwrap_or_default()
    }

    /// The same after a call of a model: what is too much is taken away again, so that the model can
    /// go on from what was kept last.
    pub(crate) async fn keep(&mut self, work: &Work) -> Result<Kept, Undone> {
        let why = match self.store(work).await {
            Ok(_) => return Ok(Kept::Kept),
            Err(NotStored::Undone(undone)) => return Err(undone),
            Err(NotStored::TooMuch(why)) => why,
        };
        let most = self.most().await;
        let scratch = self.path().parent().unwrap_or(Path::new("/")).to_owned();
        let old = self.folder.replace(made(&scratch)?);
        if tokio::task::spawn_blocking(move || remove(old)).await.is_err() {
            tracing::warn!("removing a workspace was broken off");
        }
        self.fill(work).await?;
        self.gone = self.left_out.clone();
        Ok(Kept::PutBack(format!(
            "(What the call left in the workspace was too much and was not kept: {why}. {most}The workspace is as it \
             was before the call.)"
        )))
    }

    async fn store(&mut self, work: &Work) -> Result<Committed, NotStored> {
        let collected = tokio::select! {
            () = work.cancel.cancelled() => return Err(NotStored::Undone(Undone::Stopped)),
            collected = collect(self.path(), &self.from, Bounds::default(), &work.link) => collected,
        };
        let undone = |undone| Err(NotStored::Undone(undone));
        let collected = match collected {
            Ok(collected) => collected,
            Err(CollectError::Store { source, .. }) => return undone(source.into()),
            Err(error @ CollectError::Read { .. }) => return undone(Undone::for_now(error.to_string())),
            Err(CollectError::Manifest(invalid)) => return Err(NotStored::TooMuch(invalid.to_string())),
            Err(
                error @ (CollectError::TooMany { .. }
                | CollectError::FileTooLarge { .. }
                | CollectError::TooLarge { .. }),
            ) => return Err(NotStored::TooMuch(error.to_string())),
        };
        let put = work.link.put(Bytes::from(collected.manifest.to_bytes())).await;
        let manifest = put.map_err(|error| NotStored::Undone(error.into()))?;
        let view = |(path, entry): (&octollm_artefacts::WorkspacePath, &octollm_artefacts::Entry)| {
            ArtefactView { path: path.as_str().to_owned(), bytes: entry.bytes, sha256: entry.sha256 }
        };
        let files = collected.manifest.files().map(view).collect();
        self.left_out = LeftOut::of(&collected.skipped).and(&self.gone, &collected.manifest);
        self.from = collected.manifest;
        Ok(Committed { manifest, files, left_out: self.left_out.clone() })
    }
}

impl Drop for Workspace {
    /// The step was dropped at its work.
    fn drop(&mut self) {
        let folder = self.folder.take();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if folder.is_some() => drop(runtime.spawn_blocking(move || remove(folder))),
            Ok(_) | Err(_) => remove(folder),
        }
    }
}

fn made(scratch: &Path) -> Result<tempfile::TempDir, Undone> {
    let made = tempfile::Builder::new().prefix("octollm-step-").tempdir_in(scratch);
    made.map_err(|error| {
        Undone::for_now(format!("no folder can be made in {}: {error}", shown_path(scratch)))
    })
}

/// So many entries are looked at to say where the most of a workspace lies.
const SURVEYED: usize = 100_000;
/// So many places are named.
const NAMED: usize = 5;

/// Where the most of a workspace lies, in a sentence; no link is followed.
fn survey(folder: &Path) -> String {
    let mut largest: Vec<(u64, u64, String)> = Vec::new();
    let mut seen = 0;
    for top in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (mut entries, mut bytes, mut open) = (0_u64, 0_u64, vec![top.path()]);
        while let Some(path) = open.pop().filter(|_| seen < SURVEYED) {
            let Ok(stat) = path.symlink_metadata() else { continue };
            (seen, entries) = (seen + 1, entries + 1);
            if stat.is_dir() {
                open.extend(
                    std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()),
                );
            } else {
                bytes = bytes.saturating_add(stat.len());
            }
        }
        largest.push((bytes, entries, shown_path(Path::new(&top.file_name()))));
    }
    largest.sort_unstable_by(|a, b| b.cmp(a));
    let named = |(bytes, entries, name): &(u64, u64, String)| {
        format!("{name} ({}, {})", counted(*entries, "entry"), size(*bytes))
    };
    let named: Vec<String> = largest.iter().take(NAMED).map(named).collect();
    if named.is_empty() { String::new() } else { format!("The most lies in: {}. ", named.join(", ")) }
}

fn remove(folder: Option<tempfile::TempDir>) {
    if let Some(Err(error)) = folder.map(tempfile::TempDir::close) {
        tracing::warn!("a workspace was not removed: {error}");
    }
}
