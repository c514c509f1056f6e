//! A histogram with exponential buckets whose samples lose half their weight every half-life.
//!
//! New samples grow instead of old ones shrinking: a sample's weight is multiplied by
//! 2^((its time − reference) / half-life), and the reference moves forward every 100 half-lives.
//! Buckets below epsilon count as empty.

use super::go_math::{exp2, pow, times_power_of_two};
use crate::moment::Moment;

/// Half-lives after which the weights are scaled back.
const DECAY_EXPONENT_MAX: i64 = 100;
/// Below this weight a bucket is empty.
const EPSILON: f64 = 0.001 * 0.1;
/// Each bucket is this much wider than the one before.
const GROWTH: f64 = 1.0 + 0.05;

/// Weights by bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    first_bucket: f64,
    weights: Vec<f64>,
    total: f64,
    lowest: usize,
    highest: usize,
    half_life_nanos: i64,
    reference: Moment,
}

impl Histogram {
    /// For CPU in cores: 10 millicores to 1000 cores.
    #[must_use]
    pub fn for_cpu(half_life_nanos: i64) -> Self {
        Histogram::new(1000.0, 0.01, half_life_nanos)
    }

    /// For memory in bytes: 10 MB to 1 TB.
    #[must_use]
    pub fn for_memory(half_life_nanos: i64) -> Self {
        Histogram::new(1e12, 1e7, half_life_nanos)
    }

    fn new(most: f64, first_bucket: f64, half_life_nanos: i64) -> Self {
        let buckets = truncated(log_growth(most * (GROWTH - 1.0) / first_bucket + 1.0).ceil()) + 1;
        Histogram {
            first_bucket,
            weights: vec![0.0; buckets],
            total: 0.0,
            lowest: buckets - 1,
            highest: 0,
            half_life_nanos: half_life_nanos.max(1),
            reference: Moment::UNSET,
        }
    }

    /// Adds `value` with `weight` at `at`.
    pub fn add(&mut self, value: f64, weight: f64, at: Moment) {
        let weight = weight * self.growth_at(at);
        let bucket = self.bucket_of(value);
        self.weights[bucket] += weight;
        self.total += weight;
        if self.weights[bucket] >= EPSILON {
            self.lowest = self.lowest.min(bucket);
            self.highest = self.highest.max(bucket);
        }
    }

    /// Takes back a sample that was added with the same arguments.
    pub fn subtract(&mut self, value: f64, weight: f64, at: Moment) {
        let mut weight = weight * self.growth_at(at);
        let bucket = self.bucket_of(value);
        if weight > self.weights[bucket] - EPSILON {
            weight = self.weights[bucket];
        }
        self.total -= weight;
        self.weights[bucket] -= weight;
        self.shrink_range();
    }

    /// The upper edge of the bucket in which the share `percentile` of all weight ends; 0 when
    /// empty.
    #[must_use]
    pub fn percentile(&self, percentile: f64) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        let threshold = percentile * self.total;
        let mut sum = 0.0;
        let mut bucket = self.lowest;
        while bucket < self.highest {
            sum += self.weights[bucket];
            if sum >= threshold {
                break;
            }
            bucket += 1;
        }
        self.start_of((bucket + 1).min(self.weights.len() - 1))
    }

    /// Whether no bucket has weight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weights[self.lowest] < EPSILON
    }

    /// Adds all samples of `other`, which has the same buckets and half-life.
    pub fn merge(&mut self, other: &Histogram) {
        let mut other = other.clone();
        if self.reference < other.reference {
            self.move_reference(other.reference);
        } else if other.reference < self.reference {
            other.move_reference(self.reference);
        }
        for (weight, more) in self.weights.iter_mut().zip(&other.weights) {
            *weight += more;
        }
        self.total += other.total;
        self.lowest = self.lowest.min(other.lowest);
        self.highest = self.highest.max(other.highest);
    }

    fn bucket_of(&self, value: f64) -> usize {
        if value.is_nan() || value < self.first_bucket {
            return 0;
        }
        let bucket = truncated(log_growth(value * (GROWTH - 1.0) / self.first_bucket + 1.0));
        bucket.min(self.weights.len() - 1)
    }

    fn start_of(&self, bucket: usize) -> f64 {
        match i32::try_from(bucket) {
            Ok(bucket) if bucket > 0 => self.first_bucket * (pow(GROWTH, bucket) - 1.0) / (GROWTH - 1.0),
            Ok(_) | Err(_) => 0.0,
        }
    }

    fn growth_at(&mut self, at: Moment) -> f64 {
        let most = self.half_life_nanos.saturating_mul(DECAY_EXPONENT_MAX) / 1_000_000;
        if at > self.reference.plus_millis(most) {
            self.move_reference(at);
        }
        exp2(float(nanos_since(at, self.reference)) / float(self.half_life_nanos))
    }

    /// Moves the reference to the multiple of the half-life nearest to `to`.
    fn move_reference(&mut self, to: Moment) {
        let to = nearest_multiple(to, self.half_life_nanos);
        let half_lives = float(nanos_since(self.reference, to)) / float(self.half_life_nanos);
        #[expect(clippy::cast_possible_truncation, reason = "saturates; far out it scales to 0 anyway")]
        let exponent = (half_lives + 0.5).floor() as i64;
        let factor = times_power_of_two(1.0, exponent);
        for weight in &mut self.weights[self.lowest.min(self.highest)..=self.highest.max(self.lowest)] {
            *weight *= factor;
        }
        self.total *= factor;
        self.shrink_range();
        self.reference = to;
    }

    fn shrink_range(&mut self) {
        let last = self.weights.len() - 1;
        while self.weights[self.lowest] < EPSILON && self.lowest < last {
            self.lowest += 1;
        }
        while self.weights[self.highest] < EPSILON && self.highest > 0 {
            self.highest -= 1;
        }
    }
}

