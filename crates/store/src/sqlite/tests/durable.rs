use super::{Bench, Hands, samples};
use crate::{
    AcceptError, OsEntropy, StoreError, TaskReads, Tasks,
    sqlite::{Durability, Failpoints, OpenError, Options, SqliteStore},
};
use octollm_access::TenantScope;
use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, process::Command, sync::Arc};

#[tokio::test]
async fn a_folder_has_one_owner() {
    let bench = Bench::new();
    let second = SqliteStore::open(
        bench.folder.path(),
        Arc::new(Hands::default()),
        Arc::new(OsEntropy),
        Options::default(),
    );
    let Err(OpenError::InUse { folder }) = second else { panic!("a second owner was let in") };
    assert_eq!(folder, bench.folder.path());
    bench.reopen();
}

/// The keys of step tokens are in it: a folder that others may enter does not open it to them, nor what a version
/// before has left there.
#[tokio::test]
async fn the_database_is_its_owner_s_alone() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(Hands::default()));
    let open = |mode| Permissions::from_mode(mode);
    std::fs::set_permissions(folder.path(), open(0o755)).unwrap();
    std::fs::write(folder.path().join("tasks.sqlite3"), "").unwrap();
    std::fs::set_permissions(folder.path().join("tasks.sqlite3"), open(0o644)).unwrap();
    let _store = SqliteStore::open(folder.path(), clock, Arc::new(OsEntropy), Options::default()).unwrap();
    for name in ["tasks.sqlite3", "tasks.sqlite3-wal", "tasks.sqlite3-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_newer_or_foreign_database_is_refused() {
    for (pragma, wanted) in
        [("user_version = 999", "newer version"), ("application_id = 5", "another program")]
    {
        let bench = Bench::new();
        let Bench { store, folder, .. } = bench;
        drop(store);
        let side = rusqlite::Connection::open(folder.path().join("tasks.sqlite3")).unwrap();
        side.execute_batch(&format!("PRAGMA {pragma}")).unwrap();
        let opened = SqliteStore::open(
            folder.path(),
            Arc::new(Hands::default()),
            Arc::new(OsEntropy),
            Options::default(),
        );
        let Err(error) = opened else { panic!("{pragma} was opened") };
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn a_store_that_is_thrown_away_skips_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { durability: Durability::Process, ..Options::default() };
    let store =
        SqliteStore::open(folder.path(), Arc::new(Hands::default()), Arc::new(OsEntropy), options).unwrap();
    assert!(store.accept(samples::order(samples::new(1))).await.is_ok());
}

/// P1: a process that dies before a commit leaves nothing of it, one that dies after it leaves
/// all of it, whether anybody was told or not. The test runs itself as the process that dies.
#[tokio::test]
async fn a_failpoint_ends_the_process_where_it_says() {
    const CHILD: &str = "OCTOLLM_TEST_DYING_FOLDER";
    const POINT: &str = "OCTOLLM_TEST_DYING_AT";
    let open = |folder: &std::path::Path, failpoints| {
        let options = Options { failpoints, ..Options::default() };
        SqliteStore::open(folder, Arc::new(Hands::default()), Arc::new(OsEntropy), options).unwrap()
    };
    if let (Ok(folder), Ok(point)) = (std::env::var(CHILD), std::env::var(POINT)) {
        let store = open(folder.as_ref(), Failpoints::parse(&point).unwrap());
        for n in 0..5 {
            store.accept(samples::order(samples::new(n))).await.unwrap();
        }
        return;
    }
    for (point, stored) in [
        ("store.before_commit=exit:3", 2),
        ("store.after_commit=exit:3", 3),
        ("store.before_reply=exit:3", 3),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let this = "sqlite::tests::durable::a_failpoint_ends_the_process_where_it_says";
        let died = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this])
            .env(CHILD, folder.path())
            .env(POINT, point)
            .output()
            .unwrap();
        assert!(!died.status.success(), "{point} did not end the process");
        let store = open(folder.path(), Failpoints::default());
        assert_eq!(store.open_tasks().await.unwrap(), stored, "{point}");
        assert_eq!(store.sweep(10, None).await.unwrap().repaired, 0, "{point}");
    }
}

/// P1: nobody gets an answer, or is shown a row, that the disk did not take, and nothing is written
/// behind a sync that failed.
#[tokio::test]
async fn a_disk_that_fails_to_sync_ends_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, entropy) = (Arc::new(Hands::default()), Arc::new(OsEntropy));
    // To sync a pipe is an error.
    let log =
        |_folder: &_| Ok(Some(std::fs::File::from(std::os::fd::OwnedFd::from(std::io::pipe().unwrap().1))));
    let store =
        SqliteStore::open_with(folder.path(), clock.clone(), entropy.clone(), Options::default(), log);
    let store = store.unwrap();
    let first = samples::new(1);
    let id = first.id;
    let answer = store.accept(samples::order(first)).await;
    assert!(matches!(answer, Err(AcceptError::Store(StoreError::Unconfirmed(_)))), "{answer:?}");
    let shown = store.task(id, &TenantScope::System).await;
    assert!(matches!(shown, Err(StoreError::Unreachable(_))), "{shown:?}");
    let second = store.accept(samples::order(samples::new(2))).await;
    assert!(matches!(second, Err(AcceptError::Store(StoreError::Unreachable(_)))), "{second:?}");
    drop(store);
    let store = SqliteStore::open(folder.path(), clock, entropy, Options::default()).unwrap();
    assert!(store.accept(samples::order(samples::new(3))).await.is_ok());
}

#[tokio::test]
async fn the_log_begins_anew_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { durability: Durability::Process, ..Options::default() };
    let store =
        SqliteStore::open(folder.path(), Arc::new(Hands::default()), Arc::new(OsEntropy), options).unwrap();
    let log = folder.path().join("tasks.sqlite3-wal");
    let mut sizes = Vec::new();
    // Some ten pages each.
    for n in 0..4_000 {
        store.accept(samples::order(samples::new(n))).await.unwrap();
        sizes.push(std::fs::metadata(&log).unwrap().len());
    }
    let largest = sizes.iter().max().unwrap();
    assert!((40 << 20..70 << 20).contains(largest), "{largest} bytes");
}
