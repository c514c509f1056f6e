//! What no polite client sends: malformed HTTP, too many connections, many idle ones.

use crate::harness::{Octo, request, within};
use octollm_orchestrator::http::ServerSettings;
use std::time::Duration;
use tokio::{io::AsyncReadExt as _, net::TcpStream};

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
    let settings = ServerSettings { connections_max: 2, grace: Duration::from_millis(200) };
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
