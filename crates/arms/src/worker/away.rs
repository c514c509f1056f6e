//! Telling people that no orchestrator can be reached: soon, and then not again and again.

use std::time::Duration;
use tokio::time::Instant;

/// An orchestrator that restarts is back by then, or another one has answered.
const AFTER: Duration = Duration::from_secs(3);
/// How often it is told while it lasts.
const EVERY: Duration = Duration::from_secs(60);

/// How long asking for steps has been in vain.
#[derive(Debug, Default)]
pub(crate) struct Away {
    since: Option<Instant>,
    told: Option<Instant>,
}

impl Away {
    /// It was in vain once more; for how long by now, when that is to be told.
    pub(crate) fn again(&mut self, now: Instant) -> Option<Duration> {
        let lasts = now - *self.since.get_or_insert(now);
        let due = lasts >= AFTER && self.told.is_none_or(|told| now - told >= EVERY);
        due.then(|| {
            self.told = Some(now);
            lasts
        })
    }

    /// Somebody has answered; whether it had been told that nobody does.
    pub(crate) fn over(&mut self) -> bool {
        let told = self.told.is_some();
        *self = Away::default();
        told
    }
}

/// Between the first two times that one refusal is told; each time twice as long, up to [`EVERY`].
const REFUSED_AGAIN: Duration = Duration::from_secs(5);

/// What asking for steps is refused with, again and again.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    told: Option<(String, Instant, Duration)>,
}

impl Refusals {
    /// It was refused with these words; whether that is to be told.
    pub(crate) fn again(&mut self, words: &str, now: Instant) -> bool {
        let (due, next) = match &self.told {
            Some((told, at, wait)) if told == words => (now - *at >= *wait, (*wait * 2).min(EVERY)),
            Some(_) | None => (true, REFUSED_AGAIN),
        };
        if due {
            self.told = Some((words.to_owned(), now, next));
        }
        due
    }

    /// It was not refused; whether it had been told that it is.
    pub(crate) fn over(&mut self) -> bool {
        self.told.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_soon_and_then_once_a_minute_until_it_is_over() {
        let begun = Instant::now();
        let mut away = Away::default();
        assert!(!away.over(), "nothing was told");
        let seconds = |away: &mut Away| -> Vec<u64> {
            let told = (0..150).filter(|at| away.again(begun + Duration::from_secs(*at)).is_some());
            told.collect()
        };
        assert_eq!(seconds(&mut away), [3, 63, 123]);
        assert!(away.over() && !away.over());
        assert_eq!(away.again(begun + Duration::from_secs(200)), None, "it begins anew");
    }

    #[test]
    fn a_refusal_is_told_once_and_then_ever_more_rarely() {
        let begun = Instant::now();
        let mut refusals = Refusals::default();
        assert!(!refusals.over(), "nothing was told");
        let told = |refusals: &mut Refusals, words: &str| -> Vec<u64> {
            (0..220).filter(|at| refusals.again(words, begun + Duration::from_secs(*at))).collect()
        };
        assert_eq!(told(&mut refusals, "a bad key"), [0, 5, 15, 35, 75, 135, 195]);
        assert!(refusals.again("another port", begun + Duration::from_secs(220)), "something else");
        assert!(refusals.over() && !refusals.over());
    }
}
