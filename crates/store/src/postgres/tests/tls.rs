//! Encrypted connections to a real server, with certificates that the test makes.

use super::super::{Moments, PostgresStore, Target, schema};
use crate::OsEntropy;
use octollm_testkit::{certificates::Authority, postgres::Server};
use std::{path::Path, sync::Arc};

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

fn target(server: &Server, host: &str, query: &str) -> Target {
    format!("postgresql://octo@{host}:{}/postgres?{query}", server.port()).parse().unwrap()
}

fn written(folder: &Path, name: &str, pem: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, pem).unwrap();
    path.display().to_string()
}

/// A URL gets what it demands, or no connection: what is not encrypted, not signed by whom it should be or not
/// the host's is refused with the reason.
#[tokio::test]
async fn a_server_is_believed_as_far_as_sslmode_says() {
    let (own, foreign) = (Authority::new().unwrap(), Authority::new().unwrap());
    let server = Server::start_encrypted(&own.sign(&["localhost"]).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let own = written(folder.path(), "own.pem", own.pem());
    let foreign = written(folder.path(), "foreign.pem", foreign.pem());
    for (host, query, refused) in [
        ("localhost", format!("sslmode=verify-full&sslrootcert={own}"), None),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={own}"), Some("not valid for name")),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={own}"), None),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={own}"), None),
        ("127.0.0.1", "sslmode=require".to_owned(), None),
        ("127.0.0.1", "sslmode=prefer".to_owned(), None),
        ("localhost", format!("sslmode=verify-full&sslrootcert={foreign}"), Some("UnknownIssuer")),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={foreign}"), Some("UnknownIssuer")),
        ("localhost", format!("sslmode=require&sslrootcert={foreign}"), Some("UnknownIssuer")),
        ("localhost", "sslmode=verify-full".to_owned(), Some("certificate")),
    ] {
        let tried = schema::migrate(&target(&server, host, &query)).await;
        match (tried, refused) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) if chain(&error).contains(part) => {}
            (tried, _) => panic!("{host} {query}: {tried:?}, and not {refused:?}"),
        }
    }

    // Every connection that a store makes is one of these.
    let target = target(&server, "localhost", &format!("sslmode=verify-full&sslrootcert={own}"));
    let _store = PostgresStore::open(target, Moments::Database, Arc::new(OsEntropy)).await.unwrap();
    let count =
        "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name LIKE 'octollm %'";
    let counted = server.sql("postgres", count).unwrap();
    let (all, encrypted) = counted.split_once('|').unwrap();
    assert!(all == encrypted && all.parse::<u32>().unwrap() >= 8, "{counted}");
}

#[tokio::test]
async fn a_server_without_encryption_is_refused_where_it_is_demanded() {
    let server = Server::start(&[]).unwrap();
    let error = schema::migrate(&target(&server, "127.0.0.1", "sslmode=require")).await.unwrap_err();
    assert!(chain(&error).contains("does not support TLS"), "{}", chain(&error));
    schema::migrate(&target(&server, "127.0.0.1", "sslmode=prefer")).await.unwrap();
}
