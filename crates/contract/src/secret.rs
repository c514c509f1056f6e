//! Values that grant a right: they do not print themselves and compare in constant time.

use serde::{Deserialize, Serialize};
use std::fmt;
use subtle::ConstantTimeEq;

/// What fences a lease: 16 random bytes, new for every grant. Whoever presents it is the
/// worker that holds the step now; a token that a later grant replaced opens nothing.
///
/// Random and not a counter: a counter that a restore resets would let an old worker in.
#[derive(Clone, Copy, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseToken([u8; 16]);

impl LeaseToken {
    /// Takes the caller's random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        LeaseToken(bytes)
    }

    /// The bytes that stores keep and step tokens carry.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl PartialEq for LeaseToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_print_itself() {
        assert_eq!(format!("{:?}", LeaseToken::from_bytes([7; 16])), "LeaseToken(…)");
    }
}
