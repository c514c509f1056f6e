//! A task's view from its rows, and the changes of a decision into them.

use super::{
    fault::Fault,
    rows::{self, EventRow, LedgerRow, StateRow, StepRow},
    writer::Writer,
};
use octollm_contract::{ArmName, Document, TaskId, Timestamp};
use octollm_lifecycle::{
    Budget, Changes, EventKind, Kept, KeptAs, Ledger, Replans, Step, StepState, Tally, Task,
};
use rusqlite::params;
use std::sync::Arc;

impl Writer<'_> {
    /// The view of a task; `None` when there is none.
    pub(super) fn view(&mut self, id: TaskId) -> Result<Option<Arc<Task>>, Fault> {
        if let Some(task) = self.views.get(id) {
            return Ok(Some(task));
        }
        let task = self.load(id)?.map(Arc::new);
        if let Some(task) = &task {
            self.views.keep(Arc::clone(task));
        }
        Ok(task)
    }

    /// The view of a task as its rows give it.
    pub(super) fn load(&mut self, id: TaskId) -> Result<Option<Task>, Fault> {
        let statements = &mut self.sql;
        let mut found = statements.task.query([id.to_bytes()])?;
        let Some(row) = found.next()? else { return Ok(None) };
        let mut leases = Vec::new();
        let mut held = statements.leases.query([id.to_bytes()])?;
        while let Some(row) = held.next()? {
            leases.push(rows::read_lease(row)?);
        }
        let mut steps = Vec::new();
        let mut listed = statements.steps.query([id.to_bytes()])?;
        for expected in 0u16.. {
            let Some(row) = listed.next()? else { break };
            let lease = |place| leases.iter().position(|(at, _)| *at == place);
            steps.push(rows::read_step(row, expected, |place| lease(place).map(|at| leases[at].1.clone()))?);
        }
        let held = &mut statements.holds;
        Ok(Some(rows::read_task(row, steps, || {
            let (mut holds, mut found) = (Vec::new(), held.query([id.to_bytes()])?);
            while let Some(row) = found.next()? {
                holds.push(rows::read_hold(row)?);
            }
            Ok(holds)
        })?))
    }

    /// Writes a new task's view, its steps with their specs, and what is to be done with them.
    pub(super) fn insert(&mut self, task: &Task, specs: &[Document]) -> Result<(), Fault> {
        let state = StateRow::from(&task.state);
        let terms = &task.terms;
        let replans = match terms.replans {
            Replans::No => None,
            Replans::UpTo(most) => Some(most),
        };
        self.sql.insert_task.execute(params![
            task.id.to_bytes(),
            task.tenant.as_str(),
            state.state,
            state.at.map(Timestamp::as_millis),
            state.place,
            state.reason,
            state.message,
            rows::priority_number(task.priority),
            terms.accepted_at.as_millis(),
            terms.not_before.map(Timestamp::as_millis),
            terms.deadline.map(Timestamp::as_millis),
            terms.max_retries,
            replans,
            task.started_at.map(Timestamp::as_millis),
            task.plan_version,
            task.revisions,
            task.questions,
            rows::signed(task.events),
            task.state.ended_at().map(Timestamp::as_millis),
            task.next_due().map(Timestamp::as_millis),
            rows::is_poisoned(task),
        ])?;
        if let Some(due) = task.next_due() {
            self.expects(due);
        }
        if task.ledger != Ledger::granting(Budget::UNLIMITED) {
            self.put_ledger(task)?;
        }
        for (place, step) in task.places() {
            self.insert_step(task, place, step, specs.get(usize::from(place)))?;
        }
        Ok(())
    }

    /// Writes what was decided at `now` about the task that was `before`.
    pub(super) fn apply(&mut self, before: &Task, changes: &Changes, now: Timestamp) -> Result<(), Fault> {
        let after = &changes.after;
        self.update_task(before, after)?;
        self.update_calls(before, after)?;
        let kept = |place: u16, as_: KeptAs| {
            let found = changes.kept.iter().find(|kept| kept.place == place && kept.as_ == as_);
            found.map(|kept| &kept.document)
        };
        for place in &changes.steps {
            let Some(step) = after.step(*place) else { continue };
            match before.step(*place) {
                None => self.insert_step(after, *place, step, kept(*place, KeptAs::Spec))?,
                Some(was) => {
                    self.update_step(after, *place, was, step, kept(*place, KeptAs::Output))?;
                }
            }
        }
        for kept in &changes.kept {
            self.keep(after.id, kept)?;
        }
        if let Some(plan) = &changes.plan {
            self.sql.update_plan.execute((after.id.to_bytes(), plan.as_str()))?;
        }
        for event in &changes.events {
            if let EventKind::StepCompleted { place } | EventKind::StepFailed { place, .. } = &event.kind
                && let Some(step) = after.step(*place)
            {
                let minute = event.at.as_millis().div_euclid(60_000);
                *self.news.finished.entry((step.arm, minute)).or_default() += 1;
            }
        }
        let tally = Tally::of(before, changes, now);
        if !tally.0.is_empty() {
            self.news.usage.entry(after.tenant.clone()).or_default().add(&tally);
        }
        self.tell(after.id, &changes.events)
    }

    /// Keeps a document and what it refers to; one that is a column of its step is written with it.
    fn keep(&mut self, task: TaskId, kept: &Kept) -> Result<(), Fault> {
        let (id, place, body) = (task.to_bytes(), kept.place, kept.document.as_str());
        match kept.as_ {
            KeptAs::Spec | KeptAs::Output => {}
            KeptAs::Checkpoint => {
                self.sql.put_checkpoint.execute((id, place, body))?;
            }
            KeptAs::Answer => {
                self.sql.put_answer.execute((id, place, body))?;
            }
            KeptAs::Receipt { call, number, spent: _ } => {
                self.sql.insert_receipt.execute((id, place, number, call.to_bytes(), body))?;
            }
        }
        for hash in &kept.artefacts {
            self.sql.put_artefact.execute((id, hash.to_bytes()))?;
        }
        Ok(())
    }

    /// Writes what changed of the ledger and the calls under way.
    fn update_calls(&mut self, before: &Task, after: &Task) -> Result<(), Fault> {
        if before.ledger != after.ledger {
            self.put_ledger(after)?;
        }
        if before.holds == after.holds {
            return Ok(());
        }
        let id = after.id.to_bytes();
        for over in before.holds.iter().filter(|hold| after.hold(hold.call).is_none()) {
            self.sql.delete_hold.execute((id, over.call.to_bytes()))?;
        }
        for hold in after.holds.iter().filter(|hold| before.hold(hold.call).is_none()) {
            self.sql.insert_hold.execute(params![
                id,
                hold.call.to_bytes(),
                hold.place,
                hold.number,
                rows::cost_number(hold.cost),
                rows::signed(hold.tokens),
                hold.at.as_millis(),
            ])?;
        }
        Ok(())
    }

    fn put_ledger(&mut self, task: &Task) -> Result<(), Fault> {
        let LedgerRow { money, tokens, unpriced } = LedgerRow::from(&task.ledger);
        self.sql.put_ledger.execute(params![
            task.id.to_bytes(),
            money.granted,
            money.spent,
            money.held,
            tokens.granted,
            tokens.spent,
            tokens.held,
            unpriced,
        ])?;
        Ok(())
    }

    /// Writes events.
    pub(super) fn tell(&mut self, task: TaskId, events: &[octollm_lifecycle::Event]) -> Result<(), Fault> {
        for event in events {
            let row = EventRow::from(&event.kind);
            self.sql.insert_event.execute(params![
                task.to_bytes(),
                rows::signed(event.number),
                event.at.as_millis(),
                row.kind,
                row.place,
                row.count,
                row.moment.map(Timestamp::as_millis),
                row.reason,
                row.text,
            ])?;
        }
        self.news.tasks.insert(task);
        Ok(())
    }

    fn update_task(&mut self, before: &Task, after: &Task) -> Result<(), Fault> {
        let (was, state) = (StateRow::from(&before.state), StateRow::from(&after.state));
        let marks = |task: &Task| (task.state.ended_at(), task.next_due(), rows::is_poisoned(task));
        let (ended_at, due, poison) = marks(after);
        let id = after.id.to_bytes();
        let started_at = after.started_at.map(Timestamp::as_millis);
        let events = rows::signed(after.events);
        let (version, revisions, questions) = (after.plan_version, after.revisions, after.questions);
        let at = state.at.map(Timestamp::as_millis);
        if marks(before) != (ended_at, due, poison) {
            self.sql.update_task_whole.execute(params![
                id,
                started_at,
                version,
                revisions,
                questions,
                events,
                at,
                state.place,
                state.reason,
                state.message,
                state.state,
                ended_at.map(Timestamp::as_millis),
                due.map(Timestamp::as_millis),
                poison,
            ])?;
        } else if was.state != state.state {
            self.sql.update_task_state.execute(params![
                id,
                started_at,
                version,
                revisions,
                questions,
                events,
                at,
                state.place,
                state.reason,
                state.message,
                state.state,
            ])?;
        } else if was != state || !same_but_steps(before, after) {
            self.sql.update_task_plain.execute(params![
                id,
                started_at,
                version,
                revisions,
                questions,
                events,
                at,
                state.place,
                state.reason,
                state.message,
            ])?;
        }
        Ok(())
    }

    fn insert_step(
        &mut self,
        task: &Task,
        place: u16,
        step: &Step,
        spec: Option<&Document>,
    ) -> Result<(), Fault> {
        let row = StepRow::from(&step.state);
        let count = &step.deliveries;
        self.sql.insert_step.execute(params![
            task.id.to_bytes(),
            place,
            step.arm.as_str(),
            step.plan_version,
            rows::needs_text(&step.needs),
            rows::awaits_number(step.awaits),
            rows::signed(step.time_limit.get()),
            row.state,
            row.at.map(Timestamp::as_millis),
            row.reason,
            row.message,
            row.failure_place,
            count.attempts,
            count.failures,
            count.crashes,
            count.releases,
            spec.map(Document::as_str),
        ])?;
        self.requeue(task, place, step.arm, None, &step.state)
    }

    fn update_step(
        &mut self,
        task: &Task,
        place: u16,
        was: &Step,
        step: &Step,
        output: Option<&Document>,
    ) -> Result<(), Fault> {
        let row = StepRow::from(&step.state);
        let id = task.id.to_bytes();
        let count = &step.deliveries;
        let at = row.at.map(Timestamp::as_millis);
        if let Some(output) = output {
            self.sql.update_step_output.execute(params![
                id,
                place,
                rows::awaits_number(step.awaits),
                row.state,
                at,
                row.reason,
                row.message,
                row.failure_place,
                count.attempts,
                count.failures,
                count.crashes,
                count.releases,
                output.as_str(),
            ])?;
        } else if StepRow::from(&was.state) != row
            || was.deliveries != step.deliveries
            || was.awaits != step.awaits
        {
            self.sql.update_step.execute(params![
                id,
                place,
                rows::awaits_number(step.awaits),
                row.state,
                at,
                row.reason,
                row.message,
                row.failure_place,
                count.attempts,
                count.failures,
                count.crashes,
                count.releases,
            ])?;
        }
        self.requeue(task, place, step.arm, Some(&was.state), &step.state)
    }

    /// Keeps the queue and the leases as the step's state says.
    fn requeue(
        &mut self,
        task: &Task,
        place: u16,
        arm: ArmName,
        was: Option<&StepState>,
        is: &StepState,
    ) -> Result<(), Fault> {
        let id = task.id.to_bytes();
        let queue = |since: &Timestamp| {
            (
                arm.as_str(),
                task.tenant.as_str(),
                rows::priority_number(task.priority),
                since.as_millis(),
                id,
                place,
            )
        };
        match (was, is) {
            (Some(StepState::Leased(_)), StepState::Leased(lease)) => {
                self.sql.extend_lease.execute((id, place, lease.expires_at.as_millis()))?;
                self.expects(lease.expires_at);
                return Ok(());
            }
            (Some(was), is) if was == is => return Ok(()),
            (
                None
                | Some(
                    StepState::Blocked
                    | StepState::Ready { .. }
                    | StepState::Leased(_)
                    | StepState::Done
                    | StepState::Failed(_)
                    | StepState::Cancelled,
                ),
                StepState::Blocked
                | StepState::Ready { .. }
                | StepState::Leased(_)
                | StepState::Done
                | StepState::Failed(_)
                | StepState::Cancelled,
            ) => {}
        }
        match was {
            Some(StepState::Ready { from }) => {
                self.sql.delete_ready.execute(queue(from))?;
            }
            Some(StepState::Leased(_)) => {
                self.sql.delete_lease.execute((id, place))?;
                if let Some(count) = self.running.get_mut(&task.tenant) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.running.remove(&task.tenant);
                    }
                }
            }
            Some(StepState::Blocked | StepState::Done | StepState::Failed(_) | StepState::Cancelled)
            | None => {}
        }
        match is {
            StepState::Ready { from } => {
                self.sql.insert_ready.execute(queue(from))?;
                self.starts(arm, *from);
            }
            StepState::Leased(lease) => {
                self.sql.insert_lease.execute(params![
                    id,
                    place,
                    task.tenant.as_str(),
                    arm.as_str(),
                    lease.token.to_bytes(),
                    lease.worker.as_str(),
                    lease.granted_at.as_millis(),
                    lease.expires_at.as_millis(),
                ])?;
                *self.running.entry(task.tenant.clone()).or_default() += 1;
                self.expects(lease.expires_at);
            }
            StepState::Blocked | StepState::Done | StepState::Failed(_) | StepState::Cancelled => {}
        }
        Ok(())
    }

    /// An expiry was written: the sweeper hears of it when it comes before the next it knows.
    fn expects(&mut self, expiry: Timestamp) {
        if self.told_expiry.is_none_or(|told| expiry < told) {
            self.told_expiry = Some(expiry);
            self.news.expiry = true;
        }
    }

    /// A step became ready: whoever waits for the arm hears of it when it may start now, or before
    /// they wake by themselves.
    fn starts(&mut self, arm: ArmName, from: Timestamp) {
        self.rounds.remove(&arm);
        if from <= self.now() || self.told_start.get(&arm).is_none_or(|told| from < *told) {
            self.news.arms.insert(arm);
        }
    }

    /// Puts back ready steps whose row is missing in the queue. Returns how many.
    pub(super) fn restore_queue(&mut self, task: &Task) -> Result<usize, Fault> {
        let mut restored = 0;
        for (place, step) in task.places() {
            let StepState::Ready { from } = &step.state else { continue };
            let row = (
                step.arm.as_str(),
                task.tenant.as_str(),
                rows::priority_number(task.priority),
                from.as_millis(),
                task.id.to_bytes(),
                place,
            );
            if !self.sql.is_ready.exists(row)? {
                self.sql.insert_ready.execute(row)?;
                self.starts(step.arm, *from);
                restored += 1;
            }
        }
        Ok(restored)
    }
}

/// Everything that the table `task` keeps of a task but where it stands.
fn same_but_steps(before: &Task, after: &Task) -> bool {
    before.events == after.events
        && before.started_at == after.started_at
        && before.plan_version == after.plan_version
        && before.revisions == after.revisions
        && before.questions == after.questions
}
