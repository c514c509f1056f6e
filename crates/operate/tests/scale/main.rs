//! Transcripts of the `scale` verbs: what a user sees and the exit code, without the binary.

mod conformance;
mod explain;
mod guide;
mod lint;
mod recommend;
mod transcript;
