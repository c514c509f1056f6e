//! The shapes of `GET /usage` and `GET /arms/usage`: what ended, and what model calls cost.

use crate::{ArmName, Cost, Day, MicroUsd, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /usage`: what tasks came to and what model calls cost, by day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsagePage {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// What was committed by then is counted; of what came later some may be.
    pub as_of: Timestamp,
    /// The days on which anything ended, in order; of a key that sees all tenants, one for each tenant.
    pub days: Vec<UsageDay>,
    /// For `?cursor=`, with the same days and tenant; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A day of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageDay {
    /// The day, of UTC.
    pub day: Day,
    /// Whose.
    pub tenant: TenantId,
    /// Tasks that ended on it.
    pub tasks: TasksEnded,
    /// Model calls that were settled on it.
    pub calls: CallsSettled,
}

/// How tasks ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TasksEnded {
    /// With a result.
    pub completed: u64,
    /// Without.
    pub failed: u64,
    /// Because a client wished so.
    pub cancelled: u64,
}

/// What model calls used. A call counts when it is settled, also one of a task that goes on; one that used
/// nothing, such as one that the provider turned away, does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallsSettled {
    /// How many.
    pub settled: u64,
    /// Those of them whose price nobody knows.
    pub unpriced: u64,
    /// What they cost, in US dollars; null when the price of one of them is not known.
    pub cost_usd: Cost,
    /// What those with a known price cost, in US dollars.
    pub known_cost_usd: MicroUsd,
    /// Tokens, of questions and answers together.
    pub tokens: u64,
}

/// `GET /arms/usage`: how the steps of each arm ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArmsUsage {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// What was committed by then is counted; of what came later some may be.
    pub as_of: Timestamp,
    /// The arms of which a step ended or a call was settled, in the order of the design.
    pub arms: Vec<ArmUsage>,
}

/// How the steps of an arm ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArmUsage {
    /// The arm.
    pub name: ArmName,
    /// Steps with a result.
    pub done: u64,
    /// Steps that failed for good.
    pub failed: u64,
    /// Steps that were not done to the end, because their task ended or its plan was revised.
    pub cancelled: u64,
    /// Leases that all these steps took.
    pub attempts: u64,
    /// From the lease to the result, of the attempts that gave one, in seconds; null when none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_seconds: Option<f64>,
    /// The longest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_seconds: Option<f64>,
    /// The model calls of its steps.
    pub calls: CallsSettled,
}
