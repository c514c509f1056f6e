//! On whose behalf something is asked.

use octollm_access::{KeyRecord, Policy, Role, Scope, TenantScope};
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
}

impl From<&KeyRecord> for Caller {
    fn from(record: &KeyRecord) -> Self {
        Caller {
            key: Some(record.id.clone()),
            role: record.role,
            tenant: record.tenant.clone(),
            scopes: record.scopes.clone(),
            policy: Arc::new(record.policy.clone()),
        }
    }
}
