//! `octollm serve` but for arms: HTTP API, sweeper, retention, on one data folder; its tasks in that
//! folder, or in a database that other orchestrators use, too. All in one, the supervisor of the worker
//! processes as well.

use super::{data, label, log, models, renewal, runtime, signals, worker::Order};
use crate::{
    config::{Config, PortTls, Role, WorkerGroup},
    show,
};
use anyhow::Context;
use octollm_access::{ApiKey, Policy};
use octollm_contract::{KeyId, Millis, WorkerId};
use octollm_orchestrator::{
    App, Retention, RetentionSettings, RingKeeper, Sweeper,
    http::{Entrance, Metrics, Port, Server, ServerSettings},
};
use octollm_plan::rules::Place;
use octollm_store::{Gone, Lost, Store, sqlite::Durability};
use octollm_supervisor::{Happening, OrderError, Orders, Program, Supervisor};
use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// A worker may take this much longer than its grace before it is killed.
const KILL_AFTER: Millis = Millis::from_secs(5);
/// How long model calls may still take once the workers are gone; their answers are kept.
const CALLS_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

pub(super) fn serve(config: Config) -> anyhow::Result<ExitCode> {
    log::configured(&config)?;
    runtime(2)?.block_on(serving(config))
}

async fn serving(config: Config) -> anyhow::Result<ExitCode> {
    let shutdown = signals::shutdown()?;
    let folder = data::folder(&config)?;
    // A client's folder is not the server's: relative paths and `~` mean nothing here.
    let models = models::configured(&config, models::Unlisted::Warn).await?;
    let storage = match &config.database {
        Some(target) => data::Storage::Database(target.clone(), config.replicas.clone()),
        None => data::Storage::Folder(Durability::Full),
    };
    let (app, store, _owner) = data::open(&folder, storage, Place::default(), &config, models).await?;
    let gone = match config.role {
        // In a store of its own whoever held a lease was a worker of an earlier process: it is gone.
        Role::All => Gone::All,
        // Arms on other machines have outlived it; the leases of those that have not run out.
        Role::Orchestrator | Role::Arms(_) => Gone::Callers,
    };
    let mut lost =
        store.take_over(gone).await.context("what an earlier process left under way cannot be ended")?;
    let label = label::draw();
    if let (Role::All, Some(_)) = (&config.role, &config.database) {
        if let Some(label) = label::of_the_last(&folder)? {
            let label = octollm_supervisor::names_begin_with(&label);
            let with_it = store.lose(Lost::WorkersOf { label }).await;
            lost.lapsed += with_it.context("leases of an earlier process cannot be ended")?.lapsed;
        }
        label::keep(&folder, &label)?;
    }
    if lost.presumed > 0 {
        tracing::warn!(
            calls = lost.presumed,
            tasks = ?lost.presumed_of,
            "model calls of an earlier process count as spent, all that was held for them"
        );
    }
    if lost.lapsed > 0 {
        tracing::info!(steps = lost.lapsed, "leases of an earlier process were ended");
    }
    // A key is shown once: not before it is known that the server can start.
    let listeners = Listeners::bind(&config).await?;
    first_key(&app, &config).await?;
    app.share_ring().await.context("the keys of step tokens cannot be read")?;
    let (address, internal, workers_at) = (listeners.public, listeners.internal, listeners.workers);

    let sweeper = Sweeper::start(Arc::clone(&app));
    let retention = Retention::start(
        Arc::clone(&app),
        RetentionSettings { keep: config.retention, ..RetentionSettings::default() },
    );
    // The server outlives the workers: their last reports must be heard.
    let closed = CancellationToken::new();
    let settings =
        ServerSettings { connections_max: config.max_connections as usize, ..ServerSettings::default() };
    sweeper.finds().add(&lost);
    let metrics = Metrics::new(sweeper.finds());
    let keeper = RingKeeper::start(Arc::clone(&app));
    let mut serving = tokio::spawn(listeners.serve(Arc::clone(&app), metrics, settings, closed.clone()));
    let mut workers = match config.role {
        Role::All => {
            let scratch = fresh_scratch(&folder)?;
            supervise(&app, &store, &config, (workers_at, scratch), label, shutdown.clone())?
        }
        Role::Orchestrator | Role::Arms(_) => tokio::spawn(shutdown.clone().cancelled_owned()),
    };
    let scheme = |tls: bool| if tls { "https" } else { "http" };
    let public = format!("{}://{address}", scheme(config.tls.is_some()));
    show::line(&format!("octollm listens on {public}"));
    if internal != address {
        show::line(&format!("arms and metrics: {}://{internal}", scheme(config.internal_tls.is_some())));
    }
    if workers_at != internal {
        show::line(&format!("workers of this machine: http://{workers_at}"));
    }
    if let Some(target) = &config.database {
        show::line(&format!("tasks in {target}"));
        if let Some(replicas) = &config.replicas {
            show::line(&format!("reads from {replicas}"));
        }
    }
    show::line(&format!("data folder: {}; API description: {public}/openapi.json", folder.display()));

    let ended = tokio::select! {
        // Whoever ends because of it has not ended by itself.
        biased;
        () = shutdown.cancelled() => None,
        how = &mut serving => Some(Part::Server(how)),
        how = &mut workers => Some(Part::Supervisor(how)),
    };
    show::note("draining");
    app.drain();
    // Tells the supervisor, if no signal has.
    shutdown.cancel();
    let workers = match &ended {
        Some(Part::Supervisor(_)) => Ok(()),
        Some(Part::Server(_)) | None => workers.await,
    };
    app.settle_calls(CALLS_WITHIN).await;
    closed.cancel();
    let server = match &ended {
        Some(Part::Server(_)) => Ok(()),
        Some(Part::Supervisor(_)) | None => serving.await,
    };
    keeper.stop().await;
    retention.stop().await;
    sweeper.stop().await;
    // What ended first is why the rest had to.
    match ended {
        Some(Part::Server(how)) => {
            how.context("the server failed")?;
            anyhow::bail!("the server ended without being told to");
        }
        Some(Part::Supervisor(how)) => {
            how.context("the supervisor failed")?;
            anyhow::bail!("the supervisor ended without being told to");
        }
        None => {}
    }
    workers.context("the supervisor failed")?;
    server.context("the server failed")?;
    Ok(ExitCode::SUCCESS)
}

