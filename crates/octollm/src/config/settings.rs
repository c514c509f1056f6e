//! The table of settings, and the configuration that is read from it.

use super::{
    ArmTls, ConfigError, Kept, ModelServer, Origin, PortTls, Role, Sources, kept, models,
    role::{self, BUILT},
};
use crate::taken;
use octollm_access::ApiKey;
use octollm_arms::LOANS_MAX;
use octollm_client::http::BadBase;
use octollm_contract::{ArmName, Millis};
use octollm_orchestrator::http::STREAMS_MAX;
use octollm_store::postgres::{ReplicaTargets, Target};
use std::{collections::BTreeSet, fmt::Display, net::SocketAddr, path::PathBuf, str::FromStr};
use tracing_subscriber::EnvFilter;

/// A worker process does so many steps at once at most.
const SLOTS_MAX: u16 = 256;
/// Over one connection go its steps, its questions, and what keeps its leases alive.
const _: () = assert!(STREAMS_MAX as usize >= LOANS_MAX + SLOTS_MAX as usize + 64);

/// One setting: parser, help, `config show` and the reference page follow from it.
pub(crate) struct Setting {
    /// Its name in the file.
    pub(crate) key: &'static str,
    /// Its variable.
    pub(crate) variable: &'static str,
    /// Its value when nobody sets it.
    pub(crate) default: &'static str,
    /// What it means.
    pub(crate) meaning: &'static str,
    /// Its value is not shown.
    pub(crate) secret: bool,
}

impl Setting {
    pub(crate) const fn variable(&self) -> &'static str {
        self.variable
    }
}

/// Whether a value may be printed.
enum Value {
    Open,
    Secret,
}

macro_rules! settings {
    ($($key:literal $variable:literal = $default:literal, $meaning:literal, $shown:ident;)+) => {
        /// Every setting there is.
        pub(crate) const SETTINGS: &[Setting] = &[$(Setting {
            key: $key,
            variable: $variable,
            default: $default,
            meaning: $meaning,
            secret: matches!(Value::$shown, Value::Secret),
        }),+];
    };
}

