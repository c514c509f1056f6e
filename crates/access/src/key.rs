//! API keys: `octo_<id>_<secret>`. The store keeps the SHA-256 of the secret.

use crate::{Policy, Role, Scope};
use octollm_contract::{KeyId, TenantId, Timestamp};
use sha2::Digest;
use std::{collections::BTreeSet, fmt, str::FromStr};
use subtle::ConstantTimeEq;

/// What a caller presents. It does not print its secret.
#[derive(Clone)]
pub struct ApiKey {
    id: KeyId,
    secret: KeySecret,
}

/// The random part of a key: 32 to 128 of a-z, A-Z and 0-9.
#[derive(Clone)]
struct KeySecret(String);

/// What the store keeps of a secret: its SHA-256. A random secret needs no salt or stretching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verifier([u8; 32]);

/// A text that is not an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key looks like octo_<id>_<secret>: an id of 1 to 32 of a-z and 0-9, a secret of 32 to 128 letters and digits"
)]
pub struct InvalidKey;

impl ApiKey {
    /// Makes a key from the caller's entropy: 5 bytes name it, 32 are its secret.
    #[must_use]
    pub fn generate(id: [u8; 5], secret: [u8; 32]) -> Self {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let id = hex(&id).parse().expect("ten hex digits are a key id");
        ApiKey { id, secret: KeySecret(hex(&secret)) }
    }

    /// The public part.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// What to keep of the secret.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier(sha2::Sha256::digest(self.secret.0.as_bytes()).into())
    }

    /// The whole key as text, to be shown once to its owner.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("octo_{}_{}", self.id, self.secret.0)
    }
}

impl FromStr for ApiKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, secret) =
            text.strip_prefix("octo_").and_then(|rest| rest.split_once('_')).ok_or(InvalidKey)?;
        let strong = (32..=128).contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_alphanumeric());
        if !strong {
            return Err(InvalidKey);
        }
        Ok(ApiKey { id: id.parse().map_err(|_| InvalidKey)?, secret: KeySecret(secret.to_owned()) })
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "octo_{}_…", self.id)
    }
}

impl Verifier {
    /// Takes a stored digest.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Verifier(bytes)
    }

    /// The digest, for the store.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Whether `presented` is the key whose secret this verifies, in constant time.
    #[must_use]
    pub fn admits(&self, presented: &ApiKey) -> bool {
        self.0.ct_eq(&presented.verifier().0).into()
    }
}

/// What the store knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public part.
    pub id: KeyId,
    /// What verifies the secret.
    pub verifier: Verifier,
    /// What kind of caller it is for.
    pub role: Role,
    /// What it may do: a part of the role's scopes.
    pub scopes: BTreeSet<Scope>,
    /// Whose data it touches.
    pub tenant: TenantId,
    /// What its tasks may do.
    pub policy: Policy,
    /// A word for people.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked; a revoked key opens nothing.
    pub revoked_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_its_own_verifier_and_no_other() {
        let key = ApiKey::generate([1; 5], [2; 32]);
        let other = ApiKey::generate([1; 5], [3; 32]);
        let read: ApiKey = key.reveal().parse().unwrap();
        assert!(key.verifier().admits(&read));
        assert!(!key.verifier().admits(&other));
    }

    #[test]
    fn a_key_does_not_print_its_secret() {
        let key = ApiKey::generate([1; 5], [2; 32]);
        assert_eq!(format!("{key:?}"), "octo_0101010101_…");
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let long = "a".repeat(129);
        for bad in [
            "",
            "octo_",
            "octo_a_short",
            "octo__aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            &format!("octo_a_{long}"),
            "sk-abc",
        ] {
            assert!(bad.parse::<ApiKey>().is_err(), "{bad}");
        }
    }
}
