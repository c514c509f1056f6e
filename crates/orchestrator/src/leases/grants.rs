//! How a claimed step becomes a grant: its token, its inputs, what it is told of its task.
//!
//! Promises: P1, a step that was claimed is handed out, handed back or failed with its reason, whoever
//! goes away meanwhile; P7, a step is told of its own tenant's tasks only.

use super::{BUSY, LocalLeases, store_failed};
use crate::{
    planning,
    stored::{StepDocument, thinks},
};
use octollm_access::{StepClaims, StepToken, TenantScope};
use octollm_client::{Grant, LeaseError, Leases as _, Wait};
use octollm_contract::{ArmName, Document, Edition, Millis, Timestamp};
use octollm_lifecycle::STOP_GRACE;
use octollm_plan::{Brief, InputName, InputValue, NoValue, StepOutput};
use octollm_store::{Claimed, StoreError, Wanted};
use std::collections::BTreeMap;

/// Grants that nobody has taken yet. Dropped untaken, wherever that happens, they are released.
struct Offered {
    leases: LocalLeases,
    grants: Vec<Grant>,
}

impl Offered {
    fn take(mut self) -> Vec<Grant> {
        std::mem::take(&mut self.grants)
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        let grants = std::mem::take(&mut self.grants);
        if grants.is_empty() {
            return;
        }
        let leases = self.leases.clone();
        // Without a runtime the process is ending, and the leases of its workers end with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            for grant in grants {
                if let Err(error) = leases.release(&grant.token, None).await {
                    tracing::debug!(step = %grant.step, %error, "a step lapses instead of being handed back");
                }
            }
        });
    }
}

