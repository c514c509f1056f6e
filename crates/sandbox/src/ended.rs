//! How a command ended and what it said.

use std::time::Duration;

/// What is left of a command: everything it started is gone when this exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub ending: Ending,
    /// What it wrote to its standard output.
    pub stdout: Output,
    /// What it wrote to its standard error.
    pub stderr: Output,
    /// From the start of the room to the last process gone, monotonic.
    pub took: Duration,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this exit code (0 to 255).
    Exited(i32),
    /// By this signal: a crash, or a bound that kills (`SIGXCPU` and `SIGKILL` for processor time).
    Signalled(i32),
    /// It was killed because its wall time was over.
    TimedOut,
    /// It was killed because the caller cancelled it.
    Cancelled,
}

/// What came out of a stream: its beginning, up to the room's bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The first bytes, at most `Limits::output_bytes`.
    pub bytes: Vec<u8>,
    /// How many were written in all; the rest was read and thrown away.
    pub total: u64,
}

impl Output {
    /// Whether bytes are missing at the end.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.total > self.bytes.len() as u64
    }
}
