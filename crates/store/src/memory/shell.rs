//! The lock, the clock and the entropy around [`Memory`], behind the store's traits.

use super::Memory;
use crate::{
    AcceptError, Accepted, Backend, Backlog, Claims, Clock, Counted, DayLine, DayListing, DecideError,
    Directed, Entropy, Freshness, Gone, Hints, Keys, Listing, Lost, Order, Period, Seen, StoreError, Sums,
    Swept, TaskLine, TaskReads, TaskRecord, Tasks, Wanted,
};
use async_trait::async_trait;
use octollm_access::{KeyRecord, Revocation, RingKey, TenantScope};
use octollm_contract::{
    ArmName, ContentHash, Document, Edition, IdempotencyKey, KeyId, LeaseToken, SessionId, StepId, TaskId,
    TenantId, Timestamp,
};
use octollm_lifecycle::{Changes, Dice, Event, StepState, Unheard};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// [`Memory`] as a store. What it returned `Ok` for lives as long as the process.
pub struct MemoryStore {
    memory: Mutex<Memory>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    hints: Hints,
    unconfirmed: AtomicU32,
}

impl MemoryStore {
    /// An empty store that takes moments and entropy from these.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        MemoryStore {
            memory: Mutex::default(),
            clock,
            entropy,
            hints: Hints::default(),
            unconfirmed: AtomicU32::new(0),
        }
    }

    /// The next so many calls of `decide` do what they are asked and answer that nobody confirmed it, as a
    /// store whose connections break: for tests of whoever must live with that.
    pub fn leave_unconfirmed(&self, calls: u32) {
        self.unconfirmed.store(calls, Ordering::Relaxed);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dice(&self) -> Dice {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        Dice(u64::from_le_bytes(bytes))
    }

    /// Tells whoever waits that any of these tasks may have changed. Hints may come for nothing.
    fn announce(&self, tasks: impl IntoIterator<Item = TaskId>) {
        let mut arms = BTreeSet::new();
        let mut expiry = false;
        for id in tasks {
            let memory = self.memory();
            if let Some(record) = memory.task(id, &TenantScope::System) {
                expiry |= record.task.next_expiry().is_some();
                let ready = record.task.steps.iter().filter(|s| matches!(s.state, StepState::Ready { .. }));
                arms.extend(ready.map(|step| step.arm));
            }
            drop(memory);
            self.hints.task_changed(id);
        }
        arms.into_iter().for_each(|arm| self.hints.step_ready(arm));
        if expiry {
            self.hints.expiry_set();
        }
    }

    fn open(&self) -> Vec<TaskId> {
        let open = |(record, _): (&TaskRecord, &[Event])| {
            record.task.state.ended_at().is_none().then_some(record.task.id)
        };
        self.memory().all().filter_map(open).collect()
    }
}

#[async_trait]
impl Tasks for MemoryStore {
    async fn accept(&self, order: Order) -> Result<Accepted, AcceptError> {
        let accepted = self.memory().accept(order)?;
        self.announce([accepted.task]);
        Ok(accepted)
    }

    async fn claim(&self, wanted: Wanted) -> Result<Claims, StoreError> {
        let claims = self.memory().claim(&wanted, self.clock.now(), &mut |bytes| self.entropy.fill(bytes));
        self.announce(claims.granted.iter().map(|claimed| claimed.step.task));
        Ok(claims)
    }

    async fn decide(&self, commands: Vec<Directed>) -> Vec<Result<Changes, DecideError>> {
        let now = self.clock.now();
        let answers: Vec<_> =
            commands.iter().map(|directed| self.memory().decide(directed, now, self.dice())).collect();
        let changed = answers.iter().flatten().filter(|changes| !changes.is_empty());
        self.announce(changed.map(|changes| changes.after.id));
        let unconfirmed =
            self.unconfirmed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if unconfirmed.is_ok() {
            let in_doubt = || StoreError::Unconfirmed(Backend::new("the answer is left out"));
            return answers.iter().map(|_| Err(in_doubt().into())).collect();
        }
        answers
    }

    async fn sweep(&self, most: usize, unheard: Option<Unheard>) -> Result<Swept, StoreError> {
        let before = self.open();
        let swept = self.memory().sweep((most, unheard), self.clock.now(), &mut || self.dice());
        if swept.tasks > 0 {
            self.announce(before);
        }
        Ok(swept)
    }

    async fn lose(&self, lost: Lost) -> Result<Swept, StoreError> {
        let before = self.open();
        let swept = self.memory().lose(&lost, self.clock.now(), &mut || self.dice());
        if swept.tasks > 0 {
            self.announce(before);
        }
        Ok(swept)
    }

