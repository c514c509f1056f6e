//! A port that speaks TLS, under clients that don't, or not to the end.

use crate::harness::{Octo, within};
use octollm_orchestrator::http::ServerSettings;
use octollm_testkit::certificates::Authority;
use octollm_tls::{Authorities, Identity, Trust};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, ServerConfig, pki_types::ServerName},
};

/// Both ends; the client's offers `protocol` alone.
fn ends(protocol: &[u8]) -> (ServerConfig, TlsConnector) {
    let authority = Authority::new().unwrap();
    let signed = authority.sign(&["localhost"]).unwrap();
    let shown = Identity::from_pem(signed.certificate.as_bytes(), signed.key.as_bytes()).unwrap();
    let trust = Trust::Only(Authorities::from_pem(authority.pem().as_bytes()).unwrap());
    let mut client: ClientConfig = octollm_tls::http_client(&trust, None).unwrap();
    client.alpn_protocols = vec![protocol.to_vec()];
    (octollm_tls::http_server(&shown, None).unwrap(), TlsConnector::from(Arc::new(client)))
}

/// P9: who begins no handshake, half of one, or nothing after it, is cut after the time that a head may take.
#[tokio::test]
async fn a_handshake_that_stands_still_is_cut() {
    let octo = Octo::start().await;
    for protocol in [&b"h2"[..], b"http/1.1"] {
        let (server, client) = ends(protocol);
        let head_within = Duration::from_millis(500);
        let address = octo.tls_port(server, ServerSettings { head_within, ..Default::default() }).await;
        for begun in [&b""[..], b"\x16\x03\x01\x02\x00"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(begun).await.unwrap();
            let mut got = Vec::new();
            // What is closed with bytes unread is reset.
            let _cut = within(stream.read_to_end(&mut got)).await;
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        // On a busy machine the handshake itself may be what stands still: cut it is either way.
        if let Ok(mut stream) = within(client.connect(name, stream)).await {
            let mut got = Vec::new();
            let _cut = within(stream.read_to_end(&mut got)).await;
            assert!(!got.starts_with(b"HTTP/1.1 2"), "nothing was asked: {}", String::from_utf8_lossy(&got));
        }
    }
    octo.stop().await;
}

/// P9: a connection counts before its handshake, and one too many hears nothing that is no TLS.
#[tokio::test]
async fn a_connection_too_many_is_closed_without_a_word() {
    let octo = Octo::start().await;
    let (server, _) = ends(b"http/1.1");
    let address = octo.tls_port(server, ServerSettings { connections_max: 1, ..Default::default() }).await;
    let _first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    let mut got = Vec::new();
    within(second.read_to_end(&mut got)).await.unwrap();
    assert_eq!(got, b"");
    octo.stop().await;
}
