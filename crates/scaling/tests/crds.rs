//! The custom kinds of `deploy/`, typed: each object of each overlay goes through the strict Go types of its
//! operator, written down here, and comes back with every field.
//!
//! The field tables of the reader say which fields exist; this says that they stand where KEDA 2.18, the Vertical Pod
//! Autoscaler 1.5 and the Prometheus Operator 0.86 decode them, with the types that these decode into.

#![expect(clippy::unwrap_used, reason = "a test helper that cannot go on has nothing to return")]

mod deployed;

use std::collections::{BTreeMap, BTreeSet};

use octollm_scaling::read::{Node, PlainKind, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A Go struct of an operator: camelCase, no other field, absent where empty.
macro_rules! go_types {
    ($($name:ident { $($field:ident : $type:ty),* $(,)? })*) => {
        $(
            #[derive(Debug, Serialize, Deserialize)]
            #[serde(rename_all = "camelCase", deny_unknown_fields)]
            struct $name { $(#[serde(skip_serializing_if = "Absent::absent")] $field: $type,)* }
        )*
    };
}

/// Whether a field is left out when it is written.
trait Absent {
    fn absent(&self) -> bool {
        false
    }
}

impl<T> Absent for Option<T> {
    fn absent(&self) -> bool {
        self.is_none()
    }
}

macro_rules! always_written {
    ($($type:ty),* $(,)?) => { $(impl Absent for $type {})* };
}

always_written!(
    String,
    i32,
    Metadata,
    Target,
    ScaledObjectSpec,
    VpaSpec,
    PodMonitorSpec,
    Selector,
    Map<String>
);
always_written!(TriggerAuthenticationSpec, CrossVersionObjectReference);
impl<T> Absent for Vec<T> {}

type Map<T> = BTreeMap<String, T>;

go_types! {
    Metadata {
        name: String, namespace: Option<String>, labels: Option<Map<String>>, annotations: Option<Map<String>>,
    }

    ScaledObject { api_version: String, kind: String, metadata: Metadata, spec: ScaledObjectSpec }
    ScaledObjectSpec {
        scale_target_ref: Target, polling_interval: Option<i32>, initial_cooldown_period: Option<i32>,
        cooldown_period: Option<i32>, idle_replica_count: Option<i32>, min_replica_count: Option<i32>,
        max_replica_count: Option<i32>, advanced: Option<Advanced>, triggers: Vec<Trigger>,
        fallback: Option<Fallback>,
    }
    Target {
        name: String, api_version: Option<String>, kind: Option<String>,
        env_source_container_name: Option<String>,
    }
    Fallback { failure_threshold: i32, replicas: i32, behavior: Option<String> }
    Advanced {
        horizontal_pod_autoscaler_config: Option<HpaConfig>, restore_to_original_replica_count: Option<bool>,
        scaling_modifiers: Option<Modifiers>,
    }
    HpaConfig { behavior: Option<Behavior>, name: Option<String> }
    Modifiers {
        formula: Option<String>, target: Option<String>, activation_target: Option<String>,
        metric_type: Option<String>,
    }
    Behavior { scale_up: Option<Rules>, scale_down: Option<Rules> }
    Rules {
        stabilization_window_seconds: Option<i32>, select_policy: Option<String>, policies: Option<Vec<Policy>>,
        tolerance: Option<Json>,
    }
    Policy { r#type: String, value: i32, period_seconds: i32 }
    Trigger {
        r#type: String, name: Option<String>, use_cached_metrics: Option<bool>, metadata: Map<String>,
        authentication_ref: Option<AuthenticationRef>, metric_type: Option<String>,
    }
    AuthenticationRef { name: String, kind: Option<String> }

    TriggerAuthentication { api_version: String, kind: String, metadata: Metadata, spec: TriggerAuthenticationSpec }
    TriggerAuthenticationSpec { secret_target_ref: Option<Vec<SecretTarget>>, env: Option<Vec<Json>> }
    SecretTarget { parameter: String, name: String, key: String }

    VerticalPodAutoscaler { api_version: String, kind: String, metadata: Metadata, spec: VpaSpec }
    VpaSpec {
        target_ref: CrossVersionObjectReference, update_policy: Option<UpdatePolicy>,
        resource_policy: Option<ResourcePolicy>, recommenders: Option<Vec<Recommender>>,
    }
    CrossVersionObjectReference { api_version: Option<String>, kind: String, name: String }
    UpdatePolicy {
        update_mode: Option<String>, min_replicas: Option<i32>,
        eviction_requirements: Option<Vec<EvictionRequirement>>,
    }
    EvictionRequirement { resources: Vec<String>, change_requirement: String }
    ResourcePolicy { container_policies: Option<Vec<ContainerPolicy>> }
    ContainerPolicy {
        container_name: Option<String>, mode: Option<String>, min_allowed: Option<Map<Json>>,
        max_allowed: Option<Map<Json>>, controlled_resources: Option<Vec<String>>,
        controlled_values: Option<String>,
    }
    Recommender { name: String }

    PodMonitor { api_version: String, kind: String, metadata: Metadata, spec: PodMonitorSpec }
    PodMonitorSpec {
        selector: Selector, namespace_selector: Option<NamespaceSelector>,
        pod_metrics_endpoints: Option<Vec<Endpoint>>, job_label: Option<String>,
        pod_target_labels: Option<Vec<String>>,
    }
    ServiceMonitor { api_version: String, kind: String, metadata: Metadata, spec: ServiceMonitorSpec }
    ServiceMonitorSpec {
        selector: Selector, namespace_selector: Option<NamespaceSelector>, endpoints: Vec<Endpoint>,
        job_label: Option<String>, target_labels: Option<Vec<String>>, pod_target_labels: Option<Vec<String>>,
    }
    Selector { match_labels: Option<Map<String>>, match_expressions: Option<Vec<Requirement>> }
    Requirement { key: String, operator: String, values: Option<Vec<String>> }
    NamespaceSelector { any: Option<bool>, match_names: Option<Vec<String>> }
    Endpoint {
        port: Option<String>, path: Option<String>, scheme: Option<String>, interval: Option<String>,
        scrape_timeout: Option<String>, honor_labels: Option<bool>, relabelings: Option<Vec<Json>>,
        metric_relabelings: Option<Vec<Json>>,
    }

    PrometheusRule { api_version: String, kind: String, metadata: Metadata, spec: PrometheusRuleSpec }
    PrometheusRuleSpec { groups: Vec<RuleGroup> }
    RuleGroup { name: String, interval: Option<String>, rules: Vec<Rule> }
    Rule {
        record: Option<String>, alert: Option<String>, expr: Json, r#for: Option<String>,
        labels: Option<Map<String>>, annotations: Option<Map<String>>,
    }
}

always_written!(ServiceMonitorSpec, PrometheusRuleSpec, Json);

/// The value as the decoder of a cluster gets it: bare words are what YAML 1.1 takes them for.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect())
        }
        Value::Scalar(scalar) => match scalar.plain_kind() {
            PlainKind::Boolean(value) => value.into(),
            PlainKind::Integer => scalar.integer().unwrap().into(),
            PlainKind::Float => scalar.text.parse::<f64>().unwrap().into(),
            PlainKind::Text => scalar.text.clone().into(),
        },
    }
}

fn there_and_back<T: Serialize + DeserializeOwned>(object: &Json) -> Result<Json, String> {
    let typed: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}

/// Through the types of its kind; `None` for a kind of Kubernetes itself, which has published schemas.
fn typed(object: &Json) -> Option<Result<Json, String>> {
    let word = |key: &str| object[key].as_str().unwrap_or_default();
    let (group, kind) = (word("apiVersion"), word("kind"));
    Some(match (group, kind) {
        ("keda.sh/v1alpha1", "ScaledObject") => there_and_back::<ScaledObject>(object),
        ("keda.sh/v1alpha1", "TriggerAuthentication") => there_and_back::<TriggerAuthentication>(object),
        ("autoscaling.k8s.io/v1", "VerticalPodAutoscaler") => there_and_back::<VerticalPodAutoscaler>(object),
        ("monitoring.coreos.com/v1", "PodMonitor") => there_and_back::<PodMonitor>(object),
        ("monitoring.coreos.com/v1", "ServiceMonitor") => there_and_back::<ServiceMonitor>(object),
        ("monitoring.coreos.com/v1", "PrometheusRule") => there_and_back::<PrometheusRule>(object),
        _ if is_built_in(group) => return None,
        _ => Err(format!("{group} {kind} is a custom kind without types here")),
    })
}

fn is_built_in(api_version: &str) -> bool {
    match api_version.split_once('/') {
        None => api_version == "v1",
        Some((group, _)) => {
            ["apps", "autoscaling", "batch", "policy"].contains(&group)
                || group == "scheduling.k8s.io"
                || group == "networking.k8s.io"
                || group == "rbac.authorization.k8s.io"
        }
    }
}

#[test]
fn every_custom_object_of_every_overlay_comes_back_whole() {
    let loaded = deployed::load_deploy();
    let mut seen = BTreeSet::new();
    for set in loaded.sets.iter().filter(|set| !set.name.is_empty()) {
        for object in &set.objects {
            if object.api_version.is_empty() {
                continue;
            }
            let written = json(&object.root);
            let Some(back) = typed(&written) else { continue };
            let back = back.unwrap_or_else(|error| panic!("{}: {}: {error}", set.name, object.label()));
            assert_eq!(back, written, "{}: {}", set.name, object.label());
            seen.insert(object.kind.as_str());
        }
    }
    let custom = ["PodMonitor", "ScaledObject", "TriggerAuthentication", "VerticalPodAutoscaler"];
    assert!(custom.iter().all(|kind| seen.contains(kind)), "{seen:?}");
}

#[test]
fn a_field_that_an_operator_does_not_know_is_refused() {
    let object = serde_json::json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "a"},
        "spec": {"scaleTargetRef": {"name": "a"}, "triggers": [], "maxReplicas": 3},
    });
    let error = typed(&object).unwrap().unwrap_err();
    assert!(error.contains("unknown field `maxReplicas`"), "{error}");
}

#[test]
fn a_number_where_an_operator_wants_text_is_refused() {
    let object = serde_json::json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "a"},
        "spec": {"scaleTargetRef": {"name": "a"}, "triggers": [{"type": "cron", "metadata": {"desiredReplicas": 1}}]},
    });
    let error = typed(&object).unwrap().unwrap_err();
    assert!(error.contains("expected a string"), "{error}");
}
