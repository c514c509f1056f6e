//! P1–P4 stay cheap: what has ended or waits elsewhere is not walked through.

use super::Bench;
use crate::sqlite::{reads, statements};

/// The statements that may walk through a whole table, and why.
const MAY_SCAN: &[(&str, &str)] = &[
    ("lapsed", "leases alive are few"),
    ("next_lapse", "leases alive are few"),
    ("leases_named", "leases alive are few"),
    ("leases_of", "leases alive are few"),
    ("lease_counts", "leases alive are few"),
    ("all_calling", "calls under way are few"),
    ("LEASED", "leases alive are few"),
    ("ARTEFACTS", "garbage collection wants them all"),
    ("KEYS", "read once, at the start"),
    ("any_key", "the first row, at the start"),
    ("key_and_admins", "a key is revoked as rarely as all of them are listed"),
    ("RING", "a key a day, and those of the last days"),
    ("forget_ring_keys", "the same"),
];

#[test]
fn every_statement_finds_its_rows_by_an_index() {
    let bench = Bench::new();
    let side = bench.side();
    for (name, sql) in statements::ALL.iter().chain(reads::sql::ALL) {
        if matches!(*name, "begin" | "commit") {
            continue;
        }
        let mut explain = side.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        for parameter in 1..=explain.parameter_count() {
            explain.raw_bind_parameter(parameter, 1).unwrap();
        }
        let mut rows = explain.raw_query();
        let mut plan = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            plan.push(row.get::<_, String>(3).unwrap());
        }
        let scans = plan.iter().any(|line| {
            let walks = line.starts_with("SCAN") && !line.contains("CONSTANT ROW");
            // A search without a bound, as for `min`, is a walk too.
            let unbound = line.starts_with("SEARCH") && !line.contains('(');
            walks || unbound || line.contains("TEMP B-TREE FOR ORDER")
        });
        let may = MAY_SCAN.iter().any(|(allowed, _)| allowed == name);
        assert_eq!(scans, may, "{name}: {plan:?}");
    }
}
