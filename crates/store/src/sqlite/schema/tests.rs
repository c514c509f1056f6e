use super::*;

fn dump(connection: &Connection) -> String {
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, name")
        .unwrap();
    let found = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    found.map(Result::unwrap).collect::<Vec<_>>().join(";\n")
}

#[test]
fn migrating_twice_is_migrating_once() {
    let connection = Connection::open_in_memory().unwrap();
    migrate(&connection, "x").unwrap();
    let once = dump(&connection);
    migrate(&connection, "x").unwrap();
    assert_eq!(dump(&connection), once);
}

/// Whatever version a database stops at, it comes to the same schema as a new one.
#[test]
fn migrated_is_fresh() {
    let fresh = Connection::open_in_memory().unwrap();
    migrate(&fresh, "x").unwrap();
    for stop in 1..=MIGRATIONS.len() {
        let old = Connection::open_in_memory().unwrap();
        for migration in &MIGRATIONS[..stop] {
            old.execute_batch(migration).unwrap();
        }
        old.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {stop}"))
            .unwrap();
        migrate(&old, "x").unwrap();
        assert_eq!(dump(&old), dump(&fresh));
    }
}

#[test]
fn the_schema_is_this() {
    let connection = Connection::open_in_memory().unwrap();
    migrate(&connection, "x").unwrap();
    insta::assert_snapshot!("schema", dump(&connection));
}
