//! `scale lint -f PATH…`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use octollm_scaling::lint::{self, Report, render};
use octollm_scaling::manifest::{Input, load};
use octollm_scaling::read::Sources;

use super::manifests::gather;
use crate::files::STANDARD_INPUT;
use crate::{Console, Exit, truth};

/// Arguments of `scale lint`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, folders (with all below them) and kustomizations; `-` is standard input.
    #[arg(
        short = 'f',
        long = "file",
        value_name = "PATH",
        num_args = 1..,
        required_unless_present = "explain",
        env = "OCTOLLM_SCALE_FILE"
    )]
    pub files: Vec<String>,
    /// How findings are printed.
    #[arg(long, value_enum, default_value_t = Format::Text, env = "OCTOLLM_SCALE_FORMAT")]
    pub format: Format,
    /// Write the corrections that keep the meaning into the files; the report is of what remains.
    #[arg(long, env = "OCTOLLM_SCALE_FIX", value_parser = truth("OCTOLLM_SCALE_FIX"))]
    pub fix: bool,
    /// Say what a rule is about, with an example, instead of linting.
    #[arg(long, value_name = "RULE", conflicts_with_all = ["files", "fix"], env = "OCTOLLM_SCALE_EXPLAIN")]
    pub explain: Option<String>,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One array of `{rule, severity, file, line, message, fix}`.
    Json,
    /// SARIF 2.1.0, for code hosts.
    Sarif,
}

/// A correction may make room for another; a manifest that needs more rounds than this does not exist.
const FIX_ROUNDS: usize = 10;

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> io::Result<Exit> {
    if let Some(id) = &args.explain {
        return explain(id, console);
    }
    if args.fix && args.files.iter().any(|path| path == STANDARD_INPUT) {
        writeln!(console.err, "-: standard input cannot be corrected in place; name the file")?;
        return Ok(Exit::Unreadable);
    }
    let gathered = gather(&args.files, console.input);
    for error in &gathered.errors {
        writeln!(console.err, "{error}")?;
    }
    let (loaded, report, mut all_read) = if args.fix {
        corrected(gathered.inputs, console.err)?
    } else {
        let loaded = load(gathered.inputs);
        let report = lint::lint(&loaded);
        (loaded, report, true)
    };
    all_read &= gathered.errors.is_empty() && report.unreadable.is_empty();
    // No manifests is no pass: whoever named them meant some.
    let nothing =
        all_read && report.findings.is_empty() && loaded.sets.iter().all(|set| set.objects.is_empty());
    if nothing {
        writeln!(console.err, "nothing was found to lint in {}", args.files.join(", "))?;
        all_read = false;
    }
    if !(nothing && args.format == Format::Text) {
        print(args.format, &loaded.sources, &report, console)?;
    }
    Ok(if !all_read {
        Exit::Unreadable
    } else if report.findings.is_empty() {
        Exit::Clean
    } else {
        Exit::Found
    })
}

fn print(format: Format, sources: &Sources, report: &Report, console: &mut Console<'_>) -> io::Result<()> {
    let text = match format {
        Format::Text => return write!(console.out, "{}", render::text(sources, report)),
        Format::Json => render::json(sources, report),
        Format::Sarif => render::sarif(sources, report),
    };
    for error in &report.unreadable {
        writeln!(console.err, "{error}")?;
    }
    write!(console.out, "{text}")
}

/// Lints, corrects what is safe until nothing more is, and writes the files that changed. The flag says
/// whether all of them could be written.
fn corrected(
    mut inputs: Vec<Input>,
    err: &mut dyn Write,
) -> io::Result<(octollm_scaling::manifest::Loaded, Report, bool)> {
    let mut changed = std::collections::BTreeMap::new();
    let mut round = 0;
    let (loaded, report) = loop {
        let loaded = load(inputs.clone());
        let report = lint::lint(&loaded);
        let texts = lint::apply_safe(&loaded.sources, &report);
        if texts.is_empty() || round == FIX_ROUNDS {
            break (loaded, report);
        }
        for (path, text) in texts {
            for input in inputs.iter_mut().filter(|input| input.path == path) {
                input.bytes = text.clone().into_bytes();
            }
            changed.insert(path, text);
        }
        round += 1;
    };
    let mut all_written = true;
    for (path, text) in changed {
        match replace(Path::new(&path), &text) {
            Ok(()) => writeln!(err, "{path}: corrected")?,
            Err(error) => {
                all_written = false;
                writeln!(err, "{path}: cannot be written: {error}")?;
            }
        }
    }
    Ok((loaded, report, all_written))
}

/// Puts `text` in the place of a file, whole or not at all, with the file's permissions. A link stays one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let mut beside = path.clone().into_os_string();
    beside.push(".corrected");
    let mut file = fs::File::create_new(&beside)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.set_permissions(fs::metadata(&path)?.permissions()))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // The first error is the one to report; at worst the copy stays beside the file.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn explain(id: &str, console: &mut Console<'_>) -> io::Result<Exit> {
    if let Some(rule) = lint::find(id) {
        write!(console.out, "{}", render::explain(rule))?;
        return Ok(Exit::Clean);
    }
    writeln!(console.err, "no rule `{id}`; the rules are:")?;
    for rule in lint::rules() {
        writeln!(console.err, "  {}", rule.id)?;
    }
    Ok(Exit::Unreadable)
}
