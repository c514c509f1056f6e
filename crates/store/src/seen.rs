//! How much of a replicated store a reader has seen: a timeline of its log, and a position on it.
//!
//! Each promotion of a standby begins a new timeline; what survived of the one before is in it. So of two
//! positions the one on the later timeline is the later one, and the later of the two says all that both
//! say. A store with one copy of its data has no positions: there everything is [`Seen::NOTHING`].
//!
//! Clients carry it as an opaque word. One that they make up can only make their own reads slower.

use std::{fmt, str::FromStr};

/// Everything up to here has been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// Which timeline, from 1.
    pub timeline: u32,
    /// Bytes of the log.
    pub position: u64,
}

impl Seen {
    /// Nothing in particular: any state will do.
    pub const NOTHING: Seen = Seen { timeline: 0, position: 0 };

    /// What has been seen by whoever has seen both.
    #[must_use]
    pub fn and(self, other: Seen) -> Seen {
        self.max(other)
    }
}

/// A client's read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Whatever is committed: for whoever goes on to wait for the next change and must not miss one.
    Latest,
    /// No older than this.
    Since(Seen),
}

/// A text that is no [`Seen`].
#[derive(Debug, thiserror::Error)]
#[error("this is not a value that an earlier answer carried")]
pub struct NotSeen;

const TIMELINE_DIGITS: usize = 8;
const POSITION_DIGITS: usize = 16;

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:016x}", self.timeline, self.position)
    }
}

impl FromStr for Seen {
    type Err = NotSeen;

    /// Takes what `Display` gives, and nothing else.
    fn from_str(text: &str) -> Result<Self, NotSeen> {
        let (timeline, position) = text.split_once('-').ok_or(NotSeen)?;
        let is_hex = |part: &str, digits| {
            part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !is_hex(timeline, TIMELINE_DIGITS) || !is_hex(position, POSITION_DIGITS) {
            return Err(NotSeen);
        }
        Ok(Seen {
            timeline: u32::from_str_radix(timeline, 16).map_err(|_| NotSeen)?,
            position: u64::from_str_radix(position, 16).map_err(|_| NotSeen)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_seen() -> impl Strategy<Value = Seen> {
        (any::<u32>(), any::<u64>()).prop_map(|(timeline, position)| Seen { timeline, position })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seen in any_seen()) {
            prop_assert_eq!(seen.to_string().parse::<Seen>().unwrap(), seen);
        }

        #[test]
        fn nothing_but_what_is_written_is_read(text in "[0-9a-fA-F+ -]{0,30}") {
            if let Ok(seen) = text.parse::<Seen>() {
                prop_assert_eq!(seen.to_string(), text);
            }
        }

        #[test]
        fn seeing_both_is_a_least_upper_bound(a in any_seen(), b in any_seen(), c in any_seen()) {
            prop_assert_eq!(a.and(b), b.and(a));
            prop_assert_eq!(a.and(b).and(c), a.and(b.and(c)));
            prop_assert_eq!(a.and(a), a);
            prop_assert_eq!(Seen::NOTHING.and(a), a);
        }
    }

    #[test]
    fn a_made_up_word_is_refused() {
        for text in [
            "",
            "-",
            "1-2",
            "00000001-00000000000000+1",
            "00000001-000000000000000G",
            "é0000001-0000000000000001",
        ] {
            assert!(text.parse::<Seen>().is_err(), "{text}");
        }
        assert_eq!(Seen { timeline: 1, position: 16 }.to_string(), "00000001-0000000000000010");
    }
}
