//! From usage to target, lower and upper bound.
//!
//! Percentile (the upper edge of its bucket), then margin, then a confidence factor that widens the
//! bounds while history is short, then the floor. Each step truncates to whole millicores or bytes.

use super::go_math::pow;
use super::policy::Amounts;
use super::usage::{ContainerUsage, amount, float};

/// Flags of the recommender, with its defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Share of the usage that is added.
    pub safety_margin: f64,
    /// Floor for a whole pod, in millicores.
    pub pod_min_cpu_milli: f64,
    /// Floor for a whole pod, in megabytes of 1024² bytes.
    pub pod_min_memory_mb: f64,
    /// Percentiles for CPU.
    pub cpu: Percentiles,
    /// Percentiles for memory.
    pub memory: Percentiles,
    /// History of this length counts as one in the confidence of CPU.
    pub cpu_confidence_nanos: i64,
    /// History of this length counts as one in the confidence of memory.
    pub memory_confidence_nanos: i64,
    /// Half-life of CPU samples.
    pub cpu_half_life_nanos: i64,
    /// Half-life of memory peaks.
    pub memory_half_life_nanos: i64,
    /// Length of the window that has one memory peak.
    pub memory_window_nanos: i64,
    /// An OOM raises memory by this factor,
    pub oom_bump_ratio: f64,
    /// and at least by this many bytes.
    pub oom_min_bump_bytes: i64,
}

/// Which percentiles make target and bounds, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentiles {
    /// Of the target.
    pub target: f64,
    /// Of the lower bound.
    pub lower: f64,
    /// Of the upper bound.
    pub upper: f64,
}

const DAY_NANOS: i64 = 86_400_000_000_000;

impl Default for Config {
    fn default() -> Self {
        let percentiles = Percentiles { target: 0.9, lower: 0.5, upper: 0.95 };
        Config {
            safety_margin: 0.15,
            pod_min_cpu_milli: 25.0,
            pod_min_memory_mb: 250.0,
            cpu: percentiles,
            memory: percentiles,
            cpu_confidence_nanos: DAY_NANOS,
            memory_confidence_nanos: DAY_NANOS,
            cpu_half_life_nanos: DAY_NANOS,
            memory_half_life_nanos: DAY_NANOS,
            memory_window_nanos: DAY_NANOS,
            oom_bump_ratio: 1.2,
            oom_min_bump_bytes: 100 * 1024 * 1024,
        }
    }
}

/// Target and bounds of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// What the request should be.
    pub target: i64,
    /// A request below this is too small.
    pub lower: i64,
    /// A request above this is too large.
    pub upper: i64,
}

/// A recommendation for one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recommendation {
    /// In millicores; `None` if the VPA does not control CPU.
    pub cpu_milli: Option<Bounds>,
    /// In bytes; `None` if the VPA does not control memory.
    pub memory_bytes: Option<Bounds>,
}

impl Recommendation {
    /// The targets alone.
    #[must_use]
    pub fn targets(&self) -> Amounts {
        Amounts {
            cpu_milli: self.cpu_milli.map(|bounds| bounds.target),
            memory_bytes: self.memory_bytes.map(|bounds| bounds.target),
        }
    }
}

/// What the recommender says about a container of a pod with `containers_in_pod` containers, before
/// any policy caps it. The pod's floor is shared evenly among its containers.
#[must_use]
pub fn recommend(config: &Config, usage: &ContainerUsage, containers_in_pod: u32) -> Recommendation {
    let share = 1.0 / f64::from(containers_in_pod.max(1));
    let floor = |whole: i64| amount(float(whole) * share);
    let cpu_floor = floor(amount(config.pod_min_cpu_milli * 0.001 * 1000.0));
    let memory_floor = floor(amount(config.pod_min_memory_mb * 1024.0 * 1024.0));

    let cpu = |percentile: f64| with_margin(config, amount(usage.cpu.percentile(percentile) * 1000.0));
    let memory = |percentile: f64| with_margin(config, amount(usage.memory_peaks.percentile(percentile)));
    Recommendation {
        cpu_milli: Some(bounds(config.cpu, cpu, confidence(usage, config.cpu_confidence_nanos), cpu_floor)),
        memory_bytes: Some(bounds(
            config.memory,
            memory,
            confidence(usage, config.memory_confidence_nanos),
            memory_floor,
        )),
    }
}

fn bounds(percentiles: Percentiles, estimate: impl Fn(f64) -> i64, confidence: f64, floor: i64) -> Bounds {
    Bounds {
        target: estimate(percentiles.target).max(floor),
        lower: widened(estimate(percentiles.lower), 0.001, -2, confidence).max(floor),
        upper: widened(estimate(percentiles.upper), 1.0, 1, confidence).max(floor),
    }
}

fn with_margin(config: &Config, base: i64) -> i64 {
    base.saturating_add(amount(float(base) * config.safety_margin))
}

/// `base` times (1 + multiplier / confidence)^exponent.
fn widened(base: i64, multiplier: f64, exponent: i32, confidence: f64) -> i64 {
    amount(float(base) * pow(1.0 + multiplier / confidence, exponent))
}

/// How much history there is, in units of `interval_nanos`: by time and by samples a minute,
/// whichever is less.
fn confidence(usage: &ContainerUsage, interval_nanos: i64) -> f64 {
    let (Some(first), Some(last)) = (usage.first_sample, usage.last_sample) else { return 0.0 };
    let interval = float(interval_nanos.max(1));
    let span = float(last.millis_since(first).saturating_mul(1_000_000)) / interval;
    let per_interval = interval / 60e9;
    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^53")]
    let by_samples = usage.samples as f64 / per_interval;
    span.min(by_samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;

    #[test]
    fn one_sample_gives_no_upper_bound_and_no_lower_one() {
        let config = Config::default();
        let mut usage = ContainerUsage::new(&config);
        usage.add_cpu(500, Moment::from_millis(1_700_000_000_000));
        usage.add_memory(1 << 30, Moment::from_millis(1_700_000_000_000));
        let recommendation = recommend(&config, &usage, 1);
        let cpu = recommendation.cpu_milli.expect("CPU is estimated");
        assert_eq!((cpu.lower, cpu.upper), (25, 100_000_000_000_000));
    }

    #[test]
    fn without_usage_the_floor_is_recommended_and_shared_by_the_containers() {
        let config = Config::default();
        let recommendation = recommend(&config, &ContainerUsage::new(&config), 2);
        assert_eq!(
            recommendation.targets(),
            Amounts { cpu_milli: Some(12), memory_bytes: Some(125 * 1024 * 1024) }
        );
    }
}
