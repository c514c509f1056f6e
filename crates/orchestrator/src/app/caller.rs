//! On whose behalf something is asked.

use octollm_access::{HOME_TENANT, KeyRecord, Policy, Role, Scope, TenantScope};
use octollm_contract::{KeyId, TenantId};
use std::{collections::BTreeSet, sync::Arc};

/// Who asks, and what they may.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key that was presented; `None` for the program itself.
    pub key: Option<KeyId>,
    /// What kind of caller this is.
    pub role: Role,
    /// Whose tasks are submitted and seen.
    pub tenant: TenantId,
    /// What may be asked.
    pub scopes: BTreeSet<Scope>,
    /// The most that submitted tasks may do.
    pub policy: Arc<Policy>,
}

impl Caller {
    /// The person who started this process, with all that an admin may ask and `policy` for tasks.
    #[must_use]
    pub fn local(policy: Policy) -> Self {
        Caller {
            key: None,
            role: Role::Admin,
            tenant: super::keys::home(),
            scopes: Role::Admin.scopes(),
            policy: Arc::new(policy),
        }
    }

    /// Whose tasks the caller may touch (P7).
    #[must_use]
    pub fn scope(&self) -> TenantScope {
        TenantScope::Only(self.tenant.clone())
    }

    /// Whose figures the caller sees (P7).
    pub(super) fn figures(&self) -> TenantScope {
        let at_home = self.tenant.as_str() == HOME_TENANT;
        match self.role {
            Role::Admin | Role::Operator if at_home => TenantScope::System,
            Role::Admin | Role::Operator | Role::User | Role::Arm => self.scope(),
        }
    }
}

/// Those of the scopes that a key of this tenant may have: what is counted over all tenants is shown to
/// the operator's own alone (P7).
pub(super) fn scopes_in(tenant: &TenantId, mut scopes: BTreeSet<Scope>) -> BTreeSet<Scope> {
    scopes.retain(|scope| tenant.as_str() == HOME_TENANT || !scope.shows_all_tenants());
    scopes
}

impl From<&KeyRecord> for Caller {
    fn from(record: &KeyRecord) -> Self {
        Caller {
            key: Some(record.id.clone()),
            role: record.role,
            tenant: record.tenant.clone(),
            scopes: scopes_in(&record.tenant, record.scopes.clone()),
            policy: Arc::new(record.policy.clone()),
        }
    }
}
