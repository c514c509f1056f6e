//! Many idle connections, and clients that are slow: others are still answered in time (P9).

use crate::server::Octo;
use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

/// P9: with ten thousand idle connections, another client is answered within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_do_not_keep_others_waiting() {
    let wanted = 10_000;
    let limit = raise_file_limit();
    let idle = match limit {
        Some(limit) if limit < wanted + 500 => {
            println!(
                "the file limit of this machine is {limit}: {} idle connections instead of {wanted}",
                limit / 2
            );
            limit / 2
        }
        Some(_) | None => wanted,
    };
    let octo = Octo::start(&[]);
    let address = octo.base().read().expect("the base").trim_start_matches("http://").to_owned();
    let connections: Vec<TcpStream> =
        (0..idle).map(|_| TcpStream::connect(&address).expect("the server accepts connections")).collect();
    let began = Instant::now();
    let (status, _) = octo.client().get("/api/v1/tasks").await.expect("an answer");
    assert_eq!(status, 200);
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    drop(connections);
}

/// P8: a client that does not finish its request is cut off, and the server goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_ends_its_head_is_cut() {
    let octo = Octo::start(&[]);
    let address = octo.base().read().expect("the base").trim_start_matches("http://").to_owned();
    let mut slow = TcpStream::connect(&address).expect("a connection");
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").expect("it is taken");
    slow.set_read_timeout(Some(Duration::from_secs(40))).expect("a timeout");
    let mut answer = Vec::new();
    let ended = std::io::Read::read_to_end(&mut slow, &mut answer);
    assert!(ended.is_ok() || answer.is_empty(), "the connection was not closed: {ended:?}");
    let (status, _) = octo.client().get("/healthz").await.expect("an answer");
    assert_eq!(status, 200);
}

/// The file limit after raising it as far as it goes.
fn raise_file_limit() -> Option<u64> {
    let now = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: now.maximum, maximum: now.maximum };
    let _the_old_limit_stays = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}
