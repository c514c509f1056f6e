//! What a worker is told while one of its orchestrators hangs.

use super::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Nothing here takes this long unless it is stuck; the worker takes a heartbeat for lost then.
const BEAT_FOR: Duration = Duration::from_secs(3);

/// It takes connections, as a stopped process does, and never answers.
async fn hangs() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

/// It answers every heartbeat: that a step whose token begins with "lost" is lost, any other alive.
async fn lives() -> String {
    let (listener, base) = hangs().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let whole = loop {
                stream.read_buf(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request);
                let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
                if let Ok(ask) = serde_json::from_str::<HeartbeatAsk>(body) {
                    break ask;
                }
            };
            let lost = |token: &StepToken| token.reveal().starts_with("lost");
            let beats = whole.tokens.iter().map(|token| if lost(token) { Beat::Lost } else { Beat::Alive });
            let body = serde_json::to_string(&beats.collect::<Vec<_>>()).unwrap();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    base
}

fn token(text: &str) -> StepToken {
    StepToken::from_presented(text)
}

#[test]
fn an_empty_list_of_orchestrators_is_told_as_such() {
    let key = ApiKey::generate([1; 5], [2; 32]);
    let error = HttpLeases::new(&[], key, 0).err().unwrap().to_string();
    assert!(error.starts_with("no address is given"), "{error}");
}

fn leases_of(bases: &[String]) -> HttpLeases {
    let key = ApiKey::generate([1; 5], [2; 32]);
    HttpLeases::new(bases, key, 0).unwrap()
}

/// P1, P2: one orchestrator that is off the network costs no step its lease.
#[tokio::test]
async fn steps_of_an_orchestrator_that_hangs_are_beaten_at_the_next() {
    let ((_open, stopped), alive) = (hangs().await, lives().await);
    let leases = leases_of(&[stopped, alive]);
    let (its, others, gone) = (token("its"), token("others"), token("lost"));
    let homes = &leases.orchestrators.homes;
    homes.settle([&its], 0, Instant::now());
    homes.settle([&others, &gone], 1, Instant::now());
    let (worker, tokens) = ("w1".parse().unwrap(), [its.clone(), others, gone.clone()]);
    let beats = timeout(BEAT_FOR, leases.heartbeat(&worker, &tokens)).await.expect("in time").unwrap();
    assert_eq!(beats, [Some(Beat::Alive), Some(Beat::Alive), Some(Beat::Lost)]);
    assert_eq!(homes.of(&its), Some(1), "its reports go to who answers");
    assert_eq!(homes.of(&gone), None, "of a lost step nothing is to be said");
    let again = timeout(BEAT_WITHIN, leases.heartbeat(&worker, &tokens[..2])).await;
    assert!(again.expect("nobody waits for the one that hangs").unwrap().iter().all(Option::is_some));
}

#[tokio::test]
async fn steps_that_nobody_answers_for_leave_the_others_answered() {
    let mut open = Vec::new();
    let mut bases = Vec::new();
    for _ in 0..BEAT_TURNS_MAX {
        let (listener, base) = hangs().await;
        open.push(listener);
        bases.push(base);
    }
    bases.push(lives().await);
    let leases = leases_of(&bases);
    let (its, others) = (token("its"), token("others"));
    leases.orchestrators.homes.settle([&its], 0, Instant::now());
    leases.orchestrators.homes.settle([&others], BEAT_TURNS_MAX, Instant::now());
    let (worker, tokens) = ("w1".parse().unwrap(), [its, others]);
    let beats = timeout(BEAT_FOR, leases.heartbeat(&worker, &tokens)).await.expect("in time").unwrap();
    assert_eq!(beats, [None, Some(Beat::Alive)]);
    let beats = timeout(BEAT_FOR, leases.heartbeat(&worker, &tokens)).await.expect("in time").unwrap();
    assert_eq!(beats, [Some(Beat::Alive); 2], "the next heartbeat goes to the orchestrators after them");
    assert!(matches!(
        timeout(BEAT_FOR, leases_of(&bases[..1]).heartbeat(&worker, &tokens)).await.expect("in time"),
        Err(LeaseError::Unreachable(_))
    ));
}

/// It answers every request with this body, once all of it has come.
async fn says(body: &'static str) -> String {
    let (listener, base) = hangs().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).await.unwrap();
        }
    });
    base
}

/// P1: one orchestrator that stands still keeps no step from its artefacts, neither when it takes the
/// connection and says nothing nor when it stops in the middle.
#[tokio::test]
async fn artefacts_are_asked_for_at_the_next_when_one_says_nothing() {
    let (_open, stopped) = hangs().await;
    let (half_open, half) = hangs().await;
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = half_open.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.unwrap();
            kept.push(stream);
        }
    });
    let leases = leases_of(&[stopped, half, says("the whole").await]);
    let its = token("its");
    leases.orchestrators.homes.settle([&its], 0, Instant::now());
    let hash = ContentHash::of(b"the whole");
    let got = timeout(4 * BEAT_FOR, leases.get_artefact(&its, hash)).await.expect("in time").unwrap();
    assert_eq!((&got[..], leases.orchestrators.homes.of(&its)), (&b"the whole"[..], Some(2)));
}

