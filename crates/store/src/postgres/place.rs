//! Where the primary's log is: what its connections tell of it, and the marks of its timelines.
//!
//! A promotion begins a timeline, and a standby does not say which one it has come to. So the primary
//! writes it down: whoever connects to it sees to it that its timeline has a row in `timeline` before
//! anything else is written through that connection. Promises: a snapshot whose newest row is of
//! timeline `t` holds nothing that was written on a later one, and all that survived of the earlier ones.

use super::fault::Fault;
use crate::Seen;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_postgres::{Client, Error};

/// Which database of which servers: the same on the primary and on everything that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    system: i64,
    database: i64,
}

/// How far the primary's log was when it was last heard of.
#[derive(Default)]
pub(super) struct Reached {
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    seen: Seen,
    /// The primary's.
    cluster: Option<Cluster>,
    /// A place by which its timeline's mark was the newest one.
    marked: Option<Seen>,
}

impl Reached {
    pub(super) fn get(&self) -> Seen {
        self.lock().seen
    }

    pub(super) fn learn(&self, seen: Seen) {
        let mut last = self.lock();
        last.seen = last.seen.and(seen);
    }

    /// A primary of this cluster was at `place`, and its timeline's mark was the newest one.
    fn arrived(&self, cluster: Cluster, place: Seen) {
        let mut last = self.lock();
        last.cluster = Some(cluster);
        last.seen = last.seen.and(place);
        if last.marked.is_none_or(|marked| marked.timeline < place.timeline) {
            last.marked = Some(place);
        }
    }

    /// Who follows a server of the primary's cluster, and has replayed so much, shows the mark of
    /// `timeline`. A later one proves a promotion, but for marks that the primary itself has found
    /// false: they are shown by whoever has not replayed that yet.
    pub(super) fn hear_of(&self, timeline: u32, replayed: u64) {
        let mut last = self.lock();
        let proven = |marked: &Seen| timeline > marked.timeline && replayed >= marked.position;
        if last.marked.as_ref().is_some_and(proven) {
            last.seen = last.seen.and(Seen { timeline, position: 0 });
        }
    }

    /// Whether `cluster` is the primary's.
    pub(super) fn knows(&self, cluster: Cluster) -> bool {
        self.lock().cluster == Some(cluster)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CLUSTER: &str = "SELECT (SELECT system_identifier FROM pg_control_system()),
    (SELECT oid::bigint FROM pg_database WHERE datname = current_database())";

/// What the server says of itself, whether it is the primary or a standby.
pub(super) async fn cluster(client: &Client) -> Result<Cluster, Error> {
    let row = client.query_one(CLUSTER, &[]).await?;
    Ok(Cluster { system: row.try_get(0)?, database: row.try_get(1)? })
}

/// The timeline is the first eight digits of the name of a file of the log. A name that does not begin
/// so is the server's error.
const TIMELINE: &str =
    "SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint::oid";

/// The timeline of the primary.
pub(super) async fn timeline(client: &Client) -> Result<u32, Error> {
    client.query_one(TIMELINE, &[]).await?.try_get(0)
}

const PLACE: &str =
    "SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint::oid,
    (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint,
    (SELECT number FROM timeline ORDER BY number DESC LIMIT 1)";

/// Where the primary is, and whether the newest mark is its timeline's.
async fn stand(client: &Client) -> Result<(Seen, bool), Error> {
    let row = client.query_one(PLACE, &[]).await?;
    let (timeline, position) = (row.try_get(0)?, unsigned(row.try_get(1)?));
    let marked: Option<i64> = row.try_get(2)?;
    Ok((Seen { timeline, position }, marked == Some(i64::from(timeline))))
}

/// What a new connection to the primary does first. Its timeline.
pub(super) async fn arrive(client: &Client, reached: &Reached) -> Result<u32, Error> {
    let (mut place, is_marked) = stand(client).await?;
    let timeline = place.timeline;
    if !is_marked {
        // A later mark is of the history of another cluster, whose data this one was given: a primary
        // that was promoted since would be on that timeline. What is committed later is behind this in
        // the log, so that it need not wait for a standby that is not there yet.
        let mark = format!(
            "BEGIN; SET LOCAL synchronous_commit = off;
             DELETE FROM timeline WHERE number >= {timeline}
                 AND EXISTS (SELECT FROM timeline AS later WHERE later.number > {timeline});
             INSERT INTO timeline SELECT {timeline}, pg_current_wal_insert_lsn() - '0/0'::pg_lsn
                 ON CONFLICT (number) DO NOTHING;
             COMMIT"
        );
        client.batch_execute(&mark).await?;
        (place, _) = stand(client).await?;
    }
    let before = reached.get();
    if lacks(before, place) {
        // Whoever promoted it decides, and cannot be told otherwise: it may be the only one that is left.
        tracing::warn!(
            timeline,
            at = place.position,
            seen = before.position,
            "the primary is now one that was promoted before it had all of the log that was seen here: what was \
             committed since, and not waited for by a synchronous standby, is lost"
        );
    }
    reached.arrived(cluster(client).await?, place);
    Ok(timeline)
}

/// Whether a primary on a later timeline, that stands at `now` when it is met, lacks what was seen before: its history
/// parted from the other one's at or before where it stands.
fn lacks(before: Seen, now: Seen) -> bool {
    before.timeline < now.timeline && now.position < before.position
}

/// A position from a column; none is negative.
pub(super) fn unsigned(position: i64) -> u64 {
    u64::try_from(position).unwrap_or_default()
}

/// The server follows another primary, or its database is another one.
#[derive(Debug, thiserror::Error)]
#[error("it is no replica of this primary's database")]
struct NoReplica;

/// The server was the primary once, and another one is.
#[derive(Debug, thiserror::Error)]
#[error("only servers that were the primary before can be reached for writing")]
struct Outdated;

/// Why no connection is to be had.
pub(super) fn outdated() -> Fault {
    Fault::Lost(Arc::new(Outdated))
}

/// Why a connection to it is of no use.
pub(super) fn no_replica() -> Fault {
    Fault::Lost(Arc::new(NoReplica))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_never_falls_back() {
        let reached = Reached::default();
        for (timeline, position) in [(1, 9), (1, 3), (2, 5), (1, 99)] {
            reached.learn(Seen { timeline, position });
        }
        assert_eq!(reached.get(), Seen { timeline: 2, position: 5 });
    }

    #[test]
    fn a_primary_that_parted_earlier_lacks_what_came_later() {
        let at = |timeline, position| Seen { timeline, position };
        assert!(lacks(at(1, 90), at(2, 50)));
        assert!(
            !lacks(at(1, 90), at(2, 90)) && !lacks(at(2, 90), at(2, 50)) && !lacks(Seen::NOTHING, at(2, 50))
        );
    }

    #[test]
    fn a_later_mark_counts_where_the_primarys_own_was_replayed() {
        let (reached, cluster) = (Reached::default(), Cluster { system: 1, database: 1 });
        reached.hear_of(9, 900);
        assert_eq!(reached.get(), Seen::NOTHING, "nothing is known of a primary");
        reached.arrived(cluster, Seen { timeline: 2, position: 50 });
        for (timeline, replayed, wanted) in [(7, 49, 2), (1, 60, 2), (2, 60, 2), (3, 50, 3), (2, 99, 3)] {
            reached.hear_of(timeline, replayed);
            assert_eq!(reached.get().timeline, wanted, "{timeline} {replayed}");
        }
    }
}
