//! `http_fetch`: the body of a URL.
//!
//! Promises (P6): connects only to hosts of the capability; resolves a name once and connects
//! to exactly the addresses that were checked; an address that is not public is refused unless
//! the grant says `private`; a redirect is a new fetch under the same rules. No cookies, no
//! proxy of the environment, no compression, so that a body is never larger than what came.

use super::address;
use crate::{
    Undone,
    executor::{
        outcome::{Content, Found},
        text::{shown, size},
    },
};
use async_trait::async_trait;
use octollm_access::{Capability, NetworkGrant};
use octollm_tls::Trust;
use reqwest::{StatusCode, Url, header, redirect};
use serde_json::json;
use std::{
    error::Error as _,
    ffi::OsStr,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Redirects that are followed.
const REDIRECTS: usize = 5;
/// What a body may have.
const BODY_BYTES: usize = 8 << 20;
/// For the whole, redirects included.
const IN_ALL: Duration = Duration::from_secs(60);
/// For a connection, with its TLS.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer, and before its first.
const SILENCE: Duration = Duration::from_secs(20);

/// Finds the addresses of a host.
#[async_trait]
pub(crate) trait Resolve: Send + Sync {
    /// All addresses of `host`.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's own resolver.
pub(crate) struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

pub(crate) async fn fetch(
    url: &str,
    capability: &Capability,
    resolver: &dyn Resolve,
    cancel: &CancellationToken,
) -> Result<Found, Undone> {
    tokio::select! {
        () = cancel.cancelled() => Err(Undone::Stopped),
        fetched = timeout(IN_ALL, follow(url, capability, resolver)) => {
            fetched.unwrap_or_else(|_| Err(Undone::for_now(format!("{} took longer than {} s", brief(url), IN_ALL.as_secs()))))
        }
    }
}

async fn follow(url: &str, capability: &Capability, resolver: &dyn Resolve) -> Result<Found, Undone> {
    let not_a_url = |_| Undone::for_good(format!("{} is not a URL", brief(url)));
    let mut at = Url::parse(url).map_err(not_a_url)?;
    let mut asked = Asked::ByTheGoal;
    for _ in 0..=REDIRECTS {
        let mut answer = ask(&at, asked, capability, resolver).await?;
        let status = answer.status();
        if !is_redirect(status) {
            return body(&at, &mut answer).await;
        }
        let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
        let to =
            to.ok_or_else(|| Undone::for_good(format!("{} redirects to nowhere", brief(at.as_str()))))?;
        let next = at.join(to).map_err(not_a_url)?;
        if at.scheme() == "https" && next.scheme() != "https" {
            return Err(Undone::for_good(format!(
                "{} redirects from https to {}",
                brief(at.as_str()),
                brief(next.as_str())
            )));
        }
        (at, asked) = (next, Asked::ByARedirect);
    }
    Err(Undone::for_good(format!("{} redirects more than {REDIRECTS} times", brief(url))))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Why a URL is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    ByTheGoal,
    ByARedirect,
}

impl Asked {
    /// Where a host is granted that a step may not connect to. One in brackets would be no word of a shell.
    fn to_grant(self, url: &str, host: &str) -> String {
        let server = "a server's key is made with --host or --private-host";
        match self {
            Asked::ByTheGoal => format!("`octollm run` takes --allow-host {host}, and {server}"),
            // A goal grants the hosts that stand in it, and no others.
            Asked::ByARedirect => {
                format!("a redirect led there: fetch {url} itself if that is meant; {server}")
            }
        }
    }
}

/// One request, to an address that was checked.
async fn ask(
    url: &Url,
    asked: Asked,
    capability: &Capability,
    resolver: &dyn Resolve,
) -> Result<reqwest::Response, Undone> {
    let named = brief(url.as_str());
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Undone::for_good(format!("{named} is neither http nor https")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Undone::for_good("a URL with a user name in it is not fetched"));
    }
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(Undone::for_good(format!("{named} names no host")));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let granted: Vec<&NetworkGrant> = capability.hosts.iter().filter(|g| g.host.covers(host, port)).collect();
    if granted.is_empty() {
        return Err(Undone::for_good(format!(
            "connecting to {host}:{port} is not granted to this step; {}",
            asked.to_grant(&named, host)
        )));
    }
    let private = granted.iter().any(|grant| grant.private);
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => {
            let found = resolver.resolve(host).await;
            found.map_err(|e| Undone::for_now(format!("the address of {host} cannot be found: {e}")))?
        }
    };
    // One bad address spoils the name: which one would be used is not for the name to choose.
    if let Some(own) = addresses.iter().find(|address| !private && !address::is_public(**address)) {
        return Err(Undone::for_good(format!(
            "{host} leads to {own}, which is not a public address, and the step was not granted that; {}",
            asked.to_grant(&named, host)
        )));
    }
    if addresses.is_empty() {
        return Err(Undone::for_now(format!("{host} has no address")));
    }
    let addresses: Vec<SocketAddr> = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    let trust = if url.scheme() == "https" { Trust::System } else { Trust::Nobody };
    let tls = octollm_tls::http_client(&trust, None);
    let tls = tls.map_err(|e| Undone::for_now(format!("the HTTP client cannot be made: {e}")))?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .resolve_to_addrs(host, &addresses)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("octollm/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| Undone::for_now(chain("the HTTP client cannot be made", &e)))?;
    client
        .get(url.clone())
        .header(header::ACCEPT_ENCODING, "identity")
        .send()
        .await
        .map_err(|e| Undone::for_now(chain(&format!("{named} cannot be fetched"), &e)))
}

async fn body(url: &Url, answer: &mut reqwest::Response) -> Result<Found, Undone> {
    let (status, named) = (answer.status(), brief(url.as_str()));
    let kind =
        answer.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let coded = answer.headers().get_all(header::CONTENT_ENCODING).iter();
    if let Some(coding) =
        coded.into_iter().find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Undone::for_good(format!(
            "{named} sends its body as {coding:?} although it was asked not to; it cannot be read"
        )));
    }
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let piece =
            answer.chunk().await.map_err(|e| Undone::for_now(chain(&format!("{named} broke off"), &e)))?;
        let Some(piece) = piece else { break };
        if bytes.len() + piece.len() > BODY_BYTES {
            return Err(Undone::for_good(format!(
                "the body of {named} has more than {}",
                size(BODY_BYTES as u64)
            )));
        }
        bytes.extend_from_slice(&piece);
    }
    let mut text = String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}");
    if !status.is_success() {
        let start: String = text.chars().take(500).collect();
        let message = format!("{named} answered {}: {}", status.as_u16(), start.trim());
        // What a server says of itself may pass; what it says of the request will not.
        let retryable = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        return Err(Undone::Failed { message, retryable });
    }
    let mut body = Content::AsShown;
    if std::str::from_utf8(&bytes).is_err() {
        body = Content::Only(text.clone());
        text.push_str("\n(not all of it is UTF-8 text; what is not is shown as \u{fffd})\n");
    }
    let data = json!({
        "url": url.as_str(), "status": status.as_u16(), "content_type": kind, "bytes": bytes.len(),
    });
    Ok(Found { text, data, body, ..Found::default() })
}

fn brief(url: &str) -> String {
    shown(OsStr::new(&url.chars().take(200).collect::<String>()))
}

/// The error with its causes, without the URL that it repeats.
fn chain(what: &str, error: &reqwest::Error) -> String {
    let mut text = what.to_owned();
    let mut cause = error.source();
    if cause.is_none() && error.is_timeout() {
        text.push_str(": it took too long");
    }
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
