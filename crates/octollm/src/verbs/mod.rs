//! One module a verb. Each wires what it needs and prints.

mod arm;
mod data;
mod db;
mod keys;
mod label;
mod llm_sim;
mod log;
mod models;
mod renewal;
mod run;
mod serve;
mod signals;
mod task;
mod temporary;
mod usage;
mod worker;

use crate::{
    Cli, CommandFactory, ConfigVerb, Verb,
    cli::DbVerb,
    config::{Config, Role, Sources},
    show, sources,
};
use octollm_store::{Entropy as _, OsEntropy};
use std::process::ExitCode;

/// A command line that cannot be meant; the text says what is taken instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Does what was asked.
pub(crate) fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let flags = flags(&cli.verb);
    // A worker is told everything by its supervisor; the environment of `serve` is not its own.
    if let Verb::Worker = cli.verb {
        return worker::work();
    }
    if let Verb::Completions { shell } = cli.verb {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "octollm", &mut script);
        show::text(&String::from_utf8_lossy(&script));
        return Ok(ExitCode::SUCCESS);
    }
    if let Verb::LlmSim(sim) = cli.verb {
        return llm_sim::llm_sim(sim);
    }
    let sources: Sources = sources(&cli, &flags)?;
    if let Verb::Config { verb: ConfigVerb::Show } = cli.verb {
        // What is wrong with a value is easier seen among all of them.
        show::text(&show::config(&sources));
        Config::read(&sources)?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::read(&sources)?;
    match cli.verb {
        Verb::Run(run) => run::run(run, &config),
        Verb::Serve(_) => match &config.role {
            Role::Arms(arms) => arm::serve(&config, arms),
            Role::All | Role::Orchestrator => serve::serve(config),
        },
        Verb::Db { verb: DbVerb::Migrate } => db::migrate(&config),
        Verb::Task { server, verb } => task::task(&server, verb),
        Verb::Keys { server, verb } => keys::keys(&server, verb),
        Verb::Usage(of) => usage::usage(&of),
        Verb::Scale { verb } => {
            let (mut input, mut out, mut err) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
            let mut console = octollm_operate::Console {
                input: &mut input,
                out: &mut out,
                err: &mut err,
                now: std::time::SystemTime::now(),
            };
            Ok(ExitCode::from(octollm_operate::scale::run(&verb, &mut console)?.code()))
        }
        Verb::Config { verb: ConfigVerb::Show }
        | Verb::Completions { .. }
        | Verb::LlmSim(_)
        | Verb::Worker => Ok(ExitCode::SUCCESS),
    }
}

/// The settings that flags of this verb set.
fn flags(verb: &Verb) -> Vec<(&'static str, String)> {
    let set = match verb {
        Verb::Serve(serve) => vec![
            ("data", serve.data.as_ref().map(|path| path.display().to_string())),
            ("role", Some(serve.role.join(",")).filter(|roles| !roles.is_empty())),
            ("listen", serve.listen.map(|address| address.to_string())),
            ("internal_listen", serve.internal_listen.map(|address| address.to_string())),
            ("workers", serve.workers.clone()),
            ("drain_grace", serve.drain_grace.clone()),
            ("log_format", serve.log_format.clone()),
        ],
        Verb::Run(run) => vec![("model_url", run.model.clone()), ("model", run.model_name.clone())],
        Verb::Task { .. }
        | Verb::Keys { .. }
        | Verb::Usage(_)
        | Verb::Scale { .. }
        | Verb::Db { .. }
        | Verb::LlmSim(_)
        | Verb::Config { .. }
        | Verb::Completions { .. }
        | Verb::Worker => Vec::new(),
    };
    set.into_iter().filter_map(|(key, text)| Some((key, text?))).collect()
}

/// What sets this run of a process apart from every other, on any host.
fn drawn() -> u64 {
    let mut drawn = [0; 8];
    OsEntropy.fill(&mut drawn);
    u64::from_le_bytes(drawn)
}

/// A runtime for a verb that waits for a server or a task.
fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}
