//! What clients and time do: cancel, input, expire, a lost worker, a lost server.

use super::{Draft, KeptAs};
use crate::{
    Awaits, CRASHES_MAX, Deliveries, Dice, EventKind, Failure, FailureReason, Given, HOLD_GRACE, ItsWorkers,
    Lease, RELEASES_MAX, Refusal, StepState, StopInto, TaskState, Unheard, retry,
};
use octollm_contract::WorkerId;

impl Draft {
    pub(super) fn cancel(&mut self) -> Result<(), Refusal> {
        if self.ended() {
            return Err(Refusal::Ended);
        }
        self.stop(StopInto::Cancelled);
        Ok(())
    }

    pub(super) fn input(&mut self, given: &Given) -> Result<(), Refusal> {
        let TaskState::Waiting { place } = self.task.state else {
            return Err(if self.ended() { Refusal::Ended } else { Refusal::NotWaiting });
        };
        if given.place().is_some_and(|meant| meant != place) {
            return Err(Refusal::OtherStep { waits: place });
        }
        match (self.task.steps[usize::from(place)].awaits, given) {
            (Awaits::Approval, Given::Approve { .. }) => self.resume(place),
            // It may be a late one to the question before.
            (Awaits::Answer, Given::Answer { place: None, .. }) if self.task.questions > 1 => {
                return Err(Refusal::WhichQuestion { waits: place });
            }
            (Awaits::Answer, Given::Answer { answer, .. }) => {
                self.keep(place, KeptAs::Answer, answer, &[]);
                self.resume(place);
            }
            (Awaits::Approval, Given::Refuse { .. }) => {
                self.task.state = self.at_work();
                self.cancel_step(place);
                let message = "the approval that the step needs was refused".into();
                self.stop(StopInto::Failed(Failure {
                    reason: FailureReason::NotApproved,
                    message,
                    place: Some(place),
                }));
            }
            (Awaits::Approval, Given::Answer { .. })
            | (Awaits::Answer, Given::Approve { .. } | Given::Refuse { .. }) => {
                return Err(Refusal::OtherInput);
            }
            (Awaits::Nothing, Given::Approve { .. } | Given::Refuse { .. } | Given::Answer { .. }) => {
                return Err(Refusal::NotWaiting);
            }
        }
        Ok(())
    }

    /// The step that waited has what it awaited.
    fn resume(&mut self, place: u16) {
        self.task.state = self.at_work();
        self.task.steps[usize::from(place)].awaits = Awaits::Nothing;
        self.touched.insert(place);
        self.tell(EventKind::TaskResumed { place });
    }

    /// Leases that ran out are crashes, but for those whose workers could not be heard; a deadline that passed
    /// ends the task. Before that, whatever a broken transaction left behind is settled, and counted as a repair.
    /// What has been held for longer than a call lasts counts as spent.
    pub(super) fn expire(&mut self, unheard: Option<&Unheard>, dice: Dice) {
        let found = self.task.state.clone();
        self.follow();
        self.repaired = !self.touched.is_empty() || !self.events.is_empty() || self.task.state != found;
        let now = self.now;
        let is_out = |lease: &Lease| lease.expires_at <= now;
        self.come_back(
            |lease| is_out(lease) && unheard.is_some_and(|time| time.has(lease.expires_at)),
            "its lease ran out while nothing could be written",
        );
        self.lapse(is_out, "its lease ran out: the worker vanished or stood still", dice);
        if let Some(deadline) = self.task.terms.deadline.filter(|deadline| *deadline <= now)
            && !self.ended()
        {
            let message =
                format!("the task was not done within its {}", self.task.terms.time_until(deadline)).into();
            self.stop(StopInto::Failed(Failure { reason: FailureReason::Deadline, message, place: None }));
        }
        self.presume(|hold| hold.at + HOLD_GRACE <= now);
    }

    pub(super) fn worker_lost(&mut self, worker: &WorkerId, dice: Dice) {
        self.lapse(|lease| lease.worker == *worker, "its worker died", dice);
    }

    pub(super) fn server_lost(&mut self, workers: &ItsWorkers) {
        self.come_back(|lease| workers.has(&lease.worker), "its server died");
    }

    /// Steps go back as if their workers had handed them back: whoever stops servers, a machine that
    /// fails or a disk that is full would otherwise poison whatever was under way.
    fn come_back(&mut self, which: impl Fn(&Lease) -> bool, why: &str) {
        for place in self.leased(which) {
            let deliveries = &mut self.task.steps[usize::from(place)].deliveries;
            deliveries.releases = deliveries.releases.saturating_add(1);
            let Deliveries { attempts, releases, .. } = *deliveries;
            if self.stopping() {
                self.cancel_step(place);
            } else if releases <= RELEASES_MAX {
                self.again(place, self.now);
                self.tell(EventKind::StepReleased { place, waits: None });
            } else {
                let message = format!(
                    "the step was begun {attempts} times and came back {releases} times; the last time {why}"
                );
                self.fail_step(place, FailureReason::Released, message);
            }
        }
    }

    fn lapse(&mut self, gone: impl Fn(&Lease) -> bool, why: &str, dice: Dice) {
        for place in self.leased(gone) {
            let step = &mut self.task.steps[usize::from(place)];
            step.deliveries.crashes = step.deliveries.crashes.saturating_add(1);
            let crashes = step.deliveries.crashes;
            if self.stopping() {
                self.cancel_step(place);
            } else if crashes < CRASHES_MAX {
                let from = self.again(place, self.now + retry::wait_after(crashes, dice));
                self.tell(EventKind::StepLapsed { place, crashes, from });
            } else {
                self.fail_step(
                    place,
                    FailureReason::Poison,
                    format!("the step was given up after {crashes} crashes; the last time {why}"),
                );
            }
        }
    }

    fn leased(&self, which: impl Fn(&Lease) -> bool) -> Vec<u16> {
        let leased = self
            .task
            .places()
            .filter(|(_, step)| matches!(&step.state, StepState::Leased(lease) if which(lease)));
        leased.map(|(place, _)| place).collect()
    }

    /// Decides how the task ends. What was decided first stays.
    pub(super) fn stop(&mut self, into: StopInto) {
        if self.ended() || self.stopping() {
            return;
        }
        self.task.state = TaskState::Stopping { into: into.clone(), since: self.now };
        let leased = self.task.steps.iter().any(|step| matches!(step.state, StepState::Leased(_)));
        if leased && into == StopInto::Cancelled {
            self.tell(EventKind::TaskCancelling);
        }
    }
}
