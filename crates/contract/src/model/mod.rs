//! What is asked of a model and what it answers: the words that travel between an arm, the
//! gateway and a provider's client.
//!
//! Promises: an [`Ask`] and a [`Chunk`] read back from JSON as themselves; an [`Answer`] is what
//! its chunks say, whatever their borders ([`Gathering`]); whether an answer is simulated is part
//! of it, so that it is never given as a real one (P10).
//!
//! Must not know: providers, prices, keys, prompts. Everything a model says is untrusted here:
//! tool arguments stay text until somebody has checked them, JSON in an answer is found but not
//! believed.

mod answer;
mod ask;
mod once;
mod waits;

pub use answer::{Answer, Chunk, Counted, Finish, Gathering, NotAnObject, NotJson, Usage, json_in};
pub use ask::{Ask, Message, Structured, Tool, ToolCall, ToolChoice};
pub use waits::WaitsFor;
