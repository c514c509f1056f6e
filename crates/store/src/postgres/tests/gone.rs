//! Orchestrators that die while models answer them.

use super::{Database, wanted};
use crate::{
    DecideError, Directed, OsEntropy, TaskReads, Tasks, postgres::PostgresStore, samples, suite::Hands,
};
use octollm_access::TenantScope;
use octollm_contract::{CallId, Cost, Document, MicroUsd, TaskId};
use octollm_lifecycle::{Command, Refusal, Spent};
use std::sync::Arc;

const WORST: Spent = Spent { cost: Cost::Known(MicroUsd::new(50)), tokens: 500 };

/// Accepts and claims a task at this orchestrator, and begins its first call.
async fn asks(store: &PostgresStore, n: u8) -> TaskId {
    store.accept(samples::order(samples::new(n.into()))).await.unwrap();
    let claimed = store.claim(wanted(1)).await.unwrap().granted.remove(0);
    let call = CallId::from_bytes([n; 16]);
    let command =
        Command::Hold { place: claimed.step.place, token: claimed.token, call, number: 1, worst: WORST };
    tell(store, claimed.step.task, command).await.unwrap();
    claimed.step.task
}

async fn tell(store: &PostgresStore, task: TaskId, command: Command) -> Result<(), DecideError> {
    let directed = Directed { task, scope: TenantScope::System, command };
    store.decide(vec![directed]).await.remove(0).map(|_| ())
}

async fn settle(store: &PostgresStore, task: TaskId, n: u8) -> Result<(), DecideError> {
    let call = CallId::from_bytes([n; 16]);
    let (receipt, artefacts) = (Document::from_json("{}"), vec![]);
    tell(store, task, Command::Settle { call, spent: WORST, receipt, artefacts }).await
}

async fn holds(store: &PostgresStore, task: TaskId) -> usize {
    store.task(task, &TenantScope::System).await.unwrap().unwrap().task.holds.len()
}

/// P1, P5: what a dead orchestrator was asking counts as spent after some looks; what the others ask
/// goes on, also what one asks that is too old to say who it is.
#[tokio::test]
async fn calls_of_the_dead_are_ended_and_those_of_the_living_are_not() {
    let database = Database::new();
    let hands = Arc::new(Hands::default());
    let open = || database.store_by(hands.clone(), Arc::new(OsEntropy));
    let (leader, living, old, dead) = (open().await, open().await, open().await, open().await);
    let of_leader = asks(&leader, 1).await;
    let of_living = asks(&living, 2).await;
    let of_old = asks(&old, 3).await;
    let of_dead = asks(&dead, 4).await;
    database.sql(&format!("UPDATE octollm.hold SET caller = NULL WHERE task = '{}'", uuid(of_old)));
    dead.leads().await.unwrap();
    for look in 0..5 {
        living.leads().await.unwrap();
        let buried = leader.bury().await.unwrap();
        assert_eq!(buried.presumed_of, [], "look {look}");
        assert_eq!(leader.bury().await.unwrap(), crate::Swept::default(), "that was not another look");
        hands.step(3_000);
        // A process shows that it lives every two seconds at most, by a clock that no test moves.
        database
            .sql(&format!("UPDATE octollm.caller SET beats = beats + 1 WHERE id = {}", caller_of(of_living)));
    }
    let buried = leader.bury().await.unwrap();
    assert_eq!((buried.presumed, buried.presumed_of), (1, vec![of_dead]));
    let mut left = Vec::new();
    for task in [of_leader, of_living, of_old, of_dead] {
        left.push(holds(&leader, task).await);
    }
    assert_eq!(left, [1, 1, 1, 0]);
    let ledger = leader.task(of_dead, &TenantScope::System).await.unwrap().unwrap().task.ledger;
    assert_eq!((ledger.tokens().held(), ledger.tokens().spent()), (0, 500));
    settle(&living, of_living, 2).await.unwrap();
    // It had only stood still: what it knows comes too late.
    let late = settle(&dead, of_dead, 4).await;
    assert!(matches!(late, Err(DecideError::Refused(Refusal::NoSuchHold))), "{late:?}");
    // And what it asks now goes on: a new call is a sign of life.
    let next = asks(&dead, 5).await;
    assert_eq!(leader.bury().await.unwrap().presumed_of, []);
    settle(&dead, next, 5).await.unwrap();
}

