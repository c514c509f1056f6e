//! Whether a failed call is made again, and when: a pure function.
//!
//! Promises: a call that may have been paid for is never repeated; the wait is full jitter, drawn evenly
//! between nothing and a ceiling that doubles (Brooker, "Exponential Backoff And Jitter", AWS 2015); a
//! server's `Retry-After` is never undercut and never shortens it, and one that asks for more than
//! [`RetryPolicy::wait_max`] ends the tries instead. One layer retries: the one that holds the money.

use crate::CallError;
use octollm_contract::{Millis, Timestamp};

/// How often and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Calls in all, the first one included.
    pub attempts_max: u32,
    /// The ceiling of the first wait; each next one is twice as high.
    pub wait_first: Millis,
    /// No wait is longer.
    pub wait_max: Millis,
}

/// One more try, soon: whoever asks waits in a worker's slot. What takes longer is waited for elsewhere.
impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy { attempts_max: 2, wait_first: Millis::new(250), wait_max: Millis::from_secs(1) }
    }
}

/// What to do after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Call again after so long.
    Wait(Millis),
    /// Give up.
    Stop(Stop),
}

/// Why a call is not made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It would fail again.
    Useless,
    /// It may have been done and paid for.
    PerhapsPaid,
    /// It was tried often enough.
    Exhausted,
    /// The server asks to wait longer than the policy allows.
    TooLong(Millis),
}

impl RetryPolicy {
    /// What to do after the call number `attempt` (the first is 1) failed with `error`. `dice` are
    /// evenly drawn bits.
    #[must_use]
    pub fn after(&self, attempt: u32, error: &CallError, dice: u64) -> Next {
        let asked = match error {
            CallError::Refused { .. } | CallError::BadKey { .. } | CallError::OutOfCredit { .. } => {
                return Next::Stop(Stop::Useless);
            }
            CallError::Unknown { .. }
            | CallError::TimedOut { .. }
            | CallError::Malformed { .. }
            | CallError::TooLarge { .. }
            | CallError::Cut { .. } => return Next::Stop(Stop::PerhapsPaid),
            CallError::RateLimited { retry_after, .. } | CallError::Overloaded { retry_after, .. } => {
                *retry_after
            }
            CallError::Unreachable { .. } => None,
        };
        if attempt >= self.attempts_max {
            return Next::Stop(Stop::Exhausted);
        }
        let doublings = attempt.saturating_sub(1).min(32);
        let ceiling = self.wait_first.times(1 << doublings).min(self.wait_max);
        let jitter = Millis::new(evenly(dice, ceiling.get()));
        match asked {
            // The jitter comes on top: many that were told the same moment do not all come back then.
            Some(asked) if asked > self.wait_max => Next::Stop(Stop::TooLong(asked)),
            // A server that asks for no wait, however often, gets none the sooner.
            Some(asked) => Next::Wait(jitter.max(Millis::new(asked.get().saturating_add(jitter.get() / 4)))),
            None => Next::Wait(jitter),
        }
    }
}

/// A number from 0 to `max`, evenly from evenly drawn bits.
fn evenly(dice: u64, max: u64) -> u64 {
    let scaled = (u128::from(dice) * (u128::from(max) + 1)) >> 64;
    u64::try_from(scaled).unwrap_or(max)
}

/// The header `Retry-After`: seconds (whole or with a fraction) or an HTTP date, as of `now`, which
/// is the answer's own `Date`: two dates of one clock. A date without it means nothing.
#[must_use]
pub fn retry_after(text: &str, now: Option<Timestamp>) -> Option<Millis> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Millis::from_secs(seconds));
    }
    if let Some((whole, part)) = text.split_once('.') {
        let digits = |t: &str| !t.is_empty() && t.len() <= 9 && t.bytes().all(|b| b.is_ascii_digit());
        if digits(whole) && digits(part) {
            let thousandths: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
            // Rounded up: never earlier than asked.
            return Some(Millis::new(
                whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(thousandths + 1)?,
            ));
        }
    }
    Some(date(text)?.since(now?))
}

