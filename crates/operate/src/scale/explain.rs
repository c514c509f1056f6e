//! `scale explain -f PATH… --values FILE|key=value…`.

use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use octollm_scaling::explain::{self, Values};
use octollm_scaling::moment::Moment;

use super::Format;
use super::manifests::accept;
use crate::files::{STANDARD_INPUT, read_bytes};
use crate::{Console, Exit};

/// Arguments of `scale explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, folders (with all below them) and kustomizations; `-` is standard input.
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1.., required = true, env = "OCTOLLM_SCALE_FILE")]
    pub files: Vec<String>,
    /// What is known of the moment: `replicas=5`, `cpu=24` and `memory=60` in percent of the request,
    /// `metric.<name>=30`, `pods.<i>.<field>=…`; or files of such lines, or of YAML or JSON.
    #[arg(long, value_name = "FILE|KEY=VALUE", num_args = 1.., env = "OCTOLLM_SCALE_VALUES")]
    pub values: Vec<String>,
    /// Explain only the HPA or ScaledObject of this name.
    #[arg(long, value_name = "NAME", env = "OCTOLLM_SCALE_NAME")]
    pub name: Option<String>,
    /// How the decision is told.
    #[arg(long, value_enum, default_value_t = Format::Text, env = "OCTOLLM_SCALE_FORMAT")]
    pub format: Format,
}

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> io::Result<Exit> {
    let Some(loaded) = accept(&args.files, console)? else { return Ok(Exit::Unreadable) };
    let mut values = Values::default();
    for given in args.values.iter().flat_map(|given| pairs(given)) {
        if let Err(why) = take(&mut values, given, console.input) {
            writeln!(console.err, "{why}")?;
            return Ok(Exit::Unreadable);
        }
    }
    let explanations = match explain::explain(&loaded, args.name.as_deref(), &values, moment(console.now)) {
        Ok(explanations) => explanations,
        Err(error) => {
            writeln!(console.err, "{error}")?;
            return Ok(Exit::Unreadable);
        }
    };
    match args.format {
        Format::Text => {
            for (index, explanation) in explanations.iter().enumerate() {
                let gap = if index > 0 { "\n" } else { "" };
                write!(console.out, "{gap}{}", explain::text(explanation))?;
            }
        }
        Format::Json => {
            let all: Vec<_> = explanations.iter().map(explain::json).collect();
            writeln!(console.out, "{:#}", serde_json::Value::Array(all))?;
        }
    }
    Ok(Exit::Clean)
}

/// Takes a `key=value`, or a file of them; a file that is there wins over a key that looks like its name.
/// `replicas=5,cpu=24` is two pairs; a file's name is left as it is.
fn pairs(given: &str) -> Vec<&str> {
    let parts: Vec<&str> = given.split(',').collect();
    if parts.iter().all(|part| part.contains('=')) { parts } else { vec![given] }
}

fn take(values: &mut Values, given: &str, input: &mut dyn Read) -> Result<(), String> {
    let is_file = given == STANDARD_INPUT || !given.contains('=') || Path::new(given).is_file();
    if !is_file {
        return values.set_pair(given).map_err(|error| error.to_string());
    }
    let bytes = read_bytes(given, input).map_err(|error| error.to_string())?;
    values.set_file(given, bytes).map_err(|error| format!("{given}: {error}"))
}

fn moment(now: SystemTime) -> Moment {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Moment::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    #[test]
    fn pairs_may_stand_behind_one_another_with_commas() {
        assert_eq!(super::pairs("replicas=5,cpu=24"), ["replicas=5", "cpu=24"]);
        assert_eq!(super::pairs("a,b.yaml"), ["a,b.yaml"]);
        assert_eq!(super::pairs("-"), ["-"]);
    }
}
