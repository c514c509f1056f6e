//! What workers do: claim, heartbeat, checkpoint, complete, revise, ask, fail, release.
//! Everything after the claim is fenced by the lease's token (P2).

use super::{Draft, Kept, KeptAs};
use crate::{
    ATTEMPTS_MAX, Awaits, Dice, EventKind, Failure, FailureReason, Lease, NewStep, QUESTIONS_MAX,
    RELEASES_MAX, Refusal, Replans, STEPS_MAX, STOP_GRACE, Step, StepState, StopInto, TaskState, Verdict,
    Wait, Waits, retry,
};
use octollm_contract::{ArmName, ContentHash, Document, LeaseToken, Millis, Timestamp, WorkerId};

impl Draft {
    pub(super) fn claim(
        &mut self,
        place: u16,
        worker: &WorkerId,
        token: LeaseToken,
        ttl: Millis,
    ) -> Result<(), Refusal> {
        let now = self.now;
        let step = self.task.steps.get_mut(usize::from(place)).ok_or(Refusal::NotReady)?;
        match step.state {
            StepState::Ready { from } if from <= now => {}
            StepState::Ready { .. }
            | StepState::Blocked
            | StepState::Leased(_)
            | StepState::Done
            | StepState::Failed(_)
            | StepState::Cancelled => return Err(Refusal::NotReady),
        }
        step.state = StepState::Leased(Lease {
            token,
            worker: worker.clone(),
            granted_at: now,
            expires_at: now + ttl,
        });
        step.deliveries.attempts = step.deliveries.attempts.saturating_add(1);
        let attempt = step.deliveries.attempts;
        if self.task.state == TaskState::Queued {
            self.task.state = self.at_work();
        }
        self.task.started_at.get_or_insert(now);
        self.touched.insert(place);
        self.tell(EventKind::StepStarted { place, worker: worker.clone(), attempt });
        Ok(())
    }

    pub(super) fn heartbeat(&mut self, place: u16, token: LeaseToken, ttl: Millis) -> Result<(), Refusal> {
        let now = self.now;
        let latest = self.task.stop_since(place).map(|since| since + STOP_GRACE);
        let step = self.held(place, token)?;
        let StepState::Leased(lease) = &mut step.state else { return Err(Refusal::LeaseLost) };
        let wanted = latest.map_or(now + ttl, |latest| latest.min(now + ttl));
        // Most heartbeats write nothing: a lease is renewed only when a third of it is used.
        if wanted > lease.expires_at && wanted.since(lease.expires_at).get() >= ttl.get() / 3 {
            lease.expires_at = wanted;
            self.touched.insert(place);
        }
        Ok(())
    }

    pub(super) fn checkpoint(
        &mut self,
        place: u16,
        token: LeaseToken,
        state: &Document,
        artefacts: &[ContentHash],
    ) -> Result<(), Refusal> {
        self.held(place, token)?;
        self.keep(place, KeptAs::Checkpoint, state, artefacts);
        self.tell(EventKind::StepCheckpointed { place });
        Ok(())
    }

    pub(super) fn complete(
        &mut self,
        place: u16,
        token: LeaseToken,
        output: &Document,
        artefacts: &[ContentHash],
        verdict: Option<&Verdict>,
    ) -> Result<(), Refusal> {
        let step = self.held(place, token)?;
        if (step.arm == ArmName::Judge) != verdict.is_some() {
            return Err(Refusal::BadVerdict);
        }
        if step.arm == ArmName::Planner {
            return Err(Refusal::BadPlan);
        }
        step.state = StepState::Done;
        self.touched.insert(place);
        self.keep(place, KeptAs::Output, output, artefacts);
        self.tell(EventKind::StepCompleted { place });
        match verdict {
            None | Some(Verdict::Accepted) => {}
            Some(Verdict::Refused { evidence }) => {
                let failure = Failure {
                    reason: FailureReason::Refused,
                    message: evidence.as_str().into(),
                    place: Some(place),
                };
                self.give_up(failure);
            }
        }
        Ok(())
    }

