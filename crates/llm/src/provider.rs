//! A provider as a value: where it is, how it is asked, how long and how much.
//!
//! Promises: the key goes to the address that was configured and nowhere else (redirects are
//! refused, and on plain HTTP no proxy sees it); a request that a server refuses for one of its
//! [`Quirks`] is asked again without it, which was not done and costs nothing, and the lesson is
//! kept; nothing else is ever repeated here.

use crate::{
    Answering, Bounds, CallError, Phase, ProviderKey, Quirks, Server,
    answering::{Reader, Times},
    anthropic,
    draft::Draft,
    openai,
    quirks::FormBy,
};
use octollm_contract::{
    Millis,
    model::{Answer, Ask, Gathering},
};
use octollm_tls::Trust;
use reqwest::{Client, RequestBuilder, Response, Url, header, redirect};
use serde::Deserialize;
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Shorter than servers keep an idle connection (the shortest known is Node's five seconds).
const IDLE: Duration = Duration::from_secs(4);
/// For short answers: lists of models and the words of a refusal.
const SHORT_WITHIN: Duration = Duration::from_secs(10);
const SHORT_BYTES_MAX: usize = 1 << 20;
/// So much of the name of an encoding is told.
const ENCODING_CHARS: usize = 40;
/// A request is asked again without one quirk after another at most so often.
const LESSONS_MAX: usize = 6;
/// Models whose lessons are kept.
const LEARNED_MAX: usize = 256;

/// Which API a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/chat/completions` below the address.
    OpenAi,
    /// `/v1/messages` below the address.
    Anthropic,
}

/// What an operator says about a provider.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// Which API it speaks.
    pub kind: Kind,
    /// Its address, such as `http://127.0.0.1:11434/v1` or `https://api.anthropic.com`.
    pub base_url: String,
    /// Its key, if it wants one.
    pub key: Option<ProviderKey>,
    /// What it is, where host and port do not tell.
    pub server: Option<Server>,
    /// How long a call may take.
    pub times: Times,
    /// How much an answer may have.
    pub bounds: Bounds,
}

impl ProviderSettings {
    /// Settings with everything but the address left as it is usual.
    #[must_use]
    pub fn new(kind: Kind, base_url: impl Into<String>, key: Option<ProviderKey>) -> Self {
        let (times, bounds) = (Times::default(), Bounds::default());
        ProviderSettings { kind, base_url: base_url.into(), key, server: None, times, bounds }
    }
}

