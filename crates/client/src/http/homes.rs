//! Where the steps at hand are leased, by their tokens.
//!
//! Promises: a step that is heard of keeps its place, however many others were never heard of again.

use octollm_access::StepToken;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Beyond so many steps those go that were not heard of for a while.
const HOMES_MAX: usize = 4096;
/// A step that is being done is beaten more often than this.
const HEARD_WITHIN: Duration = Duration::from_secs(60);

struct Home {
    at: usize,
    heard: Instant,
}

/// The steps at hand and where to report on them, as a place in the list of orchestrators.
#[derive(Default)]
pub(super) struct Homes(Mutex<HashMap<String, Home>>);

impl Homes {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Home>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, token: &StepToken) -> Option<usize> {
        self.lock().get(token.reveal()).map(|home| home.at)
    }

    /// These steps were leased at `at`.
    pub(super) fn settle<'t>(
        &self,
        tokens: impl IntoIterator<Item = &'t StepToken>,
        at: usize,
        now: Instant,
    ) {
        let mut homes = self.lock();
        homes.extend(tokens.into_iter().map(|token| (token.reveal().to_owned(), Home { at, heard: now })));
        if homes.len() > HOMES_MAX {
            homes.retain(|_, home| now.saturating_duration_since(home.heard) < HEARD_WITHIN);
        }
    }

    /// The step is reported on at `at` from now on, if it is still at hand.
    pub(super) fn heard(&self, token: &StepToken, at: usize, now: Instant) {
        if let Some(home) = self.lock().get_mut(token.reveal()) {
            *home = Home { at, heard: now };
        }
    }

    /// Nothing more is to be said of the step.
    pub(super) fn leave(&self, token: &StepToken) {
        self.lock().remove(token.reveal());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: usize) -> StepToken {
        StepToken::from_presented(&number.to_string())
    }

    /// P1: steps that end without a word push out none that are alive.
    #[test]
    fn a_step_that_is_heard_of_outlives_many_that_are_not() {
        let (homes, begun) = (Homes::default(), Instant::now());
        homes.settle([&token(0)], 1, begun);
        let dead: Vec<StepToken> = (1..=HOMES_MAX).map(token).collect();
        homes.settle(&dead[..HOMES_MAX - 1], 2, begun);
        let later = begun + HEARD_WITHIN;
        homes.heard(&token(0), 1, later);
        homes.settle(&dead[HOMES_MAX - 1..], 2, later);
        assert_eq!((homes.of(&token(0)), homes.of(&dead[0])), (Some(1), None));
        assert_eq!(homes.lock().len(), 2);
    }

    #[test]
    fn a_step_that_is_left_stays_left() {
        let homes = Homes::default();
        homes.settle([&token(0)], 1, Instant::now());
        homes.leave(&token(0));
        homes.heard(&token(0), 2, Instant::now());
        assert_eq!(homes.of(&token(0)), None, "a late answer to a heartbeat brings it not back");
    }
}
