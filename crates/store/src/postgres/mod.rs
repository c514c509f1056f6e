//! The store on PostgreSQL 15 or later: any number of orchestrators over one database.
//!
//! Promises: what the traits promise (P1–P4, P7). Each of a few connections has one owner and one
//! purpose (`lane.rs`): accepts, claims, reports, upkeep, hints, and [`CONNECTIONS`] in all; an owner
//! does what is queued in one transaction and answers once it is committed. A task's row is locked
//! while something is decided about it. Moments are the database's. A commit whose fate is not known is
//! told as such; the same idempotency key then gives one task. A lost connection is replaced by one to
//! whichever host can be written to; nobody waits longer than ten seconds.
//!
//! Must not know: what a decision is. States are spelled as columns in `columns`.

mod accept;
mod claim;
mod clock;
mod decide;
mod draft;
mod editions;
mod fault;
mod gone;
mod keys;
mod lane;
mod link;
mod news;
mod notes;
mod place;
mod pooled;
mod readers;
mod reads;
mod replicas;
mod retention;
mod rotation;
mod rows;
mod schema;
mod statements;
mod target;
mod task_reads;
#[cfg(test)]
mod tests;
mod tls;
mod told;
mod upkeep;
mod writes;

pub use clock::{DatabaseClock, Moments};

/// The statements that write, each with its name: for a bench that shows what the database takes of the store's time.
#[doc(hidden)]
#[must_use]
pub fn statements() -> &'static [(&'static str, &'static str)] {
    <statements::Statements as statements::Prepared>::ALL
}

pub use schema::Schema;
pub use target::{InvalidReplicas, InvalidTarget, ReplicaTargets, Target};

use crate::{
    AcceptError, Accepted, Backend, Claims, Clock, DecideError, Directed, Entropy, Gone, Hints, Keys, Lost,
    Order, StoreError, Swept, Tasks, Wanted,
};
use accept::Accepts;
use async_trait::async_trait;
use claim::ClaimWork;
use decide::Decides;
use fault::Fault;
use futures_util::FutureExt as _;
use lane::{Lane, Shared};
use link::{Ear, Link};
use octollm_access::{KeyRecord, Revocation, RingKey, TenantScope};
use octollm_contract::{Edition, KeyId, Timestamp};
use octollm_lifecycle::{Changes, Unheard};
use readers::{Pool, READERS, Readers};
use replicas::Replicas;
use std::sync::Arc;
use told::Told;
use upkeep::{Chore, Outcome, Upkeep};
use uuid::Uuid;

/// So many connections one orchestrator has: accepts, claims, reports, upkeep, hints, and three reads.
pub const CONNECTIONS: usize = 5 + READERS;

/// A prune removes so many tasks a transaction, so that others get their turn in between.
const PRUNE_SLICE: usize = 128;
/// The office of whoever sweeps.
const SWEEPER: &str = "sweeper";

