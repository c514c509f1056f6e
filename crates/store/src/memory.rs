//! A store that forgets at exit: the model that every other store is compared with, and what
//! the simulation runs on.
//!
//! [`Memory`] is plain and synchronous: one method, one transaction; moments and entropy are
//! arguments. Simple before fast: it walks all tasks where a database has an index.
//! [`MemoryStore`] puts a lock, a clock and a source of entropy around it.
//!
//! What the traits leave open and the model fixes, so that stores can be compared:
//! - `claim`: candidates are all ready steps of the wanted arms; all leases of a tenant count
//!   as its running work; a token of 16 bytes is drawn for each grant, in the order of grants;
//!   `next` is given when fewer than wanted could be granted. A step without a spec gets `null`.
//! - `decide`: 8 bytes of entropy for each command's dice.
//! - `sweep`: tasks in the order of their next expiry, then of their ids.
//! - `prune`: those that ended first go first, then by id.
//! - `backlog`: steps that ended in the minute before the one that has begun, by the events'
//!   moments; pruning takes nothing away from it.
//!
//! Must not know: how any database does it.

mod entry;
mod figures;
mod shell;

pub use shell::MemoryStore;

use crate::{
    AcceptError, Accepted, Backlog, Claimed, Claims, DecideError, Directed, Listing, Lost, Order, StepRecord,
    Swept, TaskLine, TaskRecord, Wanted,
};
use entry::Entry;
use figures::FiguresByDay;
use octollm_access::{KeyRecord, Revocation, RingKey, TenantScope};
use octollm_contract::{
    ArmName, ContentHash, Document, IdempotencyKey, KeyId, LeaseToken, SessionId, StepId, TaskId, TenantId,
    Timestamp,
};
use octollm_lifecycle::{
    Changes, Command, Dice, Event, EventKind, FailureReason, Lease, LostCalls, StepState, Tally, Task,
    TaskState, Unheard, accept, decide,
    fair::{Candidate, choose},
};
use std::collections::{BTreeMap, BTreeSet};

/// Fills a buffer with random bytes.
pub type Draw<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Tasks, events and keys in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    tasks: BTreeMap<TaskId, Entry>,
    idempotency: BTreeMap<(TenantId, IdempotencyKey), (ContentHash, TaskId)>,
    keys: BTreeMap<KeyId, KeyRecord>,
    ring: Vec<RingKey>,
    /// How many steps of an arm ended in a minute since the epoch.
    ended: BTreeMap<(ArmName, i64), u64>,
    figures: FiguresByDay,
}

impl Memory {
    /// See [`crate::Tasks::accept`].
    pub fn accept(&mut self, order: Order) -> Result<Accepted, AcceptError> {
        if let Some((key, hash)) = &order.idempotency {
            let place = (order.new.tenant.clone(), key.clone());
            if let Some((known, first)) = self.idempotency.get(&place) {
                if known != hash {
                    return Err(AcceptError::KeyReused { key: key.clone(), first: *first });
                }
                let status = self.tasks[first].record.task.state.status();
                return Ok(Accepted { task: *first, status, replayed: true });
            }
            self.idempotency.insert(place, (*hash, order.new.id));
        }
        let Order { new, goal, request, plan, specs, idempotency: _, session } = order;
        let (task, events) = accept(new);
        let accepted = Accepted { task: task.id, status: task.state.status(), replayed: false };
        let steps = specs.into_iter().map(|spec| StepRecord::new(Some(spec))).collect();
        let record = TaskRecord { task, goal, request, plan, session, steps };
        self.tasks.insert(accepted.task, Entry { record, events, artefacts: BTreeSet::new() });
        Ok(accepted)
    }