    pub(super) fn revise(
        &mut self,
        place: u16,
        token: LeaseToken,
        output: &Document,
        plan: &Document,
        steps: &[NewStep],
        specs: &[Document],
    ) -> Result<(), Refusal> {
        let planner = self.held(place, token)?.arm == ArmName::Planner;
        let awaits_an_answer = steps.iter().any(|step| step.awaits == Awaits::Answer);
        if !planner || specs.len() != steps.len() || awaits_an_answer || !self.fits(place, steps) {
            return Err(Refusal::BadPlan);
        }
        self.done(place, output);
        if self.stopping() {
            return Ok(());
        }
        self.cancel_unstarted(Spare::Nothing);
        let version = self.task.plan_version.saturating_add(1);
        self.task.plan_version = version;
        if self.task.state == TaskState::Planning {
            self.task.state = TaskState::Running;
        }
        for (step, spec) in steps.iter().zip(specs) {
            self.add(step, spec)?;
        }
        self.plan = Some(plan.clone());
        self.tell(EventKind::PlanWritten { version });
        Ok(())
    }

    pub(super) fn asks(
        &mut self,
        place: u16,
        token: LeaseToken,
        output: &Document,
        next: &NewStep,
        spec: &Document,
    ) -> Result<(), Refusal> {
        let planner = self.held(place, token)?.arm == ArmName::Planner;
        let goes_on = next.arm == ArmName::Planner && next.needs.contains(&place);
        let asks = next.awaits == Awaits::Answer && self.task.questions < QUESTIONS_MAX;
        if !planner || !goes_on || !asks || !self.fits(place, std::slice::from_ref(next)) {
            return Err(Refusal::BadPlan);
        }
        self.done(place, output);
        if !self.stopping() {
            self.task.questions += 1;
            self.add(next, spec)?;
        }
        Ok(())
    }

    /// A planner's step has its result.
    fn done(&mut self, place: u16, output: &Document) {
        self.task.steps[usize::from(place)].state = StepState::Done;
        self.touched.insert(place);
        self.keep(place, KeptAs::Output, output, &[]);
        self.tell(EventKind::StepCompleted { place });
    }

    /// Adds a step of the plan as it is now, with what it is to do.
    fn add(&mut self, step: &NewStep, spec: &Document) -> Result<(), Refusal> {
        let place = u16::try_from(self.task.steps.len()).map_err(|_| Refusal::BadPlan)?;
        self.task.steps.push(Step::new(step.clone(), self.task.plan_version));
        self.touched.insert(place);
        self.keep(place, KeptAs::Spec, spec, &[]);
        Ok(())
    }

    /// A plan fits when it adds steps, not too many, and each needs done steps or ones that
    /// come before it in the same plan.
    fn fits(&self, planner: u16, steps: &[NewStep]) -> bool {
        let first = self.task.steps.len();
        let sound = |(at, step): (usize, &NewStep)| {
            step.needs.iter().all(|need| {
                let need = usize::from(*need);
                let done = self.task.steps.get(need).is_some_and(|s| s.state == StepState::Done);
                done || need == usize::from(planner) || (first..first + at).contains(&need)
            })
        };
        !steps.is_empty() && first + steps.len() <= STEPS_MAX && steps.iter().enumerate().all(sound)
    }

    pub(super) fn fail(
        &mut self,
        place: u16,
        token: LeaseToken,
        message: &str,
        (retryable, mendable): (bool, bool),
        dice: Dice,
    ) -> Result<(), Refusal> {
        let (now, max_retries) = (self.now, self.task.terms.max_retries);
        let step = self.held(place, token)?;
        step.deliveries.failures = step.deliveries.failures.saturating_add(1);
        let failures = step.deliveries.failures;
        if self.stopping() {
            self.cancel_step(place);
        } else if retryable && failures <= max_retries {
            let from = self.again(place, now + retry::wait_after(failures, dice));
            self.tell(EventKind::StepRetrying { place, message: message.into(), from });
        } else {
            let failure = self.step_failed(place, FailureReason::StepFailed, message.to_owned());
            // A planner that is at it already will see this failure, too.
            if mendable || self.planner_is_due() {
                self.give_up(failure);
            } else if !self.is_superseded(place) {
                self.stop(StopInto::Failed(failure));
            }
        }
        Ok(())
    }