/// Why the store could not be opened: one variant for each thing its owner can do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Start the server, or correct the URL.
    #[error("the database at {target} cannot be reached for writing")]
    Unreachable {
        /// Where it was looked for.
        target: String,
        /// What came instead of an answer.
        #[source]
        why: Option<Backend>,
    },
    /// Raise `max_connections`, start fewer orchestrators, or put a pooler in session mode between.
    #[error(
        "the database takes {most} connections of ordinary users, {used} are in use, and an orchestrator needs {needed}"
    )]
    TooFewConnections {
        /// `max_connections` without those that are reserved.
        most: i64,
        /// Those of all clients now.
        used: i64,
        /// What this process needs.
        needed: usize,
    },
    /// Put the pooler in session mode, or connect to the server itself.
    #[error(
        "a pooler stands between that gives each transaction another session; put it in session mode (PgBouncer: pool_mode = session), or name the server itself"
    )]
    Pooled,
    /// Make a database whose encoding is UTF8.
    #[error(
        "the database keeps its texts in {encoding}, which has not every character that a goal may have; make one with ENCODING 'UTF8' TEMPLATE template0"
    )]
    Encoding {
        /// What it keeps texts in.
        encoding: String,
    },
    /// Give the user the right.
    #[error(
        "the user {user} may not {what} the table octollm.{table}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA octollm TO it, or connect as the schema's owner"
    )]
    Forbidden {
        /// Whom the URL names.
        user: String,
        /// SELECT, INSERT, UPDATE or DELETE.
        what: String,
        /// A table that it is needed for.
        table: String,
    },
    /// Use a newer version of this program.
    #[error(
        "the database was migrated by a newer version (schema {found}, for programs that know {needs}; this one knows {known})"
    )]
    Newer {
        /// Its schema.
        found: i32,
        /// The newest schema known here.
        known: i32,
        /// The oldest that still runs on it.
        needs: i32,
    },
    /// End the session that keeps the table, and start again; nothing was changed.
    #[error(
        "the database cannot be brought to schema {migration}: a session keeps a table that must change (SELECT pid, state, query FROM pg_stat_activity WHERE xact_start IS NOT NULL shows it; end its transaction and start again)"
    )]
    Kept {
        /// The schema that it was to become.
        migration: i32,
        /// The last refusal.
        #[source]
        error: Backend,
    },
    /// The server refuses something that is needed: see what it says.
    #[error("the database refuses what is needed to set it up")]
    Refused(#[source] Backend),
}

impl OpenError {
    fn unreachable(target: &Target, why: Option<Fault>) -> Self {
        let why = why.map(|fault| Backend::new(StoreError::from(fault)));
        OpenError::Unreachable { target: target.to_string(), why }
    }
}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        OpenError::Refused(Backend::new(error))
    }
}

/// Brings the database to the newest schema that this program knows. Any number of processes may do so
/// at once, while others work.
pub async fn migrate(target: &Target) -> Result<Schema, OpenError> {
    schema::migrate(target).await
}

/// The store on PostgreSQL.
pub struct PostgresStore {
    shared: Arc<Shared>,
    accepts: Lane<Accepts>,
    claims: Lane<ClaimWork>,
    decides: Lane<Decides>,
    upkeep: Lane<Upkeep>,
    readers: Arc<Readers>,
    owners: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for PostgresStore {
    /// What was not answered is in doubt for its caller; the server rolls back what was not committed.
    fn drop(&mut self) {
        for owner in &self.owners {
            owner.abort();
        }
    }
}

impl PostgresStore {
    /// Migrates the database if it must be, checks that its connections suffice, and connects.
    pub async fn open(
        target: Target,
        moments: Moments,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        Self::open_reading(target, ReplicaTargets::default(), moments, entropy).await
    }

    /// The same; what clients read may come from `replicas`, if they are there.
    pub async fn open_reading(
        target: Target,
        replicas: ReplicaTargets,
        moments: Moments,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        Self::open_patient(target, replicas, moments, entropy, lane::STUCK_AFTER).await
    }

