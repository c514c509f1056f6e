//! `octollm db`: the database of `serve`.

use super::{Usage, runtime};
use crate::{config::Config, show};
use anyhow::Context;
use octollm_store::postgres;
use std::process::ExitCode;

pub(super) fn migrate(config: &Config) -> anyhow::Result<ExitCode> {
    let Some(target) = &config.database else {
        let why = "database_url names no database; a data folder is migrated by whoever opens it";
        return Err(Usage(why.into()).into());
    };
    let migrated = runtime(1)?.block_on(postgres::migrate(target));
    let schema = migrated.with_context(|| format!("{target} cannot be migrated"))?;
    show::line(&match schema.migrated {
        0 => format!("{target} has schema {} already", schema.version),
        _ => format!("{target} was brought to schema {}", schema.version),
    });
    Ok(ExitCode::SUCCESS)
}
