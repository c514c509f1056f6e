//! What no polite client sends: malformed HTTP, too many connections, many idle ones.

use crate::harness::{Octo, request, within};
use octollm_orchestrator::http::ServerSettings;
use std::time::Duration;
use std::time::Instant;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// P8: what two readers could understand differently, or what is no HTTP, gets a 400 and its
/// connection ends: `raw` reads until the server closes.
#[tokio::test]
async fn malformed_http_is_refused_and_closed() {
    let octo = Octo::start().await;
    let key = octo.user.reveal();
    let post = |headers: &str, body: &str| {
        format!(
            "POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\n{headers}\r\n{body}"
        )
    };
    let goal = r#"{"goal":"List the files in /tmp"}"#;
    let chunked = |chunks: &str| post("Transfer-Encoding: chunked\r\n", chunks);
    let in_a_chunk = format!("{:x}\r\n{goal}\r\n0\r\n\r\n", goal.len());
    let length = format!("Content-Length: {}\r\n", goal.len());
    let bad = [
        // Lengths.
        post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"),
        post("Content-Length: x\r\n", ""),
        post(&format!("Content-Length: +{}\r\n", goal.len()), goal),
        post(&format!("Content-Length: {0}, {0}\r\n", goal.len()), goal),
        post("Content-Length: -1\r\n", goal),
        post("Content-Length: 99999999999999999999999\r\n", goal),
        post("Content-Length: \r\n", goal),
        // Two kinds of length.
        post(&format!("{length}Transfer-Encoding: chunked\r\n"), &in_a_chunk),
        post(&format!("Transfer-Encoding: chunked\r\n{length}"), &in_a_chunk),
        post("transfer-encoding: chunked\r\nX: y\r\ncontent-length: 0\r\n", &in_a_chunk),
        // Transfer codings.
        post("Transfer-Encoding: sideways\r\n", ""),
        post("Transfer-Encoding: gzip, chunked\r\n", &in_a_chunk),
        post("Transfer-Encoding: chunked, chunked\r\n", &in_a_chunk),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &in_a_chunk),
        post("Transfer-Encoding: chunked, identity\r\n", &in_a_chunk),
        post("Transfer-Encoding: chunked\r\n", &in_a_chunk).replace("HTTP/1.1", "HTTP/1.0"),
        // Chunks.
        chunked("zz\r\n"),
        chunked(&format!("0x{in_a_chunk}")),
        chunked(&format!("+{in_a_chunk}")),
        chunked(&format!("-{in_a_chunk}")),
        chunked(&format!(" {in_a_chunk}")),
        chunked("fffffffffffffffff\r\n"),
        chunked(&in_a_chunk.replacen("\r\n", "\n", 1)),
        chunked(&in_a_chunk.replacen("}\r\n", "}}\r\n", 1)),
        chunked(&in_a_chunk.replacen("\r\n", " 1\r\n", 1)),
        // Lines.
        post("X: a\r\n b\r\n", ""),
        post("X: a\r\n\tb\r\n", ""),
        post(&format!("X: a\n{length}"), goal),
        post(&format!("X: a\rb\r\n{length}"), goal),
        post(&format!("X: a\0b\r\n{length}"), goal),
        post(&format!("X : a\r\n{length}"), goal),
        post(&length, goal).replacen("\r\n", "\n", 20),
        "GET /healthz HTTP/1.1\nHost: a\n\n".into(),
        "GET /healthz HTTP/1.1\rHost: a\r\r".to_owned() + "\r\n\r\n",
        // The host.
        "GET /healthz HTTP/1.1\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: u@a\r\n\r\n".into(),
        // No HTTP.
        "GET / HTTP/9.9\r\n\r\n".into(),
        "\0\0\0\0\r\n\r\n".into(),
        "GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n".into(),
    ];
    for bad in bad {
        let reply = octo.raw(bad.as_bytes()).await;
        assert_eq!(reply.status, 400, "{bad:?}: {reply:?}");
    }
    let page = octo.client(&octo.user).list(None, false, None, None).await.unwrap();
    assert_eq!(page.tasks, [], "nothing was stored");
    // The same requests, well formed.
    for good in [post(&length, goal), chunked(&in_a_chunk)] {
        let reply =
            octo.raw(good.replace("Host: a\r\n", "Host: a\r\nConnection: close\r\n").as_bytes()).await;
        assert_eq!(reply.status, 202, "{good:?}: {reply:?}");
    }
    octo.stop().await;
}

/// P8: a request that was smuggled behind another one is not served.
#[tokio::test]
async fn nothing_is_served_behind_a_refused_head() {
    let octo = Octo::start().await;
    let smuggling = "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
                     0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = "POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   0\r\n\r\nGET /healthz HTTP/1.1\nHost: a\n\n";
    let first = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    for (sent, statuses) in [
        (smuggling.to_owned(), vec!["400"]),
        (format!("{first}{smuggling}"), vec!["200", "400"]),
        (format!("{first}{chunked}"), vec!["200", "405"]),
    ] {
        let mut stream = TcpStream::connect(octo.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        within(stream.read_to_end(&mut got)).await.unwrap();
        let got = String::from_utf8_lossy(&got);
        let seen: Vec<_> = got.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        assert_eq!(seen, statuses, "{sent:?}: {got}");
    }
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
