//! Model providers: how they are called, what a call costs, and a simulated one.
//!
//! Promises: every answer is bounded in bytes, lines, tool calls and time, whatever the server
//! sends; a call whose outcome is unknown is never repeated blindly ([`retry`]); prices are whole
//! micro-dollars, a model without a price has none, not 0 (P5); a key is never printed and never
//! follows a redirect; dropping a call closes it at the provider.
//!
//! Must not know: tasks, steps, budgets, the gateway. Whoever calls holds and settles the money;
//! what they need for it is here: [`count()`], [`Catalogue`], [`CallError::charge`].
//!
//! The parts: [`Provider`] calls ([`quirks`] knows the servers, [`sse`] reads streams), [`retry`] and
//! [`breaker`] decide as pure functions, [`sim`] is the server of `octollm llm-sim`.

mod answering;
mod anthropic;
pub mod breaker;
mod catalogue;
mod count;
mod draft;
mod error;
mod key;
mod lenient;
mod openai;
mod provider;
pub mod quirks;
pub mod retry;
pub mod sim;
pub mod sse;
mod structured;

pub use answering::{Answering, Times};
pub use catalogue::{BadCatalogue, Catalogue, Price, Priced};
pub use count::{Count, CountedBy, count, count_text};
pub use draft::Bounds;
pub use error::{CallError, Charge, Phase};
pub use key::{BadKeyText, ProviderKey};
pub use provider::{BadProvider, Kind, Provider, ProviderSettings, chain, check_address};
pub use quirks::{Quirks, Server};

/// What the simulated server calls itself in `system_fingerprint`.
pub const SIMULATED_BY: &str = "octollm-llm-sim";
/// The header of a simulated answer.
pub const SIMULATED_HEADER: &str = "x-octollm-simulated";
