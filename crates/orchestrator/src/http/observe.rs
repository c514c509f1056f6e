//! `/api/v1/arms` and `/api/v1/scaling/{component}`.

use super::{
    Serving,
    extract::{ArmsRead, Authed, Id, NoParams, ScalingRead},
    refusal::{Problems, Refused},
};
use axum::{Json as Answer, extract::State};
use octollm_contract::{
    Component,
    api::{ArmView, ScalingView},
};

/// The arms, what each can be asked, and who is at work for it. How many steps are at work is shown to
/// admins and operators of the tenant `default`: it is counted over all tenants.
#[utoipa::path(
    get, path = "/api/v1/arms", tag = "observe",
    responses(
        (status = 200, body = Vec<ArmView>),
        Problems,
    ),
    security(("key" = ["arms:read"]))
)]
pub(super) async fn arms(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<ArmsRead>,
    _: NoParams,
) -> Result<Answer<Vec<ArmView>>, Refused> {
    Ok(Answer(serving.app.arms(&caller).await?))
}

/// The signal that a component scales on: one truth over all tenants. For the orchestrator,
/// `leased` is its requests in flight. There is no reflex here.
#[utoipa::path(
    get, path = "/api/v1/scaling/{component}", tag = "observe",
    params(("component" = Component, Path)),
    responses(
        (status = 200, body = ScalingView),
        Problems,
    ),
    security(("key" = ["scaling:read"]))
)]
pub(super) async fn scaling(
    State(serving): State<Serving>,
    _: Authed<ScalingRead>,
    Id(component): Id<Component>,
    _: NoParams,
) -> Result<Answer<ScalingView>, Refused> {
    match component {
        Component::Reflex => Err(Refused::nothing_here()),
        Component::Orchestrator => Ok(Answer(serving.metrics.own_load())),
        Component::Planner
        | Component::Executor
        | Component::Coder
        | Component::Judge
        | Component::Guardian
        | Component::Retriever => {
            let arm = component.arm().ok_or_else(Refused::nothing_here)?;
            Ok(Answer(serving.app.scaling(arm).await?))
        }
    }
}
