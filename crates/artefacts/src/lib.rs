//! Bytes by their hash, and workspaces as manifests of them.
//!
//! Promises: bytes are durable before [`Artefacts::put`] returns, and are never read back as
//! anything but what was put: an object that changed is [`GetError::Corrupt`]. Putting twice,
//! also at once, is putting once. A [`Manifest`] has one serialisation, whose hash names it.
//! Making a manifest of a hostile directory reads nothing outside it, waits for nothing, and is
//! bounded in files, depth and bytes (P6); a directory made from a manifest holds its files and
//! nothing else.
//!
//! Must not know: tasks, leases, which documents refer to an artefact, clocks. Who sweeps
//! brings the set of what is kept and the moment before which the rest is forgotten.

mod bucket;
mod gather;
mod manifest;
mod place;
mod shelf;
mod store;

pub use bucket::{BadBucket, BadEndpoint, Bucket, ConnectError, Endpoint, Keys, S3};
pub use gather::{Bounds, CollectError, Collected, Skipped, Why, collect};
pub use manifest::{Entry, InvalidManifest, InvalidPath, Manifest, WorkspacePath};
pub use place::{MaterialiseError, materialise};
pub use shelf::Shelf;
pub use store::{Artefacts, Backend, GetError, OpenError, PutError, ShelfError, Stored, Swept};
