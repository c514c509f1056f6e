//! One connection with its prepared statements: to the server that can be written to, or to a replica.
//!
//! One to the primary is open no longer than that is the latest one known: whoever was passed over by a
//! promotion is left, even if it does not know of it.
//!
//! A link is used by its owner alone, who awaits each transaction to its end; nobody else's dropped
//! future can leave one open. Notices are read as they come: a server that gave up waiting for its
//! standby says so in one, just before it calls the commit done.

use super::{
    clock::DatabaseClock,
    fault::{Fault, NotReplicated, Stage, TooLate},
    lane::Shared,
    place::{self, Reached},
    statements::{Prepared, Statements},
    target::Target,
    tls::Tls,
};
use crate::{Entropy as _, OsEntropy, Seen};
use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};
use tokio_postgres::{AsyncMessage, Client, Notification, error::SqlState};
use uuid::Uuid;

/// What every session is told.
///
/// A commit is on disk, here and where a standby is waited for, whatever the database was told to do without
/// (P1); what is stronger stays.
///
/// No transaction grows old: what waits for a lock, runs or idles too long is ended by the server.
/// All statements find their rows by an index through nested loops; plans made while the tables are
/// small must not turn into walks through large ones.
pub(super) const SESSION: &str = "
    SET search_path = octollm;
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') <> 'remote_apply';
    SET statement_timeout = '20s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '20s';
    SET client_min_messages = warning;
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off;";

/// A server gives up a client that the network has swallowed after some 15 seconds. Left to the system it would
/// take two hours, and the sessions of every partition would count against `max_connections` until then. It says
/// nothing over a Unix socket.
const SWALLOWED: &str = "
    SET tcp_keepalives_idle = 5;
    SET tcp_keepalives_interval = 3;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = '15s';";

/// How long a link may take to forget a transaction that failed.
const ROLLBACK_WITHIN: Duration = Duration::from_secs(2);

const AT_A_REPLICA: u32 = u32::MAX;

/// What the server said in passing.
#[derive(Default)]
struct Notices {
    not_replicated: Mutex<Option<String>>,
}

pub(super) struct Link<S = Statements> {
    pub(super) client: Client,
    pub(super) sql: S,
    pub(super) clock: Arc<DatabaseClock>,
    line: Line,
    /// Which of the processes that share the database this one is.
    pub(super) process: Uuid,
    /// Whose rows of `finished` are this connection's.
    pub(super) counter: Uuid,
    notices: Arc<Notices>,
    /// How it is cancelled.
    tls: Tls,
}

/// What a connection hangs on.
struct Line {
    /// Reads what the server sends.
    driver: tokio::task::JoinHandle<()>,
    reached: Arc<Reached>,
    /// The primary's, as long as the connection stands; [`AT_A_REPLICA`], where each read looks at it.
    timeline: u32,
    /// Which of the target's hosts it leads to.
    host: usize,
}

