//! What people and programs are shown: errors, configuration, tasks, and steps as they happen.
//!
//! Promises: nothing that a model, a page, a file or a program wrote moves a terminal's cursor or hides
//! there: what people read is neutralised, and output is when it goes to a terminal. What is piped is
//! as it is.

mod ended;
mod person;
mod progress;
mod tables;
mod usage;

pub(crate) use ended::{Reason, ended, ending, failure, misread};
pub(crate) use person::Person;
pub(crate) use progress::Progress;
pub(crate) use tables::{Asked, closing, config, task, task_list};
pub(crate) use usage::{usage_by_arm, usage_by_day};

use octollm_screen::text::neutralise;
use std::{
    borrow::Cow,
    io::{IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

/// A line for people, on standard error.
pub(crate) fn note(text: &str) {
    // Whoever listened may have gone; there is nobody left to tell.
    let _listener_may_be_gone = writeln!(std::io::stderr().lock(), "{}", neutralise(text));
}

/// Output that could not be written, though its reader is still there.
static OUTPUT_LOST: AtomicBool = AtomicBool::new(false);

/// Whether some output was lost: the program then ends with 1.
pub(crate) fn output_was_lost() -> bool {
    OUTPUT_LOST.load(Ordering::Relaxed)
}

fn written(outcome: std::io::Result<()>) {
    // A reader that went away (`| head`) has what it wanted.
    if let Err(error) = outcome
        && error.kind() != std::io::ErrorKind::BrokenPipe
        && !OUTPUT_LOST.swap(true, Ordering::Relaxed)
    {
        note(&format!("error: the output cannot be written: {error}"));
    }
}

/// The text as it goes to standard output.
fn for_output(text: &str) -> Cow<'_, str> {
    if output_on_terminal() { neutralise(text) } else { Cow::Borrowed(text) }
}

/// Output is looked at, and not read by a program.
pub(crate) fn output_on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// A line of output.
pub(crate) fn line(text: &str) {
    let text = for_output(text);
    let mut out = std::io::stdout().lock();
    let outcome = writeln!(out, "{text}").and_then(|()| out.flush());
    drop(out);
    written(outcome);
}

/// Standard error is a terminal that can redraw lines.
pub(crate) fn on_terminal() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Text that has its own line ends.
pub(crate) fn text(text: &str) {
    let text = for_output(text);
    let mut out = std::io::stdout().lock();
    let outcome = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    drop(out);
    written(outcome);
}
