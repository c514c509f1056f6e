//! Certificates and keys as PEM texts hold them.

use crate::provider;
use rustls::{
    CertificateError, InconsistentKeys, RootCertStore, client::verify_server_cert_signed_by_trust_anchor,
    server::ParsedCertificate, sign::CertifiedKey,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, UnixTime,
    pem::{Error, PemObject as _},
};
use std::{fmt, sync::Arc, time::Duration};

/// What is wrong with a PEM text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPem {
    /// The text is broken.
    #[error("it is not PEM: {0}")]
    NotPem(&'static str),
    /// There is no certificate in it.
    #[error("it holds no certificate (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// There is no key in it.
    #[error("it holds no private key without a password (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// A certificate that nobody can be checked by.
    #[error("a certificate in it cannot be used: {0}")]
    Certificate(String),
    /// The key is of a kind that is not known, or not the certificate's.
    #[error("the private key cannot be used: {0}")]
    Key(String),
    /// Another certificate's key.
    #[error("the private key does not belong to the certificate")]
    OtherKey,
}

/// Certificates that others' certificates are checked by.
#[derive(Clone)]
pub struct Authorities(Arc<RootCertStore>);

impl Authorities {
    /// All certificates of a PEM text, of which there is at least one.
    pub fn from_pem(text: &[u8]) -> Result<Self, BadPem> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(text)? {
            roots.add(certificate).map_err(|error| BadPem::Certificate(error.to_string()))?;
        }
        Ok(Authorities(Arc::new(roots)))
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}

/// A certificate with its chain, and its private key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// The certificate first, then those that signed it, from one text; the key from another, which may
    /// be the same.
    ///
    /// # Errors
    /// The first is about the certificate's text, the second about the key's.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, BadIdentity> {
        let chain = certificates(certificate).map_err(BadIdentity::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            BadIdentity::Key(match error {
                Error::NoItemsFound => BadPem::NoKey,
                error => BadPem::NotPem(broken(&error)),
            })
        })?;
        match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(certified) => Ok(Identity(Arc::new(certified))),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(BadIdentity::Key(BadPem::OtherKey))
            }
            Err(error @ rustls::Error::InvalidCertificate(_)) => {
                Err(BadIdentity::Certificate(BadPem::Certificate(error.to_string())))
            }
            Err(error) => Err(BadIdentity::Key(BadPem::Key(error.to_string()))),
        }
    }

    /// Whether the certificate is valid `at` this time since 1970. Those that signed it are not looked at.
    ///
    /// # Errors
    /// When it is not, since or until when.
    pub fn is_valid(&self, at: Duration) -> Result<(), OutOfDate> {
        let Some(certificate) =
            self.0.end_entity_cert().ok().and_then(|der| ParsedCertificate::try_from(der).ok())
        else {
            return Ok(());
        };
        // Nobody has signed it for nobody: the dates are what is looked at before that.
        let (nobody, at) = (RootCertStore::empty(), UnixTime::since_unix_epoch(at));
        let known = provider().signature_verification_algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(&certificate, &nobody, &[], at, known) {
            Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) => Err(OutOfDate::Since(Duration::from_secs(not_after.as_secs()))),
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before,
                ..
            })) => Err(OutOfDate::Until(Duration::from_secs(not_before.as_secs()))),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// A certificate is not valid at some time; all times since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfDate {
    /// It ended then.
    Since(Duration),
    /// It begins then.
    Until(Duration),
}

/// Which of an identity's two texts is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentity {
    /// The certificate's.
    #[error(transparent)]
    Certificate(BadPem),
    /// The key's.
    #[error(transparent)]
    Key(BadPem),
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadPem> {
    let all: Result<Vec<_>, Error> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|error| BadPem::NotPem(broken(&error)))?;
    if all.is_empty() { Err(BadPem::NoCertificate) } else { Ok(all) }
}

/// What is broken, in words that hold nothing of the text: it may be a key.
fn broken(error: &Error) -> &'static str {
    match error {
        Error::MissingSectionEnd { .. } => "a section has no end (-----END …-----)",
        Error::IllegalSectionStart { .. } => {
            "a line that begins a section (-----BEGIN …) does not end with -----"
        }
        Error::Base64Decode(_) => "a section holds something else than base64",
        _ => "it cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P8: what is wrong is said of the text that it is wrong in.
    #[test]
    fn a_text_that_is_no_identity_is_refused_with_the_reason() {
        let made = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        let ((certificate, key), (_, other)) = (made(), made());
        let whole = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(format!("{whole:?}"), "Identity(…)");
        let both = format!("{certificate}{key}");
        Identity::from_pem(both.as_bytes(), both.as_bytes()).unwrap();
        let cut = &certificate[..certificate.len() / 2];
        for (certificate, key, wanted) in [
            ("", key.as_str(), "it holds no certificate"),
            (&certificate, "", "it holds no private key"),
            (cut, &key, "it is not PEM: a section has no end"),
            (&certificate, &key[..key.len() / 2], "it is not PEM: a section has no end"),
            (&certificate, &key.replacen('M', "*", 1), "it is not PEM: a section holds something else"),
            (&certificate, &key.replacen("KEY-----", "KEY secret", 1), "it is not PEM: a line that begins"),
            (&certificate, &certificate, "it holds no private key"),
            (&certificate, &other, "does not belong to the certificate"),
        ] {
            let error = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).err().unwrap();
            assert!(error.to_string().contains(wanted), "{wanted}: {error}");
            // Neither as it is nor as numbers.
            assert!(!error.to_string().contains("secret") && !error.to_string().contains('['), "{error}");
        }
    }

    #[test]
    fn a_certificate_is_valid_between_its_dates() {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let (begin, end) = (1_577_836_800, 1_609_459_200);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let identity = Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let at = |seconds: u64| identity.is_valid(Duration::from_secs(seconds));
        assert_eq!(at(begin - 1), Err(OutOfDate::Until(Duration::from_secs(begin))));
        assert_eq!((at(begin), at(end)), (Ok(()), Ok(())));
        assert_eq!(at(end + 1), Err(OutOfDate::Since(Duration::from_secs(end))));
    }

    #[test]
    fn authorities_are_at_least_one_certificate() {
        let one = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem();
        let two = rcgen::generate_simple_self_signed(["b".to_owned()]).unwrap().cert.pem();
        assert_eq!(
            format!("{:?}", Authorities::from_pem(format!("{one}{two}").as_bytes()).unwrap()),
            "Authorities(2)"
        );
        assert_eq!(Authorities::from_pem(b"# nothing").unwrap_err(), BadPem::NoCertificate);
        let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(Authorities::from_pem(bad.as_bytes()), Err(BadPem::Certificate(_))));
    }
}
