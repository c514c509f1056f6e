//! Content-addressed bytes over any object store.
//!
//! An object lies at `sha256/<two digits>/<62 digits>`. It is written whole and then given its
//! name, so that a crash leaves either the object or nothing under that name.

use crate::{
    bucket::{ConnectError, S3},
    shelf::Shelf,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path};
use octollm_contract::{ContentHash, Timestamp, names::PRIVATE_FOLDER};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path as FsPath, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};
use tokio::sync::RwLock;

const ROOT: &str = "sha256";

/// An object store failed: not reachable, no permission, no space. Its text is the store's own.
#[derive(Debug, thiserror::Error)]
#[error("the artefact store failed")]
pub struct Backend(#[source] object_store::Error);

/// Why a store cannot be used from the start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its settings don't fit together, or this machine cannot connect to anybody.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Nothing can be put there: it cannot be reached, has no such bucket, or does not know us.
    #[error("nothing can be stored there")]
    Put(#[source] Backend),
    /// It can be written to, but its objects cannot be listed, which a sweep must.
    #[error("what is stored there cannot be listed")]
    List(#[source] Backend),
}

/// Why bytes were not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// More bytes than one artefact may have; nothing was stored.
    #[error("{bytes} bytes are more than an artefact may have ({limit})")]
    TooLarge {
        /// How many there are.
        bytes: u64,
        /// How many there may be.
        limit: u64,
    },
    /// It is not known whether they were kept; putting them again is safe.
    #[error("the bytes may not have been stored")]
    Unconfirmed(#[source] Backend),
}

/// Why bytes were not given.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// No such artefact, or it was swept.
    #[error("there is no artefact {0}")]
    NotFound(ContentHash),
    /// What is stored under this name is something else. Putting the bytes again mends it.
    #[error("artefact {wanted} is corrupt: its bytes have the hash {found}")]
    Corrupt {
        /// The name.
        wanted: ContentHash,
        /// What the stored bytes would be named.
        found: ContentHash,
    },
    /// What is stored under this name is longer than any artefact.
    #[error("artefact {wanted} is corrupt: it has {bytes} bytes")]
    TooLarge {
        /// The name.
        wanted: ContentHash,
        /// How long it is.
        bytes: u64,
    },
    /// Try again.
    #[error("the artefact could not be read")]
    Unreachable(#[source] Backend),
}

/// One stored artefact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub hash: ContentHash,
    /// Its length as stored.
    pub bytes: u64,
    /// When it was last put, by the store's clock.
    pub written: Timestamp,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Artefacts that were removed.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Artefacts that stay, because they are kept or young.
    pub left: u64,
    /// Files of writes that never ended (a folder's only).
    pub partial: u64,
}

/// Content-addressed bytes. Clones share the store.
#[derive(Debug, Clone)]
pub struct Artefacts {
    objects: Arc<dyn ObjectStore>,
    /// Set when the objects are files here, whose unfinished writes are ours to remove.
    folder: Option<PathBuf>,
    limit_bytes: u64,
    /// A sweep must not take what is being put again at that moment: puts share, a removal owns.
    removal: Arc<RwLock<()>>,
}

impl Artefacts {
    /// Artefacts in a folder of this machine, which is made if it is missing. Every write is
    /// synced, with its directory. It is marked as one that no tool goes into (P7). Blocks for a few
    /// file-system calls.
    pub fn in_folder(folder: &FsPath, limit_bytes: u64) -> io::Result<Artefacts> {
        let kept = folder.join(ROOT);
        fs::create_dir_all(&kept)?;
        fs::File::options().append(true).create(true).open(kept.join(PRIVATE_FOLDER))?;
        let objects = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        let folder = Some(folder.canonicalize()?);
        Ok(Artefacts { folder, ..Artefacts::over(Arc::new(objects), limit_bytes) })
    }

    /// Artefacts in a bucket of a store that speaks S3's protocol. It is put to the test: the empty artefact
    /// is stored, and one is listed.
    pub async fn in_bucket(s3: &S3, limit_bytes: u64) -> Result<Artefacts, OpenError> {
        let artefacts = Artefacts::over(s3.client()?, limit_bytes);
        let empty = location(ContentHash::of(b""));
        let put = artefacts.objects.put(&empty, Bytes::new().into()).await;
        put.map_err(|error| OpenError::Put(Backend(error)))?;
        let listed = std::pin::pin!(artefacts.list()).next().await;
        listed.transpose().map_err(OpenError::List)?;
        Ok(artefacts)
    }

    /// Artefacts in any object store. No artefact may have more than `limit_bytes`.
    #[must_use]
    pub fn over(objects: Arc<dyn ObjectStore>, limit_bytes: u64) -> Artefacts {
        Artefacts { objects, folder: None, limit_bytes, removal: Arc::default() }
    }

    /// Keeps `bytes`; they are durable when this returns.
    ///
    /// Bytes that are stored already are written again: that renews their age, so that a sweep
    /// leaves them until somebody refers to them, and mends a corrupt object.
    pub async fn put(&self, bytes: Bytes) -> Result<ContentHash, PutError> {
        let length = bytes.len() as u64;
        if length > self.limit_bytes {
            return Err(PutError::TooLarge { bytes: length, limit: self.limit_bytes });
        }
        let hash = ContentHash::of(&bytes);
        let _no_removal = self.removal.read().await;
        let written = self.objects.put(&location(hash), bytes.into()).await;
        written.map(|_| hash).map_err(|e| PutError::Unconfirmed(Backend(e)))
    }

    /// The bytes that `hash` names, checked.
    pub async fn get(&self, hash: ContentHash) -> Result<Bytes, GetError> {
        let failed = |error| match error {
            object_store::Error::NotFound { ref source, .. } if !is_bucket_missing(source.as_ref()) => {
                GetError::NotFound(hash)
            }
            error => GetError::Unreachable(Backend(error)),
        };
        let object = self.objects.get(&location(hash)).await.map_err(failed)?;
        if object.meta.size > self.limit_bytes {
            return Err(GetError::TooLarge { wanted: hash, bytes: object.meta.size });
        }
        let bytes = object.bytes().await.map_err(failed)?;
        match ContentHash::of(&bytes) {
            found if found == hash => Ok(bytes),
            found => Err(GetError::Corrupt { wanted: hash, found }),
        }
    }

    /// Every stored artefact, in no order. Objects with other names are passed over.
    pub fn list(&self) -> impl Stream<Item = Result<Stored, Backend>> + Send + use<> {
        let objects = self.objects.list(Some(&Path::from(ROOT)));
        objects.map_err(Backend).try_filter_map(async |meta| Ok(stored(&meta)))
    }

    /// Removes every artefact that is not in `keep` and was last put before `older_than`.
    ///
    /// `older_than` lies before the moment at which `keep` was read, by at least the longest
    /// time between putting bytes and recording who refers to them. Within this process a put
    /// at the same moment wins; a put by another process is safe only through that distance.
    pub async fn delete_unreferenced(
        &self,
        keep: &BTreeSet<ContentHash>,
        older_than: Timestamp,
    ) -> Result<Swept, Backend> {
        let mut swept = Swept::default();
        let mut all = std::pin::pin!(self.list());
        while let Some(found) = all.next().await {
            let found = found?;
            if !keep.contains(&found.hash) && self.remove_if_old(found.hash, older_than).await? {
                swept.removed += 1;
                swept.removed_bytes += found.bytes;
            } else {
                swept.left += 1;
            }
        }
        if let Some(folder) = self.folder.clone() {
            let partial = tokio::task::spawn_blocking(move || remove_partial(&folder.join(ROOT), older_than));
            swept.partial = partial.await.unwrap_or(0);
        }
        Ok(swept)
    }

    async fn remove_if_old(&self, hash: ContentHash, older_than: Timestamp) -> Result<bool, Backend> {
        let location = location(hash);
        let _no_put = self.removal.write().await;
        // Looked at again: it may have been put since it was listed. An answer without a body does not say whether
        // the bucket is gone; nothing is removed either way.
        match self.objects.head(&location).await {
            Ok(meta) if written(&meta) >= older_than => return Ok(false),
            Ok(_) => {}
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(Backend(error)),
        }
        match self.objects.delete(&location).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { ref source, .. }) if !is_bucket_missing(source.as_ref()) => {
                Ok(true)
            }
            Err(error) => Err(Backend(error)),
        }
    }
}