settings! {
    "data" "OCTOLLM_DATA" = "", "The data folder: tasks, keys, artefacts. Empty: octollm below $XDG_DATA_HOME, or ~/.local/share", Open;
    "artefacts" "OCTOLLM_ARTEFACTS" = "", "Where artefacts are: a folder, or s3://bucket/prefix at any store that speaks S3's protocol. Empty: artefacts in the data folder. Servers that share a database must share it", Open;
    "s3_endpoint" "OCTOLLM_S3_ENDPOINT" = "", "The address of the store of s3://, such as https://s3.example.com or http://127.0.0.1:9000. Empty: Amazon's in s3_region", Open;
    "s3_region" "OCTOLLM_S3_REGION" = "us-east-1", "The region that requests to the store of s3:// are signed for", Open;
    "s3_access_key" "OCTOLLM_S3_ACCESS_KEY" = "", "The access key's id at the store of s3://", Secret;
    "s3_secret_key" "OCTOLLM_S3_SECRET_KEY" = "", "The access key's secret", Secret;
    "role" "OCTOLLM_ROLE" = "all", "What `serve` is: all, orchestrator, or arms such as arm:executor,arm:judge", Open;
    "database_url" "OCTOLLM_DATABASE_URL" = "", "PostgreSQL 15 or later, such as postgresql://user:password@host:5432/database, several hosts with commas between. Empty: `serve` keeps its tasks in the data folder", Secret;
    "database_replicas" "OCTOLLM_DATABASE_REPLICAS" = "", "Standbys of database_url that clients' reads may go to, one URL each, such as postgresql://user:password@replica-1/database,postgresql://user:password@replica-2/database", Secret;
    "listen" "OCTOLLM_LISTEN" = "127.0.0.1:8410", "The address that `serve` listens on", Open;
    "internal_listen" "OCTOLLM_INTERNAL_LISTEN" = "", "The address for arms and metrics. Empty: the same as listen", Open;
    "tls_certificate" "OCTOLLM_TLS_CERTIFICATE" = "", "A PEM file: the certificate that listen shows, and those that signed it. Empty: no TLS", Open;
    "tls_key" "OCTOLLM_TLS_KEY" = "", "A PEM file: the private key of tls_certificate", Open;
    "internal_tls_certificate" "OCTOLLM_INTERNAL_TLS_CERTIFICATE" = "", "A PEM file: the certificate that internal_listen shows, and those that signed it. Empty: no TLS", Open;
    "internal_tls_key" "OCTOLLM_INTERNAL_TLS_KEY" = "", "A PEM file: the private key of internal_tls_certificate", Open;
    "internal_tls_clients" "OCTOLLM_INTERNAL_TLS_CLIENTS" = "", "A PEM file of certificates: internal_listen lets in only whom one of them has signed (workers of this machine have a port of their own). Empty: everybody may connect", Open;
    "orchestrators_ca" "OCTOLLM_ORCHESTRATORS_CA" = "", "A PEM file of certificates: an arm believes an https orchestrator only if one of them has signed its. Empty: those that the system trusts", Open;
    "arm_tls_certificate" "OCTOLLM_ARM_TLS_CERTIFICATE" = "", "A PEM file: the certificate that an arm shows to orchestrators", Open;
    "arm_tls_key" "OCTOLLM_ARM_TLS_KEY" = "", "A PEM file: the private key of arm_tls_certificate", Open;
    "orchestrators" "OCTOLLM_ORCHESTRATORS" = "", "Where an arm leases steps: the internal addresses of orchestrators, such as http://10.0.0.1:8412,http://10.0.0.2:8412", Open;
    "arm_key" "OCTOLLM_ARM_KEY" = "", "The key of the role arm that an arm leases with (octo_<id>_<secret>)", Secret;
    "admin_key" "OCTOLLM_ADMIN_KEY" = "", "The first admin key (octo_<id>_<secret>). Empty: the first `serve` makes and prints one", Secret;
    "workers" "OCTOLLM_WORKERS" = "", "Worker processes, such as executor=2,judge=1. Empty: one process for all arms", Open;
    "slots" "OCTOLLM_SLOTS" = "16", "Steps that one worker process does at once; a step that waits long for a model is none of them", Open;
    "lease_ttl" "OCTOLLM_LEASE_TTL" = "15s", "How long a lease lasts without a heartbeat", Open;
    "drain_grace" "OCTOLLM_DRAIN_GRACE" = "25s", "How long a drain may take before what still runs is stopped", Open;
    "retention" "OCTOLLM_RETENTION" = "720h", "How long ended tasks and their artefacts are kept", Open;
    "max_connections" "OCTOLLM_MAX_CONNECTIONS" = "12000", "Open connections; more are answered 503 or refused", Open;
    "artefact_bytes_max" "OCTOLLM_ARTEFACT_BYTES_MAX" = "67108864", "The largest artefact, in bytes; 64 MiB at most", Open;
    "log" "OCTOLLM_LOG" = "warn", "What is logged: error, warn, info, debug, trace, or a filter such as octollm_store=debug", Open;
    "log_format" "OCTOLLM_LOG_FORMAT" = "text", "text or json, on standard error", Open;
    "model_url" "OCTOLLM_MODEL_URL" = "", "An OpenAI-compatible model server, such as http://127.0.0.1:11434/v1. Without any, goals that need a model are refused", Open;
    "model" "OCTOLLM_MODEL" = "", "The model's id. Empty: the first that the server lists", Open;
    "model_key" "OCTOLLM_MODEL_KEY" = "", "The model server's key", Secret;
    "openai_api_key" "OPENAI_API_KEY" = "", "The key at openai_base_url; counts when neither model_url nor [[providers]] is set", Secret;
    "openai_base_url" "OPENAI_BASE_URL" = "https://api.openai.com/v1", "See openai_api_key", Open;
    "anthropic_api_key" "ANTHROPIC_API_KEY" = "", "The key at anthropic_base_url; counts when nothing above is set", Secret;
    "anthropic_base_url" "ANTHROPIC_BASE_URL" = "https://api.anthropic.com", "See anthropic_api_key", Open;
    "prices" "OCTOLLM_PRICES" = "", "A price file in place of the built-in one (docs/models.md)", Open;
}

