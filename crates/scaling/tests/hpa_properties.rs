//! Laws of the HPA engine that hold for any spec, observation and history.

use std::collections::BTreeSet;

use octollm_scaling::hpa::{
    Behavior, ConditionStatus, Controller, Decision, Direction, Event, Gates, History, Metric, Observed,
    Path, Phase, Pod, Policy, PolicyKind, Reading, ReadingError, ReadyCondition, Recommendation, Request,
    Resource, ResourceTarget, Rules, Sample, SelectPolicy, Selector, Spec, Tolerance, ValueTarget, decide,
    next_change,
};
use octollm_scaling::moment::Moment;
use proptest::collection::vec;
use proptest::prelude::*;

const NOW: Moment = Moment::from_millis(1_700_000_000_000);

fn ago(millis: i64) -> Moment {
    NOW.plus_millis(-millis)
}

/// Numbers that matter: small ones, and those at the edge of what fits.
fn milli() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0..5_000_i64, 1 => Just(i64::MAX), 1 => any::<i64>()]
}

fn resource_target() -> impl Strategy<Value = ResourceTarget> {
    prop_oneof![
        (1..200).prop_map(ResourceTarget::Utilization),
        milli().prop_map(ResourceTarget::AverageMilli),
        Just(ResourceTarget::Unset),
    ]
}

fn value_target() -> impl Strategy<Value = ValueTarget> {
    prop_oneof![
        milli().prop_map(ValueTarget::Milli),
        milli().prop_map(ValueTarget::AverageMilli),
        Just(ValueTarget::Unset),
    ]
}

fn metric() -> impl Strategy<Value = Metric> {
    let resource = prop_oneof![Just(Resource::Cpu), Just(Resource::Memory)];
    prop_oneof![
        3 => (resource.clone(), resource_target()).prop_map(|(resource, target)| Metric::Resource { resource, target }),
        1 => (resource, resource_target()).prop_map(|(resource, target)| {
            Metric::ContainerResource { container: "main".into(), resource, target }
        }),
        2 => milli().prop_map(|average_milli| Metric::Pods { name: "p".into(), average_milli }),
        2 => value_target()
            .prop_map(|target| Metric::Object { name: "o".into(), described: "Ingress/front".into(), target }),
        3 => value_target().prop_map(|target| Metric::External { name: "e".into(), target }),
        1 => Just(Metric::Unknown { source: "CheddarCheese".into() }),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let kind = prop_oneof![Just(PolicyKind::Pods), Just(PolicyKind::Percent)];
    let value = prop_oneof![8 => 1..200, 1 => Just(i32::MAX)];
    (kind, value, 1..1800).prop_map(|(kind, value, period_seconds)| Policy { kind, value, period_seconds })
}

fn rules() -> impl Strategy<Value = Rules> {
    let select = prop_oneof![Just(SelectPolicy::Max), Just(SelectPolicy::Min), Just(SelectPolicy::Disabled)];
    let tolerance = proptest::option::of((0.0..1.0).prop_map(|t| Tolerance::new(t).expect("a fraction")));
    (0..3600, select, vec(policy(), 1..4), tolerance).prop_map(
        |(stabilization_seconds, select, policies, tolerance)| Rules {
            stabilization_seconds,
            select,
            policies,
            tolerance,
        },
    )
}

fn behavior() -> impl Strategy<Value = Behavior> {
    (rules(), rules()).prop_map(|(up, down)| Behavior { up, down })
}

fn spec() -> impl Strategy<Value = Spec> {
    let bounds = (0..20, 0..40).prop_map(|(min, more): (i32, i32)| (min, (min + more).max(1)));
    let gates = (any::<bool>(), any::<bool>());
    (bounds, vec(metric(), 0..4), proptest::option::of(behavior()), gates).prop_map(
        |((min_replicas, max_replicas), metrics, behavior, (scale_to_zero, configurable_tolerance))| Spec {
            min_replicas,
            max_replicas,
            metrics,
            behavior,
            controller: Controller {
                gates: Gates { scale_to_zero, configurable_tolerance },
                ..Controller::default()
            },
        },
    )
}

fn status() -> impl Strategy<Value = ConditionStatus> {
    prop_oneof![
        3 => Just(ConditionStatus::True),
        1 => Just(ConditionStatus::False),
        1 => Just(ConditionStatus::Unknown),
    ]
}

fn pod() -> impl Strategy<Value = Pod> {
    let phase = prop_oneof![
        6 => Just(Phase::Running),
        1 => Just(Phase::Pending),
        1 => Just(Phase::Failed),
        1 => Just(Phase::Succeeded),
    ];
    let age = 0..900_000_i64;
    (
        phase,
        proptest::bool::weighted(0.1),
        proptest::option::of((status(), age.clone())),
        proptest::option::of(age),
    )
        .prop_map(|(phase, deleting, ready, started)| Pod {
            name: "pod".into(),
            phase,
            deleting,
            ready: ready.map(|(status, since)| ReadyCondition { status, since: ago(since) }),
            started: started.map(ago),
        })
}

fn sample() -> impl Strategy<Value = Option<Sample>> {
    let some = (milli(), 0..120_000_i64).prop_map(|(milli, age)| Sample {
        milli,
        at: ago(age),
        window_millis: 30_000,
    });
    proptest::option::weighted(0.85, some)
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        40 => (1..2_000_i64).prop_map(Request::Milli),
        2 => milli().prop_map(Request::Milli),
        1 => Just(Request::MissingIn("main".into())),
    ]
}

