//! The keys that step tokens are signed with, now and next, as all orchestrators of one store
//! share them.
//!
//! Promises: while the ring is renewed once in [`SIGNS_FOR`], every moment has a key that signs and
//! every token is opened as long as it is fresh, whoever signed it: a key is there for
//! [`KNOWN_BEFORE`] before it begins to sign, so that all have read it, and stays until the last
//! token that it signed has expired.

use crate::{InvalidToken, SigningKey, StepClaims, StepToken, VerifyingKey};
use octollm_contract::{Millis, Timestamp};
use std::fmt;

/// A key signs so long.
const SIGNS_FOR: Millis = Millis::from_secs(24 * 3600);
/// A key is in the store so long before it signs.
const KNOWN_BEFORE: Millis = Millis::from_secs(3600);
/// No step token lasts longer: the longest time limit of a step, and then some.
const TOKEN_LASTS_MAX: Millis = Millis::from_secs(8 * 24 * 3600);

/// A key of the ring as it is kept. It does not print its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RingKey {
    /// What the private key is made of: 32 random bytes.
    pub seed: [u8; 32],
    /// It signs from then on, until a later key does.
    pub signs_from: Timestamp,
    /// It opens tokens until then.
    pub opens_until: Timestamp,
}

impl RingKey {
    /// A key that begins to sign at `signs_from`.
    #[must_use]
    pub fn new(seed: [u8; 32], signs_from: Timestamp) -> Self {
        RingKey { seed, signs_from, opens_until: signs_from + SIGNS_FOR + KNOWN_BEFORE + TOKEN_LASTS_MAX }
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingKey")
            .field("signs_from", &self.signs_from)
            .field("opens_until", &self.opens_until)
            .finish_non_exhaustive()
    }
}

/// The keys at hand, the earliest first.
#[derive(Default)]
pub struct KeyRing {
    keys: Vec<(RingKey, SigningKey)>,
}

impl KeyRing {
    /// A ring of `keys`, in any order.
    #[must_use]
    pub fn of(mut keys: Vec<RingKey>) -> Self {
        keys.sort_by_key(|key| (key.signs_from, key.seed));
        KeyRing { keys: keys.into_iter().map(|key| (key.clone(), SigningKey::from_seed(key.seed))).collect() }
    }

    /// When the key begins to sign that is missing at `now`: at once where none signs, or after the
    /// last one's time, once that is near. `None` while nothing is missing.
    #[must_use]
    pub fn missing(&self, now: Timestamp) -> Option<Timestamp> {
        match self.keys.last() {
            Some((last, _)) if now < last.signs_from + SIGNS_FOR => {
                let next = last.signs_from + SIGNS_FOR;
                (next <= now + KNOWN_BEFORE).then_some(next)
            }
            Some(_) | None => Some(now),
        }
    }

    /// Signs `claims` with the key whose time it is, or with the first where a clock is behind;
    /// `None` from an empty ring.
    #[must_use]
    pub fn sign(&self, claims: &StepClaims, now: Timestamp) -> Option<StepToken> {
        Some(self.keys.get(self.due(now))?.1.sign(claims))
    }

    /// The public halves of the key that signed `token` and of those that sign later, in the order of their time; none
    /// where the ring has not that key.
    #[must_use]
    pub fn from_signer_on(&self, token: &StepToken) -> Vec<VerifyingKey> {
        let later = self.keys.iter().skip_while(|(_, key)| token.key_id() != Some(key.id()));
        later.map(|(_, key)| key.verifying_key()).collect()
    }

    /// The place of the key whose time it is, or of the first where a clock is behind.
    fn due(&self, now: Timestamp) -> usize {
        self.keys.iter().rposition(|(key, _)| key.signs_from <= now).unwrap_or(0)
    }

