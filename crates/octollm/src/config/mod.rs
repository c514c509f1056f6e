//! Configuration: a file, the environment and flags, in this order; the last one that names a
//! setting wins.
//!
//! Promises: every setting stands in one table ([`SETTINGS`]) with its name, variable,
//! default and meaning; each effective value knows where it came from; an unknown name is an
//! error that suggests the nearest known one; a value that cannot be read names its place.

mod error;
mod kept;
mod models;
mod role;
mod settings;
mod shown;
mod source;
mod tls;

pub(crate) use error::ConfigError;
pub(crate) use kept::Kept;
pub(crate) use models::{ModelServer, ServerKey, shown_url};
#[cfg(test)]
pub(crate) use role::BUILT;
pub(crate) use role::Role;
pub(crate) use settings::{Config, SETTINGS, WorkerGroup};
pub(crate) use shown::Shown;
pub(crate) use source::{Origin, Sources};
pub(crate) use tls::{ArmTls, BadFile, Named, PortTls, TlsFiles};

/// Whether a setting has this variable.
pub(crate) fn is_variable(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.variable() == name)
}
