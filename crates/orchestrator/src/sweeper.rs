//! The sweeper: tells the store when time has passed, so that leases and deadlines run out.
//!
//! It sleeps until the next expiry that the store knows of, is woken by the hint that there is
//! an earlier one, and looks every few seconds whatever happens. It takes no input and may run
//! twice: expiry is a command like any other. What it finds between states is counted; the
//! count is zero in healthy runs.
//!
//! Whoever sweeps also ends what processes that died were asking, and sums up the notes of what has ended,
//! when a sweep has seen some: a slice between two sweeps, so that neither holds up the other.

use crate::App;
use octollm_contract::Millis;
use octollm_store::Swept;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// Tasks in one transaction.
const BATCH: usize = 256;
/// Notes in one transaction.
const ROLL_UP: usize = 2000;
/// Hints come with every claim; sweeps do not.
const PAUSE: Duration = Duration::from_millis(100);
/// Who sweeps says so again in time; who does not looks whether somebody else still does.
const ASK_AGAIN: Duration = Duration::from_secs(3);
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// What all sweeps of this process have found.
#[derive(Debug, Default)]
pub struct Finds {
    lapsed: AtomicU64,
    overdue: AtomicU64,
    repaired: AtomicU64,
    presumed: AtomicU64,
}

impl Finds {
    /// Leases that had run out.
    pub fn lapsed(&self) -> u64 {
        self.lapsed.load(Ordering::Relaxed)
    }

    /// Tasks whose deadline had passed.
    pub fn overdue(&self) -> u64 {
        self.overdue.load(Ordering::Relaxed)
    }

    /// Tasks that were between states.
    pub fn repaired(&self) -> u64 {
        self.repaired.load(Ordering::Relaxed)
    }

    /// Model calls that nobody settled: all that was held for them counts as spent.
    pub fn presumed(&self) -> u64 {
        self.presumed.load(Ordering::Relaxed)
    }

    /// Counts what a sweep has found.
    pub fn add(&self, swept: &Swept) {
        let count = |figure: &AtomicU64, more: usize| {
            figure.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed)
        };
        count(&self.lapsed, swept.lapsed);
        count(&self.overdue, swept.overdue);
        count(&self.repaired, swept.repaired);
        count(&self.presumed, swept.presumed);
        for task in &swept.presumed_of {
            tracing::warn!(%task, "a model call that nobody settled counts as spent, all that was held");
        }
        if swept.repaired > 0 {
            tracing::warn!(tasks = swept.repaired, "tasks were found between states and repaired");
        }
    }
}

/// The running sweeper.
pub struct Sweeper {
    stop: CancellationToken,
    task: JoinHandle<()>,
    finds: Arc<Finds>,
}

impl Sweeper {
    /// Starts to sweep.
    #[must_use]
    pub fn start(app: Arc<App>) -> Self {
        let stop = CancellationToken::new();
        let finds = Arc::new(Finds::default());
        let task = tokio::spawn(sweep(app, Arc::clone(&finds), stop.clone()));
        Sweeper { stop, task, finds }
    }

    /// What was found so far.
    #[must_use]
    pub fn finds(&self) -> Arc<Finds> {
        Arc::clone(&self.finds)
    }

    /// Ends after the sweep that is under way.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the sweeper had failed");
        }
    }
}

async fn sweep(app: Arc<App>, finds: Arc<Finds>, stop: CancellationToken) {
    let store = &app.parts.store;
    let mut watch = store.hints().watch_expiry();
    loop {
        // Of several orchestrators one sweeps; when it is gone, another one does.
        let (now, ttl) = (app.now(), app.settings.lease_ttl);
        let swept = match store.leads().await {
            Ok(true) => store.sweep(BATCH, app.hearing.unheard(ttl)).await.map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        match &swept {
            Ok(Some(swept)) if swept.tasks >= BATCH => {}
            Ok(_) => app.hearing.is_sound(now, ttl),
            Err(_) => app.hearing.failed(app.now()),
        }
        let (pause, wait) = match swept {
            Ok(None) => (ASK_AGAIN + jitter(&app), ASK_AGAIN),
            Ok(Some(swept)) => {
                finds.add(&swept);
                match store.bury().await {
                    Ok(buried) => finds.add(&buried),
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "calls of dead processes could not be ended"
                    ),
                }
                let rolled = if swept.notes { store.roll_up(ROLL_UP).await } else { Ok(0) };
                let rolled = rolled.unwrap_or_else(|error| {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "figures could not be summed up"
                    );
                    0
                });
                if swept.tasks >= BATCH {
                    (Duration::ZERO, Duration::ZERO)
                } else if rolled >= ROLL_UP {
                    (PAUSE, PAUSE)
                } else {
                    let next = swept.next.map_or(ASK_AGAIN, |at| at.since(app.now()).to_duration());
                    (PAUSE + jitter(&app), next.min(ASK_AGAIN))
                }
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a sweep failed");
                (AFTER_A_FAILURE, AFTER_A_FAILURE)
            }
        };
        let due = Instant::now() + wait.max(pause);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = watch.changed() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Up to 50 ms, so that several orchestrators do not sweep in step.
fn jitter(app: &App) -> Duration {
    let mut byte = [0; 1];
    app.parts.entropy.fill(&mut byte);
    Millis::new(u64::from(byte[0]) * 50 / 255).to_duration()
}
