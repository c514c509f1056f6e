//! Files of certificates and keys: which settings name them, and what is in them.
//!
//! They are read by the verbs that need them: whoever only shows the configuration, or runs a goal, need
//! not be allowed to read a server's key.

use super::{
    ConfigError, Sources,
    settings::{invalid, missing, optional},
};
use octollm_client::http::Tls;
use octollm_contract::{Millis, Timestamp};
use octollm_tls::{Authorities, BadIdentity, Identity, OutOfDate, Trust};
use std::{fmt, fs::File, io::Read as _, path::Path, time::Duration};
use tokio_rustls::rustls::ServerConfig;

/// Whoever renews certificates does so earlier before their end.
const RENEWED_BEFORE: Millis = Millis::from_secs(7 * 86_400);
/// No file of certificates is larger; a device may be endless.
const BYTES_MAX: u64 = 4 << 20;

/// A file, and who names it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    by: String,
    path: String,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    certificate: Named,
    key: Named,
}

/// What a port shows, and whom it lets in.
#[derive(Clone, Debug)]
pub(crate) struct PortTls {
    shown: Pair,
    clients: Option<Named>,
}

/// What the files of a port hold: a key among it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate, and its key.
    shown: (Vec<u8>, Vec<u8>),
    clients: Option<Vec<u8>>,
}

/// What an arm trusts and shows.
#[derive(Clone, Debug)]
pub(crate) struct ArmTls {
    trusted: Option<Named>,
    shown: Option<Pair>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{named_by} names {path}: {why}")]
pub(crate) struct BadFile {
    named_by: String,
    path: String,
    why: String,
}

impl Named {
    fn of(sources: &Sources, setting: &'static str) -> Option<Self> {
        let by = || format!("the setting {setting}");
        optional(sources, setting).map(|path| Named { by: by(), path: path.to_owned() })
    }

    /// A file that an option of the command line names.
    pub(crate) fn option(option: &str, path: &Path) -> Self {
        Named { by: option.to_owned(), path: path.display().to_string() }
    }

    fn bad(&self, why: impl ToString) -> BadFile {
        BadFile { named_by: self.by.clone(), path: self.path.clone(), why: why.to_string() }
    }

    fn read(&self) -> Result<Vec<u8>, BadFile> {
        let mut bytes = Vec::new();
        let file = File::open(&self.path).map_err(|error| self.bad(error))?;
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| self.bad(error))?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(self.bad(format!("it has more than {BYTES_MAX} bytes")));
        }
        Ok(bytes)
    }

    pub(crate) fn authorities(&self) -> Result<Authorities, BadFile> {
        self.authorities_in(&self.read()?)
    }

    fn authorities_in(&self, pem: &[u8]) -> Result<Authorities, BadFile> {
        Authorities::from_pem(pem).map_err(|error| self.bad(error))
    }
}

