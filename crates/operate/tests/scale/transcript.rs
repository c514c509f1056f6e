//! Runs a `scale` verb in a folder of its own and shows what came out, as a snapshot reads it.

use std::fs;
use std::time::{Duration, SystemTime};

use clap::Parser;
use octollm_operate::scale::{self, ScaleVerb};
use octollm_operate::{Console, Exit};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    verb: ScaleVerb,
}

/// A command to run and the files that it finds.
pub(crate) struct Transcript {
    arguments: Vec<String>,
    folder: tempfile::TempDir,
    input: String,
}

impl Transcript {
    /// A command, in which `@/` stands for the folder.
    pub(crate) fn of(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { arguments, folder: tempfile::tempdir().expect("a folder"), input: String::new() }
    }

    /// Puts a file there before the run.
    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        let file = self.folder.path().join(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        fs::write(file, text).expect("written");
        self
    }

    /// What stands on standard input.
    pub(crate) fn input(mut self, text: &str) -> Self {
        self.input = text.to_owned();
        self
    }

    /// What a file holds now.
    pub(crate) fn text_of(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(path)).expect("readable")
    }

    /// The names in a folder now, sorted.
    pub(crate) fn names_in(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join(path)).expect("listed");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("listed").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    /// Output, then the error stream's lines marked `! `, then the exit code.
    pub(crate) fn show(&self) -> String {
        let root = self.folder.path().to_str().expect("UTF-8");
        let place = |argument: &String| argument.replace("@/", &format!("{root}/"));
        let line = std::iter::once("scale".to_owned()).chain(self.arguments.iter().map(place));
        let line = Line::try_parse_from(line).expect("a command line");
        // A Wednesday, 12:00 UTC.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_608_000);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console { input: &mut self.input.as_bytes(), out: &mut out, err: &mut err, now };
        let exit: Exit = scale::run(&line.verb, &mut console).expect("a Vec can be written to");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8").replace(&format!("{root}/"), "");
        let errors: String =
            text(err).lines().map(|line| format!("{}\n", format!("! {line}").trim_end())).collect();
        format!("{}{errors}exit {}", text(out), exit.code())
    }
}
