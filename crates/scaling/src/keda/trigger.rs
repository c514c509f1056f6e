//! Triggers: what each reports, when it is active, and what target it gives the HPA.

use super::cron::Cron;
use super::zone::Zone;
use crate::hpa::{Metric, Reading, ReadingError, Resource, ResourceTarget, ValueTarget};
use crate::moment::Moment;

/// One entry of `spec.triggers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// `name`, if it has one.
    pub name: Option<String>,
    /// `type` and `metadata`.
    pub kind: TriggerKind,
    /// `metricType`.
    pub metric_type: MetricType,
}

/// `type` of a trigger with what its metadata says.
#[derive(Debug, Clone, PartialEq)]
pub enum TriggerKind {
    /// `cron`.
    Cron(CronTrigger),
    /// `prometheus`: `threshold` and `activationThreshold`.
    Prometheus(Target),
    /// `metrics-api`: `targetValue` and `activationTargetValue`.
    MetricsApi(Target),
    /// `postgresql`: `targetQueryValue` and `activationTargetQueryValue`.
    Postgresql(Target),
    /// `cpu` or `memory`: a Resource metric of the HPA; it never activates anything.
    Resource {
        /// The resource.
        resource: Resource,
        /// The container, if one is named.
        container: Option<String>,
        /// What is aimed at.
        target: ResourceTarget,
    },
    /// Any other type whose target is known.
    Other {
        /// The type as written.
        source: String,
        /// Its target and activation.
        target: Target,
    },
}

/// Replicas wanted between two cron moments.
#[derive(Debug, Clone, PartialEq)]
pub struct CronTrigger {
    /// `timezone`.
    pub zone: Zone,
    /// `start`.
    pub start: Cron,
    /// `end`.
    pub end: Cron,
    /// `desiredReplicas`.
    pub desired_replicas: i32,
}

/// Target and activation threshold in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// What one replica should carry (AverageValue), or all together (Value).
    pub target_milli: i64,
    /// The trigger is active above this.
    pub activation_milli: i64,
}

/// `metricType` of a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricType {
    /// The value divided by the replicas is held at the target. KEDA's default.
    #[default]
    AverageValue,
    /// The value is held at the target.
    Value,
}

/// What a trigger's source answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Measured {
    /// A value.
    Value(f64),
    /// The source failed, for this many polls in a row.
    Failed {
        /// Consecutive failures, this one included.
        times: u32,
        /// What it said.
        message: String,
    },
    /// Nothing to measure: cron and resource triggers.
    Nothing,
}

/// What a trigger says at one poll.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// Its value in thousandths and whether it is active.
    Value { milli: i64, active: bool },
    /// Its source failed.
    Error { times: u32, message: String },
    /// It has no say about activity.
    Silent,
}

impl CronTrigger {
    /// Whether its time is now: the next end comes no later than the next start.
    #[must_use]
    pub fn is_active(&self, now: Moment) -> bool {
        match (self.start.next(&self.zone, now), self.end.next(&self.zone, now)) {
            (Some(start), Some(end)) => end <= start,
            // A schedule without a next moment counts as the zero time upstream: always past.
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (None, None) => false,
        }
    }

    /// When it next turns on or off.
    #[must_use]
    pub fn next_turn(&self, now: Moment) -> Option<Moment> {
        if self.is_active(now) { self.end.next(&self.zone, now) } else { self.start.next(&self.zone, now) }
    }
}

impl Trigger {
    /// The HPA's metric for this trigger at `index` of `spec.triggers`.
    #[must_use]
    pub fn metric(&self, index: usize) -> Metric {
        let target_milli = match &self.kind {
            TriggerKind::Resource { resource, container: None, target } => {
                return Metric::Resource { resource: resource.clone(), target: *target };
            }
            TriggerKind::Resource { resource, container: Some(container), target } => {
                let (container, resource) = (container.clone(), resource.clone());
                return Metric::ContainerResource { container, resource, target: *target };
            }
            TriggerKind::Cron(_) => 1000,
            TriggerKind::Prometheus(target)
            | TriggerKind::MetricsApi(target)
            | TriggerKind::Postgresql(target)
            | TriggerKind::Other { target, .. } => target.target_milli,
        };
        let target = match self.metric_type {
            MetricType::AverageValue => ValueTarget::AverageMilli(target_milli),
            MetricType::Value => ValueTarget::Milli(target_milli),
        };
        Metric::External { name: self.metric_name(index), target }
    }