    pub(super) fn release(
        &mut self,
        place: u16,
        token: LeaseToken,
        wait: Option<&Wait>,
        dice: Dice,
    ) -> Result<(), Refusal> {
        let (now, deadline) = (self.now, self.task.terms.deadline);
        let from = wait.map_or(now, |wait| now + retry::wait_for(wait.at_least, dice));
        let too_late = wait.is_some() && deadline.is_some_and(|deadline| deadline <= from + TRY_TAKES);
        let stopping = self.stopping();
        let step = self.held(place, token)?;
        // What our own bounds keep waiting passes by itself: it uses up none of the step's releases.
        let takes_turns = wait.is_some_and(|wait| !wait.waits_for.is_provider());
        let worn_out = step.deliveries.attempts >= ATTEMPTS_MAX;
        if !takes_turns || stopping || too_late || worn_out {
            step.deliveries.releases = step.deliveries.releases.saturating_add(1);
        }
        let (releases, attempts) = (step.deliveries.releases, step.deliveries.attempts);
        match wait {
            _ if stopping => self.cancel_step(place),
            Some(wait) if too_late => self.out_of_time(place, wait),
            _ if releases > RELEASES_MAX || worn_out => {
                let why = wait.map(|wait| format!("; the last time: {}", wait.why)).unwrap_or_default();
                let message = format!(
                    "the step was begun {attempts} times and handed back, {releases} times not for its turn{why}"
                );
                self.fail_step(place, FailureReason::Released, message);
            }
            wait => {
                let from = self.again(place, from);
                let waits = wait.map(|wait| Waits { why: wait.why.as_str().into(), from });
                self.tell(EventKind::StepReleased { place, waits });
            }
        }
        Ok(())
    }

    /// What the step waits for will not be there in the task's time: the task fails for that, and
    /// not for the deadline alone. No other plan would have more time.
    fn out_of_time(&mut self, place: u16, wait: &Wait) {
        let terms = &self.task.terms;
        let time = terms.deadline.map_or_else(|| "time".to_owned(), |deadline| terms.time_until(deadline));
        let message = format!("{}; it cannot be tried again within the task's {time}", wait.why);
        let failure =
            Failure { reason: FailureReason::Deadline, message: message.into(), place: Some(place) };
        self.task.steps[usize::from(place)].state = StepState::Failed(failure.clone());
        self.touched.insert(place);
        self.tell(EventKind::StepFailed { place, failure: failure.clone() });
        if !self.is_superseded(place) {
            self.stop(StopInto::Failed(failure));
        }
    }

    /// The step at `place`, if `token` proves its lease and the lease has not run out.
    pub(super) fn held(&mut self, place: u16, token: LeaseToken) -> Result<&mut Step, Refusal> {
        let now = self.now;
        let step = self.task.steps.get_mut(usize::from(place)).ok_or(Refusal::LeaseLost)?;
        match &step.state {
            StepState::Leased(lease) if lease.token == token && now < lease.expires_at => Ok(step),
            StepState::Leased(_)
            | StepState::Blocked
            | StepState::Ready { .. }
            | StepState::Done
            | StepState::Failed(_)
            | StepState::Cancelled => Err(Refusal::LeaseLost),
        }
    }

    pub(super) fn keep(&mut self, place: u16, as_: KeptAs, document: &Document, artefacts: &[ContentHash]) {
        self.kept.push(Kept { place, as_, document: document.clone(), artefacts: artefacts.to_vec() });
    }

    /// Puts a step into its queue, and says from when on it may be claimed: not before the
    /// task may start, even when a clock was set back.
    pub(super) fn again(&mut self, place: u16, from: Timestamp) -> Timestamp {
        let from = self.task.terms.not_before.map_or(from, |not_before| not_before.max(from));
        self.task.steps[usize::from(place)].state = StepState::Ready { from };
        self.touched.insert(place);
        from
    }

    pub(super) fn cancel_step(&mut self, place: u16) {
        self.task.steps[usize::from(place)].state = StepState::Cancelled;
        self.touched.insert(place);
        self.tell(EventKind::StepCancelled { place });
    }

    /// Ends a step as failed, and with it the plan.
    pub(super) fn fail_step(&mut self, place: u16, reason: FailureReason, message: String) {
        let failure = self.step_failed(place, reason, message);
        self.give_up(failure);
    }

    fn step_failed(&mut self, place: u16, reason: FailureReason, message: String) -> Failure {
        let failure = Failure { reason, message: message.into(), place: Some(place) };
        self.task.steps[usize::from(place)].state = StepState::Failed(failure.clone());
        self.touched.insert(place);
        self.tell(EventKind::StepFailed { place, failure: failure.clone() });
        failure
    }

