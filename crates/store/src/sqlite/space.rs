//! Whether there is space for what is written.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a write found no space, until there is some again.
#[derive(Debug, Default)]
pub(super) struct Space(AtomicBool);

impl Space {
    /// A write found none.
    pub(super) fn ran_out(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// There is some.
    pub(super) fn is_there(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// There was none, and nobody has found any since.
    pub(super) fn is_missing(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
