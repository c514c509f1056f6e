//! Measurements of the whole program, with the generator on the same machine. What is compared
//! is measured in the same run. `docs/benchmarks.md` says how to rerun and what bounds each figure.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod accepts;
mod figures;
mod gateway;
mod grown;
mod held;
mod http;
mod idle;
mod latency;
mod load;
mod overhead;
mod own_sql;
mod peers;
mod postgres;
mod processes;
mod raw;
mod server;
mod start;
mod thinking;
mod waiting;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask bench [NAME…]

  accepts    durable accepts/s over HTTP at 64 connections, against a bare loop of the same rows
  latency    P50/P95/P99 of the 202 at 1,000/s and at 30 % of capacity, against a bare commit
  overhead   submit to completed of a one-step task whose arm does nothing
  idle       memory of an idle server with its worker, and its growth with finished tasks
  grown      lists, reads and claims beside 100,000 finished tasks, against none
  thinking   what planner and coder cost beside a model without delays
  gateway    what the model gateway adds to a call, against the same call made directly
  postgres   accepts and life cycles on PostgreSQL, against bare loops of the same rows
  held       claims on PostgreSQL beside a transaction that is held open, against none
  latency-postgres
             the 202 over PostgreSQL as in latency, against a bare commit there
  waiting    statements and processor time with 100 workers that wait, over PostgreSQL
  peers      accepts and life cycles on PostgreSQL beside pg-boss and graphile-worker (only by name: npm brings them)
  start      from a built binary to the first answer of `run`

Without names: all but those that download something.
";

type Bench = fn() -> anyhow::Result<()>;

const BENCHES: &[(&str, Bench)] = &[
    ("accepts", accepts::run),
    ("latency", latency::run),
    ("overhead", overhead::run),
    ("idle", idle::run),
    ("grown", grown::run),
    ("gateway", gateway::run),
    ("postgres", postgres::run),
    ("held", held::run),
    ("latency-postgres", latency::on_postgres),
    ("waiting", waiting::run),
    (ONLY_BY_NAME, peers::run),
    ("start", start::run),
    ("thinking", thinking::run),
];

/// It downloads what it compares with.
const ONLY_BY_NAME: &str = "peers";

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| !BENCHES.iter().any(|(known, _)| known == name)) {
        println!("there is no bench {unknown:?}\n\n{HELP}");
        return ExitCode::from(2);
    }
    for (name, bench) in BENCHES {
        if (wanted.is_empty() && *name != ONLY_BY_NAME) || wanted.iter().any(|w| w == name) {
            println!("\n== {name}");
            if let Err(error) = bench() {
                println!("{name} failed: {error:#}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
