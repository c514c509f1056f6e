//! A worker's slots: so many steps work at once. A step that waits for a model lends its slot to
//! another step, and takes one again before it goes on: a provider that is slow or stands still
//! holds up nobody who does not need it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// So many slots are lent at once. Steps beyond it keep theirs while they wait. A step that waits
/// costs its lease's heartbeats, its conversation and the files of its workspace.
///
/// The configuration refuses providers that together take more questions at once than this: so those
/// that stand still use up no worker's slots (`docs/decisions/0018`).
pub const LOANS_MAX: usize = 512;

/// The slots of a worker.
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    loans: Arc<Semaphore>,
    freed: Notify,
}

impl Slots {
    /// At least one.
    pub(crate) fn new(slots: u16) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(usize::from(slots.max(1))));
        Arc::new(Slots { free, loans: Arc::new(Semaphore::new(LOANS_MAX)), freed: Notify::new() })
    }

    /// How many steps more may work.
    pub(crate) fn free(&self) -> u16 {
        u16::try_from(self.free.available_permits()).unwrap_or(u16::MAX)
    }

    /// A slot, if one is free.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(self.slot(Some(permit)))
    }

    /// A slot, as soon as one is free; steps that wait have theirs in the order in which they came.
    pub(crate) async fn next(self: &Arc<Self>) -> Slot {
        // An error would mean that the slots were closed, which nobody does.
        let permit = Arc::clone(&self.free).acquire_owned().await.ok();
        self.slot(permit)
    }

    fn slot(self: &Arc<Self>, permit: Option<OwnedSemaphorePermit>) -> Slot {
        Slot(Arc::new(Held { slots: Arc::clone(self), permit: Mutex::new(permit), waits: Mutex::default() }))
    }

    /// Returns once a slot was lent or given back since the last time.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }
}

/// A step's slot; free again when its last handle is dropped.
#[derive(Clone)]
pub(crate) struct Slot(Arc<Held>);

struct Held {
    slots: Arc<Slots>,
    /// `None` while it is lent.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    waits: Mutex<Waits>,
}

/// How long a step has waited to take a slot again.
#[derive(Default)]
struct Waits {
    over: Duration,
    since: Option<Instant>,
}

/// A wait that ends when it is dropped, whatever becomes of its step.
struct Waiting<'h>(&'h Held);

impl<'h> Waiting<'h> {
    fn begin(held: &'h Held) -> Self {
        held.waits.lock().unwrap_or_else(PoisonError::into_inner).since = Some(Instant::now());
        Waiting(held)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waits = self.0.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = waits.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        waits.over += waited;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.permit.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        self.slots.freed.notify_one();
    }
}

/// A slot that is lent.
pub(crate) struct Loan {
    slot: Slot,
    _counted: OwnedSemaphorePermit,
}

impl Slot {
    /// How long the step has waited so far to take a slot again after it had lent its own.
    pub(crate) fn waited(&self) -> Duration {
        let waits = self.0.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.over + waits.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Lends the slot; `None` when too many are lent, or this one is.
    pub(crate) fn lend(&self) -> Option<Loan> {
        let counted = Arc::clone(&self.0.slots.loans).try_acquire_owned().ok()?;
        drop(self.0.permit.lock().unwrap_or_else(PoisonError::into_inner).take()?);
        self.0.slots.freed.notify_one();
        Some(Loan { slot: self.clone(), _counted: counted })
    }
}

impl Loan {
    /// Takes a slot again, as soon as one is free.
    pub(crate) async fn end(self) {
        let held = &self.slot.0;
        let _waiting = Waiting::begin(held);
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
        slots.freed().await;
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
    async fn the_last_handle_of_a_slot_tells_that_it_is_free() {
        let slots = Slots::new(1);
        let slot = slots.take().unwrap();
        let other = slot.clone();
        drop(slot);
        assert!(slots.freed().now_or_never().is_none() && slots.free() == 0);
        drop(other);
        assert!(slots.freed().now_or_never().is_some() && slots.free() == 1);
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
