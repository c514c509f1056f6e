//! What people and programs are shown: errors, configuration, tasks, and steps as they happen.

mod progress;
mod tables;

pub(crate) use progress::Progress;
pub(crate) use tables::{config, task, task_list};

use std::io::{IsTerminal, Write};

/// Prints an error with all its causes, and nothing twice.
pub(crate) fn failure(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str("\n  because: ");
            text.push_str(&cause);
        }
    }
    note(&text);
}

/// A line for people, on standard error.
#[expect(clippy::print_stderr, reason = "the program's voice")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// A line of output. A reader that went away (`| head`) is no error.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _reader_may_be_gone = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Standard error is a terminal that can redraw lines.
pub(crate) fn on_terminal() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Text that has its own line ends.
pub(crate) fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _reader_may_be_gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
