//! A deterministic simulation: orchestrators, workers and clients around the state machine
//! and the memory model, under a simulated clock and a network that loses, delays and doubles.
//!
//! A schedule has two acts. In the first, faults rain and nothing false may be seen; in the
//! second they have stopped and every accepted task must end within a bound. After every
//! transaction the invariants of `lifecycle` are checked; after the schedule an independent
//! checker ([`checker`]) reads what clients and workers saw and the events that were told.
//!
//! Promises: a schedule follows from its seed alone, so that a failing one repeats exactly.
//! A broken variant ([`Broken`]) must be found; `tests/` holds it to that.
//!
//! Must not know: how the state machine decides. Broken variants live in the simulated store's
//! shell, never in the machine.

mod calls;
pub mod checker;
mod client;
mod fault;
pub mod message;
mod orchestrator;
pub mod rng;
mod scenario;
mod store;
mod worker;
mod world;

pub use scenario::Names;
pub use store::Broken;
pub use world::{Outcome, run};
