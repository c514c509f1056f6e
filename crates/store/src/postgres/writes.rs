//! The rows of a transaction, column by column, and how they are sent: all of them and the commit
//! in one round trip.

use super::{
    draft::{Draft, Drafts},
    fault::{Fault, Stage},
    link::Link,
    news::News,
    notes::Notes,
    rows::uuid,
};
use crate::{
    Order,
    columns::{
        self, EventRow, LedgerRow, StateRow, StepRow, awaits_number, cost_number, needs_text,
        priority_number, signed,
    },
};
use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use octollm_contract::{ArmName, Document, SessionId, TaskId, Timestamp};
use octollm_lifecycle::{Budget, Event, EventKind, Kept, KeptAs, Ledger, Replans, Step, StepState, Task};
use std::collections::BTreeMap;
use tokio_postgres::Error;
use uuid::Uuid;

/// A statement's rows, as arrays of its columns.
macro_rules! batches {
    ($($(#[$doc:meta])* $name:ident $(<$life:lifetime>)? { $($field:ident: $kind:ty),+ $(,)? })+) => {
        #[expect(non_camel_case_types, reason = "each is named as its statement")]
        mod batch {
            use uuid::Uuid;
            $(
                #[derive(Default)]
                pub(super) struct $name $(<$life>)? { $(pub(super) $field: Vec<$kind>),+ }
            )+
        }

        $(
            impl $(<$life>)? batch::$name $(<$life>)? {
                fn send<'w>(&'w self, link: &'w Link, into: &mut Vec<BoxFuture<'w, Result<u64, Error>>>) {
                    let batch::$name { $($field),+ } = self;
                    let first = [$($field.len()),+][0];
                    if first > 0 {
                        into.push(
                            async move { link.client.execute(&link.sql.$name, &[$($field),+]).await }.boxed(),
                        );
                    }
                }
            }
        )+

        /// The rows of a transaction.
        #[derive(Default)]
        pub(super) struct Writes<'a> {
            $($name: batch::$name $(<$life>)?,)+
            finished: BTreeMap<(ArmName, i64), i64>,
            notes: Notes<'a>,
        }

        impl Writes<'_> {
            fn send<'w>(&'w self, link: &'w Link, into: &mut Vec<BoxFuture<'w, Result<u64, Error>>>) {
                $(self.$name.send(link, into);)+
            }
        }
    };
}

// In the order in which they are sent.
batches! {
    insert_task<'a> {
        id: Uuid, tenant: &'a str, state: &'a str, state_at: Option<i64>, state_place: Option<i32>,
        reason: Option<&'a str>, message: Option<&'a str>, priority: i32, accepted_at: i64,
        not_before: Option<i64>, deadline: Option<i64>, max_retries: i64, replans: Option<i64>,
        plan_version: i64, events: i64, ended_at: Option<i64>, due: Option<i64>, counted: bool,
    }
    update_task<'a> {
        id: Uuid, state: &'a str, state_at: Option<i64>, state_place: Option<i32>, reason: Option<&'a str>,
        message: Option<&'a str>, started_at: Option<i64>, plan_version: i64, revisions: i64, questions: i64,
        events: i64, ended_at: Option<i64>, due: Option<i64>, poison: bool, counted: bool,
    }
    insert_paper<'a> {
        task: Uuid, idempotency_key: Option<&'a str>, session: Option<&'a str>, goal: &'a str,
        request: &'a str, plan: &'a str,
    }
    update_plan<'a> { task: Uuid, plan: &'a str }
    insert_session<'a> { tenant: &'a str, name: &'a str, task: Uuid }
    put_ledger {
        task: Uuid, money_granted: Option<i64>, money_spent: i64, money_held: i64,
        tokens_granted: Option<i64>, tokens_spent: i64, tokens_held: i64, unpriced: i64,
    }
    delete_hold { task: Uuid, call: Uuid }
    insert_hold {
        task: Uuid, call: Uuid, place: i32, number: i64, cost: Option<i64>, tokens: i64, at: i64, caller: Uuid,
    }
    insert_step<'a> {
        task: Uuid, place: i32, arm: &'a str, plan_version: i64, needs: String, awaits: i32, time_limit: i64,
        state: &'a str, state_at: Option<i64>, reason: Option<&'a str>, message: Option<&'a str>,
        failure_place: Option<i32>, attempts: i64, failures: i64, crashes: i64, releases: i64,
        spec: Option<&'a str>,
    }
    update_step<'a> {
        task: Uuid, place: i32, awaits: i32, state: &'a str, state_at: Option<i64>, reason: Option<&'a str>,
        message: Option<&'a str>, failure_place: Option<i32>, attempts: i64, failures: i64, crashes: i64,
        releases: i64, output: Option<&'a str>,
    }
    put_answer<'a> { task: Uuid, place: i32, body: &'a str }
    put_checkpoint<'a> { task: Uuid, place: i32, body: &'a str }
    insert_receipt<'a> { task: Uuid, place: i32, number: i64, call: Uuid, body: &'a str }
    put_artefact { task: Uuid, hash: Vec<u8> }
    delete_ready<'a> {
        arm: &'a str, tenant: &'a str, priority: i32, since: i64, task: Uuid, place: i32,
    }
    insert_ready<'a> {
        arm: &'a str, tenant: &'a str, priority: i32, since: i64, task: Uuid, place: i32,
    }
    delete_lease { task: Uuid, place: i32 }
    update_lease<'a> {
        task: Uuid, place: i32, token: Vec<u8>, worker: &'a str, granted_at: i64, expires_at: i64,
    }
    insert_lease<'a> {
        task: Uuid, place: i32, tenant: &'a str, arm: &'a str, token: Vec<u8>, worker: &'a str,
        granted_at: i64, expires_at: i64,
    }
    insert_event<'a> {
        task: Uuid, number: i64, at: i64, kind: &'a str, place: Option<i32>, count: Option<i64>,
        moment: Option<i64>, reason: Option<&'a str>, text: Option<&'a str>,
    }
}

