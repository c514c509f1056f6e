//! HorizontalPodAutoscaler v2 (and what v1 says of it), and the `behavior` that KEDA shares.

use crate::quantity::Quantity;
use crate::read::{Node, Span};

use super::value::{At, integer, quantity, text};

/// What a scaler acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRef {
    /// `apiVersion`, if written.
    pub api_version: Option<At<String>>,
    /// Kind, as written; `Deployment` where KEDA's default applies.
    pub kind: String,
    /// Name.
    pub name: At<String>,
}

impl TargetRef {
    pub(crate) fn of(node: &Node, default_kind: &str) -> Option<Self> {
        let name = text(node, &["name"])?;
        let kind = text(node, &["kind"]).map_or(default_kind.to_owned(), |kind| kind.value);
        Some(Self { api_version: text(node, &["apiVersion"]), kind, name })
    }
}

/// An HPA as written.
#[derive(Debug, Clone)]
pub struct Hpa {
    /// What it scales.
    pub target: Option<TargetRef>,
    /// `minReplicas`; absent means 1.
    pub min: Option<At<i64>>,
    /// `maxReplicas`.
    pub max: Option<At<i64>>,
    /// `metrics`; a v1 CPU target is given as its v2 equal.
    pub metrics: Vec<Metric>,
    /// `behavior`.
    pub behavior: Option<Behavior>,
}

/// Where a metric comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricSource {
    /// CPU or memory of the pods.
    Resource,
    /// CPU or memory of one container of each pod.
    ContainerResource,
    /// A metric that each pod has.
    Pods,
    /// A metric of one other object.
    Object,
    /// A metric of no object.
    External,
}

/// One entry of `metrics`.
#[derive(Debug, Clone)]
pub struct Metric {
    /// The whole entry.
    pub span: Span,
    /// Where it comes from.
    pub source: MetricSource,
    /// The resource's or metric's name.
    pub name: Option<At<String>>,
    /// The container of a ContainerResource metric.
    pub container: Option<At<String>>,
    /// The object of an Object metric, as `Kind/name`.
    pub described: Option<String>,
    /// The target.
    pub target: MetricTarget,
}

/// The target of a metric.
#[derive(Debug, Clone, Default)]
pub struct MetricTarget {
    /// `type`.
    pub kind: Option<At<String>>,
    /// `averageUtilization`, percent of the request.
    pub utilization: Option<At<i64>>,
    /// `averageValue`.
    pub average: Option<At<Quantity>>,
    /// `value`.
    pub value: Option<At<Quantity>>,
}

/// `behavior`.
#[derive(Debug, Clone)]
pub struct Behavior {
    /// The whole block.
    pub span: Span,
    /// `scaleUp`.
    pub up: Option<Rules>,
    /// `scaleDown`.
    pub down: Option<Rules>,
}

/// The rules of one direction.
#[derive(Debug, Clone)]
pub struct Rules {
    /// `stabilizationWindowSeconds`.
    pub window: Option<At<i64>>,
    /// `selectPolicy`.
    pub select: Option<At<String>>,
    /// `policies`; `None` when absent.
    pub policies: Option<Vec<Policy>>,
    /// `tolerance`.
    pub tolerance: Option<At<Quantity>>,
}

/// One rate policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// `type`: `Pods` or `Percent`.
    pub kind: Option<At<String>>,
    /// `value`.
    pub value: Option<At<i64>>,
    /// `periodSeconds`.
    pub period: Option<At<i64>>,
}

impl Hpa {
    pub(crate) fn of(root: &Node) -> Self {
        let spec = root.get("spec");
        let at = |key: &str| spec.and_then(|spec| spec.get(key));
        let metrics = at("metrics").map_or(&[][..], Node::items);
        let mut metrics: Vec<_> = metrics.iter().filter_map(Metric::of).collect();
        if let Some(percent) = spec.and_then(|spec| integer(spec, &["targetCPUUtilizationPercentage"])) {
            metrics.push(Metric {
                span: percent.span,
                source: MetricSource::Resource,
                name: Some(At::new("cpu".to_owned(), percent.span)),
                container: None,
                described: None,
                target: MetricTarget { utilization: Some(percent), ..MetricTarget::default() },
            });
        }
        Self {
            target: at("scaleTargetRef").and_then(|node| TargetRef::of(node, "")),
            min: spec.and_then(|spec| integer(spec, &["minReplicas"])),
            max: spec.and_then(|spec| integer(spec, &["maxReplicas"])),
            metrics,
            behavior: at("behavior").map(Behavior::of),
        }
    }

    /// `minReplicas`, defaulted.
    pub fn min_replicas(&self) -> i64 {
        self.min.as_ref().map_or(1, |min| min.value)
    }
}

impl Metric {
    fn of(node: &Node) -> Option<Self> {
        let kind = text(node, &["type"])?;
        let (source, body) = match kind.value.as_str() {
            "Resource" => (MetricSource::Resource, node.get("resource")),
            "ContainerResource" => (MetricSource::ContainerResource, node.get("containerResource")),
            "Pods" => (MetricSource::Pods, node.get("pods")),
            "Object" => (MetricSource::Object, node.get("object")),
            "External" => (MetricSource::External, node.get("external")),
            // The closed set of the field table reports it.
            _ => return None,
        };
        let name = body.and_then(|body| match source {
            MetricSource::Resource | MetricSource::ContainerResource => text(body, &["name"]),
            MetricSource::Pods | MetricSource::Object | MetricSource::External => {
                text(body, &["metric", "name"])
            }
        });
        let described = body.and_then(|body| {
            let kind = text(body, &["describedObject", "kind"])?;
            let name = text(body, &["describedObject", "name"])?;
            Some(format!("{}/{}", kind.value, name.value))
        });
        let target = body.and_then(|body| body.get("target")).map_or_else(MetricTarget::default, |target| {
            MetricTarget {
                kind: text(target, &["type"]),
                utilization: integer(target, &["averageUtilization"]),
                average: quantity(target, &["averageValue"]),
                value: quantity(target, &["value"]),
            }
        });
        let container = body.and_then(|body| text(body, &["container"]));
        Some(Self { span: node.span, source, name, container, described, target })
    }

    /// The name, or a word for its absence.
    pub fn label(&self) -> &str {
        self.name.as_ref().map_or("(unnamed)", |name| name.value.as_str())
    }
}

impl Behavior {
    pub(crate) fn of(node: &Node) -> Self {
        Self {
            span: node.span,
            up: node.get("scaleUp").map(Rules::of),
            down: node.get("scaleDown").map(Rules::of),
        }
    }
}

impl Rules {
    fn of(node: &Node) -> Self {
        Self {
            window: integer(node, &["stabilizationWindowSeconds"]),
            select: text(node, &["selectPolicy"]),
            policies: node.get("policies").map(|policies| {
                policies
                    .items()
                    .iter()
                    .map(|item| Policy {
                        kind: text(item, &["type"]),
                        value: integer(item, &["value"]),
                        period: integer(item, &["periodSeconds"]),
                    })
                    .collect()
            }),
            tolerance: quantity(node, &["tolerance"]),
        }
    }
}
