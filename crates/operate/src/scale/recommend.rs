//! `scale recommend --usage FILE -f PATH…`.

use std::io;

use octollm_scaling::recommend::{self, Usage};

use super::Format;
use super::manifests::accept;
use crate::files::read_bytes;
use crate::{Console, Exit};

/// Arguments of `scale recommend`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recorded usage: a CSV with the header `timestamp,namespace,pod,container,cpu_cores,memory_bytes`, or a
    /// range export of Prometheus; `-` is standard input.
    #[arg(long, value_name = "FILE", required = true, env = "OCTOLLM_SCALE_USAGE")]
    pub usage: String,
    /// The manifests whose requests are compared: files, folders and kustomizations; `-` is standard input.
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1.., required = true, env = "OCTOLLM_SCALE_FILE")]
    pub files: Vec<String>,
    /// How recommendations are printed; JSON has millicores and bytes.
    #[arg(long, value_enum, default_value_t = Format::Text, env = "OCTOLLM_SCALE_FORMAT")]
    pub format: Format,
}

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> io::Result<Exit> {
    let Some(loaded) = accept(&args.files, console)? else { return Ok(Exit::Unreadable) };
    let bytes = match read_bytes(&args.usage, console.input) {
        Ok(bytes) => bytes,
        Err(error) => return refuse(&error, console),
    };
    let usage = match Usage::read(&args.usage, bytes) {
        Ok(usage) => usage,
        Err(error) => return refuse(&error, console),
    };
    let recommended = recommend::recommend(&loaded, &usage);
    match args.format {
        Format::Text => write!(console.out, "{}", recommend::text(&recommended))?,
        Format::Json => writeln!(console.out, "{:#}", recommend::json(&recommended))?,
    }
    Ok(Exit::Clean)
}

fn refuse(error: &dyn std::error::Error, console: &mut Console<'_>) -> io::Result<Exit> {
    writeln!(console.err, "{error}")?;
    Ok(Exit::Unreadable)
}
