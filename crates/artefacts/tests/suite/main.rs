//! Artefacts over every object store there is, and workspaces made and gathered.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot set up")]

mod bucket;
mod folder;
mod objects;
mod sweep;
mod workspace;
