//! `shell` and `shell_string`: a program in the locked room.
//!
//! The step is done when the program ends with 0, or with anything when the plan says that
//! any exit code is a result (`any_exit`: a judge will look at it), or with the 1 by which `grep` says that nothing
//! matches and `diff` that two files differ. Otherwise it fails for
//! good, with the tail of what the program said. One that takes longer than its limit is ended, and
//! what it had said by then is told, too.

use crate::{
    Undone,
    executor::{
        off_the_async_threads,
        outcome::{Content, Found},
        text::{counted, shown},
    },
};
use octollm_contract::Millis;
use octollm_sandbox::{Ended, Ending, Kernel, Lacking, Limits, Output, Room, RoomError, RoomSpec};
use serde_json::json;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// What is kept of each output stream.
const OUTPUT_BYTES: usize = 8 << 20;
/// What data for programs holds of each.
const DATA_BYTES: usize = 64 << 10;
/// What a failure quotes.
const TAIL_BYTES: usize = 2000;

/// Where a program runs.
pub(crate) struct Place<'a> {
    pub(crate) workspace: &'a Path,
    /// There is nothing else for it to read, and nothing in it.
    pub(crate) alone: bool,
    pub(crate) read_roots: Vec<PathBuf>,
    pub(crate) closed: Vec<PathBuf>,
    pub(crate) wall: Millis,
}

pub(crate) async fn run(
    argv: &[String],
    stdin: Option<String>,
    any_exit: bool,
    place: Place<'_>,
    kernel: &'static Kernel,
    cancel: &CancellationToken,
) -> Result<Found, Undone> {
    let wall = place.wall.to_duration().max(Duration::from_secs(1));
    let limits = Limits { wall, cpu: wall, output_bytes: OUTPUT_BYTES, ..Limits::default() };
    let spec = RoomSpec {
        workspace: place.workspace.to_owned(),
        read_roots: place.read_roots,
        closed: place.closed,
        limits,
    };
    let stop = cancel.child_token();
    let stopped = stop.clone();
    let opening = off_the_async_threads(stop, move || {
        Room::open(&spec, kernel, &|| stopped.is_cancelled()).map_err(|e| refusal(&e))
    });
    let room = tokio::select! {
        room = opening => room?,
        () = cancel.cancelled() => return Err(Undone::Stopped),
        () = tokio::time::sleep(wall) => return Err(Undone::for_now(format!(
            "looking through the folders that it may read took longer than its time limit of {}; grant fewer",
            place.wall
        ))),
    };
    let ended = room.run(argv, stdin.map(String::into_bytes), cancel).await.map_err(|e| refusal(&e))?;
    let found = outcome(argv, any_exit, place.wall, &ended);
    if place.alone { told_alone(argv, found) } else { found }
}

/// What came of a program that has run.
fn outcome(argv: &[String], any_exit: bool, wall: Millis, ended: &Ended) -> Result<Found, Undone> {
    let exit_code = match ended.ending {
        Ending::Exited(code) => code,
        Ending::Signalled(signal) => 128 + signal,
        Ending::TimedOut => {
            return Err(Undone::for_now(overtime(argv, ended, wall)));
        }
        Ending::Cancelled => return Err(Undone::Stopped),
    };
    let answers = matches!(ended.ending, Ending::Exited(1)) && is_answer(argv);
    if exit_code != 0 && !any_exit && !answers {
        return Err(Undone::for_good(failure(argv, ended, exit_code)));
    }
    Ok(Found {
        text: match answers && is_grep(argv) && ended.stdout.total == 0 {
            true => format!("no line matches\n{}", text(ended, exit_code)),
            false => text(ended, exit_code),
        },
        data: json!({
            "exit_code": exit_code,
            "stdout": start(&ended.stdout),
            "stderr": start(&ended.stderr),
            // What the program wrote; more than is kept when it wrote much.
            "stdout_bytes": ended.stdout.total,
            "stderr_bytes": ended.stderr.total,
            "cut": ended.stdout.bytes.len().max(ended.stderr.bytes.len()) > DATA_BYTES
                || ended.stdout.is_cut() || ended.stderr.is_cut(),
            "took_ms": u64::try_from(ended.took.as_millis()).unwrap_or(u64::MAX),
        }),
        exit_code: Some(exit_code),
        body: match ended.stdout.is_cut() {
            true => Content::Partial,
            false => Content::Only(lossy(&ended.stdout.bytes)),
        },
        ..Found::default()
    })
}

fn name(argv: &[String]) -> &str {
    let program = argv.first().map_or("", String::as_str);
    program.rsplit('/').next().unwrap_or(program)
}

fn is_grep(argv: &[String]) -> bool {
    matches!(name(argv), "grep" | "egrep" | "fgrep")
}

/// Whether an exit code of 1 is what the program found out, and no failure. One that is told to say nothing answers
/// by its code alone, and so does the step.
fn is_answer(argv: &[String]) -> bool {
    let quiet = match name(argv) {
        "diff" => return true,
        "cmp" => 's',
        _ if is_grep(argv) => 'q',
        _ => return false,
    };
    !argv.iter().skip(1).any(|argument| match argument.strip_prefix('-') {
        Some(long) if long.starts_with('-') => matches!(long, "-quiet" | "-silent"),
        Some(letters) => letters.contains(quiet),
        None => false,
    })
}

