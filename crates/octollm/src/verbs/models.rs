//! From the configuration to the way to models: which providers there are, which of their models
//! is asked by default, and what they cost.

use crate::config::Config;
use anyhow::Context;
use octollm_gateway::Route;
use octollm_llm::{Catalogue, Provider, ProviderSettings};
use std::{fs, sync::Arc};

/// What a gateway needs beside the store.
pub(super) struct Models {
    pub(super) routes: Vec<Route>,
    pub(super) catalogue: Catalogue,
}

/// Providers, each with at least one model, and prices; `None` when no provider is configured. A
/// provider for which no model is named is asked for its list now.
pub(super) async fn configured(config: &Config) -> anyhow::Result<Option<Models>> {
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
        let settings = ProviderSettings::new(server.kind, &server.url, server.key.clone());
        let provider =
            Provider::new(settings).with_context(|| format!("the model server {}", server.name))?;
        let models =
            if server.models.is_empty() { first_listed(&provider).await? } else { server.models.clone() };
        routes.push(Route::new(&server.name, models, Arc::new(provider)));
    }
    Ok(Some(Models { routes, catalogue }))
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
