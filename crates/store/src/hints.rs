//! Hints that something changed, inside one process. They are sent after the commit; they
//! may come late, twice or for nothing, and whoever waits reads the store again.

use octollm_contract::{ArmName, TaskId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::watch;

/// Where changes are announced and waited for.
#[derive(Default)]
pub struct Hints {
    topics: Arc<Mutex<HashMap<Topic, watch::Sender<()>>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Topic {
    Task(TaskId),
    Arm(ArmName),
    Expiry,
}

/// A place to wait. Take it before reading, so that no change is missed in between.
pub struct Watch {
    topic: Topic,
    topics: Arc<Mutex<HashMap<Topic, watch::Sender<()>>>>,
    receiver: watch::Receiver<()>,
}

impl Hints {
    /// Tells that a task changed.
    pub fn task_changed(&self, task: TaskId) {
        self.announce(Topic::Task(task));
    }

    /// Tells that a step became ready for an arm.
    pub fn step_ready(&self, arm: ArmName) {
        self.announce(Topic::Arm(arm));
    }

    /// Tells that a lease or a deadline came into being that may be the next to run out.
    pub fn expiry_set(&self) {
        self.announce(Topic::Expiry);
    }

    /// Tells everyone who waits for a task that it may have changed.
    pub(crate) fn tasks_changed(&self) {
        for (topic, sender) in lock(&self.topics).iter() {
            if matches!(topic, Topic::Task(_)) {
                sender.send_replace(());
            }
        }
    }

    /// Tells everyone who waits that what they wait for may have come.
    pub(crate) fn all_changed(&self) {
        for sender in lock(&self.topics).values() {
            sender.send_replace(());
        }
    }

    /// To wait for changes of a task.
    #[must_use]
    pub fn watch_task(&self, task: TaskId) -> Watch {
        self.watch(Topic::Task(task))
    }

    /// To wait for ready steps of an arm.
    #[must_use]
    pub fn watch_arm(&self, arm: ArmName) -> Watch {
        self.watch(Topic::Arm(arm))
    }

    /// To wait for new expiries.
    #[must_use]
    pub fn watch_expiry(&self) -> Watch {
        self.watch(Topic::Expiry)
    }

    fn announce(&self, topic: Topic) {
        if let Some(sender) = lock(&self.topics).get(&topic) {
            sender.send_replace(());
        }
    }

    fn watch(&self, topic: Topic) -> Watch {
        let receiver = lock(&self.topics).entry(topic).or_insert_with(|| watch::channel(()).0).subscribe();
        Watch { topic, topics: Arc::clone(&self.topics), receiver }
    }
}

impl Watch {
    /// Returns at the next hint after the last call (or after the watch was taken).
    /// Dropping the future loses nothing.
    pub async fn changed(&mut self) {
        let _sender_lives_as_long_as_a_watch = self.receiver.changed().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut topics = lock(&self.topics);
        // This watch's own receiver still counts.
        if topics.get(&self.topic).is_some_and(|sender| sender.receiver_count() <= 1) {
            topics.remove(&self.topic);
        }
    }
}

fn lock(
    topics: &Mutex<HashMap<Topic, watch::Sender<()>>>,
) -> MutexGuard<'_, HashMap<Topic, watch::Sender<()>>> {
    topics.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_between_the_watch_and_the_wait_is_not_missed() {
        let hints = Hints::default();
        let task = TaskId::from_bytes([1; 16]);
        let mut watch = hints.watch_task(task);
        hints.task_changed(task);
        watch.changed().await;
    }

    #[tokio::test]
    async fn a_topic_is_forgotten_with_its_last_watch() {
        let hints = Hints::default();
        let first = hints.watch_arm(ArmName::Coder);
        let second = hints.watch_arm(ArmName::Coder);
        drop(first);
        assert_eq!(lock(&hints.topics).len(), 1);
        drop(second);
        assert_eq!(lock(&hints.topics).len(), 0);
    }
}
