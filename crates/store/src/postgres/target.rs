//! Which servers: a PostgreSQL URL, with several hosts if there are standbys.
//!
//! `postgresql://user:password@one:5432,two:5432/database`. Each host is tried by itself and with a
//! bound, the one that worked last first: a host that hangs must not keep the others from being
//! asked. Only a server that can be written to is taken, whatever the URL says.
//!
//! What a URL says of encryption (`sslmode`, `sslrootcert`) holds for all of its hosts, see [`super::tls`].

use super::tls::{Encryption, Tls};
use std::{fmt, str::FromStr, time::Duration};
use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

/// How long one host may take until a session stands.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// When a host that was cut off is noticed: after idle + retries × interval.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(1);
const KEEPALIVE_RETRIES: u32 = 2;
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(3);
/// An orchestrator has four connections to each.
const REPLICAS_MAX: usize = 16;

/// The servers of one database, one of which can be written to.
#[derive(Clone)]
pub struct Target {
    hosts: Vec<Config>,
    tls: Tls,
}

/// Standbys that reads may go to: URLs with commas between, each of one host.
#[derive(Clone, Debug, Default)]
pub struct ReplicaTargets(Vec<Target>);

impl ReplicaTargets {
    pub(super) fn all(&self) -> &[Target] {
        &self.0
    }
}

impl FromStr for ReplicaTargets {
    type Err = InvalidReplicas;

    fn from_str(urls: &str) -> Result<Self, InvalidReplicas> {
        let mut all: Vec<Target> = Vec::new();
        for (number, url) in (1..).zip(urls.split(',')) {
            let mut target: Target = url.trim().parse().map_err(|why| match why {
                InvalidTarget::NotAUrl(_) => InvalidReplicas::NotAUrl { number },
                InvalidTarget::NoHost
                | InvalidTarget::UnknownMode
                | InvalidTarget::Roots { .. }
                | InvalidTarget::RootsUnused(_)
                | InvalidTarget::NoRoots
                | InvalidTarget::WeakWithSystem
                | InvalidTarget::Unsupported(_) => InvalidReplicas::Invalid { number, why },
            })?;
            let place = target.place();
            if all.iter().any(|other| other.place() == place) {
                return Err(InvalidReplicas::Twice(place));
            }
            // What has become of it is looked at, not demanded.
            for config in &mut target.hosts {
                config.target_session_attrs(TargetSessionAttrs::Any);
            }
            all.push(target);
        }
        if all.len() > REPLICAS_MAX { Err(InvalidReplicas::TooMany) } else { Ok(ReplicaTargets(all)) }
    }
}

/// Where the replicas are.
impl fmt::Display for ReplicaTargets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, target) in self.0.iter().enumerate() {
            write!(f, "{}{target}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// URLs that name no replicas.
#[derive(Debug, thiserror::Error)]
pub enum InvalidReplicas {
    /// One of them is none. What is wrong is not told: it may be part of a password.
    #[error(
        "number {number} cannot be used: it is no PostgreSQL URL of one host (a comma ends a URL; one in a password is written %2C)"
    )]
    NotAUrl {
        /// Which, from 1.
        number: usize,
    },
    /// One of them cannot be used.
    #[error("number {number} cannot be used (each URL names one host, a comma ends it): {why}")]
    Invalid {
        /// Which, from 1.
        number: usize,
        /// Why.
        why: InvalidTarget,
    },
    /// Two are one.
    #[error("{0} is named twice")]
    Twice(String),
    /// More than can be watched.
    #[error("at most {REPLICAS_MAX} are taken")]
    TooMany,
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
    /// It asks for a kind of encryption that there is not.
    #[error("sslmode must be one of disable, prefer, require, verify-ca, verify-full")]
    UnknownMode,
    /// The certificates that servers are checked by cannot be used.
    #[error("the certificates of sslrootcert, {path}, cannot be used: {why}")]
    Roots {
        /// Where they are.
        path: String,
        /// Why not.
        why: String,
    },
    /// Nothing would be checked by them.
    #[error("sslrootcert is given, and no server's certificate is checked by it: {0}")]
    RootsUnused(&'static str),
    /// Whom the system trusts is not whom this database belongs to.
    #[error("sslmode=verify-ca needs sslrootcert, a PEM file of the certificates that signed the server's")]
    NoRoots,
    /// Anybody can have a certificate that the system trusts, for another name.
    #[error("sslrootcert=system is of use only with sslmode=verify-full")]
    WeakWithSystem,
    /// What libpq can and this cannot.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(url: &str) -> Result<Self, InvalidTarget> {
        let begins = |scheme: &str| url.starts_with(scheme);
        if !begins("postgresql://")
            && !begins("postgres://")
            && url.split_once('=').is_none_or(|(name, _)| name.contains("://"))
        {
            return Err(InvalidTarget::NotAUrl("it does not begin with postgresql://".to_owned()));
        }
        let (encryption, url) = Encryption::taken_from(url)?;
        let config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
            InvalidTarget::NotAUrl(format!("{error}{cause}"))
        })?;
        // Words in place of a URL are not looked through for it.
        if config.get_ssl_mode() == SslMode::Require {
            return Err(InvalidTarget::Unsupported("sslmode outside of a URL"));
        }
        let ports = config.get_ports();
        let hosts: Vec<Config> = config
            .get_hosts()
            .iter()
            .enumerate()
            .map(|(at, host)| one(&config, host, ports.get(at).or(ports.first()).copied(), encryption.mode))
            .collect();
        if hosts.is_empty() { Err(InvalidTarget::NoHost) } else { Ok(Target { hosts, tls: encryption.tls }) }
    }
}

