//! The arms: what takes steps from a queue and does them.
//!
//! [`Arm`] is the seam: a step in, an output or a failure out. [`Worker`] leases steps, has
//! its arms do them, keeps the leases alive and reports. [`Executor`] runs tools, [`Planner`] has
//! a model plan, [`Coder`] has one write and test files, [`Judge`] checks results by rule and,
//! where a criterion is a sentence, by a model.
//!
//! Promises: P2, a lease ends in at most one report, a lost lease in none, and a drain burns
//! no attempt; P6, a tool reads below the granted roots only, connects to the granted hosts
//! only, and programs run in a locked room; P10, what was cut, skipped or unreadable is said.
//!
//! Must not know: the store, HTTP routes, keys. An arm holds the token of the step it does.

mod arm;
pub mod bench;
mod clock;
mod coder;
mod executor;
#[cfg(test)]
mod guide_goals;
mod handed;
#[cfg(test)]
mod hostile;
mod judge;
mod link;
mod planner;
mod think;
mod worker;

pub use arm::{Arm, Undone, Work};
pub use coder::Coder;
pub use executor::{Executor, Settings as ExecutorSettings};
pub use judge::Judge;
pub use link::{Link, NoAnswer, NoLink};
pub use planner::Planner;
pub use worker::{LOANS_MAX, Settings as WorkerSettings, Worker};
