//! A store that speaks S3's protocol, over a folder of its own: `s3s-fs`, in a thread of the test.

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread::JoinHandle,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot};

/// A running store with one bucket.
#[derive(Debug)]
pub struct S3 {
    folder: TempDir,
    address: SocketAddr,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl S3 {
    /// The bucket that there is.
    pub const BUCKET: &str = "octollm-test";
    /// The key that opens it.
    pub const ACCESS_KEY: &str = "test-access";
    /// Its secret.
    pub const SECRET_KEY: &str = "test-secret-0123456789";

    /// A new store with an empty bucket.
    ///
    /// # Errors
    /// When the machine refuses a folder, a port or a thread.
    pub fn start() -> io::Result<Self> {
        let folder = TempDir::with_prefix("octollm-s3-")?;
        fs::create_dir(folder.path().join(Self::BUCKET))?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut store = S3 { folder, address, running: None };
        store.run()?;
        Ok(store)
    }

    /// Starts it again after [`S3::stop`], at the same address, with what it held.
    ///
    /// # Errors
    /// As [`S3::start`].
    pub fn run(&mut self) -> io::Result<()> {
        let files =
            FileSystem::new(self.folder.path()).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(Self::ACCESS_KEY, Self::SECRET_KEY));
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = std::net::TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        self.address = listener.local_addr()?;
        let (stop, mut stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("s3".into()).spawn(move || {
            // Connections end with the runtime, whatever they are at.
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("it belongs to no runtime yet");
                loop {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted,
                        _ = &mut stopped => return,
                    };
                    let Ok((stream, _)) = accepted else { continue };
                    let service = service.clone();
                    tokio::spawn(async move {
                        let server = Builder::new(TokioExecutor::new());
                        // A client may leave whenever it likes.
                        let _how = server.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            });
        })?;
        self.running = Some(Running { stop, thread });
        Ok(())
    }

    /// Stops it at once; its connections are cut.
    pub fn stop(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            drop(stop);
            // It panics only if a test of the server's own does.
            let _ended = thread.join();
        }
    }

    /// Where it is, such as `http://127.0.0.1:9000`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same, as an address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bucket's objects, as files.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.root().join(Self::BUCKET)
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.stop();
    }
}
