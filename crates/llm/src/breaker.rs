//! The circuit breaker of one provider: pure; `now` is handed in.
//!
//! Closed: calls go, and outcomes are counted in a window of time. When at least
//! [`BreakerPolicy::calls_min`] outcomes are in it and the failed ones reach the share, it opens.
//! Open: no call goes until [`BreakerPolicy::open_for`] is over. Half-open: one probe goes; its first
//! words close, its failure opens again. One that says nothing for [`BreakerPolicy::probe_within`] (its
//! process died, or the answer is slow) lets another go: nobody's slow call keeps the others out.
//!
//! Counts of a window and not a moving average: "half of at least ten calls in thirty seconds" is
//! a sentence that an operator can check against the log.
//!
//! Promises: never two probes within that time; an outcome of a call from before the opening does not close
//! it; a clock that goes backwards neither panics nor keeps it open longer than `open_for`.

use crate::CallError;
use octollm_contract::{Millis, Timestamp};
use std::collections::VecDeque;

/// When a breaker opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// How long an outcome counts.
    pub window: Millis,
    /// Below so many outcomes it stays closed.
    pub calls_min: usize,
    /// Of a hundred outcomes, so many failed ones open it.
    pub failed_percent: usize,
    /// How long no call goes.
    pub open_for: Millis,
    /// How long others wait for a probe's first words.
    pub probe_within: Millis,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        BreakerPolicy {
            window: Millis::from_secs(30),
            calls_min: 10,
            failed_percent: 50,
            open_for: Millis::from_secs(15),
            probe_within: Millis::from_secs(15),
        }
    }
}

/// So many outcomes are remembered at most; older ones make room.
const OUTCOMES_MAX: usize = 1024;

/// One provider's breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    outcomes: VecDeque<(Timestamp, Outcome)>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        since: Timestamp,
    },
    /// Without a probe the next call is it.
    HalfOpen {
        probe_since: Option<Timestamp>,
    },
}

/// How a call went, as far as the provider's health is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider works: also when it refused a bad request or a key, or limits our rate.
    Healthy,
    /// The provider is down, overloaded or answers nonsense.
    Sick,
}

impl Outcome {
    /// What a failed call says about its provider.
    #[must_use]
    pub const fn of(error: &CallError) -> Outcome {
        match error {
            CallError::Refused { .. }
            | CallError::BadKey { .. }
            | CallError::OutOfCredit { .. }
            | CallError::RateLimited { .. }
            | CallError::TooLarge { .. } => Outcome::Healthy,
            CallError::Overloaded { .. }
            | CallError::Unreachable { .. }
            | CallError::Unknown { .. }
            | CallError::TimedOut { .. }
            | CallError::Malformed { .. }
            | CallError::Cut { .. } => Outcome::Sick,
        }
    }
}

/// Whether a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Go(Pass),
    /// Not for so long.
    Wait(Millis),
}