fn reading(per_pod: bool, pods: usize) -> BoxedStrategy<Reading> {
    let failed = Just(Reading::Failed(ReadingError::NoMetrics)).boxed();
    if per_pod {
        let read = (vec(sample(), pods), vec(request(), pods), vec(milli(), 0..2))
            .prop_map(|(samples, requests, strays)| Reading::PerPod { samples, requests, strays });
        prop_oneof![8 => read, 1 => failed].boxed()
    } else {
        let read = vec(milli(), 1..3).prop_map(Reading::Series);
        prop_oneof![8 => read, 1 => failed].boxed()
    }
}

fn observed(spec: &Spec) -> BoxedStrategy<Observed> {
    let per_pod: Vec<bool> = spec
        .metrics
        .iter()
        .map(|metric| {
            matches!(metric, Metric::Resource { .. } | Metric::ContainerResource { .. } | Metric::Pods { .. })
        })
        .collect();
    (0..8_usize, 0..50, 0..50, proptest::option::of(status()), proptest::bool::weighted(0.05))
        .prop_flat_map(move |(count, spec_replicas, status_replicas, scaled_to_zero, ambiguous)| {
            let readings: Vec<BoxedStrategy<Reading>> = per_pod.iter().map(|p| reading(*p, count)).collect();
            (vec(pod(), count), readings).prop_map(move |(pods, readings)| Observed {
                spec_replicas,
                status_replicas,
                pods,
                readings,
                scaled_to_zero,
                selector: if ambiguous {
                    Selector::Ambiguous { hpas: vec!["a".into(), "b".into()] }
                } else {
                    Selector::Unique
                },
            })
        })
        .boxed()
}

fn history() -> impl Strategy<Value = History> {
    let event = (1..20, 0..2_000_000_i64).prop_map(|(change, age)| Event { change, at: ago(age) });
    let recommendation =
        (0..60, 0..4_000_000_i64).prop_map(|(replicas, age)| Recommendation { replicas, at: ago(age) });
    (proptest::option::weighted(0.9, vec(recommendation, 0..6)), vec(event.clone(), 0..5), vec(event, 0..5))
        .prop_map(|(recommendations, ups, downs)| History { recommendations, ups, downs })
}

fn sync() -> impl Strategy<Value = (Spec, Observed, History)> {
    spec().prop_flat_map(|spec| {
        let observed = observed(&spec);
        (Just(spec), observed, history())
    })
}

/// What the rate policies allow, written down once more in the plainest way.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "small figures; the engine's own conversions are what is tested"
)]
fn allowed(direction: Direction, rules: &Rules, current: i32, history: &History) -> i64 {
    let within = |events: &[Event], policy: &Policy| -> i64 {
        let young =
            events.iter().filter(|e| NOW.millis_since(e.at) < i64::from(policy.period_seconds) * 1000);
        young.map(|e| i64::from(e.change)).sum()
    };
    let mut ends: Vec<i64> = Vec::new();
    for policy in &rules.policies {
        let base = i64::from(current) - within(&history.ups, policy) + within(&history.downs, policy);
        let value = i64::from(policy.value);
        ends.push(match (direction, policy.kind) {
            (Direction::Up, PolicyKind::Pods) => base + value,
            (Direction::Down, PolicyKind::Pods) => base - value,
            (Direction::Up, PolicyKind::Percent) => {
                (base as f64 * (1.0 + value as f64 / 100.0)).ceil() as i64
            }
            (Direction::Down, PolicyKind::Percent) => {
                (base as f64 * (1.0 - value as f64 / 100.0)).trunc() as i64
            }
        });
    }
    let largest_change = rules.select == SelectPolicy::Max;
    let end = match (rules.select, direction, largest_change) {
        (SelectPolicy::Disabled, _, _) => return i64::from(current),
        (_, Direction::Up, true) | (_, Direction::Down, false) => ends.iter().max(),
        (_, Direction::Up, false) | (_, Direction::Down, true) => ends.iter().min(),
    };
    *end.expect("at least one policy")
}