    /// See [`crate::Tasks::claim`].
    pub fn claim(&mut self, wanted: &Wanted, now: Timestamp, draw: Draw<'_>) -> Claims {
        let mut candidates = Vec::new();
        let mut running = BTreeMap::new();
        let mut next: Option<Timestamp> = None;
        for entry in self.tasks.values() {
            let task = &entry.record.task;
            for (place, step) in task.places() {
                match step.state {
                    StepState::Leased(_) => *running.entry(task.tenant.clone()).or_insert(0) += 1,
                    StepState::Ready { from } if wanted.arms.contains(&step.arm) => {
                        if from <= now {
                            let (tenant, priority) = (task.tenant.clone(), task.priority);
                            let step = task.step_id(place);
                            candidates.push(Candidate { tenant, priority, since: from, step });
                        } else {
                            next = Some(next.map_or(from, |next| next.min(from)));
                        }
                    }
                    StepState::Ready { .. }
                    | StepState::Blocked
                    | StepState::Done
                    | StepState::Failed(_)
                    | StepState::Cancelled => {}
                }
            }
        }
        let mut granted = Vec::new();
        for step in choose(&candidates, &running, wanted.most, now) {
            let mut token = [0; 16];
            draw(&mut token);
            let token = LeaseToken::from_bytes(token);
            let command =
                Command::Claim { place: step.place, worker: wanted.worker.clone(), token, ttl: wanted.ttl };
            if self.one(step.task, &TenantScope::System, &command, now, Dice(0)).is_ok() {
                granted.extend(self.claimed(step));
            }
        }
        let next = next.filter(|_| granted.len() < wanted.most);
        Claims { granted, next }
    }

    fn claimed(&self, id: StepId) -> Option<Claimed> {
        let record = &self.tasks.get(&id.task)?.record;
        let step = record.task.step(id.place)?;
        let StepState::Leased(lease) = &step.state else { return None };
        let documents = record.steps.get(usize::from(id.place))?;
        let output = |need: &u16| record.steps.get(usize::from(*need))?.output.clone().map(|o| (*need, o));
        Some(Claimed {
            step: id,
            arm: step.arm,
            tenant: record.task.tenant.clone(),
            token: lease.token,
            attempt: step.deliveries.attempts,
            granted_at: lease.granted_at,
            expires_at: lease.expires_at,
            time_limit: step.time_limit,
            spec: documents.spec.clone().unwrap_or_else(|| Document::from_json("null")),
            inputs: step.needs.iter().filter_map(output).collect(),
            checkpoint: documents.checkpoint.clone(),
            answer: documents.answer.clone(),
        })
    }

    /// See [`crate::Tasks::decide`]; for one command.
    pub fn decide(
        &mut self,
        directed: &Directed,
        now: Timestamp,
        dice: Dice,
    ) -> Result<Changes, DecideError> {
        self.one(directed.task, &directed.scope, &directed.command, now, dice)
    }

    fn one(
        &mut self,
        id: TaskId,
        scope: &TenantScope,
        command: &Command,
        now: Timestamp,
        dice: Dice,
    ) -> Result<Changes, DecideError> {
        let entry = self
            .tasks
            .get_mut(&id)
            .filter(|entry| scope.allows(&entry.record.task.tenant))
            .ok_or(DecideError::NotFound)?;
        let changes = decide(&entry.record.task, command, now, dice)?;
        let tally = Tally::of(&entry.record.task, &changes, now);
        entry.apply(&changes);
        self.figures.add(&entry.record.task.tenant, &tally);
        for event in &changes.events {
            if let EventKind::StepCompleted { place } | EventKind::StepFailed { place, .. } = event.kind {
                let minute = event.at.as_millis().div_euclid(60_000);
                *self.ended.entry((entry.record.task.steps[usize::from(place)].arm, minute)).or_insert(0) +=
                    1;
            }
        }
        Ok(changes)
    }

    /// See [`crate::Tasks::sweep`].
    pub fn sweep(
        &mut self,
        (most, unheard): (usize, Option<Unheard>),
        now: Timestamp,
        dice: &mut dyn FnMut() -> Dice,
    ) -> Swept {
        let mut due: Vec<(Timestamp, TaskId)> = self
            .tasks
            .iter()
            .filter_map(|(id, entry)| entry.record.task.next_expiry().map(|at| (at, *id)))
            .filter(|(at, _)| *at <= now)
            .collect();
        due.sort_unstable();
        due.truncate(most);
        let mut swept = Swept::default();
        for (_, id) in due {
            let task = &self.tasks[&id].record.task;
            let lapsed = leases(task).filter(|lease| lease.expires_at <= now).count();
            let overdue = is_overdue(task, now);
            let expire = Command::Expire { unheard };
            let Ok(changes) = self.one(id, &TenantScope::System, &expire, now, dice()) else {
                continue;
            };
            swept.tasks += usize::from(!changes.is_empty());
            swept.lapsed += lapsed;
            swept.overdue += usize::from(overdue);
            swept.presume(id, changes.settled());
            swept.repaired += usize::from(changes.repaired);
        }
        swept.next = self.next_expiry();
        swept
    }

