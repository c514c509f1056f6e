//! A ScaledObject, and the HPA KEDA makes of it.

use super::trigger::{Measured, MetricType, Trigger, TriggerKind};
use crate::hpa::{self, Behavior, Controller, Reading};
use crate::moment::Moment;

/// One ScaledObject, defaulted.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// `pollingInterval` in seconds; 30 where the manifest is silent.
    pub polling_seconds: i64,
    /// `cooldownPeriod` in seconds; 300 where the manifest is silent.
    pub cooldown_seconds: i64,
    /// `initialCooldownPeriod` in seconds; 0 where the manifest is silent.
    pub initial_cooldown_seconds: i64,
    /// `idleReplicaCount`.
    pub idle_replicas: Option<i32>,
    /// `minReplicaCount`; 0 where the manifest is silent.
    pub min_replicas: i32,
    /// `maxReplicaCount`; 100 where the manifest is silent.
    pub max_replicas: i32,
    /// The annotation `autoscaling.keda.sh/paused-replicas`.
    pub paused_at: Option<i32>,
    /// `fallback`.
    pub fallback: Option<Fallback>,
    /// `advanced.horizontalPodAutoscalerConfig.behavior`, defaulted.
    pub behavior: Option<Behavior>,
    /// `triggers`.
    pub triggers: Vec<Trigger>,
    /// The flags of the HPA's controller.
    pub controller: Controller,
}

impl Default for Spec {
    fn default() -> Self {
        Spec {
            polling_seconds: 30,
            cooldown_seconds: 300,
            initial_cooldown_seconds: 0,
            idle_replicas: None,
            min_replicas: 0,
            max_replicas: 100,
            paused_at: None,
            fallback: None,
            behavior: None,
            triggers: Vec::new(),
            controller: Controller::default(),
        }
    }
}

/// What stands in for a source that keeps failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback {
    /// Consecutive failures from which it stands in.
    pub failure_threshold: u32,
    /// Replicas it asks for.
    pub replicas: i32,
}

/// Something KEDA's admission refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpecFault {
    /// No triggers.
    #[error("triggers must not be empty")]
    NoTriggers,
    /// `minReplicaCount` above `maxReplicaCount`.
    #[error("minReplicaCount must not be greater than maxReplicaCount")]
    MaxBelowMin,
    /// `idleReplicaCount` not below `minReplicaCount`.
    #[error("idleReplicaCount must be less than minReplicaCount")]
    IdleNotBelowMin,
    /// Only cpu and memory triggers, with a minimum of 0.
    #[error("cpu and memory triggers cannot scale to zero: minReplicaCount must be at least 1")]
    ResourceTriggersAtZero,
    /// A cron trigger whose start and end are the same.
    #[error("triggers[{trigger}]: start and end must not be the same")]
    CronWithoutLength {
        /// Index of the trigger.
        trigger: usize,
    },
    /// A fallback for a trigger whose metric type it cannot serve.
    #[error("triggers[{trigger}]: a fallback needs metricType AverageValue")]
    FallbackNeedsAverage {
        /// Index of the trigger.
        trigger: usize,
    },
    /// A target that is not positive.
    #[error("triggers[{trigger}]: the target must be positive")]
    TargetNotPositive {
        /// Index of the trigger.
        trigger: usize,
    },
}

impl Spec {
    /// The HPA that KEDA makes. Its minimum is at least 1: zero is KEDA's own business.
    #[must_use]
    pub fn hpa(&self) -> hpa::Spec {
        hpa::Spec {
            min_replicas: self.min_replicas.max(1),
            max_replicas: self.max_replicas,
            metrics: self.triggers.iter().enumerate().map(|(index, t)| t.metric(index)).collect(),
            behavior: self.behavior.clone(),
            controller: self.controller,
        }
    }

    /// What the HPA reads for each trigger. Resource triggers come from the resource metrics API,
    /// not from here: their readings are failures that the caller replaces.
    #[must_use]
    pub fn readings(&self, measured: &[Measured], now: Moment) -> Vec<Reading> {
        self.triggers
            .iter()
            .enumerate()
            .map(|(index, trigger)| {
                let measured = measured.get(index);
                trigger.reading(measured, self.fallback_milli(index, measured), now)
            })
            .collect()
    }

    /// What a failing trigger reports instead: enough for the fallback's replicas.
    fn fallback_milli(&self, index: usize, measured: Option<&Measured>) -> Option<i64> {
        let fallback = self.fallback?;
        let Some(Measured::Failed { times, .. }) = measured else { return None };
        if *times <= fallback.failure_threshold {
            return None;
        }
        let trigger = self.triggers.get(index)?;
        if trigger.metric_type != MetricType::AverageValue {
            return None;
        }
        match &trigger.kind {
            TriggerKind::Cron(_) | TriggerKind::Resource { .. } => None,
            TriggerKind::Prometheus(target)
            | TriggerKind::MetricsApi(target)
            | TriggerKind::Postgresql(target)
            | TriggerKind::Other { target, .. } => {
                Some(target.target_milli.saturating_mul(i64::from(fallback.replicas)))
            }
        }
    }

    /// What KEDA's admission refuses.
    #[must_use]
    pub fn faults(&self) -> Vec<SpecFault> {
        let mut faults = Vec::new();
        if self.triggers.is_empty() {
            faults.push(SpecFault::NoTriggers);
        }
        if self.max_replicas < self.min_replicas {
            faults.push(SpecFault::MaxBelowMin);
        }
        if self.idle_replicas.is_some_and(|idle| idle >= self.min_replicas) {
            faults.push(SpecFault::IdleNotBelowMin);
        }
        let only_resources = self.triggers.iter().all(|t| matches!(t.kind, TriggerKind::Resource { .. }));
        if only_resources && !self.triggers.is_empty() && self.min_replicas == 0 {
            faults.push(SpecFault::ResourceTriggersAtZero);
        }
        for (trigger, entry) in self.triggers.iter().enumerate() {
            match &entry.kind {
                TriggerKind::Cron(cron) if cron.start == cron.end => {
                    faults.push(SpecFault::CronWithoutLength { trigger });
                }
                TriggerKind::Cron(_) | TriggerKind::Resource { .. } => {}
                TriggerKind::Prometheus(target)
                | TriggerKind::MetricsApi(target)
                | TriggerKind::Postgresql(target)
                | TriggerKind::Other { target, .. } => {
                    if target.target_milli <= 0 {
                        faults.push(SpecFault::TargetNotPositive { trigger });
                    }
                    if self.fallback.is_some() && entry.metric_type != MetricType::AverageValue {
                        faults.push(SpecFault::FallbackNeedsAverage { trigger });
                    }
                }
            }
        }
        faults
    }
}