impl Pair {
    fn of(
        sources: &Sources,
        certificate: &'static str,
        key: &'static str,
    ) -> Result<Option<Self>, ConfigError> {
        match (Named::of(sources, certificate), Named::of(sources, key)) {
            (Some(certificate), Some(key)) => Ok(Some(Pair { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(missing(sources, key, format!("{certificate} is set"))),
            (None, Some(_)) => Err(missing(sources, certificate, format!("{key} is set"))),
        }
    }

    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), BadFile> {
        Ok((self.certificate.read()?, self.key.read()?))
    }

    fn identity(&self, (certificate, key): &(Vec<u8>, Vec<u8>)) -> Result<Identity, BadFile> {
        Identity::from_pem(certificate, key).map_err(|bad| match bad {
            BadIdentity::Certificate(why) => self.certificate.bad(why),
            BadIdentity::Key(why) => self.key.bad(why),
        })
    }
}

impl PortTls {
    /// The public port's, or that of the one port there is.
    pub(super) fn public(sources: &Sources) -> Result<Option<Self>, ConfigError> {
        let shown = Pair::of(sources, "tls_certificate", "tls_key")?;
        Ok(shown.map(|shown| PortTls { shown, clients: None }))
    }

    /// The internal port's.
    pub(super) fn internal(sources: &Sources) -> Result<Option<Self>, ConfigError> {
        let shown = Pair::of(sources, "internal_tls_certificate", "internal_tls_key")?;
        let clients = Named::of(sources, "internal_tls_clients");
        if shown.is_some() && optional(sources, "internal_listen").is_none() {
            let why =
                "there is no port for arms alone: set internal_listen, or tls_certificate for the one port";
            return Err(invalid(sources, "internal_tls_certificate", why.into()));
        }
        match (shown, clients) {
            (Some(shown), clients) => Ok(Some(PortTls { shown, clients })),
            (None, None) => Ok(None),
            (None, Some(_)) => {
                let why = "nobody shows a certificate without TLS: set internal_tls_certificate, too";
                Err(invalid(sources, "internal_tls_clients", why.into()))
            }
        }
    }

    pub(crate) fn read(&self) -> Result<TlsFiles, BadFile> {
        let shown = self.shown.read()?;
        Ok(TlsFiles { shown, clients: self.clients.as_ref().map(Named::read).transpose()? })
    }

    /// What a person should know of the dates of the certificate that is shown, if anything.
    pub(crate) fn out_of_date(&self, files: &TlsFiles, now: Timestamp) -> Result<Option<BadFile>, BadFile> {
        let shown = self.shown.identity(&files.shown)?;
        let why = match (dates(&shown, now), dates(&shown, now + RENEWED_BEFORE)) {
            (Some((OutOfDate::Since(_), at)), _) => {
                format!("the certificate ended at {at}: clients that check it turn away; renew it")
            }
            (Some((OutOfDate::Until(_), at)), _) => {
                format!("the certificate is valid from {at} on: clients that check it turn away until then")
            }
            (None, Some((_, at))) => format!("the certificate ends at {at}: renew it before"),
            (None, None) => return Ok(None),
        };
        Ok(Some(self.shown.certificate.bad(why)))
    }

    /// What is made of the files.
    pub(crate) fn config(&self, files: &TlsFiles) -> Result<ServerConfig, BadFile> {
        let shown = self.shown.identity(&files.shown)?;
        let clients = self.clients.as_ref().zip(files.clients.as_ref());
        let clients = clients.map(|(named, pem)| named.authorities_in(pem)).transpose()?;
        octollm_tls::http_server(&shown, clients.as_ref())
            .map_err(|error| self.clients.as_ref().unwrap_or(&self.shown.certificate).bad(error))
    }
}

/// Why it is not valid at this moment, and the moment that this ends or began.
fn dates(shown: &Identity, at: Timestamp) -> Option<(OutOfDate, Timestamp)> {
    let since_1970 = Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0));
    let why = shown.is_valid(since_1970).err()?;
    let (OutOfDate::Since(turn) | OutOfDate::Until(turn)) = why;
    Some((why, Timestamp::from_millis(i64::try_from(turn.as_millis()).unwrap_or(i64::MAX))))
}

/// The certificate is named.
impl fmt::Display for PortTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown.certificate.path)
    }
}

