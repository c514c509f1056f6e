//! Places at which a test may end the process, as if the power had gone.
//!
//! | point | where |
//! |---|---|
//! | `store.before_commit` | a transaction has all its rows and is not committed |
//! | `store.after_commit` | it is committed, nobody knows yet, and the disk may not have it |
//! | `store.before_reply` | one caller of it is about to be answered |
//!
//! `store.before_commit=exit:7,store.before_reply=exit:1` ends the process at the seventh pass
//! of one or the first of the other, whichever comes first, without running any destructor.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

/// The points that are armed; none by default.
#[derive(Debug, Default)]
pub struct Failpoints {
    armed: BTreeMap<Point, AtomicU64>,
}

/// A place in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Point {
    BeforeCommit,
    AfterCommit,
    BeforeReply,
}

impl Point {
    const ALL: [Point; 3] = [Point::BeforeCommit, Point::AfterCommit, Point::BeforeReply];

    const fn name(self) -> &'static str {
        match self {
            Point::BeforeCommit => "store.before_commit",
            Point::AfterCommit => "store.after_commit",
            Point::BeforeReply => "store.before_reply",
        }
    }
}

/// A text that arms nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a failpoint such as store.before_commit=exit:7")]
pub struct InvalidFailpoint(String);

impl Failpoints {
    /// Reads `point=exit:N` pairs with commas between; points of other parts are left to them.
    pub fn parse(text: &str) -> Result<Self, InvalidFailpoint> {
        let mut armed = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let refusal = || InvalidFailpoint(pair.to_owned());
            let (name, action) = pair.split_once('=').ok_or_else(refusal)?;
            if !name.starts_with("store.") {
                continue;
            }
            let point = Point::ALL.into_iter().find(|point| point.name() == name).ok_or_else(refusal)?;
            let passes = action.strip_prefix("exit:").and_then(|n| n.parse().ok()).filter(|n| *n > 0);
            armed.insert(point, AtomicU64::new(passes.ok_or_else(refusal)?));
        }
        Ok(Failpoints { armed })
    }

    /// Passes `point`; does not return when it was armed for this pass.
    pub(super) fn pass(&self, point: Point) {
        if let Some(left) = self.armed.get(&point)
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_is_read_or_refused() {
        let points = Failpoints::parse("store.before_commit=exit:7, lease.reply=exit:1,").unwrap();
        assert_eq!(points.armed.len(), 1);
        points.pass(Point::AfterCommit);
        for _ in 0..6 {
            points.pass(Point::BeforeCommit);
        }
        for bad in ["store.before_commit", "store.nowhere=exit:1", "store.after_commit=exit:0", "store.x=y"] {
            assert!(Failpoints::parse(bad).is_err(), "{bad}");
        }
    }
}
