//! The log: lines on standard error, with task and step ids in their spans.

use crate::config::Config;
use tracing_subscriber::EnvFilter;

/// Starts the log. A filter that cannot be read is an error with its place.
pub(super) fn start(filter: &str, json: bool) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(filter).map_err(|error| {
        crate::verbs::Usage(format!("the log filter {filter:?} (setting log) cannot be read: {error}"))
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A line that cannot be written would be told on standard error, too, and the process die of that.
    let log = log.log_internal_errors(false).with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    if json {
        log.json().with_current_span(true).init();
    } else {
        log.with_target(true).init();
    }
    Ok(())
}

/// Starts the log as the configuration says.
pub(super) fn configured(config: &Config) -> anyhow::Result<()> {
    start(&config.log, config.log_json)
}
