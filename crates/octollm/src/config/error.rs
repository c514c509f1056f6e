//! What is wrong with a configuration, and where.

use super::Origin;
use std::path::PathBuf;

/// One fault of the configuration. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Reading it could wait for ever.
    #[error("the configuration file {path} is {what}, not a file")]
    NoFile {
        /// Which.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The file is not TOML.
    #[error("the configuration file {path} is not TOML: {message}")]
    NotToml {
        /// Which.
        path: PathBuf,
        /// Line, column and reason.
        message: String,
    },
    /// A variable is no text. Passed over, it would be taken for unset.
    #[error("the environment's {variable} is not UTF-8")]
    NotText {
        /// Which.
        variable: String,
    },
    /// No setting has this name.
    #[error("{origin}: there is no setting {name}{}", nearest.as_ref().map_or(String::new(), |n| format!("; did you mean {n}?")))]
    Unknown {
        /// Where it stands.
        origin: String,
        /// The name.
        name: String,
        /// The nearest one that exists.
        nearest: Option<String>,
    },
    /// A setting that another one needs is not set.
    #[error("{key} is not set (variable {variable}), and {needed_by}; it is {meaning}")]
    NotSet {
        /// The setting.
        key: &'static str,
        /// Its variable.
        variable: &'static str,
        /// What it means.
        meaning: String,
        /// What needs it.
        needed_by: String,
    },
    /// A value cannot be read.
    #[error("{origin}: {key} = {value:?}: {why}")]
    Invalid {
        /// Where it stands.
        origin: Origin,
        /// The setting.
        key: &'static str,
        /// The value as written.
        value: String,
        /// What is taken there.
        why: String,
    },
}
