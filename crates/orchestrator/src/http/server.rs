//! The server's shell: connections in, answers out, and an end in bounded time.
//!
//! Promises (P9): at most so many connections, more get a 503 and are closed; a head that has
//! not arrived in time closes the connection, and so does a body (`extract`), and so does a TLS
//! handshake; whoever does not speak TLS where it is spoken is closed; an
//! idle connection costs a socket and a small task; while the process drains, everybody is still answered,
//! and whoever waits at once; then what is under way finishes, within the grace.

use super::{
    Metrics, Port,
    heads::{HEAD_BYTES_MAX, Watched},
};
use crate::App;
use futures_util::{FutureExt as _, future::BoxFuture};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{
    io,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_util::sync::CancellationToken;

/// An HTTP/2 connection is asked for a sign of life so often, and given as long to answer.
const PING: Duration = Duration::from_secs(10);
/// What HTTP/2 connections begin with (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How often a preface that came in pieces is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Failed handshakes are told so often at most.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// After an accept failed, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// Requests at once over one HTTP/2 connection. All of an arm's go over one, and a request too many would
/// keep its heartbeats waiting, too: this is more than an arm has under way.
pub const STREAMS_MAX: u32 = 1024;

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\
Retry-After: 1\r\nConnection: close\r\nContent-Length: 140\r\n\r\n\
{\"type\":\"/problems/overloaded\",\"title\":\"The server is at its limit\",\"status\":503,\
\"detail\":\"more connections are open than the server takes\"}";

/// What an operator may set.
#[derive(Clone, Copy, Debug)]
pub struct ServerSettings {
    /// Connections at once.
    pub connections_max: usize,
    /// A head that has not arrived by then closes the connection; an idle connection, too.
    pub head_within: Duration,
    /// A body that has not arrived by then is refused and its connection closed.
    pub body_within: Duration,
    /// How long what is under way may take after the shutdown began.
    pub grace: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            connections_max: 12_000,
            head_within: Duration::from_secs(10),
            body_within: Duration::from_secs(10),
            grace: Duration::from_secs(20),
        }
    }
}

/// Where connections come in.
pub enum Entrance {
    /// As they are.
    Plain(TcpListener),
    /// After a TLS handshake, in which HTTP/2 may be agreed on; each by what is shown when it begins.
    Tls(TcpListener, watch::Receiver<Arc<ServerConfig>>),
}

/// The HTTP server.
pub struct Server;

impl Server {
    /// Serves the routes of `port` on `entrance` until `closed`, then drains `app` and returns when every
    /// connection has ended, or after the grace.
    ///
    /// Boxed and without parameters of types, so that all of HTTP is compiled here, once, and not in every
    /// program that serves.
    pub fn serve(
        entrance: Entrance,
        app: Arc<App>,
        metrics: Arc<Metrics>,
        port: Port,
        settings: ServerSettings,
        closed: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let (listener, shown) = match entrance {
                Entrance::Plain(listener) => (listener, None),
                Entrance::Tls(listener, shown) => (listener, Some(shown)),
            };
            let service = TowerToHyperService::new(super::router(
                Arc::clone(&app),
                metrics,
                port,
                settings.body_within,
            ));
            let (http1, http2) = (Arc::new(http1(settings.head_within)), Arc::new(http2()));
            let graceful = GracefulShutdown::new();
            let places = Arc::new(Semaphore::new(settings.connections_max));
            let failures = Arc::new(Failures::default());
            loop {
                let (stream, peer) = tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok(accepted) => accepted,
                        Err(error) => {
                            tracing::warn!(%error, "a connection was not accepted");
                            tokio::time::sleep(PAUSE).await;
                            continue;
                        }
                    },
                    () = closed.cancelled() => break,
                };
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    // Words would be no TLS.
                    if shown.is_none() {
                        refuse(&stream);
                    }
                    continue;
                };
                let acceptor = shown.as_ref().map(|shown| TlsAcceptor::from(Arc::clone(&shown.borrow())));
                let (service, watcher) = (service.clone(), graceful.watcher());
                let (http1, http2, failures) =
                    (Arc::clone(&http1), Arc::clone(&http2), Arc::clone(&failures));
                let (closing, head_within) = (closed.clone(), settings.head_within);
                tokio::spawn(async move {
                    let _place = place;
                    let served = async {
                        stream.set_nodelay(true)?;
                        let begun = tokio::select! {
                            begun = begin(stream, acceptor, head_within) => {
                                begun.inspect_err(|error| failures.tell(peer, error))?
                            }
                            // Nothing was asked on this connection yet.
                            () = closing.cancelled() => return Ok(()),
                        };
                        let builder = if begun.http2 { http2 } else { http1 };
                        let connection =
                            builder.serve_connection(TokioIo::new(begun.stream), service).into_owned();
                        watcher.watch(connection).await.map_err(io::Error::other)
                    };
                    match AssertUnwindSafe(served).catch_unwind().await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%error, "a connection broke off"),
                        Err(_) => tracing::error!("a connection ended in a panic"),
                    }
                });
            }
            drop(listener);
            app.drain();
            if tokio::time::timeout(settings.grace, graceful.shutdown()).await.is_err() {
                tracing::warn!("connections were cut at the end of the grace");
            }
        })
    }
}

