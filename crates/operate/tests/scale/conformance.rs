//! Transcripts of `scale conformance`: what a user sees, and the exit code.

use crate::transcript::Transcript;

const PASSING: &str = r#"{"cases": [{"kind": "convert_default_rules", "id": "c", "current_replicas": 3,
    "desired_replicas": 1, "min_replicas": 2, "max_replicas": 8, "upscale_limit_factor": 8,
    "expected_replicas": 2, "expected_reason": "TooFewReplicas"}]}"#;

#[test]
fn the_recorded_cases_all_pass() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../scaling/tests/data");
    let files = [format!("{data}/hpa-conformance.json"), format!("{data}/vpa-conformance.json")];
    let shown = Transcript::of(&["conformance", &files[0], &files[1]]).show();
    insta::assert_snapshot!(shown, @r"
    412 passed, 0 failed
    exit 0
    ");
}

#[test]
fn a_difference_names_case_field_expected_and_got() {
    let wrong = PASSING.replace(r#""expected_replicas": 2"#, r#""expected_replicas": 7"#);
    let shown =
        Transcript::of(&["conformance", "-", "@/good.json"]).file("good.json", PASSING).input(&wrong).show();
    insta::assert_snapshot!(shown, @r"
    c: expected_replicas: expected 7, got 2
    1 passed, 1 failed
    exit 1
    ");
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_others_still_run() {
    let shown =
        Transcript::of(&["conformance", "@/none.json", "@/list.json", "@/broken.json", "@/good.json"])
            .file("list.json", "{\"cases\": 3}")
            .file("broken.json", "{\n\"cases\": [}")
            .file("good.json", PASSING)
            .show();
    insta::assert_snapshot!(shown, @r#"
    1 passed, 0 failed
    ! none.json: no such file or folder
    ! list.json: no cases: a conformance file is an object with a list "cases"
    ! broken.json: not JSON at line 2, column 11
    exit 2
    "#);
}

#[test]
fn nothing_read_prints_no_verdict() {
    insta::assert_snapshot!(Transcript::of(&["conformance", "@/none.json"]).show(), @r"
    ! none.json: no such file or folder
    exit 2
    ");
}
