//! A stable address whose server can be cut off, frozen, replaced, or cut off at the very moment at
//! which it has been asked for something and has not answered yet.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
};

/// What happens to bytes and connections.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    /// They go through.
    Pass,
    /// There is nobody: connections are closed, new ones, too.
    Cut,
    /// Nothing moves; nobody is told.
    Frozen,
    /// The first client that sends these bytes is cut off once the server has answered: the server has
    /// done it, the client never hears so. Then everything goes through again.
    SwallowAnswerTo(Vec<u8>),
}

/// The proxy. It ends when it is dropped.
pub struct TcpProxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    server: Arc<Mutex<SocketAddr>>,
    accepting: JoinHandle<()>,
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.mode.send_replace(Mode::Cut);
    }
}

impl TcpProxy {
    /// Listens on a free port for `server`.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (mode, seen) = watch::channel(Mode::Pass);
        let server = Arc::new(Mutex::new(server));
        let (to, modes) = (Arc::clone(&server), mode.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = *to.lock().unwrap_or_else(PoisonError::into_inner);
                tokio::spawn(serve(client, server, modes.clone(), seen.clone()));
            }
        });
        Ok(TcpProxy { address, mode, server, accepting })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// Closes every connection and refuses new ones.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Nothing moves any more, and nobody is told.
    pub fn freeze(&self) {
        self.mode.send_replace(Mode::Frozen);
    }

    /// Everything goes through.
    pub fn heal(&self) {
        self.mode.send_replace(Mode::Pass);
    }

    /// The next client that sends `bytes` in one piece is cut off when the server has answered them.
    pub fn swallow_the_answer_to(&self, bytes: &[u8]) {
        self.mode.send_replace(Mode::SwallowAnswerTo(bytes.to_vec()));
    }

    /// Waits until [`TcpProxy::swallow_the_answer_to`] has happened.
    pub async fn swallowed(&self) {
        let mut seen = self.mode.subscribe();
        // The sender lives as long as this borrow.
        let _open = seen.wait_for(|mode| *mode == Mode::Pass).await;
    }
}

async fn serve(
    client: TcpStream,
    server: SocketAddr,
    mode: watch::Sender<Mode>,
    mut seen: watch::Receiver<Mode>,
) {
    if *seen.borrow_and_update() == Mode::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _small_packets_wait_otherwise = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (doomed, doom) = watch::channel(false);
    let up = up(from_client, to_server, mode.clone(), seen.clone(), doomed);
    let down = down(from_server, to_client, mode, seen.clone(), doom);
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = seen.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

/// From the client to the server.
async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: watch::Sender<Mode>,
    mut seen: watch::Receiver<Mode>,
    doomed: watch::Sender<bool>,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 || seen.wait_for(|mode| *mode != Mode::Frozen).await.is_err() {
            return;
        }
        let piece = &buffer[..count];
        let meant = match &*mode.borrow() {
            Mode::SwallowAnswerTo(bytes) => piece.windows(bytes.len()).any(|part| part == bytes.as_slice()),
            Mode::Pass | Mode::Cut | Mode::Frozen => false,
        };
        if meant {
            doomed.send_replace(true);
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}

/// From the server to the client.
async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: watch::Sender<Mode>,
    mut seen: watch::Receiver<Mode>,
    doom: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count) = from.read(&mut buffer).await {
        if *doom.borrow() {
            // The server has answered; give it time for all of it, and keep it.
            while let Ok(Ok(more)) =
                tokio::time::timeout(std::time::Duration::from_millis(100), from.read(&mut buffer)).await
                && more > 0
            {}
            mode.send_if_modified(|mode| {
                let armed = matches!(mode, Mode::SwallowAnswerTo(_));
                if armed {
                    *mode = Mode::Pass;
                }
                armed
            });
            return;
        }
        if count == 0
            || seen.wait_for(|mode| *mode != Mode::Frozen).await.is_err()
            || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
    }
}