    /// The claims of `token`, if a key of the ring signed it and it is still fresh at `now`.
    pub fn open(&self, token: &StepToken, now: Timestamp) -> Result<StepClaims, InvalidToken> {
        let id = token.key_id().ok_or(InvalidToken::Malformed)?;
        let named = self.keys.iter().find(|(key, signing)| signing.id() == id && now < key.opens_until);
        let (_, key) = named.ok_or(InvalidToken::UnknownKey)?;
        key.verifying_key().open(token, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::{LeaseToken, TaskId};
    use proptest::prelude::*;

    fn claims(expires: Timestamp) -> StepClaims {
        StepClaims {
            step: TaskId::from_bytes([9; 16]).step(1),
            lease: LeaseToken::from_bytes([5; 16]),
            expires,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0) + Millis::from_secs(seconds)
    }

    /// What an orchestrator does each time that it looks.
    fn renewed(stored: &mut Vec<RingKey>, now: Timestamp) -> KeyRing {
        if let Some(from) = KeyRing::of(stored.clone()).missing(now) {
            let number = u8::try_from(stored.len() + 1).unwrap();
            stored.push(RingKey::new([number; 32], from));
        }
        stored.retain(|key| now < key.opens_until);
        KeyRing::of(stored.clone())
    }

    proptest! {
        // Each case signs hundreds of times.
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// A rotation fails no step: of two orchestrators that look at the store at least every half
        /// hour, at moments of their own, each opens what the other signed, as long as it is fresh.
        #[test]
        fn what_one_signs_the_other_opens(
            looks in proptest::collection::vec((60u64..1800, any::<bool>()), 1..200),
            lasts in 1u64..8 * 24 * 3600,
        ) {
            let (mut stored, mut now) = (Vec::new(), at(1_000_000));
            let mut rings = [renewed(&mut stored, now), renewed(&mut stored, now)];
            let mut since = [0, 0];
            for (pause, who) in looks {
                now = now + Millis::from_secs(pause);
                since.iter_mut().for_each(|since| *since += pause);
                let who = usize::from(who);
                for orchestrator in 0..2 {
                    if orchestrator == who || since[orchestrator] > 1800 {
                        rings[orchestrator] = renewed(&mut stored, now);
                        since[orchestrator] = 0;
                    }
                }
                let expires = now + Millis::from_secs(lasts);
                for (signer, opener) in [(0, 1), (1, 0)] {
                    let token = rings[signer].sign(&claims(expires), now);
                    prop_assert!(token.is_some(), "a moment without a key");
                    let token = token.unwrap();
                    prop_assert_eq!(rings[opener].open(&token, now), Ok(claims(expires)));
                    let later = KeyRing::of(stored.clone());
                    let last = Timestamp::from_millis(expires.as_millis() - 1);
                    prop_assert_eq!(later.open(&token, last), Ok(claims(expires)), "forgotten too early");
                }
            }
        }
    }

    /// Whoever was handed the keys before a rotation opens what is signed after it.
    #[test]
    fn the_keys_that_are_handed_out_sign_now_or_next() {
        let keys = [1, 2, 3].map(|n| RingKey::new([n; 32], at(u64::from(n) * 1000)));
        let public = keys.clone().map(|key| SigningKey::from_seed(key.seed).verifying_key());
        let ring = KeyRing::of(keys.into());
        for (now, from) in [(0, 0), (1000, 0), (1999, 0), (2000, 1), (2999, 1), (3000, 2), (9000, 2)] {
            let token = ring.sign(&claims(at(9_001)), at(now)).unwrap();
            let handed = ring.from_signer_on(&token);
            assert_eq!(handed, public[from..], "at {now}");
            assert_eq!(KeyRing::default().from_signer_on(&token), []);
            assert_eq!(handed[0].open(&token, at(now)), Ok(claims(at(9_001))), "at {now}");
        }
    }

    #[test]
    fn a_key_that_is_not_in_the_ring_is_told_from_a_forgery() {
        let ring = KeyRing::of(vec![RingKey::new([1; 32], at(0))]);
        let strange = SigningKey::from_seed([2; 32]).sign(&claims(at(100)));
        assert_eq!(ring.open(&strange, at(1)), Err(InvalidToken::UnknownKey));
        assert_eq!(ring.open(&StepToken::from_presented("nothing"), at(1)), Err(InvalidToken::Malformed));
        let own = ring.sign(&claims(at(100)), at(1)).unwrap();
        let forged = format!(
            "{}.{}",
            own.reveal().rsplit_once('.').unwrap().0,
            strange.reveal().rsplit_once('.').unwrap().1
        );
        assert_eq!(ring.open(&StepToken::from_presented(&forged), at(1)), Err(InvalidToken::Forged));
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert!(!format!("{:?}", RingKey::new([171; 32], at(0))).contains("171"));
    }
}
