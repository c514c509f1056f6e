use super::{Bench, Hands, samples};
use crate::{
    OsEntropy, Tasks,
    sqlite::{Durability, OpenError, Options, SqliteStore},
};
use std::sync::Arc;

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
