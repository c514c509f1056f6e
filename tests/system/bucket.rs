//! Two servers over one database whose artefacts are in a bucket: what a step makes at one is there at the
//! other, nothing is lost while the store is away, and no key is shown (P1, P7).

use crate::server::{ADMIN, Octo, program};
use octollm_testkit::{postgres::shared, s3::S3};
use serde_json::json;

/// P1: the store's outage costs no task, and is told as one that passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artefacts_in_a_bucket_are_shared_and_outlive_an_outage() {
    let mut store = S3::start().unwrap();
    let url = shared().url(&shared().database().unwrap());
    let (artefacts, endpoint) = (format!("s3://{}/octollm", S3::BUCKET), store.endpoint());
    let variables = [
        ("OCTOLLM_DATABASE_URL", url.as_str()),
        ("OCTOLLM_ARTEFACTS", &artefacts),
        ("OCTOLLM_S3_ENDPOINT", &endpoint),
        ("OCTOLLM_S3_ACCESS_KEY", S3::ACCESS_KEY),
        ("OCTOLLM_S3_SECRET_KEY", S3::SECRET_KEY),
    ];
    let servers = [Octo::start_with(&[], &variables), Octo::start_with(&[], &variables)];
    let source = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::write(source.path().join("text"), "kept in a bucket").unwrap();
    let key = crate::cancel::key_with_commands(&servers[0], &["cp"]).await;
    let goal = |to: &str| json!({"goal": format!("run `cp {}/text {to}`", source.path().display())});
    let [one, other] = [0, 1].map(|at| servers[at].client().with_key(&key));

    let task = one.submit(&goal("made.txt")).await;
    let ended = one.ended(&task).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    let path = format!("/api/v1/tasks/{task}/artefacts/made.txt");
    for api in [&one, &other] {
        assert_eq!(api.get_text(&path).await.unwrap(), (200, "kept in a bucket".to_owned()));
    }
    for server in &servers {
        assert!(!server.data().join("artefacts").exists(), "nothing is kept on the machine");
    }

    store.stop();
    let late = other.submit(&goal("late.txt")).await;
    let (status, problem) = other.get(&path).await.unwrap();
    assert_eq!((status, &problem["type"]), (503, &json!("/problems/unavailable")), "{problem}");
    store.run().unwrap();
    let ended = one.ended(&late).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert_eq!(ended["steps"][0]["deliveries"]["failures"], 0, "{ended:#}");
    let path = format!("/api/v1/tasks/{late}/artefacts/late.txt");
    assert_eq!(one.get_text(&path).await.unwrap(), (200, "kept in a bucket".to_owned()));
}

/// P8: a store that cannot be used is said at the start, with the settings that name it and without the keys.
#[test]
fn a_store_that_cannot_be_reached_is_named_with_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = S3::start().unwrap();
    let endpoint = store.endpoint();
    store.stop();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(program())
            .args(arguments)
            .env_clear()
            .env("HOME", folder.path())
            .env("OCTOLLM_ADMIN_KEY", ADMIN)
            .env("OCTOLLM_LISTEN", "127.0.0.1:0")
            .env("OCTOLLM_ARTEFACTS", "s3://abc")
            .env("OCTOLLM_S3_ENDPOINT", &endpoint)
            .env("OCTOLLM_S3_ACCESS_KEY", "hunter1")
            .env("OCTOLLM_S3_SECRET_KEY", "hunter2")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    };
    let (code, said) = run(&["serve"]);
    assert_eq!(code, Some(1), "{said}");
    for part in ["s3://abc", endpoint.as_str(), "s3_endpoint", "artefacts"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, shown) = run(&["config", "show"]);
    assert!(code == Some(0) && shown.contains("artefacts = s3://abc"), "{shown}");
    assert!(!said.contains("hunter") && !shown.contains("hunter"), "{said}{shown}");
}
