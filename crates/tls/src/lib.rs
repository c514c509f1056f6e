//! Whom a connection trusts and what it shows of itself, made from PEM texts; and the one crypto
//! provider of the whole program.
//!
//! Promises: every TLS connection of ours, as client or as server, is made from a configuration of this
//! crate, with `ring` and nothing else, so that no other provider is built or picked by chance. What a PEM
//! text lacks is said in words that go behind the name of its file. A private key is not printed.
//!
//! Must not know: files, sockets, settings. Callers read the texts and name them.

mod client;
mod pem;
mod server;

pub use client::{Fault, NoTrust, Trust, fault, http_client, postgres_client};
pub use pem::{Authorities, BadIdentity, BadPem, Identity, OutOfDate};
pub use server::{BadClients, http_server};

use rustls::crypto::CryptoProvider;
use std::sync::{Arc, OnceLock};

/// The cryptography of all connections: `ring`.
fn provider() -> Arc<CryptoProvider> {
    static RING: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(RING.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// What HTTP over TLS may be, the preferred one first.
fn http_protocols() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}
