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
}
