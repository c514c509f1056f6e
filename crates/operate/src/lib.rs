//! Shells around the engine that operate a fleet: they read files, print, and give an exit code.
//!
//! [`scale`] holds the verbs of `octollm scale`. What the manifests mean and what is wrong with them
//! is decided in `octollm-scaling`, which knows no files; nothing here decides.
//!
//! It promises that whatever is read is bounded, and that an input that cannot be read is named on
//! the error stream and shows in the exit code, never skipped.
//!
//! It must not know the process: its streams and its clock come in as a [`Console`], its exit code goes out as an
//! [`Exit`].

pub mod files;
pub mod scale;
mod truth;

pub use truth::truth;

use std::io::{Read, Write};
use std::time::SystemTime;

/// What a verb reads from and writes to beside the files that it is told to read.
pub struct Console<'a> {
    /// Where `-` is read from.
    pub input: &'a mut dyn Read,
    /// Where results go.
    pub out: &'a mut dyn Write,
    /// Where it says what it could not read or do.
    pub err: &'a mut dyn Write,
    /// The present moment.
    pub now: SystemTime,
}

/// How a verb ended, for a script or a CI job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All was read and nothing was found.
    Clean,
    /// All was read, and there is something to look at: a finding, a failed case.
    Found,
    /// An input could not be read, or the request cannot be met; what was printed is not all.
    Unreadable,
}

impl Exit {
    /// The exit code of the process: 0, 1 or 2.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Clean => 0,
            Exit::Found => 1,
            Exit::Unreadable => 2,
        }
    }
}