    async fn take_over(&self, gone: Gone) -> Result<Swept, StoreError> {
        match gone {
            Gone::All => self.lose(Lost::Everyone).await,
            Gone::Callers => {
                let before = self.open();
                let swept = self.memory().lose_callers(self.clock.now(), &mut || self.dice());
                if swept.tasks > 0 {
                    self.announce(before);
                }
                Ok(swept)
            }
        }
    }

    async fn leads(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn prune(&self, ended_before: Timestamp, most: usize) -> Result<usize, StoreError> {
        Ok(self.memory().prune(ended_before, most))
    }

    /// There are no notes: the sums are made with the change itself.
    async fn roll_up(&self, _most: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    /// It has one owner.
    fn read_by_all(&self) -> Edition {
        Edition::NEWEST
    }

    fn hints(&self) -> &Hints {
        &self.hints
    }
}

#[async_trait]
impl TaskReads for MemoryStore {
    async fn task(&self, id: TaskId, scope: &TenantScope) -> Result<Option<TaskRecord>, StoreError> {
        Ok(self.memory().task(id, scope).cloned())
    }

    async fn list(&self, scope: &TenantScope, wanted: &Listing) -> Result<Vec<TaskLine>, StoreError> {
        Ok(self.memory().list(scope, wanted))
    }

    async fn events(
        &self,
        id: TaskId,
        scope: &TenantScope,
        after: u64,
        most: usize,
    ) -> Result<Option<Vec<Event>>, StoreError> {
        Ok(self.memory().events(id, scope, after, most))
    }

    async fn backlog(&self, arm: ArmName) -> Result<Backlog, StoreError> {
        Ok(self.memory().backlog(arm, self.clock.now()))
    }

    async fn holds(&self, step: StepId, token: LeaseToken) -> Result<bool, StoreError> {
        Ok(self.memory().holds(step, token, self.clock.now()))
    }

    async fn receipt(&self, step: StepId, number: u32) -> Result<Option<Document>, StoreError> {
        Ok(self.memory().receipt(step, number).cloned())
    }

    async fn session(
        &self,
        scope: &TenantScope,
        tenant: &TenantId,
        session: &SessionId,
        before: TaskId,
        most: usize,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        Ok(self.memory().session(scope, tenant, session, before, most))
    }

    async fn refers(&self, task: TaskId, artefact: ContentHash) -> Result<bool, StoreError> {
        Ok(self.memory().refers(task, artefact))
    }

    async fn accepted_under(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<(TaskId, ContentHash)>, StoreError> {
        Ok(self.memory().accepted_under(tenant, key))
    }

    async fn artefacts(&self) -> Result<BTreeSet<ContentHash>, StoreError> {
        Ok(self.memory().artefacts())
    }

    async fn open_tasks(&self) -> Result<u64, StoreError> {
        Ok(self.memory().open_tasks())
    }

    async fn usage_days(
        &self,
        _fresh: Freshness,
        scope: &TenantScope,
        wanted: &DayListing,
    ) -> Result<(Counted<Vec<DayLine>>, Seen), StoreError> {
        let as_of = self.clock.now();
        let figures = self.memory().usage_days(scope, wanted);
        Ok((Counted { as_of, figures }, Seen::NOTHING))
    }

    async fn usage_sums(
        &self,
        _fresh: Freshness,
        scope: &TenantScope,
        period: Period,
    ) -> Result<(Counted<Sums>, Seen), StoreError> {
        let as_of = self.clock.now();
        let figures = self.memory().usage_sums(scope, period);
        Ok((Counted { as_of, figures }, Seen::NOTHING))
    }
}

#[async_trait]
impl Keys for MemoryStore {
    async fn put_key(&self, key: KeyRecord) -> Result<(), StoreError> {
        self.memory().put_key(key);
        Ok(())
    }

    async fn put_first_key(&self, key: KeyRecord) -> Result<bool, StoreError> {
        Ok(self.memory().put_first_key(key))
    }

    async fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.memory().key(id).cloned())
    }

    async fn keys(&self, scope: &TenantScope) -> Result<Vec<KeyRecord>, StoreError> {
        Ok(self.memory().keys(scope))
    }

    async fn revoke_key(
        &self,
        id: &KeyId,
        scope: &TenantScope,
        at: Timestamp,
    ) -> Result<Revocation, StoreError> {
        Ok(self.memory().revoke_key(id, scope, at))
    }

    async fn ring(&self) -> Result<Vec<RingKey>, StoreError> {
        Ok(self.memory().ring())
    }

    async fn add_to_ring(&self, key: RingKey, now: Timestamp) -> Result<(), StoreError> {
        self.memory().add_to_ring(key, now);
        Ok(())
    }
}
