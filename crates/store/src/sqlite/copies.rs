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
    turns: Turns,
    thread: Option<JoinHandle<()>>,
}

/// Whose turn it is to copy.
#[derive(Debug)]
struct Turns {
    /// Whether the thread was asked, and the end is the writer's.
    asked: bool,
    /// The pages in the log at the last look, and at how many the next copy begins.
    seen: u32,
    next: u32,
}

/// What is to be done after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Nobody,
    /// The thread copies, beside the commits that follow.
    Thread,
    /// The writer copies what came meanwhile, so that the log can begin anew.
    Writer,
}

impl Turns {
    const fn first() -> Self {
        Turns { asked: false, seen: 0, next: LOG_PAGES }
    }

    /// Whose turn it is when the log has so many `pages`; `busy`: the thread is at it.
    fn after(&mut self, pages: u32, busy: bool) -> Turn {
        if pages < self.seen {
            // It began anew, perhaps with no help of the writer's, whose turn this is then no more.
            self.next = LOG_PAGES;
            self.asked = false;
        }
        self.seen = pages;
        if pages < self.next || busy {
            return Turn::Nobody;
        }
        self.asked = !self.asked;
        if self.asked {
            return Turn::Thread;
        }
        // Where a reader keeps the log from its end, or the disk is full, it grows on until then.
        self.next = pages.saturating_add(LOG_PAGES);
        Turn::Writer
    }
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
        Ok(Copies { ask: Some(ask), busy, turns: Turns::first(), thread: Some(thread) })
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
        match (self.turns.after(PAGES.get(), self.busy.load(Ordering::Acquire)), &self.ask) {
            (Turn::Writer, _) => copy(writer),
            (Turn::Thread, Some(ask)) => {
                self.busy.store(true, Ordering::Release);
                // The thread ends with this only.
                let _ended = ask.try_send(());
            }
            (Turn::Nobody, _) | (Turn::Thread, None) => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The turns after commits that leave so many pages in the log, with the thread busy or not.
    fn turns<const N: usize>(commits: [(u32, bool); N]) -> [Turn; N] {
        let mut turns = Turns::first();
        commits.map(|(pages, busy)| turns.after(pages, busy))
    }

    #[test]
    fn the_thread_copies_first_and_the_writer_the_rest() {
        use Turn::{Nobody, Thread, Writer};
        let full = LOG_PAGES;
        let commits =
            [(full - 1, false), (full, false), (full + 1, true), (full + 9, false), (full + 9, false)];
        assert_eq!(turns(commits), [Nobody, Thread, Nobody, Writer, Nobody]);
    }

    /// A log that does not begin anew is copied again when it has grown by as much.
    #[test]
    fn a_log_that_a_reader_keeps_grows_by_a_whole_length_before_the_next_copy() {
        use Turn::{Nobody, Thread, Writer};
        let full = LOG_PAGES;
        let commits =
            [(full, false), (full, false), (2 * full - 1, false), (2 * full, false), (2 * full + 1, false)];
        assert_eq!(turns(commits), [Thread, Writer, Nobody, Thread, Writer]);
    }

    /// When the log began anew without the writer, the next full one is the thread's again: the writer
    /// would copy all of it within a commit.
    #[test]
    fn a_log_that_began_anew_by_itself_is_the_thread_s_first() {
        use Turn::{Nobody, Thread, Writer};
        let full = LOG_PAGES;
        let commits = [(full, false), (3, false), (full, false), (full + 1, false)];
        assert_eq!(turns(commits), [Thread, Nobody, Thread, Writer]);
    }

    #[test]
    fn no_number_of_pages_is_too_large() {
        let largest = (u32::MAX, false);
        assert_eq!(turns([largest, largest, largest]), [Turn::Thread, Turn::Writer, Turn::Thread]);
    }
}
