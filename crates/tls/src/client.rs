//! The side that connects.

use crate::{Authorities, Identity, http_protocols, provider};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error,
    SignatureScheme, WantsVerifier,
    client::{
        WantsClientCert, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    sign::SingleCertAndKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::sync::Arc;

/// Whose servers are trusted.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Whom the system trusts, for the name that was connected to.
    System,
    /// Whom these trust, for the name that was connected to.
    Only(Authorities),
    /// Whom these trust, whatever its name is.
    AnyNameOf(Authorities),
    /// Everybody: what is sent is hidden from those who only listen.
    Everybody,
    /// Nobody: for connections without TLS.
    Nobody,
}

/// Nobody can be trusted, such as for want of the system's certificates.
#[derive(Debug, thiserror::Error)]
#[error("no server can be trusted")]
pub struct NoTrust(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The alerts of a server that does not let a client in.
const TURN_AWAY: [AlertDescription; 10] = [
    AlertDescription::HandshakeFailure,
    AlertDescription::NoCertificate,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
    AlertDescription::CertificateRequired,
];

/// What TLS knows of a connection that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The other side speaks no TLS.
    NoTls,
    /// The other side ended the handshake, such as over the certificate that it was shown, or for want of one.
    /// It has read nothing of what was sent.
    TurnedAway,
}

/// The fault that an error tells of, itself or in what caused it.
#[must_use]
pub fn fault(error: &(dyn std::error::Error + 'static)) -> Option<Fault> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref() {
            Some(Error::InvalidMessage(_)) => return Some(Fault::NoTls),
            Some(Error::AlertReceived(alert)) if TURN_AWAY.contains(alert) => return Some(Fault::TurnedAway),
            // HTTP/2 keeps the words of an error alone.
            None if error.is::<std::io::Error>() => {
                let words = error.to_string();
                if TURN_AWAY.iter().any(|alert| Error::AlertReceived(*alert).to_string() == words) {
                    return Some(Fault::TurnedAway);
                }
            }
            Some(_) | None => {}
        }
        // What an I/O error holds is no source of it; only what caused that would be.
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

/// How HTTP connects; HTTP/2 where the server speaks it.
pub fn http_client(trust: &Trust, shown: Option<&Identity>) -> Result<ClientConfig, NoTrust> {
    let mut config = client(trust, shown)?;
    config.alpn_protocols = http_protocols();
    Ok(config)
}

/// How PostgreSQL is connected to.
pub fn postgres_client(trust: &Trust) -> Result<ClientConfig, NoTrust> {
    client(trust, None)
}

fn client(trust: &Trust, shown: Option<&Identity>) -> Result<ClientConfig, NoTrust> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| NoTrust(error.into()))?;
    let verifying = verifying(builder, trust)?;
    Ok(match shown {
        Some(identity) => {
            verifying.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())))
        }
        None => verifying.with_no_client_auth(),
    })
}

fn verifying(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    trust: &Trust,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, NoTrust> {
    Ok(match trust {
        Trust::System => builder.with_platform_verifier().map_err(|error| NoTrust(error.into()))?,
        Trust::Only(authorities) => builder.with_root_certificates(authorities.roots()),
        Trust::Nobody => builder.with_root_certificates(rustls::RootCertStore::empty()),
        Trust::AnyNameOf(authorities) => {
            let inner = WebPkiServerVerifier::builder_with_provider(authorities.roots(), provider()).build();
            let inner = inner.map_err(|error| NoTrust(error.into()))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName(inner)))
        }
        Trust::Everybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified)),
    })
}

/// The chain is checked, and the name is not: libpq's `verify-ca`.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is what is looked at last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Any certificate will do, as long as the server has its key: libpq's `require`.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
