//! The owner of the tasks' state: it accepts, hands out, records and streams.
//!
//! [`App`] is the application layer: one method for each thing that a caller can ask, without
//! HTTP; `octollm run` uses it as it is. [`LocalLeases`] is the lease protocol in the same
//! process. The HTTP layer over both is `http`, and the background tasks are [`Sweeper`],
//! [`Retention`] and [`RingKeeper`].
//!
//! Promises: P1 and P3 through the store's accept, which is durable before it is answered; P7,
//! for every read takes its tenant scope from the [`Caller`] and a step reads only artefacts of
//! its own task; P8, for a request is checked whole before anything is stored; P10, for a goal
//! that the rules do not understand is refused.
//!
//! Must not know: how a decision about a task is made, how a step is done, what a store is made of.

mod app;
mod approval;
mod hearing;
pub mod http;
mod leases;
mod planning;
mod problem;
mod retention;
mod stored;
mod sweeper;
mod view;
mod workers;

pub use app::{
    App, Caller, CreatedKey, KeyError, NewKey, NotReady, ParsePlaceError, Parts, ReadError, RingKeeper,
    Settings, SteerError, SubmitError, UsageAsk, UsageError, UsagePlace, WholeResult,
};
pub use leases::LocalLeases;
pub use retention::{Retention, RetentionSettings};
pub use stored::{PlanDocument, StepDocument};
pub use sweeper::{Finds, Sweeper};