    /// The same, with a bound of the caller's on what is stuck at the server.
    async fn open_patient(
        target: Target,
        replicas: ReplicaTargets,
        moments: Moments,
        entropy: Arc<dyn Entropy>,
        stuck_after: std::time::Duration,
    ) -> Result<Self, OpenError> {
        pooled::by_transaction(&target).await?;
        schema::migrate(&target).await?;
        let clock = Arc::new(DatabaseClock::new(moments));
        let told = Told::new(Arc::clone(&clock));
        let mut process = [0; 16];
        entropy.fill(&mut process);
        let process = Uuid::from_bytes(process);
        let shared = Arc::new(Shared {
            target,
            clock,
            entropy,
            process,
            told,
            reached: Arc::default(),
            readers: editions::Readers::default(),
            stuck_after,
        });
        let opened = |fault: Fault| OpenError::unreachable(&shared.target, Some(fault));
        let first = link(&shared, "octollm accepts").await.map_err(opened)?;
        enough_connections(&first).await?;
        may_write(&first).await?;
        editions::look(&first, &shared.readers).await?;
        let (claims, decides, upkeep, readers) = tokio::try_join!(
            link(&shared, "octollm claims"),
            link(&shared, "octollm reports"),
            link(&shared, "octollm upkeep"),
            futures_util::future::try_join_all((0..READERS).map(|_| link(&shared, "octollm reads"))),
        )
        .map_err(opened)?;
        let ear = Ear::open(&shared, 0, "octollm hints", told::CHANNEL, shared.told.heard());
        let ear = ear.await.map_err(opened)?;
        let of = || Arc::clone(&shared);
        let (accepts, accepting) = Lane::start(Accepts::default(), first, "octollm accepts", of());
        let work = ClaimWork {
            shared: of(),
            rotation: std::sync::Mutex::default(),
            several: std::sync::atomic::AtomicBool::default(),
        };
        let (claims, claiming) = Lane::start(work, claims, "octollm claims", of());
        let work = Decides { shared: of() };
        let (decides, deciding) = Lane::start(work, decides, "octollm reports", of());
        let (upkeep, keeping) = Lane::start(Upkeep::new(of()), upkeep, "octollm upkeep", of());
        let telling = tokio::spawn(told::serve(of(), ear));
        let replicas = Replicas::start(&shared, replicas.all());
        let readers = Readers::new(Pool::of_primary(of(), readers), replicas);
        let owners = vec![accepting, claiming, deciding, keeping, telling];
        Ok(PostgresStore { shared, accepts, claims, decides, upkeep, readers, owners })
    }

    /// The clock that the store goes by, as far as it is known without a question.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock) as _
    }

    async fn chore(&self, chore: Chore) -> Result<Outcome, StoreError> {
        self.upkeep.ask(chore).await?
    }

    async fn swept(&self, chore: Chore) -> Result<Swept, StoreError> {
        match self.chore(chore).await? {
            Outcome::Swept(swept) => Ok(swept),
            Outcome::Many(_) | Outcome::Was(_) | Outcome::Revocation(_) => {
                unreachable!("a sweep answers with what it swept")
            }
        }
    }

    async fn was(&self, chore: Chore) -> Result<bool, StoreError> {
        match self.chore(chore).await? {
            Outcome::Was(was) => Ok(was),
            Outcome::Swept(_) | Outcome::Many(_) | Outcome::Revocation(_) => {
                unreachable!("a yes or no is answered")
            }
        }
    }

    async fn many(&self, chore: Chore) -> Result<usize, StoreError> {
        match self.chore(chore).await? {
            Outcome::Many(many) => Ok(many),
            Outcome::Swept(_) | Outcome::Was(_) | Outcome::Revocation(_) => {
                unreachable!("a number is answered")
            }
        }
    }
}

async fn link<S: statements::Prepared>(shared: &Shared, name: &str) -> Result<Link<S>, Fault> {
    Link::open(shared, 0, name).await
}