fn permuted<T: Clone>(items: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|index| items[*index].clone()).collect()
}

fn order(length: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..length).collect();
    let mut state = seed | 1;
    for index in (1..length).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        order.swap(index, (state >> 33) as usize % (index + 1));
    }
    order
}

fn permute_pods(observed: &Observed, order: &[usize]) -> Observed {
    let readings = observed.readings.iter().map(|reading| match reading {
        Reading::PerPod { samples, requests, strays } => Reading::PerPod {
            samples: permuted(samples, order),
            requests: permuted(requests, order),
            strays: strays.iter().rev().copied().collect(),
        },
        other => other.clone(),
    });
    Observed { pods: permuted(&observed.pods, order), readings: readings.collect(), ..observed.clone() }
}

/// A decision without the places of pods.
fn without_places(mut decision: Decision) -> Decision {
    for outcome in decision.metrics.iter_mut().flatten() {
        outcome.classes.clear();
    }
    decision
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn replicas_stay_within_the_bounds_unless_the_hpa_is_off((spec, observed, history) in sync()) {
        let decision = decide(&spec, &observed, &history, NOW);
        let within = (spec.min_replicas..=spec.max_replicas).contains(&decision.replicas);
        let asleep = observed.spec_replicas == 0 && decision.replicas == 0;
        prop_assert!(within || asleep, "{} of {:?}", decision.replicas, decision.path);
    }

    #[test]
    fn no_step_passes_the_rate_of_the_remembered_events(
        (mut spec, observed, history) in sync(), behavior in behavior(),
    ) {
        spec.behavior = Some(behavior.clone());
        let decision = decide(&spec, &observed, &history, NOW);
        if let Path::Computed { raised_to_min: false, .. } = decision.path {
            let current = observed.spec_replicas;
            let to = i64::from(decision.replicas);
            let up = allowed(Direction::Up, &behavior.up, current, &history).max(i64::from(current));
            let down = allowed(Direction::Down, &behavior.down, current, &history).min(i64::from(current));
            prop_assert!(to <= up && to >= down, "{down} <= {to} <= {up} from {current}");
        }
    }

    #[test]
    fn every_decision_has_its_reasons((spec, observed, history) in sync()) {
        let decision = decide(&spec, &observed, &history, NOW);
        prop_assert!(decision.conditions.iter().count() > 0);
        prop_assert_eq!(decision.rescale.is_some(), decision.replicas != observed.spec_replicas);
        if decision.rescale.is_none() {
            prop_assert!(decision.conditions.scaling_active.is_some());
        }
        if let Path::Computed { .. } = decision.path {
            prop_assert!(decision.conditions.scaling_limited.is_some());
        }
        for (metric, outcome) in spec.metrics.iter().zip(&decision.metrics) {
            if let Err(error) = outcome {
                prop_assert!(!error.message(metric).is_empty());
            }
        }
    }

    #[test]
    fn the_order_of_pods_does_not_matter((spec, observed, history) in sync(), seed in any::<u64>()) {
        let other = permute_pods(&observed, &order(observed.pods.len(), seed));
        prop_assert_eq!(
            without_places(decide(&spec, &observed, &history, NOW)),
            without_places(decide(&spec, &other, &history, NOW))
        );
    }

    #[test]
    fn the_order_of_metrics_does_not_change_the_replicas(
        (spec, observed, history) in sync(), seed in any::<u64>(),
    ) {
        let order = order(spec.metrics.len(), seed);
        let other_spec = Spec { metrics: permuted(&spec.metrics, &order), ..spec.clone() };
        let other = Observed { readings: permuted(&observed.readings, &order), ..observed.clone() };
        prop_assert_eq!(
            decide(&spec, &observed, &history, NOW).replicas,
            decide(&other_spec, &other, &history, NOW).replicas
        );
    }

    #[test]
    fn the_same_question_gets_the_same_answer((spec, observed, history) in sync()) {
        let first = decide(&spec, &observed, &history, NOW);
        let between = decide(&spec, &observed, &History::default(), Moment::from_millis(5));
        prop_assert_eq!(&first, &decide(&spec, &observed, &history, NOW));
        drop(between);
    }

    #[test]
    fn only_ages_count_and_not_the_date((spec, observed, history) in sync(), shift in -1_000_000_000_i64..1_000_000_000) {
        let moved = |at: &Moment| at.plus_millis(shift);
        let mut other = observed.clone();
        for pod in &mut other.pods {
            pod.started = pod.started.as_ref().map(moved);
            if let Some(ready) = &mut pod.ready { ready.since = moved(&ready.since); }
        }
        for reading in &mut other.readings {
            if let Reading::PerPod { samples, .. } = reading {
                for sample in samples.iter_mut().flatten() { sample.at = moved(&sample.at); }
            }
        }
        let mut past = history.clone();
        for slot in past.recommendations.iter_mut().flatten() { slot.at = moved(&slot.at); }
        for event in past.ups.iter_mut().chain(&mut past.downs) { event.at = moved(&event.at); }
        let (first, second) =
            (decide(&spec, &observed, &history, NOW), decide(&spec, &other, &past, NOW.plus_millis(shift)));
        prop_assert_eq!(first.replicas, second.replicas);
        prop_assert_eq!(first.conditions, second.conditions);
    }

    #[test]
    fn the_next_change_is_the_first_sync_that_changes((spec, observed, history) in sync()) {
        let decision = decide(&spec, &observed, &history, NOW);
        if let Some(next) = next_change(&spec, &decision, &history, NOW) {
            prop_assert!(next.at > NOW);
            prop_assert!(next.replicas != decision.replicas);
            prop_assert!((spec.min_replicas..=spec.max_replicas).contains(&next.replicas));
        }
    }

    #[test]
    fn numbers_at_the_edge_neither_panic_nor_escape_the_bounds(
        (mut spec, mut observed, mut history) in sync(),
        replicas in vec(prop_oneof![Just(i32::MAX), Just(i32::MIN), any::<i32>()], 5),
        times in vec(prop_oneof![Just(i64::MAX), Just(i64::MIN), any::<i64>()], 5),
    ) {
        observed.spec_replicas = replicas[0];
        observed.status_replicas = replicas[1];
        spec.max_replicas = replicas[2].max(1);
        spec.min_replicas = replicas[3].clamp(0, spec.max_replicas);
        spec.controller.upscale_limit_factor = f64::from(replicas[4]);
        spec.controller.downscale_window_seconds = replicas[4];
        spec.controller.cpu_initialization_seconds = times[0];
        spec.controller.initial_readiness_delay_seconds = times[1];
        history.ups.push(Event { change: replicas[4], at: Moment::from_millis(times[2]) });
        history.downs.push(Event { change: replicas[4], at: Moment::from_millis(times[3]) });
        if let Some(behavior) = &mut spec.behavior {
            behavior.up.policies.push(Policy { kind: PolicyKind::Percent, value: replicas[0], period_seconds: replicas[1] });
            behavior.down.stabilization_seconds = replicas[2];
        }
        let now = Moment::from_millis(times[4]);
        let decision = decide(&spec, &observed, &history, now);
        let _next = next_change(&spec, &decision, &history, now);
        history.remember(&spec, &decision.remembered, now);
        let asleep = observed.spec_replicas == 0;
        prop_assert!(
            asleep || (spec.min_replicas..=spec.max_replicas).contains(&decision.replicas),
            "{} of {decision:?}",
            decision.replicas
        );
    }
}

