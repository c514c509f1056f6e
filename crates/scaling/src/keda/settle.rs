//! Where the replicas really land when the triggers keep saying the same.

use super::poll::{State, poll};
use super::spec::Spec;
use super::trigger::Measured;
use crate::hpa::{self, History, Observed, Pod, Selector};
use crate::moment::Moment;

/// How often the HPA syncs, in milliseconds.
const SYNC_MILLIS: i64 = 15_000;
/// Steps after which the search ends: six hours of syncs, longer than any window or period allowed.
const STEPS_MAX: i64 = 6 * 240;

/// Where and when replicas come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landing {
    /// The replicas at rest.
    pub replicas: i32,
    /// What the triggers ask for: the largest value over its target, rounded up.
    pub asked: i32,
    /// Milliseconds until the last change; 0 if nothing changed.
    pub after_millis: i64,
}

/// Runs KEDA's loop and the HPA's from `current` replicas with unchanging `measured` values (and the
/// cron state of `now`) until nothing moves for longer than any window. Every pod is ready at once.
#[must_use]
pub fn settle(spec: &Spec, current: i32, measured: &[Measured], now: Moment) -> Landing {
    let hpa_spec = spec.hpa();
    let readings = spec.readings(measured, now);
    // When a trigger was last active; replicas that run are taken to have been wanted until now.
    let mut last_active = 0;
    let mut history = History::default();
    let mut replicas = current;
    let mut last_change = 0;
    let polls = spec.polling_seconds.saturating_mul(1000).max(1);
    let rest = quiet_millis(spec);
    let mut next_poll = 0;
    for step in 0..STEPS_MAX {
        let elapsed = step * SYNC_MILLIS;
        if elapsed.saturating_sub(last_change) > rest {
            break;
        }
        let at = now.plus_millis(elapsed);
        let before = replicas;
        if elapsed >= next_poll {
            next_poll = elapsed.saturating_add(polls);
            // The triggers are asked about one moment, so it is the memory that moves into the past.
            let ago = now.plus_millis(last_active - elapsed);
            let turn = poll(spec, State { created: ago, last_active: Some(ago) }, replicas, measured, now);
            if !turn.active.is_empty() {
                last_active = elapsed;
            }
            replicas = turn.replicas;
        }
        let observed = observed(replicas, readings.clone());
        let decision = hpa::decide(&hpa_spec, &observed, &history, at);
        history.remember(&hpa_spec, &decision.remembered, at);
        replicas = decision.replicas;
        if replicas != before {
            last_change = elapsed;
        }
    }
    Landing { replicas, asked: asked(spec, &readings), after_millis: last_change }
}

fn observed(replicas: i32, readings: Vec<hpa::Reading>) -> Observed {
    let count = usize::try_from(replicas.clamp(0, 10_000)).unwrap_or(0);
    Observed {
        spec_replicas: replicas,
        status_replicas: replicas,
        pods: vec![Pod::steady(""); count],
        readings,
        scaled_to_zero: None,
        selector: Selector::Unique,
    }
}

/// Longer than this without a change means that none will come.
fn quiet_millis(spec: &Spec) -> i64 {
    let behavior = spec.behavior.as_ref().map_or(spec.controller.downscale_window_seconds, |behavior| {
        [&behavior.up, &behavior.down]
            .map(|rules| rules.stabilization_seconds.max(rules.longest_period_seconds()))
            .into_iter()
            .max()
            .unwrap_or(0)
    });
    let longest = i64::from(behavior).max(spec.cooldown_seconds).max(spec.polling_seconds);
    longest.saturating_mul(1000).saturating_add(2 * SYNC_MILLIS)
}

fn asked(spec: &Spec, readings: &[hpa::Reading]) -> i32 {
    let mut most = 0;
    for (metric, reading) in spec.hpa().metrics.iter().zip(readings) {
        let (
            hpa::Metric::External { target: hpa::ValueTarget::AverageMilli(target), .. },
            hpa::Reading::Series(values),
        ) = (metric, reading)
        else {
            continue;
        };
        if *target > 0 {
            let total = values.iter().fold(0_i64, |sum, value| sum.saturating_add(*value));
            let whole = total.div_euclid(*target) + i64::from(total.rem_euclid(*target) != 0);
            most = most.max(whole);
        }
    }
    i32::try_from(most).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keda::{Cron, CronTrigger, MetricType, Target, Trigger, TriggerKind, Zone};

    const NOON: Moment = Moment::from_millis(1_773_054_000_000);

    fn cron(desired_replicas: i32) -> Spec {
        let kind = TriggerKind::Cron(CronTrigger {
            zone: Zone::named("UTC").expect("bundled"),
            start: Cron::parse("0 8 * * *").expect("an expression"),
            end: Cron::parse("0 18 * * *").expect("an expression"),
            desired_replicas,
        });
        Spec {
            triggers: vec![Trigger { name: None, kind, metric_type: MetricType::default() }],
            ..Spec::default()
        }
    }

    #[test]
    fn a_cron_that_asks_for_45_leaves_50_where_they_are() {
        let landing = settle(&cron(45), 50, &[Measured::Nothing], NOON);
        assert_eq!((landing.asked, landing.replicas), (45, 50));
        assert_eq!(settle(&cron(44), 50, &[Measured::Nothing], NOON).replicas, 44);
    }

    #[test]
    fn a_cron_wakes_its_target_and_stops_inside_the_tolerance() {
        // From 4 the limit without behavior doubles: 8, 16, 32; then 45 is beyond 10 %.
        assert_eq!(settle(&cron(45), 0, &[Measured::Nothing], NOON).replicas, 45);
    }

    #[test]
    fn a_backlog_that_is_gone_ends_at_zero() {
        let target = Target { target_milli: 5000, activation_milli: 0 };
        let spec = Spec {
            triggers: vec![Trigger {
                name: None,
                kind: TriggerKind::MetricsApi(target),
                metric_type: MetricType::default(),
            }],
            ..Spec::default()
        };
        assert_eq!(settle(&spec, 7, &[Measured::Value(0.0)], NOON).replicas, 0);
        let landing = settle(&spec, 0, &[Measured::Value(23.0)], NOON);
        assert_eq!((landing.asked, landing.replicas), (5, 5));
    }
}
