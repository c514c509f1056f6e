//! Recorded cases of the real controllers, run against the engine.
//!
//! [`run`] reads a file in one of two formats (the HPA controller's cases, the VPA recommender's
//! cases; they may be mixed) and says of each case whether the engine gives the recorded outcome and
//! where it does not. What each field means is in the readme inside the files of `tests/data`.
//!
//! Promised: nothing is skipped in silence: a case that cannot be read, or whose kind is unknown, is
//! a failed case that says what is wrong with it. Fields that the formats do not name are ignored.
//!
//! It knows no files: the caller brings the text.

mod bounds;
mod outcome;
mod reconcile;
mod replica_calc;
mod timeline;
mod vpa;
mod written;

use serde::de::DeserializeOwned;
use serde_json::Value;

use outcome::Differences;
pub use outcome::{CaseResult, Difference, Report};

/// Why a text is not a conformance file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not JSON.
    #[error("not JSON at line {}, column {}", .0.line(), .0.column())]
    NotJson(#[source] serde_json::Error),
    /// JSON without cases.
    #[error("no cases: a conformance file is an object with a list \"cases\"")]
    NoCases,
}

/// Runs every case of a conformance file.
///
/// # Errors
/// The text as a whole is no conformance file.
pub fn run(text: &str) -> Result<Report, FileError> {
    let file: Value = serde_json::from_str(text).map_err(FileError::NotJson)?;
    let cases = match file {
        Value::Array(cases) => cases,
        Value::Object(mut fields) => match fields.remove("cases") {
            Some(Value::Array(cases)) => cases,
            Some(_) | None => return Err(FileError::NoCases),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(FileError::NoCases),
    };
    let results = cases.iter().enumerate().map(|(index, case)| run_case(index, case)).collect();
    Ok(Report { results })
}

fn run_case(index: usize, case: &Value) -> CaseResult {
    let text = |key| case.get(key).and_then(Value::as_str);
    let id = text("id").or_else(|| text("test")).map_or_else(|| format!("cases[{index}]"), str::to_owned);
    let kind = text("kind").unwrap_or("").to_owned();
    let mut differences = Differences::default();
    match kind.as_str() {
        "replica_calc" => each(case, &mut differences, replica_calc::check),
        "convert_default_rules" => each(case, &mut differences, bounds::convert_default_rules),
        "stabilize_default" => each(case, &mut differences, bounds::stabilize_default),
        "stabilize_behavior" => each(case, &mut differences, bounds::stabilize_behavior),
        "behavior_rate" => each(case, &mut differences, bounds::behavior_rate),
        "scale_events" => each(case, &mut differences, bounds::scale_events),
        "reconcile" => each(case, &mut differences, reconcile::check),
        "timeline" => each(case, &mut differences, timeline::check),
        "vpa_recommendation" => each(case, &mut differences, vpa::check),
        _ => differences.unreadable(
            "kind",
            "replica_calc, convert_default_rules, stabilize_default, stabilize_behavior, behavior_rate, scale_events, reconcile, timeline or vpa_recommendation",
            format!("{kind:?}"),
        ),
    }
    differences.of_case(id, kind)
}

fn each<Case: DeserializeOwned>(
    case: &Value,
    differences: &mut Differences,
    check: impl Fn(&Case, &mut Differences),
) {
    match Case::deserialize(case) {
        Ok(case) => check(&case, differences),
        Err(error) => differences.unreadable("case", "a readable case", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_cases_is_refused() {
        assert!(matches!(run("{\"cases\": 3}"), Err(FileError::NoCases)));
        assert!(matches!(run("7"), Err(FileError::NoCases)));
        assert_eq!(
            run("{\n\"cases\": [}").map(|_| ()).expect_err("not JSON").to_string(),
            "not JSON at line 2, column 11"
        );
    }

    #[test]
    fn a_case_that_cannot_be_read_fails_and_says_why() {
        let report = run(r#"[{"kind": "timeline", "id": "t"}, {"kind": "vertical"}, 5]"#).expect("a file");
        assert_eq!((report.passed(), report.failed()), (0, 3));
        insta::assert_snapshot!(report.to_string(), @r#"
        t: case: expected a readable case, got missing field `start_replicas`
        cases[1]: kind: expected replica_calc, convert_default_rules, stabilize_default, stabilize_behavior, behavior_rate, scale_events, reconcile, timeline or vpa_recommendation, got "vertical"
        cases[2]: kind: expected replica_calc, convert_default_rules, stabilize_default, stabilize_behavior, behavior_rate, scale_events, reconcile, timeline or vpa_recommendation, got ""
        0 passed, 3 failed
        "#);
    }

    #[test]
    fn a_wrong_expectation_is_a_difference() {
        let case = r#"[{"kind": "convert_default_rules", "id": "c", "current_replicas": 3, "desired_replicas": 1,
            "min_replicas": 2, "max_replicas": 8, "upscale_limit_factor": 8,
            "expected_replicas": 7, "expected_reason": "TooFewReplicas"}]"#;
        assert_eq!(
            run(case).expect("a file").to_string(),
            "c: expected_replicas: expected 7, got 2\n0 passed, 1 failed"
        );
    }
}
