//! Providers' clients against servers that answer with given bytes: recorded answers of the real
//! ones, hostile ones, and the simulated one.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage ends there")]

mod hostile;
mod recorded;
mod server;
mod simulated;
