//! How long a program may run.
//!
//! Promises: a program's own limit comes before its step's, so that what it had written by then is
//! told, to the model that ran it or with the step's failure.

use octollm_contract::Millis;
use serde_json::{Value, json};

/// A program that a model runs gets at most so long, and at most half of what the step has.
const RUN_AT_MOST: Millis = Millis::from_secs(120);
/// The argument with which a model asks for less.
pub(crate) const TIMEOUT: &str = "timeout_seconds";

/// The limit of a program that a model runs in a step with this limit.
pub(crate) fn of_a_model_s_program(step: Millis, asked_seconds: Option<u32>) -> Millis {
    let most = RUN_AT_MOST.min(Millis::new(step.get() / 2));
    asked_seconds.map_or(most, |seconds| Millis::from_secs(u64::from(seconds.max(1))).min(most))
}

/// The limit of a program that is all that a step does: what the plan gave the step, but for a
/// tenth, in which its end is told.
pub(crate) fn of_a_step_s_program(step: Millis) -> Millis {
    Millis::new(step.get() / 10 * 9)
}

/// [`TIMEOUT`] as a model is told of it.
pub(crate) fn timeout() -> Value {
    json!({ "type": "integer", "description": format!("end it after so many seconds; without it {}", RUN_AT_MOST) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_may_ask_for_less_and_not_for_more() {
        let step = Millis::from_secs(1800);
        for (asked, seconds) in [(None, 120), (Some(0), 1), (Some(5), 5), (Some(9999), 120)] {
            assert_eq!(of_a_model_s_program(step, asked), Millis::from_secs(seconds), "{asked:?}");
        }
        assert_eq!(of_a_model_s_program(Millis::from_secs(60), None), Millis::from_secs(30));
        assert_eq!(of_a_step_s_program(Millis::from_secs(300)), Millis::from_secs(270));
    }
}
