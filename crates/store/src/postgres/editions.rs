//! What the programs that share the database read of plans.
//!
//! Each says so with its sign of life (`gone.rs`); one that is too old to say reads the first edition. Who has not
//! shown itself for half a minute is gone. What is known is as old as this process's own last sign, two seconds:
//! an older program that starts meanwhile, or after plans of a later edition were stored, may still meet one.

use super::link::Link;
use octollm_contract::Edition;
use std::sync::atomic::{AtomicU32, Ordering};

/// What all read, as of the last look.
pub(super) struct Readers(AtomicU32);

impl Default for Readers {
    fn default() -> Self {
        Readers(AtomicU32::new(Edition::NEWEST.number()))
    }
}

impl Readers {
    pub(super) fn get(&self) -> Edition {
        Edition::from(self.0.load(Ordering::Relaxed))
    }
}

/// What this program reads, as a column has it.
pub(super) fn own() -> i32 {
    i32::try_from(Edition::NEWEST.number()).unwrap_or(i32::MAX)
}

/// Looks at the signs of life of all.
pub(super) async fn look(link: &Link, readers: &Readers) -> Result<(), tokio_postgres::Error> {
    let oldest: Option<i32> = link.client.query_one(&link.sql.oldest_edition, &[]).await?.try_get(0)?;
    let oldest = oldest.and_then(|number| u32::try_from(number).ok()).map_or(Edition::NEWEST, Edition::from);
    if readers.0.swap(oldest.number(), Ordering::Relaxed) != oldest.number() {
        let (reads, known) = (oldest.number(), Edition::NEWEST.number());
        tracing::info!(reads, known, "plans are written for what all servers over the database read");
    }
    Ok(())
}