/// Whether an answer of "not found" is about the bucket: that says nothing of what lies in it (P1). A store tells the
/// two apart in the body of its answer only.
fn is_bucket_missing(answer: &(dyn std::error::Error + 'static)) -> bool {
    answer.to_string().contains("<Code>NoSuchBucket</Code>")
}

#[async_trait]
impl Shelf for Artefacts {
    type Error = ShelfError;

    async fn put(&self, bytes: Bytes) -> Result<ContentHash, ShelfError> {
        Ok(Artefacts::put(self, bytes).await?)
    }

    async fn get(&self, hash: ContentHash) -> Result<Bytes, ShelfError> {
        Ok(Artefacts::get(self, hash).await?)
    }
}

/// Why [`Artefacts`], used as a [`Shelf`], did not keep or give bytes.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// Not kept.
    #[error(transparent)]
    Put(#[from] PutError),
    /// Not given.
    #[error(transparent)]
    Get(#[from] GetError),
}

fn location(hash: ContentHash) -> Path {
    let digits = hash.to_string();
    let (first, rest) = digits.split_at(2);
    Path::from(format!("{ROOT}/{first}/{rest}"))
}

fn stored(meta: &ObjectMeta) -> Option<Stored> {
    let digits: String = meta.location.parts().skip(1).map(|part| part.as_ref().to_owned()).collect();
    let hash: ContentHash = digits.parse().ok()?;
    (location(hash) == meta.location).then(|| Stored { hash, bytes: meta.size, written: written(meta) })
}

fn written(meta: &ObjectMeta) -> Timestamp {
    Timestamp::from_millis(meta.last_modified.timestamp_millis())
}

/// Removes files of writes that a crash cut off: `<name>#<number>`, as the folder's store names
/// them. What cannot be removed now is found by the next sweep.
fn remove_partial(root: &FsPath, older_than: Timestamp) -> u64 {
    let old = |file: &fs::DirEntry| {
        let written = file.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(i64::try_from(written.as_millis()).ok()? < older_than.as_millis())
    };
    let entries = |path: &FsPath| fs::read_dir(path).into_iter().flatten().flatten();
    entries(root)
        .flat_map(|shard| entries(&shard.path()))
        .filter(|file| file.file_name().to_string_lossy().contains('#') && old(file) == Some(true))
        .filter(|file| fs::remove_file(file.path()).is_ok())
        .map(|_| 1)
        .sum()
}
