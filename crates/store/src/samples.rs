//! Tasks for tests.

use octollm_contract::{ArmName, Document, Millis, Priority, TaskId, Timestamp};
use octollm_lifecycle::{Awaits, Budget, NewStep, NewTask, Replans, Task, Terms};

/// Ids that sort by `n`.
pub(crate) fn id(n: u32) -> TaskId {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    TaskId::from_bytes(bytes)
}

/// A task of one executor step.
pub(crate) fn new(n: u32) -> NewTask {
    NewTask {
        id: id(n),
        tenant: "acme".parse().unwrap(),
        priority: Priority::Medium,
        terms: Terms {
            accepted_at: Timestamp::from_millis(1000),
            not_before: None,
            deadline: None,
            max_retries: 2,
            replans: Replans::No,
        },
        budget: Budget::UNLIMITED,
        steps: vec![step(&[])],
    }
}

pub(crate) fn step(needs: &[u16]) -> NewStep {
    NewStep {
        arm: ArmName::Executor,
        needs: needs.to_vec(),
        awaits: Awaits::Nothing,
        time_limit: Millis::from_secs(60),
    }
}

pub(crate) fn task(n: u32) -> Task {
    octollm_lifecycle::accept(new(n)).0
}

/// An order for a task with its documents.
pub(crate) fn order(new: NewTask) -> crate::Order {
    let document = |text: String| Document::from_json(text);
    crate::Order {
        goal: format!("goal of {}", new.id),
        request: document(r#"{"goal":"x"}"#.into()),
        plan: document(r#"{"criteria":[]}"#.into()),
        specs: (0..new.steps.len()).map(|at| document(format!(r#"{{"step":{at}}}"#))).collect(),
        idempotency: None,
        session: None,
        new,
    }
}
