//! What is special about a bucket: somebody else's store, over a network, that may be away.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use octollm_artefacts::{Artefacts, GetError, Keys, OpenError, PutError, S3};
use octollm_contract::{ContentHash, Timestamp};
use octollm_testkit::{s3, tcp_proxy::TcpProxy};
use std::collections::BTreeSet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const LIMIT: u64 = 1 << 20;

/// The bucket of `store`, and `at` in it.
pub(crate) fn bucket(store: &s3::S3, at: &str) -> S3 {
    S3 {
        bucket: format!("s3://{}{at}", s3::S3::BUCKET).parse().unwrap(),
        endpoint: Some(store.endpoint().parse().unwrap()),
        region: "us-east-1".into(),
        keys: Keys { access: s3::S3::ACCESS_KEY.into(), secret: s3::S3::SECRET_KEY.into() },
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

#[tokio::test]
async fn a_store_that_cannot_be_used_is_told_from_the_start() {
    let mut store = s3::S3::start().unwrap();
    let good = bucket(&store, "/a");
    Artefacts::in_bucket(&good, LIMIT).await.unwrap();

    let stranger = Keys { secret: "wrong".into(), ..good.keys.clone() };
    let error = Artefacts::in_bucket(&S3 { keys: stranger, ..good.clone() }, LIMIT).await.unwrap_err();
    assert!(matches!(error, OpenError::Put(_)) && !chain(&error).contains("wrong"), "{}", chain(&error));

    store.stop();
    let error = Artefacts::in_bucket(&good, LIMIT).await.unwrap_err();
    assert!(matches!(error, OpenError::Put(_)), "{}", chain(&error));
}

/// P1: while the store is away nothing is claimed to be stored or missing; once it is back, everything
/// that was put is there.
#[tokio::test]
async fn a_store_that_is_away_can_be_asked_again() {
    let mut store = s3::S3::start().unwrap();
    let artefacts = Artefacts::in_bucket(&bucket(&store, ""), LIMIT).await.unwrap();
    let before = artefacts.put(Bytes::from_static(b"before")).await.unwrap();
    store.stop();
    let put = artefacts.put(Bytes::from_static(b"meanwhile")).await;
    assert!(matches!(put, Err(PutError::Unconfirmed(_))));
    assert!(matches!(artefacts.get(before).await, Err(GetError::Unreachable(_))));
    let keep = BTreeSet::from([before]);
    artefacts.delete_unreferenced(&keep, Timestamp::from_millis(4_900_000_000_000)).await.unwrap_err();
    store.run().unwrap();
    assert_eq!(artefacts.get(before).await.unwrap(), "before");
    let again = artefacts.put(Bytes::from_static(b"meanwhile")).await.unwrap();
    assert_eq!(artefacts.get(again).await.unwrap(), "meanwhile");
}

/// P1: a bucket that is not there, as while a store is being mended, says nothing of what lies in it.
#[tokio::test]
async fn what_lies_in_a_bucket_that_is_away_is_not_missing() {
    for (code, missing) in [("NoSuchBucket", false), ("NoSuchKey", true)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut there = bucket(&s3::S3::start().unwrap(), "");
        there.endpoint = Some(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        let artefacts = Artefacts::over(there.client().unwrap(), LIMIT);
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
            let head = format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            // Open until the answer has been read.
            stream
        };
        let (got, _stream) = tokio::join!(artefacts.get(ContentHash::of(b"kept")), answer);
        assert_eq!(matches!(got, Err(GetError::NotFound(_))), missing, "{got:?}");
        assert_eq!(matches!(got, Err(GetError::Unreachable(_))), !missing, "{got:?}");
    }
}

/// A bucket that goes while it is swept: what was asked to be removed from it is not said to have been.
#[tokio::test]
async fn a_sweep_of_a_bucket_that_goes_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut there = bucket(&s3::S3::start().unwrap(), "");
    there.endpoint = Some(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    let artefacts = Artefacts::over(there.client().unwrap(), LIMIT);
    let digits = ContentHash::of(b"loose").to_string();
    let (date, length) = ("2020-01-01T00:00:00Z", 5);
    let listed = format!(
        "<ListBucketResult><Contents><Key>sha256/{}/{}</Key><LastModified>{date}</LastModified><Size>{length}</Size>\
         </Contents></ListBucketResult>",
        &digits[..2],
        &digits[2..]
    );
    let gone = "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code></Error>";
    let store = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let read = stream.read(&mut asked).await.unwrap();
            let (status, body) = match &asked[..read] {
                [b'G', ..] => ("200 OK", listed.as_str()),
                [b'H', ..] => ("200 OK", "     "),
                _ => ("404 Not Found", gone),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\nlast-modified: Wed, 01 Jan 2020 00:00:00 GMT\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            let body = if asked[0] == b'H' { "" } else { body };
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    };
    let keep = BTreeSet::new();
    let sweep = artefacts.delete_unreferenced(&keep, Timestamp::from_millis(4_900_000_000_000));
    let error = tokio::select! {
        swept = sweep => swept.unwrap_err(),
        () = store => unreachable!("it goes on"),
    };
    assert!(chain(&error).contains("NoSuchBucket"), "{}", chain(&error));
}

/// P1: the network ends before the store's answer comes: the put is repeated, and is one.
#[tokio::test]
async fn a_put_whose_answer_is_lost_is_put_once() {
    let store = s3::S3::start().unwrap();
    let proxy = TcpProxy::start(store.address()).await.unwrap();
    let mut through = bucket(&store, "");
    through.endpoint = Some(format!("http://{}", proxy.address()).parse().unwrap());
    let artefacts = Artefacts::over(through.client().unwrap(), LIMIT);
    proxy.swallow_the_answer_to(b"PUT /");
    let bytes = Bytes::from(vec![5; 100_000]);
    let hash = artefacts.put(bytes.clone()).await.unwrap();
    proxy.happened().await;
    assert_eq!(artefacts.get(hash).await.unwrap(), bytes);
    let all: Vec<_> = artefacts.list().try_collect().await.unwrap();
    assert_eq!(all.iter().map(|stored| (stored.hash, stored.bytes)).collect::<Vec<_>>(), [(hash, 100_000)]);
}

/// A store lists a thousand objects at a time; a sweep sees them all.
#[tokio::test]
async fn a_sweep_sees_more_than_one_page() {
    let store = s3::S3::start().unwrap();
    let artefacts = Artefacts::over(bucket(&store, "/many").client().unwrap(), LIMIT);
    let put = async |n: u32| artefacts.put(n.to_string().into()).await.unwrap();
    let mut hashes = BTreeSet::new();
    for chunk in (0..1100).collect::<Vec<u32>>().chunks(50) {
        hashes.extend(futures_util::future::join_all(chunk.iter().map(|n| put(*n))).await);
    }
    let loose = *hashes.last().unwrap();
    let keep = hashes.iter().copied().filter(|hash| *hash != loose).collect();
    let swept =
        artefacts.delete_unreferenced(&keep, Timestamp::from_millis(4_900_000_000_000)).await.unwrap();
    assert_eq!((swept.removed, swept.left), (1, 1099));
}
