//! What is particular to this store, on a real server; what every store promises is in the suite.

mod faults;
mod gone;
mod plans;
mod replicas;
mod rows;
mod scarce;
mod shared;
mod suite;
mod tls;
mod usage;

use super::{Moments, PostgresStore, Target};
use crate::{Clock, Directed, OsEntropy, Wanted};
use octollm_access::TenantScope;
use octollm_contract::{ArmName, Document, LeaseToken, Millis, StepId};
use octollm_lifecycle::Command;
use octollm_testkit::postgres::shared;
use std::sync::Arc;

/// A database of its own on the server that the tests share.
struct Database {
    name: String,
}

impl Database {
    fn new() -> Self {
        Database { name: shared().database().unwrap() }
    }

    fn target(&self) -> Target {
        shared().url(&self.name).parse().unwrap()
    }

    /// A store over it that goes by the database's clock.
    async fn store(&self) -> PostgresStore {
        PostgresStore::open(self.target(), Moments::Database, Arc::new(OsEntropy)).await.unwrap()
    }

    /// A store over it that goes by `clock`.
    async fn store_by(&self, clock: Arc<dyn Clock>, entropy: Arc<dyn crate::Entropy>) -> PostgresStore {
        PostgresStore::open(self.target(), Moments::Given(clock), entropy).await.unwrap()
    }

    /// Asks the server beside the store.
    fn sql(&self, sql: &str) -> String {
        shared().sql(&self.name, sql).unwrap()
    }
}

/// Whether the long tests are asked for.
fn soaks() -> bool {
    std::env::var_os("OCTOLLM_TEST_SOAK_MINUTES").is_some()
}

/// Numbers from a seed that is printed (splitmix64, Steele et al. 2014). The short run draws the same
/// ones each time, a soak draws new ones; `OCTOLLM_TEST_SEED` repeats a run.
fn chance() -> impl FnMut() -> u64 {
    let mut drawn = [5; 8];
    if soaks() {
        crate::Entropy::fill(&OsEntropy, &mut drawn);
    }
    let drawn = u64::from_le_bytes(drawn);
    let seed = std::env::var("OCTOLLM_TEST_SEED").map_or(drawn, |seed| seed.parse().unwrap());
    println!("repeat with OCTOLLM_TEST_SEED={seed}");
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

fn wanted(most: usize) -> Wanted {
    Wanted { worker: "w1".parse().unwrap(), arms: vec![ArmName::Executor], most, ttl: Millis::from_secs(30) }
}

fn complete(step: StepId, token: LeaseToken) -> Directed {
    let command = Command::Complete {
        place: step.place,
        token,
        output: Document::from_json(r#"{"text":"done"}"#),
        artefacts: vec![],
        verdict: None,
    };
    Directed { task: step.task, scope: TenantScope::System, command }
}
