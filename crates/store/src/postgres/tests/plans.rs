//! P1–P4 stay cheap: what has ended or waits elsewhere is not walked through, also by plans that were
//! made while the tables were empty.

use super::Database;
use crate::postgres::{
    link::SESSION,
    statements::{Prepared, ReadStatements, Statements},
};
use std::collections::HashMap;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// The statements that may walk through a whole table or index, and why.
const MAY_WALK: &[(&str, &str)] = &[
    ("running", "leases alive are few"),
    ("lapsed", "leases alive are few"),
    ("next_expiry", "leases alive are few; the first of those due is the first of an index, as is a note"),
    ("leases_named", "leases alive are few"),
    ("leases_of", "leases alive are few"),
    ("backlog", "leases alive are few"),
    ("forget_finished", "an hour of minutes for each arm"),
    ("take_notes", "the first of an index"),
    ("all_calling", "calls under way are few"),
    ("callers", "the same"),
    ("calls_of", "the same"),
    ("forget_callers", "a row for each orchestrator of the last hour"),
    ("oldest_edition", "a row for each orchestrator of the last hour"),
    ("artefacts", "garbage collection wants them all"),
    ("keys", "read once, at the start"),
    ("any_key", "the first row, at the start"),
    ("lock_key_and_admins", "a key is revoked as rarely as all of them are listed"),
    ("ring", "a key a day, and those of the last days"),
    ("add_to_ring", "the same"),
    ("report", "the last of an index: timelines are as few as failovers"),
    ("stand", "the same"),
];

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    let database = Database::new();
    crate::postgres::migrate(&database.target()).await.unwrap();
    let (client, connection) = database.target().host(0, "plans").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(SESSION).await.unwrap();
    let firsts =
        "SELECT c.relname::text, a.attname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = 1";
    let firsts: HashMap<String, String> =
        client.query(firsts, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    for (name, sql) in Statements::ALL.iter().chain(ReadStatements::ALL) {
        let parameters = (1..100).take_while(|n| sql.contains(&format!("${n}"))).count();
        let nulls = vec!["NULL"; parameters].join(", ");
        let arguments = if nulls.is_empty() { nulls } else { format!("({nulls})") };
        client.batch_execute(&format!("DEALLOCATE ALL; PREPARE it AS {sql}")).await.unwrap();
        let plan: Vec<String> = client
            .simple_query(&format!("EXPLAIN EXECUTE it{arguments}"))
            .await
            .unwrap()
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .collect();
        // An index that is looked into without a condition on its first column is a walk too.
        let walks = plan.iter().enumerate().any(|(at, line)| {
            let used = line.split_once("Index Scan on ").or_else(|| line.split_once(" using "));
            let bound = used.is_none_or(|(_, index)| {
                let first = &firsts[index.split(' ').next().unwrap()];
                plan.get(at + 1)
                    .is_some_and(|next| next.contains("Index Cond") && next.contains(&format!("({first} ")))
            });
            line.contains("Seq Scan") || !bound
        });
        let may = MAY_WALK.iter().any(|(allowed, _)| allowed == name);
        assert_eq!(walks, may, "{name}: {plan:#?}");
    }
}
