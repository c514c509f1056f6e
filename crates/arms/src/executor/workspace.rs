//! A step's workspace: a private folder made from the task's manifest, and the manifest that
//! is made of it again.

use super::{outcome::WHOLE_OUTPUTS, reach::Reach, text::shown_path};
use crate::{Link, NoLink, Undone, Work};
use async_trait::async_trait;
use bytes::Bytes;
use octollm_access::Capability;
use octollm_artefacts::{Bounds, CollectError, Manifest, MaterialiseError, Shelf, collect, materialise};
use octollm_contract::{ContentHash, api::ArtefactView};
use std::{io::Read as _, path::Path};

/// A file that is changed as a text has at most this many bytes.
const TEXT_BYTES: u64 = 4 << 20;

/// A private folder, there until [`Workspace::remove`] or a drop. A program may leave so much in
/// it that removing it takes long: that is done where it may block.
pub(crate) struct Workspace {
    /// Absent only while it is being removed.
    folder: Option<tempfile::TempDir>,
    from: Manifest,
}

/// What a step leaves behind.
pub(crate) struct Committed {
    pub(crate) manifest: ContentHash,
    pub(crate) files: Vec<ArtefactView>,
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
        Self::enter_at(scratch, work.grant.workspace, work).await
    }

    /// The same, with the files of this manifest.
    pub(crate) async fn enter_at(
        scratch: &Path,
        manifest: Option<ContentHash>,
        work: &Work,
    ) -> Result<Self, Undone> {
        let made = tempfile::Builder::new().prefix("octollm-step-").tempdir_in(scratch);
        let unmade =
            |error| Undone::for_now(format!("no folder can be made in {}: {error}", shown_path(scratch)));
        let folder = made.map_err(unmade)?;
        let from = match manifest {
            None => Manifest::default(),
            Some(hash) => {
                let bytes = work.link.get(hash).await?;
                let unfit =
                    |error| Undone::for_good(format!("the workspace's manifest cannot be read: {error}"));
                Manifest::from_bytes(&bytes).map_err(unfit)?
            }
        };
        let workspace = Workspace { folder: Some(folder), from };
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
        let collected = tokio::select! {
            () = work.cancel.cancelled() => return Err(Undone::Stopped),
            collected = collect(self.path(), &self.from, Bounds::default(), &work.link) => collected,
        };
        let collected = match collected {
            Ok(collected) => collected,
            Err(CollectError::Store { source, .. }) => return Err(source.into()),
            Err(error @ CollectError::Read { .. }) => return Err(Undone::for_now(error.to_string())),
            Err(
                error @ (CollectError::TooMany { .. }
                | CollectError::FileTooLarge { .. }
                | CollectError::TooLarge { .. }
                | CollectError::Manifest(_)),
            ) => return Err(Undone::for_good(error.to_string())),
        };
        let manifest = work.link.put(Bytes::from(collected.manifest.to_bytes())).await?;
        // Whole outputs have names of their own, which no file may take.
        let files = collected.manifest.files().filter(|(path, _)| !path.as_str().starts_with(WHOLE_OUTPUTS));
        let view = |(path, entry): (&octollm_artefacts::WorkspacePath, &octollm_artefacts::Entry)| {
            ArtefactView { path: path.as_str().to_owned(), bytes: entry.bytes, sha256: entry.sha256 }
        };
        let files = files.map(view).collect();
        self.from = collected.manifest;
        Ok(Committed { manifest, files })
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

fn remove(folder: Option<tempfile::TempDir>) {
    if let Some(Err(error)) = folder.map(tempfile::TempDir::close) {
        tracing::warn!("a workspace was not removed: {error}");
    }
}
