//! Laws of KEDA's loop and of its cron expressions.

use octollm_scaling::hpa::{Behavior, RulesAsWritten};
use octollm_scaling::keda::{
    Cron, CronTrigger, Fallback, Measured, MetricType, Spec, State, Target, Trigger, TriggerKind, Zone, poll,
    settle,
};
use octollm_scaling::moment::Moment;
use proptest::collection::vec;
use proptest::prelude::*;

const YEAR_2026: i64 = 1_767_225_600;

/// A field as text and the values it stands for; `None` stands for every value.
type Field = (String, Option<Vec<i64>>);

fn field(least: i64, most: i64) -> impl Strategy<Value = Field> {
    prop_oneof![
        4 => Just(("*".to_owned(), None)),
        3 => (least..=most).prop_map(|value| (value.to_string(), Some(vec![value]))),
        2 => (least..=most, least..=most).prop_map(|(a, b)| {
            let (a, b) = (a.min(b), a.max(b));
            (format!("{a}-{b}"), Some((a..=b).collect()))
        }),
        1 => (2..=5_i64).prop_map(move |step| {
            let values = (least..=most).step_by(usize::try_from(step).expect("small"));
            (format!("*/{step}"), Some(values.collect()))
        }),
    ]
}

fn holds(field: &Field, value: i64) -> bool {
    field.1.as_ref().is_none_or(|values| values.contains(&value))
}

proptest! {
    /// In zones whose clocks never change at midnight, the next moment is simply the next minute
    /// whose wall clock matches.
    #[test]
    fn the_next_moment_is_the_next_minute_that_matches(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), weekday in field(0, 6),
        zone in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/New_York"), Just("Asia/Kolkata")],
        start in 0..365 * 86_400_i64,
    ) {
        let text = format!("{} {} {} * {}", minute.0, hour.0, day.0, weekday.0);
        let cron = Cron::parse(&text).expect("an expression");
        let named = Zone::named(zone).expect("bundled");
        let from = YEAR_2026 + start;
        let got = cron.next(&named, Moment::from_millis(from * 1000)).map(|at| at.millis() / 1000);

        let rules = jiff::tz::TimeZone::get(zone).expect("bundled");
        let both_restrict = day.1.is_some() && weekday.1.is_some();
        let matches = |at: i64| {
            let wall = rules.to_datetime(jiff::Timestamp::from_second(at).expect("in range"));
            let week = i64::from(wall.weekday().to_sunday_zero_offset());
            let (by_day, by_week) = (holds(&day, i64::from(wall.day())), holds(&weekday, week));
            let date = if both_restrict { by_day || by_week } else { by_day && by_week };
            date && holds(&hour, i64::from(wall.hour())) && holds(&minute, i64::from(wall.minute()))
        };
        let first = (from / 60 + 1) * 60;
        let wanted = (0..70 * 1440).map(|minutes| first + minutes * 60).find(|at| matches(*at));
        if let Some(wanted) = wanted {
            prop_assert_eq!(got, Some(wanted), "{} in {} after {}", text, zone, from);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[0-9*/,a-zA-Z? -]{0,30}") {
        if let Ok(cron) = Cron::parse(&text) {
            prop_assert_eq!(Cron::parse(&cron.to_string()), Ok(cron));
        }
    }

    #[test]
    fn replicas_settle_within_the_bounds(
        value in prop_oneof![0.0..1e6, Just(f64::NAN), Just(f64::INFINITY), Just(-5.0)],
        target_milli in prop_oneof![1..100_000_i64, Just(0), Just(i64::MAX)],
        activation_milli in 0..100_000_i64,
        min_replicas in 0..5_i32, more in 0..30, current in 0..50,
        average in any::<bool>(), behavior in any::<bool>(),
    ) {
        let max_replicas = i32::max(min_replicas + more, 1);
        let spec = Spec {
            min_replicas, max_replicas,
            behavior: behavior.then(|| Behavior::defaulted(Some(RulesAsWritten::default()), None, 300)),
            triggers: vec![Trigger {
                name: None,
                kind: TriggerKind::Prometheus(Target { target_milli, activation_milli }),
                metric_type: if average { MetricType::AverageValue } else { MetricType::Value },
            }],
            ..Spec::default()
        };
        let landing = settle(&spec, current, &[Measured::Value(value)], Moment::from_millis(YEAR_2026 * 1000));
        prop_assert!((0..=max_replicas).contains(&landing.replicas), "{landing:?}");
        prop_assert!(landing.replicas >= min_replicas, "{landing:?}");
    }

    #[test]
    fn a_poll_never_panics_and_moves_only_the_lower_end(
        current in 0..100, min_replicas in 0..5, idle in proptest::option::of(0..3),
        last in proptest::option::of(any::<i64>()), now in any::<i64>(), cooldown in any::<i64>(),
        values in vec(prop_oneof![
            any::<f64>().prop_map(Measured::Value),
            (0..9_u32).prop_map(|times| Measured::Failed { times, message: "gone".into() }),
            Just(Measured::Nothing),
        ], 0..3),
        fallback in proptest::option::of((0..5_u32, 1..9)),
    ) {
        let target = Target { target_milli: 1000, activation_milli: 0 };
        let trigger = |kind| Trigger { name: None, kind, metric_type: MetricType::default() };
        let cron = CronTrigger {
            zone: Zone::named("UTC").expect("bundled"),
            start: Cron::parse("0 8 * * *").expect("an expression"),
            end: Cron::parse("0 18 * * *").expect("an expression"),
            desired_replicas: 7,
        };
        let spec = Spec {
            min_replicas, idle_replicas: idle, cooldown_seconds: cooldown,
            fallback: fallback.map(|(failure_threshold, replicas)| Fallback { failure_threshold, replicas }),
            triggers: vec![trigger(TriggerKind::MetricsApi(target)), trigger(TriggerKind::Cron(cron))],
            ..Spec::default()
        };
        let state = State { created: Moment::from_millis(0), last_active: last.map(Moment::from_millis) };
        let polled = poll(&spec, state, current, &values, Moment::from_millis(now));
        let lower_end = [0, 1, min_replicas, idle.unwrap_or(0), fallback.map_or(0, |(_, replicas)| replicas)];
        prop_assert!(polled.replicas == current || lower_end.contains(&polled.replicas));
    }
}
