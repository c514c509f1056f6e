//! What no polite client sends: malformed HTTP, too many connections, many idle ones.

use crate::harness::{Octo, request, within};
use octollm_orchestrator::http::ServerSettings;
use std::time::Duration;
use std::time::Instant;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test]
async fn malformed_http_is_refused_and_closed() {
    let octo = Octo::start().await;
    for bad in [
        "POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: sideways\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let reply = octo.raw(bad.as_bytes()).await;
        assert_eq!(reply.status, 400, "{bad:?}: {reply:?}");
    }
    let key = octo.user.reveal();
    let broken_chunk = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    );
    assert_eq!(octo.raw(broken_chunk.as_bytes()).await.status, 400);
    octo.submit().await;
    octo.stop().await;
}

/// P9: over the limit a connection gets a 503 and the others go on.
#[tokio::test]
async fn a_connection_over_the_limit_is_refused() {
    let settings = ServerSettings { connections_max: 2, ..ServerSettings::default() };
    let octo = Octo::start_with(settings).await;
    let mut held = Vec::new();
    let mut refused = None;
    for _ in 0..3 {
        let mut stream = TcpStream::connect(octo.address).await.unwrap();
        let mut first = [0; 16];
        match tokio::time::timeout(Duration::from_millis(300), stream.read(&mut first)).await {
            Ok(read) => refused = Some(first[..read.unwrap()].to_vec()),
            Err(_) => held.push(stream),
        }
    }
    assert_eq!(held.len(), 2);
    assert_eq!(refused.as_deref(), Some(&b"HTTP/1.1 503 Ser"[..]));
    drop(held);
    within(async {
        let health = request("GET", "/healthz", None, "", b"");
        while octo.raw(&health).await.status != 200 {}
    })
    .await;
    octo.stop().await;
}

/// P9: who sends nothing, half a head or half a body is cut after the time that the settings say.
#[tokio::test]
async fn a_slow_client_is_cut() {
    let short = Duration::from_millis(300);
    let octo =
        Octo::start_with(ServerSettings { head_within: short, body_within: short, ..Default::default() })
            .await;
    let key = octo.user.reveal();
    let half_body = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    for (sent, answer) in
        [("", ""), ("GET / HT", ""), ("PRI * HTTP/2.0", ""), (half_body.as_str(), "HTTP/1.1 400")]
    {
        let mut stream = TcpStream::connect(octo.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        // A connection that is closed with bytes unread is reset.
        let cut = within(stream.read_to_end(&mut got)).await;
        assert!(cut.is_ok() || answer.is_empty(), "{sent:?}: {cut:?}");
        assert!(got.starts_with(answer.as_bytes()), "{sent:?}: {}", String::from_utf8_lossy(&got));
    }
    octo.stop().await;
}

/// P9: idle connections cost the others nothing.
#[tokio::test]
async fn ten_thousand_idle_connections_leave_the_others_alone() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    // Both ends are in this process.
    let most =
        limit.maximum.map_or(10_000, |files| usize::try_from((files.saturating_sub(300)) / 2).unwrap());
    let many = most.min(10_000);
    if many < 10_000 {
        println!("only {many} connections: the hard limit of open files is {:?}", limit.maximum);
    }
    let octo =
        Octo::start_with(ServerSettings { head_within: Duration::from_secs(60), ..Default::default() }).await;
    let mut idle = Vec::with_capacity(many);
    for _ in 0..many {
        idle.push(TcpStream::connect(octo.address).await.unwrap());
    }
    let begun = Instant::now();
    octo.submit().await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?} with {many} idle connections");
    drop(idle);
    octo.stop().await;
}
