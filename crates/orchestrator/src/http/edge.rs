//! What lies around every handler: requests are counted and timed, and a panic is a problem,
//! not a broken connection.

use super::{Serving, metrics::Endpoint, refusal::Refused};
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
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
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    drop(in_flight);
    if let Some(endpoint) = endpoint {
        serving.metrics.answered(endpoint, begun.elapsed());
    }
    // The panic's own message went to the log by the panic hook.
    response.unwrap_or_else(|_| {
        Refused::new(ProblemKind::Internal, "the server failed; its log says why", None).into_response()
    })
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
        let response = routes.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status().as_u16(), crate::problem::status(ProblemKind::Internal));
    }
}