/// Slots are reused: a month of syncs leaves as many as the windows and periods can hold.
#[test]
fn memory_stays_flat_over_a_month_of_syncs() {
    let policy = Policy { kind: PolicyKind::Pods, value: 1, period_seconds: 60 };
    let rules = Rules {
        stabilization_seconds: 300,
        select: SelectPolicy::Max,
        policies: vec![policy],
        tolerance: None,
    };
    let spec = Spec {
        min_replicas: 1,
        max_replicas: 50,
        metrics: vec![Metric::External { name: "e".into(), target: ValueTarget::AverageMilli(1000) }],
        behavior: Some(Behavior { up: rules.clone(), down: rules }),
        controller: Controller::default(),
    };
    let mut history = History::default();
    let mut replicas = 1;
    let mut sizes = BTreeSet::new();
    for sync in 0..30 * 5_760_i64 {
        let now = NOW.plus_seconds(sync * 15);
        let load = (sync / 40 % 50) * 1000;
        let observed = Observed {
            spec_replicas: replicas,
            status_replicas: replicas,
            pods: Vec::new(),
            readings: vec![Reading::Series(vec![load])],
            scaled_to_zero: None,
            selector: Selector::Unique,
        };
        let decision = decide(&spec, &observed, &history, now);
        history.remember(&spec, &decision.remembered, now);
        replicas = decision.replicas;
        if sync > 5_760 {
            sizes.insert((history.recommendations().len(), history.ups.len(), history.downs.len()));
        }
    }
    let most = sizes.iter().map(|(a, b, c)| a + b + c).max().expect("syncs");
    assert!(sizes.len() == 1 && most < 60, "{sizes:?}");
}