    /// The name KEDA gives the external metric; without what the metadata adds to it.
    #[must_use]
    pub fn metric_name(&self, index: usize) -> String {
        let kind = match &self.kind {
            TriggerKind::Cron(cron) => {
                format!("cron-{}-{}-{}", plain(cron.zone.name()), squeezed(&cron.start), squeezed(&cron.end))
            }
            TriggerKind::Prometheus(_) => "prometheus".into(),
            TriggerKind::MetricsApi(_) => "metric-api".into(),
            TriggerKind::Postgresql(_) => "postgresql".into(),
            TriggerKind::Resource { resource, .. } => resource.to_string(),
            TriggerKind::Other { source, .. } => plain(source),
        };
        format!("s{index}-{kind}")
    }

    pub(super) fn said(&self, measured: Option<&Measured>, now: Moment) -> Said {
        let target = match &self.kind {
            TriggerKind::Resource { .. } => return Said::Silent,
            TriggerKind::Cron(cron) => {
                let active = cron.is_active(now);
                let replicas = if active { i64::from(cron.desired_replicas) } else { 1 };
                return Said::Value { milli: replicas.saturating_mul(1000), active };
            }
            TriggerKind::Prometheus(target)
            | TriggerKind::MetricsApi(target)
            | TriggerKind::Postgresql(target)
            | TriggerKind::Other { target, .. } => target,
        };
        match measured {
            Some(Measured::Value(value)) => {
                let milli = milli_of(*value);
                Said::Value { milli, active: *value * 1000.0 > float(target.activation_milli) }
            }
            Some(Measured::Failed { times, message }) => {
                Said::Error { times: *times, message: message.clone() }
            }
            Some(Measured::Nothing) | None => {
                Said::Error { times: 1, message: "nothing was measured".into() }
            }
        }
    }

    /// What the HPA reads for this trigger. `fallback` replaces a failing source.
    pub(super) fn reading(&self, measured: Option<&Measured>, fallback: Option<i64>, now: Moment) -> Reading {
        match self.said(measured, now) {
            Said::Value { milli, .. } => Reading::Series(vec![milli]),
            Said::Error { message, .. } => match fallback {
                Some(milli) => Reading::Series(vec![milli]),
                None => Reading::Failed(ReadingError::Api(message)),
            },
            Said::Silent => Reading::Failed(ReadingError::NoMetrics),
        }
    }
}

/// A value in thousandths, truncated toward zero as KEDA does; saturating, 0 if undefined.
#[expect(clippy::cast_possible_truncation, reason = "float to int casts saturate, NaN becomes 0")]
#[must_use]
pub fn milli_of(value: f64) -> i64 {
    (value * 1000.0) as i64
}

#[expect(clippy::cast_precision_loss, reason = "a threshold")]
fn float(milli: i64) -> f64 {
    milli as f64
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if "/.:%()".contains(c) { '-' } else { c }).collect()
}

fn squeezed(cron: &Cron) -> String {
    cron.to_string().replace(' ', "").replace('*', "x").replace('/', "Sl").replace('?', "Qm")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn office_hours(desired_replicas: i32) -> CronTrigger {
        CronTrigger {
            zone: Zone::named("Europe/Berlin").expect("bundled"),
            start: Cron::parse("0 8 * * 1-5").expect("an expression"),
            end: Cron::parse("0 18 * * 1-5").expect("an expression"),
            desired_replicas,
        }
    }

    fn at(text: &str) -> Moment {
        let time: jiff::Timestamp = text.parse().expect("a time");
        Moment::from_millis(time.as_millisecond())
    }

    #[test]
    fn a_cron_trigger_is_active_from_its_start_until_its_end() {
        let cron = office_hours(45);
        for (time, active) in [
            ("2026-03-27T06:59:59Z", false),
            ("2026-03-27T07:00:00Z", true),
            ("2026-03-27T16:59:59Z", true),
            ("2026-03-27T17:00:00Z", false),
            // Two days later the clock has moved: eight o'clock is 06:00 UTC.
            ("2026-03-30T05:59:59Z", false),
            ("2026-03-30T06:00:00Z", true),
        ] {
            assert_eq!(cron.is_active(at(time)), active, "{time}");
        }
    }

    #[test]
    fn a_trigger_is_active_above_its_activation_and_not_at_it() {
        let target = Target { target_milli: 5000, activation_milli: 2000 };
        let trigger =
            Trigger { name: None, kind: TriggerKind::Prometheus(target), metric_type: MetricType::default() };
        let active = |value| match trigger.said(Some(&Measured::Value(value)), Moment::default()) {
            Said::Value { active, .. } => active,
            Said::Error { .. } | Said::Silent => false,
        };
        assert!(!active(2.0));
        assert!(active(2.0001));
        assert!(!active(f64::NAN));
    }

    #[test]
    fn a_cron_metric_has_kedas_name() {
        let trigger = Trigger {
            name: None,
            kind: TriggerKind::Cron(office_hours(1)),
            metric_type: MetricType::default(),
        };
        assert_eq!(trigger.metric_name(0), "s0-cron-Europe-Berlin-08xx1-5-018xx1-5");
    }
}
