//! What common configurations really do, as figures.

use octollm_scaling::hpa::{
    Behavior, Controller, History, Metric, Observed, Pod, Policy, PolicyKind, Reading, ReadingError,
    Recommendation, Remembered, Request, Resource, ResourceTarget, Rules, Sample, SelectPolicy, Selector,
    Spec, ValueTarget, bound, decide,
};
use octollm_scaling::moment::Moment;

const START: Moment = Moment::from_millis(1_700_000_000_000);

fn spec(min_replicas: i32, max_replicas: i32, metrics: Vec<Metric>, behavior: Option<Behavior>) -> Spec {
    Spec { min_replicas, max_replicas, metrics, behavior, controller: Controller::default() }
}

fn observed(replicas: i32, readings: Vec<Reading>) -> Observed {
    Observed {
        spec_replicas: replicas,
        status_replicas: replicas,
        pods: (0..replicas).map(|index| Pod::steady(format!("pod-{index}"))).collect(),
        readings,
        scaled_to_zero: None,
        selector: Selector::Unique,
    }
}

fn per_pod(replicas: i32, milli: i64, request_milli: i64) -> Reading {
    let count = usize::try_from(replicas).expect("not negative");
    Reading::PerPod {
        samples: vec![Some(Sample { milli, at: START, window_millis: 15_000 }); count],
        requests: vec![Request::Milli(request_milli); count],
        strays: Vec::new(),
    }
}

fn windows(up_seconds: i32, down_seconds: i32) -> Behavior {
    let policy = |kind, value| Policy { kind, value, period_seconds: 60 };
    let rules = |stabilization_seconds, select, percent, pods| Rules {
        stabilization_seconds,
        select,
        policies: vec![policy(PolicyKind::Percent, percent), policy(PolicyKind::Pods, pods)],
        tolerance: None,
    };
    Behavior {
        up: rules(up_seconds, SelectPolicy::Max, 100, 4),
        down: rules(down_seconds, SelectPolicy::Min, 50, 2),
    }
}

/// Hundredths of a replica, on average over 160 syncs, when every 13th sync asks for 10 and the
/// others for 2.
fn average_under_spikes(behavior: Behavior) -> (i32, i32) {
    let spec = spec(2, 10, Vec::new(), Some(behavior));
    let initial = Recommendation { replicas: 2, at: START };
    let mut history = History { recommendations: Some(vec![initial]), ..History::default() };
    let (mut replicas, mut sum, mut asked) = (2, 0, 0);
    for sync in 0..160 {
        let now = START.plus_seconds(sync * 15);
        let recommendation = if sync % 13 == 0 { 10 } else { 2 };
        let to = bound(&spec, replicas, recommendation, &history, now).replicas();
        let remembered = Remembered {
            initial: None,
            recommendation: Some(Recommendation { replicas: recommendation, at: now }),
            change: (to != replicas).then_some((replicas, to)),
        };
        history.remember(&spec, &remembered, now);
        replicas = to;
        sum += to;
        asked += recommendation;
    }
    (sum * 100 / 160, asked * 100 / 160)
}

#[test]
fn one_short_spike_every_three_minutes_keeps_nearly_ten_replicas_where_under_three_are_needed() {
    assert_eq!(average_under_spikes(windows(0, 300)), (967, 265));
}

#[test]
fn a_window_of_sixty_seconds_upward_ignores_the_same_spikes_altogether() {
    assert_eq!(average_under_spikes(windows(60, 600)), (200, 265));
}

#[test]
fn a_metric_that_nothing_provides_lets_cpu_scale_up_and_never_down() {
    let metrics = vec![
        Metric::Resource { resource: Resource::Cpu, target: ResourceTarget::Utilization(70) },
        Metric::Pods { name: "no_rule".into(), average_milli: 3000 },
    ];
    let spec = spec(1, 10, metrics, None);
    let at = |cpu_percent: i64| {
        let readings = vec![per_pod(5, cpu_percent * 10, 1000), Reading::Failed(ReadingError::NoMetrics)];
        decide(&spec, &observed(5, readings), &History::default(), START).replicas
    };
    assert_eq!((at(24), at(69), at(95)), (5, 5, 7));
}

/// Every pod exports the whole backlog, so the sum over pods grows with the pods.
#[test]
fn a_global_gauge_exported_by_every_pod_climbs_to_the_maximum_by_itself() {
    let metric = Metric::Pods { name: "queue_depth".into(), average_milli: 10_000 };
    let spec = spec(2, 10, vec![metric], None);
    let (mut replicas, mut history) = (2, History::default());
    for sync in 0..20 {
        let now = START.plus_seconds(sync * 15);
        let decision = decide(&spec, &observed(replicas, vec![per_pod(replicas, 12_000, 0)]), &history, now);
        history.remember(&spec, &decision.remembered, now);
        replicas = decision.replicas;
    }
    assert_eq!(replicas, 10);
    // The same backlog as an external metric needs two.
    let metric = Metric::External { name: "queue_depth".into(), target: ValueTarget::AverageMilli(10_000) };
    let spec = self::spec(2, 10, vec![metric], None);
    let external = observed(2, vec![Reading::Series(vec![12_000])]);
    assert_eq!(decide(&spec, &external, &History::default(), START).replicas, 2);
}

#[test]
fn truncation_decides_at_the_edge_of_the_tolerance() {
    let metric = Metric::Resource { resource: Resource::Cpu, target: ResourceTarget::Utilization(50) };
    let spec = spec(1, 20, vec![metric], None);
    let at = |milli| {
        let sync = observed(10, vec![per_pod(10, milli, 1000)]);
        decide(&spec, &sync, &History { recommendations: Some(Vec::new()), ..History::default() }, START)
            .replicas
    };
    // 55.9 % counts as 55 %, which is 1.1 of the target and stays; so does 45 %, 0.9 of it.
    assert_eq!((at(559), at(560), at(450), at(449)), (10, 12, 10, 9));
}

#[test]
fn two_hpas_on_the_same_pods_both_stand_still() {
    let metric = Metric::Resource { resource: Resource::Cpu, target: ResourceTarget::Utilization(50) };
    let spec = spec(1, 20, vec![metric], None);
    let mut sync = observed(4, vec![per_pod(4, 900, 1000)]);
    sync.selector = Selector::Ambiguous { hpas: vec!["a".into(), "b".into()] };
    let decision = decide(&spec, &sync, &History::default(), START);
    assert_eq!(decision.replicas, 4);
    let active = decision.conditions.scaling_active.expect("set");
    assert_eq!(active.reason.to_string(), "AmbiguousSelector");
}