/// The effective configuration, every value checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The data folder, if one is named.
    pub(crate) data: Option<PathBuf>,
    /// Where artefacts are, if not in the data folder.
    pub(crate) artefacts: Option<Kept>,
    /// What `serve` is.
    pub(crate) role: Role,
    /// The database of `serve`, if its tasks are not in the data folder.
    pub(crate) database: Option<Target>,
    /// Standbys of it that clients' reads may go to.
    pub(crate) replicas: Option<ReplicaTargets>,
    /// Where `serve` listens.
    pub(crate) listen: SocketAddr,
    /// Where it listens for arms, if apart.
    pub(crate) internal_listen: Option<SocketAddr>,
    /// What `listen` shows, if it speaks TLS.
    pub(crate) tls: Option<PortTls>,
    /// The same of `internal_listen`.
    pub(crate) internal_tls: Option<PortTls>,
    /// What an arm trusts and shows.
    pub(crate) arm_tls: ArmTls,
    /// Where an arm leases steps.
    pub(crate) orchestrators: Vec<String>,
    /// What it leases them with.
    pub(crate) arm_key: Option<ApiKey>,
    /// The first admin key.
    pub(crate) admin_key: Option<ApiKey>,
    /// Worker processes.
    pub(crate) workers: Vec<WorkerGroup>,
    /// Steps that one worker process does at once.
    pub(crate) slots: u16,
    /// How long a lease lasts without a heartbeat.
    pub(crate) lease_ttl: Millis,
    /// How long a drain may take.
    pub(crate) drain_grace: Millis,
    /// How long ended tasks are kept.
    pub(crate) retention: Millis,
    /// Open connections.
    pub(crate) max_connections: u32,
    /// The largest artefact.
    pub(crate) artefact_bytes_max: u64,
    /// The log's filter.
    pub(crate) log: String,
    /// The log as JSON lines.
    pub(crate) log_json: bool,
    /// The model servers, the preferred one first.
    pub(crate) model_servers: Vec<ModelServer>,
    /// The price file, if not the built-in one.
    pub(crate) prices: Option<PathBuf>,
}

/// The arms that one worker process serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkerGroup {
    /// The arms; steps of each are leased.
    pub(crate) arms: BTreeSet<ArmName>,
}

/// The arms that can do something: without a model nobody plans or writes code.
const fn built_arms(with_models: bool) -> &'static [ArmName] {
    if with_models { BUILT } else { &[ArmName::Executor, ArmName::Judge] }
}

/// A machine does not get more worker processes.
const WORKERS_MAX: usize = 64;
/// What a worker can hand over in one request.
const ARTEFACT_BYTES_CAP: u64 = 64 << 20;

impl Config {
    /// Checks every value; the error names the first that cannot be read.
    pub(crate) fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let length = |key: &'static str, least: Millis, most: Millis| -> Result<Millis, ConfigError> {
            let length: Millis = parsed(sources, key)?;
            let fits = (least..=most).contains(&length);
            if fits {
                Ok(length)
            } else {
                Err(invalid(sources, key, format!("it must lie between {least} and {most}")))
            }
        };
        let model_servers = models::servers(sources, |name| std::env::var(name).ok())?;
        let role: Role = parsed(sources, "role")?;
        nothing_ignored(sources, &role)?;
        let orchestrators = orchestrators(sources)?;
        Ok(Config {
            data: optional(sources, "data").map(PathBuf::from),
            artefacts: kept::kept(sources, &role)?,
            role,
            database: given(sources, "database_url")?,
            replicas: replicas(sources)?,
            listen: listening(sources, "listen")?.map_or_else(|| parsed(sources, "listen"), Ok)?,
            internal_listen: listening(sources, "internal_listen")?,
            tls: PortTls::public(sources)?,
            internal_tls: PortTls::internal(sources)?,
            arm_tls: ArmTls::of(sources, &orchestrators)?,
            orchestrators,
            arm_key: given(sources, "arm_key")?,
            admin_key: given(sources, "admin_key")?,
            workers: worker_groups(sources, built_arms(!model_servers.is_empty()))?,
            slots: bounded(sources, "slots", 1, SLOTS_MAX)?,
            lease_ttl: length("lease_ttl", Millis::from_secs(3), Millis::from_secs(600))?,
            drain_grace: length("drain_grace", Millis::from_secs(1), Millis::from_secs(3600))?,
            retention: length("retention", Millis::from_secs(60), Millis::from_secs(10 * 365 * 86_400))?,
            max_connections: bounded(sources, "max_connections", 1, 1_000_000)?,
            artefact_bytes_max: bounded(sources, "artefact_bytes_max", 1024, ARTEFACT_BYTES_CAP)?,
            log: log_filter(sources)?,
            log_json: one_of(sources, "log_format", &["text", "json"])? == 1,
            model_servers,
            prices: optional(sources, "prices").map(PathBuf::from),
        })
    }
}