/// Whether the server has room for this orchestrator beside those that are there.
async fn enough_connections(link: &Link) -> Result<(), OpenError> {
    let row = link
        .client
        .query_one(
            "SELECT current_setting('max_connections')::bigint
                 - current_setting('superuser_reserved_connections')::bigint
                 - coalesce(current_setting('reserved_connections', true), '0')::bigint,
             (SELECT count(*) FROM pg_stat_activity
              WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
             floor(extract(EPOCH FROM clock_timestamp()) * 1000)::bigint",
            &[],
        )
        .await?;
    let (most, used, told): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    link.clock.learn(told);
    if most - used < i64::try_from(CONNECTIONS).unwrap_or(i64::MAX) {
        return Err(OpenError::TooFewConnections { most, used, needed: CONNECTIONS });
    }
    Ok(())
}

/// Whether the user may do what a store does to each table: else each request would be refused later.
async fn may_write(link: &Link) -> Result<(), OpenError> {
    let missing = link
        .client
        .query_opt(
            "SELECT current_user::text, needed, relname::text
             FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed
             WHERE relnamespace = 'octollm'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'migration'
                 AND NOT has_table_privilege(oid, needed)
             ORDER BY relname, needed LIMIT 1",
            &[],
        )
        .await?;
    match missing {
        None => Ok(()),
        Some(row) => {
            Err(OpenError::Forbidden { user: row.try_get(0)?, what: row.try_get(1)?, table: row.try_get(2)? })
        }
    }
}

#[async_trait]
impl Tasks for PostgresStore {
    async fn accept(&self, order: Order) -> Result<Accepted, AcceptError> {
        self.accepts.ask(order).await?
    }

    async fn claim(&self, wanted: Wanted) -> Result<Claims, StoreError> {
        self.claims.ask(wanted).await?
    }

    async fn decide(&self, commands: Vec<Directed>) -> Vec<Result<Changes, DecideError>> {
        let count = commands.len();
        match self.decides.ask(commands).await {
            Ok(answers) => answers,
            Err(error) => {
                let unreachable = matches!(error, StoreError::Unreachable(_));
                let again = || {
                    let why = Backend::new(fault::TooLate(lane::WAIT_MAX));
                    if unreachable { StoreError::Unreachable(why) } else { StoreError::Unconfirmed(why) }
                };
                (0..count).map(|_| Err(DecideError::Store(again()))).collect()
            }
        }
    }

    async fn sweep(&self, most: usize, unheard: Option<Unheard>) -> Result<Swept, StoreError> {
        self.swept(Chore::Sweep { most, unheard }).await
    }

    async fn lose(&self, lost: Lost) -> Result<Swept, StoreError> {
        self.swept(Chore::Lose(lost)).await
    }

    async fn bury(&self) -> Result<Swept, StoreError> {
        self.swept(Chore::Bury).await
    }

    async fn take_over(&self, _: Gone) -> Result<Swept, StoreError> {
        // Whoever holds a lease may be another orchestrator's worker and alive, and so may who calls.
        Ok(Swept::default())
    }

    async fn leads(&self) -> Result<bool, StoreError> {
        self.was(Chore::Lead { office: SWEEPER }).await
    }

    async fn prune(&self, ended_before: Timestamp, most: usize) -> Result<usize, StoreError> {
        let mut removed = 0;
        while removed < most {
            let slice = PRUNE_SLICE.min(most - removed);
            let done = self.many(Chore::Prune { ended_before, most: slice }).await?;
            removed += done;
            if done < slice {
                break;
            }
        }
        Ok(removed)
    }

    async fn roll_up(&self, most: usize) -> Result<usize, StoreError> {
        self.many(Chore::RollUp { most }).await
    }

    fn read_by_all(&self) -> Edition {
        self.shared.readers.get()
    }

    fn hints(&self) -> &Hints {
        &self.shared.told.hints
    }
}

#[async_trait]
impl Keys for PostgresStore {
    async fn put_key(&self, key: KeyRecord) -> Result<(), StoreError> {
        self.chore(Chore::PutKey(Box::new(key))).await.map(|_| ())
    }

    async fn put_first_key(&self, key: KeyRecord) -> Result<bool, StoreError> {
        self.was(Chore::PutFirstKey(Box::new(key))).await
    }

    async fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let id = id.clone();
        self.readers.read(move |link| reads::key(link, id.clone()).boxed()).await
    }

    async fn keys(&self, scope: &TenantScope) -> Result<Vec<KeyRecord>, StoreError> {
        let scope = scope.clone();
        self.readers.read(move |link| reads::keys(link, scope.clone()).boxed()).await
    }

    async fn revoke_key(
        &self,
        id: &KeyId,
        scope: &TenantScope,
        at: Timestamp,
    ) -> Result<Revocation, StoreError> {
        match self.chore(Chore::RevokeKey { id: id.clone(), scope: scope.clone(), at }).await? {
            Outcome::Revocation(revocation) => Ok(revocation),
            Outcome::Swept(_) | Outcome::Many(_) | Outcome::Was(_) => unreachable!("it says what came of it"),
        }
    }

    async fn ring(&self) -> Result<Vec<RingKey>, StoreError> {
        self.readers.read(|link| reads::ring(link).boxed()).await
    }

    async fn add_to_ring(&self, key: RingKey, now: Timestamp) -> Result<(), StoreError> {
        self.chore(Chore::AddToRing { key, now }).await.map(|_| ())
    }
}
