//! One request, one answer: the wire errors of a call in the caller's terms.

use octollm_contract::{Millis, Problem};
use octollm_tls::{Fault, Identity, NoTrust, Trust, fault};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::de::DeserializeOwned;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Shorter than the server keeps an idle connection, so that none is used that is being closed.
const IDLE: Duration = Duration::from_secs(5);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A connection of HTTP/2 that is in use is asked for a sign of life so often, and given as long.
const PING: Duration = Duration::from_secs(5);
/// An answer that is not a long poll.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused; the problem says why and what to do.
    #[error("{problem}")]
    Problem {
        /// What the server said.
        problem: Problem,
        /// When to repeat, if the server said.
        retry_after: Option<Millis>,
    },
    /// No answer came. What was asked may have happened.
    #[error("the server cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// Nothing was asked: the port speaks with or without TLS, the other way than the address says.
    #[error("{}", with_scheme(.scheme))]
    OtherScheme {
        /// How the address must begin.
        scheme: &'static str,
        /// What happened.
        source: reqwest::Error,
    },
    /// Nothing was asked: the server closed the connection to an arm that shows a certificate.
    #[error(
        "the server closed the connection before it read anything; it may not accept the certificate that it was \
         shown (setting arm_tls_certificate)"
    )]
    TurnedAway(#[source] reqwest::Error),
    /// Nothing was asked: the server closed the connection to a client that shows no certificate.
    #[error(
        "the server closed the connection before it read anything; it may want a certificate, and none was shown \
         (settings arm_tls_certificate and arm_tls_key)"
    )]
    NoneShown(#[source] reqwest::Error),
    /// An answer came that this version cannot read.
    #[error("the server's answer cannot be read ({status}): {body}")]
    Unreadable {
        /// The answer's status.
        status: u16,
        /// How it begins.
        body: String,
    },
}

impl ClientError {
    /// Whether the server has heard nothing of what was asked: it can be asked elsewhere at once.
    pub(super) fn was_never_sent(&self) -> bool {
        match self {
            ClientError::Unreachable(error) => error.is_connect(),
            ClientError::OtherScheme { .. } | ClientError::TurnedAway(_) | ClientError::NoneShown(_) => true,
            ClientError::Problem { .. } | ClientError::Unreadable { .. } => false,
        }
    }
}

fn with_scheme(scheme: &str) -> &'static str {
    match scheme {
        "https" => "the server's answer is no HTTP; if it speaks TLS, its address begins with https://",
        _ => "the server speaks no TLS; its address begins with http://",
    }
}

/// Why no answer came, as far as can be told. `shows`: a certificate of our own.
pub(super) fn unanswered(source: reqwest::Error, shows: bool) -> ClientError {
    let over_tls = source.url().is_some_and(|url| url.scheme() == "https");
    let http = http_error(&source);
    match fault(&source) {
        Some(Fault::NoTls) => ClientError::OtherScheme { scheme: "http", source },
        Some(Fault::TurnedAway) if shows => ClientError::TurnedAway(source),
        Some(Fault::TurnedAway) => ClientError::NoneShown(source),
        _ if !over_tls && http.is_some_and(hyper::Error::is_parse) => {
            ClientError::OtherScheme { scheme: "https", source }
        }
        // In TLS 1.3 a client may think that it is in before its certificate was looked at.
        _ if over_tls && shows && http.is_some_and(|error| error.is_closed() || error.is_canceled()) => {
            ClientError::TurnedAway(source)
        }
        None => ClientError::Unreachable(source),
    }
}

fn http_error(error: &reqwest::Error) -> Option<&hyper::Error> {
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        if let Some(http) = error.downcast_ref() {
            return Some(http);
        }
        next = error.source();
    }
    None
}

/// No address of a server.
#[derive(Debug, thiserror::Error)]
pub enum BadBase {
    /// The text, or its beginning, is none.
    #[error("{0:?} is not an address such as http://127.0.0.1:8410")]
    NotAnAddress(String),
    /// A user or a password stands in it. It is not repeated.
    #[error("an address has no user and no password in it, only a scheme, a host and a port")]
    NamesAUser,
    /// There is no text at all where at least one address is needed.
    #[error("no address is given; at least one is needed, such as http://127.0.0.1:8410")]
    NoneGiven,
    /// It asks for TLS, and there is nobody to trust, such as for want of the system's certificates.
    #[error("no TLS connection can be made to {0}")]
    NoTrust(String, #[source] NoTrust),
    /// No client can be made.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

/// How servers at `https://` addresses are spoken to; the others know nothing of it.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Whose servers are trusted.
    pub trust: Trust,
    /// What servers that ask for a certificate are shown.
    pub shown: Option<Identity>,
}

impl Default for Tls {
    /// Whom the system trusts, without a certificate of one's own.
    fn default() -> Self {
        Tls { trust: Trust::System, shown: None }
    }
}

impl BadBase {
    /// Whether `base` is the address of a server, without asking anybody.
    pub fn check(base: &str) -> Result<(), BadBase> {
        url(base).map(|_| ())
    }
}

fn url(base: &str) -> Result<Url, BadBase> {
    if base.contains('@') {
        return Err(BadBase::NamesAUser);
    }
    let url = Url::parse(base).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && !url.cannot_be_a_base());
    url.ok_or_else(|| BadBase::NotAnAddress(base.chars().take(200).collect()))
}

