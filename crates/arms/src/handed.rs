//! What a step has handed over and nothing durable refers to yet.
//!
//! The orchestrator that took it knows of it in its memory alone. When it is gone by the time of the report, the
//! next one refuses what the report names; then the bytes are handed over again from here.
//!
//! Promises: at most [`BYTES_MAX`] are kept; what is more is known to be missing.

use bytes::Bytes;
use octollm_contract::ContentHash;
use std::collections::HashMap;

/// A step keeps so much of what it has handed over. Beyond it, the death of the orchestrator between the
/// handing over and the report costs the step an attempt.
const BYTES_MAX: usize = 16 << 20;

/// What was handed over since the last checkpoint.
#[derive(Default)]
pub(crate) struct Handed {
    /// `None`: too much to be kept.
    kept: HashMap<ContentHash, Option<Bytes>>,
    bytes: usize,
}

impl Handed {
    pub(crate) fn keep(&mut self, hash: ContentHash, bytes: Bytes) {
        let with = self.bytes.saturating_add(bytes.len());
        let fits = with <= BYTES_MAX;
        if self.kept.contains_key(&hash) {
            return;
        }
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
}
