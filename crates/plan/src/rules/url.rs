//! The host and port that a URL leads to, read strictly: what two readers could take for
//! different hosts is refused.

use super::NotUnderstood;
use super::refusal::cut;
use octollm_access::HostPort;

/// The host and port of `url`, with the port always written.
pub(super) fn host_of(url: &str) -> Result<HostPort, NotUnderstood> {
    let bad = |why: &'static str| NotUnderstood::BadUrl { url: cut(url, 200), why };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(bad("write the whole URL, beginning with http:// or https://"));
    };
    let port = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return Err(bad("only http:// and https:// are fetched")),
    };
    if url.len() > 2048 {
        return Err(bad("it is longer than 2,048 characters"));
    }
    if !url.bytes().all(|b| {
        b.is_ascii_graphic() && !matches!(b, b'\\' | b'<' | b'>' | b'"' | b'`' | b'{' | b'}' | b'|' | b'^')
    }) {
        return Err(bad("it holds a character that must be percent-encoded"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(bad("it holds a user name or a password"));
    }
    let host: HostPort = authority.parse().map_err(|_| bad("its host or port is not valid"))?;
    let name = host.host();
    // "http://2130706433/" and "http://127.1/" are 127.0.0.1 to some readers and names to others.
    let last = name.rsplit('.').find(|label| !label.is_empty()).unwrap_or_default();
    let numeric = !last.is_empty() && (last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x"));
    if numeric && !name.contains(':') && name.parse::<std::net::Ipv4Addr>().is_err() {
        return Err(bad("its host is a number that is no plain IPv4 address"));
    }
    if name.starts_with('.') || name.contains("..") {
        return Err(bad("its host or port is not valid"));
    }
    match host.port() {
        Some(_) => Ok(host),
        None => format!("{authority}:{port}").parse().map_err(|_| bad("its host or port is not valid")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_to_one_host_or_is_refused() {
        let host = |url: &str| host_of(url).unwrap().to_string();
        assert_eq!(host("https://Example.org/a?b#c"), "example.org:443");
        assert_eq!(host("http://example.org:8080"), "example.org:8080");
        assert_eq!(host("http://[::1]/x"), "[::1]:80");
        assert_eq!(host("HTTP://127.0.0.1?x"), "127.0.0.1:80");
        for url in [
            "example.org",
            "ftp://example.org",
            "file:///etc/passwd",
            "http://",
            "http://a b/",
            "http://user@host/",
            "http://2130706433/",
            "http://127.1/",
            "http://0x7f.0x1/",
            "http://a:0/",
            "http://a:99999/",
            "http://a\\b/",
            "http://exämple.org/",
            "http://.a/",
            "http://a..b/",
            "https:///x",
        ] {
            assert!(matches!(host_of(url), Err(NotUnderstood::BadUrl { .. })), "{url}");
        }
    }
}
