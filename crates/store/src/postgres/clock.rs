//! The database's clock: the one by which leases run out, however many machines ask.

use crate::{Clock, SystemClock};
use octollm_contract::Timestamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

/// Where a store takes its moments from.
#[derive(Clone)]
pub enum Moments {
    /// The database's clock, read inside each transaction after its locks are taken.
    Database,
    /// A clock of the caller's; for tests.
    Given(Arc<dyn Clock>),
}

/// An estimate of the database's clock that needs no question: this machine's clock and how far the
/// database was ahead of it when it last told its time.
///
/// What was read on its way here is a little old, so the estimate lags by a way back at most; it never
/// runs ahead of the database, so that a step which is accepted at this moment may be claimed at once.
pub struct DatabaseClock {
    moments: Moments,
    /// Milliseconds that the database is ahead.
    ahead: AtomicI64,
    /// The best estimate of this period and of the one before: the nearest to the truth is the greatest.
    period: std::sync::Mutex<Period>,
}

struct Period {
    began: Instant,
    best: i64,
    before: i64,
}

/// A clock that was set is believed after two of these.
const PERIOD: Duration = Duration::from_secs(10);

impl DatabaseClock {
    pub(super) fn new(moments: Moments) -> Self {
        let period = Period { began: Instant::now(), best: i64::MIN, before: i64::MIN };
        DatabaseClock { moments, ahead: AtomicI64::new(0), period: std::sync::Mutex::new(period) }
    }

    /// The moment of a transaction in which the database told `told`.
    pub(super) fn moment(&self, told: i64) -> Timestamp {
        match &self.moments {
            Moments::Given(clock) => clock.now(),
            Moments::Database => {
                self.learn(told);
                Timestamp::from_millis(told)
            }
        }
    }

    /// A moment of before that the database told; it says nothing of what its clock shows.
    pub(super) fn past(&self, told: i64) -> Timestamp {
        match &self.moments {
            Moments::Given(clock) => clock.now(),
            Moments::Database => Timestamp::from_millis(told),
        }
    }

    /// The database told `told` just now, or a little before.
    pub(super) fn learn(&self, told: i64) {
        let ahead = told - SystemClock.now().as_millis();
        let mut period = self.period.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if period.began.elapsed() > PERIOD {
            *period = Period { began: Instant::now(), best: i64::MIN, before: period.best };
        }
        period.best = period.best.max(ahead);
        self.ahead.store(period.best.max(period.before), Ordering::Relaxed);
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        match &self.moments {
            Moments::Given(clock) => clock.now(),
            Moments::Database => {
                Timestamp::from_millis(SystemClock.now().as_millis() + self.ahead.load(Ordering::Relaxed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_the_answer_that_came_fastest() {
        let clock = DatabaseClock::new(Moments::Database);
        let hour = 3_600_000;
        let now = SystemClock.now().as_millis();
        clock.learn(now + hour - 500);
        clock.learn(now + hour);
        clock.learn(now + hour - 900);
        let off = clock.now().as_millis() - (SystemClock.now().as_millis() + hour);
        assert!((-400..=0).contains(&off), "{off}");
    }
}