fn millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millis)
}

impl<'a> Writes<'a> {
    /// The rows of all that the drafts have become; the calls that they begin are `process`'s.
    pub(super) fn of(drafts: &'a Drafts, process: Uuid, news: &mut News) -> Self {
        let mut writes = Writes::default();
        for draft in drafts.changed() {
            writes.apply(draft, process, news);
        }
        writes
    }

    /// The rows of a new task.
    pub(super) fn accept(&mut self, order: &'a Order, task: &'a Task, events: &'a [Event], news: &mut News) {
        let (id, state) = (uuid(task.id), StateRow::from(&task.state));
        let counted = task.ledger != Ledger::granting(Budget::UNLIMITED);
        let rows = &mut self.insert_task;
        rows.id.push(id);
        rows.tenant.push(task.tenant.as_str());
        rows.state.push(state.state);
        rows.state_at.push(millis(state.at));
        rows.state_place.push(state.place.map(i32::from));
        rows.reason.push(state.reason);
        rows.message.push(state.message);
        rows.priority.push(priority(task));
        rows.accepted_at.push(task.terms.accepted_at.as_millis());
        rows.not_before.push(millis(task.terms.not_before));
        rows.deadline.push(millis(task.terms.deadline));
        rows.max_retries.push(task.terms.max_retries.into());
        rows.replans.push(match task.terms.replans {
            Replans::No => None,
            Replans::UpTo(most) => Some(most.into()),
        });
        rows.plan_version.push(task.plan_version.into());
        rows.events.push(signed(task.events));
        rows.ended_at.push(millis(task.state.ended_at()));
        rows.due.push(millis(task.next_due()));
        rows.counted.push(counted);
        news.expires(task.next_due());
        let rows = &mut self.insert_paper;
        rows.task.push(id);
        rows.idempotency_key.push(order.idempotency.as_ref().map(|(key, _)| key.as_str()));
        rows.session.push(order.session.as_ref().map(SessionId::as_str));
        rows.goal.push(&order.goal);
        rows.request.push(order.request.as_str());
        rows.plan.push(order.plan.as_str());
        if let Some(session) = &order.session {
            let rows = &mut self.insert_session;
            rows.tenant.push(task.tenant.as_str());
            rows.name.push(session.as_str());
            rows.task.push(id);
        }
        if counted {
            self.ledger(task);
        }
        for (place, step) in task.places() {
            self.new_step(task, place, step, order.specs.get(usize::from(place)), news);
        }
        self.tell(task.id, events, news);
    }

