//! Who may do what: API keys, roles, scopes, tenants, policies, capabilities, step tokens.
//!
//! Promises (P6, P7): a secret is kept as its SHA-256 and compared in constant time; a read
//! of tenants' data needs a [`TenantScope`] value, not a filter that one may forget; a step
//! may do what its [`Capability`] says, which was checked against the key's [`Policy`] when
//! the plan was accepted; a [`StepToken`] opens one step under one lease, until it expires.
//!
//! Must not know: HTTP, stores, clocks, random sources. Moments and entropy are arguments.

mod capability;
mod key;
mod key_ring;
mod policy;
mod policy_ask;
mod revocation;
mod scope;
mod step_token;

pub use capability::{Capability, HostPort, InvalidHost, NetworkGrant};
pub use key::{ApiKey, InvalidKey, KeyRecord, Verifier};
pub use key_ring::{KeyRing, RingKey};
pub use policy::{Approval, BeyondPolicy, Policy};
pub use policy_ask::{InvalidPolicy, PolicyAsk};
pub use revocation::{HOME_TENANT, Revocation};
pub use scope::{Role, Scope, TenantScope};
pub use step_token::{InvalidToken, NotAKey, SigningKey, StepClaims, StepToken, VerifyingKey};
