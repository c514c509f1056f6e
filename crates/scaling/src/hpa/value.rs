//! Replicas from one value for all pods: Object and External metrics.
//!
//! Upstream quirks kept: `Value` multiplies by the pods that run and are ready, deleting ones
//! included, and at zero replicas is just the ratio, without tolerance; `AverageValue` divides by
//! the replicas of the *status*; a running sum of AverageValue series that is below 0 is taken for
//! an overflow.

use super::arithmetic::{ceil_to_i32, ceil_to_i64, float, len_i64};
use super::classify::PodCounts;
use super::metric::{Calculation, MetricError, MetricOutcome, Proposal, Usage, Verdict};
use super::observe::Phase;

/// `target.value`: the ratio times the ready pods.
pub(super) fn total(calculation: &Calculation<'_>, total: i64, target: i64) -> MetricOutcome {
    if target <= 0 {
        return Err(MetricError::TargetNotPositive);
    }
    let ratio = float(total) / float(target);
    let current = calculation.observed.spec_replicas;
    let ready = ready_pods(calculation);
    let (replicas, verdict) = if current == 0 {
        (ceil_to_i32(ratio), Verdict::Scaled)
    } else if calculation.tolerances.hold(ratio) {
        (current, Verdict::WithinTolerance)
    } else if calculation.observed.pods.is_empty() {
        return Err(MetricError::NoPods);
    } else {
        (ceil_to_i32(ratio * float(len_i64(ready))), Verdict::Scaled)
    };
    let counts = PodCounts { ready, ..PodCounts::default() };
    Ok(proposal(replicas, Usage::TotalMilli(total), Some(ratio), verdict, counts))
}

/// `target.averageValue`: the total over the target, tolerance against the status' replicas.
pub(super) fn per_replica(calculation: &Calculation<'_>, total: i64, target: i64) -> MetricOutcome {
    if target <= 0 {
        return Err(MetricError::TargetNotPositive);
    }
    let current = calculation.observed.status_replicas;
    let held = float(target) * f64::from(current);
    let ratio = (held != 0.0).then(|| float(total) / held);
    let (replicas, verdict) = if ratio.is_some_and(|ratio| calculation.tolerances.hold(ratio)) {
        (current, Verdict::WithinTolerance)
    } else {
        (ceil_to_i32(float(total) / float(target)), Verdict::Scaled)
    };
    let average = if float(total) >= float(i64::MAX) {
        i64::MAX
    } else {
        ceil_to_i64(float(total) / f64::from(current))
    };
    Ok(proposal(replicas, Usage::AverageMilli(average), ratio, verdict, PodCounts::default()))
}

/// The sum of series against `value`: stops at the largest value.
pub(super) fn capped_sum(series: &[i64]) -> i64 {
    let mut sum: i64 = 0;
    for value in series {
        match sum.checked_add(*value) {
            Some(next) => sum = next,
            None if *value > 0 => return i64::MAX,
            None => sum = i64::MIN,
        }
    }
    sum
}

/// The sum of series against `averageValue`: a sum below 0 counts as overflow.
pub(super) fn positive_sum(series: &[i64]) -> i64 {
    let mut sum: i64 = 0;
    for value in series {
        sum = sum.wrapping_add(*value);
        if sum < 0 {
            return i64::MAX;
        }
    }
    sum
}

fn ready_pods(calculation: &Calculation<'_>) -> usize {
    calculation.observed.pods.iter().filter(|pod| pod.phase == Phase::Running && pod.is_ready()).count()
}

fn proposal(
    replicas: i32,
    usage: Usage,
    ratio: Option<f64>,
    verdict: Verdict,
    counts: PodCounts,
) -> Proposal {
    Proposal { replicas, usage, ratio, filled: None, verdict, counts, classes: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_sum_stops_at_the_largest_value() {
        assert_eq!(capped_sum(&[i64::MAX, 1, -5]), i64::MAX);
        assert_eq!(capped_sum(&[5, -7]), -2);
    }

    #[test]
    fn an_average_sum_below_zero_is_taken_for_an_overflow() {
        assert_eq!(positive_sum(&[i64::MAX, 1]), i64::MAX);
        assert_eq!(positive_sum(&[-1, 5]), i64::MAX);
        assert_eq!(positive_sum(&[2, 3]), 5);
    }
}
