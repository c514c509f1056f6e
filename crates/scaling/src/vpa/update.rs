//! What the updater does to a running pod, and why it leaves one alone.

use super::policy::{Amounts, Spec, UpdateMode};
use super::recommend::{Bounds, Recommendation};
use crate::moment::Moment;

/// Flags of the updater, with its defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Updater {
    /// A pod whose requests lie within the bounds is left alone until it is this old.
    pub lifetime_threshold_millis: i64,
    /// After it, a change of at least this share of the requests is made.
    pub min_change: f64,
    /// At most this share of the pods may be away at a time.
    pub eviction_tolerance: f64,
}

impl Default for Updater {
    fn default() -> Self {
        Updater { lifetime_threshold_millis: 12 * 3600 * 1000, min_change: 0.1, eviction_tolerance: 0.5 }
    }
}

/// A running pod as the updater sees it; amounts are those of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LivePod {
    /// What the container requests.
    pub requests: Amounts,
    /// When the pod started.
    pub started: Moment,
    /// The container was killed for want of memory within ten minutes of its start.
    pub quick_oom: bool,
    /// How many replicas the target runs.
    pub live_replicas: i32,
}

/// Why the updater leaves a pod alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUpdated {
    /// The mode changes no running pods.
    #[error("the update mode changes no running pods")]
    Mode,
    /// The target has fewer replicas than the VPA's minimum: the updater skips it for ever.
    #[error("the target runs {live} replicas, the updater acts from {least} up")]
    TooFewReplicas {
        /// Replicas that run.
        live: i32,
        /// Replicas needed.
        least: i32,
    },
    /// The requests lie within the bounds and the pod is young.
    #[error("the requests are within the bounds and the pod is younger than 12 hours")]
    Young,
    /// The requests lie within the bounds and would hardly change.
    #[error("the requests would change by less than 10 %")]
    SmallChange,
}

/// How the updater changes a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updated {
    /// It is evicted and comes back with other requests.
    Evicted,
    /// It is resized where it runs; an eviction is the fallback.
    ResizedOrEvicted,
    /// It is resized where it runs, or left as it is.
    Resized,
}

/// What the updater does to `pod` under the capped `recommendation`.
///
/// # Errors
/// Why it does nothing.
pub fn update(
    updater: &Updater,
    spec: &Spec,
    recommendation: &Recommendation,
    pod: &LivePod,
    now: Moment,
) -> Result<Updated, NotUpdated> {
    let how = match spec.update_mode {
        UpdateMode::Off | UpdateMode::Initial => return Err(NotUpdated::Mode),
        UpdateMode::Recreate | UpdateMode::Auto => Updated::Evicted,
        UpdateMode::InPlaceOrRecreate => Updated::ResizedOrEvicted,
        UpdateMode::InPlace => Updated::Resized,
    };
    if pod.live_replicas < spec.min_replicas {
        return Err(NotUpdated::TooFewReplicas { live: pod.live_replicas, least: spec.min_replicas });
    }
    let resources = [
        (pod.requests.cpu_milli, recommendation.cpu_milli),
        (pod.requests.memory_bytes, recommendation.memory_bytes),
    ];
    let outside = resources.iter().any(|(request, bounds)| is_outside(*request, *bounds));
    if !outside && !pod.quick_oom {
        if now.millis_since(pod.started) < updater.lifetime_threshold_millis {
            return Err(NotUpdated::Young);
        }
        let change: f64 = resources.iter().map(|(request, bounds)| relative_change(*request, *bounds)).sum();
        if change < updater.min_change {
            return Err(NotUpdated::SmallChange);
        }
    }
    Ok(how)
}

/// How many of `configured` pods may be evicted when `running` of them run: the tolerance rounded
/// down, or one if all run.
#[must_use]
pub fn evictable(updater: &Updater, configured: i32, running: i32) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "a share of an i32, truncated as upstream does")]
    let tolerance = (f64::from(configured) * updater.eviction_tolerance.clamp(0.0, 1.0)) as i32;
    if tolerance == 0 {
        return i32::from(running > 0 && running >= configured);
    }
    running.saturating_sub(configured.saturating_sub(tolerance)).max(0)
}

fn is_outside(request: Option<i64>, bounds: Option<Bounds>) -> bool {
    match (request, bounds) {
        (Some(request), Some(bounds)) => request < bounds.lower || request > bounds.upper,
        // A container without a request is to get one.
        (None, Some(_)) => true,
        (Some(_) | None, None) => false,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for a threshold")]
fn relative_change(request: Option<i64>, bounds: Option<Bounds>) -> f64 {
    match (request, bounds) {
        (Some(request), Some(bounds)) if request > 0 => {
            request.abs_diff(bounds.target) as f64 / request as f64
        }
        (Some(_) | None, Some(_) | None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(1_700_000_000_000);
    const CPU: Recommendation = Recommendation {
        cpu_milli: Some(Bounds { target: 500, lower: 300, upper: 900 }),
        memory_bytes: None,
    };

    fn verdict(request: i64, age_hours: i64, replicas: i32) -> Result<Updated, NotUpdated> {
        let pod = LivePod {
            requests: Amounts { cpu_milli: Some(request), memory_bytes: None },
            started: NOW.plus_seconds(-age_hours * 3600),
            quick_oom: false,
            live_replicas: replicas,
        };
        update(&Updater::default(), &Spec::default(), &CPU, &pod, NOW)
    }

    #[test]
    fn a_single_replica_is_never_updated() {
        assert_eq!(verdict(100, 100, 1), Err(NotUpdated::TooFewReplicas { live: 1, least: 2 }));
    }

    #[test]
    fn a_request_outside_the_bounds_is_changed_at_once() {
        assert_eq!(verdict(299, 0, 2), Ok(Updated::Evicted));
        assert_eq!(verdict(300, 0, 2), Err(NotUpdated::Young));
    }

    #[test]
    fn an_old_pod_is_changed_from_ten_percent_on() {
        assert_eq!(verdict(455, 12, 2), Err(NotUpdated::SmallChange));
        assert_eq!(verdict(450, 12, 2), Ok(Updated::Evicted));
    }

    #[test]
    fn half_of_the_pods_may_be_away_and_a_lone_one_only_when_it_runs() {
        let updater = Updater::default();
        assert_eq!(
            (evictable(&updater, 4, 4), evictable(&updater, 4, 3), evictable(&updater, 4, 2)),
            (2, 1, 0)
        );
        assert_eq!((evictable(&updater, 1, 1), evictable(&updater, 1, 0)), (1, 0));
    }
}