    /// See [`crate::Tasks::lose`].
    pub fn lose(&mut self, lost: &Lost, now: Timestamp, dice: &mut dyn FnMut() -> Dice) -> Swept {
        let held = |task: &Task| leases(task).filter(|lease| lost.has(&lease.worker)).count();
        let holding = self.tasks.iter().map(|(id, entry)| (*id, held(&entry.record.task)));
        let holding: Vec<(TaskId, usize)> = holding.filter(|(_, leases)| *leases > 0).collect();
        let command = lost.command();
        let mut swept = Swept::default();
        let mut touched = BTreeSet::new();
        for (id, leases) in holding {
            swept.lapsed += leases;
            if self.one(id, &TenantScope::System, &command, now, dice()).is_ok() {
                touched.insert(id);
            }
        }
        if *lost == Lost::Everyone {
            self.end_calls(now, dice, &mut touched, &mut swept);
        }
        swept.tasks = touched.len();
        swept.next = self.next_expiry();
        swept
    }

    /// See [`crate::Gone::Callers`].
    pub fn lose_callers(&mut self, now: Timestamp, dice: &mut dyn FnMut() -> Dice) -> Swept {
        let (mut touched, mut swept) = (BTreeSet::new(), Swept::default());
        self.end_calls(now, dice, &mut touched, &mut swept);
        swept.tasks = touched.len();
        swept.next = self.next_expiry();
        swept
    }

    fn end_calls(
        &mut self,
        now: Timestamp,
        dice: &mut dyn FnMut() -> Dice,
        touched: &mut BTreeSet<TaskId>,
        swept: &mut Swept,
    ) {
        let calling = self.tasks.iter().filter(|(_, entry)| !entry.record.task.holds.is_empty());
        let calling: Vec<TaskId> = calling.map(|(id, _)| *id).collect();
        for id in calling {
            if let Ok(changes) =
                self.one(id, &TenantScope::System, &Command::CallerLost(LostCalls::All), now, dice())
            {
                swept.presume(id, changes.settled());
                touched.insert(id);
            }
        }
    }

    fn next_expiry(&self) -> Option<Timestamp> {
        self.tasks.values().filter_map(|entry| entry.record.task.next_expiry()).min()
    }

    /// See [`crate::Tasks::prune`].
    pub fn prune(&mut self, ended_before: Timestamp, most: usize) -> usize {
        let mut old: Vec<(Timestamp, TaskId)> = self
            .tasks
            .iter()
            .filter_map(|(id, entry)| entry.record.task.state.ended_at().map(|at| (at, *id)))
            .filter(|(at, _)| *at < ended_before)
            .collect();
        old.sort_unstable();
        old.truncate(most);
        for (_, id) in &old {
            self.tasks.remove(id);
        }
        self.idempotency.retain(|_, (_, task)| self.tasks.contains_key(task));
        old.len()
    }

    fn entry(&self, id: TaskId, scope: &TenantScope) -> Option<&Entry> {
        self.tasks.get(&id).filter(|entry| scope.allows(&entry.record.task.tenant))
    }

    /// See [`crate::TaskReads::task`].
    #[must_use]
    pub fn task(&self, id: TaskId, scope: &TenantScope) -> Option<&TaskRecord> {
        self.entry(id, scope).map(|entry| &entry.record)
    }

    /// Every task with all its events, by id.
    pub fn all(&self) -> impl Iterator<Item = (&TaskRecord, &[Event])> {
        self.tasks.values().map(|entry| (&entry.record, entry.events.as_slice()))
    }

