//! What the controller remembers between syncs: recommendations and scale events.
//!
//! Slots are reused. A recommendation overwrites the last one that no window reaches any more; an
//! event overwrites the last one of its direction that is strictly older than the longest period of
//! that direction's policies. The limits of *both* directions read both lists, each with its own
//! periods, so a slot can be lost while the other direction still looks at it. Upstream does the
//! same, and the slots keep the memory flat.

use super::behavior::Direction;
use super::spec::Spec;
use crate::moment::Moment;

/// The memory of one HPA. Empty for an HPA that the controller has not seen yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// Raw recommendations, in slots. `None`: no sync has happened.
    pub recommendations: Option<Vec<Recommendation>>,
    /// Additions of replicas, in slots. Kept with behavior only.
    pub ups: Vec<Event>,
    /// Removals of replicas, in slots. Kept with behavior only.
    pub downs: Vec<Event>,
}

/// A recommendation before stabilization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recommendation {
    /// Replicas recommended.
    pub replicas: i32,
    /// When.
    pub at: Moment,
}

/// A change of replicas that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// How many replicas were added or removed; positive.
    pub change: i32,
    /// When.
    pub at: Moment,
}

/// What one sync adds to the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remembered {
    /// The first sync of all remembers the current replicas.
    pub initial: Option<Recommendation>,
    /// The raw recommendation of this sync.
    pub recommendation: Option<Recommendation>,
    /// The replicas before and after, if they change.
    pub change: Option<(i32, i32)>,
}

impl History {
    /// The recommendations, oldest slot first; empty before the first sync.
    #[must_use]
    pub fn recommendations(&self) -> &[Recommendation] {
        self.recommendations.as_deref().unwrap_or_default()
    }

    /// Adds what a sync remembered. `carried_out` is when the target was scaled: the controller
    /// stamps the event then, a few milliseconds after the decision.
    pub fn remember(&mut self, spec: &Spec, remembered: &Remembered, carried_out: Moment) {
        if let (None, Some(initial)) = (&self.recommendations, remembered.initial) {
            self.recommendations = Some(vec![initial]);
        }
        if let Some(recommendation) = remembered.recommendation {
            self.remember_recommendation(spec, recommendation);
        }
        if let (Some(behavior), Some((from, to))) = (&spec.behavior, remembered.change) {
            let direction = if to > from { Direction::Up } else { Direction::Down };
            let change = to.saturating_sub(from).saturating_abs();
            let longest = behavior.rules(direction).longest_period_seconds();
            self.remember_event(direction, Event { change, at: carried_out }, longest);
        }
    }

    fn remember_recommendation(&mut self, spec: &Spec, recommendation: Recommendation) {
        let reach_seconds =
            spec.behavior.as_ref().map_or(spec.controller.downscale_window_seconds, |behavior| {
                behavior.up.stabilization_seconds.max(behavior.down.stabilization_seconds)
            });
        let slots = self.recommendations.get_or_insert_with(Vec::new);
        let oldest = recommendation.at.plus_seconds(-i64::from(reach_seconds));
        match slots.iter().rposition(|slot| slot.at < oldest) {
            Some(slot) => slots[slot] = recommendation,
            None => slots.push(recommendation),
        }
    }

    /// Stores `event`, over the last event of its direction that is strictly older than
    /// `longest_period_seconds`, else at the end.
    pub fn remember_event(&mut self, direction: Direction, event: Event, longest_period_seconds: i32) {
        let slots = match direction {
            Direction::Up => &mut self.ups,
            Direction::Down => &mut self.downs,
        };
        let oldest = event.at.plus_seconds(-i64::from(longest_period_seconds));
        match slots.iter().rposition(|slot| slot.at < oldest) {
            Some(slot) => slots[slot] = event,
            None => slots.push(event),
        }
    }
}

/// The sum of changes strictly younger than `period_seconds`.
#[must_use]
pub fn change_within(events: &[Event], period_seconds: i32, now: Moment) -> i64 {
    let cutoff = now.plus_seconds(-i64::from(period_seconds));
    events.iter().filter(|event| event.at > cutoff).map(|event| i64::from(event.change)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(1_000_000);

    fn event(age_seconds: i64, change: i32) -> Event {
        Event { change, at: NOW.plus_seconds(-age_seconds) }
    }

    #[test]
    fn an_event_as_old_as_the_period_no_longer_counts_and_is_not_yet_overwritten() {
        assert_eq!(change_within(&[event(60, 5), event(59, 2)], 60, NOW), 2);
        let mut history = History { ups: vec![event(60, 5)], ..History::default() };
        history.remember_event(Direction::Up, event(0, 1), 60);
        assert_eq!(history.ups.len(), 2);
    }

    #[test]
    fn the_last_expired_slot_is_the_one_that_is_reused() {
        let mut history =
            History { downs: vec![event(61, 1), event(70, 2), event(5, 3)], ..History::default() };
        history.remember_event(Direction::Down, event(0, 9), 60);
        assert_eq!(history.downs.iter().map(|e| e.change).collect::<Vec<_>>(), [1, 9, 3]);
    }
}
