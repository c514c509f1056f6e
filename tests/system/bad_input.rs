//! P8: bad requests by the thousand leave the server's memory as it was.

use crate::server::{ADMIN, Octo};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// What `serve` may have grown by after all of it. One body of 10 MB in twenty that stays, or a
/// hundredth of the small ones, is more.
const GROWTH_BYTES_MAX: u64 = 16 << 20;
const SMALL_ROUNDS: usize = 250;
const HUGE: usize = 30;

/// The bytes that a process has in memory.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of its size");
    let kibibytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    kibibytes << 10
}

/// Sends bytes on a connection of its own; the status of the answer.
fn status(address: &str, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).expect("the server takes connections");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    // The server may refuse and close before it has read everything.
    let _sent = stream.write_all(request);
    let mut answer = Vec::new();
    let _until_closed = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no answer: {text}"))
}

fn post(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn memory_stays_flat_under_bad_input() {
    let octo = Octo::start(&[]);
    let base = octo.client().url("");
    let address = base.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let key = |n: usize| format!("octo_unknown{n}_0123456789abcdef0123456789abcdef");
    let small = |n: usize| {
        let wide: String = (0..2000).map(|field| format!("\"f{n}_{field}\":{field},")).collect();
        vec![
            (post(b""), 400),
            (post(b"{\"goal\":\"\xff\xfe\"}"), 400),
            (post(format!("{{\"goal\":\"a\",\"context\":{}", "[".repeat(20_000)).as_bytes()), 400),
            (post(format!("{{{wide}\"goal\":\"a\",\"goal\":\"b\"}}").as_bytes()), 400),
            (post(format!("{{\"goal\":\"List the countries in Europe {n}\"}}").as_bytes()), 422),
            (post(format!("{{\"goal\":\"{}\"}}", "a ".repeat(40_000)).as_bytes()), 400),
            (
                format!("GET /api/v1/tasks HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n", key(n))
                    .into_bytes(),
                401,
            ),
            (format!("GET /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes(), 400),
        ]
    };
    let huge = post(format!("{{\"goal\":\"{}\"}}", "a".repeat(10 << 20)).as_bytes());
    // What a first time takes (pools, statements, the allocator's own) is no growth.
    let warm = |rounds: std::ops::Range<usize>, huge_ones: usize| {
        for n in rounds {
            for (request, wanted) in small(n) {
                let got = status(&address, &request);
                assert_eq!(got, wanted, "{}", String::from_utf8_lossy(&request[..request.len().min(300)]));
            }
        }
        (0..huge_ones).for_each(|_| assert_eq!(status(&address, &huge), 413));
    };
    warm(0..20, 3);
    let before = resident(octo.pid());
    warm(20..20 + SMALL_ROUNDS, HUGE);
    let after = resident(octo.pid());
    println!("resident: {} KiB, then {} KiB", before >> 10, after >> 10);
    assert!(after < before + GROWTH_BYTES_MAX, "{before} bytes, then {after}");
    assert_eq!(octo.workers().len(), 1);
}