/// Nanoseconds from `earlier` to `later`, saturating like a Go duration.
fn nanos_since(later: Moment, earlier: Moment) -> i64 {
    later.millis_since(earlier).saturating_mul(1_000_000)
}

/// `at` rounded to a multiple of `nanos` since the year 1, halves up.
fn nearest_multiple(at: Moment, nanos: i64) -> Moment {
    let since = i128::from(at.millis_since(Moment::UNSET)) * 1_000_000;
    let step = i128::from(nanos);
    let rest = since.rem_euclid(step);
    let rounded = if rest + rest < step { since - rest } else { since - rest + step };
    let millis = i64::try_from(rounded / 1_000_000).unwrap_or(i64::MAX);
    Moment::UNSET.plus_millis(millis)
}

fn log_growth(x: f64) -> f64 {
    x.ln() / GROWTH.ln()
}

#[expect(clippy::cast_precision_loss, reason = "the recommender divides durations as f64")]
fn float(nanos: i64) -> f64 {
    nanos as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to int casts saturate; callers cap the bucket"
)]
fn truncated(value: f64) -> usize {
    value as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000_000;

    fn day(n: i64) -> Moment {
        Moment::from_millis(n * 86_400_000)
    }

    #[test]
    fn a_percentile_is_the_upper_edge_of_its_bucket() {
        let mut histogram = Histogram::for_cpu(DAY);
        histogram.add(0.005, 1.0, day(20_000));
        assert!((histogram.percentile(0.5) - 0.01).abs() < 1e-12);
    }

    #[test]
    fn an_old_sample_weighs_half_after_a_half_life() {
        let mut histogram = Histogram::for_cpu(DAY);
        histogram.add(10.0, 1.0, day(20_000));
        histogram.add(0.001, 1.0, day(20_001));
        assert!(histogram.percentile(0.66) < 0.02);
        assert!(histogram.percentile(0.67) > 9.0);
    }

    #[test]
    fn a_reference_a_hundred_half_lives_back_is_moved_and_the_shares_stay() {
        let mut histogram = Histogram::for_memory(DAY);
        histogram.add(1e9, 1.0, day(20_000));
        histogram.add(2e9, 1.0, day(20_150));
        assert!(histogram.percentile(0.01) > 2e9);
        assert!(!histogram.is_empty());
    }

    #[test]
    fn subtracting_what_was_added_leaves_it_empty() {
        let mut histogram = Histogram::for_memory(DAY);
        histogram.add(1e9, 1.0, day(20_000));
        histogram.subtract(1e9, 1.0, day(20_000));
        assert!(histogram.is_empty());
        assert_eq!(histogram.percentile(0.9), 0.0);
    }

    #[test]
    fn hostile_values_do_not_panic() {
        let mut histogram = Histogram::for_memory(1);
        for value in [f64::NAN, f64::INFINITY, -1.0, f64::MAX] {
            histogram.add(value, 1.0, Moment::from_millis(i64::MAX));
            histogram.add(value, 1.0, Moment::from_millis(i64::MIN));
        }
        let _percentile = histogram.percentile(f64::NAN);
    }
}