/// What ran ahead of its end, and how it ended.
enum Part {
    Server(Result<(), JoinError>),
    Supervisor(Result<(), JoinError>),
}

/// The ports, open.
struct Listeners {
    public: SocketAddr,
    /// Where arms come in: the same where there is no port of their own.
    internal: SocketAddr,
    /// Where worker processes of this machine come in.
    workers: SocketAddr,
    ports: Vec<(Port, Entrance)>,
}

impl Listeners {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        let bind = async |address: SocketAddr, setting: &str, tls: Option<&PortTls>| {
            let tls = tls.cloned().map(renewal::watched).transpose()?;
            let bound = TcpListener::bind(address).await;
            let bound =
                bound.with_context(|| format!("{address} cannot be listened on (setting {setting})"))?;
            let address = bound.local_addr()?;
            let entrance = match tls {
                Some(shown) => Entrance::Tls(bound, shown),
                None => Entrance::Plain(bound),
            };
            anyhow::Ok((address, entrance))
        };
        let (public, entrance) = bind(config.listen, "listen", config.tls.as_ref()).await?;
        let (internal, mut ports, tls) = match config.internal_listen {
            None => (public, vec![(Port::Whole, entrance)], &config.tls),
            Some(address) => {
                let tls = &config.internal_tls;
                let (internal, apart) = bind(address, "internal_listen", tls.as_ref()).await?;
                (internal, vec![(Port::Public, entrance), (Port::Internal, apart)], tls)
            }
        };
        let mut workers = internal;
        if matches!(config.role, Role::All) && tls.is_some() {
            // The certificate names the machine as others see it; what does not leave it needs none.
            let own = SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
            let (address, entrance) = bind(own, "internal_listen", None).await?;
            workers = address;
            ports.push((Port::Internal, entrance));
        }
        Ok(Listeners { public, internal, workers, ports })
    }

    /// Serves until `closed` and what is under way has ended; ends early, by a panic, when a port does.
    async fn serve(
        self,
        app: Arc<App>,
        metrics: Arc<Metrics>,
        settings: ServerSettings,
        closed: CancellationToken,
    ) {
        let mut serving = JoinSet::new();
        for (port, entrance) in self.ports {
            let until = closed.clone();
            serving.spawn(Server::serve(
                entrance,
                Arc::clone(&app),
                Arc::clone(&metrics),
                port,
                settings,
                until,
            ));
        }
        while let Some(ended) = serving.join_next().await {
            if let Err(panic) = ended {
                std::panic::resume_unwind(panic.into_panic());
            }
        }
    }
}

