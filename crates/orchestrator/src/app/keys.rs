//! Keys: who may present one, who may make one.
//!
//! A key grants no more than its maker has: no scope and no policy beyond the maker's own, and
//! it belongs to the maker's tenant. The tenant [`HOME_TENANT`] is the operator's own: its
//! admins may make keys for every tenant and for arms, may grant any policy (the machine is
//! theirs), and see and revoke all keys.

use super::{App, Caller, caller::scopes_in};
use octollm_access::{
    ApiKey, Capability, HOME_TENANT, KeyRecord, Policy, Revocation, Role, Scope, TenantScope, Verifier,
};
use octollm_contract::{KeyId, TenantId};
use octollm_store::StoreError;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a key that was read is believed; in this process a revocation counts at once.
const BELIEVED: Duration = Duration::from_secs(1);
/// Keys that are remembered at once.
const REMEMBERED_MAX: usize = 10_000;
const LABEL_CHARACTERS_MAX: usize = 100;

pub(crate) fn home() -> TenantId {
    HOME_TENANT.parse().expect("the home tenant is a tenant's name")
}

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What kind of caller it is for.
    pub role: Role,
    /// Whose data it touches; the maker's tenant when absent.
    pub tenant: Option<TenantId>,
    /// What it may do; all that its role and its maker may when absent.
    pub scopes: Option<BTreeSet<Scope>>,
    /// What its tasks may do; the maker's policy when absent.
    pub policy: Option<Policy>,
    /// A word for people.
    pub label: String,
}

/// A key that was made. The secret is shown this once.
#[derive(Clone, Debug)]
pub struct CreatedKey {
    /// What the store knows of it.
    pub record: KeyRecord,
    /// The key itself.
    pub key: ApiKey,
}

/// Why a key was not made, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Correct the field.
    #[error("{field}: {detail}")]
    Invalid {
        /// The field at fault.
        field: &'static str,
        /// What is taken there.
        detail: String,
    },
    /// The maker does not have what the key is to have.
    #[error("{field}: {detail}")]
    BeyondMaker {
        /// The field that asks for more.
        field: &'static str,
        /// What goes beyond.
        detail: String,
    },
    /// Another key has this id: give a key that was drawn afresh.
    #[error("there is another key with the id {0}")]
    Taken(KeyId),
    /// There is no such key, or it is another tenant's.
    #[error("there is no such key")]
    NotFound,
    /// Make another one first.
    #[error(
        "it is the last admin key of the tenant {HOME_TENANT} with all scopes; nobody could make another one. Make it first"
    )]
    LastAdmin,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keys read lately, and keys that live only in this process.
#[derive(Default)]
pub(super) struct Cache {
    read: Mutex<BTreeMap<KeyId, (Known, Instant)>>,
    lent: Mutex<BTreeMap<KeyId, Known>>,
}

/// What it takes to admit a key.
#[derive(Clone)]
struct Known {
    verifier: Verifier,
    is_revoked: bool,
    caller: Arc<Caller>,
}

