//! The data folder: where it is, and what is opened in it and beside it.

use super::models::Models;
use crate::config::{Config, Kept};
use anyhow::Context;
use octollm_artefacts::Artefacts;
use octollm_gateway::Gateway;
use octollm_orchestrator::{App, Parts, Settings};
use octollm_plan::rules::Place;
use octollm_store::{
    Clock, Entropy, OsEntropy, Store, SystemClock,
    postgres::{Moments, PostgresStore, ReplicaTargets, Target},
    sqlite::{Durability, Failpoints, Options, Owner, SqliteStore},
};
use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The user's home folder. One that is empty or relative is none: `~` would mean a folder that nobody named.
pub(super) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

/// The data folder that the configuration names or implies.
pub(super) fn folder(config: &Config) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &config.data {
        return Ok(folder.clone());
    }
    let base = match (std::env::var_os("XDG_DATA_HOME"), home()) {
        (Some(data), _) if !data.is_empty() => PathBuf::from(data),
        (_, Some(home)) => home.join(".local/share"),
        _ => anyhow::bail!("there is no home folder; name a data folder with --data or OCTOLLM_DATA"),
    };
    Ok(base.join("octollm"))
}

/// The folders that no program of a step may read.
pub(super) fn closed(folder: &Path, config: &Config) -> Vec<PathBuf> {
    let apart = match &config.artefacts {
        Some(Kept::Folder(folder)) => Some(folder.clone()),
        Some(Kept::Bucket(_)) | None => None,
    };
    [folder.to_owned()].into_iter().chain(apart).collect()
}

/// Where the tasks are.
pub(super) enum Storage {
    /// In the data folder.
    Folder(Durability),
    /// In a database that other orchestrators may use, too; what clients read may come from replicas.
    Database(Target, Option<ReplicaTargets>),
}

/// Opens store and artefacts; `folder` belongs to this process until what is returned last is dropped.
pub(super) async fn open(
    folder: &Path,
    storage: Storage,
    place: Place,
    config: &Config,
    models: Option<Models>,
) -> anyhow::Result<(Arc<App>, Arc<dyn Store>, Option<Owner>)> {
    // What is in it is nobody else's business; a folder that was there keeps its mode.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("the data folder {} cannot be made", folder.display()))?;
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let (store, clock, owner): (Arc<dyn Store>, Arc<dyn Clock>, Option<Owner>) = match storage {
        Storage::Folder(durability) => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let failpoints = match std::env::var("OCTOLLM_FAILPOINTS") {
                Ok(text) => Failpoints::parse(&text).context("OCTOLLM_FAILPOINTS cannot be read")?,
                Err(_) => Failpoints::default(),
            };
            let options = Options { durability, failpoints };
            // It takes the folder itself.
            let store = SqliteStore::open(folder, Arc::clone(&clock), Arc::clone(&entropy), options);
            let store = store.with_context(|| {
                format!("the tasks in the data folder {} cannot be opened (setting data)", folder.display())
            })?;
            (Arc::new(store), clock, None)
        }
        Storage::Database(target, replicas) => {
            let owner = Owner::without_store(folder)?;
            let replicas = replicas.unwrap_or_default();
            let store =
                PostgresStore::open_reading(target, replicas, Moments::Database, Arc::clone(&entropy)).await;
            let store = store.context("the database cannot be used (setting database_url)")?;
            // Leases run by the database's clock: what is promised to clients does, too.
            let clock = store.clock();
            (Arc::new(store), clock, Some(owner))
        }
    };
    let artefacts = artefacts(folder, config).await?;
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
    Ok((App::new(parts, settings), store, owner))
}

async fn artefacts(folder: &Path, config: &Config) -> anyhow::Result<Artefacts> {
    let in_folder = |kept: &Path| {
        let opened = Artefacts::in_folder(kept, config.artefact_bytes_max);
        opened.with_context(|| format!("the artefacts in {} cannot be opened", kept.display()))
    };
    match &config.artefacts {
        None => in_folder(&folder.join("artefacts")),
        Some(Kept::Folder(kept)) => in_folder(kept),
        Some(Kept::Bucket(s3)) => {
            let opened = Artefacts::in_bucket(s3, config.artefact_bytes_max).await;
            opened.with_context(|| {
                let at = s3.endpoint.as_ref().map_or_else(|| "Amazon".to_owned(), ToString::to_string);
                let bucket = &s3.bucket;
                format!("artefacts cannot be kept in {bucket} at {at} (settings artefacts, s3_endpoint, s3_access_key)")
            })
        }
    }
}
