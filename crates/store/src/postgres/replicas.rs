//! The replicas: what is known of each, and who keeps it up to date.
//!
//! Each replica has a task that asks it how it is, every [`ASK_EVERY`] while reads come, on a connection
//! of its own; every read brings the same. When nobody has read for [`AWAKE_FOR`], nothing is asked, and
//! the first reads after that go to the primary. A replica that cannot be reached is tried again for
//! ever, and costs nobody anything but the connection attempts.

use super::{
    fault::{Fault, TooLate},
    lane::Shared,
    link::Link,
    readers::Pool,
    reads::{self, Reader},
    rotation::{self, LAG_MAX, News, Out, ReplicaState, Report, Told},
    target::Target,
};
use crate::{ReplicaView, Seen};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};

/// How often a replica is asked how it is while there are reads.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// One that does not answer within this is gone.
const ANSWER_WITHIN: Duration = Duration::from_millis(600);
/// So long after the last read replicas are still asked.
const AWAKE_FOR: Duration = Duration::from_secs(5);
/// One that says that it is behind may just have been sent something after a long rest: it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// One replica.
pub(super) struct Replica {
    /// Where it is, for people.
    pub(super) name: String,
    pub(super) pool: Pool,
    state: Mutex<ReplicaState>,
    /// What the log says of it.
    told: Mutex<Told>,
    /// Reads that it has answered.
    reads: AtomicU64,
    /// How often it was asked how it is.
    rounds: watch::Sender<u64>,
}

impl Replica {
    fn state(&self) -> MutexGuard<'_, ReplicaState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A read was answered by it.
    pub(super) fn answered(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }
}

/// All of them.
pub(super) struct Replicas {
    common: Arc<Common>,
    watchers: Vec<JoinHandle<()>>,
}

/// What the watchers share.
struct Common {
    shared: Arc<Shared>,
    all: Vec<Replica>,
    opened: Instant,
    turn: AtomicUsize,
    /// Changes when somebody reads.
    asked: watch::Sender<Duration>,
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for watcher in &self.watchers {
            watcher.abort();
        }
    }
}

impl Replicas {
    /// Begins to watch the replicas at `targets`; none has to be there.
    pub(super) fn start(shared: &Arc<Shared>, targets: &[Target]) -> Self {
        let replica = |target: &Target| Replica {
            name: target.place(),
            pool: Pool::of_replica(Arc::clone(shared), target.clone()),
            state: Mutex::default(),
            told: Mutex::default(),
            reads: AtomicU64::new(0),
            rounds: watch::Sender::new(0),
        };
        let common = Arc::new(Common {
            shared: Arc::clone(shared),
            all: targets.iter().map(replica).collect(),
            opened: Instant::now(),
            turn: AtomicUsize::new(0),
            asked: watch::Sender::new(Duration::ZERO),
        });
        let watcher = |at| {
            let common = Arc::clone(&common);
            tokio::spawn(async move { common.watch(at).await })
        };
        Replicas { watchers: (0..targets.len()).map(watcher).collect(), common }
    }

    pub(super) fn are_none(&self) -> bool {
        self.common.all.is_empty()
    }

    /// The replica that a client's read goes to, if there is one that covers what it has `seen`.
    pub(super) fn choose(&self, seen: Seen) -> Option<&Replica> {
        let common = &self.common;
        common.asked.send_replace(common.now());
        let states: Vec<ReplicaState> = common.all.iter().map(|replica| replica.state().clone()).collect();
        let turn = common.turn.fetch_add(1, Ordering::Relaxed);
        let written = common.shared.reached.get();
        rotation::choose(states.iter(), seen, written, common.now(), turn).and_then(|at| common.all.get(at))
    }

    /// Whether an answer that the replica gave after this `report` is good for whom has `seen` so much.
    pub(super) fn may_answer(&self, replica: &Replica, seen: Seen, report: &Report) -> bool {
        let written = self.common.shared.reached.get();
        let serves = replica.state().serves(written, self.common.now()).is_ok();
        // What is known of it now may be of another connection, to another server at its address.
        serves && report.is_standby && report.timeline == written.timeline && report.covers(seen)
    }

    /// The replica said this just now.
    pub(super) fn heard(&self, replica: &Replica, report: Report) {
        self.common.heard(replica, report);
    }

