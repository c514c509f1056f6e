//! What reading promises about manifests.

use super::*;

fn one(text: &str) -> (Loaded, usize) {
    let loaded = load(vec![Input { path: "a.yaml".to_owned(), bytes: text.as_bytes().to_vec() }]);
    let count = loaded.sets[0].objects.len();
    (loaded, count)
}

fn faults(text: &str) -> Vec<String> {
    let (loaded, _) = one(text);
    loaded.sets[0].objects[0]
        .faults
        .iter()
        .map(|fault| format!("{} {} {:?}", loaded.sources.line(fault.span), fault.path, fault.what))
        .collect()
}

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 3
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          image: web:1
          resources:
            requests: {cpu: 250m}
            limits: {cpu: 1, memory: 512Mi}
          env:
            - {name: PORT, value: \"80\"}
";

#[test]
fn a_deployment_is_typed_and_a_limit_counts_as_request() {
    let (loaded, count) = one(DEPLOYMENT);
    assert_eq!(count, 1);
    let object = &loaded.sets[0].objects[0];
    assert!(object.faults.is_empty(), "{:?}", object.faults);
    let workload = object.workload().unwrap();
    assert_eq!(workload.template.request_milli("cpu"), Some(250));
    assert_eq!(workload.template.request_milli("memory"), Some(512 * 1024 * 1024 * 1000));
    assert!(workload.selector.as_ref().unwrap().value.matches(&workload.template.labels));
    assert_eq!(loaded.sources.line(workload.replicas.as_ref().unwrap().span), 7);
}

#[test]
fn each_fault_has_its_path_and_line_and_hides_no_other() {
    let text = DEPLOYMENT
        .replace("replicas: 3", "replica: 3")
        .replace("250m", "250mi")
        .replace("\"80\"", "80")
        .replace("          image: web:1\n", "          image: [x]\n");
    insta::assert_snapshot!(faults(&text).join("\n"), @r#"
    7 spec.replica Unknown { meant: Some("replicas") }
    16 spec.template.spec.containers[0].image WrongType { wanted: "a string", got: "a list" }
    18 spec.template.spec.containers[0].resources.requests.cpu BadQuantity { why: "unknown suffix: use n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or an exponent; did you mean 250Mi?" }
    21 spec.template.spec.containers[0].env[0].value NeedsQuotes { got: "a number", meant: None }
    "#);
}

#[test]
fn an_unknown_kind_is_kept() {
    let (loaded, count) = one("apiVersion: x.io/v1\nkind: Thing\nmetadata: {name: a}\n---\nfoo: bar\n");
    assert_eq!(count, 2);
    assert!(matches!(loaded.sets[0].objects[0].detail, Detail::Unknown));
    assert_eq!(loaded.sets[0].objects[1].kind, "document without kind");
}

#[test]
fn adapter_rules_are_read_in_both_forms_with_their_lines() {
    let (loaded, _) = one("\
apiVersion: v1
kind: ConfigMap
metadata: {name: adapter}
data:
  config.yaml: |
    rules:
      - seriesQuery: 'a_total{pod!=\"\"}'
        name: {as: a_rate}
        metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[1m])) by (<<.GroupBy>>)
---
rules:
  default: false
  external:
    - seriesQuery: b
      metricsQuery: x
");
    let objects = &loaded.sets[0].objects;
    let Detail::Adapter(config) = &objects[0].detail else { panic!("{:?}", objects[0].detail) };
    assert_eq!(config.rules[0].metric(), Some("a_rate"));
    assert_eq!(config.rules[0].series(), Some("a_total"));
    assert_eq!(loaded.sources.line(config.rules[0].query.as_ref().unwrap().span), 9);
    let Detail::Adapter(values) = &objects[1].detail else { panic!("{:?}", objects[1].detail) };
    assert_eq!((values.form, values.defaults), (AdapterForm::HelmValues, false));
    assert_eq!((values.rules[0].section, values.rules[0].metric()), (Section::External, Some("b")));
}

#[test]
fn unquoted_off_is_reported_as_a_boolean() {
    let text = "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: v}\n\
                spec:\n  targetRef: {kind: Deployment, name: d}\n  updatePolicy:\n    updateMode: Off\n";
    assert_eq!(
        faults(text),
        ["7 spec.updatePolicy.updateMode NeedsQuotes { got: \"a boolean\", meant: Some(\"Off\") }"]
    );
}

#[test]
fn shares_of_pods_round_up_as_the_disruption_controller_does() {
    assert_eq!(Budget::Percent(50).of(3), 2);
    assert_eq!(Budget::Percent(100).of(3), 3);
    assert_eq!(Budget::Percent(0).of(3), 0);
    assert_eq!(Budget::Pods(2).of(3), 2);
}

#[test]
fn folders_with_the_same_objects_are_sets_of_their_own() {
    let input = |path: &str, name: &str| Input {
        path: path.to_owned(),
        bytes: format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n").into_bytes(),
    };
    let loaded =
        load(vec![input("k/dev/a.yaml", "a"), input("k/prod/a.yaml", "a"), input("k/shared/b.yaml", "b")]);
    let counts: Vec<_> = loaded.sets.iter().map(|set| set.objects.len()).collect();
    assert_eq!(counts, [2, 2]);
    let loaded = load(vec![input("k/a.yaml", "a"), input("k/b.yaml", "a"), input("k/c/c.yaml", "c")]);
    assert_eq!(loaded.sets.len(), 1);
}

#[test]
fn a_number_that_its_field_cannot_hold_is_a_fault() {
    let hpa = |max: &str| {
        faults(&format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: a}}\nspec:\n  scaleTargetRef: \
             {{kind: Deployment, name: a}}\n  maxReplicas: {max}\n"
        ))
    };
    assert_eq!(hpa("2147483647"), Vec::<String>::new());
    for max in ["2147483648", "-2147483649", "99999999999999999999999"] {
        let found = hpa(max);
        assert!(found.len() == 1 && found[0].contains("32 bits"), "{max}: {found:?}");
    }
}

#[test]
fn a_request_below_zero_is_a_fault() {
    let cpu = |amount: &str| {
        faults(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{name: a, image: a, resources: \
             {{requests: {{cpu: {amount}}}}}}}]}}\n"
        ))
    };
    assert_eq!(cpu("-0"), Vec::<String>::new());
    assert!(cpu("-1")[0].contains("not below 0"), "{:?}", cpu("-1"));
}