    /// The rows of what a draft has become.
    fn apply(&mut self, draft: &'a Draft, process: Uuid, news: &mut News) {
        let (before, after) = (&draft.before, draft.view());
        self.task(draft, news);
        self.calls(before, after, process);
        for (place, step) in after.places() {
            let kept = |as_: KeptAs| {
                let found = draft.kept.iter().find(|kept| kept.place == place && kept.as_ == as_);
                found.map(|kept| &kept.document)
            };
            match before.step(place) {
                None => {
                    self.new_step(after, place, step, kept(KeptAs::Spec), news);
                    if let Some(output) = kept(KeptAs::Output) {
                        self.changed_step(after.id, place, step, Some(output));
                    }
                }
                Some(was) => {
                    let output = kept(KeptAs::Output);
                    let (row, old) = (StepRow::from(&step.state), StepRow::from(&was.state));
                    let same = row == old && was.deliveries == step.deliveries && was.awaits == step.awaits;
                    if output.is_some() || !same {
                        self.changed_step(after.id, place, step, output);
                    }
                    self.queue(after, place, step, Some(&was.state), news);
                }
            }
        }
        self.keep(after.id, &draft.kept);
        if let Some(plan) = &draft.plan {
            self.update_plan.task.push(uuid(after.id));
            self.update_plan.plan.push(plan.as_str());
        }
        for event in &draft.events {
            if let EventKind::StepCompleted { place } | EventKind::StepFailed { place, .. } = &event.kind
                && let Some(step) = after.step(*place)
            {
                let minute = event.at.as_millis().div_euclid(60_000);
                *self.finished.entry((step.arm, minute)).or_default() += 1;
            }
        }
        for ((day, subject), figures) in &draft.tally.0 {
            self.notes.add((after.tenant.as_str(), *day, *subject), figures);
        }
        self.tell(after.id, &draft.events, news);
    }

    fn task(&mut self, draft: &'a Draft, news: &mut News) {
        let (before, after) = (&draft.before, draft.view());
        // A task that has ever counted keeps its row of accounts.
        let counts = draft.counted || before.ledger != after.ledger || !after.holds.is_empty();
        let (was, state) = (StateRow::from(&before.state), StateRow::from(&after.state));
        let marks = |task: &Task| (task.next_due(), columns::is_poisoned(task));
        let (due, poison) = marks(after);
        let same = was == state
            && marks(before) == (due, poison)
            && draft.counted == counts
            && before.events == after.events
            && before.started_at == after.started_at
            && before.plan_version == after.plan_version
            && before.revisions == after.revisions
            && before.questions == after.questions;
        news.expires(due);
        if same {
            return;
        }
        let rows = &mut self.update_task;
        rows.id.push(uuid(after.id));
        rows.state.push(state.state);
        rows.state_at.push(millis(state.at));
        rows.state_place.push(state.place.map(i32::from));
        rows.reason.push(state.reason);
        rows.message.push(state.message);
        rows.started_at.push(millis(after.started_at));
        rows.plan_version.push(after.plan_version.into());
        rows.revisions.push(after.revisions.into());
        rows.questions.push(after.questions.into());
        rows.events.push(signed(after.events));
        rows.ended_at.push(millis(after.state.ended_at()));
        rows.due.push(millis(due));
        rows.poison.push(poison);
        rows.counted.push(counts);
    }

    /// What changed of the accounts and the calls under way.
    fn calls(&mut self, before: &Task, after: &Task, process: Uuid) {
        // A task that has made a call has a row of its accounts, also when none of its calls cost anything.
        if before.ledger != after.ledger || (before.holds.is_empty() && !after.holds.is_empty()) {
            self.ledger(after);
        }
        let id = uuid(after.id);
        for over in before.holds.iter().filter(|hold| after.hold(hold.call).is_none()) {
            self.delete_hold.task.push(id);
            self.delete_hold.call.push(Uuid::from_bytes(over.call.to_bytes()));
        }
        for hold in after.holds.iter().filter(|hold| before.hold(hold.call).is_none()) {
            let rows = &mut self.insert_hold;
            rows.task.push(id);
            rows.call.push(Uuid::from_bytes(hold.call.to_bytes()));
            rows.place.push(hold.place.into());
            rows.number.push(hold.number.into());
            rows.cost.push(cost_number(hold.cost));
            rows.tokens.push(signed(hold.tokens));
            rows.at.push(hold.at.as_millis());
            rows.caller.push(process);
        }
    }