/// The header in which an orchestrator says what its client has seen, and the client says it again.
pub(super) const SEEN: &str = "octollm-seen";

/// The latest word of what was seen that an answer carried; clones share it.
#[derive(Clone, Default)]
pub(super) struct SeenWord(Arc<Mutex<Option<String>>>);

impl SeenWord {
    /// An answer came: it may carry one.
    pub(super) fn learn_of(&self, answer: &Response) {
        if let Some(word) = answer.headers().get(SEEN).and_then(|value| value.to_str().ok()) {
            self.learn(word);
        }
    }

    /// A later word takes the place of an earlier one. All are of one width, their letters in order.
    pub(super) fn learn(&self, word: &str) {
        let mut last = self.lock();
        let is_later = |last: &str| (word.len(), word) > (last.len(), last);
        if last.as_deref().is_none_or(is_later) {
            *last = Some(word.to_owned());
        }
    }

    /// The request, with what was seen before it.
    pub(super) fn told(&self, request: RequestBuilder) -> RequestBuilder {
        match self.lock().as_deref() {
            Some(word) => request.header(SEEN, word),
            None => request,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
pub(super) struct Transport {
    http: reqwest::Client,
    base: Url,
    /// A certificate of our own.
    shows: bool,
}

impl Transport {
    pub(super) fn new(base: &str, tls: &Tls) -> Result<Self, BadBase> {
        let url = url(base)?;
        let (trust, shown) = match url.scheme() {
            "https" => (&tls.trust, tls.shown.as_ref()),
            _ => (&Trust::Nobody, None),
        };
        let shows = shown.is_some();
        let tls = octollm_tls::http_client(trust, shown);
        let tls = tls.map_err(|error| BadBase::NoTrust(base.to_owned(), error))?;
        // No proxy: a key travels with every request, and goes to the server that was named.
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            // All calls to one server may share a connection of HTTP/2: a dead one must be found out.
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING)
            .pool_idle_timeout(IDLE)
            .connect_timeout(CONNECT_WITHIN)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(BadBase::Client)?;
        Ok(Transport { http, base: url, shows })
    }

    /// The answer to a request of this transport.
    pub(super) async fn answered(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        self.answered_with(request, |_| {}).await
    }

    /// The same; `look` sees the answer before it is known whether it is a problem.
    pub(super) async fn answered_with(
        &self,
        request: RequestBuilder,
        look: impl FnOnce(&Response),
    ) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| unanswered(error, self.shows))?;
        look(&response);
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = seconds.and_then(|text| text.parse().ok()).map(Millis::from_secs);
        let body = response.bytes().await.map_err(ClientError::Unreachable)?;
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(ClientError::Problem { problem, retry_after }),
            Err(_) => Err(unreadable(status, &body)),
        }
    }

    /// A request to the path made of `segments`, with `query`, each part escaped.
    pub(super) fn request(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, String)],
        secret: &str,
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.request(method, url).bearer_auth(secret).timeout(ANSWER_WITHIN)
    }
}

/// What an answer holds.
pub(super) async fn body<T: DeserializeOwned>(response: Response) -> Result<T, ClientError> {
    let status = response.status();
    let body = response.bytes().await.map_err(ClientError::Unreachable)?;
    serde_json::from_slice(&body).map_err(|_| unreadable(status, &body))
}

pub(super) fn unreadable(status: StatusCode, body: &[u8]) -> ClientError {
    let body = String::from_utf8_lossy(body).chars().take(200).collect();
    ClientError::Unreadable { status: status.as_u16(), body }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P4: a client that is answered by several orchestrators never says less than it was told.
    #[test]
    fn the_latest_word_is_sent() {
        let seen = SeenWord::default();
        let server = Transport::new("http://127.0.0.1:1", &Tls::default()).expect("an address");
        let sent = || {
            let request = seen.told(server.request(Method::GET, &[], &[], "key")).build().expect("a request");
            request.headers().get(SEEN).map(|word| word.to_str().expect("ASCII").to_owned())
        };
        assert_eq!(sent(), None);
        for word in ["00000001-00000000000000ff", "00000002-0000000000000001", "00000001-0000000000000fff"] {
            seen.clone().learn(word);
        }
        assert_eq!(sent().as_deref(), Some("00000002-0000000000000001"));
    }
}
