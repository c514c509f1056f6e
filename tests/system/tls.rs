//! Ports that speak TLS, and arms that must show a certificate, as processes (P1, P7, P8).

use crate::server::{Octo, http, kill, program, wait_until};
use octollm_testkit::certificates::{Authority, Signed};
use octollm_tls::{Authorities, Identity, Trust};
use rustix::process::Signal;
use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Files of certificates and keys, in a folder.
struct Files<'f>(&'f Path);

impl Files<'_> {
    fn write(&self, name: &str, pem: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, pem).expect("the folder takes a file");
        path.display().to_string()
    }

    fn pair(&self, name: &str, signed: &Signed) -> (String, String) {
        (
            self.write(&format!("{name}.pem"), &signed.certificate),
            self.write(&format!("{name}.key"), &signed.key),
        )
    }
}

/// Ends with the test.
struct Arm(Child);

impl Drop for Arm {
    fn drop(&mut self) {
        kill(self.0.id(), Signal::KILL);
        let _reaped = self.0.wait();
    }
}

fn trusting(authority: &Authority) -> Trust {
    Trust::Only(Authorities::from_pem(authority.pem().as_bytes()).expect("its own certificate"))
}

/// P1, P7: clients reach the public port with the authority's certificate, arms the internal one with a
/// certificate of their own beside their key; nobody else gets in, and a goal is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arm_works_over_mutual_tls_and_a_stranger_does_not_get_in() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files(folder.path());
    let (servers, arms) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (certificate, key) = files.pair("server", &servers.sign(&["127.0.0.1"]).unwrap());
    let shown = arms.sign(&["arm-1"]).unwrap();
    let (arm_certificate, arm_tls_key) = files.pair("arm", &shown);
    let (ca, clients) = (files.write("ca.pem", servers.pem()), files.write("arms.pem", arms.pem()));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let internal = free.local_addr().unwrap().to_string();
    drop(free);
    let octo = Octo::start_with(
        &["--role", "orchestrator", "--internal-listen", &internal],
        &[
            ("OCTOLLM_TLS_CERTIFICATE", certificate.as_str()),
            ("OCTOLLM_TLS_KEY", key.as_str()),
            ("OCTOLLM_INTERNAL_TLS_CERTIFICATE", certificate.as_str()),
            ("OCTOLLM_INTERNAL_TLS_KEY", key.as_str()),
            ("OCTOLLM_INTERNAL_TLS_CLIENTS", clients.as_str()),
        ],
    );
    let api = octo.client().through(http(&trusting(&servers), None));
    assert!(api.url("").starts_with("https://"), "{}", api.url(""));
    let (status, made) = api.post("/api/v1/keys", &json!({ "role": "arm" }), None).await.unwrap();
    assert_eq!(status, 201, "{made}");

    // The internal port: with a certificate over HTTP/2, without one or with a foreign one not at all.
    let health = format!("https://{internal}/healthz");
    let known = Identity::from_pem(shown.certificate.as_bytes(), shown.key.as_bytes()).unwrap();
    let answer = http(&trusting(&servers), Some(&known)).get(&health).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    let foreign = servers.sign(&["arm-1"]).unwrap();
    let foreign = Identity::from_pem(foreign.certificate.as_bytes(), foreign.key.as_bytes()).unwrap();
    for stranger in [None, Some(&foreign)] {
        http(&trusting(&servers), stranger).get(&health).send().await.unwrap_err();
    }
    // Nor is a server believed that somebody else has signed.
    http(&trusting(&arms), Some(&known)).get(&health).send().await.unwrap_err();

    let mut arm = Command::new(program());
    arm.args(["serve", "--role", "arm:executor", "--data"]).arg(folder.path().join("arm"));
    let arm = arm
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("OCTOLLM_ARM_KEY", made["key"].as_str().unwrap())
        .env("OCTOLLM_ORCHESTRATORS", format!("https://{internal}"))
        .env("OCTOLLM_ORCHESTRATORS_CA", &ca)
        .env("OCTOLLM_ARM_TLS_CERTIFICATE", &arm_certificate)
        .env("OCTOLLM_ARM_TLS_KEY", &arm_tls_key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut arm = Arm(arm);
    let task = api.submit(&json!({"goal": "Count the files in /tmp"})).await;
    let ended = api.ended(&task).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    kill(arm.0.id(), Signal::TERM);
    let code = wait_until("the arm ends", || arm.0.try_wait().unwrap()).code();
    assert_eq!(code, Some(0));

    // The command line, too.
    let task = Command::new(program())
        .args(["task", "get", &task, "--url", &api.url(""), "--ca", &ca])
        .env_clear()
        .env("OCTOLLM_KEY", crate::server::ADMIN)
        .output()
        .unwrap();
    assert!(task.status.success(), "{}", String::from_utf8_lossy(&task.stderr));
}

