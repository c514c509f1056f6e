//! What a step has handed over and nothing durable refers to yet.
//!
//! The orchestrator that took it knows of it in its memory alone. When it is gone by the time of the report, the
//! next one refuses what the report names; then the bytes are handed over again from here.
//!
//! Promises: at most [`BYTES_MAX`] of a step and [`WORKER_BYTES_MAX`] of all steps of a worker are kept; what
//! is more is known to be missing.

use bytes::Bytes;
use octollm_contract::ContentHash;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A step keeps so much of what it has handed over. Beyond it, the death of the orchestrator between the
/// handing over and the report costs the step an attempt.
const BYTES_MAX: usize = 16 << 20;
/// All steps of a worker together: many that lent their slots may have handed over much each.
const WORKER_BYTES_MAX: usize = 128 << 20;

/// How much the steps of a worker may still keep.
#[derive(Debug)]
pub(crate) struct Room(AtomicUsize);

impl Default for Room {
    fn default() -> Self {
        Room(AtomicUsize::new(WORKER_BYTES_MAX))
    }
}

impl Room {
    fn take(&self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What was handed over since the last checkpoint.
#[derive(Default)]
pub(crate) struct Handed {
    /// `None`: too much to be kept.
    kept: HashMap<ContentHash, Option<Bytes>>,
    bytes: usize,
    room: Arc<Room>,
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.room.give_back(self.bytes);
    }
}

impl Handed {
    /// Nothing yet, of a step of the worker that has this room.
    pub(crate) fn within(room: Arc<Room>) -> Self {
        Handed { kept: HashMap::new(), bytes: 0, room }
    }

    pub(crate) fn keep(&mut self, hash: ContentHash, bytes: Bytes) {
        let with = self.bytes.saturating_add(bytes.len());
        if self.kept.contains_key(&hash) {
            return;
        }
        let fits = with <= BYTES_MAX && self.room.take(bytes.len());
        if fits {
            self.bytes = with;
        }
        self.kept.insert(hash, fits.then_some(bytes));
    }

    /// A checkpoint refers to these now.
    pub(crate) fn saved(&mut self, hashes: &[ContentHash]) {
        for hash in hashes {
            if let Some(Some(bytes)) = self.kept.remove(hash) {
                self.bytes -= bytes.len();
                self.room.give_back(bytes.len());
            }
        }
    }

    /// All of it, to be handed over again; `None` when there is none or not all of it is here.
    pub(crate) fn all(&self) -> Option<Vec<Bytes>> {
        let all: Option<Vec<Bytes>> = self.kept.values().cloned().collect();
        all.filter(|all| !all.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_is_kept_in_bounds_until_a_checkpoint_has_it() {
        let mut handed = Handed::default();
        assert_eq!(handed.all(), None);
        let (small, large) = (Bytes::from_static(b"small"), Bytes::from(vec![7; BYTES_MAX]));
        let hash = |bytes: &Bytes| ContentHash::of(bytes);
        handed.keep(hash(&small), small.clone());
        handed.keep(hash(&small), small.clone());
        assert_eq!(handed.all(), Some(vec![small.clone()]));
        handed.keep(hash(&large), large.clone());
        assert_eq!(handed.all(), None, "not all of it is here");
        handed.saved(&[hash(&large), hash(&small)]);
        handed.keep(hash(&large), large.clone());
        assert_eq!(handed.all(), Some(vec![large]), "what is saved takes no room");
    }

    #[test]
    fn the_steps_of_a_worker_share_its_room() {
        let (room, large) = (Arc::new(Room::default()), Bytes::from(vec![7; BYTES_MAX]));
        let hash = ContentHash::of(&large);
        let mut steps: Vec<Handed> = (0..=WORKER_BYTES_MAX / BYTES_MAX)
            .map(|_| {
                let mut step = Handed::within(Arc::clone(&room));
                step.keep(hash, large.clone());
                step
            })
            .collect();
        let mut last = steps.pop().unwrap();
        assert!(steps.iter().all(|step| step.all().is_some()));
        assert_eq!(last.all(), None, "the others have it all");
        last.saved(&[hash]);
        steps[0].saved(&[hash]);
        last.keep(hash, large.clone());
        assert!(last.all().is_some());
        drop((steps, last));
        assert!(room.take(WORKER_BYTES_MAX), "who ends gives back what it has");
    }
}
