//! What is particular to this store, on a real server; what every store promises is in the suite.

mod faults;
mod rows;
mod shared;
mod suite;

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
