//! The `octollm` program: it reads the command line and the configuration, wires the parts of
//! one shape together, and prints. It decides nothing.
//!
//! Exit codes: 0 done, 1 failed or refused, 2 wrong usage (of the command line or the
//! configuration).

mod cli;
mod config;
mod show;
mod verbs;

use clap::{CommandFactory, Parser};
use cli::{Cli, ConfigVerb, Verb};
use std::{collections::BTreeMap, process::ExitCode};

// The default allocator keeps freed pages for itself; a server that idles should not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match verbs::dispatch(cli) {
        Ok(_) if show::output_was_lost() => ExitCode::from(1),
        Ok(code) => code,
        Err(error) => {
            show::failure(&error);
            ExitCode::from(if error.is::<config::ConfigError>() || error.is::<verbs::Usage>() {
                2
            } else {
                1
            })
        }
    }
}

/// The configuration that this process starts with.
fn sources(cli: &Cli, flags: &[(&'static str, String)]) -> Result<config::Sources, config::ConfigError> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("OCTOLLM_"))
        .collect();
    config::Sources::gather(cli.config.as_deref(), &environment, &option_variables(&Cli::command()), flags)
}

/// The variables of the options of all verbs.
fn option_variables(command: &clap::Command) -> Vec<String> {
    let own = command
        .get_arguments()
        .filter_map(|a| a.get_env())
        .filter_map(|name| name.to_str())
        .map(str::to_owned);
    own.chain(command.get_subcommands().flat_map(option_variables)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_inner_verbs_are_known_variables() {
        let known = option_variables(&Cli::command());
        for name in ["OCTOLLM_KEY", "OCTOLLM_MAX_TIME", "OCTOLLM_ALLOW_HOST"] {
            assert!(known.iter().any(|k| k == name), "{name}");
        }
    }
}