fn http1(head_within: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_within).max_buf_size(HEAD_BYTES_MAX);
    builder
}

fn http2() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// Handshakes that failed, such as of an arm without a certificate: the other side is mostly told nothing that
/// helps. Anybody can make them fail, so few are told.
#[derive(Default)]
struct Failures {
    told_at: Mutex<Option<Instant>>,
}

impl Failures {
    fn tell(&self, peer: SocketAddr, error: &io::Error) {
        // Rustls's own errors; the others are of the network, or of somebody who says nothing.
        if error.kind() != io::ErrorKind::InvalidData {
            return;
        }
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_some_and(|at| at.elapsed() < TOLD_EVERY) {
            return tracing::debug!(%peer, %error, "a TLS handshake failed");
        }
        *told_at = Some(Instant::now());
        tracing::warn!(%peer, %error, "a TLS handshake failed; more within some seconds are not told");
    }
}

/// A connection that it is known of what it speaks.
struct Begun {
    http2: bool,
    stream: Watched<Stream>,
}

/// A connection's bytes, in the clear.
trait Clear: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Clear for S {}
type Stream = Box<dyn Clear>;

/// Finds out what a connection speaks, within the time that a head may take.
async fn begin(stream: TcpStream, acceptor: Option<TlsAcceptor>, within: Duration) -> io::Result<Begun> {
    let Some(acceptor) = acceptor else {
        let http2 = speaks_http2(&stream, within).await?;
        let stream: Stream = Box::new(stream);
        let stream = if http2 { Watched::http2(stream) } else { Watched::http1(stream) };
        return Ok(Begun { http2, stream });
    };
    let begun = async {
        let mut stream = acceptor.accept(stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if !http2 {
            return Ok(Begun { http2, stream: Watched::http1(Box::new(stream)) });
        }
        // hyper would wait for it for ever.
        let mut first = [0; HTTP2_PREFACE.len()];
        stream.read_exact(&mut first).await?;
        if first != HTTP2_PREFACE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Begun { http2, stream: Watched::http2_begun(Box::new(stream), HTTP2_PREFACE) })
    };
    tokio::time::timeout(within, begun).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Looks at a connection's first bytes, within the time that a head may take.
async fn speaks_http2(stream: &TcpStream, within: Duration) -> io::Result<bool> {
    let mut first = [0; HTTP2_PREFACE.len()];
    let until = Instant::now() + within;
    loop {
        let read = tokio::time::timeout_at(until, stream.peek(&mut first)).await;
        let read = read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[..read] != HTTP2_PREFACE[..read] {
            return Ok(false);
        }
        if read == HTTP2_PREFACE.len() {
            return Ok(true);
        }
        // Peeking returns at once while there are bytes, so waiting for more takes a clock.
        tokio::time::sleep(LOOK_AGAIN).await;
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Says that there is no place, without waiting for anything.
fn refuse(stream: &TcpStream) {
    if let Err(error) = stream.try_write(FULL) {
        tracing::debug!(%error, "a connection over the limit was closed without a word");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_of_a_connection_is_a_whole_problem() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
        let problem: octollm_contract::Problem = serde_json::from_str(body).unwrap();
        assert_eq!(problem.known_kind(), Some(octollm_contract::ProblemKind::Overloaded));
    }
}