    /// See [`crate::TaskReads::list`].
    #[must_use]
    pub fn list(&self, scope: &TenantScope, wanted: &Listing) -> Vec<TaskLine> {
        let newest_first = self.tasks.values().rev().map(|entry| &entry.record);
        newest_first
            .filter(|record| scope.allows(&record.task.tenant))
            .filter(|record| wanted.before.is_none_or(|before| record.task.id < before))
            .filter(|record| wanted.status.is_none_or(|status| record.task.state.status() == status))
            .filter(|record| !wanted.poison || record.task.steps.iter().any(|step| is_poison(&step.state)))
            .take(wanted.most)
            .map(line)
            .collect()
    }

    /// See [`crate::TaskReads::events`].
    #[must_use]
    pub fn events(&self, id: TaskId, scope: &TenantScope, after: u64, most: usize) -> Option<Vec<Event>> {
        let events = &self.entry(id, scope)?.events;
        Some(events.iter().filter(|event| event.number > after).take(most).cloned().collect())
    }

    /// See [`crate::TaskReads::backlog`].
    #[must_use]
    pub fn backlog(&self, arm: ArmName, now: Timestamp) -> Backlog {
        let mut backlog = Backlog::default();
        for step in self.tasks.values().flat_map(|entry| &entry.record.task.steps).filter(|s| s.arm == arm) {
            match step.state {
                StepState::Ready { from } if from <= now => {
                    backlog.ready += 1;
                    backlog.oldest = Some(backlog.oldest.map_or(from, |oldest| oldest.min(from)));
                }
                StepState::Leased(_) => backlog.leased += 1,
                StepState::Ready { .. }
                | StepState::Blocked
                | StepState::Done
                | StepState::Failed(_)
                | StepState::Cancelled => {}
            }
        }
        let last_minute = now.as_millis().div_euclid(60_000) - 1;
        backlog.ended_last_minute = self.ended.get(&(arm, last_minute)).copied().unwrap_or(0);
        backlog
    }

    /// See [`crate::TaskReads::holds`].
    #[must_use]
    pub fn holds(&self, step: StepId, token: LeaseToken, now: Timestamp) -> bool {
        let found = self.tasks.get(&step.task).and_then(|entry| entry.record.task.step(step.place));
        found.is_some_and(|step| match &step.state {
            StepState::Leased(lease) => lease.token == token && now < lease.expires_at,
            StepState::Blocked
            | StepState::Ready { .. }
            | StepState::Done
            | StepState::Failed(_)
            | StepState::Cancelled => false,
        })
    }

    /// See [`crate::TaskReads::receipt`].
    #[must_use]
    pub fn receipt(&self, step: StepId, number: u32) -> Option<&Document> {
        let record = self.tasks.get(&step.task)?.record.steps.get(usize::from(step.place))?;
        record.receipts.iter().rev().find(|receipt| receipt.number == number).map(|receipt| &receipt.body)
    }

    /// See [`crate::TaskReads::session`].
    #[must_use]
    pub fn session(
        &self,
        scope: &TenantScope,
        tenant: &TenantId,
        session: &SessionId,
        before: TaskId,
        most: usize,
    ) -> Vec<TaskRecord> {
        let newest_first = self.tasks.range(..before).rev().map(|(_, entry)| &entry.record);
        newest_first
            .filter(|record| scope.allows(tenant) && record.task.tenant == *tenant)
            .filter(|record| record.session.as_ref() == Some(session))
            .filter(|record| record.task.state.ended_at().is_some())
            .take(most)
            .cloned()
            .collect()
    }

    /// See [`crate::TaskReads::refers`].
    #[must_use]
    pub fn refers(&self, task: TaskId, artefact: ContentHash) -> bool {
        self.tasks.get(&task).is_some_and(|entry| entry.artefacts.contains(&artefact))
    }

    /// See [`crate::TaskReads::accepted_under`].
    #[must_use]
    pub fn accepted_under(&self, tenant: &TenantId, key: &IdempotencyKey) -> Option<(TaskId, ContentHash)> {
        let (hash, task) = self.idempotency.get(&(tenant.clone(), key.clone()))?;
        Some((*task, *hash))
    }