    /// The connection to the replica is lost, or nothing comes over it.
    pub(super) fn lost(&self, replica: &Replica, why: &Fault) {
        self.common.lost(replica, why);
    }

    /// The primary was there when it was read.
    pub(super) fn primary_was_at(&self, place: Seen) {
        self.common.shared.reached.learn(place);
    }

    /// How they are now.
    pub(super) async fn view(&self) -> Vec<ReplicaView> {
        let common = &self.common;
        let rounds: Vec<_> = common.all.iter().map(|replica| replica.rounds.subscribe()).collect();
        common.asked.send_replace(common.now());
        let latest = tokio::time::Instant::now() + ANSWER_WITHIN;
        let mut views = Vec::with_capacity(common.all.len());
        for (replica, mut round) in common.all.iter().zip(rounds) {
            if replica.state().known(common.now()).is_err() {
                // One that does not answer is told as such.
                let _in_time = tokio::time::timeout_at(latest, round.changed()).await;
            }
            let (state, now) = (replica.state().clone(), common.now());
            views.push(ReplicaView {
                name: replica.name.clone(),
                lag: state.known(now).ok().filter(|report| report.is_standby).and_then(Report::lag),
                serves: state.serves(common.shared.reached.get(), now).is_ok(),
                reads: replica.reads.load(Ordering::Relaxed),
            });
        }
        views
    }
}

impl Common {
    /// The time since the store was opened.
    fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    fn heard(&self, replica: &Replica, report: Report) {
        if let Some(replayed) = report.replayed.filter(|_| report.is_standby) {
            self.shared.reached.hear_of(report.timeline, replayed);
        }
        replica.state().hear(report, self.shared.reached.get(), self.now());
        self.tell(replica, None);
    }

    fn lost(&self, replica: &Replica, why: &Fault) {
        replica.state().lose();
        self.tell(replica, Some(&why.said()));
    }

    /// Says in the log when a replica leaves, and why, and when it is back.
    fn tell(&self, replica: &Replica, said: Option<&str>) {
        let out = replica.state().serves(self.shared.reached.get(), self.now()).err();
        if out == Some(Out::NotHeardOf) {
            return;
        }
        let news = replica.told.lock().unwrap_or_else(PoisonError::into_inner).news(out, said);
        match news {
            Some(News::IsOut(why)) => {
                let said = said.unwrap_or_default();
                tracing::warn!(replica = replica.name, ?why, said, "a replica answers no reads now");
            }
            // As loud as that it was away.
            Some(News::IsBack) => tracing::warn!(replica = replica.name, "a replica answers reads again"),
            None => {}
        }
    }

    /// Keeps up to date what is known of the replica `at`, for ever.
    async fn watch(&self, at: usize) {
        let replica = &self.all[at];
        let mut asked = self.asked.subscribe();
        let mut link: Option<Reader> = None;
        loop {
            match Self::ask(replica, link.take()).await {
                Ok((open, report)) => {
                    self.heard(replica, report);
                    link = Some(open);
                }
                Err(fault) => {
                    tracing::debug!(replica = replica.name, ?fault, "a replica does not answer");
                    self.lost(replica, &fault);
                }
            }
            replica.rounds.send_modify(|rounds| *rounds += 1);
            tokio::time::sleep(ASK_EVERY).await;
            let idle_for = self.now().saturating_sub(*asked.borrow_and_update());
            if idle_for > AWAKE_FOR {
                // The other end lives as long as this does.
                let _somebody_reads = asked.changed().await;
            }
        }
    }

    /// How the replica is, and the connection on which it said so.
    async fn ask(replica: &Replica, link: Option<Reader>) -> Result<(Reader, Report), Fault> {
        let link = match link.filter(Link::is_open) {
            Some(link) => link,
            None => replica.pool.connect().await?,
        };
        let mut report = answered(&link).await?;
        if report.is_fed && report.lag().is_none_or(|lag| lag > LAG_MAX) {
            tokio::time::sleep(ASK_AGAIN).await;
            report = answered(&link).await?;
        }
        Ok((link, report))
    }
}

/// What the server says, if it says something soon.
async fn answered(link: &Reader) -> Result<Report, Fault> {
    let asked = tokio::time::timeout(ANSWER_WITHIN, reads::report(link)).await;
    asked.unwrap_or_else(|_elapsed| Err(Fault::Lost(Arc::new(TooLate(ANSWER_WITHIN)))))
}
