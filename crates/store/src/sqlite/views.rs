//! Views of tasks that the writer has just used. It is the only one who changes them, so they
//! are exact; what a transaction changed counts only once it is committed.

use octollm_contract::TaskId;
use octollm_lifecycle::Task;
use std::{collections::HashMap, sync::Arc};

/// So many views are kept at least once they were used; at most twice as many.
const GENERATION: usize = 2048;

/// Recently used views, in two generations: what was not used while one filled up is dropped.
#[derive(Default)]
pub(super) struct Views {
    /// Of the transaction under way.
    changed: HashMap<TaskId, Arc<Task>>,
    young: HashMap<TaskId, Arc<Task>>,
    old: HashMap<TaskId, Arc<Task>>,
}

impl Views {
    pub(super) fn get(&mut self, id: TaskId) -> Option<Arc<Task>> {
        if let Some(task) = self.changed.get(&id).or_else(|| self.young.get(&id)) {
            return Some(Arc::clone(task));
        }
        let task = self.old.remove(&id)?;
        self.keep(Arc::clone(&task));
        Some(task)
    }

    /// Keeps what was read from the database.
    pub(super) fn keep(&mut self, task: Arc<Task>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(task.id, task);
    }

    /// Keeps what the transaction under way made of a task.
    pub(super) fn change(&mut self, task: Arc<Task>) {
        self.changed.insert(task.id, task);
    }

    /// Forgets a task unless the transaction under way has changed it, so that it is read anew.
    pub(super) fn distrust(&mut self, id: TaskId) {
        self.young.remove(&id);
        self.old.remove(&id);
    }

    /// Forgets a task.
    pub(super) fn forget(&mut self, id: TaskId) {
        self.changed.remove(&id);
        self.young.remove(&id);
        self.old.remove(&id);
    }

    /// What was changed is so.
    pub(super) fn commit(&mut self) {
        for (id, task) in std::mem::take(&mut self.changed) {
            self.old.remove(&id);
            // Few ask the writer about a task that has ended.
            if task.state.ended_at().is_some() {
                self.young.remove(&id);
            } else {
                self.keep(task);
            }
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Views::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn what_was_not_committed_is_not_seen_after_a_rollback() {
        let mut views = Views::default();
        let task = Arc::new(samples::task(1));
        views.change(Arc::clone(&task));
        assert!(views.get(task.id).is_some());
        views.clear();
        assert!(views.get(task.id).is_none());
    }

    #[test]
    fn the_number_of_views_is_bounded_and_used_ones_stay() {
        let mut views = Views::default();
        let used = Arc::new(samples::task(0));
        views.keep(Arc::clone(&used));
        for n in 1..20_000 {
            views.keep(Arc::new(samples::task(n)));
            assert!(views.get(used.id).is_some());
        }
        assert!(views.young.len() + views.old.len() <= 2 * GENERATION);
    }
}
