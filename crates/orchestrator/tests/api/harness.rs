//! A server on a free port over the embedded store, with keys of every kind.

use octollm_access::{ApiKey, Policy, Role};
use octollm_artefacts::Artefacts;
use octollm_client::http::{Client, HttpLeases};
use octollm_client::{Grant, LeaseAsk, Leases as _};
use octollm_contract::{ArmName, Edition, Millis, TaskId, api::SubmitTask};
use octollm_orchestrator::{
    App, Caller, NewKey, Parts, Settings, Sweeper,
    http::{Entrance, Metrics, Port, Server, ServerSettings},
};
use octollm_store::{
    OsEntropy, SystemClock,
    sqlite::{Options, SqliteStore},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

/// Nothing here takes this long unless it is stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Octo {
    pub(crate) app: Arc<App>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: ApiKey,
    pub(crate) user: ApiKey,
    pub(crate) operator: ApiKey,
    pub(crate) arm: ApiKey,
    pub(crate) stranger: ApiKey,
    pub(crate) revoked: ApiKey,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
    sweeper: Sweeper,
    folder: tempfile::TempDir,
}

impl Octo {
    pub(crate) async fn start() -> Self {
        Octo::start_with(ServerSettings { grace: Duration::from_secs(5), ..ServerSettings::default() }).await
    }

    pub(crate) async fn start_with(settings: ServerSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let parts = Parts {
            store: Arc::new(
                SqliteStore::open(
                    &folder.path().join("db"),
                    clock.clone(),
                    entropy.clone(),
                    Options::default(),
                )
                .unwrap(),
            ),
            artefacts: Artefacts::in_folder(&folder.path().join("artefacts"), 64 << 20).unwrap(),
            clock,
            entropy,
        };
        let app = App::new(parts, Settings::default());
        app.share_ring().await.unwrap();
        let sweeper = Sweeper::start(Arc::clone(&app));
        let metrics = Metrics::new(sweeper.finds());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (entrance, until) = (Entrance::Plain(listener), shutdown.clone());
        let served =
            tokio::spawn(Server::serve(entrance, Arc::clone(&app), metrics, Port::Whole, settings, until));
        let key = async |role, tenant: &str| {
            let new = NewKey {
                role,
                tenant: Some(tenant.parse().unwrap()),
                scopes: None,
                policy: Some(Policy::default_admin()),
                label: format!("{role} of {tenant}"),
            };
            app.create_key(&Caller::local(Policy::default()), new).await.unwrap().key
        };
        let admin = key(Role::Admin, "default").await;
        let revoked = key(Role::Admin, "default").await;
        app.revoke_key(&Caller::local(Policy::default()), revoked.id()).await.unwrap();
        Octo {
            admin,
            user: key(Role::User, "default").await,
            operator: key(Role::Operator, "default").await,
            arm: key(Role::Arm, "default").await,
            stranger: key(Role::Admin, "elsewhere").await,
            revoked,
            app,
            address,
            shutdown,
            served,
            sweeper,
            folder,
        }
    }

    /// Where the bytes of artefacts lie.
    pub(crate) fn artefacts(&self) -> std::path::PathBuf {
        self.folder.path().join("artefacts")
    }

    /// The document of a port of its own over the same application.
    pub(crate) async fn document(&self, port: Port) -> Value {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (app, metrics) = (Arc::clone(&self.app), Metrics::new(Arc::default()));
        let (entrance, until) = (Entrance::Plain(listener), self.shutdown.clone());
        tokio::spawn(Server::serve(entrance, app, metrics, port, ServerSettings::default(), until));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let wish = b"GET /openapi.json HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
        stream.write_all(wish).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        serde_json::from_slice(&answer[body..]).unwrap()
    }

    /// A port of its own over the same application that speaks TLS.
    pub(crate) async fn tls_port(&self, tls: ServerConfig, settings: ServerSettings) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (app, metrics) = (Arc::clone(&self.app), Metrics::new(Arc::default()));
        let until = self.shutdown.clone();
        let entrance = Entrance::Tls(listener, tokio::sync::watch::channel(Arc::new(tls)).1);
        tokio::spawn(Server::serve(entrance, app, metrics, Port::Whole, settings, until));
        address
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn client(&self, key: &ApiKey) -> Client {
        Client::new(&self.base(), key.clone()).unwrap()
    }

    pub(crate) fn leases(&self) -> HttpLeases {
        HttpLeases::new(&[self.base()], self.arm.clone(), 0).unwrap()
    }

    pub(crate) async fn submit(&self) -> TaskId {
        self.client(&self.user).submit(&wish("List the files in /tmp directory"), None).await.unwrap().task_id
    }

    /// The next step, of any arm.
    pub(crate) async fn lease(&self) -> Grant {
        let grants = self.leases().lease(ask(Millis::from_secs(10))).await.unwrap();
        grants.into_iter().next().expect("a step is ready")
    }

    /// Begins the shutdown and waits for its end.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        within(self.served).await.unwrap();
        within(self.sweeper.stop()).await;
    }

    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.cancel();
    }

    /// One request as it stands, on a connection of its own.
    pub(crate) async fn raw(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may refuse and close before it has read everything.
        let sent = stream.write_all(request).await;
        let mut bytes = Vec::new();
        let read = within(stream.read_to_end(&mut bytes)).await;
        assert!(!bytes.is_empty(), "no answer: {sent:?} {read:?}");
        Reply::of(&bytes)
    }

    /// A JSON request.
    pub(crate) async fn call(&self, method: &str, path: &str, key: Option<&str>, body: &[u8]) -> Reply {
        self.raw(&request(method, path, key, "Content-Type: application/json\r\n", body)).await
    }
}

pub(crate) fn request(method: &str, path: &str, key: Option<&str>, headers: &str, body: &[u8]) -> Vec<u8> {
    let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: octo\r\nConnection: close\r\n{key}{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn wish(goal: &str) -> SubmitTask {
    serde_json::from_value(json!({ "goal": goal })).unwrap()
}

pub(crate) fn ask(wait: Millis) -> LeaseAsk {
    LeaseAsk {
        worker: "worker-1".parse().unwrap(),
        arms: vec![ArmName::Executor, ArmName::Judge],
        tools: [(ArmName::Executor, vec!["list".to_owned()])].into(),
        most: 1,
        wait,
        reads: Edition::NEWEST,
    }
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it is stuck")
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Reply { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn kind(&self) -> String {
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        self.json()["type"].as_str().unwrap_or_default().trim_start_matches("/problems/").to_owned()
    }

    pub(crate) fn field(&self) -> String {
        self.json()["field"].as_str().unwrap_or_default().to_owned()
    }
}
