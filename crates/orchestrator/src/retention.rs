//! Retention: ended tasks are removed after a time, and artefacts that no task refers to.
//!
//! It may be stopped at any moment and run twice: each removal is one transaction of the store,
//! and an artefact goes only when no kept document refers to it and it is older than any lease.

use crate::App;
use octollm_contract::{Millis, Timestamp};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Tasks in one transaction.
const BATCH: usize = 500;
/// Artefacts of a step under way are not referred to yet; no step takes this long.
const YOUNG: Millis = Millis::from_secs(86_400);

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct RetentionSettings {
    /// How long an ended task is kept.
    pub keep: Millis,
    /// How often what is older is removed.
    pub every: Millis,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        RetentionSettings { keep: Millis::from_secs(30 * 86_400), every: Millis::from_secs(3600) }
    }
}

/// The running retention.
pub struct Retention {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Retention {
    /// Starts; the first removal comes after one period.
    #[must_use]
    pub fn start(app: Arc<App>, settings: RetentionSettings) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(app, settings, stop.clone()));
        Retention { stop, task }
    }

    /// Ends after the removal that is under way.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the retention had failed");
        }
    }
}

async fn run(app: Arc<App>, settings: RetentionSettings, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(settings.every.to_duration()) => {}
            () = stop.cancelled() => return,
        }
        match app.retain(settings.keep, &stop).await {
            Ok((tasks, artefacts)) => tracing::info!(tasks, artefacts, "old tasks were removed"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "a removal failed"),
        }
    }
}

/// Why a removal stopped half-way; the next one goes on.
#[derive(Debug, thiserror::Error)]
enum RetainError {
    #[error(transparent)]
    Store(#[from] octollm_store::StoreError),
    #[error(transparent)]
    Artefacts(#[from] octollm_artefacts::Backend),
}

impl App {
    async fn retain(&self, keep: Millis, stop: &CancellationToken) -> Result<(usize, u64), RetainError> {
        let before = |length: Millis| {
            let length = i64::try_from(length.get()).unwrap_or(i64::MAX);
            Timestamp::from_millis(self.now().as_millis().saturating_sub(length))
        };
        let mut tasks = 0;
        while !stop.is_cancelled() {
            let removed = self.parts.store.prune(before(keep), BATCH).await?;
            tasks += removed;
            if removed < BATCH {
                break;
            }
        }
        let young = before(YOUNG);
        let kept = self.parts.store.artefacts().await?;
        // A store over the network takes its time; each removal is whole in itself.
        tokio::select! {
            swept = self.parts.artefacts.delete_unreferenced(&kept, young) => Ok((tasks, swept?.removed)),
            () = stop.cancelled() => Ok((tasks, 0)),
        }
    }
}
