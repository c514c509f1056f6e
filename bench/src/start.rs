//! From a built binary to the first answer of `run`.

use crate::{figures::Sample, server};
use std::{
    process::{Command, Stdio},
    time::Instant,
};

const RUNS: usize = 20;

pub(crate) fn run() -> anyhow::Result<()> {
    let program = server::program()?;
    let mut all = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let began = Instant::now();
        let status = Command::new(&program)
            .args(["run", "List the files in /tmp directory"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        all.push(began.elapsed());
        anyhow::ensure!(status.success(), "run ended with {status}");
    }
    println!("run, from start to exit: {} (wanted: at most 1 s)", Sample::of(all).line());
    Ok(())
}
