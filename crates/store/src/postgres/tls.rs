//! Encrypted connections to PostgreSQL: what a URL demands, and the handshake.
//!
//! `sslmode` means what libpq documents: `require` hides what is sent from those who listen and, without
//! `sslrootcert`, believes any server; `verify-ca` checks who signed the server's certificate; `verify-full`
//! also that it is the host's. With `sslrootcert`, `require` is `verify-ca`. Two things differ: without
//! any `sslmode` the connection is not encrypted, and `verify-full` without `sslrootcert` trusts whom the
//! system trusts (as libpq does with `sslrootcert=system`).

use super::target::InvalidTarget;
use octollm_tls::{Authorities, Trust};
use percent_encoding::percent_decode_str;
use rustls_pki_types::ServerName;
use std::{
    fs, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Socket,
    config::SslMode,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::{TlsConnector, client, rustls::ClientConfig};

/// What a URL says of encryption.
#[derive(Clone)]
pub(super) struct Encryption {
    pub(super) mode: SslMode,
    pub(super) tls: Tls,
}

/// Makes the handshakes of connections.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Encryption {
    /// Takes `sslmode` and `sslrootcert` out of `url`, and reads the file that the latter names. What is
    /// left says nothing of them.
    pub(super) fn taken_from(url: &str) -> Result<(Self, String), InvalidTarget> {
        let (bare, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut others) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => roots = Some(percent_decode_str(value).decode_utf8_lossy()),
                // Of no use without the certificate's hash, which only the one who shows it knows for sure.
                Some(("channel_binding", "require")) => {
                    return Err(InvalidTarget::Unsupported("channel_binding=require"));
                }
                Some(("sslnegotiation", "direct")) => {
                    return Err(InvalidTarget::Unsupported("sslnegotiation=direct"));
                }
                Some(_) | None => others.push(pair),
            }
        }
        let (mode, trust) = demanded(mode, roots.as_deref())?;
        let tls = octollm_tls::postgres_client(&trust)
            .map_err(|error| InvalidTarget::Roots { path: "the system's".into(), why: chain(&error) })?;
        let gap = if others.is_empty() { "" } else { "?" };
        let rest = format!("{bare}{gap}{}", others.join("&"));
        Ok((Encryption { mode, tls: Tls(Arc::new(tls)) }, rest))
    }
}

fn demanded(mode: Option<&str>, roots: Option<&str>) -> Result<(SslMode, Trust), InvalidTarget> {
    let read = |path: &str| {
        let unread = |why: String| InvalidTarget::Roots { path: path.to_owned(), why };
        let text = fs::read(path).map_err(|error| unread(error.to_string()))?;
        Authorities::from_pem(&text).map_err(|error| unread(error.to_string()))
    };
    Ok(match (mode, roots) {
        (None | Some("disable"), None) => (SslMode::Disable, Trust::Nobody),
        (None, Some(_)) => return Err(InvalidTarget::RootsUnused("sslmode is not set")),
        (Some("disable"), Some(_)) => return Err(InvalidTarget::RootsUnused("sslmode=disable")),
        (Some("prefer"), None) => (SslMode::Prefer, Trust::Everybody),
        (Some("prefer"), Some(_)) => return Err(InvalidTarget::RootsUnused("sslmode=prefer")),
        (Some("require"), None) => (SslMode::Require, Trust::Everybody),
        (Some("verify-ca"), None) => return Err(InvalidTarget::NoRoots),
        (Some("require" | "verify-ca"), Some("system")) => return Err(InvalidTarget::WeakWithSystem),
        (Some("require" | "verify-ca"), Some(path)) => (SslMode::Require, Trust::AnyNameOf(read(path)?)),
        (Some("verify-full"), None | Some("system")) => (SslMode::Require, Trust::System),
        (Some("verify-full"), Some(path)) => (SslMode::Require, Trust::Only(read(path)?)),
        (Some(_), _) => return Err(InvalidTarget::UnknownMode),
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = rustls_pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, Self::Error> {
        // A server's certificate names an address only as one; nothing else is in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // A socket of this machine has no name; what goes through it is not encrypted, so none is looked at.
        let host = if host.is_empty() { "localhost" } else { host };
        Ok(Handshake { config: Arc::clone(&self.0), name: ServerName::try_from(host.to_owned())? })
    }
}

/// One handshake.
pub(super) struct Handshake {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let shaken = TlsConnector::from(self.config).connect(self.name, stream).await;
            shaken.map(|stream| Encrypted(Box::new(stream)))
        })
    }
}

/// A connection after its handshake.
pub(super) struct Encrypted(Box<client::TlsStream<Socket>>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(query: &str) -> String {
        Encryption::taken_from(&format!("postgresql://h/d?{query}")).err().unwrap().to_string()
    }

    #[test]
    fn what_a_url_demands_is_taken_or_refused_and_never_relaxed() {
        for (query, wanted) in [
            ("", SslMode::Disable),
            ("sslmode=disable", SslMode::Disable),
            ("sslmode=prefer", SslMode::Prefer),
            ("sslmode=require", SslMode::Require),
        ] {
            let (taken, rest) =
                Encryption::taken_from(&format!("postgresql://h/d?{query}&connect_timeout=9")).unwrap();
            assert_eq!(
                (taken.mode, rest.as_str()),
                (wanted, "postgresql://h/d?connect_timeout=9"),
                "{query}"
            );
        }
        for (query, wanted) in [
            ("sslmode=verify-ca", "sslrootcert"),
            ("sslmode=require&sslrootcert=system", "verify-full"),
            ("sslmode=verify-ca&sslrootcert=system", "verify-full"),
            ("sslmode=verify-full&sslrootcert=/none%2Fca.pem", "/none/ca.pem"),
            ("sslrootcert=/none", "sslmode is not set"),
            ("sslmode=strong", "one of disable, prefer"),
            ("channel_binding=require", "channel_binding=require"),
            ("sslnegotiation=direct", "sslnegotiation=direct"),
        ] {
            assert!(error(query).contains(wanted), "{query}: {}", error(query));
        }
    }
}
