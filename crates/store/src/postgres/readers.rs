//! The connections that read: a few to the primary, a few to each replica.
//!
//! A read runs in a task of its own: a caller that goes away leaves no transaction open. A client's read
//! goes to a replica that covers what the client has seen (`rotation.rs`), if there is one. The replica
//! is asked how far it is in the same round trip, before what is read: an answer that turns out to be too
//! old is thrown away, and so is one that knows nothing of what was asked for. Then, and whenever a
//! replica fails or is slow, the primary is asked; the client sees nothing of it.

use super::{
    fault::{Fault, OwnerGone, TooLate},
    lane::{Shared, WAIT_MAX},
    link::Link,
    reads::{self, Reader},
    replicas::{Replica, Replicas},
    rotation::Report,
    target::Target,
};
use crate::{Backend, Freshness, Seen, StoreError};
use futures_util::future::BoxFuture;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// So many reads of a server run at once; others wait.
pub(super) const READERS: usize = 3;
/// A replica that takes longer is not waited for.
const REPLICA_WITHIN: Duration = Duration::from_millis(800);

/// A read: what is done with a connection, perhaps more than once.
pub(super) trait Read<T>:
    for<'l> Fn(&'l Reader) -> BoxFuture<'l, Result<T, Fault>> + Send + Sync + 'static
{
}

impl<T, F> Read<T> for F where
    F: for<'l> Fn(&'l Reader) -> BoxFuture<'l, Result<T, Fault>> + Send + Sync + 'static
{
}

/// The connections to one server.
pub(super) struct Pool {
    shared: Arc<Shared>,
    /// The replica; `None`: the primary, wherever it is.
    replica: Option<Target>,
    idle: Mutex<Vec<Reader>>,
    free: Semaphore,
    /// The host that worked last.
    host: AtomicUsize,
}

impl Pool {
    pub(super) fn of_primary(shared: Arc<Shared>, idle: Vec<Reader>) -> Self {
        let (idle, free) = (Mutex::new(idle), Semaphore::new(READERS));
        Pool { shared, replica: None, idle, free, host: AtomicUsize::new(0) }
    }

    pub(super) fn of_replica(shared: Arc<Shared>, replica: Target) -> Self {
        Pool { replica: Some(replica), ..Pool::of_primary(shared, Vec::new()) }
    }

    /// Runs `read` with a connection, and gives it back. One that hangs is dropped with what it hangs in, and with
    /// all others to a primary that answers nobody any more.
    pub(super) async fn once<T>(&self, read: &impl Read<T>, within: Duration) -> Result<T, Fault> {
        let _permit = self.free.acquire().await.map_err(|_| Fault::Lost(Arc::new(OwnerGone)))?;
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let known = loop {
            let Some(link) = idle().pop() else { break None };
            if link.is_open() {
                break Some(link);
            }
        };
        let link = match known {
            Some(link) => link,
            None => self.connect().await?,
        };
        let asked = async {
            match &self.replica {
                None => self.shared.unless_silent(link.host(), read(&link)).await,
                // It is not waited for as long as that.
                Some(_) => Ok(read(&link).await),
            }
        };
        let answer = match tokio::time::timeout(within, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(silent)) => {
                self.host.store(link.host() + 1, Ordering::Relaxed);
                idle().retain(|other| other.host() != link.host());
                return Err(Fault::Lost(Arc::new(silent)));
            }
            Err(_elapsed) => return Err(Fault::Lost(Arc::new(TooLate(within)))),
        };
        let usable = match &answer {
            Ok(_) => link.is_open(),
            Err(Fault::Lost(_)) => false,
            Err(_) => link.forget().await,
        };
        if usable {
            idle().push(link);
        }
        answer
    }

    pub(super) async fn connect(&self) -> Result<Reader, Fault> {
        match &self.replica {
            None => {
                let link =
                    Link::open(&self.shared, self.host.load(Ordering::Relaxed), "octollm reads").await?;
                self.host.store(link.host(), Ordering::Relaxed);
                Ok(link)
            }
            Some(replica) => Link::open_replica(&self.shared, replica, "octollm reads").await,
        }
    }
}

/// What reads.
pub(super) struct Readers {
    primary: Pool,
    pub(super) replicas: Replicas,
}

