//! The recorded cases of the real controllers, all of them.

use std::collections::BTreeMap;

use octollm_scaling::conformance::{Report, run};
use serde_json::{Value, json};

fn check(text: &str, cases: usize) {
    let report: Report = run(text).expect("a conformance file");
    assert_eq!(report.to_string(), format!("{cases} passed, 0 failed"));
}

#[test]
fn the_hpa_controllers_cases_come_out_as_recorded() {
    check(include_str!("data/hpa-conformance.json"), 408);
}

#[test]
fn the_vpa_recommenders_cases_come_out_as_recorded() {
    check(include_str!("data/vpa-conformance.json"), 4);
}

/// One case of each kind; the recommender's is cut to its first checkpoints.
fn one_of_each_kind() -> Vec<Value> {
    let mut kinds: BTreeMap<String, Value> = BTreeMap::new();
    for text in [include_str!("data/hpa-conformance.json"), include_str!("data/vpa-conformance.json")] {
        let file: Value = serde_json::from_str(text).expect("JSON");
        for case in file["cases"].as_array().expect("a list") {
            let kind = case["kind"].as_str().expect("a kind").to_owned();
            let mut case = case.clone();
            if let Some(checkpoints) = case.get_mut("checkpoints").and_then(Value::as_array_mut) {
                checkpoints.truncate(3);
            }
            kinds.entry(kind).or_insert(case);
        }
    }
    kinds.into_values().collect()
}

#[test]
fn no_value_of_any_field_makes_a_case_panic() {
    let strange = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(i32::MAX),
        json!(1e300),
        json!("900m"),
        json!([]),
        json!([[i64::MAX], [i64::MIN]]),
        json!([-1, i64::MAX, i64::MIN]),
        json!({}),
    ];
    let cases = one_of_each_kind();
    assert_eq!(cases.len(), 9);
    for case in &cases {
        let fields: Vec<String> = case.as_object().expect("an object").keys().cloned().collect();
        for field in fields {
            for value in &strange {
                let mut changed = case.clone();
                changed[&field] = value.clone();
                let report = run(&json!([changed]).to_string()).expect("a file");
                assert_eq!(report.results.len(), 1);
            }
        }
    }
}

#[test]
fn a_changed_outcome_is_noticed_in_every_kind() {
    for case in one_of_each_kind() {
        let mut text = case.to_string();
        let expected = [
            "\"expected_replicas\":",
            "\"expected_desired_replicas\":",
            "\"expected_change_in_period\":",
            "\"target_cpu_m\":",
        ];
        let field = expected.iter().find(|field| text.contains(*field)).expect("an outcome");
        let at = text.find(field).expect("an outcome") + field.len();
        let at = if text[at..].starts_with('[') { at + 1 } else { at };
        text.insert(at, '9');
        let report = run(&format!("[{text}]")).expect("a file");
        assert_eq!(report.failed(), 1, "{text}");
    }
}
