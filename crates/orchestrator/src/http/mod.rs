//! The HTTP edge of the application layer (design §5).
//!
//! A handler takes extractors, makes one call of the application layer, and turns the answer
//! into its wire form; `refusal` is the one function from error to problem. Every route but
//! the open ones names its scope in the OpenAPI document, which is generated from this code.
//!
//! Promises: P7, P8, P9. Must not know: states, stores, plans.

mod edge;
mod events;
mod extract;
mod heads;
mod keys;
mod lease;
mod metrics;
mod observe;
mod pages;
mod refusal;
mod server;
mod strict;
mod tasks;
mod usage;

pub use metrics::Metrics;
pub use server::{Entrance, STREAMS_MAX, Server, ServerSettings};

use crate::{App, LocalLeases};
use axum::Router;
use std::sync::Arc;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// What handlers stand on.
#[derive(Clone)]
pub(crate) struct Serving {
    app: Arc<App>,
    leases: LocalLeases,
    metrics: Arc<Metrics>,
    openapi: Arc<str>,
    /// A body that has not arrived by then is refused and its connection closed.
    body_within: std::time::Duration,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "OctoLLM",
        description = "Goals in, results out. Every refusal is an RFC 9457 problem; each route names the scope that a key needs for it. What can be asked with GET can be asked with HEAD, which is answered with the head of the same answer alone. What is no request of HTTP (a head that cannot be read: 400; a target or a head that is too long: 414, 431) is answered with its status alone, and its connection is closed."
    ),
    modifiers(&KeyScheme)
)]
struct Document;

struct KeyScheme;

impl Modify for KeyScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("octo_<id>_<secret>")
            .description(Some("An API key. The scopes of an operation are those that the key must have."))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(scheme));
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("<key id>.<claims>.<signature>")
            .description(Some("The token that came with a step's lease. It opens that step alone."))
            .build();
        components.add_security_scheme("step", SecurityScheme::Http(scheme));
    }
}

/// Which routes a port has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// All of them: everything is one machine.
    Whole,
    /// What clients use.
    Public,
    /// What arms and operators use: the lease protocol, metrics.
    Internal,
}

/// The routes of a port, over `app`.
fn router(app: Arc<App>, metrics: Arc<Metrics>, port: Port, body_within: std::time::Duration) -> Router {
    let routes = match port {
        Port::Whole => public().merge(internal()).merge(health()),
        Port::Public => public().merge(health()),
        Port::Internal => internal().merge(health()),
    };
    let (routes, document) = routes.split_for_parts();
    // The router's way to write a parameter that holds slashes is not OpenAPI's.
    let openapi = document.to_pretty_json().expect("the document is JSON").replace("{*", "{");
    let openapi: Arc<str> = openapi.into();
    let serving = Serving { leases: LocalLeases::new(Arc::clone(&app)), app, metrics, openapi, body_within };
    let routes = routes.fallback(pages::nothing_here);
    let routes = routes.method_not_allowed_fallback(pages::other_method);
    edge::around(routes, &serving).with_state(serving)
}

fn public() -> OpenApiRouter<Serving> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(tasks::submit, tasks::list))
        .routes(routes!(tasks::get))
        .routes(routes!(events::stream))
        .routes(routes!(tasks::cancel))
        .routes(routes!(tasks::input))
        .routes(routes!(tasks::artefact))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::revoke))
        .routes(routes!(observe::arms))
        .routes(routes!(usage::by_arm))
        .routes(routes!(usage::by_day))
        .routes(routes!(observe::scaling))
}

fn internal() -> OpenApiRouter<Serving> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(lease::lease))
        .routes(routes!(lease::leave))
        .routes(routes!(lease::heartbeat))
        .routes(routes!(lease::checkpoint))
        .routes(routes!(lease::complete))
        .routes(routes!(lease::fail))
        .routes(routes!(lease::release))
        .routes(routes!(lease::think))
        .routes(routes!(lease::put_artefact))
        .routes(routes!(lease::get_artefact))
        .routes(routes!(metrics::scrape))
}

fn health() -> OpenApiRouter<Serving> {
    OpenApiRouter::new()
        .routes(routes!(pages::healthz))
        .routes(routes!(pages::readyz))
        .routes(routes!(pages::openapi))
        .routes(routes!(pages::problem_page))
}