impl Line {
    /// Whether `client` can still be used: it stands, and there is no later primary than the one that it
    /// leads to.
    fn is_open(&self, client: &Client) -> bool {
        !client.is_closed() && !self.driver.is_finished() && self.timeline >= self.reached.get().timeline
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What leads to a primary.
trait Leads {
    fn is_open(&self) -> bool;
    fn host(&self) -> usize;
}

/// Connects to the first host, from `host` on, that can be written to. One that was the primary before
/// another one that is known is passed over, even if it does not know that it is not any more.
async fn latest<C: Leads, F: Future<Output = Result<C, Fault>>>(
    shared: &Shared,
    mut host: usize,
    connect: impl Fn(usize) -> F,
) -> Result<C, Fault> {
    for _ in 0..shared.target.hosts() {
        let connection = connect(host).await?;
        if connection.is_open() {
            return Ok(connection);
        }
        host = connection.host() + 1;
    }
    Err(place::outdated())
}

impl<S> Leads for Link<S> {
    fn is_open(&self) -> bool {
        self.line.is_open(&self.client)
    }

    fn host(&self) -> usize {
        self.line.host
    }
}

impl Leads for Ear {
    fn is_open(&self) -> bool {
        self.line.is_open(&self.client)
    }

    fn host(&self) -> usize {
        self.line.host
    }
}

/// Who hears of notifications.
pub(super) type Heard = Box<dyn Fn(Notification) + Send>;

impl<S: Prepared> Link<S> {
    /// Connects to the latest primary, from the host `host` on.
    pub(super) async fn open(shared: &Shared, host: usize, name: &str) -> Result<Self, Fault> {
        latest(shared, host, |host| Self::arrived(shared, host, name)).await
    }

    async fn arrived(shared: &Shared, host: usize, name: &str) -> Result<Self, Fault> {
        let mut link = Self::connected(shared, &shared.target, host, name).await?;
        let arriving = place::arrive(&link.client, &shared.reached);
        link.line.timeline = within(Target::within(), Stage::Before, arriving).await?;
        Ok(link)
    }

    /// Connects to a replica of the primary, whatever has become of it.
    pub(super) async fn open_replica(shared: &Shared, replica: &Target, name: &str) -> Result<Self, Fault> {
        let link = Self::connected(shared, replica, 0, name).await?;
        let cluster = within(Target::within(), Stage::Before, place::cluster(&link.client)).await?;
        if shared.reached.knows(cluster) { Ok(link) } else { Err(place::no_replica()) }
    }

    async fn connected(shared: &Shared, target: &Target, host: usize, name: &str) -> Result<Self, Fault> {
        let (client, notices, driver, host) = connect(target, host, name, Box::new(|_| {})).await?;
        let sql = within(Target::within() * 2, Stage::Before, async {
            client.batch_execute(SWALLOWED).await?;
            client.batch_execute(SESSION).await?;
            S::prepare(&client).await
        })
        .await
        .inspect_err(|_| driver.abort())?;
        let mut counter = [0; 16];
        OsEntropy.fill(&mut counter);
        let counter = Uuid::from_bytes(counter);
        let (clock, reached) = (Arc::clone(&shared.clock), Arc::clone(&shared.reached));
        let line = Line { driver, reached, timeline: AT_A_REPLICA, host };
        let process = shared.process;
        Ok(Link { client, sql, clock, line, process, counter, notices, tls: target.tls() })
    }

    /// Whether it can still be used.
    pub(super) fn is_open(&self) -> bool {
        Leads::is_open(self)
    }

    /// Which of the target's hosts it leads to.
    pub(super) fn host(&self) -> usize {
        Leads::host(self)
    }

    /// The timeline of the primary that it leads to; of a replica, each read says that.
    pub(super) fn timeline(&self) -> Option<u32> {
        Some(self.line.timeline).filter(|timeline| *timeline != AT_A_REPLICA)
    }

    /// What is left to know once the server has called a commit done.
    pub(super) fn confirmed(&self) -> Result<(), Fault> {
        let said = self.notices.not_replicated.lock().unwrap_or_else(PoisonError::into_inner).take();
        said.map_or(Ok(()), |said| Err(Fault::InDoubt(Arc::new(NotReplicated(said)))))
    }

    /// Asks the server to end what this connection waits for. It may be deaf.
    pub(super) async fn cancel(&self) {
        let token = self.client.cancel_token();
        let _nobody_may_hear =
            tokio::time::timeout(ROLLBACK_WITHIN, token.cancel_query(self.tls.clone())).await;
    }

    /// Ends what a failed transaction left. `false`: the link is of no use any more.
    pub(super) async fn forget(&self) -> bool {
        let rolled_back = within(ROLLBACK_WITHIN, Stage::Before, self.client.batch_execute("ROLLBACK")).await;
        drop(self.confirmed());
        rolled_back.is_ok() && self.is_open()
    }
}

impl Link {
    /// Learns how far the log is. Sent behind a commit it is in the same round trip, and its failure
    /// leaves in doubt what was committed: nobody could be promised to read it.
    pub(super) async fn place(&self) -> Result<(), Fault> {
        let asked = async { self.client.query_one(&self.sql.place, &[]).await?.try_get(0) };
        let position: i64 = asked.await.map_err(|error| Fault::InDoubt(Arc::new(error)))?;
        self.line.reached.learn(Seen { timeline: self.line.timeline, position: place::unsigned(position) });
        Ok(())
    }
}

/// What `work` gives, unless it takes too long.
pub(super) async fn within<T>(
    limit: Duration,
    stage: Stage,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(|error| Fault::of(error, stage)),
        Err(_elapsed) => Err(match stage {
            Stage::Before => Fault::Lost(Arc::new(TooLate(limit))),
            Stage::Commit => Fault::InDoubt(Arc::new(TooLate(limit))),
        }),
    }
}

/// Connects and spawns the task that reads what the server sends.
async fn connect(
    target: &Target,
    first: usize,
    name: &str,
    heard: Heard,
) -> Result<(Client, Arc<Notices>, tokio::task::JoinHandle<()>, usize), Fault> {
    let mut why = None;
    for at in first..first + target.hosts() {
        let config = target.host(at, name);
        match within(Target::within(), Stage::Before, config.connect(target.tls())).await {
            Ok((client, mut connection)) => {
                let notices = Arc::new(Notices::default());
                let said = Arc::clone(&notices);
                let driver = tokio::spawn(async move {
                    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                        match message {
                            Ok(AsyncMessage::Notice(notice)) => {
                                // Nothing else of ours warns so.
                                if *notice.code() == SqlState::WARNING {
                                    let mut last =
                                        said.not_replicated.lock().unwrap_or_else(PoisonError::into_inner);
                                    *last = Some(notice.message().to_owned());
                                }
                            }
                            Ok(AsyncMessage::Notification(notification)) => heard(notification),
                            Ok(_) => {}
                            Err(error) => {
                                tracing::debug!(
                                    error = &error as &dyn std::error::Error,
                                    "a connection to the database ended"
                                );
                                return;
                            }
                        }
                    }
                });
                return Ok((client, notices, driver, at % target.hosts()));
            }
            // The server has no encryption, say: no statement was asked for yet.
            Err(Fault::Statement(error)) => why = Some(Fault::Lost(error)),
            Err(fault) => why = Some(fault),
        }
    }
    Err(why.expect("a target has a host"))
}

