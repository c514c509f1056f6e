//! Screens text that nobody vouches for: masks what looks like a secret, takes the hidden
//! characters out, and fences data so that a model can tell it from what it is told.
//!
//! Promises: every function is total (no text makes it panic), takes time linear in the text,
//! and done twice gives what it gave once. [`secrets::mask`] leaves no secret of a listed shape;
//! [`text::neutralise`] leaves no character that is there without being seen; what
//! [`data::marked`] fences cannot close its own fence.
//!
//! Must not know: prompts, providers, tasks, chance (whoever fences brings the [`data::Nonce`]).

pub mod data;
pub mod secrets;
pub mod text;
