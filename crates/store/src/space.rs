//! Whether there is space for what is written.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a write found no space, until there is some again.
#[derive(Debug, Default)]
pub(crate) struct Space(AtomicBool);

impl Space {
    /// A write found none.
    pub(crate) fn ran_out(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// There is some.
    pub(crate) fn is_there(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// There was none, and nobody has found any since.
    pub(crate) fn is_missing(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