/// The folder of the steps' workspaces, without what a killed process left there. This process
/// owns the data folder, and its workers have not started.
fn fresh_scratch(folder: &Path) -> anyhow::Result<PathBuf> {
    let scratch = folder.join("scratch");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).with_context(|| format!("{} cannot be emptied", scratch.display()))?;
    }
    fs::create_dir_all(&scratch).with_context(|| format!("{} cannot be made", scratch.display()))?;
    Ok(fs::canonicalize(&scratch)?)
}

/// The first admin key: the configured one, or a new one that is shown this once.
async fn first_key(app: &App, config: &Config) -> anyhow::Result<()> {
    let made = app.first_key(config.admin_key.clone(), Policy::default_admin()).await?;
    if let (Some(made), None) = (made, &config.admin_key) {
        let place = if config.database.is_some() { "database" } else { "data folder" };
        show::line(&format!("this is the first start on this {place}; its admin key is shown only now:"));
        show::line(&format!("  {}", made.key.reveal()));
    }
    Ok(())
}

/// Starts the worker processes. The handle ends once `shutdown` has fired and all are gone.
fn supervise(
    app: &Arc<App>,
    store: &Arc<dyn Store>,
    config: &Config,
    (address, scratch): (SocketAddr, PathBuf),
    label: String,
    shutdown: CancellationToken,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let lent = Arc::new(Lent {
        app: Arc::clone(app),
        store: Arc::clone(store),
        address,
        config: config.clone(),
        scratch,
        keys: Mutex::default(),
    });
    let supervisor = Supervisor {
        program: Program { path: own_path()?, arguments: vec!["worker".into()] },
        groups: config.workers.clone(),
        orders: Arc::clone(&lent),
        label,
        grace: Millis::new(config.drain_grace.get() + KILL_AFTER.get()),
    };
    let (told, mut happenings) = mpsc::channel(64);
    let listening = tokio::spawn(async move {
        while let Some(happening) = happenings.recv().await {
            match happening {
                Happening::Started { worker, pid } => tracing::info!(%worker, pid, "a worker process runs"),
                Happening::Gone { worker, how } => lent.gone(&worker, &how).await,
            }
        }
    });
    Ok(tokio::spawn(async move {
        supervisor.run(shutdown, told).await;
        if let Err(panic) = listening.await {
            tracing::error!(%panic, "the end of a worker was not noted");
        }
    }))
}

/// This program, even if its file was replaced since it started.
fn own_path() -> anyhow::Result<std::path::PathBuf> {
    let linked = std::path::PathBuf::from("/proc/self/exe");
    if linked.exists() { Ok(linked) } else { Ok(std::env::current_exe()?) }
}

/// The keys that worker processes were lent.
struct Lent {
    app: Arc<App>,
    store: Arc<dyn Store>,
    address: SocketAddr,
    config: Config,
    scratch: PathBuf,
    keys: Mutex<HashMap<WorkerId, KeyId>>,
}

impl Lent {
    /// A worker is gone: its key opens nothing any more, its leases are nobody's.
    async fn gone(&self, worker: &WorkerId, how: &str) {
        let key = self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(worker);
        if let Some(key) = key {
            self.app.take_back(&key);
        }
        tracing::info!(%worker, how, "a worker process is gone");
        if let Err(error) = self.store.lose(Lost::Worker(worker.clone())).await {
            // The leases run out by themselves; this only takes longer.
            tracing::warn!(%worker, error = &error as &dyn std::error::Error, "its leases could not be ended at once");
        }
    }
}

impl Orders<WorkerGroup> for Lent {
    async fn order(&self, group: &WorkerGroup, worker: &WorkerId) -> Result<String, OrderError> {
        let key: ApiKey = self.app.lend_arm_key(&format!("worker {worker}"));
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(worker.clone(), key.id().clone());
        let order = Order {
            url: format!("http://{}", reachable(self.address)),
            key: key.reveal(),
            worker: worker.clone(),
            arms: group.arms.iter().copied().collect(),
            slots: self.config.slots,
            // What is left of the grace is for the last reports and for the server's own end.
            grace: Millis::new(self.config.drain_grace.get() * 3 / 4),
            closed: data::closed(self.scratch.parent().expect("it lies in the data folder"), &self.config),
            scratch: self.scratch.clone(),
            log: self.config.log.clone(),
            log_json: self.config.log_json,
        };
        serde_json::to_string(&order).map_err(|error| OrderError::NotMade(error.into()))
    }
}

/// An address that this machine can connect to: a wildcard is reached by loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    reachable
}
