//! What a container used: CPU samples and daily memory peaks.
//!
//! The first memory window opens at the first sample; a larger sample replaces the window's peak,
//! which is stamped at the window's end. Samples that are out of order are dropped.

use super::histogram::Histogram;
use super::recommend::Config;
use crate::moment::Moment;

/// Every CPU sample has this weight.
const CPU_SAMPLE_WEIGHT: f64 = 0.1;

/// The usage of the containers of one name, as far as a recommendation needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerUsage {
    pub(super) cpu: Histogram,
    pub(super) memory_peaks: Histogram,
    pub(super) first_sample: Option<Moment>,
    pub(super) last_sample: Option<Moment>,
    pub(super) samples: u64,
    window_millis: i64,
    window_end: Option<Moment>,
    last_memory_sample: Option<Moment>,
    memory_peak: i64,
    oom_peak: i64,
    oom_bump_ratio: f64,
    oom_min_bump_bytes: i64,
}

/// Why an OOM event was not taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OomError {
    /// It lies before the current memory window.
    #[error("the OOM event is older than the current memory window")]
    TooOld,
}

impl ContainerUsage {
    /// No usage yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        ContainerUsage {
            cpu: Histogram::for_cpu(config.cpu_half_life_nanos),
            memory_peaks: Histogram::for_memory(config.memory_half_life_nanos),
            first_sample: None,
            last_sample: None,
            samples: 0,
            window_millis: (config.memory_window_nanos / 1_000_000).max(1),
            window_end: None,
            last_memory_sample: None,
            memory_peak: 0,
            oom_peak: 0,
            oom_bump_ratio: config.oom_bump_ratio,
            oom_min_bump_bytes: config.oom_min_bump_bytes,
        }
    }

    /// Adds a CPU sample in millicores. Returns whether it counts: a negative sample, or one not
    /// after the last, does not.
    pub fn add_cpu(&mut self, milli: i64, at: Moment) -> bool {
        if milli < 0 || self.last_sample.is_some_and(|last| at <= last) {
            return false;
        }
        self.cpu.add(float(milli) / 1000.0, CPU_SAMPLE_WEIGHT, at);
        self.first_sample.get_or_insert(at);
        self.last_sample = Some(at);
        self.samples = self.samples.saturating_add(1);
        true
    }

    /// Adds a memory sample in bytes. Returns whether it counts: a negative sample, or one before
    /// the last, does not.
    pub fn add_memory(&mut self, bytes: i64, at: Moment) -> bool {
        if bytes < 0 || self.last_memory_sample.is_some_and(|last| at < last) {
            return false;
        }
        self.take_memory(bytes, at, false);
        true
    }

    /// Records that the container was killed for want of memory: counts as a sample of the request
    /// or the peak, whichever is more, raised by the configured bump.
    ///
    /// # Errors
    /// [`OomError::TooOld`] if the event precedes the current memory window.
    pub fn record_oom(&mut self, requested_bytes: i64, at: Moment) -> Result<(), OomError> {
        if self.window_end.is_some_and(|end| at < end.plus_millis(-self.window_millis)) {
            return Err(OomError::TooOld);
        }
        // The last OOM's own bump is left out, or repeated kills would run away.
        let used = requested_bytes.max(self.memory_peak).max(0);
        let needed =
            used.saturating_add(self.oom_min_bump_bytes).max(amount(float(used) * self.oom_bump_ratio));
        self.take_memory(needed, at, true);
        Ok(())
    }

    /// Adds the usage of another pod's container of the same name.
    pub fn merge(&mut self, other: &ContainerUsage) {
        self.cpu.merge(&other.cpu);
        self.memory_peaks.merge(&other.memory_peaks);
        self.first_sample = match (self.first_sample, other.first_sample) {
            (Some(own), Some(theirs)) => Some(own.min(theirs)),
            (own, theirs) => own.or(theirs),
        };
        self.last_sample = self.last_sample.max(other.last_sample);
        self.samples = self.samples.saturating_add(other.samples);
    }

    /// CPU samples taken so far.
    #[must_use]
    pub fn sample_count(&self) -> u64 {
        self.samples
    }

    fn take_memory(&mut self, bytes: i64, at: Moment, oom: bool) {
        self.last_memory_sample = Some(at);
        let end = *self.window_end.get_or_insert(at);
        let peak = self.memory_peak.max(self.oom_peak);
        if at < end {
            if peak == 0 || bytes <= peak {
                return;
            }
            self.memory_peaks.subtract(float(peak), 1.0, end);
        } else {
            let windows = at.millis_since(end) / self.window_millis;
            let shift = windows.saturating_mul(self.window_millis).saturating_add(self.window_millis);
            self.window_end = Some(end.plus_millis(shift));
            self.memory_peak = 0;
            self.oom_peak = 0;
        }
        let end = self.window_end.unwrap_or(at);
        self.memory_peaks.add(float(bytes), 1.0, end);
        if oom {
            self.oom_peak = bytes;
        } else {
            self.memory_peak = bytes;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the recommender keeps amounts as f64 in histograms")]
pub(super) fn float(value: i64) -> f64 {
    value as f64
}

/// The largest amount the recommender knows, in millicores or bytes.
const AMOUNT_MAX: f64 = 1e14;

/// A float as an amount: truncated, between 0 and 1e14.
#[expect(clippy::cast_possible_truncation, reason = "between 0 and 1e14; NaN becomes 0")]
pub(super) fn amount(value: f64) -> i64 {
    value.clamp(0.0, AMOUNT_MAX) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(1_700_000_000_000);
    const MIB: i64 = 1024 * 1024;

    fn after_hours(hours: i64) -> Moment {
        START.plus_seconds(hours * 3600)
    }

    #[test]
    fn a_larger_sample_replaces_the_peak_of_its_window() {
        let mut usage = ContainerUsage::new(&Config::default());
        usage.add_memory(300 * MIB, START);
        usage.add_memory(900 * MIB, after_hours(1));
        usage.add_memory(100 * MIB, after_hours(2));
        assert!(usage.memory_peaks.percentile(0.01) > float(900 * MIB));
    }

    #[test]
    fn samples_out_of_order_are_dropped() {
        let mut usage = ContainerUsage::new(&Config::default());
        assert!(usage.add_cpu(5, after_hours(1)));
        assert!(!usage.add_cpu(5, after_hours(1)));
        assert!(!usage.add_cpu(5, START));
        assert!(!usage.add_cpu(-5, after_hours(2)));
        assert_eq!(usage.sample_count(), 1);
    }

    #[test]
    fn an_oom_counts_as_the_request_and_a_bump() {
        let mut usage = ContainerUsage::new(&Config::default());
        usage.add_memory(100 * MIB, START);
        assert_eq!(usage.record_oom(1000 * MIB, after_hours(1)), Ok(()));
        assert_eq!(usage.oom_peak, 1200 * MIB);
        assert_eq!(usage.record_oom(1000 * MIB, after_hours(-30)), Err(OomError::TooOld));
    }

    #[test]
    fn a_small_container_gets_at_least_the_minimal_bump() {
        let mut usage = ContainerUsage::new(&Config::default());
        usage.add_memory(50 * MIB, START);
        assert_eq!(usage.record_oom(60 * MIB, after_hours(1)), Ok(()));
        assert_eq!(usage.oom_peak, 160 * MIB);
    }
}
