//! API keys, and the keys that sign step tokens.

use super::{
    fault::{Fault, Stage},
    link::Link,
    rows,
    upkeep::done,
};
use crate::columns::scopes_text;
use octollm_access::{HOME_TENANT, KeyRecord, Revocation, RingKey, Role, TenantScope};
use octollm_contract::{KeyId, Timestamp};
use std::sync::Arc;

/// Nobody else adds a key until this transaction is over; who waited for one sees its key.
const ALONE: &str = "BEGIN; LOCK TABLE api_key IN SHARE ROW EXCLUSIVE MODE";

pub(super) async fn put(link: &Link, key: &KeyRecord) -> Result<(), Fault> {
    let policy = policy_text(key)?;
    let kept = insert(link, key, &policy).await;
    done(link, kept).map(|_| ())
}

pub(super) async fn put_first(link: &Link, key: &KeyRecord) -> Result<bool, Fault> {
    let policy = policy_text(key)?;
    let client = &link.client;
    client.batch_execute(ALONE).await.map_err(Fault::before)?;
    let any = client.query_one(&link.sql.any_key, &[]).await.map_err(Fault::before)?;
    let is_first = !rows::get::<bool>(&any, 0)?;
    if is_first {
        insert(link, key, &policy).await.map_err(Fault::before)?;
    }
    client.batch_execute("COMMIT").await.map_err(|error| Fault::of(error, Stage::Commit))?;
    link.confirmed()?;
    Ok(is_first)
}

fn policy_text(key: &KeyRecord) -> Result<String, Fault> {
    serde_json::to_string(&key.policy).map_err(|error| Fault::Corrupt(Arc::new(error)))
}

async fn insert(link: &Link, key: &KeyRecord, policy: &String) -> Result<u64, tokio_postgres::Error> {
    link.client
        .execute(
            &link.sql.put_key,
            &[
                &key.id.as_str(),
                &key.tenant.as_str(),
                &key.verifier.to_bytes().as_slice(),
                &key.role.as_str(),
                &scopes_text(&key.scopes),
                policy,
                &key.label,
                &key.created_at.as_millis(),
                &key.revoked_at.map(Timestamp::as_millis),
            ],
        )
        .await
}

pub(super) async fn add_to_ring(link: &Link, key: &RingKey, now: Timestamp) -> Result<(), Fault> {
    let RingKey { seed, signs_from, opens_until } = key;
    let values = (seed.as_slice(), signs_from.as_millis(), opens_until.as_millis(), now.as_millis());
    let added =
        link.client.execute(&link.sql.add_to_ring, &[&values.0, &values.1, &values.2, &values.3]).await;
    done(link, added).map(|_| ())
}

pub(super) async fn revoke(
    link: &Link,
    id: &KeyId,
    scope: &TenantScope,
    at: Timestamp,
) -> Result<Revocation, Fault> {
    let (client, sql) = (&link.client, &link.sql);
    let (_, found) = tokio::try_join!(
        biased;
        client.batch_execute("BEGIN"),
        async {
            let asked = (id.as_str(), HOME_TENANT, Role::Admin.as_str());
            client.query(&sql.lock_key_and_admins, &[&asked.0, &asked.1, &asked.2]).await
        },
    )
    .map_err(Fault::before)?;
    let keys = found.iter().map(rows::read_key).collect::<Result<Vec<_>, _>>()?;
    let revocation = Revocation::of(id, scope, &keys);
    if revocation == Revocation::Revoked {
        // The first revocation stands.
        client.execute(&sql.revoke_key, &[&id.as_str(), &at.as_millis()]).await.map_err(Fault::before)?;
    }
    client.batch_execute("COMMIT").await.map_err(|error| Fault::of(error, Stage::Commit))?;
    link.confirmed()?;
    Ok(revocation)
}
