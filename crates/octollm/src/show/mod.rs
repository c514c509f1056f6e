//! What people and programs are shown: errors, configuration, tasks, and steps as they happen.
//!
//! Promises: nothing that a model, a page, a file or a program wrote moves a terminal's cursor or hides
//! there: what people read is neutralised, and output is when it goes to a terminal. What is piped is
//! as it is. Nothing of that begins a line that is ours to begin ([`one_line`], [`unbroken`], [`indented`]).

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

use octollm_contract::{StepId, TaskId, api::Awaited};
use octollm_screen::text::neutralise;
use std::{
    borrow::Cow,
    io::{IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

/// So many characters of a text are shown on a line among others.
const LINE_CHARS: usize = 500;

/// The beginning of a text that has a place on a line: it ends none, begins none and moves no cursor.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    let clean = unbroken(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match clean.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

/// All of a text on one line, its spaces as they are: who approves a program's arguments reads them so.
pub(crate) fn unbroken(text: &str) -> String {
    neutralise(text.trim()).replace('\n', " ")
}

/// A text of many lines behind our words: no line but the first, which ours begin, begins as ours do.
pub(crate) fn indented(text: &str) -> String {
    neutralise(text.trim()).replace('\n', "\n  ")
}

/// The command that answers what `step` of the task waits for: it names what was shown, so that nothing else
/// is answered.
pub(crate) fn how_to_answer(task: TaskId, step: Option<StepId>, awaits: Awaited) -> String {
    let input = match awaits {
        Awaited::Approval => "--approve (or --refuse)",
        Awaited::Answer => "\"your answer\"",
    };
    // A server of the version before names none.
    let step = step.map(|step| format!(" --step {step}")).unwrap_or_default();
    format!("octollm task input {task}{step} {input}")
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_begins_no_line_of_ours() {
        for end in ["\n", "\r", "\r\n", "\u{2028}", "\u{85}", "\u{b}", " \n\t "] {
            let text = format!("a{end}done: all");
            let line = one_line(&text, 20);
            // Controls inside of a word go.
            assert!(line == "a done: all" || line == "adone: all", "{end:?}: {line:?}");
            assert_eq!(unbroken(&text).lines().count(), 1, "{end:?}");
            let lines = indented(&text);
            assert!(neutralise(&lines).lines().skip(1).all(|line| line.starts_with("  ")), "{lines:?}");
        }
        assert_eq!(unbroken("rm  'a   b'"), "rm  'a   b'");
        assert_eq!(one_line("äbcd", 3), "äbc…");
        assert_eq!(one_line("abc\n", 3), "abc");
        assert!(!one_line("a \u{1b}[2K b\u{202e}", 50).contains(['\u{1b}', '\u{202e}']));
    }
}