/// Who lives shows it whenever it asks who leads.
#[tokio::test]
async fn who_asks_who_leads_is_alive() {
    let database = Database::new();
    let store = database.store().await;
    asks(&store, 1).await;
    store.leads().await.unwrap();
    let beats = || database.sql("SELECT beats FROM octollm.caller JOIN octollm.hold ON caller = id");
    assert_eq!(beats(), "1");
    let began = std::time::Instant::now();
    while beats() == "1" {
        assert!(began.elapsed().as_secs() < 30, "it does not count");
        store.leads().await.unwrap();
    }
}

/// Rows of processes that are long gone are not kept.
#[tokio::test]
async fn the_long_gone_are_forgotten() {
    let database = Database::new();
    let (one, other) = (database.store().await, database.store().await);
    one.leads().await.unwrap();
    other.leads().await.unwrap();
    let count = || database.sql("SELECT count(*) FROM octollm.caller");
    assert_eq!(count(), "2");
    database.sql("UPDATE octollm.caller SET at = at - interval '61 minutes' WHERE id = (SELECT max(id::text)::uuid FROM octollm.caller)");
    one.bury().await.unwrap();
    assert_eq!(count(), "1");
}

/// A reader that keeps a table for a while keeps nobody from the new schema, and nobody waits behind
/// a migration for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_comes_past_who_reads() {
    let (database, reader) = read_before_the_fourth_migration().await;
    let target = database.target();
    let migrating = tokio::spawn(async move { super::super::migrate(&target).await });
    // Whoever comes behind the migration while it waits is let through, and the reader may go on.
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'octollm.hold'::regclass";
    let began = std::time::Instant::now();
    while reader.client.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(began.elapsed().as_secs() < 30, "the migration does not even begin");
    }
    database.sql("SELECT count(*) FROM octollm.hold");
    reader.client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(migrating.await.unwrap().unwrap().migrated, super::super::schema::newest() - 3);
    reader.goes().await;
}

/// Who keeps the table for good is named to whoever waits in vain; nothing is half done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_waits_in_vain_says_for_what() {
    let (database, reader) = read_before_the_fourth_migration().await;
    let told = super::super::migrate(&database.target()).await.unwrap_err().to_string();
    assert!(told.contains("a session keeps a table") && told.contains("pg_stat_activity"), "{told}");
    assert_eq!(database.sql("SELECT max(version) FROM octollm.migration"), "3");
    reader.goes().await;
    database.store().await;
}

/// A session that keeps a table.
struct Reader {
    client: tokio_postgres::Client,
    connection: tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Reader {
    async fn goes(self) {
        drop(self.client);
        self.connection.await.unwrap().unwrap();
    }
}

/// A database before the fourth migration, and who keeps the table that this one changes.
async fn read_before_the_fourth_migration() -> (Database, Reader) {
    let database = Database::new();
    drop(database.store().await);
    database.sql(UNDO);
    let (client, connection) =
        tokio_postgres::connect(&super::shared().url(&database.name), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT count(*) FROM octollm.hold").await.unwrap();
    (database, Reader { client, connection })
}

/// The database before the fourth migration, the only one so far that must have a table for itself.
const UNDO: &str = "ALTER TABLE octollm.hold DROP COLUMN caller; DROP TABLE octollm.caller;
    DELETE FROM octollm.migration WHERE version >= 4";

/// Whose call of this task is under way, as SQL.
fn caller_of(task: TaskId) -> String {
    format!("(SELECT caller FROM octollm.hold WHERE task = '{}')", uuid(task))
}

fn uuid(task: TaskId) -> uuid::Uuid {
    uuid::Uuid::from_bytes(task.to_bytes())
}