/// A date in a header (RFC 9110 §5.6.7, the form that is sent).
pub(crate) fn date(text: &str) -> Option<Timestamp> {
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::model::{Counted, Usage};
    use proptest::prelude::*;

    const USAGE: Usage =
        Usage { input: 1, output: 1, cache_read: 0, cache_write: 0, counted: Counted::Estimated };

    fn limited(retry_after: Option<Millis>) -> CallError {
        CallError::RateLimited { retry_after, said: String::new() }
    }

    /// P5: nobody pays twice for one answer.
    #[test]
    fn what_may_have_been_paid_is_not_repeated() {
        let policy = RetryPolicy::default();
        for error in [
            CallError::Unknown { why: String::new() },
            CallError::TimedOut { phase: crate::Phase::FirstToken, limit: Millis::ZERO, usage: None },
            CallError::Malformed { why: String::new(), usage: None },
            CallError::TooLarge { what: "bytes", limit: 1, usage: None },
            CallError::Cut { why: String::new(), usage: USAGE },
        ] {
            assert_eq!(policy.after(1, &error, 0), Next::Stop(Stop::PerhapsPaid), "{error}");
            assert_ne!(error.charge(), crate::Charge::Nothing, "{error}");
        }
        let refused = CallError::Refused { status: 400, said: String::new() };
        assert_eq!(policy.after(1, &refused, 0), Next::Stop(Stop::Useless));
    }

    #[test]
    fn the_last_attempt_is_the_last() {
        let policy = RetryPolicy { attempts_max: 4, ..RetryPolicy::default() };
        assert!(matches!(policy.after(3, &limited(None), u64::MAX), Next::Wait(_)));
        assert_eq!(policy.after(4, &limited(None), 0), Next::Stop(Stop::Exhausted));
    }

    #[test]
    fn a_server_that_asks_for_no_wait_is_asked_no_sooner() {
        let policy = RetryPolicy::default();
        for asked in [0, 1, 100].map(Millis::new) {
            assert_eq!(policy.after(1, &limited(Some(asked)), u64::MAX), Next::Wait(policy.wait_first));
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now: Timestamp = "2026-11-25T18:00:00Z".parse().unwrap();
        for (text, wait) in [
            ("3", Some(3000)),
            (" 0 ", Some(0)),
            ("0.25", Some(251)),
            ("Wed, 25 Nov 2026 18:00:05 GMT", Some(5000)),
            ("Wed, 25 Nov 2026 17:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(retry_after(text, Some(now)), wait.map(Millis::new), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_bounded_and_never_shorter_than_asked(
            attempt in 1u32..100, dice: u64, asked in proptest::option::of(0u64..100_000), first in 0u64..100_000,
        ) {
            let policy = RetryPolicy { attempts_max: 100, wait_first: Millis::new(first), ..RetryPolicy::default() };
            let asked = asked.map(Millis::new);
            match policy.after(attempt, &limited(asked), dice) {
                Next::Wait(wait) => {
                    prop_assert!(asked.is_none_or(|asked| wait >= asked));
                    let Next::Wait(own) = policy.after(attempt, &limited(None), dice) else { panic!() };
                    prop_assert!(wait >= own, "a server never shortens our own wait");
                    prop_assert!(wait.get() <= policy.wait_max.get() * 5 / 4);
                }
                Next::Stop(Stop::TooLong(long)) => prop_assert!(long > policy.wait_max),
                Next::Stop(why) => prop_assert!(false, "{:?}", why),
            }
        }

        #[test]
        fn any_header_is_read_without_panic(text: String, now: i64) {
            let _wait = retry_after(&text, Some(Timestamp::from_millis(now)));
        }

        #[test]
        fn dice_reach_both_ends(max in 0u64..u64::MAX) {
            prop_assert_eq!(evenly(0, max), 0);
            prop_assert_eq!(evenly(u64::MAX, max), max);
        }
    }
}
