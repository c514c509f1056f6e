//! Whether there is space for what is written.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whether a write found no space, until there is some again.
#[derive(Debug, Default)]
pub(super) struct Space {
    is_missing: AtomicBool,
    ran_out: AtomicU64,
}

impl Space {
    /// A write found none.
    pub(super) fn ran_out(&self) {
        self.is_missing.store(true, Ordering::Relaxed);
        self.ran_out.fetch_add(1, Ordering::Relaxed);
    }

    /// There is some.
    pub(super) fn is_there(&self) {
        self.is_missing.store(false, Ordering::Relaxed);
    }

    /// There was none, and nobody has found any since.
    pub(super) fn is_missing(&self) -> bool {
        self.is_missing.load(Ordering::Relaxed)
    }

    /// So many writes found none.
    pub(super) fn ran_out_so_often(&self) -> u64 {
        self.ran_out.load(Ordering::Relaxed)
    }
}
