//! Disruption budgets: how many pods may be away.

use super::model::Cluster;
use super::selector::LabelSelector;

/// A PodDisruptionBudget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which pods of its namespace it counts.
    pub selector: LabelSelector,
    /// What it asks for.
    pub bound: Bound,
}

/// What a budget asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `minAvailable`.
    MinAvailable(Amount),
    /// `maxUnavailable`.
    MaxUnavailable(Amount),
}

/// A number of pods or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Pods.
    Pods(i64),
    /// Percent of the expected pods, rounded up.
    Percent(i64),
}

impl Amount {
    fn of(self, expected: i64) -> i64 {
        match self {
            Amount::Pods(pods) => pods,
            Amount::Percent(percent) => {
                let hundredths = expected.saturating_mul(percent);
                hundredths.div_euclid(100) + i64::from(hundredths.rem_euclid(100) != 0)
            }
        }
    }
}

/// How many of `expected` pods may be disrupted while `healthy` are up. Never negative.
#[must_use]
pub fn allowed_disruptions(bound: Bound, expected: i64, healthy: i64) -> i64 {
    let needed = match bound {
        Bound::MinAvailable(amount) => amount.of(expected),
        Bound::MaxUnavailable(amount) => expected.saturating_sub(amount.of(expected)),
    };
    healthy.saturating_sub(needed.max(0)).max(0)
}

/// For each budget, how many disruptions are left; and for each workload, which budgets count it.
pub(super) struct Allowance {
    left: Vec<i64>,
    of_workload: Vec<Vec<usize>>,
}

/// Why a budget forbids an eviction.
pub(super) enum Forbidden {
    Exhausted(usize),
    SeveralBudgets,
}

impl Allowance {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let of_workload: Vec<Vec<usize>> = cluster
            .workloads
            .iter()
            .map(|workload| {
                let counts = |budget: &Budget| {
                    budget.namespace == workload.namespace && budget.selector.matches(&workload.labels)
                };
                let budgets = cluster.budgets.iter().enumerate();
                budgets.filter(|(_, budget)| counts(budget)).map(|(index, _)| index).collect()
            })
            .collect();
        let mut expected = vec![0_i64; cluster.budgets.len()];
        let mut healthy = expected.clone();
        for pod in &cluster.pods {
            for budget in of_workload.get(pod.workload).into_iter().flatten() {
                expected[*budget] += 1;
                healthy[*budget] += i64::from(pod.node.is_some());
            }
        }
        let left = cluster
            .budgets
            .iter()
            .zip(expected.iter().zip(&healthy))
            .map(|(budget, (expected, healthy))| allowed_disruptions(budget.bound, *expected, *healthy))
            .collect();
        Allowance { left, of_workload }
    }

    /// Takes one disruption of a pod of `workload`.
    pub(super) fn take(&mut self, workload: usize) -> Result<(), Forbidden> {
        match self.of_workload.get(workload).map(Vec::as_slice) {
            None | Some([]) => Ok(()),
            Some([budget]) if self.left[*budget] > 0 => {
                self.left[*budget] -= 1;
                Ok(())
            }
            Some([budget]) => Err(Forbidden::Exhausted(*budget)),
            // The eviction API refuses a pod that several budgets count.
            Some(_) => Err(Forbidden::SeveralBudgets),
        }
    }

    /// What is left now, to go back to with [`Allowance::restore`].
    pub(super) fn saved(&self) -> Vec<i64> {
        self.left.clone()
    }

    pub(super) fn restore(&mut self, saved: Vec<i64>) {
        self.left = saved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_up() {
        assert_eq!(allowed_disruptions(Bound::MinAvailable(Amount::Percent(50)), 3, 3), 1);
        assert_eq!(allowed_disruptions(Bound::MaxUnavailable(Amount::Percent(10)), 3, 3), 1);
    }

    #[test]
    fn a_budget_that_needs_every_pod_allows_nothing() {
        assert_eq!(allowed_disruptions(Bound::MinAvailable(Amount::Pods(1)), 1, 1), 0);
        assert_eq!(allowed_disruptions(Bound::MaxUnavailable(Amount::Pods(0)), 5, 5), 0);
        assert_eq!(allowed_disruptions(Bound::MaxUnavailable(Amount::Pods(1)), 5, 4), 0);
    }
}
