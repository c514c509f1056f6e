//! What a question that cannot be asked now waits for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a question that cannot be asked now waits for. A provider that is not well is waited for within a
/// bound; what is our own doing passes by itself, and is waited for as long as the task has time.
///
/// It is told by a field that came late: one that is not there means [`WaitsFor::Provider`].
/// A word of a later version means something that is no provider's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", from = "String")]
pub enum WaitsFor {
    /// A provider that cannot be reached, fails, or says that it takes no question now.
    #[default]
    Provider,
    /// Its turn: as many questions are under way as may be at once.
    Turn,
    /// Other questions of its task, which hold what is left of the budget, or the same number.
    Siblings,
    /// An orchestrator that is going away, or whose store is.
    Orchestrator,
}

impl From<String> for WaitsFor {
    fn from(word: String) -> Self {
        match word.as_str() {
            "provider" => WaitsFor::Provider,
            "siblings" => WaitsFor::Siblings,
            "orchestrator" => WaitsFor::Orchestrator,
            _ => WaitsFor::Turn,
        }
    }
}

impl WaitsFor {
    /// It is the provider that keeps the question, and nothing of ours.
    #[must_use]
    pub const fn is_provider(&self) -> bool {
        match self {
            WaitsFor::Provider => true,
            WaitsFor::Turn | WaitsFor::Siblings | WaitsFor::Orchestrator => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_read_as_it_is_written_and_a_later_one_is_no_provider_s() {
        for waits_for in [WaitsFor::Provider, WaitsFor::Turn, WaitsFor::Siblings, WaitsFor::Orchestrator] {
            let word = serde_json::to_string(&waits_for).unwrap();
            assert_eq!(serde_json::from_str::<WaitsFor>(&word).unwrap(), waits_for, "{word}");
        }
        assert!(!serde_json::from_str::<WaitsFor>(r#""the_moon""#).unwrap().is_provider());
    }
}
