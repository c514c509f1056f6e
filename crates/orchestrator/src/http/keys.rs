//! `/api/v1/keys`.

use super::{
    Serving,
    extract::{Authed, Json, KeyInPath, KeysManage, NoParams},
    refusal::{Problems, Refused},
};
use crate::NewKey;
use axum::{Json as Answer, extract::State, http::StatusCode};
use octollm_access::{KeyRecord, PolicyAsk};
use octollm_client::wire::{KeyAsk, KeyList, KeyMade, KeyView};
use octollm_contract::KeyId;

/// Make a key. Its secret is in this answer and nowhere else. A key grants no more than its
/// maker has, and belongs to the maker's tenant; only admins of the tenant `default` grant any
/// policy, and make keys of other tenants and for arms.
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "keys",
    request_body = KeyAsk,
    responses(
        (status = 201, body = KeyMade),
        Problems,
    ),
    security(("key" = ["keys:manage"]))
)]
pub(super) async fn create(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<KeysManage>,
    _: NoParams,
    Json(ask): Json<KeyAsk>,
) -> Result<(StatusCode, Answer<KeyMade>), Refused> {
    let KeyAsk { role, tenant, scopes, policy, label } = ask;
    let policy = policy.map(PolicyAsk::checked).transpose()?;
    let made = serving.app.create_key(&caller, NewKey { role, tenant, scopes, policy, label }).await?;
    let answer = KeyMade { key: made.key.reveal(), about: view(made.record) };
    Ok((StatusCode::CREATED, Answer(answer)))
}

/// The keys of the caller's tenant, without their secrets; for the tenant `default`, all keys.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "keys",
    responses(
        (status = 200, body = KeyList),
        Problems,
    ),
    security(("key" = ["keys:manage"]))
)]
pub(super) async fn list(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<KeysManage>,
    _: NoParams,
) -> Result<Answer<KeyList>, Refused> {
    let keys = serving.app.list_keys(&caller).await?;
    Ok(Answer(KeyList { keys: keys.into_iter().map(view).collect() }))
}

/// Revoke a key for ever. It opens nothing within a second. The last admin key of the tenant `default` with
/// all scopes is kept (409): nobody could make another one.
#[utoipa::path(
    delete, path = "/api/v1/keys/{id}", tag = "keys",
    params(("id" = KeyId, Path)),
    responses(
        (status = 204, description = "Revoked"),
        Problems,
    ),
    security(("key" = ["keys:manage"]))
)]
pub(super) async fn revoke(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<KeysManage>,
    id: KeyInPath,
    _: NoParams,
) -> Result<StatusCode, Refused> {
    serving.app.revoke_key(&caller, &id.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(record: KeyRecord) -> KeyView {
    KeyView {
        id: record.id,
        role: record.role,
        scopes: record.scopes,
        tenant: record.tenant,
        policy: record.policy,
        label: record.label,
        created_at: record.created_at,
        revoked_at: record.revoked_at,
    }
}
