//! The side that is connected to.

use crate::{Authorities, Identity, http_protocols, provider};
use rustls::{ServerConfig, server::WebPkiClientVerifier, sign::SingleCertAndKey};
use std::sync::Arc;

/// Clients cannot be checked by these certificates.
#[derive(Debug, thiserror::Error)]
#[error("clients cannot be checked by these certificates")]
pub struct BadClients(#[source] Box<dyn std::error::Error + Send + Sync>);

/// How an HTTP server answers; HTTP/2 for clients that speak it. With `clients`, only those that show a
/// certificate of theirs get in.
pub fn http_server(shown: &Identity, clients: Option<&Authorities>) -> Result<ServerConfig, BadClients> {
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| BadClients(error.into()))?;
    let verifying = match clients {
        Some(authorities) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities.roots(), provider());
            let verifier = verifier.build().map_err(|error| BadClients(error.into()))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = verifying.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown.certified())));
    config.alpn_protocols = http_protocols();
    Ok(config)
}
