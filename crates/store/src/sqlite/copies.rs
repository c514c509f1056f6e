//! The thread that copies the log into the database, so that few wait for it.
//!
//! SQLite does this within a commit whenever the log has grown to so many pages, and whoever is behind
//! that commit waits for all of it. Here a connection of its own copies beside the commits. The log
//! begins anew only when all of it is copied and synced at a moment when nobody writes: that end is
//! left to the writer, which has only the pages to copy that came in the meantime. What is copied
//! when is safe at any moment (SQLite's "Write-Ahead Logging", section 2).

use super::folder::{Folder, LOG_PAGES, OpenError};
use rusqlite::Connection;
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

/// The writer's side.
pub(super) struct Copies {
    ask: Option<mpsc::SyncSender<()>>,
    /// Whether the thread is at it.
    busy: Arc<AtomicBool>,
    /// Whether it was asked, and the end is the writer's.
    asked: bool,
    /// The pages in the log at the last look, and at how many the next copy begins.
    seen: u32,
    next: u32,
    thread: Option<JoinHandle<()>>,
}

thread_local! {
    /// The pages in the log after the last commit of this thread: SQLite tells a function, not a value.
    static PAGES: Cell<u32> = const { Cell::new(0) };
}

impl Copies {
    /// Starts the thread.
    pub(super) fn start(folder: &Folder) -> Result<Self, OpenError> {
        let connection = folder.writer()?;
        let (ask, asked) = mpsc::sync_channel::<()>(1);
        let busy = Arc::new(AtomicBool::new(false));
        let at_it = Arc::clone(&busy);
        let thread = std::thread::Builder::new().name("store-copies".into()).spawn(move || {
            while asked.recv().is_ok() {
                copy(&connection);
                at_it.store(false, Ordering::Release);
            }
        });
        let thread = thread.map_err(|source| folder.unusable(source))?;
        Ok(Copies { ask: Some(ask), busy, asked: false, seen: 0, next: LOG_PAGES, thread: Some(thread) })
    }

    /// Watches the log for `writer`, from its own thread. SQLite copies no longer within commits.
    pub(super) fn watch(writer: &Connection) {
        writer.wal_hook(Some(|_, pages| {
            PAGES.set(u32::try_from(pages).unwrap_or_default());
            Ok(())
        }));
    }

    /// Looks at the log after a commit.
    pub(super) fn look(&mut self, writer: &Connection) {
        let pages = PAGES.get();
        if pages < self.seen {
            // It began anew, perhaps with no help of the writer's, whose turn this is then no more.
            self.next = LOG_PAGES;
            self.asked = false;
        }
        self.seen = pages;
        if pages < self.next || self.busy.load(Ordering::Acquire) {
            return;
        }
        if std::mem::take(&mut self.asked) {
            copy(writer);
            // Where a reader keeps the log from its end, or the disk is full, it grows on until then.
            self.next = pages.saturating_add(LOG_PAGES);
        } else if let Some(ask) = &self.ask {
            self.asked = true;
            self.busy.store(true, Ordering::Release);
            // The thread ends with this only.
            let _ended = ask.try_send(());
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that copies the store's log ended by a panic");
        }
    }
}

/// Copies what can be copied while others read and write.
fn copy(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        // The log goes on growing; nothing is lost, and the next copy tries again.
        tracing::warn!(error = &error as &dyn std::error::Error, "the store's log cannot be copied");
    }
}
