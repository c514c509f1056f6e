//! Keys are made and revoked.

use crate::{
    StoreError,
    sqlite::{
        fault::Fault,
        rows,
        writer::{Request, Writer},
    },
};
use octollm_access::{HOME_TENANT, KeyRecord, Revocation, RingKey, Role, TenantScope};
use octollm_contract::{KeyId, Timestamp};
use rusqlite::params;

/// Keeps a key; whether it did.
pub(crate) struct PutKey {
    pub(crate) key: KeyRecord,
    /// Only if there is none.
    pub(crate) if_first: bool,
}

/// Revokes a key, if it may go.
pub(crate) struct RevokeKey {
    pub(crate) id: KeyId,
    pub(crate) scope: TenantScope,
    pub(crate) at: Timestamp,
}

impl Request for PutKey {
    type Answer = Result<bool, StoreError>;

    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault> {
        writer.unit(|writer| {
            let key = &self.key;
            if self.if_first && writer.sql.any_key.exists([])? {
                return Ok(false);
            }
            let policy = serde_json::to_string(&key.policy)
                .map_err(|error| Fault::Sql(rusqlite::Error::ToSqlConversionFailure(Box::new(error))))?;
            writer.sql.put_key.execute(params![
                key.id.as_str(),
                key.tenant.as_str(),
                key.verifier.to_bytes(),
                key.role.as_str(),
                rows::scopes_text(&key.scopes),
                policy,
                key.label,
                key.created_at.as_millis(),
                key.revoked_at.map(Timestamp::as_millis),
            ])?;
            writer.news.keys.push(key.clone());
            Ok(true)
        })
    }

    fn failed(&self, why: &mut dyn FnMut() -> StoreError) -> Self::Answer {
        Err(why())
    }
}

impl Request for RevokeKey {
    type Answer = Result<Revocation, StoreError>;

    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault> {
        writer.unit(|writer| {
            let keys = writer.key_and_admins(&self.id)?;
            let revocation = Revocation::of(&self.id, &self.scope, &keys);
            if revocation == Revocation::Revoked {
                writer.sql.revoke_key.execute((self.id.as_str(), self.at.as_millis()))?;
                // The first revocation stands.
                let revoked = keys.into_iter().filter(|key| key.id == self.id);
                let revoked =
                    revoked.map(|key| KeyRecord { revoked_at: key.revoked_at.or(Some(self.at)), ..key });
                writer.news.keys.extend(revoked);
            }
            Ok(revocation)
        })
    }

    fn failed(&self, why: &mut dyn FnMut() -> StoreError) -> Self::Answer {
        Err(why())
    }
}

/// Adds a key of step tokens.
pub(crate) struct AddToRing {
    pub(crate) key: RingKey,
    pub(crate) now: Timestamp,
}

impl Request for AddToRing {
    type Answer = Result<(), StoreError>;

    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault> {
        writer.unit(|writer| {
            let RingKey { seed, signs_from, opens_until } = &self.key;
            writer.sql.forget_ring_keys.execute([self.now.as_millis()])?;
            writer.sql.put_ring_key.execute((seed, signs_from.as_millis(), opens_until.as_millis()))?;
            Ok(())
        })
    }

    fn failed(&self, why: &mut dyn FnMut() -> StoreError) -> Self::Answer {
        Err(why())
    }
}

impl Writer<'_> {
    /// The key, and every key that may be one that makes all others.
    fn key_and_admins(&mut self, id: &KeyId) -> Result<Vec<KeyRecord>, Fault> {
        let mut found = self.sql.key_and_admins.query((id.as_str(), HOME_TENANT, Role::Admin.as_str()))?;
        let mut keys = Vec::new();
        while let Some(row) = found.next()? {
            keys.push(rows::read_key(row)?);
        }
        Ok(keys)
    }
}
