//! What tests stand on: real servers from Debian's packages, and a TCP proxy between a client and a
//! server that cuts, delays and swallows as it is told.
//!
//! Promises: a server listens on a free port of its own and a socket in a temporary folder of its own,
//! is ready when its `start` returns or that returns an error within a bound, and is stopped by its
//! process id and removed with its folder when it is dropped, and also when the test's process dies.
//!
//! Must not know: any crate of the project.

pub mod postgres;
pub mod tcp_proxy;

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

/// A port that nobody listened on a moment ago.
///
/// # Errors
/// When the machine gives none.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Waits until `ready` says so; `false` when that takes longer than `within`.
pub fn poll_until(within: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !ready() {
        if began.elapsed() > within {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}
