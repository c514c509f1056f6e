//! PodDisruptionBudget v1.

use crate::read::Node;

use super::selector::Selector;
use super::value::{At, text};

/// A PDB as written.
#[derive(Debug, Clone)]
pub struct Pdb {
    /// `minAvailable`.
    pub min_available: Option<At<Budget>>,
    /// `maxUnavailable`.
    pub max_unavailable: Option<At<Budget>>,
    /// The pods it covers; `None` covers none.
    pub selector: Option<Selector>,
}

/// A number of pods or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// So many pods.
    Pods(i64),
    /// So many percent, rounded up by the controller.
    Percent(i64),
}

impl Budget {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().map(Self::Percent),
            None => text.parse().ok().map(Self::Pods),
        }
    }

    /// How many of `replicas` pods it is. The controller rounds shares up, for both fields.
    pub fn of(self, replicas: i64) -> i64 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(percent) => {
                let scaled = percent.saturating_mul(replicas);
                scaled.div_euclid(100) + i64::from(scaled.rem_euclid(100) != 0)
            }
        }
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pods(pods) => write!(f, "{pods}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Pdb {
    pub(crate) fn of(root: &Node) -> Self {
        let budget = |key: &str| {
            let at = text(root, &["spec", key])?;
            Budget::parse(&at.value).map(|budget| At::new(budget, at.span))
        };
        Self {
            min_available: budget("minAvailable"),
            max_unavailable: budget("maxUnavailable"),
            selector: root.at(&["spec", "selector"]).map(Selector::of),
        }
    }

    /// How many of `replicas` healthy pods may be evicted at once.
    pub fn allowed(&self, replicas: i64) -> i64 {
        match (&self.min_available, &self.max_unavailable) {
            (Some(min), _) => replicas.saturating_sub(min.value.of(replicas)).max(0),
            (None, Some(max)) => max.value.of(replicas).min(replicas),
            (None, None) => replicas.saturating_sub(1),
        }
    }
}
