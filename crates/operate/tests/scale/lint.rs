//! Transcripts of `scale lint`: what a user sees, and the exit code.

use crate::transcript::Transcript;

const GOOD: &str = "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: web}\nspec:\n  targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n  updatePolicy: {updateMode: \"Off\"}\n";

/// `Off` without quotes is a boolean.
fn faulty() -> String {
    GOOD.replace("\"Off\"", "Off")
}

#[test]
fn a_manifest_without_faults_has_no_findings() {
    insta::assert_snapshot!(Transcript::of(&["lint", "-f", "@/vpa.yaml"]).file("vpa.yaml", GOOD).show(), @r"
    no findings
    exit 0
    ");
}

#[test]
fn where_there_is_nothing_to_lint_it_says_so() {
    for nothing in ["", "\n", "# soon\n", "---\n---\n"] {
        let said = Transcript::of(&["lint", "-f", "@/empty.yaml"]).file("empty.yaml", nothing).show();
        assert!(
            said.contains("! nothing was found to lint in ") && said.ends_with("exit 2"),
            "{nothing:?}: {said}"
        );
    }
}

#[test]
fn a_finding_has_place_consequence_and_patch() {
    let lint = |format| Transcript::of(&["lint", "-f", "-", "--format", format]).input(&faulty()).show();
    insta::assert_snapshot!(lint("text"), @r#"
    -:6:30: error[needs-quotes]: VerticalPodAutoscaler web: `spec.updatePolicy.updateMode` must be a string, but bare Off is a boolean in YAML; the object is rejected. Write "Off"
      fix (--fix writes it):
        @@ -5,2 +5,2 @@
           targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
        -  updatePolicy: {updateMode: Off}
        +  updatePolicy: {updateMode: "Off"}

    1 error
    exit 1
    "#);
    insta::assert_snapshot!(lint("json"), @r#"
    [
      {
        "file": "-",
        "fix": "--- a/-\n+++ b/-\n@@ -5,2 +5,2 @@\n   targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n-  updatePolicy: {updateMode: Off}\n+  updatePolicy: {updateMode: \"Off\"}\n",
        "line": 6,
        "message": "VerticalPodAutoscaler web: `spec.updatePolicy.updateMode` must be a string, but bare Off is a boolean in YAML; the object is rejected. Write \"Off\"",
        "rule": "needs-quotes",
        "severity": "error"
      }
    ]
    exit 1
    "#);
    let sarif = lint("sarif");
    assert!(sarif.contains("\"ruleId\": \"needs-quotes\"") && sarif.ends_with("exit 1"), "{sarif}");
}

#[test]
fn a_safe_correction_is_written_and_what_remains_is_reported() {
    let fix = Transcript::of(&["lint", "--fix", "-f", "@/set"]).file("set/vpa.yaml", &faulty());
    insta::assert_snapshot!(fix.show(), @r"
    no findings
    ! set/vpa.yaml: corrected
    exit 0
    ");
    assert_eq!(fix.text_of("set/vpa.yaml"), GOOD);
    assert_eq!(fix.names_in("set"), ["vpa.yaml"]);
}

#[test]
fn standard_input_cannot_be_corrected() {
    insta::assert_snapshot!(Transcript::of(&["lint", "--fix", "-f", "-"]).input(&faulty()).show(), @r"
    ! -: standard input cannot be corrected in place; name the file
    exit 2
    ");
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_linted() {
    let shown =
        Transcript::of(&["lint", "-f", "@/none.yaml", "@/broken.yaml", "@/vpa.yaml", "--format", "json"])
            .file("broken.yaml", "a: [1\n")
            .file("vpa.yaml", &faulty())
            .show();
    insta::assert_snapshot!(shown, @r#"
    [
      {
        "file": "vpa.yaml",
        "fix": "--- a/vpa.yaml\n+++ b/vpa.yaml\n@@ -5,2 +5,2 @@\n   targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n-  updatePolicy: {updateMode: Off}\n+  updatePolicy: {updateMode: \"Off\"}\n",
        "line": 6,
        "message": "VerticalPodAutoscaler web: `spec.updatePolicy.updateMode` must be a string, but bare Off is a boolean in YAML; the object is rejected. Write \"Off\"",
        "rule": "needs-quotes",
        "severity": "error"
      }
    ]
    ! none.yaml: no such file or folder
    ! broken.yaml:2:1: not YAML: while parsing a flow sequence, expected ',' or ']'
    exit 2
    "#);
}

#[test]
fn a_kustomization_brings_what_it_reads_from_outside_the_folder() {
    let shown = Transcript::of(&["lint", "-f", "@/overlay"])
        .file("base/kustomization.yaml", "resources: [vpa.yaml]\n")
        .file("base/vpa.yaml", &faulty())
        .file("overlay/kustomization.yaml", "resources:\n  - ../base\n  - absent.yaml\n")
        .show();
    insta::assert_snapshot!(shown, @r#"
    overlay/kustomization.yaml:3:5: error[kustomization]: `absent.yaml` is not among the files read; add it or correct the path

    base/vpa.yaml:6:30: error[needs-quotes]: VerticalPodAutoscaler web: `spec.updatePolicy.updateMode` must be a string, but bare Off is a boolean in YAML; the object is rejected. Write "Off"
      fix (--fix writes it):
        @@ -5,2 +5,2 @@
           targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
        -  updatePolicy: {updateMode: Off}
        +  updatePolicy: {updateMode: "Off"}

    2 errors
    exit 1
    "#);
}

#[test]
fn explain_tells_a_rule_and_names_the_rules_when_there_is_none() {
    let rule = Transcript::of(&["lint", "--explain", "needs-quotes"]).show();
    assert!(rule.starts_with("needs-quotes (error)\n") && rule.ends_with("exit 0"), "{rule}");
    let none = Transcript::of(&["lint", "--explain", "need-quotes"]).show();
    assert!(
        none.starts_with("! no rule `need-quotes`; the rules are:\n!   ") && none.ends_with("exit 2"),
        "{none}"
    );
}
