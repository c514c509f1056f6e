//! `octollm llm-sim`: the simulated model server.

use super::{Usage, runtime, signals};
use crate::{cli::LlmSim, show};
use anyhow::Context;
use octollm_llm::sim::{Script, Sim};
use std::{fs, process::ExitCode};
use tokio::net::TcpListener;

pub(super) fn llm_sim(options: LlmSim) -> anyhow::Result<ExitCode> {
    let LlmSim { listen, script, seed, log, log_questions } = options;
    let script = match script {
        None => Script::built_in(),
        Some(path) => {
            let text = fs::read_to_string(&path)
                .map_err(|error| Usage(format!("the script {} cannot be read: {error}", path.display())))?;
            Script::parse(&text, &path.display().to_string()).map_err(|bad| Usage(bad.to_string()))?
        }
    };
    let log = match log {
        None => None,
        Some(path) => {
            let opened = fs::OpenOptions::new().create(true).append(true).open(&path);
            Some(opened.with_context(|| format!("the log {} cannot be opened", path.display()))?)
        }
    };
    let sim = Sim::keeping(script, seed, log, log_questions);
    runtime(2)?.block_on(async move {
        let shutdown = signals::shutdown()?;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("{listen} cannot be listened on (option --listen)"))?;
        let address = listener.local_addr()?;
        show::line(&format!("octollm llm-sim listens on http://{address}/v1"));
        show::line(&format!("its answers are simulated; seed {seed}; calls: http://{address}/log"));
        tokio::select! {
            ended = sim.serve(listener) => ended.context("the server failed")?,
            () = shutdown.cancelled() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}
