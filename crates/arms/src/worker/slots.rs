//! A worker's slots: so many steps work at once. A step that waits for a model lends its slot to
//! another step, and takes one again before it goes on: a provider that is slow or stands still
//! holds up nobody who does not need it.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// So many slots are lent at once. Steps beyond it keep theirs while they wait. A step that waits
/// costs its lease's heartbeats, its conversation and the files of its workspace.
const LOANS_MAX: usize = 128;

/// The slots of a worker.
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    loans: Arc<Semaphore>,
    lent: Notify,
}

impl Slots {
    /// At least one.
    pub(crate) fn new(slots: u16) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(usize::from(slots.max(1))));
        Arc::new(Slots { free, loans: Arc::new(Semaphore::new(LOANS_MAX)), lent: Notify::new() })
    }

    /// How many steps more may work.
    pub(crate) fn free(&self) -> u16 {
        u16::try_from(self.free.available_permits()).unwrap_or(u16::MAX)
    }

    /// A slot, if one is free.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        let held = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(Slot(Arc::new(Held { slots: Arc::clone(self), permit: Mutex::new(Some(held)) })))
    }

    /// Returns once a slot was lent since the last time.
    pub(crate) async fn lent(&self) {
        self.lent.notified().await;
    }
}

/// A step's slot; free again when its last handle is dropped.
#[derive(Clone)]
pub(crate) struct Slot(Arc<Held>);

struct Held {
    slots: Arc<Slots>,
    /// `None` while it is lent.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

/// A slot that is lent.
pub(crate) struct Loan {
    slot: Slot,
    _counted: OwnedSemaphorePermit,
}

impl Slot {
    /// Lends the slot; `None` when too many are lent, or this one is.
    pub(crate) fn lend(&self) -> Option<Loan> {
        let counted = Arc::clone(&self.0.slots.loans).try_acquire_owned().ok()?;
        drop(self.0.permit.lock().unwrap_or_else(PoisonError::into_inner).take()?);
        self.0.slots.lent.notify_one();
        Some(Loan { slot: self.clone(), _counted: counted })
    }
}

impl Loan {
    /// Takes a slot again, as soon as one is free.
    pub(crate) async fn end(self) {
        let held = &self.slot.0;
        // An error would mean that the slots were closed, which nobody does.
        let permit = Arc::clone(&held.slots.free).acquire_owned().await.ok();
        *held.permit.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn a_lent_slot_is_anothers_until_it_is_given_back() {
        let slots = Slots::new(1);
        let first = slots.take().unwrap();
        assert!(slots.take().is_none() && slots.free() == 0);
        let loan = first.lend().unwrap();
        slots.lent().await;
        assert!(first.lend().is_none(), "it is lent once");
        let second = slots.take().unwrap();
        let mut back = Box::pin(loan.end());
        assert!((&mut back).now_or_never().is_none(), "never more at work than slots");
        drop(second);
        back.await;
        assert!(slots.take().is_none());
        drop(first);
        assert_eq!(slots.free(), 1);
    }

    #[tokio::test]
    async fn a_step_that_ends_while_its_slot_is_lent_leaves_the_count_right() {
        let slots = Slots::new(2);
        let (one, two) = (slots.take().unwrap(), slots.take().unwrap());
        drop(one.lend().unwrap());
        drop(one);
        drop(two);
        assert_eq!(slots.free(), 2);
    }
}