impl Readers {
    pub(super) fn new(primary: Pool, replicas: Replicas) -> Arc<Self> {
        Arc::new(Readers { primary, replicas })
    }

    /// Reads at the primary.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl Read<T>,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(self);
        bounded(tokio::spawn(async move { readers.at_primary(&read).await })).await
    }

    /// Reads for a client, and says what the client has seen then. `is_whole`: the answer does not lack
    /// what a replica may not know of yet.
    pub(super) async fn read_for<T: Send + 'static>(
        self: &Arc<Self>,
        fresh: Freshness,
        read: impl Read<T>,
        is_whole: fn(&T) -> bool,
    ) -> Result<(T, Seen), StoreError> {
        if self.replicas.are_none() {
            return Ok((self.read(read).await?, Seen::NOTHING));
        }
        let readers = Arc::clone(self);
        bounded(tokio::spawn(async move {
            let read = Arc::new(read);
            if let Freshness::Since(seen) = fresh
                && let Some(replica) = readers.replicas.choose(seen)
                && let Some(answer) = readers.at_replica(replica, seen, &read).await
                && is_whole(&answer.0)
            {
                replica.answered();
                return Ok(answer);
            }
            let placed = placed(read);
            let answer = readers.at_primary(&placed).await?;
            readers.replicas.primary_was_at(answer.1);
            Ok(answer)
        }))
        .await
    }

    /// What the replica answers, if it can and covers `seen`.
    async fn at_replica<T: Send + 'static>(
        &self,
        replica: &Replica,
        seen: Seen,
        read: &Arc<impl Read<T>>,
    ) -> Option<(T, Seen)> {
        let placed = reported(Arc::clone(read));
        // Others may be before this one, and a new connection takes time: that is no sign of its health.
        let asked = replica.pool.once(&placed, REPLICA_WITHIN);
        let answer = tokio::time::timeout(REPLICA_WITHIN, asked).await.ok()?;
        match answer {
            Ok((report, answer, place)) => {
                // It will be found good for whoever was shown this, until that one has seen more.
                let later = (report.timeline == place.timeline).then_some(place.position);
                let replayed = report.replayed.map(|before| later.map_or(before, |later| later.max(before)));
                self.replicas.heard(replica, Report { replayed, ..report });
                self.replicas.may_answer(replica, seen, &report).then_some((answer, place))
            }
            Err(fault) => {
                tracing::debug!(
                    replica = replica.name,
                    ?fault,
                    "a replica did not answer; the primary is asked"
                );
                if matches!(fault, Fault::Lost(_)) {
                    self.replicas.lost(replica, &fault);
                }
                None
            }
        }
    }

    /// Once more, with another connection, when the first was lost.
    async fn at_primary<T>(&self, read: &impl Read<T>) -> Result<T, StoreError> {
        match self.primary.once(read, WAIT_MAX).await {
            Err(Fault::Lost(_) | Fault::InDoubt(_) | Fault::Again(_)) => {}
            answered => return answered.map_err(StoreError::from),
        }
        Ok(self.primary.once(read, WAIT_MAX).await.map_err(Fault::of_a_read)?)
    }
}

/// The same read, and where the server was after it.
fn placed<T: Send + 'static>(read: Arc<impl Read<T>>) -> impl Read<(T, Seen)> {
    move |link| {
        let read = Arc::clone(&read);
        Box::pin(async move { tokio::try_join!(biased; read(link), reads::place(link)) })
    }
}

/// The same read, with where the server was before it and after it.
fn reported<T: Send + 'static>(read: Arc<impl Read<T>>) -> impl Read<(Report, T, Seen)> {
    move |link| {
        let read = Arc::clone(&read);
        Box::pin(async move { tokio::try_join!(biased; reads::report(link), read(link), reads::place(link)) })
    }
}

/// The answer, at most [`WAIT_MAX`] from now.
async fn bounded<T>(reading: tokio::task::JoinHandle<Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(WAIT_MAX, reading).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panicked)) => Err(StoreError::Unreachable(Backend::new(OwnerGone))),
        Err(_elapsed) => Err(StoreError::Unreachable(Backend::new(TooLate(WAIT_MAX)))),
    }
}
