//! The thread that waits for the disk. The writer hands it what it committed; it syncs SQLite's
//! log, tells of the change and answers, while the writer goes on with the next transaction.
//!
//! Promises: nobody is answered, told of, or shown a change that is not on disk (P1). A sync that
//! fails is the last one: what was written may be lost and look clean (PostgreSQL calls it
//! "fsyncgate"), so that the store answers nothing more until it is opened again.
//!
//! Must not know: what a change is.

use super::{
    failpoints::Point,
    fault::Outage,
    writer::{Job, News, Shared},
};
use crate::{Backend, StoreError};
use std::{
    fs::File,
    io,
    sync::{Arc, atomic::Ordering, mpsc},
    thread::JoinHandle,
};
use tokio::sync::watch;

/// The writer's side.
pub(super) struct Disk {
    hand: Option<mpsc::SyncSender<Written>>,
    shown: Shown,
    thread: Option<JoinHandle<()>>,
}

/// What may be shown to a reader: only what is on disk.
#[derive(Clone)]
pub(super) struct Shown {
    shared: Arc<Shared>,
    /// How many of the commits are on disk.
    synced: watch::Receiver<u64>,
}

/// What a batch committed, and who waits for it.
struct Written {
    commits: u64,
    jobs: Vec<Box<dyn Job>>,
    news: Vec<News>,
}

impl Disk {
    /// Starts the thread. Without a log there is nothing to wait for: the store is thrown away.
    pub(super) fn start(log: Option<File>, shared: &Arc<Shared>) -> io::Result<Self> {
        let (hand, written) = mpsc::sync_channel::<Written>(1);
        let (on_disk, synced) = watch::channel(0);
        let shown = Shown { shared: Arc::clone(shared), synced };
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("store-disk".into()).spawn(move || {
            while let Ok(written) = written.recv() {
                if let Err(error) = log.as_ref().map_or(Ok(()), File::sync_data) {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the store's log cannot be synced; nothing is answered until the store is opened again"
                    );
                    return written.fail(&Outage::of_sync(error));
                }
                on_disk.send_replace(written.commits);
                written.answer(&shared);
            }
        })?;
        Ok(Disk { hand: Some(hand), shown, thread: Some(thread) })
    }

    pub(super) fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// Whether everything begun is on disk, or nothing will be any more.
    pub(super) fn is_free(&self) -> bool {
        self.shown.all_synced() || self.is_gone()
    }

    /// Whether a sync has failed.
    pub(super) fn is_gone(&self) -> bool {
        self.shown.synced.has_changed().is_err()
    }

    /// Waits until the disk is free.
    pub(super) async fn freed(&mut self) {
        let begun = self.shown.begun();
        // A failed sync frees it, too.
        let _gone = self.shown.synced.wait_for(|synced| *synced >= begun).await;
    }

    /// Hands over what was done since the last time. Everybody is answered, now or by and by.
    pub(super) fn hand_over(&self, jobs: Vec<Box<dyn Job>>, news: Vec<News>) {
        let written = Written { commits: self.shown.begun(), jobs, news };
        if let Some(hand) = &self.hand
            && let Err(mpsc::SendError(written)) = hand.send(written)
        {
            written.fail(&Outage::of_sync(io::Error::other(SyncFailed)));
        }
    }
}

impl Drop for Disk {
    /// Waits until what was handed over is answered.
    fn drop(&mut self) {
        self.hand = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that waits for the disk ended by a panic");
        }
    }
}

impl Shown {
    fn begun(&self) -> u64 {
        self.shared.commits.load(Ordering::SeqCst)
    }

    fn all_synced(&self) -> bool {
        *self.synced.borrow() >= self.begun()
    }

    /// Waits until all that was read so far is on disk. In a store that is not being written to,
    /// or whose disk keeps up, that is no wait.
    pub(super) async fn on_disk(&self) -> Result<(), StoreError> {
        if self.all_synced() {
            return Ok(());
        }
        let begun = self.begun();
        let waited = self.synced.clone().wait_for(|synced| *synced >= begun).await.map(|_synced| ());
        waited.map_err(|_gone| StoreError::Unreachable(Backend::new(SyncFailed)))
    }
}

impl Written {
    fn answer(self, shared: &Arc<Shared>) {
        for news in self.news {
            news.tell(shared);
        }
        let unanswered = Unanswered { jobs: self.jobs, shared: Arc::clone(shared) };
        match &shared.runtime {
            // To wake a task from a thread of its runtime is cheap, and the next sync need not wait
            // for it. A runtime that is ending lets go of the future, which answers, too.
            Some(runtime) => drop(runtime.spawn(async move { drop(unanswered) })),
            None => drop(unanswered),
        }
    }

    fn fail(self, why: &Outage) {
        for mut job in self.jobs {
            job.fail(&mut || why.clone().into());
            job.reply();
        }
    }
}

/// What is on disk and not answered yet. Whoever lets go of it answers.
struct Unanswered {
    jobs: Vec<Box<dyn Job>>,
    shared: Arc<Shared>,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        for job in std::mem::take(&mut self.jobs) {
            self.shared.failpoints.pass(Point::BeforeReply);
            job.reply();
        }
    }
}

/// The disk failed to take what was written before.
#[derive(Debug, thiserror::Error)]
#[error("the disk failed to take the store's log; look at the disk and start again")]
pub(super) struct SyncFailed;
