//! Every rule against its own pair of fixtures, and what the linter as a whole promises.

use super::*;
use crate::manifest::{Input, load};

/// A fixture's files: the first is `manifest.yaml`, a line `#=== path` begins another.
fn inputs(text: &str) -> Vec<Input> {
    let mut files = vec![("manifest.yaml".to_owned(), String::new())];
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("#=== ") {
            Some(path) => files.push((path.trim().to_owned(), String::new())),
            None => files.last_mut().unwrap().1.push_str(line),
        }
    }
    files.into_iter().map(|(path, text)| Input { path, bytes: text.into_bytes() }).collect()
}

fn findings(text: &str) -> (Loaded, Report) {
    let loaded = load(inputs(text));
    let report = lint(&loaded);
    (loaded, report)
}

fn of_rule<'a>(report: &'a Report, id: &str) -> Vec<&'a str> {
    report.findings.iter().filter(|f| f.rule.id == id).map(|f| f.message.as_str()).collect()
}

#[test]
fn every_rule_fires_on_its_fixture_and_is_silent_on_the_corrected_twin() {
    for rule in rules() {
        let (_, fires) = findings(rule.fixture.fires);
        assert!(fires.unreadable.is_empty(), "{}: {:?}", rule.id, fires.unreadable);
        assert!(!of_rule(&fires, rule.id).is_empty(), "{} does not fire; found {:?}", rule.id, ids(&fires));
        let (_, silent) = findings(rule.fixture.silent);
        assert!(silent.unreadable.is_empty(), "{}: {:?}", rule.id, silent.unreadable);
        assert!(of_rule(&silent, rule.id).is_empty(), "{}: {:?}", rule.id, of_rule(&silent, rule.id));
    }
}

fn ids(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.rule.id).collect()
}

#[test]
fn rule_ids_are_unique_and_fit_an_annotation_key() {
    let mut ids: Vec<_> = rules().iter().map(|rule| rule.id).collect();
    assert!(ids.len() >= 40, "{}", ids.len());
    for id in &ids {
        // The name part of an annotation's key has at most 63 characters.
        assert!("lint-ignore.".len() + id.len() <= 63, "{id}");
        assert!(id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{id}");
    }
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn every_rule_s_text_reads_well() {
    let mut out = String::new();
    for rule in rules() {
        let (_, report) = findings(rule.fixture.fires);
        let message = of_rule(&report, rule.id)[0].to_owned();
        let explain = rule.explain.split_whitespace().collect::<Vec<_>>().join(" ");
        out.push_str(&format!(
            "{} [{}]\n  {}\n  {explain}\n  > {message}\n\n",
            rule.id,
            rule.severity.word(),
            rule.title
        ));
    }
    insta::assert_snapshot!("rules", out);
}

#[test]
fn a_silenced_finding_is_kept_apart_with_its_reason() {
    let text = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: a\n  annotations:\n    \
                octollm.dev/lint-ignore.unknown-field: our own fork reads it\nextra: 1\n";
    let (_, report) = findings(text);
    assert!(report.findings.is_empty(), "{:?}", ids(&report));
    assert_eq!(report.silenced[0].reason, "our own fork reads it");
}

#[test]
fn safe_fixes_are_written_and_leave_nothing_to_fix() {
    let text = "\
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: a}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  updatePolicy:
    UpdateMode: Off  # keep
    minReplicas: \"2\"
";
    let (loaded, report) = findings(text);
    let fixed = apply_safe(&loaded.sources, &report);
    assert_eq!(fixed.len(), 1);
    let (loaded, report) = findings(&fixed[0].1);
    let again = apply_safe(&loaded.sources, &report);
    let last = again.first().map_or(fixed[0].1.as_str(), |(_, text)| text.as_str());
    assert!(last.contains("updateMode: \"Off\"  # keep\n    minReplicas: 2\n"), "{last}");
    let (_, report) = findings(last);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn a_patch_shows_the_corrected_lines() {
    let (loaded, report) = findings(rules::find("hpa-window-bound").unwrap().fixture.fires);
    let fix = report.findings.iter().find(|f| f.rule.id == "hpa-window-bound").unwrap().fix.as_ref().unwrap();
    insta::assert_snapshot!(patch(&loaded.sources, fix), @r"
    --- a/manifest.yaml
    +++ b/manifest.yaml
    @@ -8,2 +8,2 @@
       behavior:
    -    scaleDown: {stabilizationWindowSeconds: 7200}
    +    scaleDown: {stabilizationWindowSeconds: 3600}
    ");
}

#[test]
fn the_three_outputs_tell_the_same() {
    let (loaded, report) = findings(rules::find("needs-quotes").unwrap().fixture.fires);
    insta::assert_snapshot!("text", render::text(&loaded.sources, &report));
    insta::assert_snapshot!("json", render::json(&loaded.sources, &report));
    let sarif: serde_json::Value = serde_json::from_str(&render::sarif(&loaded.sources, &report)).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "needs-quotes");
    assert_eq!(sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"], 6);
    assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().len(), rules().len());
}

#[test]
fn a_rule_is_explained_with_its_example() {
    insta::assert_snapshot!("explain", render::explain(rules::find("adapter-config-unread").unwrap()));
}

/// Found by mutated fixtures: each of these once panicked or asked for 32 GiB.
#[test]
fn numbers_at_the_edge_of_their_type_are_linted() {
    let hpa = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: NAME}\nspec:\n  \
               scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}\n  maxReplicas: 9223372036854775807\n  metrics:\n  \
               - {type: Pods, pods: {metric: {name: queue_depth}, target: {type: AverageValue, averageValue: 9E}}}\n---\n";
    let stateful = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: s}\nspec: {selector: {}, template: {}, volumeClaimTemplates: [{}]}\n---\n";
    let scaled = "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: k}\nspec:\n  scaleTargetRef: {name: b}\n  \
                  maxReplicaCount: 0\n  triggers:\n  - {type: cron, metadata: {timezone: UTC, start: 0 8 * * *, end: 0 9 * * *, \
                  desiredReplicas: \"2147483647\"}}\n";
    let (_, report) =
        findings(&[hpa.replace("NAME", "x").as_str(), &hpa.replace("NAME", "y"), stateful, scaled].concat());
    assert!(!of_rule(&report, "two-scalers").is_empty());
    assert!(!of_rule(&report, "pod-no-priority").is_empty());
}

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: \"web:1\", resources: {requests: {cpu: 300m}, limits: {cpu: LIMIT}}}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 20
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 100}}}]
";

