//! The recorded cases of the real controllers, all of them.

use octollm_scaling::conformance::{Report, run};

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
