//! Keys over HTTP: made, shown once, revoked at once; none grants more than its maker has.

use crate::harness::{Octo, ask, wish, within};
use octollm_access::{Policy, PolicyAsk, Role, Scope};
use octollm_client::{
    Completion, Leases as _,
    http::{Client, ClientError},
    wire::KeyAsk,
};
use octollm_contract::{ArmName, Millis, ProblemKind};
use octollm_orchestrator::{Caller, KeyError, LocalLeases, NewKey};
use octollm_plan::StepOutput;
use serde_json::json;
use std::{sync::Arc, time::Duration};

fn of(role: Role) -> KeyAsk {
    KeyAsk { role, tenant: None, scopes: None, policy: None, label: String::new() }
}

fn kind<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ProblemKind {
    let Err(ClientError::Problem { problem, .. }) = result else { panic!("{result:?}") };
    problem.known_kind().unwrap()
}

#[tokio::test]
async fn a_made_key_works_until_it_is_revoked() {
    let octo = Octo::start().await;
    let admin = octo.client(&octo.admin);
    let made = admin.create_key(&of(Role::User)).await.unwrap();
    let user = Client::new(&octo.base(), made.key.parse().unwrap()).unwrap();
    user.submit(&wish("List the files in /tmp"), None).await.unwrap();
    let listed = admin.keys().await.unwrap().keys;
    assert!(listed.contains(&made.about));
    assert!(!serde_json::to_string(&listed).unwrap().contains(&made.key));
    admin.revoke_key(&made.about.id).await.unwrap();
    assert_eq!(kind(user.list(None, false, None, None).await), ProblemKind::Unauthenticated);
    assert_eq!(kind(admin.revoke_key(&"nobody".parse().unwrap()).await), ProblemKind::NotFound);
    octo.stop().await;
}

/// The last key that can make all others cannot be revoked, not even by itself; once there is another one, it can.
#[tokio::test]
async fn the_last_admin_key_stays() {
    let octo = Octo::start().await;
    let admin = octo.client(&octo.admin);
    assert_eq!(kind(admin.revoke_key(octo.admin.id()).await), ProblemKind::Conflict);
    assert!(admin.keys().await.is_ok(), "it still opens");
    // A key that manages keys and no more could give nobody the rest.
    let narrow = KeyAsk { scopes: Some([Scope::KeysManage].into()), ..of(Role::Admin) };
    let narrow = admin.create_key(&narrow).await.unwrap().key;
    let narrow = Client::new(&octo.base(), narrow.parse().unwrap()).unwrap();
    assert_eq!(kind(narrow.revoke_key(octo.admin.id()).await), ProblemKind::Conflict);
    let new = NewKey { role: Role::Admin, tenant: None, scopes: None, policy: None, label: String::new() };
    let second = octo.app.create_key(&Caller::local(Policy::default()), new).await.unwrap().key;
    admin.revoke_key(octo.admin.id()).await.unwrap();
    let second_admin = octo.client(&second);
    assert_eq!(kind(second_admin.revoke_key(second.id()).await), ProblemKind::Conflict);
    // Another tenant's admins are no way in for the operator, and may go to the last.
    octo.client(&octo.stranger).revoke_key(octo.stranger.id()).await.unwrap();
    octo.stop().await;
}

