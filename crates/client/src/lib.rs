//! How other processes talk to the orchestrator: the lease protocol for arms, the public API
//! for people and programs.
//!
//! Promises: a call says what happened in the caller's terms (lost, refused, unreachable),
//! and nothing is repeated that is not safe to repeat.
//!
//! Must not know: how the orchestrator decides or stores.

pub mod http;
mod leases;
mod think;
pub mod wire;

pub use leases::{
    Beat, Completion, Decision, Grant, LeaseAsk, LeaseError, Leases, ModelTerms, PROTOCOL_OLDEST,
    PROTOCOL_VERSION, VerdictReport, Wait,
};
pub use think::{ThinkAsk, ThinkError, ThinkLine, Thinking, whole};
