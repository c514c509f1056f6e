//! `sim`: runs schedules from a seed; on a failure prints what was wrong and how to repeat it.

use clap::Parser;
use octollm_sim::{Broken, Names, Outcome, run};
use std::{
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Simulate orchestrators, workers and clients under faults.
#[derive(Parser)]
struct Arguments {
    /// From which every schedule follows. Default: the time.
    #[arg(long)]
    seed: Option<u64>,
    /// How many schedules.
    #[arg(long, default_value_t = 100_000)]
    schedules: u64,
    /// Only this one, with a trace.
    #[arg(long)]
    only: Option<u64>,
    /// With this defect in the store around the machine; it must be found.
    #[arg(long, value_enum)]
    broken: Option<Broken>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let names = Names::default();
    let mut out = std::io::stdout().lock();
    match simulate(&arguments, &names, &mut out) {
        Ok(code) => code,
        // Nobody reads any more.
        Err(_closed) => ExitCode::FAILURE,
    }
}

fn simulate(arguments: &Arguments, names: &Names, out: &mut impl Write) -> std::io::Result<ExitCode> {
    let seed = arguments.seed.unwrap_or_else(seed_from_time);
    if let Some(only) = arguments.only {
        let mut lines = Vec::new();
        let found = run(names, seed, only, arguments.broken, Some(&mut |line| lines.push(line)));
        for line in lines {
            writeln!(out, "{line}")?;
        }
        return match found {
            Ok(outcome) => writeln!(out, "schedule {only}: {outcome}").map(|()| ExitCode::SUCCESS),
            Err(what) => writeln!(out, "schedule {only} fails: {what}").map(|()| ExitCode::FAILURE),
        };
    }
    writeln!(out, "seed {seed}, {} schedules", arguments.schedules)?;
    let began = Instant::now();
    let (mut sum, mut least) = (Outcome::default(), Outcome { events: u64::MAX, ..Outcome::default() });
    for schedule in 0..arguments.schedules {
        match run(names, seed, schedule, arguments.broken, None) {
            Ok(outcome) => {
                sum.events += outcome.events;
                sum.commits += outcome.commits;
                sum.faults += outcome.faults;
                sum.tasks += outcome.tasks;
                sum.calls += outcome.calls;
                least.events = least.events.min(outcome.events);
            }
            Err(what) => {
                writeln!(out, "schedule {schedule} of seed {seed} fails: {what}")?;
                let broken = arguments.broken.and_then(|broken| clap::ValueEnum::to_possible_value(&broken));
                let broken =
                    broken.map(|value| format!(" --broken {}", value.get_name())).unwrap_or_default();
                writeln!(out, "repeat: cargo xtask sim --seed {seed} --only {schedule}{broken}")?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    report(out, arguments.schedules, sum, least, began.elapsed())
}

fn report(
    out: &mut impl Write,
    schedules: u64,
    sum: Outcome,
    least: Outcome,
    took: Duration,
) -> std::io::Result<ExitCode> {
    let micros = u128::max(took.as_micros(), 1);
    let rate = |count: u64| u128::from(count) * 1_000_000 / micros;
    writeln!(out, "all hold: {sum}; at least {} events a schedule", least.events)?;
    writeln!(
        out,
        "{} schedules/s ({} a minute), {} events/s, {} ms",
        rate(schedules),
        rate(schedules) * 60,
        rate(sum.events),
        took.as_millis()
    )?;
    Ok(ExitCode::SUCCESS)
}

fn seed_from_time() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(0)
}