/// What is said of a program that could read nothing of whoever asked for it, so that "it is empty" and
/// "it is removed" are not taken for words about their files (P10).
const ALONE: &str = "it ran in an empty folder of its own, where none of your files are; \
                     a program may read what the command names by its path";

/// Programs that look at their folder or change it. What others print means the same anywhere.
const OF_A_FOLDER: &[&str] = &[
    "bash",
    "bun",
    "cargo",
    "cat",
    "cmake",
    "cp",
    "deno",
    "diff",
    "docker",
    "du",
    "file",
    "find",
    "git",
    "go",
    "gradle",
    "grep",
    "head",
    "helm",
    "ls",
    "make",
    "mkdir",
    "mv",
    "mvn",
    "ninja",
    "node",
    "npm",
    "npx",
    "perl",
    "pnpm",
    "pwd",
    "pytest",
    "python",
    "python3",
    "realpath",
    "rg",
    "rm",
    "rmdir",
    "ruby",
    "sh",
    "sort",
    "sqlite3",
    "stat",
    "svn",
    "tail",
    "tar",
    "terraform",
    "touch",
    "tree",
    "unzip",
    "wc",
    "yarn",
    "zip",
    "zsh",
];

/// What came of a program, with word of it where it may mislead.
fn told_alone(argv: &[String], found: Result<Found, Undone>) -> Result<Found, Undone> {
    match found {
        Ok(mut found) => {
            if OF_A_FOLDER.contains(&name(argv)) {
                if !found.text.ends_with('\n') {
                    found.text.push('\n');
                }
                found.text.push_str(&format!("({ALONE})\n"));
            }
            found.data["empty_folder"] = json!(true);
            Ok(found)
        }
        Err(Undone::Failed { message, retryable }) => {
            Err(Undone::Failed { message: format!("{}\n({ALONE})", message.trim_end()), retryable })
        }
        Err(undone @ (Undone::Later { .. } | Undone::Stopped)) => Err(undone),
    }
}

fn refusal(error: &RoomError) -> Undone {
    let because = |error: &dyn std::error::Error| {
        error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
    };
    match error {
        RoomError::Stopped => Undone::Stopped,
        RoomError::Exhausted(_) => Undone::for_now(because(error)),
        RoomError::Lacking(lacking) => Undone::for_good(unlocked(lacking)),
        RoomError::Path { .. }
        | RoomError::NotLookedThrough { .. }
        | RoomError::TooManyFolders { .. }
        | RoomError::ProgramNotFound { .. }
        | RoomError::ProgramNotAllowed { .. }
        | RoomError::BadCommand
        | RoomError::Setup(_) => Undone::for_good(because(error)),
    }
}

fn unlocked(lacking: &Lacking) -> String {
    format!("programs are refused on this machine, because none can be locked in: {lacking}")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

fn start(output: &Output) -> String {
    lossy(&output.bytes[..output.bytes.len().min(DATA_BYTES)])
}

fn text(ended: &Ended, exit_code: i32) -> String {
    let mut text = lossy(&ended.stdout.bytes);
    let mut add = |line: &str| {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line);
    };
    for (output, name) in [(&ended.stdout, "output"), (&ended.stderr, "errors")] {
        if output.is_cut() {
            add(&format!(
                "({} of {name} were not kept)\n",
                counted(output.total - output.bytes.len() as u64, "byte")
            ));
        }
    }
    if !ended.stderr.bytes.is_empty() {
        add("(errors:)\n");
        add(&lossy(&ended.stderr.bytes));
    }
    if exit_code != 0 {
        add(&format!("(exit code {exit_code})\n"));
    }
    if text.is_empty() { "(the program said nothing)\n".into() } else { text }
}

fn failure(argv: &[String], ended: &Ended, exit_code: i32) -> String {
    let program = shown(OsStr::new(argv.first().map_or("", String::as_str)));
    let how = match ended.ending {
        Ending::Signalled(signal) => format!("was ended by signal {signal}"),
        Ending::Exited(_) | Ending::TimedOut | Ending::Cancelled => {
            format!("ended with exit code {exit_code}")
        }
    };
    let said = if ended.stderr.bytes.is_empty() { &ended.stdout.bytes } else { &ended.stderr.bytes };
    let tail = tail(said);
    let wanted_network = NO_NETWORK.iter().any(|words| tail.contains(words));
    let told = match tail.trim() {
        "" => format!("{program} {how}"),
        tail => format!("{program} {how}: {tail}"),
    };
    if wanted_network { format!("{told}\n(programs have no network)") } else { told }
}

/// How programs say that they reach nobody.
const NO_NETWORK: &[&str] = &[
    "Could not resolve host",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Network is unreachable",
];

/// A program that took too long, with the end of what it had written by then.
fn overtime(argv: &[String], ended: &Ended, wall: Millis) -> String {
    let program = shown(OsStr::new(argv.first().map_or("", String::as_str)));
    let mut told = format!("{program} took longer than its time limit of {wall} and was ended");
    for (output, name) in [(&ended.stdout, "output"), (&ended.stderr, "errors")] {
        let tail = tail(&output.bytes);
        if !tail.trim().is_empty() {
            told.push_str(&format!("; the end of its {name}: {}", tail.trim()));
        }
    }
    told
}

fn tail(said: &[u8]) -> String {
    lossy(&said[said.len().saturating_sub(TAIL_BYTES)..])
}
