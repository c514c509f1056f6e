//! The scaling engine.
pub mod duration;
pub mod quantity;
pub mod read;