/// The right to make one call; its outcome is told with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    at: Timestamp,
    probe: bool,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub const fn new(policy: BreakerPolicy) -> Self {
        Breaker { policy, outcomes: VecDeque::new(), state: State::Closed }
    }

    /// Asks for one call.
    pub fn admit(&mut self, now: Timestamp) -> Admission {
        if let Some(wait) = self.waits(now) {
            return Admission::Wait(wait);
        }
        let probe = match self.state {
            State::Closed => false,
            State::Open { .. } | State::HalfOpen { .. } => {
                self.state = State::HalfOpen { probe_since: Some(now) };
                true
            }
        };
        Admission::Go(Pass { at: now, probe })
    }

    /// How long no call will be let go; `None`: one may be asked for now. Asks for none itself.
    #[must_use]
    pub fn waits(&self, now: Timestamp) -> Option<Millis> {
        match self.state {
            State::Closed => None,
            State::Open { since } => left(since, self.policy.open_for, now),
            State::HalfOpen { probe_since } => {
                left(probe_since?, self.policy.probe_within, now).map(|wait| wait.min(self.policy.open_for))
            }
        }
    }

    /// Tells that a call is being answered, however long that goes on. What its end says is told, too.
    pub fn answers(&mut self, pass: Pass) {
        if let (true, State::HalfOpen { .. }) = (pass.probe, self.state) {
            self.outcomes.clear();
            self.state = State::Closed;
        }
    }

    /// Tells how a call went.
    pub fn record(&mut self, pass: Pass, outcome: Outcome, now: Timestamp) {
        match (self.state, outcome) {
            // Also of one that another has followed: the provider answers.
            (State::HalfOpen { .. }, Outcome::Healthy) if pass.probe => self.answers(pass),
            (State::HalfOpen { probe_since }, Outcome::Sick)
                if pass.probe && Some(pass.at) == probe_since =>
            {
                self.state = State::Open { since: now };
            }
            // From before it opened, or the failure of a probe that another has followed: no news.
            (State::Open { .. } | State::HalfOpen { .. }, _) => {}
            (State::Closed, outcome) => {
                self.forget(now);
                if self.outcomes.len() == OUTCOMES_MAX {
                    self.outcomes.pop_front();
                }
                self.outcomes.push_back((now, outcome));
                let all = self.outcomes.len();
                let sick = self.outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Sick).count();
                if all >= self.policy.calls_min && sick * 100 >= all * self.policy.failed_percent {
                    self.outcomes.clear();
                    self.state = State::Open { since: now };
                }
            }
        }
    }

    /// Takes back the right to a call of which nothing is known: it was given up before anything came. The
    /// next call is the probe, if this one was.
    pub fn give_back(&mut self, pass: Pass) {
        if pass.probe && self.state == (State::HalfOpen { probe_since: Some(pass.at) }) {
            self.state = State::HalfOpen { probe_since: None };
        }
    }

    /// Whether calls go freely.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn forget(&mut self, now: Timestamp) {
        while self.outcomes.front().is_some_and(|(at, _)| now.since(*at) > self.policy.window) {
            self.outcomes.pop_front();
        }
    }
}

