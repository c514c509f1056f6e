//! Step tokens: what an arm holds while it does a step. Signed with Ed25519 (RFC 8032).
//!
//! Text form: `<key id>.<claims in base64url>.<signature in base64url>`. The claims name the
//! step, carry the lease's fencing token, and expire. A token opens that one step: the
//! signature proves who made it, the moment proves it is fresh, and the store's lease proves
//! that no later worker has taken over.

use ed25519_dalek::{Signer as _, Verifier as _};
use octollm_contract::{LeaseToken, StepId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a step token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepClaims {
    /// The step it opens.
    pub step: StepId,
    /// The lease under which it opens it.
    pub lease: LeaseToken,
    /// When it stops to do so.
    pub expires: Timestamp,
}

/// A signed token as it travels. It does not print itself.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepToken(String);

impl StepToken {
    /// Takes what a caller presented; only [`VerifyingKey::open`] tells whether it is worth anything.
    #[must_use]
    pub fn from_presented(text: &str) -> Self {
        StepToken(text.to_owned())
    }

    /// The id of the key that it says it was signed with.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.0.split_once('.').map(|(id, _)| id)
    }

    /// The text to present, for an `Authorization` header.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StepToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StepToken(…)")
    }
}

/// The private key that makes tokens.
pub struct SigningKey {
    id: String,
    key: ed25519_dalek::SigningKey,
}

/// The public key that checks them. It travels as its 32 bytes in base64url, from which its id follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    id: String,
    key: ed25519_dalek::VerifyingKey,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Not in the form of a token.
    #[error("this is not a step token")]
    Malformed,
    /// Signed by a key that is not ours, or altered.
    #[error("the step token was not made by this server")]
    Forged,
    /// Signed by a key that is not at hand. One that was made since the keys were read may be ours.
    #[error("the step token was signed with a key that is not known here")]
    UnknownKey,
    /// Too old.
    #[error("the step token has expired")]
    Expired,
}

impl SigningKey {
    /// A key from the caller's 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        SigningKey { id: id_of(&key.verifying_key()), key }
    }

    /// What its tokens name it by.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { id: self.id.clone(), key: self.key.verifying_key() }
    }

    /// Signs `claims`.
    #[must_use]
    pub fn sign(&self, claims: &StepClaims) -> StepToken {
        let body = encode(&claims_bytes(claims));
        let signed = format!("{}.{body}", self.id);
        let signature = encode(&self.key.sign(signed.as_bytes()).to_bytes());
        StepToken(format!("{signed}.{signature}"))
    }
}

/// What tokens name a key by: its first four bytes in hexadecimal digits.
fn id_of(key: &ed25519_dalek::VerifyingKey) -> String {
    key.as_bytes()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an Ed25519 public key in base64url")]
pub struct NotAKey;

impl TryFrom<String> for VerifyingKey {
    type Error = NotAKey;

    fn try_from(text: String) -> Result<Self, NotAKey> {
        let bytes: [u8; 32] = decode(&text).and_then(|bytes| bytes.try_into().ok()).ok_or(NotAKey)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| NotAKey)?;
        Ok(VerifyingKey { id: id_of(&key), key })
    }
}

impl From<VerifyingKey> for String {
    fn from(key: VerifyingKey) -> String {
        encode(key.key.as_bytes())
    }
}

impl VerifyingKey {
    /// The claims of `token`, if this key's other half signed it and it is still fresh at `now`.
    pub fn open(&self, token: &StepToken, now: Timestamp) -> Result<StepClaims, InvalidToken> {
        let (signed, signature) = token.0.rsplit_once('.').ok_or(InvalidToken::Malformed)?;
        let (id, body) = signed.split_once('.').ok_or(InvalidToken::Malformed)?;
        let signature = decode(signature).ok_or(InvalidToken::Malformed)?;
        let signature =
            ed25519_dalek::Signature::from_slice(&signature).map_err(|_| InvalidToken::Malformed)?;
        if id != self.id || self.key.verify(signed.as_bytes(), &signature).is_err() {
            return Err(InvalidToken::Forged);
        }
        let claims = decode(body).and_then(|bytes| read_claims(&bytes)).ok_or(InvalidToken::Malformed)?;
        if now < claims.expires { Ok(claims) } else { Err(InvalidToken::Expired) }
    }
}