/// One port and its own workers on this machine: these need no certificate. Who speaks no TLS is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_one_machine_speaks_tls_with_its_clients() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files(folder.path());
    let authority = Authority::new().unwrap();
    let (certificate, key) = files.pair("server", &authority.sign(&["127.0.0.1"]).unwrap());
    let variables = [("OCTOLLM_TLS_CERTIFICATE", certificate.as_str()), ("OCTOLLM_TLS_KEY", key.as_str())];
    let mut octo = Octo::start_with(&[], &variables);
    let api = octo.client().through(http(&trusting(&authority), None));
    let task = api.submit(&json!({"goal": "Count the files in /tmp"})).await;
    let ended = api.ended(&task).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");

    let address = api.url("").trim_start_matches("https://").to_owned();
    let mut plain = std::net::TcpStream::connect(&address).unwrap();
    plain.set_read_timeout(Some(crate::server::PATIENCE)).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // It may be reset with the request unread.
    let _closed = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(octo.terminate(), Some(0));
}

/// P1: a renewed certificate is shown to whoever connects, without a restart; as long as only one of its files
/// is there, the old one is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files(folder.path());
    let (old, new) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (certificate, key) = files.pair("server", &old.sign(&["127.0.0.1"]).unwrap());
    let octo = Octo::start_with(
        &["--role", "orchestrator"],
        &[("OCTOLLM_TLS_CERTIFICATE", certificate.as_str()), ("OCTOLLM_TLS_KEY", key.as_str())],
    );
    let health = octo.client().url("/healthz");
    let believes =
        async |authority: &Authority| http(&trusting(authority), None).get(&health).send().await.is_ok();
    assert!(believes(&old).await && !believes(&new).await);
    let renewed = new.sign(&["127.0.0.1"]).unwrap();
    files.write("server.pem", &renewed.certificate);
    let half = "does not belong to the certificate; what was read before is shown on";
    wait_until("half of it is noticed", || octo.log().contains(half).then_some(()));
    assert!(believes(&old).await && !believes(&new).await);
    files.write("server.key", &renewed.key);
    let began = std::time::Instant::now();
    while !believes(&new).await {
        assert!(began.elapsed() < crate::server::PATIENCE, "the new one is not shown: {}", octo.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(!believes(&old).await);
}

/// P8: a file that cannot be used is said with its setting, and nothing is started.
#[test]
fn a_certificate_that_cannot_be_used_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files(folder.path());
    let authority = Authority::new().unwrap();
    let (certificate, key) = files.pair("a", &authority.sign(&["a"]).unwrap());
    let (_, other) = files.pair("b", &authority.sign(&["b"]).unwrap());
    let nowhere = folder.path().join("nowhere.pem").display().to_string();
    for (certificate, key, said) in [
        (nowhere.as_str(), key.as_str(), format!("tls_certificate names {nowhere}")),
        (&certificate, &other, format!("tls_key names {other}: the private key does not belong")),
        (&key, &key, format!("tls_certificate names {key}: it holds no certificate")),
        (&certificate, "", "tls_key".to_owned()),
    ] {
        let output = Command::new(program())
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .env_clear()
            .env("OCTOLLM_TLS_CERTIFICATE", certificate)
            .env("OCTOLLM_TLS_KEY", key)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(&said), "{said}: {stderr}");
    }
}
