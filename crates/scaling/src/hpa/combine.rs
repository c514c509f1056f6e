//! Several metrics → one recommendation.
//!
//! The largest proposal wins. A metric that fails does not stop scaling up, but forbids scaling
//! down; if all fail, nothing happens.

use super::metric::{MetricOutcome, propose};
use super::observe::Observed;
use super::spec::Spec;
use crate::moment::Moment;

/// What the metrics say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combined {
    /// The recommendation before history and bounds.
    Recommendation {
        /// Replicas, never below 0.
        replicas: i32,
        /// Index of the metric that proposed them first.
        winner: usize,
        /// How many metrics failed; their failure is reported but did not matter.
        failed: usize,
    },
    /// The metrics that work would scale down, or none works: nothing happens.
    Failed {
        /// Index of the first metric that failed.
        first: usize,
        /// How many failed.
        failed: usize,
    },
    /// The HPA has no metrics at all.
    NoMetrics,
}

/// Every metric's outcome, in the spec's order.
pub(super) fn outcomes(spec: &Spec, observed: &Observed, now: Moment) -> Vec<MetricOutcome> {
    let tolerances = spec.tolerances();
    (0..spec.metrics.len()).map(|index| propose(spec, index, observed, tolerances, now)).collect()
}

/// The recommendation that `outcomes` add up to when the target has `current` replicas.
pub(super) fn combine(outcomes: &[MetricOutcome], current: i32) -> Combined {
    let mut winner: Option<(usize, i32)> = None;
    let mut first_failed = None;
    let mut failed = 0;
    for (index, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(proposal) => {
                if winner.is_none_or(|(_, most)| proposal.replicas > most) {
                    winner = Some((index, proposal.replicas));
                }
            }
            Err(_) => {
                first_failed = first_failed.or(Some(index));
                failed += 1;
            }
        }
    }
    match (winner, first_failed) {
        (Some((_, replicas)), Some(first)) if replicas.max(0) < current => Combined::Failed { first, failed },
        (Some((winner, replicas)), _) => {
            Combined::Recommendation { replicas: replicas.max(0), winner, failed }
        }
        (None, Some(first)) => Combined::Failed { first, failed },
        (None, None) => Combined::NoMetrics,
    }
}