/// Version, task, place, lease, expiry: fixed widths, so that there is one spelling.
fn claims_bytes(claims: &StepClaims) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(claims.step.task.to_bytes());
    bytes.extend(claims.step.place.to_be_bytes());
    bytes.extend(claims.lease.to_bytes());
    bytes.extend(claims.expires.as_millis().to_be_bytes());
    bytes
}

fn read_claims(bytes: &[u8]) -> Option<StepClaims> {
    let bytes: &[u8; 43] = bytes.try_into().ok()?;
    let (version, rest) = bytes.split_first()?;
    let (task, rest) = rest.split_first_chunk::<16>()?;
    let (place, rest) = rest.split_first_chunk::<2>()?;
    let (lease, expires) = rest.split_first_chunk::<16>()?;
    (*version == 1).then_some(StepClaims {
        step: octollm_contract::TaskId::from_bytes(*task).step(u16::from_be_bytes(*place)),
        lease: LeaseToken::from_bytes(*lease),
        expires: Timestamp::from_millis(i64::from_be_bytes(expires.try_into().ok()?)),
    })
}

/// Base64url without padding (RFC 4648 §5); strict, so that a token has one spelling.
fn encode(bytes: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::TaskId;
    use proptest::prelude::*;

    fn claims(place: u16, expires: i64) -> StepClaims {
        StepClaims {
            step: TaskId::from_bytes([9; 16]).step(place),
            lease: LeaseToken::from_bytes([5; 16]),
            expires: Timestamp::from_millis(expires),
        }
    }

    #[test]
    fn a_token_opens_its_step_until_it_expires() {
        let key = SigningKey::from_seed([1; 32]);
        let token = key.sign(&claims(3, 1000));
        let open = |now| key.verifying_key().open(&token, Timestamp::from_millis(now));
        assert_eq!(open(999), Ok(claims(3, 1000)));
        assert_eq!(open(1000), Err(InvalidToken::Expired));
    }

    #[test]
    fn a_public_key_that_has_travelled_opens_what_its_other_half_signed() {
        let key = SigningKey::from_seed([1; 32]);
        let text = String::from(key.verifying_key());
        let again = VerifyingKey::try_from(text.clone()).unwrap();
        assert_eq!(again, key.verifying_key());
        assert_eq!(again.open(&key.sign(&claims(3, 1000)), Timestamp::default()), Ok(claims(3, 1000)));
        for wrong in ["", "AAAA", &text[1..], &format!("{text}="), &text.replace(&text[..1], "*")] {
            assert_eq!(VerifyingKey::try_from(wrong.to_owned()), Err(NotAKey), "{wrong}");
        }
    }

    #[test]
    fn a_token_of_another_key_is_forged() {
        let token = SigningKey::from_seed([1; 32]).sign(&claims(0, 1000));
        let other = SigningKey::from_seed([2; 32]).verifying_key();
        assert_eq!(other.open(&token, Timestamp::default()), Err(InvalidToken::Forged));
    }

    proptest! {
        #[test]
        fn no_altered_token_opens_anything(at in 0usize..160, to in "[A-Za-z0-9_.-]") {
            let key = SigningKey::from_seed([1; 32]);
            let token = key.sign(&claims(3, 1000));
            let mut text = token.reveal().to_owned();
            let at = at % text.len();
            text.replace_range(at..=at, &to);
            prop_assume!(text != token.reveal());
            prop_assert!(key.verifying_key().open(&StepToken(text), Timestamp::default()).is_err());
        }
    }
}
