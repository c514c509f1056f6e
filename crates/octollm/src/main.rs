//! The `octollm` program: it reads the command line and the configuration, wires the parts of
//! one shape together, and prints. It decides nothing.
//!
//! Exit codes: 0 done, 1 failed or refused, 2 wrong usage (of the command line or the
//! configuration), 130 `run` was interrupted.

mod cli;
mod config;
mod show;
mod taken;
mod verbs;

use clap::{CommandFactory, Parser};
use cli::{Cli, ConfigVerb, Verb};
use std::{collections::BTreeMap, ffi::OsString, process::ExitCode};

// The default allocator keeps freed pages for itself; a server that idles should not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    few_pages();
    if let Err(error) = texts(std::env::vars_os()) {
        let json = cli::named_json(std::env::args_os(), std::env::var_os("OCTOLLM_JSON"));
        show::failure(&error.into(), json);
        return ExitCode::from(2);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => {
            let variable = said
                .use_stderr()
                .then(|| {
                    cli::variable_at_fault(&said, std::env::args_os(), |name| {
                        std::env::var_os(name).is_some()
                    })
                })
                .flatten();
            let source = variable.map(|name| format!("the value comes from the variable {name}"));
            // Help is asked for and no error.
            if said.use_stderr() && cli::named_json(std::env::args_os(), std::env::var_os("OCTOLLM_JSON")) {
                let source = source.as_ref().map_or(String::new(), |source| format!("; {source}"));
                show::misread(&format!("{}{source}", said.to_string().trim_end()));
            }
            if let Some(source) = source {
                show::note(&source);
            }
            said.exit()
        }
    };
    let json = cli.verb.json();
    match verbs::dispatch(cli) {
        Ok(_) if show::output_was_lost() => ExitCode::from(1),
        Ok(code) => code,
        Err(error) => {
            show::failure(&error, json);
            ExitCode::from(if error.is::<config::ConfigError>() || error.is::<verbs::Usage>() {
                2
            } else {
                1
            })
        }
    }
}

/// Whether the variables that are ours, or a setting's, are texts.
fn texts(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<(), config::ConfigError> {
    for (name, value) in variables {
        let shown = name.to_string_lossy();
        let is_ours = shown.starts_with("OCTOLLM_") || config::is_variable(&shown);
        if is_ours && (name.to_str().is_none() || value.to_str().is_none()) {
            return Err(config::ConfigError::NotText { variable: shown.into_owned() });
        }
    }
    Ok(())
}

/// The allocator asks for pages of 2 MiB, and a process that has little to remember would fill some
/// twenty with a tenth of it. A kernel without such pages has nothing to turn off.
fn few_pages() {
    let _none_to_turn_off = rustix::thread::disable_transparent_huge_pages(true);
}

/// The configuration that this process starts with.
fn sources(cli: &Cli, flags: &[(&'static str, String)]) -> Result<config::Sources, config::ConfigError> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("OCTOLLM_") || config::is_variable(name))
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
    use std::os::unix::ffi::OsStringExt as _;

    /// P8: a value that cannot be read is never taken for one that is not there.
    #[test]
    fn a_variable_that_is_no_text_is_named() {
        let odd = OsString::from_vec(vec![b'/', 0xff]);
        let said = |name: &str, value: &OsString| {
            texts([(name.into(), value.clone())].into_iter()).map_err(|error| error.to_string())
        };
        for name in ["OCTOLLM_DATA", "OCTOLLM_KEY", "OCTOLLM_TYPO"] {
            assert_eq!(said(name, &odd), Err(format!("the environment's {name} is not UTF-8")));
            assert_eq!(said(name, &"/srv".into()), Ok(()));
        }
        assert_eq!(said("LESSOPEN", &odd), Ok(()));
    }

    /// Options without a variable, and why.
    const WITHOUT_VARIABLE: &[(&str, &[&str])] = &[
        (
            "it names a setting, whose variable config show prints",
            &[
                "config",
                "data",
                "internal-listen",
                "listen",
                "workers",
                "drain-grace",
                "log-format",
                "model",
                "model-name",
            ],
        ),
        (
            "it belongs to one call: left in the environment it would answer or repeat another",
            &["idempotency-key", "cursor", "approve", "refuse", "step"],
        ),
        (
            "what a key grants stands where it is made",
            &[
                "role",
                "tenant",
                "label",
                "read-root",
                "host",
                "private-host",
                "any-public-host",
                "command",
                "any-command",
                "shell",
                "approval",
            ],
        ),
    ];

    /// The design's word on options: each has a variable, or stands above with the reason.
    #[test]
    fn every_option_has_a_variable_or_a_reason() {
        fn check(command: &clap::Command, unused: &mut Vec<&str>, faults: &mut Vec<String>) {
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long() else { continue };
                let excused = WITHOUT_VARIABLE.iter().any(|(_, names)| names.contains(&long));
                unused.retain(|name| *name != long);
                if argument.get_env().is_none() && !excused && !matches!(long, "help" | "version") {
                    faults.push(format!("{} --{long}", command.get_name()));
                }
            }
            command.get_subcommands().for_each(|inner| check(inner, unused, faults));
        }
        let mut unused: Vec<&str> =
            WITHOUT_VARIABLE.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut faults = Vec::new();
        check(&Cli::command(), &mut unused, &mut faults);
        assert_eq!((faults, unused), (Vec::new(), Vec::new()));
    }

    /// Clap's own reading of a flag's variable takes `true` and `false` alone, and does not name it.
    #[test]
    fn the_variable_of_every_flag_takes_a_yes_in_any_word() {
        fn check(command: &clap::Command, faults: &mut Vec<String>) {
            let flags = command.get_arguments().filter(|argument| !argument.get_action().takes_values());
            for flag in flags.filter(|flag| flag.get_env().is_some()) {
                // Only clap's own knows which words there can be.
                if flag.get_value_parser().possible_values().is_some() {
                    faults.push(format!("{} {}", command.get_name(), flag.get_id()));
                }
            }
            command.get_subcommands().for_each(|inner| check(inner, faults));
        }
        let mut faults = Vec::new();
        check(&Cli::command(), &mut faults);
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn options_of_inner_verbs_are_known_variables() {
        let known = option_variables(&Cli::command());
        for name in ["OCTOLLM_KEY", "OCTOLLM_MAX_TIME", "OCTOLLM_ALLOW_HOST"] {
            assert!(known.iter().any(|k| k == name), "{name}");
        }
    }
}