#[test]
fn no_behavior_is_told_only_where_a_burst_can_outgrow_one_step() {
    let (_, report) = findings(&WEB.replace("LIMIT", "600m"));
    assert_eq!(of_rule(&report, "hpa-no-behavior"), Vec::<&str>::new());
    let (_, report) = findings(&WEB.replace("LIMIT", "700m"));
    assert_eq!(of_rule(&report, "hpa-no-behavior").len(), 1);
}

#[test]
fn pools_whose_sums_fit_are_packed() {
    let fits = find("pools-too-small").unwrap().fixture.silent;
    let (_, report) = findings(
        &fits.replace("cpu: 2, memory", "cpu: 3, memory").replace("maxReplicas: 6", "maxReplicas: 4"),
    );
    let told = of_rule(&report, "pools-too-small");
    assert!(told.len() == 1 && told[0].contains("1 of the set's pods find no node"), "{told:?}");
}

mod guide;

#[test]
fn a_template_that_was_not_rendered_is_told() {
    let (_, report) = findings("apiVersion: v1\nkind: {{ .Values.kind }}\n");
    assert_eq!(
        of_rule(&report, "wrong-type"),
        [
            "document without kind: `kind` must be a string, here it is a map; the object is rejected; this is a template: lint \
          what `helm template` makes of it"
        ]
    );
    let (_, report) = findings("kind: {a: b}\nreplicaCount: 2\n");
    assert!(report.findings.is_empty());
}

#[test]
fn a_bare_word_of_the_wrong_case_is_quoted_in_the_right_one() {
    let text = "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: a}\nspec:\n  \
                targetRef: {kind: Deployment, name: a}\n  updatePolicy: {updateMode: off}\n";
    let (loaded, report) = findings(text);
    assert!(apply_safe(&loaded.sources, &report)[0].1.contains("{updateMode: \"Off\"}"));
}

#[test]
fn a_scaler_whose_target_has_a_removed_version_finds_none() {
    let text = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec:\n  scaleTargetRef: \
                {apiVersion: extensions/v1beta1, kind: Deployment, name: a}\n  maxReplicas: 5\n";
    let (_, report) = findings(text);
    assert_eq!(of_rule(&report, "removed-api").len(), 1);
}

#[test]
fn a_target_that_kustomize_did_not_rename_along_is_told() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n    \
                metadata: {labels: {a: b}}\n    spec: {containers: [{name: a, image: a}]}\n---\napiVersion: keda.sh/v1alpha1\n\
                kind: ScaledObject\nmetadata: {name: web}\nspec:\n  scaleTargetRef: {name: web}\n  minReplicaCount: 2\n  triggers:\n    \
                - type: cpu\n      metricType: Utilization\n      metadata: {value: \"70\"}\n";
    let kustomization = "#=== a/kustomization.yaml\nresources: [../manifest.yaml]\nnamePrefix: dev-\nreplicas: [{name: web, count: 7}]\n";
    let (loaded, report) = findings(&format!("{text}{kustomization}"));
    let told = of_rule(&report, "target-not-found");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("points at Deployment web, which is not in the set; Deployment dev-web is"),
        "{told:?}"
    );
    // Kustomize finds what `replicas` names by the name from before the prefix.
    let set = loaded.sets.iter().find(|set| set.name == "a").unwrap();
    let workload = set.objects[0].workload().unwrap();
    assert_eq!(workload.replicas.as_ref().unwrap().value, 7);
}

#[test]
fn a_scaler_in_another_namespace_than_its_target_is_told() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: prod}\nspec:\n  selector: {matchLabels: {a: b}}\n  \
                template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: a, image: a}]}\n---\napiVersion: autoscaling/v2\n\
                kind: HorizontalPodAutoscaler\nmetadata: {name: web, namespace: prd}\nspec:\n  scaleTargetRef: {apiVersion: apps/v1, kind: \
                Deployment, name: web}\n  minReplicas: 2\n  maxReplicas: 5\n";
    assert_eq!(of_rule(&findings(text).1, "target-not-found").len(), 1);
    let same = text.replace("namespace: prd", "namespace: prod");
    assert!(of_rule(&findings(&same).1, "target-not-found").is_empty());
}