/// P7: a step or an event that comes after the key was revoked comes to nobody.
#[tokio::test]
async fn who_waits_while_the_key_is_revoked_is_given_no_step_and_no_event() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let grant = octo.lease().await;
    let mut events = octo.client(&octo.user).events(task, 0).await.unwrap();
    while within(events.next()).await.unwrap().unwrap().event != "step.started" {}
    let leases = octo.leases();
    let other =
        octollm_client::LeaseAsk { worker: "worker-2".parse().unwrap(), ..ask(Millis::from_secs(60)) };
    let leasing = tokio::spawn(async move { leases.lease(other).await });
    let at_work = async || {
        let arms = octo.app.arms(&Caller::local(Policy::default())).await.unwrap();
        arms.iter().find(|arm| arm.name == ArmName::Executor).map_or(0, |arm| arm.workers)
    };
    within(async {
        while at_work().await < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for key in [&octo.user, &octo.arm] {
        octo.app.revoke_key(&Caller::local(Policy::default()), key.id()).await.unwrap();
    }
    let local = LocalLeases::new(Arc::clone(&octo.app));
    local.complete(&grant.token, Completion::of(StepOutput::default())).await.unwrap();
    octo.client(&octo.stranger).submit(&wish("List the files in /tmp directory"), None).await.unwrap();
    assert!(within(leasing).await.unwrap().is_err(), "a revoked key is given a step");
    while let Some(event) = within(events.next()).await.unwrap() {
        assert_ne!(event.event, "task.completed", "a revoked key is told of an event");
    }
    // The step that came to nobody is there for others.
    let next = local.lease(ask(Millis::from_secs(60))).await.unwrap();
    assert_eq!(next.len(), 1);
    octo.stop().await;
}

/// P7: a task that ends after the key was revoked is shown to nobody. Nothing tells that a poll has begun, so
/// the head start grows until one was let in before the key was revoked: that one is refused in other words.
#[tokio::test]
async fn who_waits_for_a_task_while_the_key_is_revoked_is_not_shown_it() {
    let octo = Octo::start().await;
    let owner = Caller::local(Policy::default_admin());
    let mut head_start = Duration::from_millis(10);
    loop {
        let key = octo.client(&octo.admin).create_key(&of(Role::User)).await.unwrap().key;
        let key: octollm_access::ApiKey = key.parse().unwrap();
        let (task, user) = (octo.submit().await, octo.client(&key));
        let polling = tokio::spawn(async move { user.wait(task, Millis::from_secs(60)).await });
        tokio::time::sleep(head_start).await;
        octo.app.revoke_key(&owner, key.id()).await.unwrap();
        octo.app.cancel(&owner, task).await.unwrap();
        let polled = within(polling).await.unwrap();
        let Err(ClientError::Problem { problem, .. }) = polled else {
            panic!("a revoked key is shown {polled:?}");
        };
        assert_eq!(problem.known_kind(), Some(ProblemKind::Unauthenticated));
        if problem.detail.contains("meanwhile") {
            break;
        }
        assert!(head_start < Duration::from_secs(10), "no poll is ever let in: {problem:?}");
        head_start *= 2;
    }
    octo.stop().await;
}

#[tokio::test]
async fn the_first_key_is_made_once_or_given() {
    let octo = Octo::start().await;
    let made = octo.app.first_key(None, Policy::default_admin()).await.unwrap();
    assert!(made.is_none(), "there are keys already");
    let given = octollm_access::ApiKey::generate([9; 5], [9; 32]);
    octo.app.first_key(Some(given.clone()), Policy::default_admin()).await.unwrap();
    octo.client(&given).keys().await.unwrap();
    octo.stop().await;
}

/// A restart with the same configuration undoes no revocation and takes over nobody's key.
#[tokio::test]
async fn a_given_key_that_is_known_stays_as_it_is() {
    let octo = Octo::start().await;
    let given = octollm_access::ApiKey::generate([9; 5], [9; 32]);
    let first = octo.app.first_key(Some(given.clone()), Policy::default_admin()).await.unwrap();
    assert!(first.is_some());
    octo.client(&octo.admin).revoke_key(given.id()).await.unwrap();
    let again = octo.app.first_key(Some(given.clone()), Policy::default()).await.unwrap();
    assert!(again.is_none());
    assert_eq!(kind(octo.client(&given).keys().await), ProblemKind::Unauthenticated);
    let same_id = octollm_access::ApiKey::generate([9; 5], [8; 32]);
    let taken = octo.app.first_key(Some(same_id), Policy::default_admin()).await;
    assert!(matches!(taken, Err(KeyError::Taken(id)) if id == *given.id()));
    octo.stop().await;
}

#[tokio::test]
async fn a_key_grants_no_more_than_its_maker_has() {
    let octo = Octo::start().await;
    let (admin, stranger) = (octo.client(&octo.admin), octo.client(&octo.stranger));
    let wide = PolicyAsk { commands: vec!["sh".to_owned()], ..PolicyAsk::default() };
    let beyond = [
        (&stranger, KeyAsk { policy: Some(wide.clone()), ..of(Role::User) }),
        (
            &stranger,
            KeyAsk {
                policy: Some(PolicyAsk { any_public_host: true, ..PolicyAsk::default() }),
                ..of(Role::User)
            },
        ),
        (&stranger, KeyAsk { tenant: Some("default".parse().unwrap()), ..of(Role::User) }),
        (&stranger, of(Role::Arm)),
    ];
    for (maker, ask) in beyond {
        assert_eq!(kind(maker.create_key(&ask).await), ProblemKind::Forbidden, "{ask:?}");
    }
    let theirs = stranger.keys().await.unwrap().keys;
    assert!(theirs.iter().all(|key| key.tenant.as_str() == "elsewhere"));
    assert_eq!(kind(stranger.revoke_key(octo.admin.id()).await), ProblemKind::NotFound);
    // The operator's admins may grant any policy, and make keys for arms.
    admin.create_key(&of(Role::Arm)).await.unwrap();
    admin.create_key(&KeyAsk { policy: Some(wide), ..of(Role::User) }).await.unwrap();
    octo.stop().await;
}

/// P8: no key is made whose policy could not be honoured; the problem names the entry.
#[tokio::test]
async fn a_policy_that_cannot_be_honoured_makes_no_key() {
    let octo = Octo::start().await;
    let before = octo.client(&octo.admin).keys().await.unwrap();
    for (policy, status, field) in [
        (json!({ "read_roots": ["tmp"] }), 422, "policy.read_roots[0]"),
        (json!({ "read_roots": ["/usr", "/tmp/../etc"] }), 422, "policy.read_roots[1]"),
        (json!({ "read_roots": ["/usr", "/usr"] }), 422, "policy.read_roots[1]"),
        (json!({ "commands": ["ls", "ls -l"] }), 422, "policy.commands[1]"),
        (json!({ "commands": [""] }), 422, "policy.commands[0]"),
        (json!({ "commands": ["bin/ls"] }), 422, "policy.commands[0]"),
        (
            json!({ "hosts": [{ "host": "a.org" }, { "host": "A.org", "private": true }] }),
            422,
            "policy.hosts[1]",
        ),
        (json!({ "approvals": ["write", "write"] }), 422, "policy.approvals[1]"),
        (json!({ "hosts": [{ "host": "http://a.org" }] }), 400, "policy.hosts[0].host"),
        (json!({ "hosts": [{ "host": "a.org:65536" }] }), 400, "policy.hosts[0].host"),
    ] {
        let body = json!({ "role": "user", "policy": policy }).to_string();
        let reply = octo.call("POST", "/api/v1/keys", Some(&octo.admin.reveal()), body.as_bytes()).await;
        assert_eq!((reply.status, reply.field().as_str()), (status, field), "{policy}: {reply:?}");
    }
    assert_eq!(octo.client(&octo.admin).keys().await.unwrap(), before);
    octo.stop().await;
}
