//! `scale conformance FILE…`.

use std::io;

use octollm_scaling::conformance::{self, Report};

use crate::files::read_text;
use crate::{Console, Exit};

/// Arguments of `scale conformance`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of cases; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
}

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> io::Result<Exit> {
    let mut all = Report { results: Vec::new() };
    let mut read = 0;
    for path in &args.files {
        let text = match read_text(path, console.input) {
            Ok(text) => text,
            Err(error) => {
                writeln!(console.err, "{error}")?;
                continue;
            }
        };
        match conformance::run(&text) {
            // A check that checked nothing must not look like one that passed.
            Ok(report) if report.results.is_empty() => {
                writeln!(console.err, "{path}: it holds no case; nothing was checked")?;
            }
            Ok(report) => {
                read += 1;
                all.results.extend(report.results);
            }
            Err(error) => writeln!(console.err, "{path}: {error}")?,
        }
    }
    if read > 0 {
        writeln!(console.out, "{all}")?;
    }
    Ok(if read < args.files.len() {
        Exit::Unreadable
    } else if all.failed() > 0 {
        Exit::Found
    } else {
        Exit::Clean
    })
}
