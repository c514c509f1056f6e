//! Against a real server on this machine, with names resolved by the test.

use super::{Resolve, fetch};
use crate::{Undone, executor::outcome::Found};
use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect},
    routing::get,
};
use bytes::Bytes;
use octollm_access::{Capability, NetworkGrant};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Gives one address first and others later.
#[derive(Default)]
struct Names {
    answers: Vec<&'static str>,
    asked: AtomicUsize,
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let at = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.get(at).or(self.answers.last()).ok_or(io::ErrorKind::NotFound)?;
        Ok(answer.split(' ').map(|text| text.parse().unwrap()).collect())
    }
}

fn names(answers: &[&'static str]) -> Names {
    Names { answers: answers.to_vec(), asked: AtomicUsize::new(0) }
}

async fn server() -> SocketAddr {
    let huge = || async {
        let pieces = std::iter::repeat_with(|| Ok::<_, io::Error>(Bytes::from(vec![b'x'; 1 << 20])));
        Body::from_stream(tokio_stream_of(pieces.take(64)))
    };
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/away", get(|| async { Redirect::temporary("http://elsewhere.test/") }))
        .route("/own", get(|| async { Redirect::temporary("http://169.254.169.254/latest/meta-data") }))
        .route("/round", get(|| async { Redirect::temporary("/round") }))
        .route("/file", get(|| async { Redirect::temporary("file:///etc/passwd") }))
        .route("/once", get(|| async { Redirect::permanent("/") }))
        .route("/missing", get(|| async { (StatusCode::NOT_FOUND, "no such page") }))
        .route("/down", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/huge", get(huge))
        .route(
            "/bytes",
            get(|| async { ([(header::CONTENT_TYPE, "x/y")], vec![0xff_u8, b'a', 0]).into_response() }),
        )
        .route("/never", get(|| async { std::future::pending::<()>().await }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A stream of an iterator's items.
fn tokio_stream_of<I: Iterator<Item = io::Result<Bytes>> + Send + Unpin + 'static>(
    items: I,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    futures_util::stream::iter(items)
}

fn may(hosts: &[(&str, bool)]) -> Capability {
    let grant =
        |(host, private): &(&str, bool)| NetworkGrant { host: host.parse().unwrap(), private: *private };
    Capability { hosts: hosts.iter().map(grant).collect(), ..Capability::default() }
}

async fn get_url(url: &str, may: &Capability, names: &Names) -> Result<Found, (String, bool)> {
    fetch(url, may, names, &CancellationToken::new()).await.map_err(|undone| match undone {
        Undone::Failed { message, retryable } => (message, retryable),
        Undone::Later { .. } | Undone::Stopped => ("stopped".into(), false),
    })
}

#[tokio::test]
async fn a_granted_host_is_fetched_and_redirects_are_followed() {
    let at = server().await;
    let host = format!("site.test:{}", at.port());
    let granted = may(&[(host.as_str(), true)]);
    let names = names(&["127.0.0.1"]);
    let url = |path: &str| format!("http://{host}{path}");
    assert_eq!(get_url(&url("/"), &granted, &names).await.unwrap().text, "hello");
    let found = get_url(&url("/once"), &granted, &names).await.unwrap();
    assert_eq!((found.text.as_str(), &found.data["status"]), ("hello", &200.into()));
    let found = get_url(&url("/bytes"), &granted, &names).await.unwrap();
    assert!(found.text.starts_with("\u{fffd}a\u{fffd}\n(not all"), "{}", found.text);
    let direct = format!("http://{at}/");
    assert_eq!(get_url(&direct, &may(&[(&at.to_string(), true)]), &names).await.unwrap().text, "hello");
}

/// P6: what was not granted is not connected to, however it is named.
#[tokio::test]
async fn hosts_and_addresses_that_were_not_granted_are_refused() {
    let at = server().await;
    let port = at.port();
    let check = async |url: String, may: Capability, names: Names, wanted: &str| {
        let (message, _) = get_url(&url, &may, &names).await.unwrap_err();
        assert!(message.contains(wanted), "{url}: {message}");
    };
    let site = format!("http://site.test:{port}");
    let public = || may(&[("site.test", false)]);
    check(format!("{site}/"), Capability::default(), names(&["127.0.0.1"]), "not granted").await;
    check(format!("{site}/"), public(), names(&["127.0.0.1"]), "not a public address").await;
    check(format!("{site}/"), public(), names(&["8.8.8.8 ::1"]), "not a public address").await;
    check(format!("{site}/"), public(), names(&["::ffff:127.0.0.1"]), "not a public address").await;
    check(format!("{site}/"), may(&[("site.test:1", true)]), names(&["127.0.0.1"]), "not granted").await;
    for spelling in ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{spelling}:{port}/");
        let host = reqwest::Url::parse(&url).unwrap().host_str().unwrap().to_owned();
        check(url, may(&[(host.as_str(), false)]), names(&[]), "not a public address").await;
    }
    check("file:///etc/passwd".into(), public(), names(&[]), "neither http nor https").await;
    check(format!("http://u:p@site.test:{port}/"), public(), names(&[]), "user name").await;
}

/// P6: a redirect is checked like a first request, and its name is resolved anew.
#[tokio::test]
async fn a_redirect_leads_nowhere_that_was_not_granted() {
    let at = server().await;
    let host = format!("site.test:{}", at.port());
    let site = |path: &str| format!("http://{host}{path}");
    let check = async |path: &str, may: Capability, names: Names, wanted: &str| {
        let (message, _) = get_url(&site(path), &may, &names).await.unwrap_err();
        assert!(message.contains(wanted), "{path}: {message}");
    };
    let granted = || may(&[(host.as_str(), true), ("elsewhere.test", false)]);
    check("/own", granted(), names(&["127.0.0.1"]), "not granted").await;
    let alone = may(&[(host.as_str(), true)]);
    check("/away", alone, names(&["127.0.0.1"]), "a redirect led there: fetch http://elsewhere.test").await;
    check("/away", granted(), names(&["127.0.0.1", "10.0.0.1"]), "not a public address").await;
    check("/round", granted(), names(&["127.0.0.1"]), "more than 5 times").await;
    check("/file", granted(), names(&["127.0.0.1"]), "neither http nor https").await;
}

#[tokio::test]
async fn a_bad_answer_is_a_failure_that_says_whether_to_try_again() {
    let at = server().await;
    let granted = may(&[(&at.to_string(), true)]);
    let fetch =
        async |path: &str| get_url(&format!("http://{at}{path}"), &granted, &names(&[])).await.unwrap_err();
    let (message, retryable) = fetch("/missing").await;
    assert!(message.contains("404: no such page") && !retryable, "{message}");
    assert!(fetch("/down").await.1);
    let (message, retryable) = fetch("/huge").await;
    assert!(message.contains("more than 8.0 MiB") && !retryable, "{message}");
}

#[tokio::test]
async fn a_slow_answer_is_given_up_and_a_cancel_is_heard() {
    let at = server().await;
    let granted = may(&[(&at.to_string(), true)]);
    let url = format!("http://{at}/never");
    let cancel = CancellationToken::new();
    let (fetched, ()) =
        tokio::join!(fetch(&url, &granted, &super::SystemResolver, &cancel), async { cancel.cancel() });
    assert_eq!(fetched.unwrap_err(), Undone::Stopped);
}
