use super::{Bench, complete, samples, wanted};
use crate::{AcceptError, DecideError, Directed, Keys, Listing, TaskReads, Tasks};
use octollm_access::{KeyRecord, Policy, Revocation, Role, TenantScope, Verifier};
use octollm_contract::{ContentHash, Document, Millis, Timestamp, api::TaskStatus};
use octollm_lifecycle::{Command, Refusal};

/// P1, P4: what was answered is read back by the next call, to the last document.
#[tokio::test]
async fn a_task_goes_its_way_and_every_read_shows_it() {
    let bench = Bench::new();
    let mut new = samples::new(1);
    new.steps = vec![samples::step(&[]), samples::step(&[0])];
    let order = samples::order(new);
    let accepted = bench.store.accept(order.clone()).await.unwrap();
    assert_eq!((accepted.status, accepted.replayed), (TaskStatus::Queued, false));
    let id = accepted.task;

    let first = bench.claim(5).await.remove(0);
    assert_eq!((first.attempt, &first.spec), (1, &order.specs[0]));
    assert!(bench.store.holds(first.step, first.token).await.unwrap());
    let artefact = ContentHash::of(b"x");
    let checkpoint = Command::Checkpoint {
        place: 0,
        token: first.token,
        state: Document::from_json(r#"{"at":1}"#),
        artefacts: vec![artefact],
    };
    let directed = Directed { task: id, scope: TenantScope::System, command: checkpoint };
    assert!(bench.store.decide(vec![directed]).await.remove(0).is_ok());
    assert!(bench.store.refers(id, artefact).await.unwrap());
    assert_eq!(bench.store.artefacts().await.unwrap(), [artefact].into());
    assert!(bench.store.decide(vec![complete(first.step, first.token)]).await.remove(0).is_ok());
    assert!(!bench.store.holds(first.step, first.token).await.unwrap());

    let second = bench.claim(5).await.remove(0);
    assert_eq!(second.inputs, [(0, Document::from_json(r#"{"text":"done"}"#))]);
    let backlog = bench.store.backlog(octollm_contract::ArmName::Executor).await.unwrap();
    assert_eq!((backlog.ready, backlog.leased), (0, 1));
    bench.advance(Millis::from_secs(60));
    let late = bench.store.decide(vec![complete(second.step, second.token)]).await.remove(0);
    assert!(matches!(late, Err(DecideError::Refused(Refusal::LeaseLost))));
    let swept = bench.store.sweep(10, None).await.unwrap();
    assert_eq!((swept.tasks, swept.lapsed, swept.repaired), (1, 1, 0));
    bench.advance(Millis::from_secs(60));
    let again = bench.claim(5).await.remove(0);
    assert_eq!(again.attempt, 2);
    let changes = bench.store.decide(vec![complete(again.step, again.token)]).await.remove(0).unwrap();

    let bench = bench.reopen();
    let record = bench.store.task(id, &TenantScope::System).await.unwrap().unwrap();
    assert_eq!(record.task, changes.after);
    assert_eq!((&record.goal, &record.request, &record.plan), (&order.goal, &order.request, &order.plan));
    assert_eq!(record.steps[0].checkpoint, Some(Document::from_json(r#"{"at":1}"#)));
    let events = bench.store.events(id, &TenantScope::System, 0, 100).await.unwrap().unwrap();
    let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(
        names,
        [
            "task.accepted",
            "step.started",
            "step.checkpointed",
            "step.completed",
            "step.started",
            "step.lapsed",
            "step.started",
            "step.completed",
            "task.completed"
        ]
    );
    assert!(events.iter().zip(1..).all(|(event, number)| event.number == number));
    assert_eq!(bench.store.events(id, &TenantScope::System, 8, 100).await.unwrap().unwrap().len(), 1);
    assert_eq!(bench.store.open_tasks().await.unwrap(), 0);
    bench.advance(Millis::from_secs(60));
    let backlog = bench.store.backlog(octollm_contract::ArmName::Executor).await.unwrap();
    assert_eq!(backlog.ended_last_minute, 1, "the first step ended minutes before");
}

/// P3: the same key and request give the same task, another request is told whose key it is.
#[tokio::test]
async fn an_idempotency_key_gives_one_task() {
    let bench = Bench::new();
    let order = |n, body: &[u8]| crate::Order {
        idempotency: Some(("key".parse().unwrap(), ContentHash::of(body))),
        ..samples::order(samples::new(n))
    };
    let both = tokio::join!(bench.store.accept(order(1, b"a")), bench.store.accept(order(2, b"a")));
    let (first, second) = (both.0.unwrap(), both.1.unwrap());
    assert_eq!(first.task, second.task);
    assert_eq!((first.replayed, second.replayed), (false, true));
    let other = bench.store.accept(order(3, b"b")).await;
    assert!(matches!(other, Err(AcceptError::KeyReused { first, .. }) if first == second.task));
    let bench = bench.reopen();
    let later = bench.store.accept(order(4, b"a")).await.unwrap();
    assert_eq!((later.task, later.replayed), (first.task, true));
    let all = bench.store.list(&TenantScope::System, &Listing { most: 10, ..Listing::default() }).await;
    assert_eq!(all.unwrap().len(), 1);

    // Another tenant's key is another key.
    let mut foreign = order(5, b"c");
    foreign.new.tenant = "other".parse().unwrap();
    assert!(!bench.store.accept(foreign).await.unwrap().replayed);
}

/// P7: nothing of another tenant is seen or touched.
#[tokio::test]
async fn a_tenant_sees_its_own_only() {
    let bench = Bench::new();
    let id = bench.store.accept(samples::order(samples::new(1))).await.unwrap().task;
    let other = TenantScope::Only("other".parse().unwrap());
    assert_eq!(bench.store.task(id, &other).await.unwrap(), None);
    assert_eq!(bench.store.events(id, &other, 0, 10).await.unwrap(), None);
    assert_eq!(bench.store.list(&other, &Listing { most: 9, ..Listing::default() }).await.unwrap(), []);
    let cancel = Directed { task: id, scope: other, command: Command::Cancel };
    assert!(matches!(bench.store.decide(vec![cancel]).await[0], Err(DecideError::NotFound)));
}

#[tokio::test]
async fn a_list_is_paged_newest_first_and_filtered() {
    let bench = Bench::new();
    for n in 0..30 {
        let mut new = samples::new(n);
        new.tenant = if n % 3 == 0 { "other".parse().unwrap() } else { new.tenant };
        bench.store.accept(samples::order(new)).await.unwrap();
    }
    for n in [4, 5] {
        let cancel = Directed { task: samples::id(n), scope: TenantScope::System, command: Command::Cancel };
        bench.store.decide(vec![cancel]).await.remove(0).unwrap();
    }
    let check = async |scope: TenantScope, listing: Listing| {
        let lines = bench.store.list(&scope, &listing).await.unwrap();
        lines
            .iter()
            .map(|line| u32::from_be_bytes(line.id.to_bytes()[..4].try_into().unwrap()))
            .collect::<Vec<_>>()
    };
    let acme = TenantScope::Only("acme".parse().unwrap());
    let page = |most| Listing { most, ..Listing::default() };
    assert_eq!(check(acme.clone(), page(4)).await, [29, 28, 26, 25]);
    let next = Listing { before: Some(samples::id(25)), ..page(2) };
    assert_eq!(check(acme.clone(), next).await, [23, 22]);
    let cancelled = Listing { status: Some(TaskStatus::Cancelled), ..page(9) };
    assert_eq!(check(acme, cancelled).await, [5, 4]);
    assert_eq!(check(TenantScope::System, page(3)).await, [29, 28, 27]);
    assert_eq!(check(TenantScope::System, page(99)).await.len(), 30);
    assert_eq!(bench.store.open_tasks().await.unwrap(), 28);
}

/// P2: a step that kills its workers is given up, and found by its mark.
#[tokio::test]
async fn a_poisoned_step_is_listed() {
    let bench = Bench::new();
    bench.store.accept(samples::order(samples::new(1))).await.unwrap();
    bench.store.accept(samples::order(samples::new(2))).await.unwrap();
    for _ in 0..3 {
        bench.advance(Millis::from_secs(3600));
        bench.claim(1).await;
        assert_eq!(bench.store.lose(crate::Lost::Worker("w1".parse().unwrap())).await.unwrap().lapsed, 1);
    }
    // The other one waited longer each time; whichever it was, three crashes end it.
    while bench.store.open_tasks().await.unwrap() > 1 {
        bench.advance(Millis::from_secs(3600));
        bench.claim(1).await;
        bench.store.lose(crate::Lost::Worker("w1".parse().unwrap())).await.unwrap();
    }
    let poison = Listing { poison: true, most: 10, ..Listing::default() };
    let lines = bench.store.list(&TenantScope::System, &poison).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].failure.as_ref().unwrap().reason, octollm_lifecycle::FailureReason::Poison);
    let failed = Listing { status: Some(TaskStatus::Failed), ..poison.clone() };
    assert_eq!(bench.store.list(&TenantScope::System, &failed).await.unwrap(), lines);
    let running = Listing { status: Some(TaskStatus::Running), ..poison };
    assert_eq!(bench.store.list(&TenantScope::System, &running).await.unwrap(), []);
}

#[tokio::test]
async fn a_deadline_ends_a_task_once() {
    let bench = Bench::new();
    let mut new = samples::new(1);
    new.terms.deadline = Some(Timestamp::from_millis(20_000));
    bench.store.accept(samples::order(new)).await.unwrap();
    let swept = bench.store.sweep(10, None).await.unwrap();
    assert_eq!((swept.tasks, swept.next), (0, Some(Timestamp::from_millis(20_000))));
    bench.advance(Millis::from_secs(10));
    let swept = bench.store.sweep(10, None).await.unwrap();
    assert_eq!((swept.tasks, swept.overdue, swept.repaired, swept.next), (1, 1, 0, None));
    assert_eq!(bench.store.sweep(10, None).await.unwrap(), crate::Swept::default());
}

#[tokio::test]
async fn what_ended_long_ago_is_pruned_with_all_its_rows() {
    let bench = Bench::new();
    for n in 0..300 {
        let order = crate::Order {
            idempotency: Some((format!("k{n}").parse().unwrap(), ContentHash::of(b""))),
            ..samples::order(samples::new(n))
        };
        bench.store.accept(order).await.unwrap();
    }
    let claimed = bench.claim(299).await;
    let more = bench.claim(299 - claimed.len()).await;
    let commands = claimed.iter().chain(&more).map(|c| complete(c.step, c.token)).collect();
    assert!(bench.store.decide(commands).await.iter().all(Result::is_ok));
    assert_eq!(bench.store.prune(Timestamp::from_millis(10_000), 1000).await.unwrap(), 0);
    assert_eq!(bench.store.prune(Timestamp::from_millis(10_001), 10).await.unwrap(), 10);
    assert_eq!(bench.store.prune(Timestamp::from_millis(10_001), 1000).await.unwrap(), 289);
    let side = bench.side();
    for table in ["task", "paper", "step", "event", "ready", "idempotency"] {
        let rows: i64 = side.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).unwrap();
        assert_eq!(rows, 1, "{table}");
    }
}

#[tokio::test]
async fn a_key_is_kept_listed_and_revoked_for_ever() {
    let bench = Bench::new();
    let key = |id: &str, tenant: &str, at| KeyRecord {
        id: id.parse().unwrap(),
        verifier: Verifier::from_bytes([3; 32]),
        role: Role::Admin,
        scopes: Role::Admin.scopes(),
        tenant: tenant.parse().unwrap(),
        policy: Policy::default_admin(),
        label: "first".into(),
        created_at: Timestamp::from_millis(at),
        revoked_at: None,
    };
    let (a, b) = (key("a", "acme", 2), key("b", "other", 1));
    bench.store.put_key(a.clone()).await.unwrap();
    bench.store.put_key(b.clone()).await.unwrap();
    let acme = TenantScope::Only("acme".parse().unwrap());
    let at = Timestamp::from_millis(5);
    let revoke = async |key: &KeyRecord, at| bench.store.revoke_key(&key.id, &acme, at).await.unwrap();
    assert_eq!(revoke(&b, at).await, Revocation::NotFound);
    assert_eq!(revoke(&a, at).await, Revocation::Revoked);
    assert_eq!(revoke(&a, Timestamp::from_millis(9)).await, Revocation::Revoked);
    let revoked = KeyRecord { revoked_at: Some(at), ..a.clone() };
    assert_eq!(bench.store.key(&a.id).await.unwrap(), Some(revoked.clone()));
    let bench = bench.reopen();
    assert_eq!(bench.store.keys(&TenantScope::System).await.unwrap(), [b, revoked.clone()]);
    assert_eq!(bench.store.keys(&acme).await.unwrap(), [revoked]);
}

#[tokio::test]
async fn a_hint_follows_each_commit() {
    let bench = Bench::new();
    let mut arm = bench.store.hints().watch_arm(octollm_contract::ArmName::Executor);
    let mut task = bench.store.hints().watch_task(samples::id(1));
    let mut expiry = bench.store.hints().watch_expiry();
    bench.store.accept(samples::order(samples::new(1))).await.unwrap();
    arm.changed().await;
    task.changed().await;
    bench.store.claim(wanted(1)).await.unwrap();
    task.changed().await;
    expiry.changed().await;
}
