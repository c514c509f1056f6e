//! What an operator and an autoscaler see: the arms, and what waits for each.

use super::{App, Caller};
use octollm_access::TenantScope;
use octollm_contract::{
    ArmName, Component, Edition, Timestamp,
    api::{ArmView, ScalingView},
};
use octollm_store::{Backlog, StoreError};

impl App {
    /// The arms that can be asked for anything now, who is at work for them, and for whoever may see all
    /// tenants how many steps are (P7).
    pub async fn arms(&self, caller: &Caller) -> Result<Vec<ArmView>, StoreError> {
        let mut arms = Vec::with_capacity(ArmName::ALL.len());
        for name in ArmName::ALL.iter().copied() {
            let running = match caller.figures() {
                TenantScope::System => Some(self.parts.store.backlog(name).await?.leased),
                TenantScope::Only(_) => None,
            };
            arms.push(ArmView {
                name,
                tools: self.workers.tools(name, self.now()),
                workers: self.workers.seen_lately(name, self.now()),
                running: running.map(|steps| u32::try_from(steps).unwrap_or(u32::MAX)),
            });
        }
        Ok(arms)
    }

    /// What every program over the store reads of plans.
    pub(crate) fn read_by_all(&self) -> Edition {
        self.parts.store.read_by_all()
    }

    /// What waits and runs for an arm: one truth over all tenants, from the store.
    pub async fn scaling(&self, arm: ArmName) -> Result<ScalingView, StoreError> {
        let backlog = self.backlog(arm).await?;
        Ok(ScalingView {
            component: Component::from(arm),
            ready: backlog.ready,
            leased: backlog.leased,
            oldest_seconds: oldest_seconds(&backlog, self.now()),
            rate_per_second: per_second(backlog.ended_last_minute),
        })
    }

    pub(crate) async fn backlog(&self, arm: ArmName) -> Result<Backlog, StoreError> {
        self.parts.store.backlog(arm).await
    }

    /// Whether the store answers, this process takes work, and a disk of its own has space.
    pub async fn ready(&self) -> Result<(), NotReady> {
        self.parts.store.open_tasks().await?;
        if self.is_draining() {
            return Err(NotReady::Draining);
        }
        if self.parts.store.is_full() {
            return Err(NotReady::Full);
        }
        Ok(())
    }
}

/// Why this process should be given no work.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It is going away.
    #[error("the server is shutting down")]
    Draining,
    /// A write found no space on this process's own disk, and there is none yet. What is read goes on.
    #[error("the store's disk is full: nothing can be written until there is space again")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How long the oldest ready step has waited.
pub(crate) fn oldest_seconds(backlog: &Backlog, now: Timestamp) -> f64 {
    backlog.oldest.map_or(0.0, |since| now.since(since).to_duration().as_secs_f64())
}

pub(crate) fn per_second(in_a_minute: u64) -> f64 {
    f64::from(u32::try_from(in_a_minute).unwrap_or(u32::MAX)) / 60.0
}