/// A flag of this very call that its role has no use for is a mistake. A file and an environment may be
/// shared by the parts of a system.
fn nothing_ignored(sources: &Sources, role: &Role) -> Result<(), ConfigError> {
    let (unused, why): (&[&'static str], _) = match role {
        Role::All => (&[], ""),
        Role::Orchestrator => {
            (&["workers"], "an orchestrator has no workers: its arms come over the network")
        }
        Role::Arms(_) => (
            &["listen", "internal_listen", "workers"],
            "an arm listens nowhere and is one worker process: it leases from orchestrators (setting orchestrators); \
             slots says how many steps it does at once",
        ),
    };
    let flagged = unused.iter().find(|key| matches!(sources.get(key).1, Origin::Flag(_)));
    flagged.map_or(Ok(()), |key| Err(invalid(sources, key, why.to_owned())))
}

pub(super) fn invalid(sources: &Sources, key: &'static str, why: String) -> ConfigError {
    let (value, origin) = sources.get(key);
    let secret = SETTINGS.iter().any(|s| s.key == key && s.secret);
    let value = if secret { "…".to_owned() } else { models::shown_url(value) };
    ConfigError::Invalid { origin: origin.clone(), key, value, why }
}

/// A setting is empty that is needed, for the reason that `needed_by` tells.
pub(super) fn missing(sources: &Sources, key: &'static str, needed_by: String) -> ConfigError {
    let setting = SETTINGS.iter().find(|setting| setting.key == key);
    match (sources.get(key).1, setting) {
        // Where it stands empty is the place to look at.
        (Origin::File(_) | Origin::Variable(_) | Origin::Flag(_), _) | (Origin::Default, None) => {
            invalid(sources, key, format!("it is empty, and {needed_by}"))
        }
        (Origin::Default, Some(setting)) => {
            let (first, rest) = setting.meaning.split_at(1);
            let meaning = format!("{}{rest}", first.to_lowercase());
            ConfigError::NotSet { key, variable: setting.variable, meaning, needed_by }
        }
    }
}

pub(super) fn optional<'a>(sources: &'a Sources, key: &'static str) -> Option<&'a str> {
    Some(sources.get(key).0).filter(|text| !text.is_empty())
}

/// What a setting says that may be empty.
pub(super) fn given<T: FromStr<Err: Display>>(
    sources: &Sources,
    key: &'static str,
) -> Result<Option<T>, ConfigError> {
    optional(sources, key).map(|_| parsed(sources, key)).transpose()
}

/// The replicas, which are nothing without what they are replicas of.
fn replicas(sources: &Sources) -> Result<Option<ReplicaTargets>, ConfigError> {
    let replicas = given(sources, "database_replicas")?;
    if replicas.is_some() && optional(sources, "database_url").is_none() {
        return Err(invalid(sources, "database_replicas", "database_url names no primary".into()));
    }
    Ok(replicas)
}

fn orchestrators(sources: &Sources) -> Result<Vec<String>, ConfigError> {
    let all = optional(sources, "orchestrators").into_iter().flat_map(|text| text.split(',')).map(str::trim);
    let checked = all.map(|base| match BadBase::check(base) {
        Ok(()) => Ok(base.to_owned()),
        Err(bad) => Err(invalid(sources, "orchestrators", bad.to_string())),
    });
    checked.collect()
}

pub(super) fn parsed<T: FromStr<Err: Display>>(
    sources: &Sources,
    key: &'static str,
) -> Result<T, ConfigError> {
    let text = sources.get(key).0;
    if text.is_empty() {
        let default =
            SETTINGS.iter().find(|setting| setting.key == key).map_or("", |setting| setting.default);
        return Err(invalid(sources, key, format!("it is empty; leave it out to have {default}")));
    }
    text.parse().map_err(|error: T::Err| invalid(sources, key, error.to_string()))
}

/// An address to listen on.
fn listening(sources: &Sources, key: &'static str) -> Result<Option<SocketAddr>, ConfigError> {
    let address = optional(sources, key).map(taken::address);
    address.transpose().map_err(|why| invalid(sources, key, why))
}

/// The filter as it stands, once it can be read.
fn log_filter(sources: &Sources) -> Result<String, ConfigError> {
    let text = sources.get("log").0;
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(invalid(sources, "log", format!("it is no filter: {error}"))),
    }
}

