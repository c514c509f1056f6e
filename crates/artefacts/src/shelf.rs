//! Where a workspace's bytes come from and go to.

use async_trait::async_trait;
use bytes::Bytes;
use octollm_contract::ContentHash;

/// Keeps bytes by their hash: [`crate::Artefacts`] itself, or the lease protocol, through which
/// a worker reaches it with its step's token.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// Why bytes could not be kept or found.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Keeps `bytes`, durable when it returns.
    async fn put(&self, bytes: Bytes) -> Result<ContentHash, Self::Error>;

    /// The bytes that `hash` names. Callers check them again.
    async fn get(&self, hash: ContentHash) -> Result<Bytes, Self::Error>;
}