/// A provider that cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum BadProvider {
    /// The address is none.
    #[error("{0:?} is not an address of a model server such as http://127.0.0.1:11434/v1")]
    Address(String),
    /// The address carries credentials: they would be printed with it.
    #[error("the address of a model server has a user or a password in it; set the key apart from it")]
    Credentials,
    /// There is nobody to trust, such as for want of the system's certificates.
    #[error(transparent)]
    Trust(#[from] octollm_tls::NoTrust),
    /// No client can be made.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

/// A provider that can be called.
#[derive(Debug)]
pub struct Provider {
    kind: Kind,
    base: Url,
    key: Option<ProviderKey>,
    server: Server,
    times: Times,
    bounds: Bounds,
    http: Client,
    /// What a server taught about a model by refusing it.
    learned: Mutex<HashMap<String, Quirks>>,
    /// An answer has said that it is simulated.
    simulated: AtomicBool,
}

/// Whether an address is one of a model server, as far as its words tell.
pub fn check_address(base_url: &str) -> Result<(), BadProvider> {
    address(base_url).map(drop)
}

fn address(base_url: &str) -> Result<Url, BadProvider> {
    let bad = || BadProvider::Address(base_url.chars().take(200).collect());
    let base = Url::parse(base_url.trim()).map_err(|_| bad())?;
    if base.host_str().is_none() || !matches!(base.scheme(), "http" | "https") {
        return Err(bad());
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err(BadProvider::Credentials);
    }
    Ok(base)
}

impl Provider {
    /// Checks the settings and makes a client; connects to nothing.
    pub fn new(settings: ProviderSettings) -> Result<Self, BadProvider> {
        let ProviderSettings { kind, base_url, key, server, times, bounds } = settings;
        let base = address(&base_url)?;
        let host = base.host_str().expect("an address has a host");
        let server = server.unwrap_or_else(|| Server::at(kind, host, base.port()));
        let trust = if base.scheme() == "https" { Trust::System } else { Trust::Nobody };
        let mut http = Client::builder()
            .tls_backend_preconfigured(octollm_tls::http_client(&trust, None)?)
            .tcp_nodelay(true)
            .connect_timeout(times.connect.to_duration())
            .pool_idle_timeout(IDLE)
            .redirect(redirect::Policy::none());
        if base.scheme() == "http" {
            http = http.no_proxy();
        }
        let http = http.build().map_err(BadProvider::Client)?;
        Ok(Provider {
            kind,
            base,
            key,
            server,
            times,
            bounds,
            http,
            learned: Mutex::default(),
            simulated: AtomicBool::new(false),
        })
    }

    /// Which API it speaks.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it is, for people; it has no secret in it.
    #[must_use]
    pub fn address(&self) -> &str {
        self.base.as_str()
    }

    /// Whether any answer so far, be it a list of models or a refusal, has said that it is simulated:
    /// a call that brings nothing cannot say so itself (P10).
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.simulated.load(Ordering::Relaxed)
    }

    /// Asks, and returns as soon as the server has begun to answer. Dropping the future or what it
    /// gives closes the call at the server.
    pub async fn call(&self, ask: &Ask) -> Result<Answering, CallError> {
        let started = Instant::now();
        let mut quirks = self.quirks(&ask.model);
        let mut lessons = 0;
        loop {
            match self.call_once(ask, quirks, started).await {
                Err(CallError::Refused { status, said }) => match quirks.lesser(&said) {
                    Some(lesser) if matches!(status, 400 | 422 | 501) && lessons < LESSONS_MAX => {
                        tracing::debug!(model = ask.model, said, "the server is asked again in a lesser way");
                        lessons += 1;
                        quirks = lesser;
                    }
                    Some(_) | None => return Err(CallError::Refused { status, said }),
                },
                Err(error) => return Err(error),
                Ok(answering) => {
                    if lessons > 0 {
                        self.learn(&ask.model, quirks);
                    }
                    return Ok(answering);
                }
            }
        }
    }

    /// Asks and waits for the whole answer.
    pub async fn answer(&self, ask: &Ask) -> Result<Answer, CallError> {
        let mut answering = self.call(ask).await?;
        let mut gathering = Gathering::default();
        while let Some(chunk) = answering.next().await {
            gathering.push(chunk?);
        }
        let whole = "an answer without an error has its usage and its end";
        Ok(gathering.answer().expect(whole))
    }

    /// The ids of the server's models, in its order.
    pub async fn models(&self) -> Result<Vec<String>, CallError> {
        #[derive(Deserialize)]
        struct Models {
            data: Vec<Model>,
        }
        #[derive(Deserialize)]
        struct Model {
            id: String,
        }
        let path: &[&str] = match self.kind {
            Kind::OpenAi => &["models"],
            Kind::Anthropic => &["v1", "models"],
        };
        let request = self.with_key(self.http.get(self.url(path)));
        let deadline = Instant::now() + SHORT_WITHIN;
        let late = || self.late(Phase::Total, Millis::new(10_000));
        let mut response = match timeout_at(deadline, request.send()).await {
            Ok(sent) => sent.map_err(|error| self.not_sent(error))?,
            Err(_) => return Err(late()),
        };
        self.says_whether_simulated(&response);
        if !response.status().is_success() {
            return Err(self.refusal(response, deadline).await);
        }
        if let Some(why) = self.encoded(&response) {
            return Err(CallError::Malformed { why, usage: None });
        }
        let body = short_body(&mut response, deadline).await;
        let Models { data } = serde_json::from_slice(&body).map_err(|error| CallError::Malformed {
            why: crate::error::said(&format!("not a list of models: {error}"), self.key.as_ref()),
            usage: None,
        })?;
        Ok(data.into_iter().map(|model| model.id).collect())
    }

    async fn call_once(&self, ask: &Ask, quirks: Quirks, started: Instant) -> Result<Answering, CallError> {
        let (path, body, reader): (&[&str], _, _) = match self.kind {
            Kind::OpenAi => (&["chat", "completions"], openai::request(ask, quirks), Reader::OpenAi),
            Kind::Anthropic => (&["v1", "messages"], anthropic::request(ask, quirks), Reader::Anthropic),
        };
        let request =
            self.with_key(self.http.post(self.url(path))).header(header::ACCEPT, "text/event-stream");
        let deadlines = self.times.from(started, Instant::now());
        let (until, phase, limit) = deadlines.first();
        let response = match timeout_at(until, request.json(&body).send()).await {
            Ok(sent) => sent.map_err(|error| self.not_sent(error))?,
            Err(_) => return Err(self.late(phase, limit)),
        };
        let simulated = self.says_whether_simulated(&response);
        if !response.status().is_success() {
            return Err(self.refusal(response, Instant::now() + SHORT_WITHIN).await);
        }
        if let Some(why) = self.encoded(&response) {
            return Err(CallError::Malformed { why, usage: None });
        }
        let form = ask.output.as_ref().filter(|_| quirks.form == FormBy::Tool && ask.tools.is_empty());
        let draft = Draft::new(ask.clone(), self.bounds, form.map(|form| form.name.clone()), simulated)
            .asked_with(self.key.clone());
        Ok(Answering::new(response, reader, draft, self.bounds, deadlines))
    }

    fn says_whether_simulated(&self, response: &Response) -> bool {
        let simulated = response.headers().contains_key(crate::SIMULATED_HEADER);
        if simulated {
            self.simulated.store(true, Ordering::Relaxed);
        }
        simulated
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Anthropic's address is written with and without its version.
        let versioned = url.path().trim_end_matches('/').ends_with("/v1");
        let segments = match segments {
            ["v1", rest @ ..] if versioned => rest,
            all => all,
        };
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        match (self.kind, &self.key) {
            (Kind::OpenAi, Some(key)) => request.header(header::AUTHORIZATION, key.header("Bearer ")),
            (Kind::OpenAi, None) => request,
            (Kind::Anthropic, key) => {
                let request = request.header("anthropic-version", anthropic::VERSION);
                match key {
                    Some(key) => request.header("x-api-key", key.header("")),
                    None => request,
                }
            }
        }
    }

    fn quirks(&self, model: &str) -> Quirks {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.get(model).copied().unwrap_or_else(|| Quirks::of(self.server, model))
    }

    fn learn(&self, model: &str, quirks: Quirks) {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if learned.len() < LEARNED_MAX || learned.contains_key(model) {
            learned.insert(model.to_owned(), quirks);
        }
    }

    /// A request that brought no answer: without a connection it was not sent.
    fn not_sent(&self, error: reqwest::Error) -> CallError {
        let source = error.without_url();
        if source.is_connect() {
            CallError::Unreachable { at: self.address().to_owned(), source }
        } else {
            CallError::Unknown { why: chain(&source) }
        }
    }

    fn late(&self, phase: Phase, limit: Millis) -> CallError {
        CallError::TimedOut { phase, limit, usage: None }
    }

    /// What is wrong with a body that cannot be read for its encoding: none is asked for.
    fn encoded(&self, response: &Response) -> Option<String> {
        let named = response.headers().get(header::CONTENT_ENCODING)?.as_bytes();
        let named = crate::error::said(&String::from_utf8_lossy(named), self.key.as_ref());
        let plain = named.is_empty() || named.eq_ignore_ascii_case("identity");
        let named: String = named.chars().take(ENCODING_CHARS).collect();
        (!plain).then(|| format!("it came in the encoding {named}, which was not asked for"))
    }

    /// What an answer with a status that is no success means.
    async fn refusal(&self, mut response: Response, deadline: Instant) -> CallError {
        let status = response.status();
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        // The date of the answer itself is the server's clock, which the date to wait for is of.
        let date = |text: &str| crate::retry::date(text);
        let now = text(header::DATE).and_then(date);
        let milliseconds = text(header::HeaderName::from_static("retry-after-ms"));
        let wait = milliseconds
            .and_then(|text| text.trim().parse().ok())
            .map(Millis::new)
            .or_else(|| text(header::RETRY_AFTER).and_then(|text| crate::retry::retry_after(text, now)));
        if status.is_redirection() {
            let said =
                "it redirects to another address, and the key is not sent there; configure that address";
            return CallError::Refused { status: status.as_u16(), said: said.to_owned() };
        }
        let body = match self.encoded(&response) {
            Some(why) => why,
            None => message_in(&String::from_utf8_lossy(&short_body(&mut response, deadline).await)),
        };
        CallError::of_status(status.as_u16(), wait, &body, self.key.as_ref())
    }
}

/// The message of an error's body with its kind, else the body.
fn message_in(body: &str) -> String {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(body) else { return body.to_owned() };
    let text = |pointer: &str| json.pointer(pointer).and_then(serde_json::Value::as_str);
    let Some(message) = text("/error/message").or_else(|| text("/message")).or_else(|| text("/error")) else {
        return body.to_owned();
    };
    match text("/error/code").or_else(|| text("/error/type")) {
        Some(kind) => format!("{message} ({kind})"),
        None => message.to_owned(),
    }
}

/// An error with its causes, for people: reqwest's own text names none.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    crate::error::said(&text, None)
}

/// As much of a short body as comes in time and within bounds; what is missing was only words.
async fn short_body(response: &mut Response, deadline: Instant) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Ok(Some(bytes))) = timeout_at(deadline, response.chunk()).await {
        if body.len() + bytes.len() > SHORT_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&bytes);
    }
    body
}
