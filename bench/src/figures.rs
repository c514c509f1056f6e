//! Figures of a sample.

use std::time::Duration;

/// Durations in order.
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    pub(crate) fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Sample(all)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest duration that `per_mille` of the sample do not exceed (nearest rank).
    pub(crate) fn at(&self, per_mille: usize) -> Duration {
        let rank = (self.0.len() * per_mille).div_ceil(1000).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn line(&self) -> String {
        let ms = |d: Duration| format!("{:.3}", d.as_secs_f64() * 1000.0);
        format!(
            "P50 {} ms, P95 {} ms, P99 {} ms ({} samples)",
            ms(self.at(500)),
            ms(self.at(950)),
            ms(self.at(990)),
            self.0.len()
        )
    }
}

/// `count` in `took`, a second.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub(crate) fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
