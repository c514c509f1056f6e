//! What the writer can be asked for, a verb a file.

mod accept;
mod claim;
mod decide;
mod keys;
#[cfg(test)]
mod probe;
mod prune;
mod sweep;

pub(super) use claim::Round;
pub(super) use keys::{AddToRing, PutKey, RevokeKey};
pub(super) use prune::Prune;
pub(super) use sweep::{Audit, Lose, LoseCallers, Sweep};
