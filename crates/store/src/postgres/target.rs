//! Which servers: a PostgreSQL URL, with several hosts if there are standbys.
//!
//! `postgresql://user:password@one:5432,two:5432/database`. Each host is tried by itself and with a
//! bound, the one that worked last first: a host that hangs must not keep the others from being
//! asked. Only a server that can be written to is taken, whatever the URL says.
//!
//! The connection is not encrypted: a URL that demands it is refused, not silently relaxed.

use std::{fmt, str::FromStr, time::Duration};
use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

/// How long one host may take until a session stands.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// When a host that was cut off is noticed: after idle + retries × interval.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(1);
const KEEPALIVE_RETRIES: u32 = 2;
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(3);

/// The servers of one database, one of which can be written to.
#[derive(Clone)]
pub struct Target {
    hosts: Vec<Config>,
}

/// A URL that names no database that could be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTarget {
    /// It is no URL of PostgreSQL.
    #[error("it is no PostgreSQL URL such as postgresql://user:password@host:5432/database: {0}")]
    NotAUrl(String),
    /// It names no host.
    #[error("it names no host")]
    NoHost,
    /// It demands an encrypted connection.
    #[error(
        "sslmode=require is asked for, and connections to the database are not encrypted yet; leave it out only where the network is trusted"
    )]
    NeedsTls,
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(url: &str) -> Result<Self, InvalidTarget> {
        let config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
            InvalidTarget::NotAUrl(format!("{error}{cause}"))
        })?;
        match config.get_ssl_mode() {
            SslMode::Disable | SslMode::Prefer => {}
            _ => return Err(InvalidTarget::NeedsTls),
        }
        let ports = config.get_ports();
        let hosts: Vec<Config> = config
            .get_hosts()
            .iter()
            .enumerate()
            .map(|(at, host)| one(&config, host, ports.get(at).or(ports.first()).copied()))
            .collect();
        if hosts.is_empty() { Err(InvalidTarget::NoHost) } else { Ok(Target { hosts }) }
    }
}

/// The settings of `all` for one of its hosts.
fn one(all: &Config, host: &Host, port: Option<u16>) -> Config {
    let mut config = Config::new();
    match host {
        Host::Tcp(name) => config.host(name),
        Host::Unix(path) => config.host_path(path),
    };
    if let Some(port) = port {
        config.port(port);
    }
    if let Some(user) = all.get_user() {
        config.user(user);
    }
    if let Some(password) = all.get_password() {
        config.password(password);
    }
    if let Some(database) = all.get_dbname() {
        config.dbname(database);
    }
    if let Some(options) = all.get_options() {
        config.options(options);
    }
    config
        .ssl_mode(SslMode::Disable)
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .connect_timeout(CONNECT_WITHIN)
        .tcp_user_timeout(UNACKNOWLEDGED_MAX)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_IDLE)
        .keepalives_retries(KEEPALIVE_RETRIES)
        .clone()
}

impl Target {
    /// How many hosts there are.
    pub(super) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Where the host `at` is, its session called `name`.
    pub(super) fn host(&self, at: usize, name: &str) -> Config {
        let mut config = self.hosts[at % self.hosts.len()].clone();
        config.application_name(name);
        config
    }

    /// How long one host may take until a session stands.
    pub(super) const fn within() -> Duration {
        CONNECT_WITHIN
    }
}

/// Hosts and database; never a password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.hosts.first().and_then(Config::get_dbname).unwrap_or_default();
        write!(f, "postgresql://")?;
        for (at, config) in self.hosts.iter().enumerate() {
            let gap = if at == 0 { "" } else { "," };
            match config.get_hosts().first() {
                Some(Host::Tcp(name)) => write!(f, "{gap}{name}")?,
                Some(Host::Unix(path)) => write!(f, "{gap}{}", path.display())?,
                None => {}
            }
            if let Some(port) = config.get_ports().first() {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{database}")
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_keeps_its_port_and_nothing_shows_the_password() {
        let url = "postgresql://octo:s3cret@one:5433,two:5434/tasks?connect_timeout=9";
        let target: Target = url.parse().unwrap();
        assert_eq!(target.to_string(), "postgresql://one:5433,two:5434/tasks");
        assert!(!format!("{target:?}").contains("s3cret"));
        assert_eq!(target.host(1, "x").get_ports(), [5434]);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for (url, wanted) in [
            ("postgresql://h/d?sslmode=require", "sslmode=require"),
            ("postgresql://h/d?sslmode=verify-full", "no PostgreSQL URL"),
            ("mysql://h/d", "no PostgreSQL URL"),
            ("postgresql:///d", "names no host"),
        ] {
            let error = url.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(wanted), "{url}: {error}");
        }
    }
}
