//! A put and a sweep of the same bytes at the same moment, in the worst order.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use octollm_artefacts::{Artefacts, Stored};
use octollm_contract::{Millis, Timestamp};
use std::{collections::BTreeSet, fmt, sync::Arc};
use tokio::sync::Notify;

/// Says when a sweep has looked at an object, and lets everybody else run before it goes on.
#[derive(Debug)]
struct Hesitant {
    inner: InMemory,
    looked: Arc<Notify>,
}

impl fmt::Display for Hesitant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hesitant")
    }
}

#[async_trait]
impl ObjectStore for Hesitant {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let result = self.inner.get_opts(location, options).await;
        if head {
            self.looked.notify_one();
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        result
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// P1: the put comes after the sweep has found the old bytes and before it removes them.
#[tokio::test]
async fn what_is_put_while_it_is_swept_is_there_afterwards() {
    let looked = Arc::new(Notify::new());
    let objects = Hesitant { inner: InMemory::new(), looked: Arc::clone(&looked) };
    let artefacts = Artefacts::over(Arc::new(objects), 1000);
    let bytes = Bytes::from_static(b"put again");
    let hash = artefacts.put(bytes.clone()).await.unwrap();
    let [Stored { written, .. }] = artefacts.list().try_collect::<Vec<_>>().await.unwrap()[..] else {
        panic!("one artefact")
    };
    let older_than: Timestamp = written + Millis::new(1);
    let keep = BTreeSet::from([tick_until(&artefacts, older_than).await]);

    let (swept, ()) = tokio::join!(artefacts.delete_unreferenced(&keep, older_than), async {
        looked.notified().await;
        artefacts.put(bytes.clone()).await.unwrap();
    });
    assert_eq!(swept.unwrap().removed, 1, "the sweep did find it old");
    assert_eq!(artefacts.get(hash).await.unwrap(), bytes);
}

/// Puts one artefact until the store's clock shows `moment`.
async fn tick_until(artefacts: &Artefacts, moment: Timestamp) -> octollm_contract::ContentHash {
    loop {
        let hash = artefacts.put(Bytes::from_static(b"tick")).await.unwrap();
        let all: Vec<_> = artefacts.list().try_collect().await.unwrap();
        if all.iter().any(|stored| stored.hash == hash && stored.written >= moment) {
            return hash;
        }
    }
}
