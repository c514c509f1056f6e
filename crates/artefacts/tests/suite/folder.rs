//! What is special about a folder of this machine.

use bytes::Bytes;
use futures_util::TryStreamExt;
use octollm_artefacts::{Artefacts, GetError};
use octollm_contract::{ContentHash, Timestamp};
use std::{collections::BTreeSet, fs, path::PathBuf};

struct Folder {
    folder: tempfile::TempDir,
    artefacts: Artefacts,
}

impl Folder {
    fn new() -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let artefacts = Artefacts::in_folder(&folder.path().join("deep/artefacts"), 1 << 20).unwrap();
        Folder { folder, artefacts }
    }

    fn file(&self, hash: ContentHash, suffix: &str) -> PathBuf {
        let digits = hash.to_string();
        let name = format!("deep/artefacts/sha256/{}/{}{suffix}", &digits[..2], &digits[2..]);
        self.folder.path().join(name)
    }
}

/// P1: a process killed in the middle of a write leaves a part under another name.
#[tokio::test]
async fn a_write_that_was_cut_off_is_not_an_artefact_and_is_swept() {
    let here = Folder::new();
    let bytes = Bytes::from_static(b"whole");
    let hash = ContentHash::of(&bytes);
    let partial = here.file(hash, "#1");
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    fs::write(&partial, "who").unwrap();

    assert!(matches!(here.artefacts.get(hash).await, Err(GetError::NotFound(_))));
    assert_eq!(here.artefacts.list().try_collect::<Vec<_>>().await.unwrap(), []);
    assert_eq!(here.artefacts.put(bytes.clone()).await.unwrap(), hash);
    assert_eq!(here.artefacts.get(hash).await.unwrap(), bytes);

    let keep = BTreeSet::from([hash]);
    let young = here.artefacts.delete_unreferenced(&keep, Timestamp::from_millis(0)).await.unwrap();
    assert_eq!((young.partial, young.left, partial.exists()), (0, 1, true));
    let later = Timestamp::from_millis(4_900_000_000_000);
    let old = here.artefacts.delete_unreferenced(&keep, later).await.unwrap();
    assert_eq!((old.partial, old.left, partial.exists()), (1, 1, false));
}

#[tokio::test]
async fn a_truncated_file_is_corrupt() {
    let here = Folder::new();
    let hash = here.artefacts.put(Bytes::from_static(b"whole")).await.unwrap();
    let file = fs::File::options().write(true).open(here.file(hash, "")).unwrap();
    file.set_len(3).unwrap();
    assert!(matches!(here.artefacts.get(hash).await, Err(GetError::Corrupt { .. })));
}

#[tokio::test]
async fn another_process_on_the_same_folder_sees_the_same() {
    let here = Folder::new();
    let hash = here.artefacts.put(Bytes::from_static(b"shared")).await.unwrap();
    let again = Artefacts::in_folder(&here.folder.path().join("deep/artefacts"), 1 << 20).unwrap();
    assert_eq!(again.get(hash).await.unwrap(), "shared");
}
