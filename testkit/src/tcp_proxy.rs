//! A stable address whose server can be cut off, frozen, replaced, or cut off at the very moment at
//! which it has been asked for something and has not answered yet; or stopped there, before it is asked
//! or after it has answered, for somebody to be killed at that moment.

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
    /// The first connection on which a client sends these bytes stands still from then on, at that
    /// place; everything else goes through.
    StopAt(Vec<u8>, Place),
}

/// Where a connection stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The server has not been asked.
    BeforeAsk,
    /// It has answered, and the client has not heard.
    BeforeAnswer,
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

    /// The next connection whose client sends `bytes` in one piece stands still at that place, until one of
    /// its ends is gone.
    pub fn stop_at(&self, bytes: &[u8], place: Place) {
        self.mode.send_replace(Mode::StopAt(bytes.to_vec(), place));
    }

    /// Waits until [`TcpProxy::swallow_the_answer_to`] or [`TcpProxy::stop_at`] has happened.
    pub async fn happened(&self) {
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
    let (doomed, doom) = watch::channel(None);
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
    doomed: watch::Sender<Option<Doom>>,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 || seen.wait_for(|mode| *mode != Mode::Frozen).await.is_err() {
            return;
        }
        let piece = &buffer[..count];
        let holds = |bytes: &[u8]| piece.windows(bytes.len()).any(|part| part == bytes);
        let meant = match &*mode.borrow() {
            Mode::SwallowAnswerTo(bytes) => holds(bytes).then_some(Doom::Cut),
            Mode::StopAt(bytes, Place::BeforeAnswer) => holds(bytes).then_some(Doom::Stop),
            Mode::StopAt(bytes, Place::BeforeAsk) => holds(bytes).then_some(Doom::StopNow),
            Mode::Pass | Mode::Cut | Mode::Frozen => None,
        };
        match meant {
            None => {}
            Some(Doom::Cut | Doom::Stop) => {
                doomed.send_replace(meant);
            }
            Some(Doom::StopNow) => {
                has_happened(&mode);
                // Only its end is of interest.
                while from.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
                return;
            }
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}

/// What the connection meets with.
#[derive(Clone, Copy, Debug)]
enum Doom {
    /// It is cut off when the answer is there.
    Cut,
    /// It stands still when the answer is there.
    Stop,
    /// It stands still before the ask.
    StopNow,
}

/// It has happened to one connection: everything else goes through again.
fn has_happened(mode: &watch::Sender<Mode>) {
    mode.send_if_modified(|mode| {
        let armed = matches!(mode, Mode::SwallowAnswerTo(_) | Mode::StopAt(..));
        if armed {
            *mode = Mode::Pass;
        }
        armed
    });
}

/// From the server to the client.
async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: watch::Sender<Mode>,
    mut seen: watch::Receiver<Mode>,
    doom: watch::Receiver<Option<Doom>>,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count) = from.read(&mut buffer).await {
        let doom = *doom.borrow();
        if let Some(doom) = doom {
            // The server has answered; give it time for all of it, and keep it.
            while let Ok(Ok(more)) =
                tokio::time::timeout(std::time::Duration::from_millis(100), from.read(&mut buffer)).await
                && more > 0
            {}
            has_happened(&mode);
            if let Doom::Stop | Doom::StopNow = doom {
                // Until one of the two is gone.
                while from.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
            }
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