    fn ledger(&mut self, task: &Task) {
        let LedgerRow { money, tokens, unpriced } = LedgerRow::from(&task.ledger);
        let rows = &mut self.put_ledger;
        rows.task.push(uuid(task.id));
        rows.money_granted.push(money.granted);
        rows.money_spent.push(money.spent);
        rows.money_held.push(money.held);
        rows.tokens_granted.push(tokens.granted);
        rows.tokens_spent.push(tokens.spent);
        rows.tokens_held.push(tokens.held);
        rows.unpriced.push(unpriced.into());
    }

    fn new_step(
        &mut self,
        task: &'a Task,
        place: u16,
        step: &'a Step,
        spec: Option<&'a Document>,
        news: &mut News,
    ) {
        let (row, count) = (StepRow::from(&step.state), &step.deliveries);
        let rows = &mut self.insert_step;
        rows.task.push(uuid(task.id));
        rows.place.push(place.into());
        rows.arm.push(step.arm.as_str());
        rows.plan_version.push(step.plan_version.into());
        rows.needs.push(needs_text(&step.needs));
        rows.awaits.push(awaits(step));
        rows.time_limit.push(signed(step.time_limit.get()));
        rows.state.push(row.state);
        rows.state_at.push(millis(row.at));
        rows.reason.push(row.reason);
        rows.message.push(row.message);
        rows.failure_place.push(row.failure_place.map(i32::from));
        rows.attempts.push(count.attempts.into());
        rows.failures.push(count.failures.into());
        rows.crashes.push(count.crashes.into());
        rows.releases.push(count.releases.into());
        rows.spec.push(spec.map(Document::as_str));
        self.queue(task, place, step, None, news);
    }

    fn changed_step(&mut self, task: TaskId, place: u16, step: &'a Step, output: Option<&'a Document>) {
        let (row, count) = (StepRow::from(&step.state), &step.deliveries);
        let rows = &mut self.update_step;
        rows.task.push(uuid(task));
        rows.place.push(place.into());
        rows.awaits.push(awaits(step));
        rows.state.push(row.state);
        rows.state_at.push(millis(row.at));
        rows.reason.push(row.reason);
        rows.message.push(row.message);
        rows.failure_place.push(row.failure_place.map(i32::from));
        rows.attempts.push(count.attempts.into());
        rows.failures.push(count.failures.into());
        rows.crashes.push(count.crashes.into());
        rows.releases.push(count.releases.into());
        rows.output.push(output.map(Document::as_str));
    }

    /// Keeps documents and what they refer to; one that is a column of its step is written with it.
    fn keep(&mut self, task: TaskId, kept: &'a [Kept]) {
        let id = uuid(task);
        let mut checkpoints: BTreeMap<u16, &str> = BTreeMap::new();
        for Kept { place, as_, document, artefacts } in kept {
            let body = document.as_str();
            match *as_ {
                KeptAs::Spec | KeptAs::Output => {}
                KeptAs::Checkpoint => {
                    checkpoints.insert(*place, body);
                }
                KeptAs::Answer => {
                    self.put_answer.task.push(id);
                    self.put_answer.place.push((*place).into());
                    self.put_answer.body.push(body);
                }
                KeptAs::Receipt { call, number, spent: _ } => {
                    let rows = &mut self.insert_receipt;
                    rows.task.push(id);
                    rows.place.push((*place).into());
                    rows.number.push(number.into());
                    rows.call.push(Uuid::from_bytes(call.to_bytes()));
                    rows.body.push(body);
                }
            }
            for hash in artefacts {
                self.put_artefact.task.push(id);
                self.put_artefact.hash.push(hash.to_bytes().to_vec());
            }
        }
        for (place, body) in checkpoints {
            self.put_checkpoint.task.push(id);
            self.put_checkpoint.place.push(place.into());
            self.put_checkpoint.body.push(body);
        }
    }

