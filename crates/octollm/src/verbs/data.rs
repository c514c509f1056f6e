//! The data folder: where it is, and what is opened in it.

use super::models::Models;
use crate::config::Config;
use anyhow::Context;
use octollm_artefacts::Artefacts;
use octollm_gateway::Gateway;
use octollm_orchestrator::{App, Parts, Settings};
use octollm_plan::rules::Place;
use octollm_store::{
    Clock, Entropy, OsEntropy, Store, SystemClock,
    sqlite::{Durability, Failpoints, Options, SqliteStore},
};
use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The data folder that the configuration names or implies.
pub(super) fn folder(config: &Config) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &config.data {
        return Ok(folder.clone());
    }
    let base = match (std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME")) {
        (Some(data), _) if !data.is_empty() => PathBuf::from(data),
        (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".local/share"),
        _ => anyhow::bail!("there is no home folder; name a data folder with --data or OCTOLLM_DATA"),
    };
    Ok(base.join("octollm"))
}

/// Opens store and artefacts in `folder`, which then belongs to this process.
pub(super) fn open(
    folder: &Path,
    durability: Durability,
    place: Place,
    config: &Config,
    models: Option<Models>,
) -> anyhow::Result<(Arc<App>, Arc<dyn Store>)> {
    // What is in it is nobody else's business; a folder that was there keeps its mode.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("the data folder {} cannot be made", folder.display()))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let failpoints = match std::env::var("OCTOLLM_FAILPOINTS") {
        Ok(text) => Failpoints::parse(&text).context("OCTOLLM_FAILPOINTS cannot be read")?,
        Err(_) => Failpoints::default(),
    };
    let options = Options { durability, failpoints };
    let store = SqliteStore::open(folder, Arc::clone(&clock), Arc::clone(&entropy), options)?;
    let store: Arc<dyn Store> = Arc::new(store);
    let artefacts = Artefacts::in_folder(&folder.join("artefacts"), config.artefact_bytes_max)
        .with_context(|| format!("the artefacts below {} cannot be opened", folder.display()))?;
    let gateway = models.map(|Models { routes, catalogue }| {
        Gateway::new(octollm_gateway::Parts {
            store: Arc::clone(&store),
            artefacts: artefacts.clone(),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            routes,
            catalogue,
        })
    });
    let settings = Settings { place, lease_ttl: config.lease_ttl, gateway, ..Settings::default() };
    let parts = Parts { store: Arc::clone(&store), artefacts, clock, entropy };
    Ok((App::new(parts, settings), store))
}
