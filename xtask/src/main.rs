//! The project's commands. Plain Rust on the standard library, so that it builds in seconds
//! on a machine with nothing but a Rust toolchain.
//!
//! Promises: each command prints what it runs, stops at the first failure, and exits with 1
//! then; `test` installs what the tests need where it may, and says what is missing where not.

mod arrows;
mod deny;
mod loops;
mod manifests;
mod needs;
mod tidy;

use std::{
    env,
    ffi::OsStr,
    process::{Command, ExitCode},
};

const HELP: &str = "\
usage: cargo xtask COMMAND

  test         install what the tests need, then run every test and check
  lint         format, clippy with warnings as errors, docs without warnings
  arrows       dependency arrows point down; pure crates reach no I/O
  tidy         house rules that are checked as text
  manifests    deploy/ against the published schemas of every supported Kubernetes (needs kubectl)
  sim ARGS…    the deterministic simulation (--seed N --schedules M)
  soak         the long tests: hours if you let them (OCTOLLM_SOAK_MINUTES, default 20)
  bench ARGS…  the benchmarks of docs/benchmarks.md
  loops [PACKAGE…] from a change to the answer of the unit tests, of each package
  deny         licences, sources and duplicate versions of dependencies, by deny.toml
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let outcome = match command {
        "test" => test(),
        "lint" => lint(),
        "arrows" => arrows::check(),
        "tidy" => tidy::check(),
        "manifests" => manifests::check(),
        "sim" => sim(rest),
        "soak" => soak(),
        "bench" => bench(rest),
        "loops" => loops::measure(rest),
        "deny" => deny::check(),
        "help" | "--help" | "-h" => {
            say(HELP);
            Ok(())
        }
        other => Err(format!("there is no command {other:?}\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is a command for people")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "this is a command for people")]
fn complain(text: &str) {
    eprintln!("xtask: {text}");
}

fn test() -> Result<(), String> {
    needs::install()?;
    needs::space()?;
    arrows::check()?;
    tidy::check()?;
    // The whole-system tests start the program itself. Built with the tests, it shares their dependencies.
    cargo(["build", "--locked", "--workspace", "--lib", "--bins", "--tests"])?;
    run(cargo_command()
        .args(["test", "--locked", "--workspace", "--lib", "--bins", "--tests"])
        .env(LAWS_SEED, env::var(LAWS_SEED).unwrap_or_else(|_| "1".into())))?;
    cargo(["test", "--locked", "--workspace", "--doc"])
}

/// Where the laws (property tests) begin to draw. `test` tries the same cases each time, so that what
/// it says depends on the code alone; `soak` looks for new ones.
const LAWS_SEED: &str = "PROPTEST_RNG_SEED";

fn lint() -> Result<(), String> {
    cargo(["fmt", "--all", "--check"])?;
    cargo(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    run(cargo_command()
        .args(["doc", "--locked", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

fn sim(rest: &[String]) -> Result<(), String> {
    let mut arguments = vec!["run", "--locked", "--release", "--package", "octollm-sim", "--"];
    arguments.extend(rest.iter().map(String::as_str));
    cargo(arguments)
}

fn soak() -> Result<(), String> {
    needs::install()?;
    let minutes = match env::var("OCTOLLM_SOAK_MINUTES") {
        Ok(text) => text.parse().map_err(|_| format!("OCTOLLM_SOAK_MINUTES is {text:?}, not a number"))?,
        Err(_) => 20u64,
    };
    let schedules = (minutes * 50_000).to_string();
    sim(&["--schedules".into(), schedules])?;
    run(cargo_command()
        .args(["test", "--locked", "--workspace", "--lib", "--test", "*"])
        .args(["--exclude", "octollm-tests", "--no-fail-fast"])
        .env_remove(LAWS_SEED)
        .env("OCTOLLM_TEST_SOAK_MINUTES", minutes.to_string())
        .env("PROPTEST_CASES", (minutes * 500).to_string()))?;
    // As in `test`: the program of these tests is built with them.
    cargo(["build", "--locked", "--workspace", "--lib", "--bins", "--tests"])?;
    run(cargo_command()
        .args(["test", "--locked", "--workspace", "--test", "system", "--", "--nocapture"])
        .env("OCTOLLM_TEST_SOAK_MINUTES", minutes.to_string()))
}

fn bench(rest: &[String]) -> Result<(), String> {
    cargo(["build", "--locked", "--release", "--package", "octollm"])?;
    let mut arguments = vec!["run", "--locked", "--release", "--package", "octollm-bench", "--"];
    arguments.extend(rest.iter().map(String::as_str));
    cargo(arguments)
}

fn cargo<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Result<(), String> {
    run(cargo_command().args(arguments))
}

/// Cargo as one's shell would start it. Without what it says to a program that it runs about that program's
/// package: build scripts that look at it would run again, and what depends on them be compiled again, each
/// time that one command follows the other.
fn cargo_command() -> Command {
    let mut command = Command::new(cargo_path());
    for (name, _) in env::vars_os() {
        let told = |prefix| name.to_str().is_some_and(|name| name.starts_with(prefix));
        if told("CARGO_PKG_") || told("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

fn cargo_path() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

fn run(command: &mut Command) -> Result<(), String> {
    let words: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    let program = command.get_program().to_string_lossy().into_owned();
    let name = program.rsplit('/').next().unwrap_or("command").to_owned();
    let line = format!("{name} {}", words.join(" "));
    say(&format!("$ {line}"));
    let status = command.status().map_err(|error| format!("{line} cannot be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{line} failed ({status}); repeat it with the same words"))
    }
}
