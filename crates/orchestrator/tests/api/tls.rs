//! A port that speaks TLS, under clients that don't, or not to the end.

use crate::harness::{Octo, ask, within};
use octollm_client::{
    Completion, LeaseError, Leases as _,
    http::{Client, ClientError, HttpLeases, Tls},
};
use octollm_contract::{Millis, api::TaskStatus};
use octollm_orchestrator::http::ServerSettings;
use octollm_plan::StepOutput;
use octollm_testkit::certificates::{Authority, Signed};
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
    let shown = pem(&signed);
    let trust = Trust::Only(of(&authority));
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

fn pem(signed: &Signed) -> Identity {
    Identity::from_pem(signed.certificate.as_bytes(), signed.key.as_bytes()).unwrap()
}

fn of(authority: &Authority) -> Authorities {
    Authorities::from_pem(authority.pem().as_bytes()).unwrap()
}

/// P1: an arm whose certificate is refused at one orchestrator is told what may be wrong, whatever the moment at
/// which the connection is closed, and its report is taken at another.
#[tokio::test]
async fn an_arm_that_is_turned_away_is_told_so_and_reports_elsewhere() {
    let octo = Octo::start().await;
    let (servers, arms, others) =
        (Authority::new().unwrap(), Authority::new().unwrap(), Authority::new().unwrap());
    let port = pem(&servers.sign(&["127.0.0.1"]).unwrap());
    let base = async |clients: &Authority| {
        let tls = octollm_tls::http_server(&port, Some(&of(clients))).unwrap();
        format!("https://{}", octo.tls_port(tls, ServerSettings::default()).await)
    };
    let (refusing, taking) = (base(&others).await, base(&arms).await);
    let tls = Tls { trust: Trust::Only(of(&servers)), shown: Some(pem(&arms.sign(&["arm-1"]).unwrap())) };
    let arm = |bases: &[String]| HttpLeases::over(bases, octo.arm.clone(), 0, &tls).unwrap();
    for _ in 0..20 {
        let refused = arm(std::slice::from_ref(&refusing)).lease(ask(Millis::ZERO)).await.unwrap_err();
        let LeaseError::Unreachable(why) = refused else { panic!("{refused:?}") };
        assert!(matches!(why.downcast_ref(), Some(ClientError::TurnedAway(_))), "{why:?}");
        assert!(why.to_string().contains("arm_tls_certificate"), "{why}");
    }
    let bare = Tls { trust: Trust::Only(of(&servers)), shown: None };
    for _ in 0..20 {
        let arm = HttpLeases::over(std::slice::from_ref(&refusing), octo.arm.clone(), 0, &bare).unwrap();
        let LeaseError::Unreachable(why) = arm.lease(ask(Millis::ZERO)).await.unwrap_err() else { panic!() };
        assert!(matches!(why.downcast_ref(), Some(ClientError::NoneShown(_))), "{why:?}");
    }
    let task = octo.submit().await;
    let both = [refusing, taking];
    let asking = arm(&both);
    let grant = within(async {
        loop {
            // The first call tells that it was refused, the next one goes elsewhere.
            match asking.lease(ask(Millis::from_secs(5))).await {
                Ok(mut grants) => break grants.pop().unwrap(),
                Err(LeaseError::Unreachable(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    })
    .await;
    // As one that knows of no home for the step.
    arm(&both).complete(&grant.token, Completion::of(StepOutput::default())).await.unwrap();
    let task = octo.client(&octo.user).task(task).await.unwrap();
    assert_eq!(task.status, TaskStatus::Completed);
    octo.stop().await;
}

/// Who has the wrong scheme in its address is told the right one.
#[tokio::test]
async fn a_client_that_speaks_the_other_way_is_told_which_the_server_wants() {
    let octo = Octo::start().await;
    let authority = Authority::new().unwrap();
    let port = pem(&authority.sign(&["127.0.0.1"]).unwrap());
    let address =
        octo.tls_port(octollm_tls::http_server(&port, None).unwrap(), ServerSettings::default()).await;
    let tls = Tls { trust: Trust::Only(of(&authority)), shown: None };
    for (base, wanted) in [
        (format!("http://{address}"), "begins with https://"),
        (format!("https://{}", octo.address), "begins with http://"),
    ] {
        let error = Client::over(&base, octo.user.clone(), &tls).unwrap().keys().await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{base}: {error:?}");
    }
    octo.stop().await;
}
