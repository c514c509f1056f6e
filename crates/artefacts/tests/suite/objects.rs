//! One suite for every object store: another is one more line in `stores`.

use crate::bucket::bucket;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory, path::Path};
use octollm_artefacts::{Artefacts, GetError, PutError, Swept};
use octollm_contract::{ContentHash, Timestamp};
use octollm_testkit::s3::S3;
use std::{collections::BTreeSet, sync::Arc};

const LENGTH: usize = 1000;
const LIMIT: u64 = LENGTH as u64;
const LONG_AGO: Timestamp = Timestamp::from_millis(0);
const IN_A_CENTURY: Timestamp = Timestamp::from_millis(4_900_000_000_000);

fn stores(folder: &tempfile::TempDir, s3: &S3) -> [Arc<dyn ObjectStore>; 4] {
    let local = LocalFileSystem::new_with_prefix(folder.path()).unwrap().with_fsync(true);
    let bucket = |at: &str| bucket(s3, at).client().unwrap();
    [Arc::new(InMemory::new()), Arc::new(local), bucket(""), bucket("/some/where")]
}

/// Runs `check` on an empty store of each kind.
async fn each(check: impl AsyncFn(Artefacts, Arc<dyn ObjectStore>)) {
    let folder = tempfile::tempdir().unwrap();
    let s3 = S3::start().unwrap();
    for objects in stores(&folder, &s3) {
        check(Artefacts::over(Arc::clone(&objects), LIMIT), objects).await;
    }
}

async fn listed(artefacts: &Artefacts) -> BTreeSet<ContentHash> {
    let all: Vec<_> = artefacts.list().try_collect().await.unwrap();
    assert!(all.iter().all(|stored| stored.written > LONG_AGO && stored.written < IN_A_CENTURY));
    all.iter().map(|stored| stored.hash).collect()
}

fn place(hash: ContentHash) -> Path {
    let digits = hash.to_string();
    Path::from(format!("sha256/{}/{}", &digits[..2], &digits[2..]))
}

#[tokio::test]
async fn what_is_put_is_got_under_its_hash() {
    each(async |artefacts, _| {
        for bytes in [Bytes::new(), Bytes::from_static(b"some"), Bytes::from(vec![7; LENGTH])] {
            let hash = artefacts.put(bytes.clone()).await.unwrap();
            assert_eq!(hash, ContentHash::of(&bytes));
            assert_eq!(artefacts.get(hash).await.unwrap(), bytes);
        }
        assert_eq!(listed(&artefacts).await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn what_was_never_put_is_not_found() {
    each(async |artefacts, _| {
        let hash = ContentHash::of(b"never");
        assert!(matches!(artefacts.get(hash).await, Err(GetError::NotFound(h)) if h == hash));
        assert!(listed(&artefacts).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn putting_twice_and_at_once_is_putting_once() {
    each(async |artefacts, _| {
        let put = async || artefacts.put(Bytes::from_static(b"same")).await.unwrap();
        let hash = put().await;
        let hashes = futures_util::future::join_all((0..16).map(|_| put())).await;
        assert!(hashes.iter().all(|h| *h == hash));
        assert_eq!(listed(&artefacts).await, BTreeSet::from([hash]));
        assert_eq!(artefacts.get(hash).await.unwrap(), "same");
    })
    .await;
}

#[tokio::test]
async fn more_than_the_limit_is_refused_and_stores_nothing() {
    each(async |artefacts, objects| {
        let long = Bytes::from(vec![0; LENGTH + 1]);
        let refused = artefacts.put(long.clone()).await;
        assert!(matches!(refused, Err(PutError::TooLarge { bytes, limit }) if bytes == LIMIT + 1 && limit == LIMIT));
        assert!(listed(&artefacts).await.is_empty());
        // Nor is it read into memory when somebody else has put it there.
        let hash = ContentHash::of(&long);
        objects.put(&place(hash), long.into()).await.unwrap();
        assert!(matches!(artefacts.get(hash).await, Err(GetError::TooLarge { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_changed_object_is_told_from_a_missing_one_and_mended_by_a_put() {
    each(async |artefacts, objects| {
        let good = Bytes::from_static(b"good");
        let hash = artefacts.put(good.clone()).await.unwrap();
        for bad in [&b"gooe"[..], b"goo", b""] {
            objects.put(&place(hash), bad.to_vec().into()).await.unwrap();
            let got = artefacts.get(hash).await;
            assert!(matches!(got, Err(GetError::Corrupt { wanted, found }) if wanted == hash && found == ContentHash::of(bad)));
        }
        artefacts.put(good.clone()).await.unwrap();
        assert_eq!(artefacts.get(hash).await.unwrap(), good);
    })
    .await;
}

#[tokio::test]
async fn a_sweep_takes_what_is_old_and_unreferenced() {
    each(async |artefacts, objects| {
        let kept = artefacts.put(Bytes::from_static(b"kept")).await.unwrap();
        let loose = artefacts.put(Bytes::from_static(b"loose")).await.unwrap();
        let foreign = Path::from("sha256/zz/not-a-hash");
        objects.put(&foreign, "foreign".into()).await.unwrap();
        let keep = BTreeSet::from([kept]);

        let young = artefacts.delete_unreferenced(&keep, LONG_AGO).await.unwrap();
        assert_eq!(young, Swept { left: 2, ..Swept::default() });
        let old = artefacts.delete_unreferenced(&keep, IN_A_CENTURY).await.unwrap();
        assert_eq!(old, Swept { removed: 1, removed_bytes: 5, left: 1, partial: 0 });
        assert!(matches!(artefacts.get(loose).await, Err(GetError::NotFound(_))));
        assert_eq!(artefacts.get(kept).await.unwrap(), "kept");
        assert_eq!(artefacts.delete_unreferenced(&keep, IN_A_CENTURY).await.unwrap().removed, 0);
        objects.head(&foreign).await.expect("objects of others are left alone");
    })
    .await;
}