/// Why a claimed step is not handed out.
#[derive(Debug, thiserror::Error)]
enum Ungrantable {
    #[error("the step's documents cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(
        "what is to be done is written in edition {} of plans, and the worker that asked reads edition {}: it waits for a \
         worker of this version",
        since.number(), reads.number()
    )]
    Beyond { since: Edition, reads: Edition },
    #[error(transparent)]
    NoValue(#[from] NoValue),
    #[error("the step's task is not there any more")]
    Gone,
    /// For another attempt: what it must be told cannot be read now.
    #[error("the step's task cannot be read now")]
    NoBrief(#[source] StoreError),
}

impl LocalLeases {
    /// Claims in a task of its own: a claim that was committed is never forgotten because
    /// whoever asked has gone away.
    pub(super) async fn claim_or_hand_back(
        &self,
        wanted: Wanted,
        reads: Edition,
    ) -> Result<(Vec<Grant>, Option<Timestamp>), LeaseError> {
        let (answer, asker) = tokio::sync::oneshot::channel();
        let own = self.clone();
        tokio::spawn(async move {
            // Nobody may be there to receive it, now or later: what is offered hands itself back.
            drop(answer.send(own.claim(wanted, reads).await));
        });
        let (offered, next) = asker.await.unwrap_or(Err(LeaseError::Busy { retry_after: BUSY }))?;
        Ok((offered.take(), next))
    }

    async fn claim(
        &self,
        wanted: Wanted,
        reads: Edition,
    ) -> Result<(Offered, Option<Timestamp>), LeaseError> {
        let claims = self.app.parts.store.claim(wanted).await.map_err(store_failed)?;
        let mut offered = Offered { leases: self.clone(), grants: Vec::with_capacity(claims.granted.len()) };
        for claimed in claims.granted {
            let (token, step, attempt) = (self.token(&claimed), claimed.step, claimed.attempt);
            match self.grant(claimed, token.clone(), reads).await {
                Ok(grant) => offered.grants.push(grant),
                Err(why) => {
                    let told = match &why {
                        // What an earlier step found is no fault of this server.
                        Ungrantable::NoValue(_) | Ungrantable::Gone => {
                            tracing::info!(%step, %why, "a step cannot be done");
                            self.fail(&token, why.to_string(), false).await
                        }
                        // An orchestrator of a later version, which wrote them, can.
                        // So can a worker of this version.
                        Ungrantable::Unreadable(_) | Ungrantable::Beyond { .. } => {
                            tracing::warn!(%step, %why, "a step cannot be handed out here");
                            let wait = Wait::for_a_later_version(attempt, why.to_string());
                            self.release(&token, Some(wait)).await
                        }
                        Ungrantable::NoBrief(error) => {
                            tracing::warn!(%step, error = error as &dyn std::error::Error, "a step waits");
                            self.fail(&token, why.to_string(), true).await
                        }
                    };
                    if let Err(error) = told {
                        // It lapses. The other steps of this claim are not to lapse with it.
                        tracing::error!(%step, %error, "nor can that be noted");
                    }
                }
            }
        }
        Ok((offered, claims.next))
    }

    fn token(&self, claimed: &Claimed) -> StepToken {
        // Heartbeats move the lease's end, the token stays: it lasts as long as they can.
        let expires = claimed.granted_at + claimed.time_limit + STOP_GRACE + self.app.settings.lease_ttl;
        self.app.sign(&StepClaims { step: claimed.step, lease: claimed.token, expires })
    }

    async fn grant(&self, claimed: Claimed, token: StepToken, reads: Edition) -> Result<Grant, Ungrantable> {
        let unreadable = Ungrantable::Unreadable;
        let spec: Option<StepDocument> = claimed.spec.read().map_err(unreadable)?;
        let spec = spec.unwrap_or_else(|| planning::planner_step(claimed.step.place));
        let brief =
            if thinks(&spec.step.instruction) { Some(Box::new(self.brief(&claimed).await?)) } else { None };
        let read = |(place, document): &(u16, Document)| Ok((*place, document.read::<StepOutput>()?));
        let outputs: Result<BTreeMap<u16, StepOutput>, _> = claimed.inputs.iter().map(read).collect();
        let outputs = outputs.map_err(unreadable)?;
        let inputs = spec.step.resolve(|name| spec.places.get(name).and_then(|place| outputs.get(place)))?;
        let since = spec.step.since().max(since_of(&inputs));
        if reads < since {
            return Err(Ungrantable::Beyond { since, reads });
        }
        let workspace =
            spec.workspace_from.iter().find_map(|place| outputs.get(place).and_then(|o| o.workspace));
        Ok(Grant {
            step: claimed.step,
            attempt: claimed.attempt,
            token_keys: self.app.token_keys(&token),
            token,
            spec: spec.step,
            inputs,
            workspace,
            checkpoint: claimed.checkpoint.as_ref().map(Document::read).transpose().map_err(unreadable)?,
            models: match &self.app.settings.gateway {
                Some(gateway) if brief.is_some() => gateway.models(),
                Some(_) | None => Vec::new(),
            },
            brief,
            expires_at: claimed.expires_at,
            heartbeat_every: heartbeat_every(self.app.settings.lease_ttl),
            time_limit: claimed.time_limit,
        })
    }

    /// What the step is told of its task and of the session that the task belongs to.
    async fn brief(&self, claimed: &Claimed) -> Result<Brief, Ungrantable> {
        let failed = Ungrantable::NoBrief;
        let store = &self.app.parts.store;
        let record = store.task(claimed.step.task, &TenantScope::System).await.map_err(failed)?;
        let record = record.ok_or(Ungrantable::Gone)?;
        let unreadable = Ungrantable::Unreadable;
        let session = match planning::session(&record).map_err(unreadable)? {
            Some(session) if claimed.arm == ArmName::Planner => {
                // The tenant's own tasks, and no other's of the same session id (P7).
                let (tenant, before) = (&claimed.tenant, claimed.step.task);
                let scope = TenantScope::Only(tenant.clone());
                let earlier = store.session(&scope, tenant, &session, before, planning::SESSION_TASKS);
                earlier.await.map_err(failed)?
            }
            Some(_) | None => Vec::new(),
        };
        planning::brief(&record, claimed.step.place, &session, self.app.read_by_all()).map_err(unreadable)
    }
}

/// The edition since which these inputs can be read: the first one's programs take a `file:` URL, which stands for a
/// path that is not UTF-8, for a relative path.
fn since_of(inputs: &BTreeMap<InputName, InputValue>) -> Edition {
    let escaped = inputs.values().any(|value| match value {
        InputValue::Paths(paths) => paths.iter().any(|path| path.starts_with("file:")),
        InputValue::Text(_)
        | InputValue::WholeText(_)
        | InputValue::Number(_)
        | InputValue::Data(_)
        | InputValue::Whole(_) => false,
    });
    if escaped { Edition::Second } else { Edition::First }
}

/// A third of the lease, and often enough that a cancel arrives within two seconds.
fn heartbeat_every(ttl: Millis) -> Millis {
    Millis::new(ttl.get() / 3).min(Millis::new(1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{App, Caller, Parts, Settings};
    use octollm_access::Policy;
    use octollm_client::LeaseAsk;
    use octollm_contract::ArmName;
    use octollm_contract::WorkerId;
    use octollm_lifecycle::{Awaits, NewStep, NewTask, Replans, StepState, Terms};
    use octollm_store::{Clock, Order, OsEntropy, SystemClock, memory::MemoryStore};
    use std::{
        path::Path,
        sync::{
            Arc,
            atomic::{AtomicI64, Ordering},
        },
    };

    fn app(folder: &Path) -> Arc<App> {
        app_by(Arc::new(SystemClock), folder)
    }

    fn app_by(clock: Arc<dyn Clock>, folder: &Path) -> Arc<App> {
        let entropy = Arc::new(OsEntropy);
        let parts = Parts {
            store: Arc::new(MemoryStore::new(clock.clone(), entropy.clone())),
            artefacts: octollm_artefacts::Artefacts::in_folder(folder, 1).unwrap(),
            clock,
            entropy,
        };
        App::new(parts, Settings { lease_ttl: Millis::from_secs(600), ..Settings::default() })
    }

    /// P1: an answer that was sent but not received does not cost the step an attempt's time.
    #[tokio::test]
    async fn what_is_offered_and_not_taken_is_handed_back() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path());
        let wish = serde_json::from_str(r#"{"goal": "List the files in /tmp"}"#).unwrap();
        app.submit(&Caller::local(Policy::default_admin()), wish, None).await.unwrap();
        let leases = LocalLeases::new(app);
        let worker: WorkerId = "worker-1".parse().unwrap();
        let arms = vec![ArmName::Executor];
        let wanted =
            Wanted { worker: worker.clone(), arms: arms.clone(), most: 1, ttl: Millis::from_secs(600) };
        let (offered, _) = leases.claim(wanted, Edition::NEWEST).await.unwrap();
        assert_eq!(offered.grants.len(), 1);
        drop(offered);
        let again = leases
            .lease(LeaseAsk {
                worker,
                arms,
                tools: [].into(),
                most: 1,
                wait: Millis::from_secs(10),
                reads: Edition::NEWEST,
            })
            .await;
        assert_eq!(again.unwrap().len(), 1);
    }

    /// P1: what a later version has written waits for it, and does not fail the task.
    #[tokio::test]
    async fn a_step_that_cannot_be_read_is_handed_back() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path());
        let now = app.parts.clock.now();
        let step = NewStep {
            arm: ArmName::Executor,
            needs: Vec::new(),
            awaits: Awaits::Nothing,
            time_limit: Millis::from_secs(60),
        };
        let terms = Terms {
            accepted_at: now,
            not_before: None,
            deadline: None,
            max_retries: 0,
            replans: Replans::No,
        };
        let id = octollm_contract::TaskId::new(now, [7; 10]);
        let order = Order {
            new: NewTask {
                id,
                tenant: "acme".parse().unwrap(),
                priority: octollm_contract::Priority::Medium,
                terms,
                budget: octollm_lifecycle::Budget::UNLIMITED,
                steps: vec![step],
            },
            goal: "teleport".into(),
            request: Document::from_json("{}"),
            plan: Document::from_json("null"),
            specs: vec![Document::from_json(r#"{"a form":"of tomorrow"}"#)],
            idempotency: None,
            session: None,
        };
        app.parts.store.accept(order).await.unwrap();
        let ask = LeaseAsk {
            worker: "worker-1".parse().unwrap(),
            arms: vec![ArmName::Executor],
            tools: [].into(),
            most: 1,
            wait: Millis::new(1),
            reads: Edition::NEWEST,
        };
        assert_eq!(LocalLeases::new(Arc::clone(&app)).lease(ask).await.unwrap().len(), 0);
        let record = app.parts.store.task(id, &TenantScope::System).await.unwrap().unwrap();
        let step = &record.task.steps[0];
        assert!(matches!(step.state, StepState::Ready { from } if now < from), "{step:?}");
        assert_eq!((step.deliveries.failures, step.deliveries.releases), (0, 1), "{step:?}");
    }

    /// A clock that the test moves.
    struct Hands(AtomicI64);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    /// P1: a worker of the version before is handed what it can read; what it cannot waits for one that can, and
    /// the task says so meanwhile.
    #[tokio::test]
    async fn a_step_is_handed_to_who_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hands(AtomicI64::new(1_700_000_000_000)));
        let app = app_by(Arc::clone(&clock) as _, folder.path());
        let mut tasks = Vec::new();
        for goal in ["wc -l /tmp/notes.txt", "list the files in /tmp"] {
            let wish = serde_json::from_value(serde_json::json!({ "goal": goal })).unwrap();
            let accepted = app.submit(&Caller::local(Policy::default_admin()), wish, None).await.unwrap();
            tasks.push(accepted.task);
            // The first has waited longer.
            clock.0.fetch_add(1, Ordering::Relaxed);
        }
        let leases = LocalLeases::new(Arc::clone(&app));
        let ask = |worker: &str, reads| LeaseAsk {
            worker: worker.parse().unwrap(),
            arms: vec![ArmName::Executor],
            tools: [].into(),
            most: 1,
            wait: Millis::from_secs(10),
            reads,
        };
        let older = leases.lease(ask("older", Edition::First)).await.unwrap();
        assert_eq!(older.iter().map(|grant| grant.step.task).collect::<Vec<_>>(), [tasks[1]]);
        let record = app.parts.store.task(tasks[0], &TenantScope::System).await.unwrap().unwrap();
        let step = &record.task.steps[0];
        assert_eq!((step.deliveries.failures, step.deliveries.releases), (0, 1), "{step:?}");
        let events = app.parts.store.events(tasks[0], &TenantScope::System, 0, 100).await.unwrap();
        let told = format!("{events:?}");
        assert!(told.contains("edition 2 of plans, and the worker that asked reads edition 1"), "{told}");
        let StepState::Ready { from } = step.state else { panic!("{step:?}") };
        clock.0.store(from.as_millis(), Ordering::Relaxed);
        let newer = leases.lease(ask("newer", Edition::NEWEST)).await.unwrap();
        assert_eq!(newer.iter().map(|grant| grant.step.task).collect::<Vec<_>>(), [tasks[0]]);
    }

    /// A worker of the version before would take the URL for a relative path, and count without that file.
    #[test]
    fn paths_that_are_not_utf8_are_for_who_reads_their_urls() {
        let since = |paths: &[&str]| {
            let paths = paths.iter().map(|path| (*path).to_owned()).collect();
            since_of(&[("found".parse().unwrap(), InputValue::Paths(paths))].into())
        };
        assert_eq!(since(&["/a/b", "/a/file:x", "./file:x"]), Edition::First);
        assert_eq!(since(&["/a/b", "file:/a/%FF"]), Edition::Second);
        assert_eq!(since_of(&[].into()), Edition::First);
    }

    /// Where one of the workers is of the version before, goals are planned as that version did.
    #[tokio::test]
    async fn older_workers_are_given_what_they_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path());
        let leases = LocalLeases::new(Arc::clone(&app));
        let ask = |worker: &str, wait, reads| LeaseAsk {
            worker: worker.parse().unwrap(),
            arms: vec![ArmName::Executor],
            tools: [].into(),
            most: 1,
            wait,
            reads,
        };
        for (worker, reads) in [("older", Edition::First), ("newer", Edition::NEWEST)] {
            assert_eq!(leases.lease(ask(worker, Millis::new(1), reads)).await.unwrap().len(), 0);
        }
        let wish = serde_json::from_str(r#"{"goal": "wc -l /tmp/notes.txt"}"#).unwrap();
        app.submit(&Caller::local(Policy::default_admin()), wish, None).await.unwrap();
        let granted = leases.lease(ask("older", Millis::from_secs(10), Edition::First)).await.unwrap();
        assert_eq!(granted[0].spec.since(), Edition::First);
    }
}