impl ArmTls {
    /// `orchestrators`: where the arm goes. By http it would neither check nor show anything.
    pub(super) fn of(sources: &Sources, orchestrators: &[String]) -> Result<Self, ConfigError> {
        let trusted = Named::of(sources, "orchestrators_ca");
        let shown = Pair::of(sources, "arm_tls_certificate", "arm_tls_key")?;
        let plain = orchestrators.iter().find(|base| !base.starts_with("https://"));
        let by = trusted.as_ref().or(shown.as_ref().map(|pair| &pair.certificate));
        match (plain, by) {
            (Some(plain), Some(Named { by, .. })) => {
                let why =
                    format!("{plain} is not https, so the arm's key would go in the clear; {by} is set");
                Err(invalid(sources, "orchestrators", why))
            }
            (Some(_) | None, _) => Ok(ArmTls { trusted, shown }),
        }
    }

    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Tls, BadFile> {
        let trust = match &self.trusted {
            Some(named) => Trust::Only(named.authorities()?),
            None => Trust::System,
        };
        let shown = self.shown.as_ref().map(|pair| pair.identity(&pair.read()?)).transpose()?;
        Ok(Tls { trust, shown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn sources(flags: &[(&'static str, &str)]) -> Sources {
        let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        Sources::gather(None, &BTreeMap::new(), &[], &flags).unwrap()
    }

    /// P8: half a setting is not taken for none.
    #[test]
    fn a_certificate_without_its_key_is_refused_and_so_is_what_would_be_ignored() {
        let (certificate, key) = (("tls_certificate", "/c"), ("tls_key", "/k"));
        assert!(PortTls::public(&sources(&[])).unwrap().is_none());
        assert!(PortTls::public(&sources(&[certificate, key])).unwrap().is_some());
        let error = PortTls::public(&sources(&[certificate])).unwrap_err().to_string();
        assert_eq!(
            error,
            "tls_key is not set (variable OCTOLLM_TLS_KEY), and tls_certificate is set; it is a PEM file: the private key of tls_certificate"
        );
        let error = PortTls::public(&sources(&[certificate, ("tls_key", "")])).unwrap_err().to_string();
        assert_eq!(error, "flag --tls-key: tls_key = \"\": it is empty, and tls_certificate is set");
        let (certificate, key) = (("internal_tls_certificate", "/c"), ("internal_tls_key", "/k"));
        let error = PortTls::internal(&sources(&[certificate, key])).unwrap_err().to_string();
        assert!(error.contains("internal_listen"), "{error}");
        let clients = ("internal_tls_clients", "/a");
        let error = PortTls::internal(&sources(&[("internal_listen", "127.0.0.1:1"), clients])).unwrap_err();
        assert!(error.to_string().contains("internal_tls_certificate"), "{error}");
        let error = ArmTls::of(&sources(&[("arm_tls_key", "/k")]), &[]).unwrap_err().to_string();
        assert!(error.contains("arm_tls_certificate"), "{error}");
    }

    /// P8: who asks for TLS does not get a connection without it.
    #[test]
    fn certificates_of_an_arm_go_with_https_alone() {
        let shown = sources(&[("arm_tls_certificate", "/c"), ("arm_tls_key", "/k")]);
        for sources in [sources(&[("orchestrators_ca", "/a")]), shown] {
            let secret = "https://a:1".to_owned();
            assert!(ArmTls::of(&sources, std::slice::from_ref(&secret)).is_ok());
            let error = ArmTls::of(&sources, &[secret, "http://b:2".to_owned()]).unwrap_err().to_string();
            assert!(error.contains("orchestrators") && error.contains("http://b:2"), "{error}");
        }
        assert!(ArmTls::of(&sources(&[]), &["http://b:2".to_owned()]).is_ok());
    }

    /// A server whose certificate ends goes on; whoever runs it is told in time, with the file and the moment.
    #[test]
    fn a_certificate_that_is_out_of_date_is_told_with_its_file_and_the_moment() {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let port = PortTls::public(&sources(&[("tls_certificate", "/c.pem"), ("tls_key", "/k.pem")]));
        let port = port.unwrap().unwrap();
        let files = TlsFiles { shown: (certificate.into(), key.serialize_pem().into()), clients: None };
        let told = |at: &str| {
            let told = port.out_of_date(&files, at.parse().unwrap()).unwrap();
            told.map(|told| told.to_string()).unwrap_or_default()
        };
        for (at, wanted) in [
            ("2019-12-31T00:00:00Z", "is valid from 2020-01-01T00:00:00.000Z on"),
            ("2020-12-25T00:00:01Z", "ends at 2021-01-01T00:00:00.000Z: renew it before"),
            ("2021-01-01T00:00:01Z", "ended at 2021-01-01T00:00:00.000Z"),
        ] {
            let told = told(at);
            assert!(told.starts_with("the setting tls_certificate names /c.pem: the certificate "), "{told}");
            assert!(told.contains(wanted), "{told}");
        }
        assert_eq!(told("2020-12-24T23:59:00Z"), "");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_setting() {
        let tls = ArmTls::of(&sources(&[("orchestrators_ca", "/nowhere/ca.pem")]), &[]).unwrap();
        let error = tls.load().unwrap_err().to_string();
        assert!(error.starts_with("the setting orchestrators_ca names /nowhere/ca.pem: "), "{error}");
    }
}
