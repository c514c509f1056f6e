//! `/api/v1/usage` and `/api/v1/arms/usage`.

use super::{
    Serving,
    extract::{ArmsRead, Authed, Carried, Params, SeenBefore, TasksRead, Told},
    refusal::{Problems, Refused},
};
use crate::{UsageAsk, app::DAYS_MAX};
use axum::{Json as Answer, extract::State};
use octollm_contract::{
    Day, TenantId,
    api::{ArmsUsage, UsagePage},
};

/// How tasks ended and what their model calls cost, by day. A key of an admin of the tenant `default`
/// sees all tenants, every other its own.
#[utoipa::path(
    get, path = "/api/v1/usage", tag = "observe",
    params(
        SeenBefore,
        ("from" = Option<Day>, Query, description = "The first day; 30 days are shown when absent, 400 at most"),
        ("to" = Option<Day>, Query, description = "The last day; today when absent"),
        ("tenant" = Option<TenantId>, Query, description = "Only this tenant"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 1000, description = "Days on a page, of each tenant one; 1000 when absent"),
    ),
    responses(
        (status = 200, body = UsagePage, headers(("Octollm-Seen" = String, description = "Send it with the next reads: they are no older than this answer. Absent where the store has no positions"))),
        Problems,
    ),
    security(("key" = ["tasks:read"]))
)]
pub(super) async fn by_day(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<TasksRead>,
    Told(seen): Told,
    mut params: Params,
) -> Result<(Carried, Answer<UsagePage>), Refused> {
    let (from, to) = (params.take("from")?, params.take("to")?);
    let (tenant, behind, most) =
        (params.take("tenant")?, params.take("cursor")?, params.take_as("limit", "a whole number")?);
    params.none_left()?;
    if most.is_some_and(|most| most == 0 || most > DAYS_MAX) {
        return Err(Refused::invalid("limit", format!("1 to {DAYS_MAX} are taken")));
    }
    let ask = UsageAsk { from, to, tenant, behind, most };
    let usage = serving.app.usage(&caller, seen, ask).await?;
    Ok((Carried::of(&serving, &caller), Answer(usage)))
}

/// How the steps of each arm ended and what they cost, over all that the key sees: of admins and
/// operators of the tenant `default` all tenants together, of every other its own.
#[utoipa::path(
    get, path = "/api/v1/arms/usage", tag = "observe",
    params(
        SeenBefore,
        ("from" = Option<Day>, Query, description = "The first day; 30 days are counted when absent, 400 at most"),
        ("to" = Option<Day>, Query, description = "The last day; today when absent"),
    ),
    responses(
        (status = 200, body = ArmsUsage, headers(("Octollm-Seen" = String, description = "Send it with the next reads: they are no older than this answer. Absent where the store has no positions"))),
        Problems,
    ),
    security(("key" = ["arms:read"]))
)]
pub(super) async fn by_arm(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<ArmsRead>,
    Told(seen): Told,
    mut params: Params,
) -> Result<(Carried, Answer<ArmsUsage>), Refused> {
    let days = (params.take("from")?, params.take("to")?);
    params.none_left()?;
    let usage = serving.app.arms_usage(&caller, seen, days).await?;
    Ok((Carried::of(&serving, &caller), Answer(usage)))
}
