//! Promise P6 against real commands: each test tries a way out, shows that it is shut, and
//! shows that the way beside it, which must be open, is open.
//!
//! The same tests run as root, as another user, and without namespaces: see `again`.
//! They need `sh` and `perl`. `OCTOLLM_TEST_ROOMS=1` makes a kernel without rooms a failure.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops at what it cannot set up")]

mod again;
mod bounds;
mod ends;
mod files;
mod kernel_calls;
mod lab;
mod network;
mod processes;
mod program;
