//! Model providers: how they are called, what a call costs, and a simulated one.
//!
//! Promises: every answer is bounded in bytes, lines, tool calls and time, whatever the server
//! sends; a call whose outcome is unknown is never repeated blindly ([`retry`]); prices are whole
//! micro-dollars, a model without a price has none, not 0 (P5); a key is never printed and never
//! follows a redirect; dropping a call closes it at the provider.
//!
//! Must not know: tasks, steps, budgets, the gateway. Whoever calls holds and settles the money;
//! what they need for it is here: [`count()`], [`Catalogue`], [`CallError::charge`].

pub mod breaker;
mod catalogue;
mod count;
mod error;
pub mod retry;
mod structured;

pub use catalogue::{BadCatalogue, Catalogue, Price, Priced};
pub use count::{Count, CountedBy, count, count_text};
pub use error::{CallError, Charge, Phase};
