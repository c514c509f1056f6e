//! What a transaction leads to outside of the database: hints, here and at other orchestrators.

use super::told::TASKS_MAX;
use octollm_contract::{ArmName, TaskId, Timestamp};
use std::collections::BTreeSet;

/// What changed, told once it is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) tasks: BTreeSet<TaskId>,
    pub(super) arms: BTreeSet<ArmName>,
    /// More than can be told one by one.
    pub(super) everything: bool,
    /// The earliest moment at which something that was written runs out.
    pub(super) expiry: Option<Timestamp>,
}

impl News {
    /// Something runs out then.
    pub(super) fn expires(&mut self, at: Option<Timestamp>) {
        self.expiry = self.expiry.into_iter().chain(at).min();
    }

    pub(super) fn add(&mut self, more: News) {
        self.tasks.extend(more.tasks);
        self.everything |= more.everything || self.tasks.len() > TASKS_MAX;
        if self.everything {
            self.tasks.clear();
        }
        self.arms.extend(more.arms);
        self.expires(more.expiry);
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.everything && self.tasks.is_empty() && self.arms.is_empty() && self.expiry.is_none()
    }
}
