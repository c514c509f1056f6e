//! The steps between recommendation and replicas, each alone.

use serde::Deserialize;

use super::outcome::Differences;
use super::written::{
    EventWritten, NOW, RecommendationWritten, RulesWritten, Seconds, behavior, events, recommendations,
};
use crate::hpa::{
    Behavior, Controller, Direction, Event, History, Limit, Recommendation, Remembered, RulesAsWritten, Spec,
    change_within, limit_by_behavior, limit_by_default, stabilize_by_behavior, stabilize_by_default,
};

fn spec(min_replicas: i32, max_replicas: i32, behavior: Option<Behavior>) -> Spec {
    Spec { min_replicas, max_replicas, metrics: Vec::new(), behavior, controller: Controller::default() }
}

#[derive(Debug, Deserialize)]
pub(super) struct ConvertDefaultRules {
    current_replicas: i32,
    desired_replicas: i32,
    min_replicas: i32,
    max_replicas: i32,
    upscale_limit_factor: Option<f64>,
    expected_replicas: i32,
    expected_reason: Option<String>,
}

pub(super) fn convert_default_rules(case: &ConvertDefaultRules, differences: &mut Differences) {
    let mut spec = spec(case.min_replicas, case.max_replicas, None);
    if let Some(factor) = case.upscale_limit_factor {
        spec.controller.upscale_limit_factor = factor;
    }
    let limit = limit_by_default(&spec, case.current_replicas, case.desired_replicas);
    compare_limit(limit, case.expected_replicas, case.expected_reason.as_deref(), differences);
}

fn compare_limit(limit: Limit, replicas: i32, reason: Option<&str>, differences: &mut Differences) {
    differences.compare("expected_replicas", replicas, limit.replicas);
    if let Some(reason) = reason {
        differences.compare("expected_reason", reason.to_owned(), limit.kind.reason().to_string());
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct StabilizeDefault {
    desired_replicas: i32,
    window_s: i32,
    #[serde(default)]
    recommendations: Option<Vec<RecommendationWritten>>,
    expected_replicas: i32,
    expected_log_length: Option<usize>,
}

pub(super) fn stabilize_default(case: &StabilizeDefault, differences: &mut Differences) {
    let recommendations = recommendations(case.recommendations.as_deref().unwrap_or_default());
    let stabilized = stabilize_by_default(case.desired_replicas, &recommendations, case.window_s, NOW);
    differences.compare("expected_replicas", case.expected_replicas, stabilized.replicas);
    if let Some(length) = case.expected_log_length {
        let mut spec = spec(0, i32::MAX, None);
        spec.controller.downscale_window_seconds = case.window_s;
        let mut history = History { recommendations: Some(recommendations), ..History::default() };
        let recommendation = Recommendation { replicas: case.desired_replicas, at: NOW };
        let remembered = Remembered { recommendation: Some(recommendation), ..Remembered::default() };
        history.remember(&spec, &remembered, NOW);
        differences.compare("expected_log_length", length, history.recommendations().len());
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct StabilizeBehavior {
    current_replicas: i32,
    desired_replicas: i32,
    scale_up_window_s: i32,
    scale_down_window_s: i32,
    #[serde(default)]
    recommendations: Option<Vec<RecommendationWritten>>,
    expected_replicas: i32,
}

pub(super) fn stabilize_behavior(case: &StabilizeBehavior, differences: &mut Differences) {
    let recommendations = recommendations(case.recommendations.as_deref().unwrap_or_default());
    let window =
        |seconds| Some(RulesAsWritten { stabilization_seconds: Some(seconds), ..RulesAsWritten::default() });
    let behavior = Behavior::defaulted(window(case.scale_up_window_s), window(case.scale_down_window_s), 300);
    let stabilized =
        stabilize_by_behavior(case.current_replicas, case.desired_replicas, &recommendations, &behavior, NOW);
    differences.compare("expected_replicas", case.expected_replicas, stabilized.replicas);
}

#[derive(Debug, Deserialize)]
pub(super) struct BehaviorRate {
    current_replicas: i32,
    desired_replicas: i32,
    min_replicas: i32,
    max_replicas: i32,
    scale_up: Option<RulesWritten>,
    scale_down: Option<RulesWritten>,
    scale_up_events: Option<Vec<EventWritten>>,
    scale_down_events: Option<Vec<EventWritten>>,
    expected_replicas: i32,
    expected_reason: Option<String>,
}

pub(super) fn behavior_rate(case: &BehaviorRate, differences: &mut Differences) {
    let behavior = behavior(case.scale_up.as_ref(), case.scale_down.as_ref(), 300);
    let history = History {
        recommendations: None,
        ups: events(case.scale_up_events.as_deref()),
        downs: events(case.scale_down_events.as_deref()),
    };
    let spec = spec(case.min_replicas, case.max_replicas, None);
    let limit =
        limit_by_behavior(&spec, &behavior, case.current_replicas, case.desired_replicas, &history, NOW);
    compare_limit(limit, case.expected_replicas, case.expected_reason.as_deref(), differences);
}

#[derive(Debug, Deserialize)]
pub(super) struct ScaleEvents {
    prev_events: Option<Vec<EventWritten>>,
    replica_change: i32,
    period_s: Seconds,
    rules: RulesWritten,
    expected_change_in_period: Option<i64>,
    expected_events_after: Option<Vec<EventAfter>>,
    expected_log_length: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct EventAfter {
    replica_change: i32,
    outdated: Option<bool>,
}

pub(super) fn scale_events(case: &ScaleEvents, differences: &mut Differences) {
    let ups = events(case.prev_events.as_deref());
    let period_seconds = i32::try_from(case.period_s.0 / 1000).unwrap_or(i32::MAX);
    if let Some(expected) = case.expected_change_in_period {
        differences.compare("expected_change_in_period", expected, change_within(&ups, period_seconds, NOW));
    }
    let behavior = behavior(Some(&case.rules), None, 300);
    let longest = behavior.up.longest_period_seconds();
    let mut history = History { ups, ..History::default() };
    history.remember_event(Direction::Up, Event { change: case.replica_change, at: NOW }, longest);
    if let Some(length) = case.expected_log_length {
        differences.compare("expected_log_length", length, history.ups.len());
    }
    let Some(expected) = &case.expected_events_after else { return };
    differences.compare("expected_events_after", expected.len(), history.ups.len());
    let outdated = |event: &Event| event.at < NOW.plus_seconds(-i64::from(longest));
    for (index, (expected, got)) in expected.iter().zip(&history.ups).enumerate() {
        let field = |name: &str| format!("expected_events_after[{index}].{name}");
        differences.compare(field("replica_change"), expected.replica_change, got.change);
        if let Some(expected) = expected.outdated {
            differences.compare(field("outdated"), expected, outdated(got));
        }
    }
}
