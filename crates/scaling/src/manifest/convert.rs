//! Manifests to the engine's plain specs: what is written, defaulted as the API server defaults it.
//!
//! A value that is missing or out of range gives `None` or a bound, never a panic; the field tables and the
//! lint report it.

use crate::quantity::Quantity;
use crate::{hpa, keda, vpa};

use super::hpa::{Behavior, Hpa, Metric, MetricSource, Rules};
use super::scaled_object::{ScaledObject, Trigger};
use super::value::At;
use super::vpa::{ContainerPolicy, Vpa};

fn small(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

impl Hpa {
    /// The engine's spec; `None` without `maxReplicas`, which the API server wants.
    pub fn spec(&self) -> Option<hpa::Spec> {
        let controller = hpa::Controller::default();
        Some(hpa::Spec {
            min_replicas: small(self.min_replicas()),
            max_replicas: small(self.max.as_ref()?.value),
            metrics: self.metrics.iter().map(Metric::spec).collect(),
            behavior: self.behavior.as_ref().map(|behavior| behavior.spec(&controller)),
            controller,
        })
    }
}

impl Metric {
    fn spec(&self) -> hpa::Metric {
        let name = self.label().to_owned();
        let average = || self.target.average.as_ref().map(|average| average.value.milli());
        let resource_target = || match (&self.target.utilization, average()) {
            (Some(percent), _) => hpa::ResourceTarget::Utilization(small(percent.value)),
            (None, Some(milli)) => hpa::ResourceTarget::AverageMilli(milli),
            (None, None) => hpa::ResourceTarget::Unset,
        };
        let value_target = || match (&self.target.value, average()) {
            (Some(value), _) => hpa::ValueTarget::Milli(value.value.milli()),
            (None, Some(milli)) => hpa::ValueTarget::AverageMilli(milli),
            (None, None) => hpa::ValueTarget::Unset,
        };
        match self.source {
            MetricSource::Resource => {
                hpa::Metric::Resource { resource: hpa::Resource::named(&name), target: resource_target() }
            }
            MetricSource::ContainerResource => hpa::Metric::ContainerResource {
                container: self.container.as_ref().map_or(String::new(), |container| container.value.clone()),
                resource: hpa::Resource::named(&name),
                target: resource_target(),
            },
            MetricSource::Pods => hpa::Metric::Pods { name, average_milli: average().unwrap_or(0) },
            MetricSource::Object => hpa::Metric::Object {
                name,
                described: self.described.clone().unwrap_or_default(),
                target: value_target(),
            },
            MetricSource::External => hpa::Metric::External { name, target: value_target() },
        }
    }
}

impl Behavior {
    /// The engine's behavior, defaulted.
    pub fn spec(&self, controller: &hpa::Controller) -> hpa::Behavior {
        hpa::Behavior::defaulted(
            self.up.as_ref().map(Rules::spec),
            self.down.as_ref().map(Rules::spec),
            controller.downscale_window_seconds,
        )
    }
}

impl Rules {
    fn spec(&self) -> hpa::RulesAsWritten {
        let policies = self.policies.as_ref().map(|policies| {
            policies
                .iter()
                .filter_map(|policy| {
                    Some(hpa::Policy {
                        kind: match policy.kind.as_ref()?.value.as_str() {
                            "Pods" => hpa::PolicyKind::Pods,
                            "Percent" => hpa::PolicyKind::Percent,
                            _ => return None,
                        },
                        value: small(policy.value.as_ref()?.value),
                        period_seconds: small(policy.period.as_ref()?.value),
                    })
                })
                .collect()
        });
        hpa::RulesAsWritten {
            stabilization_seconds: self.window.as_ref().map(|window| small(window.value)),
            select: self.select.as_ref().and_then(|select| match select.value.as_str() {
                "Max" => Some(hpa::SelectPolicy::Max),
                "Min" => Some(hpa::SelectPolicy::Min),
                "Disabled" => Some(hpa::SelectPolicy::Disabled),
                _ => None,
            }),
            policies,
            tolerance: self.tolerance.as_ref().and_then(|t| hpa::Tolerance::new(t.value.as_f64())),
        }
    }
}

impl ScaledObject {
    /// The engine's spec. Triggers that cannot be read are left out; `lint` names them.
    pub fn spec(&self) -> keda::Spec {
        let controller = hpa::Controller::default();
        let seconds = |at: &Option<At<i64>>, default: i64| at.as_ref().map_or(default, |at| at.value);
        keda::Spec {
            polling_seconds: seconds(&self.polling, 30),
            cooldown_seconds: seconds(&self.cooldown, 300),
            idle_replicas: self.idle.as_ref().map(|idle| small(idle.value)),
            min_replicas: small(self.min_replicas()),
            max_replicas: small(self.max_replicas()),
            fallback: self.fallback.as_ref().map(|replicas| keda::Fallback {
                failure_threshold: self
                    .fallback_threshold
                    .as_ref()
                    .and_then(|at| u32::try_from(at.value).ok())
                    .unwrap_or(0),
                replicas: small(replicas.value),
            }),
            behavior: self.behavior.as_ref().map(|behavior| behavior.spec(&controller)),
            triggers: self.triggers.iter().filter_map(Trigger::spec).collect(),
            controller,
            ..keda::Spec::default()
        }
    }
}

impl Trigger {
    /// The engine's trigger; `None` when its metadata lacks or misspells what it needs.
    pub fn spec(&self) -> Option<keda::Trigger> {
        let metric_type = match self.metric_type.as_ref().map(|kind| kind.value.as_str()) {
            Some("Value") => keda::MetricType::Value,
            Some(_) | None => keda::MetricType::AverageValue,
        };
        let kind = match self.kind.value.as_str() {
            "cron" => keda::TriggerKind::Cron(keda::CronTrigger {
                zone: keda::Zone::named(&self.get("timezone")?.value).ok()?,
                start: keda::Cron::parse(&self.get("start")?.value).ok()?,
                end: keda::Cron::parse(&self.get("end")?.value).ok()?,
                desired_replicas: self.get("desiredReplicas")?.value.trim().parse().ok()?,
            }),
            "prometheus" => keda::TriggerKind::Prometheus(self.target("threshold", "activationThreshold")?),
            "metrics-api" => {
                keda::TriggerKind::MetricsApi(self.target("targetValue", "activationTargetValue")?)
            }
            "postgresql" => {
                keda::TriggerKind::Postgresql(self.target("targetQueryValue", "activationTargetQueryValue")?)
            }
            "cpu" | "memory" => self.resource()?,
            other => keda::TriggerKind::Other {
                source: other.to_owned(),
                target: [
                    "threshold",
                    "targetValue",
                    "queueLength",
                    "lagThreshold",
                    "value",
                    "listLength",
                    "length",
                ]
                .iter()
                .find_map(|key| self.target(key, "activationThreshold"))?,
            },
        };
        Some(keda::Trigger { name: self.name.as_ref().map(|name| name.value.clone()), kind, metric_type })
    }

    fn target(&self, target: &str, activation: &str) -> Option<keda::Target> {
        let number = |key: &str| self.get(key)?.value.trim().parse::<f64>().ok();
        Some(keda::Target {
            target_milli: keda::milli_of(number(target)?),
            activation_milli: number(activation).map_or(0, keda::milli_of),
        })
    }

    fn resource(&self) -> Option<keda::TriggerKind> {
        let value = &self.get("value")?.value;
        let kind = self.metric_type.as_ref().or_else(|| self.get("type")).map(|kind| kind.value.as_str());
        let target = match kind {
            Some("AverageValue") => {
                hpa::ResourceTarget::AverageMilli(value.parse::<Quantity>().ok()?.milli())
            }
            Some(_) | None => hpa::ResourceTarget::Utilization(value.trim().parse().ok()?),
        };
        Some(keda::TriggerKind::Resource {
            resource: hpa::Resource::named(&self.kind.value),
            container: self.get("containerName").map(|name| name.value.clone()),
            target,
        })
    }
}

impl Vpa {
    /// How the recommender and the updater treat its containers.
    pub fn spec(&self) -> vpa::Spec {
        let default = vpa::Spec::default();
        vpa::Spec {
            update_mode: self
                .mode
                .as_ref()
                .and_then(|mode| vpa::UpdateMode::parse(&mode.value))
                .unwrap_or(default.update_mode),
            min_replicas: self.min_replicas.as_ref().map_or(default.min_replicas, |min| small(min.value)),
            containers: self.containers.iter().map(ContainerPolicy::spec).collect(),
        }
    }
}

impl ContainerPolicy {
    fn spec(&self) -> vpa::ContainerPolicy {
        let amounts = |bounds: &[Option<At<Quantity>>; 2]| vpa::Amounts {
            cpu_milli: bounds[0].as_ref().map(|cpu| cpu.value.milli()),
            memory_bytes: bounds[1].as_ref().map(|memory| memory.value.units()),
        };
        let controls = |resource: &str| {
            self.controlled.as_ref().is_none_or(|names| names.iter().any(|name| name.value == resource))
        };
        vpa::ContainerPolicy {
            scope: match self.name.as_ref().map(|name| name.value.as_str()) {
                Some("*") | None => vpa::ContainerScope::All,
                Some(name) => vpa::ContainerScope::Named(name.to_owned()),
            },
            mode: match self.mode.as_ref().map(|mode| mode.value.as_str()) {
                Some("Off") => vpa::ScalingMode::Off,
                Some(_) | None => vpa::ScalingMode::Auto,
            },
            min_allowed: amounts(&self.min),
            max_allowed: amounts(&self.max),
            controlled: vpa::Controlled { cpu: controls("cpu"), memory: controls("memory") },
            values: match self.values.as_ref().map(|values| values.value.as_str()) {
                Some("RequestsOnly") => vpa::ControlledValues::RequestsOnly,
                Some(_) | None => vpa::ControlledValues::RequestsAndLimits,
            },
        }
    }
}