    /// See [`crate::TaskReads::artefacts`].
    #[must_use]
    pub fn artefacts(&self) -> BTreeSet<ContentHash> {
        self.tasks.values().flat_map(|entry| entry.artefacts.iter().copied()).collect()
    }

    /// See [`crate::TaskReads::open_tasks`].
    #[must_use]
    pub fn open_tasks(&self) -> u64 {
        let open = self.tasks.values().filter(|entry| entry.record.task.state.ended_at().is_none());
        open.count() as u64
    }

    /// See [`crate::Keys::put_key`].
    pub fn put_key(&mut self, key: KeyRecord) {
        self.keys.insert(key.id.clone(), key);
    }

    /// See [`crate::Keys::put_first_key`].
    pub fn put_first_key(&mut self, key: KeyRecord) -> bool {
        let is_first = self.keys.is_empty();
        if is_first {
            self.put_key(key);
        }
        is_first
    }

    /// See [`crate::Keys::key`].
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<&KeyRecord> {
        self.keys.get(id)
    }

    /// See [`crate::Keys::keys`].
    #[must_use]
    pub fn keys(&self, scope: &TenantScope) -> Vec<KeyRecord> {
        let mut keys: Vec<KeyRecord> =
            self.keys.values().filter(|key| scope.allows(&key.tenant)).cloned().collect();
        // The sort is stable: keys of one moment stay in the order of their ids.
        keys.sort_by_key(|key| key.created_at);
        keys
    }

    /// See [`crate::Keys::revoke_key`]. The first revocation's moment stays.
    pub fn revoke_key(&mut self, id: &KeyId, scope: &TenantScope, at: Timestamp) -> Revocation {
        let revocation = Revocation::of(id, scope, &self.keys(&TenantScope::System));
        if revocation == Revocation::Revoked
            && let Some(key) = self.keys.get_mut(id)
        {
            key.revoked_at.get_or_insert(at);
        }
        revocation
    }

    /// See [`crate::Keys::ring`].
    #[must_use]
    pub fn ring(&self) -> Vec<RingKey> {
        let mut ring = self.ring.clone();
        ring.sort_by_key(|key| (key.signs_from, key.seed));
        ring
    }

    /// See [`crate::Keys::add_to_ring`].
    pub fn add_to_ring(&mut self, key: RingKey, now: Timestamp) {
        self.ring.retain(|other| now < other.opens_until && other.seed != key.seed);
        self.ring.push(key);
    }
}

fn leases(task: &Task) -> impl Iterator<Item = &Lease> {
    task.steps.iter().filter_map(|step| match &step.state {
        StepState::Leased(lease) => Some(lease),
        StepState::Blocked
        | StepState::Ready { .. }
        | StepState::Done
        | StepState::Failed(_)
        | StepState::Cancelled => None,
    })
}

/// Whether the deadline has come for a task whose end is not decided.
fn is_overdue(task: &Task, now: Timestamp) -> bool {
    match task.state {
        TaskState::Queued | TaskState::Planning | TaskState::Running | TaskState::Waiting { .. } => {
            task.terms.deadline.is_some_and(|deadline| deadline <= now)
        }
        TaskState::Stopping { .. }
        | TaskState::Completed { .. }
        | TaskState::Failed { .. }
        | TaskState::Cancelled { .. } => false,
    }
}

fn is_poison(state: &StepState) -> bool {
    matches!(state, StepState::Failed(failure) if failure.reason == FailureReason::Poison)
}

fn line(record: &TaskRecord) -> TaskLine {
    let task = &record.task;
    let failure = match &task.state {
        TaskState::Failed { failure, .. } => Some(failure.clone()),
        TaskState::Queued
        | TaskState::Planning
        | TaskState::Running
        | TaskState::Waiting { .. }
        | TaskState::Stopping { .. }
        | TaskState::Completed { .. }
        | TaskState::Cancelled { .. } => None,
    };
    TaskLine {
        id: task.id,
        status: task.state.status(),
        goal: record.goal.clone(),
        priority: task.priority,
        failure,
        accepted_at: task.terms.accepted_at,
        started_at: task.started_at,
        ended_at: task.state.ended_at(),
        not_before: task.terms.not_before,
        deadline: task.terms.deadline,
    }
}
