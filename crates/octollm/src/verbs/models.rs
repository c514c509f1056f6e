//! From the configuration to the way to models: which providers there are, which of their models
//! is asked by default, and what they cost.

use crate::config::{Config, ModelServer, ServerKey};
use anyhow::Context;
use octollm_gateway::Route;
use octollm_llm::{Catalogue, Provider, ProviderSettings};
use std::{fs, sync::Arc};

/// What a gateway needs beside the store.
pub(super) struct Models {
    pub(super) routes: Vec<Route>,
    pub(super) catalogue: Catalogue,
}

/// What to do when a provider for which no model is named cannot list its models now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unlisted {
    /// Say so; it is asked again when a step needs it. For servers: others may need no model.
    Warn,
    /// Fail. For who would only wait.
    Fail,
}

/// Providers and prices; `None` when no provider is configured. A provider for which no model is
/// named is asked for its list now.
pub(super) async fn configured(config: &Config, unlisted: Unlisted) -> anyhow::Result<Option<Models>> {
    if config.model_servers.is_empty() {
        return Ok(None);
    }
    let catalogue = match &config.prices {
        Some(path) => {
            let text = fs::read_to_string(path);
            let text = text.with_context(|| format!("the price file {} cannot be read", path.display()))?;
            Catalogue::parse(&text).with_context(|| path.display().to_string())?
        }
        None => Catalogue::built_in(),
    };
    let mut routes = Vec::with_capacity(config.model_servers.len());
    for server in &config.model_servers {
        routes.push(route(server, unlisted).await?);
    }
    Ok(Some(Models { routes, catalogue }))
}

async fn route(server: &ModelServer, unlisted: Unlisted) -> anyhow::Result<Route> {
    let named = || format!("the model server {}", server.name);
    let key = match &server.key {
        ServerKey::None => None,
        ServerKey::Known(key) => Some(key.clone()),
        ServerKey::Unset { variable } => {
            anyhow::bail!("{}: the variable {variable} with its key is not set (key_variable)", named())
        }
    };
    let provider = Provider::new(ProviderSettings::new(server.kind, &server.url, key)).with_context(named)?;
    let models = match (server.models.as_slice(), unlisted) {
        ([], Unlisted::Fail) => first_listed(&provider).await?,
        ([], Unlisted::Warn) => first_listed(&provider).await.unwrap_or_else(|error| {
            tracing::warn!(provider = server.name, "{error:#}; it is asked again when a step needs a model");
            Vec::new()
        }),
        (named, _) => named.to_vec(),
    };
    let route = Route::new(&server.name, models, Arc::new(provider));
    Ok(match server.calls_at_once {
        Some(calls) => route.at_once(usize::from(calls)),
        None => route,
    })
}

async fn first_listed(provider: &Provider) -> anyhow::Result<Vec<String>> {
    let how = "name one with OCTOLLM_MODEL, or see that the server runs";
    let listed = provider.models().await;
    let listed = listed
        .with_context(|| format!("the model server {} cannot list its models; {how}", provider.address()))?;
    let first = listed.into_iter().next();
    let first =
        first.with_context(|| format!("the model server {} has no models; {how}", provider.address()))?;
    Ok(vec![first])
}
