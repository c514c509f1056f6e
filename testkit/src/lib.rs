//! What tests stand on: real servers, from Debian's packages or in a thread, and a TCP proxy between a client and a
//! server that cuts, delays and swallows as it is told.
//!
//! Promises: a server listens on a free port of its own and a socket in a temporary folder of its own,
//! is ready when its `start` returns or that returns an error within a bound, and is stopped by its
//! process id and removed with its folder when it is dropped, and also when the test's process dies.
//!
//! Must not know: any crate of the project.

pub mod certificates;
pub mod postgres;
pub mod s3;
pub mod tcp_proxy;

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

/// A port that nobody listened on a moment ago.
///
/// # Errors
/// When the machine gives none.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A port for a server that is killed and started again while others try to reach it: one that the system
/// gives to no connection. A client that finds nobody there could else be given that very port for its own
/// end, be connected to itself, and keep the server from coming back.
///
/// # Errors
/// When all are taken.
pub fn lasting_port() -> std::io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Below 32768, where Linux begins to give (net.ipv4.ip_local_port_range); processes begin apart.
    let (first, count) = (20_000, 12_000);
    let own = u16::try_from(std::process::id() % u32::from(count)).unwrap_or_default();
    for _ in 0..count {
        let at = own.wrapping_mul(7).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        if TcpListener::bind(("127.0.0.1", first + at)).is_ok() {
            return Ok(first + at);
        }
    }
    Err(std::io::ErrorKind::AddrInUse.into())
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