    /// The plan cannot succeed: a planner writes another one if it may, else the task fails.
    fn give_up(&mut self, failure: Failure) {
        if self.stopping() {
            return;
        }
        if failure.place.is_some_and(|place| self.is_superseded(place)) {
            return;
        }
        let planner_failed = failure
            .place
            .and_then(|place| self.task.step(place))
            .is_some_and(|step| step.arm == ArmName::Planner);
        let place = u16::try_from(self.task.steps.len()).ok().filter(|_| self.task.steps.len() < STEPS_MAX);
        match (self.task.terms.replans, place) {
            (Replans::No, _) => self.stop(StopInto::Failed(failure)),
            (Replans::UpTo(_), _) if planner_failed => {
                let failure = self.with_what_was_to_be_mended(failure);
                self.stop(StopInto::Failed(failure));
            }
            // A planner that is at it already will see this failure's traces in the task.
            (Replans::UpTo(_), _) if self.planner_is_due() => self.cancel_unstarted(Spare::Planners),
            (Replans::UpTo(most), Some(place)) if self.task.revisions < most => {
                self.task.revisions += 1;
                self.cancel_unstarted(Spare::Nothing);
                let step = NewStep {
                    arm: ArmName::Planner,
                    needs: Vec::new(),
                    awaits: Awaits::Nothing,
                    time_limit: PLANNER_TIME_LIMIT,
                };
                self.task.steps.push(Step::new(step, self.task.plan_version));
                self.touched.insert(place);
            }
            (Replans::UpTo(_), _) => self.stop(StopInto::Failed(failure)),
        }
    }

    /// The failure of a planner that was to mend a plan: what it was to mend comes first, for that is why
    /// the task failed.
    fn with_what_was_to_be_mended(&self, planner: Failure) -> Failure {
        let version = self.task.plan_version;
        let own = |step: &&Step| step.arm != ArmName::Planner && step.plan_version == version;
        let failed = self.task.steps.iter().filter(own).find_map(|step| match &step.state {
            StepState::Failed(failure) => Some(failure.clone()),
            StepState::Blocked
            | StepState::Ready { .. }
            | StepState::Leased(_)
            | StepState::Done
            | StepState::Cancelled => None,
        });
        // A judge that refused is done; what it found stands in its result. Its verdict does not stand in
        // the task, so that of several the one that refused is not known here, and none is named.
        let judged = || {
            let judges = self.task.places().filter(|(_, step)| own(step) && step.arm == ArmName::Judge);
            let mut done = judges.filter(|(_, step)| step.state == StepState::Done).map(|(place, _)| place);
            let (first, other) = (done.next()?, done.next());
            let (message, place) = match other {
                None => ("the judge refused the result", Some(first)),
                Some(_) => ("one of the judges refused the result", None),
            };
            Some(Failure { reason: FailureReason::Refused, message: message.into(), place })
        };
        let mended = Some(()).filter(|()| self.task.revisions > 0).and_then(|()| failed.or_else(judged));
        match mended {
            Some(first) => Failure {
                message: format!("{}; and no other plan was made: {}", first.message, planner.message).into(),
                ..first
            },
            None => planner,
        }
    }

    /// A step of an earlier plan, of which a planner has already made the next one: that one does
    /// not build on it.
    fn is_superseded(&self, place: u16) -> bool {
        let version = self.task.plan_version;
        self.task.step(place).is_some_and(|step| step.arm != ArmName::Planner && step.plan_version < version)
    }

    fn planner_is_due(&self) -> bool {
        self.task.places().any(|(place, _)| self.is_due_planner(place))
    }

    /// A planner that is at work, or that nothing but a worker or a person keeps from it.
    /// One that waits for other steps may wait for the very step that failed.
    fn is_due_planner(&self, place: u16) -> bool {
        self.task.step(place).is_some_and(|step| {
            step.arm == ArmName::Planner
                && match step.state {
                    StepState::Ready { .. } | StepState::Leased(_) => true,
                    StepState::Blocked => self.could_start(place),
                    StepState::Done | StepState::Failed(_) | StepState::Cancelled => false,
                }
        })
    }

    /// Cancels the steps that no worker has begun.
    fn cancel_unstarted(&mut self, spare: Spare) {
        let unstarted: Vec<u16> = self
            .task
            .places()
            .filter(|(_, step)| matches!(step.state, StepState::Blocked | StepState::Ready { .. }))
            .map(|(place, _)| place)
            .filter(|place| spare == Spare::Nothing || !self.is_due_planner(*place))
            .collect();
        for place in unstarted {
            self.cancel_step(place);
        }
    }
}

/// What is left alone when unstarted steps are cancelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spare {
    Nothing,
    /// Planners that will write the next plan.
    Planners,
}

/// A try that would have less time than this before the deadline is not waited for.
const TRY_TAKES: Millis = Millis::from_secs(1);

/// How long one attempt of a planner may take.
pub const PLANNER_TIME_LIMIT: Millis = Millis::from_secs(300);
