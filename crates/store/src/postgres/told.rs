//! What was committed is told: to whoever waits in this process at once, to other orchestrators by one
//! `NOTIFY` in [`EVERY`] at most, on a connection of its own and outside of every transaction that
//! changes something.
//!
//! A hint may come late, twice, for nothing, or not at all: whoever waits looks again by itself after
//! a while. After a new connection everything counts as changed.

use super::{
    clock::DatabaseClock,
    fault::{Fault, Stage},
    lane::Shared,
    link::{Ear, Hears},
    news::News,
};
use crate::{Clock as _, Hints};
use octollm_contract::{ArmName, TaskId};
use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// The channel of `NOTIFY`.
pub(super) const CHANNEL: &str = "octollm";
/// Hints of one process are gathered for so long.
const EVERY: Duration = Duration::from_millis(10);
/// A payload is shorter than 8000 bytes: with more tasks than this, everything counts as changed.
pub(super) const TASKS_MAX: usize = 150;
/// A hint that was lost with its process is made up for after this: whoever waits for a task reads it
/// again. Nobody waits: nothing is read.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Between attempts to connect again, at most.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Hints, and what is still to be told to others.
pub(super) struct Told {
    pub(super) hints: Arc<Hints>,
    clock: Arc<DatabaseClock>,
    /// The expiry that sweepers were told of last.
    expiry: AtomicI64,
    unsent: Mutex<News>,
    more: Notify,
}

impl Told {
    pub(super) fn new(clock: Arc<DatabaseClock>) -> Self {
        Told {
            hints: Arc::default(),
            clock,
            expiry: AtomicI64::new(i64::MAX),
            unsent: Mutex::default(),
            more: Notify::new(),
        }
    }

    /// Tells what was committed.
    pub(super) fn tell(&self, mut news: News) {
        // A sweeper sleeps until the expiry that it was told of; only an earlier one is news.
        let now = self.clock.now().as_millis();
        let told = self.expiry.load(Ordering::Relaxed);
        news.expiry = news.expiry.filter(|at| at.as_millis() < told || told <= now);
        if let Some(at) = news.expiry {
            self.expiry.store(at.as_millis(), Ordering::Relaxed);
        }
        if news.is_empty() {
            return;
        }
        announce(&self.hints, &news);
        self.later(news);
        self.more.notify_one();
    }

    fn later(&self, news: News) {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner).add(news);
    }

    /// What a sweep knows to be the next expiry of all.
    pub(super) fn expects(&self, at: Option<octollm_contract::Timestamp>) {
        self.expiry.store(at.map_or(i64::MAX, octollm_contract::Timestamp::as_millis), Ordering::Relaxed);
    }

    /// Sends as long as the connection stands.
    async fn send(&self, ear: &Ear) -> Result<(), Fault> {
        let statement = ear.client.prepare("SELECT pg_notify($1, $2)").await;
        let statement = statement.map_err(|error| Fault::of(error, Stage::Before))?;
        loop {
            tokio::select! {
                () = self.more.notified() => {}
                () = ear.closed() => return Ok(()),
                () = tokio::time::sleep(LOOK_AGAIN) => self.hints.tasks_changed(),
            }
            let news = std::mem::take(&mut *self.unsent.lock().unwrap_or_else(PoisonError::into_inner));
            if !news.is_empty() {
                let text = written(&news);
                if let Err(error) = ear.client.execute(&statement, &[&CHANNEL, &text]).await {
                    self.later(news);
                    return Err(Fault::of(error, Stage::Before));
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Who hears what others tell.
    pub(super) fn heard(&self) -> Hears {
        let hints = Arc::clone(&self.hints);
        Box::new(move |notification: tokio_postgres::Notification, own| {
            // This process has told itself already.
            if notification.process_id() != own {
                match read(notification.payload()) {
                    Some(news) => announce(&hints, &news),
                    None => hints.all_changed(),
                }
            }
        })
    }
}

/// Sends what is to be told, and hears what others tell, for ever.
pub(super) async fn serve(shared: Arc<Shared>, first: Ear) {
    let told = &shared.told;
    let mut host = first.host();
    let mut ear = Some(first);
    loop {
        match ear.take().filter(Ear::is_open) {
            Some(open) => {
                host = open.host();
                if let Err(fault) = told.send(&open).await {
                    tracing::debug!(?fault, "hints could not be sent");
                }
            }
            None => match Ear::open(&shared, host, "octollm hints", CHANNEL, told.heard()).await {
                Ok(open) => {
                    told.hints.all_changed();
                    ear = Some(open);
                }
                Err(fault) => {
                    tracing::debug!(?fault, "hints of others cannot be heard");
                    tokio::time::sleep(shared.jitter(AGAIN_AFTER)).await;
                }
            },
        }
    }
}

fn announce(hints: &Hints, news: &News) {
    for task in &news.tasks {
        hints.task_changed(*task);
    }
    for arm in &news.arms {
        hints.step_ready(*arm);
    }
    if news.expiry.is_some() {
        hints.expiry_set();
    }
}

/// `a executor,judge e t <32 hex> …`: words for arms, expiry and tasks; `*` for everything.
fn written(news: &News) -> String {
    if news.everything {
        return "*".to_owned();
    }
    let mut text = String::new();
    for arm in &news.arms {
        text.push_str(arm.as_str());
        text.push(' ');
    }
    if news.expiry.is_some() {
        text.push_str("expiry ");
    }
    for task in &news.tasks {
        write!(text, "{task} ").expect("writing to a string does not fail");
    }
    text
}

/// `None`: everything may have changed.
fn read(text: &str) -> Option<News> {
    let mut news = News::default();
    for word in text.split_ascii_whitespace() {
        if let Ok(task) = word.parse::<TaskId>() {
            news.tasks.insert(task);
        } else if let Ok(arm) = word.parse::<ArmName>() {
            news.arms.insert(arm);
        } else if word == "expiry" {
            news.expires(Some(octollm_contract::Timestamp::from_millis(0)));
        } else {
            return None;
        }
    }
    Some(news)
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::Timestamp;

    #[test]
    fn what_is_told_is_heard_and_fits() {
        let mut news = News::default();
        news.arms.extend([ArmName::Executor, ArmName::Judge]);
        news.expires(Some(Timestamp::from_millis(0)));
        news.tasks.extend((0..150u8).map(|n| TaskId::from_bytes([n; 16])));
        let text = written(&news);
        assert!(text.len() < 8000, "{}", text.len());
        assert_eq!(read(&text), Some(news.clone()));
        news.add(News { tasks: [TaskId::from_bytes([250; 16])].into(), ..News::default() });
        assert!(news.everything);
        assert_eq!(read(&written(&news)), None);
        assert_eq!(read("what a later version tells"), None);
    }
}
