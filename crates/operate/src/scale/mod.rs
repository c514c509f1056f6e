//! The verbs of `octollm scale`, as a command line and as a run.

mod conformance;
mod explain;
mod lint;
mod manifests;
mod recommend;

use std::io;

use crate::{Console, Exit};

/// What `octollm scale` can do.
#[derive(Debug, clap::Subcommand)]
pub enum ScaleVerb {
    /// Run recorded cases of the real controllers against the engine.
    ///
    /// Prints each difference as `case: field: expected …, got …` and ends with the line
    /// `N passed, M failed`. Exit code 0 if all passed, 1 if not, 2 if a file could not be read.
    Conformance(conformance::Args),
    /// Find what will go wrong in scaling manifests, before a cluster does.
    ///
    /// Exit code 0 without findings, 1 with findings, 2 if an input could not be read. An annotation
    /// `octollm.dev/lint-ignore.<rule>: <why>` on an object silences a rule for it.
    Lint(lint::Args),
    /// Tell one decision of a scaler step by step, from its manifest and the values given.
    ///
    /// A metric without a value counts as failing. Exit code 0, or 2 if an input could not be read or the
    /// manifests have faults.
    Explain(explain::Args),
    /// Say what requests should be, from recorded usage, as the Vertical Pod Autoscaler would.
    ///
    /// Exit code 0, or 2 if an input could not be read or the manifests have faults.
    Recommend(recommend::Args),
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Does what `verb` says.
///
/// # Errors
/// `out` or `err` of the console could not be written to; a reader that has gone away is one.
pub fn run(verb: &ScaleVerb, console: &mut Console<'_>) -> io::Result<Exit> {
    match verb {
        ScaleVerb::Conformance(args) => conformance::run(args, console),
        ScaleVerb::Lint(args) => lint::run(args, console),
        ScaleVerb::Explain(args) => explain::run(args, console),
        ScaleVerb::Recommend(args) => recommend::run(args, console),
    }
}