/// What is left of `length` since `since`; a clock that went back to before it ends it.
fn left(since: Timestamp, length: Millis, now: Timestamp) -> Option<Millis> {
    if now < since {
        return None;
    }
    length.get().checked_sub(now.since(since).get()).filter(|left| *left > 0).map(Millis::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: BreakerPolicy = BreakerPolicy {
        window: Millis::new(1000),
        calls_min: 4,
        failed_percent: 50,
        open_for: Millis::new(500),
        probe_within: Millis::new(300),
    };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn call(breaker: &mut Breaker, millis: i64, outcome: Outcome) -> bool {
        match breaker.admit(at(millis)) {
            Admission::Go(pass) => {
                breaker.record(pass, outcome, at(millis));
                true
            }
            Admission::Wait(_) => false,
        }
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(POLICY);
        for millis in 0..4 {
            assert!(call(&mut breaker, millis, Outcome::Sick));
        }
        assert!(!breaker.is_closed());
        breaker
    }

    #[test]
    fn few_failures_or_a_small_share_leave_it_closed() {
        let mut breaker = Breaker::new(POLICY);
        for millis in 0..3 {
            assert!(call(&mut breaker, millis, Outcome::Sick));
        }
        assert!(breaker.is_closed());
        let mut breaker = Breaker::new(POLICY);
        for millis in 0..100 {
            let outcome = if millis % 3 == 2 { Outcome::Sick } else { Outcome::Healthy };
            assert!(call(&mut breaker, millis, outcome));
        }
        assert!(breaker.is_closed());
    }

    #[test]
    fn failures_that_are_old_do_not_count() {
        let mut breaker = Breaker::new(POLICY);
        for n in 0..20 {
            assert!(call(&mut breaker, n * 600, Outcome::Sick));
        }
        assert!(breaker.is_closed());
    }

    #[test]
    fn one_probe_goes_and_its_success_closes() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(at(103)), Admission::Wait(Millis::new(400)));
        let Admission::Go(probe) = breaker.admit(at(503)) else { panic!("no probe") };
        assert_eq!(breaker.admit(at(503)), Admission::Wait(Millis::new(300)));
        breaker.record(probe, Outcome::Healthy, at(600));
        assert!(breaker.is_closed());
        assert!(call(&mut breaker, 601, Outcome::Sick) && breaker.is_closed());
    }

    #[test]
    fn a_failed_probe_opens_again_and_a_silent_one_is_followed_by_another() {
        let mut breaker = opened();
        let Admission::Go(probe) = breaker.admit(at(503)) else { panic!("no probe") };
        breaker.record(probe, Outcome::Sick, at(600));
        assert_eq!(breaker.admit(at(700)), Admission::Wait(Millis::new(400)));
        let Admission::Go(silent) = breaker.admit(at(1100)) else { panic!("no probe") };
        let Admission::Go(_second) = breaker.admit(at(1400)) else { panic!("no second probe") };
        breaker.record(silent, Outcome::Sick, at(1401));
        assert!(matches!(breaker.admit(at(1402)), Admission::Wait(_)), "the second decides");
        breaker.record(silent, Outcome::Healthy, at(1403));
        assert!(breaker.is_closed(), "it was slow, and well");
    }

    /// A probe's answer may take minutes; its first words tell enough.
    #[test]
    fn the_first_words_of_a_probe_let_the_others_go() {
        let mut breaker = opened();
        let Admission::Go(probe) = breaker.admit(at(503)) else { panic!("no probe") };
        breaker.answers(probe);
        assert!(breaker.is_closed());
        assert!(call(&mut breaker, 504, Outcome::Healthy));
        breaker.record(probe, Outcome::Sick, at(505));
        assert!(breaker.is_closed(), "one outcome among others");
        let mut early = Breaker::new(POLICY);
        let Admission::Go(pass) = early.admit(at(0)) else { panic!("closed") };
        (0..4).for_each(|millis| assert!(call(&mut early, millis, Outcome::Sick)));
        early.answers(pass);
        assert!(!early.is_closed(), "its question is from before it opened");
    }

    /// A probe that was given up has told nothing: the breaker neither closes nor waits for it.
    #[test]
    fn a_probe_that_is_given_back_leaves_the_next_call_to_be_it() {
        let mut breaker = opened();
        let Admission::Go(given_up) = breaker.admit(at(503)) else { panic!("no probe") };
        breaker.give_back(given_up);
        assert!(!breaker.is_closed());
        let Admission::Go(probe) = breaker.admit(at(504)) else { panic!("no second probe") };
        breaker.give_back(given_up);
        assert!(matches!(breaker.admit(at(505)), Admission::Wait(_)), "never two at once");
        breaker.record(probe, Outcome::Healthy, at(506));
        assert!(breaker.is_closed());
    }

    #[test]
    fn a_call_from_before_it_opened_does_not_close_it() {
        let mut breaker = Breaker::new(POLICY);
        let Admission::Go(early) = breaker.admit(at(0)) else { panic!("closed") };
        for millis in 0..4 {
            call(&mut breaker, millis, Outcome::Sick);
        }
        breaker.admit(at(503));
        breaker.record(early, Outcome::Healthy, at(504));
        assert!(!breaker.is_closed());
    }

    proptest! {
        #[test]
        fn it_lets_a_call_go_within_its_own_time_whatever_happened(
            calls in proptest::collection::vec((-2000i64..2000, any::<bool>(), any::<bool>()), 0..200)
        ) {
            let mut breaker = Breaker::new(POLICY);
            let mut now = 10_000i64;
            for (step, sick, told) in calls {
                now += step;
                if let Admission::Go(pass) = breaker.admit(at(now)) && told {
                    breaker.record(pass, if sick { Outcome::Sick } else { Outcome::Healthy }, at(now));
                }
            }
            let later = at(now + 500);
            prop_assert!(matches!(breaker.admit(later), Admission::Go(_)) || matches!(breaker.admit(at(now + 1000)), Admission::Go(_)));
        }

        #[test]
        fn there_are_never_two_probes_at_once(steps in proptest::collection::vec(0i64..200, 1..100)) {
            let mut breaker = opened();
            let (mut now, mut last) = (3i64, None::<i64>);
            for step in steps {
                now += step;
                if let Admission::Go(_) = breaker.admit(at(now)) {
                    prop_assert!(last.is_none_or(|last| now - last >= 300));
                    last = Some(now);
                }
            }
        }
    }
}
