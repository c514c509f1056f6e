//! Model calls: an orchestrator holds, calls the provider, settles, answers; or dies in between.
//! The provider keeps a log of its own, in what was seen.

use crate::{
    checker::{Seen, receipt},
    message::{Answer, Asker, Thought},
    world::{Happening, World},
};
use octollm_access::TenantScope;
use octollm_contract::{CallId, Cost, LeaseToken, MicroUsd, StepId, Timestamp};
use octollm_lifecycle::{Command, Refusal, Spent};
use octollm_store::DecideError;

/// A call that an orchestrator has under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnderWay {
    pub(crate) orchestrator: usize,
    /// The run of the orchestrator that makes it; a later run knows nothing of it.
    pub(crate) run: u32,
    pub(crate) asker: Asker,
    pub(crate) call: CallId,
    pub(crate) step: StepId,
    pub(crate) token: LeaseToken,
    pub(crate) number: u32,
    pub(crate) worst: Spent,
}

impl World<'_> {
    /// Answers from the record, or holds and begins a call, or says why not.
    pub(crate) fn think(
        &mut self,
        orchestrator: usize,
        asker: Asker,
        (step, token, number): (StepId, LeaseToken, u32),
        now: Timestamp,
    ) -> Option<Answer> {
        let say = |thought| Some(Answer::Thought { step, token, number, thought });
        if self.store.answered(step, number) {
            return say(Thought::Answered);
        }
        let mut name = [0; 16];
        self.rng.fill(&mut name);
        let call = CallId::from_bytes(name);
        let worst = self.worst();
        let command = Command::Hold { place: step.place, token, call, number, worst };
        match self.store.decide(step.task, TenantScope::System, command, now, &mut self.rng) {
            Ok(_) => {}
            Err(DecideError::Refused(Refusal::LeaseLost) | DecideError::NotFound | DecideError::Store(_)) => {
                return say(Thought::Lost);
            }
            Err(DecideError::Refused(_)) => return say(Thought::Refused),
        }
        self.saw(Seen::Held { call, step, number, worst });
        let run = self.orchestrators[orchestrator].run;
        let way = UnderWay { orchestrator, run, asker, call, step, token, number, worst };
        let delay = self.rng.between(1, 5);
        self.schedule(delay, Happening::CallBegins(way));
        None
    }

    fn worst(&mut self) -> Spent {
        let cost = if self.rng.chance(15) {
            Cost::Unknown
        } else {
            Cost::Known(MicroUsd::new(1 + self.rng.below(40)))
        };
        Spent { cost, tokens: 1 + self.rng.below(400) }
    }

    /// The provider gets the request, unless the orchestrator died with the hold committed.
    pub(crate) fn call_begins(&mut self, way: UnderWay) {
        if self.orchestrators[way.orchestrator].run != way.run {
            return;
        }
        let cost = match way.worst.cost {
            Cost::Known(most) => Cost::Known(MicroUsd::new(self.rng.below(most.get() + 1))),
            Cost::Unknown => Cost::Unknown,
        };
        let used = Spent { cost, tokens: self.rng.below(way.worst.tokens + 1) };
        self.saw(Seen::Called { call: way.call, used });
        let takes = if self.rng.chance(10) { (4_000, 20_000) } else { (50, 2_000) };
        let takes = self.rng.between(takes.0, takes.1);
        self.schedule(takes, Happening::CallEnds { way, used });
    }

    /// The answer is there: settled, then passed on; unless nobody is left to hear it.
    pub(crate) fn call_ends(&mut self, way: UnderWay, used: Spent) {
        if !self.settle(way, used) {
            return;
        }
        if self.rng.chance(15) {
            // The commit was not confirmed in time.
            let delay = self.rng.between(1, 4_000);
            self.schedule(delay, Happening::SettlesAgain { way, used });
        }
        let UnderWay { orchestrator, asker, step, token, number, .. } = way;
        self.answer(orchestrator, asker, Answer::Thought { step, token, number, thought: Thought::Answered });
    }

    /// Settles a call of its own; `false` when the orchestrator that made it is gone.
    pub(crate) fn settle(&mut self, way: UnderWay, used: Spent) -> bool {
        if self.orchestrators[way.orchestrator].run != way.run {
            return false;
        }
        let now = self.time_of(way.orchestrator);
        let (call, receipt) = (way.call, receipt(used));
        let command = Command::Settle { call, spent: used, receipt, artefacts: Vec::new() };
        let taken =
            self.store.decide(way.step.task, TenantScope::System, command, now, &mut self.rng).is_ok();
        self.saw(Seen::Settled { call, taken });
        true
    }
}