fn bounded<T>(sources: &Sources, key: &'static str, least: T, most: T) -> Result<T, ConfigError>
where
    T: FromStr<Err: Display> + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    match optional(sources, key).map(taken::whole(least, most)) {
        Some(number) => number.map_err(|why| invalid(sources, key, why)),
        None => parsed(sources, key),
    }
}

fn one_of(sources: &Sources, key: &'static str, choices: &[&str]) -> Result<usize, ConfigError> {
    let text = sources.get(key).0;
    let found = choices.iter().position(|choice| *choice == text);
    found.ok_or_else(|| invalid(sources, key, format!("it must be one of {}", choices.join(", "))))
}

/// `executor=2,judge=1` → three processes; arms that are not named share one more, so that no
/// step is left without a worker.
fn worker_groups(sources: &Sources, built: &[ArmName]) -> Result<Vec<WorkerGroup>, ConfigError> {
    let bad = |why: String| invalid(sources, "workers", why);
    let mut groups = Vec::new();
    let mut named = BTreeSet::new();
    for entry in optional(sources, "workers").into_iter().flat_map(|text| text.split(',')) {
        let (arm, count) =
            entry.trim().split_once('=').ok_or_else(|| bad("it must look like executor=2,judge=1".into()))?;
        let arm = role::built(arm.trim()).map_err(|error| bad(error.to_string()))?;
        let count: usize =
            count.trim().parse().map_err(|_| bad(format!("{count:?} is not a number of processes")))?;
        if !named.insert(arm) {
            return Err(bad(format!("{arm} is named twice")));
        }
        if count == 0 || groups.len() + count > WORKERS_MAX {
            return Err(bad(format!(
                "an arm needs at least 1 process, and all together at most {WORKERS_MAX}"
            )));
        }
        groups.extend((0..count).map(|_| WorkerGroup { arms: BTreeSet::from([arm]) }));
    }
    let shared: BTreeSet<ArmName> = built.iter().copied().filter(|arm| !named.contains(arm)).collect();
    if !shared.is_empty() {
        groups.push(WorkerGroup { arms: shared });
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn with(flags: &[(&'static str, &str)]) -> Result<Config, String> {
        let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        let sources = Sources::gather(None, &BTreeMap::new(), &[], &flags).unwrap();
        Config::read(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_valid_and_give_one_shared_worker() {
        let config = with(&[]).unwrap();
        assert_eq!(config.workers, [WorkerGroup { arms: built_arms(false).iter().copied().collect() }]);
    }

    #[test]
    fn a_flag_that_the_role_has_no_use_for_is_refused() {
        for (role, flag, value, part) in [
            ("arm:executor", "listen", "127.0.0.1:1", "listens nowhere"),
            ("arm:executor", "internal_listen", "127.0.0.1:1", "listens nowhere"),
            ("arm:executor", "workers", "executor=2", "one worker process"),
            ("orchestrator", "workers", "executor=2", "no workers"),
        ] {
            let error = with(&[("role", role), (flag, value)]).unwrap_err();
            assert!(error.contains(part) && error.contains(flag), "{error}");
        }
        for (role, flag, value) in
            [("orchestrator", "listen", "127.0.0.1:1"), ("all", "workers", "executor=2")]
        {
            with(&[("role", role), (flag, value)]).unwrap();
        }
    }

    #[test]
    fn named_arms_get_processes_and_the_rest_share_one() {
        let groups = with(&[("workers", "executor=2, coder=1")]).unwrap().workers;
        let arms: Vec<Vec<&str>> =
            groups.iter().map(|g| g.arms.iter().map(|a| a.as_str()).collect()).collect();
        assert_eq!(arms, [vec!["executor"], vec!["executor"], vec!["coder"], vec!["judge"]]);
    }

    #[test]
    fn a_value_that_cannot_be_read_names_its_place() {
        let cases = [
            (
                "listen",
                "here",
                "flag --listen: listen = \"here\": an IP address and a port are taken, such as 127.0.0.1:8410 or [::1]:8410",
            ),
            ("slots", "", "flag --slots: slots = \"\": it is empty; leave it out to have 16"),
            (
                "log",
                "octollm=loud",
                "flag --log: log = \"octollm=loud\": it is no filter: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
            ),
            ("slots", "0", "flag --slots: slots = \"0\": a whole number from 1 to 256 is taken"),
            ("slots", "abc", "flag --slots: slots = \"abc\": a whole number from 1 to 256 is taken"),
            (
                "lease_ttl",
                "1 s",
                "flag --lease-ttl: lease_ttl = \"1 s\": \"1 s\" is not a length of time such as 500ms, 30s, 5m or 2h (a bare number is seconds)",
            ),
            (
                "workers",
                "boss=1",
                "flag --workers: workers = \"boss=1\": \"boss\" is not one of planner, executor, coder, judge",
            ),
            (
                "workers",
                "guardian=1",
                "flag --workers: workers = \"guardian=1\": \"guardian\" is not one of planner, executor, coder, judge",
            ),
            (
                "workers",
                "executor=0",
                "flag --workers: workers = \"executor=0\": an arm needs at least 1 process, and all together at most 64",
            ),
            (
                "artefact_bytes_max",
                "67108865",
                "flag --artefact-bytes-max: artefact_bytes_max = \"67108865\": a whole number from 1024 to 67108864 is taken",
            ),
            ("log_format", "xml", "flag --log-format: log_format = \"xml\": it must be one of text, json"),
        ];
        for (key, value, wanted) in cases {
            assert_eq!(with(&[(key, value)]).unwrap_err(), wanted);
        }
    }

    #[test]
    fn a_secret_is_not_in_an_error() {
        for (key, value) in [
            ("s3_endpoint", "http://u:hunter2@host:1"),
            ("s3_endpoint", "http://host:1/?token=hunter2"),
            ("orchestrators", "http://u:hunter2@host:1"),
        ] {
            let arm = [("role", "arm:executor"), ("arm_key", "octo_a_b"), (key, value)];
            let stored =
                [("artefacts", "s3://abc"), ("s3_access_key", "a"), ("s3_secret_key", "b"), (key, value)];
            let error = with(if key == "orchestrators" { &arm } else { &stored }).unwrap_err();
            assert!(error.contains(key) && !error.contains("hunter2"), "{error}");
        }
        let stored = [("artefacts", "s3://abc"), ("s3_access_key", "hunter2")];
        assert!(!with(&stored).unwrap_err().contains("hunter2"));
        for (key, value) in [
            ("admin_key", "hunter2"),
            ("database_url", "mysql://octo:hunter2@host/tasks"),
            ("database_replicas", "postgresql://octo:hunter2@host/tasks"),
            (
                "database_replicas",
                "postgresql://octo:hunter2@host/tasks,postgresql://octo:hunter2@host/tasks",
            ),
        ] {
            let error = with(&[(key, value)]).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn replicas_need_a_primary_and_their_own_urls() {
        let replica = ("database_replicas", "postgresql://octo:hunter2@two:5433/tasks");
        let primary = ("database_url", "postgresql://octo:hunter2@one/tasks");
        assert_eq!(
            with(&[replica, primary]).unwrap().replicas.unwrap().to_string(),
            "postgresql://two:5433/tasks"
        );
        let error = with(&[replica]).unwrap_err();
        assert!(
            error.contains("database_replicas") && error.contains("database_url names no primary"),
            "{error}"
        );
        let error = with(&[primary, ("database_replicas", "two:5433")]).unwrap_err();
        assert!(error.contains("database_replicas") && error.contains("number 1 cannot be used"), "{error}");
    }
}
