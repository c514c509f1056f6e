//! A model server that is none: it answers by a script, with the delays and faults of a real one.
//! For load tests, capacity planning and our own tests; `octollm llm-sim` runs it.
//!
//! Promises: the same seed, script and requests give the same answers, ids, faults and drawn
//! delays, in whatever order and however fast the requests come; every answer says that it is
//! simulated, in a header and in its body (P10); every call that arrived stands in the log once,
//! with what became of it; a request that no rule matches is refused and not made up.
//!
//! Speaks OpenAI's `/v1/chat/completions` and `/v1/models` and Anthropic's `/v1/messages`,
//! streaming and not. `GET /log` gives the log. It honours no idempotency key, for providers have
//! none. Must not know: the prompts of our arms; they stand in scripts.

mod anthropic;
mod asked;
mod choose;
mod dice;
mod log;
mod openai;
mod play;
mod script;

pub use log::{Call, Outcome};
pub use script::{BadScript, Script};

use asked::Asked;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use dice::Dice;
use futures_util::future::BoxFuture;
use log::Log;
use serde_json::{Value, json};
use std::{fs::File, io, sync::Arc};
use tokio::net::TcpListener;

/// A request may be so large.
const REQUEST_BYTES_MAX: usize = 32 << 20;

/// A simulated model server.
#[derive(Debug)]
pub struct Sim {
    script: Script,
    dice: Dice,
    log: Arc<Log>,
    keeps_questions: bool,
}

/// Which API a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    OpenAi,
    Anthropic,
}

impl Sim {
    /// A server that answers by `script`; everything random comes from `seed`. Calls are written to
    /// `log` as they end, one JSON object a line.
    #[must_use]
    pub fn new(script: Script, seed: u64, log: Option<File>) -> Arc<Self> {
        Sim::keeping(script, seed, log, false)
    }

    /// The same; with `questions`, the log holds all that was asked, for tests of what reaches a
    /// provider.
    #[must_use]
    pub fn keeping(script: Script, seed: u64, log: Option<File>, questions: bool) -> Arc<Self> {
        Arc::new(Sim {
            script,
            dice: Dice::new(seed),
            log: Arc::new(Log::new(log)),
            keeps_questions: questions,
        })
    }

    /// The calls so far, in the order of their arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.log.calls()
    }

    /// Its routes.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/v1/chat/completions", post(completions))
            .route("/v1/messages", post(messages))
            .route("/v1/models", get(models))
            .route("/log", get(calls))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
            .layer(map_response(marked))
            .with_state(Arc::clone(self))
    }

    /// Serves on `listener` for ever; dropping the future ends it at once, whatever is under way.
    /// Boxed, so that it is compiled here, once.
    pub fn serve(self: Arc<Self>, listener: TcpListener) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(self.serving(listener))
    }

    async fn serving(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "small writes of a connection may wait");
            }
        });
        axum::serve(listener, self.router()).await
    }

    fn answer(&self, api: Api, body: &Bytes) -> Response {
        let asked = match Asked::read(api, body) {
            Ok(asked) => asked,
            Err(why) => return refusal(api, StatusCode::BAD_REQUEST, "invalid_request_error", &why),
        };
        let mut roll = self.dice.roll(body);
        let question = self.keeps_questions.then(|| asked.any.clone());
        let Some(part) = choose::choose(&self.script, &asked, roll.seen_before()) else {
            let input = asked.tokens(&asked.any);
            self.log.open(&roll.id(), &asked.model, None, input, question).is(Outcome::Unmatched);
            let begin: String = asked.user.chars().take(120).collect();
            let why = format!(
                "no rule of the simulated model's script matches; the last user message begins {begin:?}"
            );
            return refusal(api, StatusCode::BAD_REQUEST, "invalid_request_error", &why);
        };
        play::play(api, &asked, part, &self.script, &mut roll, &self.log, question)
    }
}

async fn completions(State(sim): State<Arc<Sim>>, body: Bytes) -> Response {
    sim.answer(Api::OpenAi, &body)
}

async fn messages(State(sim): State<Arc<Sim>>, body: Bytes) -> Response {
    sim.answer(Api::Anthropic, &body)
}

/// Fits both APIs: they agree on `data[].id`.
async fn models(State(sim): State<Arc<Sim>>) -> Json<Value> {
    let data = sim.script.models.iter().map(|id| {
        json!({"id": id, "object": "model", "type": "model", "display_name": id, "owned_by": crate::SIMULATED_BY})
    });
    Json(json!({"object": "list", "data": data.collect::<Vec<_>>(), "has_more": false, "simulated": true}))
}

async fn calls(State(sim): State<Arc<Sim>>) -> Json<Value> {
    Json(json!({"forgotten": sim.log.forgotten(), "calls": sim.calls()}))
}

async fn marked(mut response: Response) -> Response {
    let name = HeaderName::from_static(crate::SIMULATED_HEADER);
    response.headers_mut().insert(name, HeaderValue::from_static("true"));
    response
}

fn refusal(api: Api, status: StatusCode, kind: &str, why: &str) -> Response {
    let error = json!({"message": why, "type": kind, "code": kind, "simulated": true});
    let body = match api {
        Api::OpenAi => json!({"error": error}),
        Api::Anthropic => json!({"type": "error", "error": error}),
    };
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
