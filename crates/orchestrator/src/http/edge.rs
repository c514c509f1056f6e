//! What lies around every handler: requests are counted and timed, a head that HTTP does not
//! allow is refused and its connection closed, and a panic is a problem, not a broken connection.

use super::{
    Serving,
    metrics::Endpoint,
    refusal::{Refused, TooLate},
};
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Version, header, uri::Authority},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use octollm_contract::ProblemKind;
use std::{panic::AssertUnwindSafe, time::Instant};

/// Puts the edge around `routes`.
pub(super) fn around(routes: Router<Serving>, serving: &Serving) -> Router<Serving> {
    routes.layer(from_fn_with_state(serving.clone(), measured))
}

async fn measured(State(serving): State<Serving>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let waits = request.uri().query().is_some_and(|query| query.contains("wait="));
    let endpoint = Endpoint::of(request.method(), route).filter(|_| !waits);
    let begun = Instant::now();
    // What only waits is no load that another process would take over.
    let in_flight = endpoint.map(|_| serving.metrics.request_begins());
    // Behind a chunked body nothing looks for what hyper hides (`heads`).
    let last = request.headers().contains_key(header::TRANSFER_ENCODING);
    let answer = async {
        match misshapen(&request) {
            Some(refused) => closing(refused.into_response()),
            None if last => closing(next.run(request).await),
            None => next.run(request).await,
        }
    };
    let response = AssertUnwindSafe(answer).catch_unwind().await;
    drop(in_flight);
    if let Some(endpoint) = endpoint {
        serving.metrics.answered(endpoint, begun.elapsed());
    }
    if let Ok(response) = &response
        && response.extensions().get::<TooLate>().is_some()
    {
        serving.metrics.came_too_late(1);
    }
    // The panic's own message went to the log by the panic hook.
    response.unwrap_or_else(|_| {
        Refused::new(ProblemKind::Internal, "the server failed; its log says why", None).into_response()
    })
}

/// What HTTP does not allow in a head although hyper does, and encodings that are not taken.
fn misshapen(request: &Request) -> Option<Refused> {
    let headers = request.headers();
    let mut hosts = headers.get_all(header::HOST).iter();
    let host_is_needed = request.version() == Version::HTTP_11;
    match (hosts.next(), hosts.next()) {
        (None, _) if host_is_needed => {
            return Some(Refused::invalid("Host", "HTTP/1.1 needs a Host header"));
        }
        (Some(_), Some(_)) => return Some(Refused::invalid("Host", "the header is there twice")),
        (Some(host), None) if !names_a_host(host) => {
            return Some(Refused::invalid("Host", "the header names no host"));
        }
        (None, _) | (Some(_), None) => {}
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_some_and(|coding| !chunked(coding)) || codings.next().is_some() {
        return Some(Refused::invalid("Transfer-Encoding", "only chunked is taken, and once"));
    }
    let plain = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    let encoded = headers.get_all(header::CONTENT_ENCODING).iter().find(|value| !plain(value))?;
    let detail = format!("send the body as it is; the encoding {encoded:?} is not taken");
    Some(Refused::new(ProblemKind::UnsupportedMediaType, detail, "Content-Encoding"))
}

/// A host, with or without a port; or nothing, which a target without an authority has.
fn names_a_host(value: &HeaderValue) -> bool {
    value.is_empty()
        || Authority::try_from(value.as_bytes()).is_ok_and(|authority| !authority.as_str().contains('@'))
}

fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{App, LocalLeases, Parts, Settings, http::Metrics};
    use axum::{body::Body, routing::get};
    use octollm_store::{OsEntropy, SystemClock, memory::MemoryStore};
    use std::{sync::Arc, time::Duration};
    use tower::ServiceExt as _;

    async fn defect() {
        panic!("a defect")
    }

    /// P8: a defect is a problem, and whoever asked gets an answer.
    #[tokio::test]
    async fn a_panic_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let parts = Parts {
            store: Arc::new(MemoryStore::new(clock.clone(), entropy.clone())),
            artefacts: octollm_artefacts::Artefacts::in_folder(folder.path(), 1).unwrap(),
            clock,
            entropy,
        };
        let app = App::new(parts, Settings::default());
        let serving = Serving {
            leases: LocalLeases::new(Arc::clone(&app)),
            app,
            metrics: Metrics::new(Arc::default()),
            openapi: "".into(),
            body_within: Duration::from_secs(1),
        };
        let routes = around(Router::new().route("/", get(defect)), &serving).with_state(serving);
        let request = Request::builder().header(header::HOST, "a").body(Body::empty()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), crate::problem::status(ProblemKind::Internal));
    }
}