/// Who hears of notifications, and which of them are this connection's own.
pub(super) type Hears = Box<dyn Fn(Notification, i32) + Send + Sync>;

/// A connection that hears notifications and sends them.
pub(super) struct Ear {
    pub(super) client: Client,
    line: Line,
}

impl Ear {
    /// Connects; what is said on `channel` from now on is heard. What it says itself waits for no
    /// disk: hints may be lost.
    pub(super) async fn open(
        shared: &Shared,
        host: usize,
        name: &str,
        channel: &str,
        hears: Hears,
    ) -> Result<Ear, Fault> {
        let hears = Arc::new(hears);
        latest(shared, host, |host| Self::connected(shared, host, name, channel, Arc::clone(&hears))).await
    }

    async fn connected(
        shared: &Shared,
        host: usize,
        name: &str,
        channel: &str,
        hears: Arc<Hears>,
    ) -> Result<Ear, Fault> {
        let own = Arc::new(AtomicI32::new(0));
        let known = Arc::clone(&own);
        let heard: Heard = Box::new(move |notification| hears(notification, known.load(Ordering::Relaxed)));
        let (client, _notices, driver, host) = connect(&shared.target, host, name, heard).await?;
        let line = Line { driver, reached: Arc::clone(&shared.reached), timeline: 0, host };
        let mut ear = Ear { client, line };
        let session = format!(
            "{SWALLOWED} SET synchronous_commit = off; SET statement_timeout = '5s'; SET client_min_messages = warning;
             LISTEN {channel}"
        );
        let said = within(Target::within(), Stage::Before, async {
            let pid: i32 = ear.client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
            ear.client.batch_execute(&session).await?;
            Ok((pid, place::timeline(&ear.client).await?))
        });
        let (pid, timeline) = said.await?;
        own.store(pid, Ordering::Relaxed);
        ear.line.timeline = timeline;
        Ok(ear)
    }

    /// Whether it can still be used.
    pub(super) fn is_open(&self) -> bool {
        Leads::is_open(self)
    }

    /// Which of the target's hosts it leads to.
    pub(super) fn host(&self) -> usize {
        Leads::host(self)
    }

    /// Returns once the connection has ended.
    pub(super) async fn closed(&self) {
        while self.is_open() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// How soon the end of a connection that nobody writes to is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