/// The settings of `all` for one of its hosts.
fn one(all: &Config, host: &Host, port: Option<u16>, mode: SslMode) -> Config {
    let mut config = Config::new();
    // As libpq: what goes through a socket of this machine is not encrypted.
    let mode = if matches!(host, Host::Unix(_)) { SslMode::Disable } else { mode };
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
        .ssl_mode(mode)
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

    /// Whether the host `at` answers anybody, if only to refuse.
    pub(super) async fn answers(&self, at: usize) -> bool {
        let mut probe = self.host(at, "octollm probe");
        // One that only reads by now answers, too.
        probe.target_session_attrs(TargetSessionAttrs::Any);
        match tokio::time::timeout(CONNECT_WITHIN, probe.connect(self.tls())).await {
            Ok(Ok(_connected)) => true,
            Ok(Err(error)) => error.as_db_error().is_some(),
            Err(_elapsed) => false,
        }
    }

    /// How connections to its hosts are encrypted, where they are.
    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Where its hosts are: names and ports.
    pub(super) fn place(&self) -> String {
        self.hosts.iter().map(host_and_port).collect::<Vec<_>>().join(",")
    }

    /// How long one host may take until a session stands.
    pub(super) const fn within() -> Duration {
        CONNECT_WITHIN
    }
}

/// Where a host is: its name and port.
fn host_and_port(config: &Config) -> String {
    let name = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    };
    match config.get_ports().first() {
        Some(port) => format!("{name}:{port}"),
        None => name,
    }
}

/// Hosts and database; never a password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.hosts.first().and_then(Config::get_dbname).unwrap_or_default();
        write!(f, "postgresql://{}/{database}", self.place())
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
    fn what_is_no_url_of_postgresql_is_told_how_one_begins() {
        for other in ["mysql://octo@host/tasks", "mysql://octo@host/tasks?a=b", "host:5432", "tasks"] {
            let told = other.parse::<Target>().unwrap_err().to_string();
            assert!(told.ends_with("/database: it does not begin with postgresql://"), "{told}");
        }
        assert!("host=one user=octo".parse::<Target>().is_ok());
    }

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
            ("host=h sslmode=require", "outside of a URL"),
            ("host=h sslmode=verify-full", "no PostgreSQL URL"),
            ("postgresql://h/d?sslmode=verify-ca", "sslrootcert"),
            ("mysql://h/d", "no PostgreSQL URL"),
            ("postgresql:///d", "names no host"),
        ] {
            let error = url.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(wanted), "{url}: {error}");
        }
    }

    #[test]
    fn replicas_are_named_one_by_one() {
        let urls = "postgresql://octo:s3cret@one:5433/tasks, postgresql://octo:s3cret@two/tasks";
        let replicas: ReplicaTargets = urls.parse().unwrap();
        assert_eq!(replicas.to_string(), "postgresql://one:5433/tasks,postgresql://two:5432/tasks");
        let places: Vec<_> = replicas.all().iter().map(Target::place).collect();
        assert_eq!(places, ["one:5433", "two:5432"]);
        for (urls, wanted) in [
            ("postgresql://u:s3cret@h:1/d,", "number 2 cannot be used"),
            ("postgresql://u:x,s3cret@h:1/d", "cannot be used"),
            ("postgresql://u:s3cret@h:1,i:2/d", "number 2 cannot be used"),
            ("postgresql://u:s3cret@h:1/d,postgresql://v@h:1/e", "h:1 is named twice"),
            ("postgresql://u:s3cret@h:1/d?sslmode=verify-ca", "number 1 cannot be used"),
            ("", "number 1 cannot be used"),
        ] {
            let error = urls.parse::<ReplicaTargets>().unwrap_err().to_string();
            assert!(error.contains(wanted) && !error.contains("s3cret"), "{urls}: {error}");
        }
        let many: Vec<_> = (0..17).map(|n| format!("postgresql://h{n}/d")).collect();
        assert!(many.join(",").parse::<ReplicaTargets>().unwrap_err().to_string().contains("at most 16"));
    }
}
