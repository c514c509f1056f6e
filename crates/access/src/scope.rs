//! Roles, scopes, and whose data a caller may see.

use octollm_contract::TenantId;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};
use utoipa::ToSchema;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// As it is written in the API and in the OpenAPI document.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .enum_values(Some([$($text),+]))
                    .into()
            }
        }

        impl ToSchema for $name {}

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|own| own.as_str() == text).ok_or_else(|| {
                    format!("{text:?} is not one of {}", [$($text),+].join(", "))
                })
            }
        }
    };
}

words! {
    /// What kind of caller a key is for.
    Role {
        /// Everything of its tenant, and keys.
        Admin = "admin",
        /// Tasks of its tenant.
        User = "user",
        /// Metrics and scaling; no tenant's data.
        Operator = "operator",
        /// Leases steps; nothing else.
        Arm = "arm",
    }
}

words! {
    /// One thing a key may do; the OpenAPI document names the scope of each route.
    Scope {
        /// Submit, cancel, give input.
        TasksWrite = "tasks:write",
        /// Read tasks, events, artefacts.
        TasksRead = "tasks:read",
        /// List the arms.
        ArmsRead = "arms:read",
        /// Create, list and revoke keys.
        KeysManage = "keys:manage",
        /// Read the scaling signals; only keys of the operator's own tenant have it.
        ScalingRead = "scaling:read",
        /// Read the metrics; only keys of the operator's own tenant have it.
        MetricsRead = "metrics:read",
        /// Lease steps and report on them.
        Lease = "lease",
    }
}

impl Scope {
    /// Whether it shows what is counted over all tenants (P7).
    #[must_use]
    pub const fn shows_all_tenants(self) -> bool {
        match self {
            Scope::ScalingRead | Scope::MetricsRead => true,
            Scope::TasksWrite | Scope::TasksRead | Scope::ArmsRead | Scope::KeysManage | Scope::Lease => {
                false
            }
        }
    }
}

impl Role {
    /// The scopes that a key of this role may have at most, and has unless it is given fewer.
    #[must_use]
    pub fn scopes(self) -> BTreeSet<Scope> {
        use Scope::{ArmsRead, KeysManage, Lease, MetricsRead, ScalingRead, TasksRead, TasksWrite};
        let scopes: &[Scope] = match self {
            Role::Admin => &[TasksWrite, TasksRead, ArmsRead, KeysManage, ScalingRead, MetricsRead],
            Role::User => &[TasksWrite, TasksRead, ArmsRead],
            Role::Operator => &[ArmsRead, ScalingRead, MetricsRead],
            Role::Arm => &[Lease],
        };
        scopes.iter().copied().collect()
    }
}

/// Whose data a read or a client's command may touch. Every such call needs one (P7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantScope {
    /// One tenant's.
    Only(TenantId),
    /// Everyone's: the system itself, such as the sweeper or a lease that its token fences.
    System,
}

impl TenantScope {
    /// Whether data of `tenant` may be touched.
    #[must_use]
    pub fn allows(&self, tenant: &TenantId) -> bool {
        match self {
            TenantScope::Only(own) => own == tenant,
            TenantScope::System => true,
        }
    }
}
