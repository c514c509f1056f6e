//! The scaling engine.
