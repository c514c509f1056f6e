//! Where artefacts lie at a store that speaks S3's protocol, and the connection to it.
//!
//! Promises: a request ends in bounded time, repeated ones included, before those give up who wait for
//! its answer; an address without TLS is used only where it is written as one; no key is printed.

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::AmazonS3Builder,
    client::{HttpClient, HttpConnector},
    path::Path,
    prefix::PrefixStore,
};
use octollm_tls::{NoTrust, Trust};
use std::{fmt, str::FromStr, sync::Arc, time::Duration};

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// One try: 64 MiB, the largest artefact, at 5 MB/s.
const TRY_WITHIN: Duration = Duration::from_secs(14);
/// No further try begins after this. Workers wait 30 s for an answer.
const TRIES_WITHIN: Duration = Duration::from_secs(12);
const RETRIES: usize = 3;

/// `s3://bucket/prefix`; the prefix may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    prefix: String,
}

/// No address of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no bucket such as s3://artefacts/octollm: 3 to 63 letters, digits, dots and hyphens, then names between slashes"
)]
pub struct BadBucket;

impl Bucket {
    /// How an address begins.
    pub const SCHEME: &str = "s3://";
}

impl FromStr for Bucket {
    type Err = BadBucket;

    fn from_str(text: &str) -> Result<Self, BadBucket> {
        let rest = text.strip_prefix(Bucket::SCHEME).ok_or(BadBucket)?;
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let whole = (3..=63).contains(&name.len()) && name.chars().all(named);
        let parts = prefix.is_empty()
            || prefix.split('/').all(|part| !matches!(part, "" | "." | "..") && part.chars().all(named));
        if whole && parts && prefix.len() <= 512 {
            Ok(Bucket { name: name.to_owned(), prefix: prefix.to_owned() })
        } else {
            Err(BadBucket)
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "{}{}{gap}{}", Bucket::SCHEME, self.name, self.prefix)
    }
}

/// The address of a store, such as `https://s3.example.com` or `http://127.0.0.1:9000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    encrypted: bool,
}

/// No address of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no address such as https://s3.example.com; it has neither user nor path nor query")]
pub struct BadEndpoint;

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        let url = reqwest::Url::parse(text.trim()).map_err(|_| BadEndpoint)?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if !bare || !url.has_host() || !matches!(url.scheme(), "http" | "https") {
            return Err(BadEndpoint);
        }
        let encrypted = url.scheme() == "https";
        Ok(Endpoint { url: url.as_str().trim_end_matches('/').to_owned(), encrypted })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// What a store knows its clients by. It does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key's id.
    pub access: String,
    /// Its secret.
    pub secret: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// A bucket at a store.
#[derive(Clone, Debug)]
pub struct S3 {
    /// Which bucket, and where in it.
    pub bucket: Bucket,
    /// Which store; `None`: Amazon's in the region. Buckets are named in the path at a store with an
    /// address, and in the host at Amazon.
    pub endpoint: Option<Endpoint>,
    /// The region that requests are signed for.
    pub region: String,
    /// Who asks.
    pub keys: Keys,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection can be made to anybody.
    #[error("no HTTP client can be made")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The settings do not fit together.
    #[error("the store's client cannot be set up")]
    Settings(#[source] object_store::Error),
}

impl From<NoTrust> for ConnectError {
    fn from(error: NoTrust) -> Self {
        ConnectError::Client(error.into())
    }
}

impl S3 {
    /// A client of the bucket; connects to nothing.
    pub fn client(&self) -> Result<Arc<dyn ObjectStore>, ConnectError> {
        let encrypted = self.endpoint.as_ref().is_none_or(|endpoint| endpoint.encrypted);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket.name)
            .with_region(&self.region)
            .with_access_key_id(&self.keys.access)
            .with_secret_access_key(&self.keys.secret)
            .with_virtual_hosted_style_request(self.endpoint.is_none())
            // One object at a time is removed anyway, and not every store takes lists of them.
            .with_disable_bulk_delete(true)
            .with_allow_http(!encrypted)
            .with_http_connector(Connector(http(encrypted)?))
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(2),
                    base: 2.0,
                },
                max_retries: RETRIES,
                retry_timeout: TRIES_WITHIN,
            });
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.url.clone());
        }
        let bucket = builder.build().map_err(ConnectError::Settings)?;
        Ok(if self.bucket.prefix.is_empty() {
            Arc::new(bucket)
        } else {
            Arc::new(PrefixStore::new(bucket, Path::from(self.bucket.prefix.as_str())))
        })
    }
}

fn http(encrypted: bool) -> Result<reqwest::Client, ConnectError> {
    let trust = if encrypted { Trust::System } else { Trust::Nobody };
    reqwest::Client::builder()
        .tls_backend_preconfigured(octollm_tls::http_client(&trust, None)?)
        .https_only(encrypted)
        .no_proxy()
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .timeout(TRY_WITHIN)
        .build()
        .map_err(|error| ConnectError::Client(error.into()))
}

/// Gives the store's client the connections made here, with our provider of cryptography.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_shown_as_it_is_written() {
        for text in ["s3://abc", "s3://artefacts/octollm", "s3://my.bucket-1/a/b_c"] {
            assert_eq!(text.parse::<Bucket>().unwrap().to_string(), text);
        }
        assert_eq!("s3://abc/d/".parse::<Bucket>().unwrap().to_string(), "s3://abc/d");
        for bad in
            ["abc", "s3://", "s3://ab", "s3://abc//d", "s3://abc/../d", "s3://a b c", "s3:abc", "S3://abc"]
        {
            assert_eq!(bad.parse::<Bucket>(), Err(BadBucket), "{bad}");
        }
    }

    /// A password has no place in an address: it would be shown with it.
    #[test]
    fn an_endpoint_is_scheme_host_and_port_alone() {
        for good in ["http://127.0.0.1:9000", "https://s3.example.com"] {
            assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
        }
        for bad in ["s3.example.com", "ftp://a", "http://u:p@a", "http://a/b", "http://a?b", "http://"] {
            assert_eq!(bad.parse::<Endpoint>(), Err(BadEndpoint), "{bad}");
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let keys = Keys { access: "AKIA".into(), secret: "hunter2".into() };
        let s3 = S3 { bucket: "s3://abc".parse().unwrap(), endpoint: None, region: "eu".into(), keys };
        let shown = format!("{s3:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("AKIA"), "{shown}");
    }
}
