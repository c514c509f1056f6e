//! Which keys may go.

use crate::{KeyRecord, Role, TenantScope};
use octollm_contract::KeyId;

/// The operator's own tenant.
pub const HOME_TENANT: &str = "default";

/// What comes of the wish to revoke a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked, now or already before.
    Revoked,
    /// There is no such key among those that may be touched.
    NotFound,
    /// It stays: nobody could make all other keys without it.
    LastMaker,
}

impl Revocation {
    /// What comes of it, as `keys` has the key, if there is one, and all that [make all](KeyRecord::makes_all).
    #[must_use]
    pub fn of(id: &KeyId, scope: &TenantScope, keys: &[KeyRecord]) -> Self {
        let Some(key) = keys.iter().find(|key| key.id == *id && scope.allows(&key.tenant)) else {
            return Revocation::NotFound;
        };
        let others = keys.iter().any(|other| other.id != *id && other.makes_all());
        if key.makes_all() && !others { Revocation::LastMaker } else { Revocation::Revoked }
    }
}

impl KeyRecord {
    /// Whether it could make every other key again, itself too: a key grants no scope that it does not have.
    #[must_use]
    pub fn makes_all(&self) -> bool {
        self.revoked_at.is_none()
            && self.role == Role::Admin
            && self.tenant.as_str() == HOME_TENANT
            && self.scopes.is_superset(&Role::Admin.scopes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Policy, Scope, Verifier};
    use octollm_contract::Timestamp;

    fn key(id: &str, role: Role, tenant: &str) -> KeyRecord {
        KeyRecord {
            id: id.parse().unwrap(),
            verifier: Verifier::from_bytes([3; 32]),
            role,
            scopes: role.scopes(),
            tenant: tenant.parse().unwrap(),
            policy: Policy::default(),
            label: String::new(),
            created_at: Timestamp::from_millis(1),
            revoked_at: None,
        }
    }

    /// A key that was revoked, is another tenant's, or lacks a scope could not make the others again.
    #[test]
    fn the_last_key_that_makes_all_others_stays() {
        let last = key("a", Role::Admin, HOME_TENANT);
        let narrow = KeyRecord {
            scopes: [Scope::KeysManage, Scope::TasksRead].into(),
            ..key("b", Role::Admin, HOME_TENANT)
        };
        let revoked =
            KeyRecord { revoked_at: Some(Timestamp::from_millis(2)), ..key("c", Role::Admin, HOME_TENANT) };
        let (other, user) = (key("d", Role::Admin, "acme"), key("e", Role::User, HOME_TENANT));
        let mut keys = vec![last.clone(), narrow, revoked, other, user];
        for key in &keys {
            let expected = if *key == last { Revocation::LastMaker } else { Revocation::Revoked };
            assert_eq!(Revocation::of(&key.id, &TenantScope::System, &keys), expected, "{}", key.id);
        }
        keys.push(key("f", Role::Admin, HOME_TENANT));
        assert_eq!(Revocation::of(&last.id, &TenantScope::System, &keys), Revocation::Revoked);
    }

    #[test]
    fn another_tenants_key_is_not_found() {
        let keys = [key("a", Role::Admin, HOME_TENANT)];
        let acme = TenantScope::Only("acme".parse().unwrap());
        assert_eq!(Revocation::of(&keys[0].id, &acme, &keys), Revocation::NotFound);
        let nobody = "nobody".parse().unwrap();
        assert_eq!(Revocation::of(&nobody, &TenantScope::System, &keys), Revocation::NotFound);
    }
}
