//! Many syncs in a row, from the recommendation on.

use serde::Deserialize;

use super::outcome::Differences;
use super::written::{BehaviorWritten, NOW, Seconds};
use crate::hpa::{Bounded, Controller, History, Recommendation, Remembered, Spec, bound};

#[derive(Debug, Deserialize)]
pub(super) struct Case {
    behavior_as_written: Option<BehaviorWritten>,
    start_replicas: i32,
    min_replicas: i32,
    max_replicas: i32,
    raw_desired: Vec<i32>,
    sync_period_s: Seconds,
    reconcile_latency_s: Seconds,
    upscale_limit_factor: Option<f64>,
    expected_replicas: Vec<i32>,
    expected_able_to_scale_reason: Vec<String>,
    expected_scaling_limited_reason: Vec<String>,
}

pub(super) fn check(case: &Case, differences: &mut Differences) {
    let controller = Controller {
        upscale_limit_factor: case.upscale_limit_factor.unwrap_or(2.0),
        ..Controller::default()
    };
    let spec = Spec {
        min_replicas: case.min_replicas,
        max_replicas: case.max_replicas,
        metrics: Vec::new(),
        behavior: case
            .behavior_as_written
            .as_ref()
            .map(|written| written.defaulted(controller.downscale_window_seconds)),
        controller,
    };
    for (field, length) in [
        ("expected_replicas", case.expected_replicas.len()),
        ("expected_able_to_scale_reason", case.expected_able_to_scale_reason.len()),
        ("expected_scaling_limited_reason", case.expected_scaling_limited_reason.len()),
    ] {
        differences.compare(format!("{field}.length"), length, case.raw_desired.len());
    }
    let initial = Recommendation { replicas: case.start_replicas, at: NOW };
    let mut history = History { recommendations: Some(vec![initial]), ..History::default() };
    let mut replicas = case.start_replicas;
    let mut now = NOW;
    for (sync, recommendation) in case.raw_desired.iter().enumerate() {
        let bounded = bound(&spec, replicas, *recommendation, &history, now);
        let to = bounded.replicas();
        let stored = now.plus_millis(case.reconcile_latency_s.0);
        let remembered = Remembered {
            initial: None,
            recommendation: Some(Recommendation { replicas: *recommendation, at: now }),
            change: (to != replicas).then_some((replicas, to)),
        };
        history.remember(&spec, &remembered, stored);
        replicas = to;
        now = stored.plus_millis(case.sync_period_s.0);
        compare(case, sync, &bounded, differences);
    }
}

fn compare(case: &Case, sync: usize, bounded: &Bounded, differences: &mut Differences) {
    let mut text = |name: &str, expected: &[String], got: String| {
        if let Some(expected) = expected.get(sync) {
            differences.compare(format!("{name}[{sync}]"), expected.clone(), got);
        }
    };
    let (able, limited) = (bounded.stabilized.steadiness.reason(), bounded.limit.kind.reason());
    text("expected_able_to_scale_reason", &case.expected_able_to_scale_reason, able.to_string());
    text("expected_scaling_limited_reason", &case.expected_scaling_limited_reason, limited.to_string());
    if let Some(expected) = case.expected_replicas.get(sync) {
        differences.compare(format!("expected_replicas[{sync}]"), *expected, bounded.replicas());
    }
}