impl From<&KeyRecord> for Known {
    fn from(record: &KeyRecord) -> Self {
        let caller = Arc::new(Caller::from(record));
        Known { verifier: record.verifier, is_revoked: record.revoked_at.is_some(), caller }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl App {
    /// The caller that `key` stands for; `None` when it opens nothing: unknown, wrong or revoked.
    pub async fn admit(&self, key: &ApiKey) -> Result<Option<Arc<Caller>>, StoreError> {
        let known = self.known_key(key.id()).await?;
        let open = known.filter(|known| known.verifier.admits(key) && !known.is_revoked);
        Ok(open.map(|known| known.caller))
    }

    /// Whether the key of a caller who was admitted, and has waited since, would be admitted now. What cannot
    /// be looked up was not revoked as far as is known.
    pub(crate) async fn still_admits(&self, caller: &Caller) -> bool {
        let Some(id) = &caller.key else { return true };
        match self.known_key(id).await {
            Ok(known) => known.is_some_and(|known| !known.is_revoked),
            Err(_) => true,
        }
    }

    async fn known_key(&self, id: &KeyId) -> Result<Option<Known>, StoreError> {
        let lent = lock(&self.key_cache.lent).get(id).cloned();
        if lent.is_some() {
            return Ok(lent);
        }
        let now = Instant::now();
        let fresh = lock(&self.key_cache.read)
            .get(id)
            .filter(|(_, read_at)| now.duration_since(*read_at) < BELIEVED)
            .map(|(known, _)| known.clone());
        if fresh.is_some() {
            return Ok(fresh);
        }
        let known = self.parts.store.key(id).await?.as_ref().map(Known::from);
        let mut read = lock(&self.key_cache.read);
        if let Some(known) = &known {
            if read.len() >= REMEMBERED_MAX {
                read.clear();
            }
            read.insert(id.clone(), (known.clone(), now));
        }
        Ok(known)
    }

    /// Sees to it that an admin of the home tenant can come in: `given` is made such a key unless
    /// it is known already, and when nothing is given and there is no key yet, one is drawn. What
    /// was made is returned. A key that is known stays as it is; one that was revoked stays revoked.
    pub async fn first_key(
        &self,
        given: Option<ApiKey>,
        policy: Policy,
    ) -> Result<Option<CreatedKey>, KeyError> {
        let owner = Caller::local(policy);
        if given.is_none() && !self.parts.store.keys(&TenantScope::System).await?.is_empty() {
            return Ok(None);
        }
        if let Some(given) = &given
            && let Some(known) = self.parts.store.key(given.id()).await?
        {
            if !known.verifier.admits(given) {
                return Err(KeyError::Taken(known.id));
            }
            if known.revoked_at.is_some() {
                tracing::warn!(key = %known.id, "the first admin key that is configured was revoked; it opens nothing");
            }
            return Ok(None);
        }
        let new = NewKey {
            role: Role::Admin,
            tenant: None,
            scopes: None,
            policy: None,
            label: "the first admin".to_owned(),
        };
        let (mut record, drawn) = self.drawn(&owner, new)?;
        let was_given = given.is_some();
        let key = given.unwrap_or(drawn);
        record.id = key.id().clone();
        record.verifier = key.verifier();
        let made = if was_given {
            self.parts.store.put_key(record.clone()).await?;
            true
        } else {
            // Another server may have made the first one since.
            self.parts.store.put_first_key(record.clone()).await?
        };
        lock(&self.key_cache.read).remove(&record.id);
        Ok(made.then_some(CreatedKey { record, key }))
    }

    /// Makes a key.
    pub async fn create_key(&self, maker: &Caller, new: NewKey) -> Result<CreatedKey, KeyError> {
        let (record, key) = self.drawn(maker, new)?;
        self.parts.store.put_key(record.clone()).await?;
        Ok(CreatedKey { record, key })
    }

    /// A key for a worker process of this machine. It is not stored: it ends with this process
    /// or with [`App::take_back`].
    pub fn lend_arm_key(&self, label: &str) -> ApiKey {
        let new = NewKey {
            role: Role::Arm,
            tenant: None,
            scopes: None,
            policy: None,
            label: label.chars().take(LABEL_CHARACTERS_MAX).collect(),
        };
        let (record, key) =
            self.drawn(&Caller::local(Policy::default()), new).expect("the operator may make arm keys");
        lock(&self.key_cache.lent).insert(record.id.clone(), Known::from(&record));
        key
    }

    /// Ends a key that [`App::lend_arm_key`] made.
    pub fn take_back(&self, id: &KeyId) {
        lock(&self.key_cache.lent).remove(id);
    }

    /// The keys that the caller may see, by the time they were made.
    pub async fn list_keys(&self, caller: &Caller) -> Result<Vec<KeyRecord>, KeyError> {
        Ok(self.parts.store.keys(&keys_of(caller)).await?)
    }

    /// Revokes a key for ever; from now on it opens nothing here, and nowhere after a second. The last one that
    /// can make all others stays.
    pub async fn revoke_key(&self, caller: &Caller, id: &KeyId) -> Result<(), KeyError> {
        let revocation = self.parts.store.revoke_key(id, &keys_of(caller), self.now()).await?;
        lock(&self.key_cache.read).remove(id);
        match revocation {
            Revocation::Revoked => Ok(()),
            Revocation::NotFound => Err(KeyError::NotFound),
            Revocation::LastMaker => Err(KeyError::LastAdmin),
        }
    }

    fn drawn(&self, maker: &Caller, new: NewKey) -> Result<(KeyRecord, ApiKey), KeyError> {
        if new.label.chars().count() > LABEL_CHARACTERS_MAX || new.label.chars().any(char::is_control) {
            let detail = format!("at most {LABEL_CHARACTERS_MAX} characters, none of control, are taken");
            return Err(KeyError::Invalid { field: "label", detail });
        }
        let tenant = new.tenant.unwrap_or_else(|| maker.tenant.clone());
        if tenant != maker.tenant && !is_operator(maker) {
            let detail = format!("only a key of the tenant {HOME_TENANT} makes keys of other tenants");
            return Err(KeyError::BeyondMaker { field: "tenant", detail });
        }
        let scopes = scopes(maker, new.role, &tenant, new.scopes)?;
        let policy = new.policy.unwrap_or_else(|| (*maker.policy).clone());
        if !is_operator(maker) {
            within(&maker.policy, &policy)
                .map_err(|detail| KeyError::BeyondMaker { field: "policy", detail })?;
        }
        let (mut id, mut secret) = ([0; 5], [0; 32]);
        self.parts.entropy.fill(&mut id);
        self.parts.entropy.fill(&mut secret);
        let key = ApiKey::generate(id, secret);
        let record = KeyRecord {
            id: key.id().clone(),
            verifier: key.verifier(),
            role: new.role,
            scopes,
            tenant,
            policy,
            label: new.label,
            created_at: self.now(),
            revoked_at: None,
        };
        Ok((record, key))
    }
}

fn is_operator(caller: &Caller) -> bool {
    caller.role == Role::Admin && caller.tenant.as_str() == HOME_TENANT
}

fn keys_of(caller: &Caller) -> TenantScope {
    if is_operator(caller) { TenantScope::System } else { caller.scope() }
}

fn scopes(
    maker: &Caller,
    role: Role,
    tenant: &TenantId,
    asked: Option<BTreeSet<Scope>>,
) -> Result<BTreeSet<Scope>, KeyError> {
    let of_role = scopes_in(tenant, role.scopes());
    let mut grantable = maker.scopes.clone();
    if is_operator(maker) {
        grantable.insert(Scope::Lease);
    }
    if let Some(beyond) = asked.iter().flatten().find(|scope| !of_role.contains(scope)) {
        let detail = format!("a key of the role {role} in the tenant {tenant} cannot have {beyond}");
        return Err(KeyError::Invalid { field: "scopes", detail });
    }
    if let Some(beyond) = asked.iter().flatten().find(|scope| !grantable.contains(scope)) {
        let detail = format!("{beyond} is not among the scopes of the key that makes this one");
        return Err(KeyError::BeyondMaker { field: "scopes", detail });
    }
    let granted: BTreeSet<Scope> =
        asked.unwrap_or_else(|| of_role.intersection(&grantable).copied().collect());
    if granted.is_empty() {
        let detail = format!("the key that makes this one has no scope of the role {role} to give");
        return Err(KeyError::BeyondMaker { field: "role", detail });
    }
    Ok(granted)
}

/// Whether `asked` allows nothing that `own` does not; the error names the first thing that it does.
fn within(own: &Policy, asked: &Policy) -> Result<(), String> {
    let as_capability = Capability {
        read_roots: asked.read_roots.clone(),
        read_within: BTreeSet::new(),
        hosts: asked.hosts.clone(),
        commands: asked.commands.clone(),
        shell: asked.shell,
        writes_workspace: true,
    };
    own.grant(&as_capability).map_err(|beyond| beyond.to_string())?;
    if asked.any_public_host && !own.any_public_host {
        return Err("connecting to any public host is not allowed to the key that makes this one".into());
    }
    if asked.any_command && !own.any_command {
        return Err("running any program is not allowed to the key that makes this one".into());
    }
    if own.approvals.is_subset(&asked.approvals) {
        Ok(())
    } else {
        Err("approvals that the maker's policy asks for cannot be left out".into())
    }
}