/// The same of what is handed over; where nobody answers, that is said.
#[tokio::test]
async fn artefacts_are_handed_over_to_the_next_when_one_says_nothing() {
    let (_open, stopped) = hangs().await;
    let hash = ContentHash::of(b"it");
    let answer = format!("{{\"sha256\":\"{hash}\"}}").leak();
    let leases = leases_of(&[stopped.clone(), says(answer).await]);
    let its = token("its");
    leases.orchestrators.homes.settle([&its], 0, Instant::now());
    let put = timeout(4 * BEAT_FOR, leases.put_artefact(&its, Bytes::from_static(b"it"))).await;
    assert_eq!(put.expect("in time").unwrap(), hash);
    let nobody = leases_of(&[stopped]);
    let put = timeout(4 * BEAT_FOR, nobody.put_artefact(&its, Bytes::from_static(b"it"))).await;
    assert!(matches!(put.expect("in time"), Err(LeaseError::Unreachable(_))));
    let got = timeout(4 * BEAT_FOR, nobody.get_artefact(&its, hash)).await.expect("in time");
    assert!(matches!(got, Err(LeaseError::Unreachable(_))));
}

/// P1: a worker that waits for steps at an orchestrator that stands still asks another one.
#[tokio::test]
async fn steps_are_asked_for_at_the_next_when_one_stands_still() {
    let (_open, stopped) = hangs().await;
    let leases = leases_of(&[stopped, says("[]").await]);
    let ask = LeaseAsk {
        worker: "w1".parse().unwrap(),
        arms: vec![],
        tools: BTreeMap::new(),
        most: 1,
        wait: Millis::from_secs(1),
        reads: octollm_contract::Edition::NEWEST,
    };
    let given_up = timeout(2 * BEAT_FOR, leases.lease(ask.clone())).await.expect("in time");
    assert!(matches!(given_up, Err(LeaseError::Unreachable(_))), "{given_up:?}");
    let next = timeout(BEAT_FOR, leases.lease(ask)).await.expect("in time");
    assert!(next.unwrap().is_empty());
}

/// P1: a report that an orchestrator which stands still has taken is repeated where the step is beaten.
#[tokio::test]
async fn reports_go_to_the_next_when_one_says_nothing() {
    let (_open, stopped) = hangs().await;
    let leases = leases_of(&[stopped, says("null").await]);
    let its = token("its");
    leases.orchestrators.homes.settle([&its], 0, Instant::now());
    let said = timeout(2 * BEAT_FOR, leases.fail(&its, "why".into(), true)).await.expect("in time");
    assert!(matches!(said, Err(LeaseError::Unreachable(_))), "{said:?}");
    leases.orchestrators.homes.heard(&its, 1, Instant::now());
    timeout(BEAT_FOR, leases.fail(&its, "why".into(), true)).await.expect("in time").unwrap();
}

/// P1: a step that a newer server has written in a form of its own is handed back, and costs the others that
/// came with it nothing.
#[tokio::test]
async fn a_step_of_a_later_version_is_handed_back_and_the_others_are_done() {
    let grant = |token: &str, tool: &str| {
        serde_json::json!({
            "step": "step_019b0000-0000-7000-8000-000000000000.0", "attempt": 1, "token": token,
            "spec": {
                "name": "look", "arm": "executor", "summary": "look", "instruction": {"tool": {"tool": tool, "arguments": {"path": "/tmp"}}},
                "capability": {},
            },
            "inputs": {}, "expires_at": "2026-01-01T00:00:00Z", "heartbeat_every": 1000, "time_limit": 1000,
        })
    };
    let answer = serde_json::json!([grant("known", "list"), grant("strange", "teleport")]).to_string();
    let (listener, base) = hangs().await;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        for body in [answer.as_str(), ""] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !String::from_utf8_lossy(&request).contains("}") {
                stream.read_buf(&mut request).await.unwrap();
            }
            told.send(String::from_utf8_lossy(&request).into_owned()).unwrap();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).await.unwrap();
        }
    });
    let ask = LeaseAsk {
        worker: "w1".parse().unwrap(),
        arms: vec![octollm_contract::ArmName::Executor],
        tools: BTreeMap::new(),
        most: 2,
        wait: Millis::from_secs(1),
        reads: octollm_contract::Edition::NEWEST,
    };
    let first = serde_json::from_value::<Grant>(grant("known", "list"));
    assert!(first.is_ok(), "{first:?}");
    let granted = leases_of(&[base]).lease(ask).await.unwrap();
    assert_eq!(granted.iter().map(|grant| grant.token.reveal()).collect::<Vec<_>>(), ["known"]);
    heard.recv().await.unwrap();
    let released = heard.recv().await.unwrap();
    assert!(released.starts_with("POST /internal/v1/step/release"), "{released}");
    assert!(released.contains("Bearer strange") && released.contains("teleport"), "{released}");
}