    /// Keeps the queue and the leases as the step's state says.
    fn queue(
        &mut self,
        task: &'a Task,
        place: u16,
        step: &'a Step,
        was: Option<&'a StepState>,
        news: &mut News,
    ) {
        let (id, at) = (uuid(task.id), i32::from(place));
        match was {
            Some(was) if *was == step.state => return,
            Some(StepState::Ready { from }) => self.unqueue(task, place, step.arm, *from),
            Some(StepState::Leased(_)) => {
                if let StepState::Leased(lease) = &step.state {
                    let rows = &mut self.update_lease;
                    rows.task.push(id);
                    rows.place.push(at);
                    rows.token.push(lease.token.to_bytes().to_vec());
                    rows.worker.push(lease.worker.as_str());
                    rows.granted_at.push(lease.granted_at.as_millis());
                    rows.expires_at.push(lease.expires_at.as_millis());
                    news.expires(Some(lease.expires_at));
                    return;
                }
                self.delete_lease.task.push(id);
                self.delete_lease.place.push(at);
            }
            Some(StepState::Blocked | StepState::Done | StepState::Failed(_) | StepState::Cancelled)
            | None => {}
        }
        match &step.state {
            StepState::Ready { from } => self.enqueue(task, place, step.arm, *from, news),
            StepState::Leased(lease) => {
                let rows = &mut self.insert_lease;
                rows.task.push(id);
                rows.place.push(at);
                rows.tenant.push(task.tenant.as_str());
                rows.arm.push(step.arm.as_str());
                rows.token.push(lease.token.to_bytes().to_vec());
                rows.worker.push(lease.worker.as_str());
                rows.granted_at.push(lease.granted_at.as_millis());
                rows.expires_at.push(lease.expires_at.as_millis());
                news.expires(Some(lease.expires_at));
            }
            StepState::Blocked | StepState::Done | StepState::Failed(_) | StepState::Cancelled => {}
        }
    }

    /// A step may be claimed from then on.
    pub(super) fn enqueue(
        &mut self,
        task: &'a Task,
        place: u16,
        arm: ArmName,
        from: Timestamp,
        news: &mut News,
    ) {
        let rows = &mut self.insert_ready;
        rows.arm.push(arm.as_str());
        rows.tenant.push(task.tenant.as_str());
        rows.priority.push(priority(task));
        rows.since.push(from.as_millis());
        rows.task.push(uuid(task.id));
        rows.place.push(place.into());
        news.arms.insert(arm);
    }

    /// It may not any more.
    pub(super) fn unqueue(&mut self, task: &'a Task, place: u16, arm: ArmName, from: Timestamp) {
        let rows = &mut self.delete_ready;
        rows.arm.push(arm.as_str());
        rows.tenant.push(task.tenant.as_str());
        rows.priority.push(priority(task));
        rows.since.push(from.as_millis());
        rows.task.push(uuid(task.id));
        rows.place.push(place.into());
    }

    fn tell(&mut self, task: TaskId, events: &'a [Event], news: &mut News) {
        let rows = &mut self.insert_event;
        for event in events {
            let row = EventRow::from(&event.kind);
            rows.task.push(uuid(task));
            rows.number.push(signed(event.number));
            rows.at.push(event.at.as_millis());
            rows.kind.push(row.kind);
            rows.place.push(row.place.map(i32::from));
            rows.count.push(row.count.map(i64::from));
            rows.moment.push(millis(row.moment));
            rows.reason.push(row.reason);
            rows.text.push(row.text);
        }
        news.tasks.insert(task);
    }

    /// Sends all rows and the commit, in one round trip. `beside` is sent before them.
    pub(super) async fn commit(
        &self,
        link: &Link,
        beside: Vec<BoxFuture<'_, Result<u64, Error>>>,
    ) -> Result<(), Fault> {
        let (mut arms, mut minutes, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        for ((arm, minute), more) in &self.finished {
            arms.push(arm.as_str());
            minutes.push(*minute);
            steps.push(*more);
        }
        let mut sent: Vec<BoxFuture<'_, Result<u64, Error>>> = Vec::new();
        sent.extend(beside);
        self.send(link, &mut sent);
        sent.extend(self.notes.send(link));
        if !arms.is_empty() {
            // The last to be locked, in one order: whoever waits here holds nothing that others wait for.
            let add = async {
                link.client.execute(&link.sql.add_finished, &[&arms, &minutes, &steps, &link.counter]).await
            };
            sent.push(add.boxed());
        }
        sent.push(async { link.client.batch_execute("COMMIT").await.map(|()| 0) }.boxed());
        debug_assert!(sent.len() <= 30, "more are polled in no order");
        // Polled in this order, they are sent in this order. Whichever failure comes to be known first, the
        // first one of them is the cause: what follows it fails only because the transaction has.
        let (all, placed) = tokio::join!(biased; join_all(sent), link.place());
        all.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| Fault::of(error, Stage::Commit))?;
        link.confirmed()?;
        placed
    }
}

fn priority(task: &Task) -> i32 {
    i32::try_from(priority_number(task.priority)).expect("there are four of them")
}

fn awaits(step: &Step) -> i32 {
    i32::try_from(awaits_number(step.awaits)).expect("there are three of them")
}
