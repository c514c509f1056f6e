//! The HTTP edge, driven over real sockets: a server on a free port, the typed client, and raw
//! requests where the client would be too polite.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage ends there")]

mod approvals;
mod authorization;
mod bad_input;
mod harness;
mod keys;
mod leases;
mod openapi;
mod streams;
mod tls;
mod usage;
mod wire;
