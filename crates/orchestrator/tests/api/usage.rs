//! What ended, by day and by arm, as each kind of key sees it.

use crate::harness::{Octo, wish};
use octollm_access::ApiKey;
use octollm_client::{Completion, Leases as _};
use octollm_plan::StepOutput;
use serde_json::Value;
use std::collections::BTreeMap;

/// P7: how many steps are at work, of all tenants, is told to nobody but who runs the system.
#[tokio::test]
async fn steps_at_work_are_shown_to_who_sees_all_tenants_and_to_nobody_else() {
    let octo = Octo::start().await;
    octo.submit().await;
    let _at_work = octo.lease().await;
    for (key, shown) in
        [(&octo.admin, Some(1)), (&octo.operator, Some(1)), (&octo.user, None), (&octo.stranger, None)]
    {
        let arms = get(&octo, "/api/v1/arms", key).await;
        let executor = arms.as_array().unwrap().iter().find(|arm| arm["name"] == "executor").unwrap();
        assert_eq!(executor.get("running").and_then(Value::as_u64), shown, "{executor}");
    }
    octo.stop().await;
}

async fn get(octo: &Octo, path: &str, key: &ApiKey) -> Value {
    let reply = octo.call("GET", path, Some(&key.reveal()), b"").await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

/// Tasks completed, failed and cancelled of each tenant, over all days that are shown.
async fn tasks(octo: &Octo, path: &str, key: &ApiKey) -> BTreeMap<String, [u64; 3]> {
    let mut sums: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for day in get(octo, path, key).await["days"].as_array().unwrap() {
        let sum = sums.entry(day["tenant"].as_str().unwrap().to_owned()).or_default();
        for (sum, how) in sum.iter_mut().zip(["completed", "failed", "cancelled"]) {
            *sum += day["tasks"][how].as_u64().unwrap();
        }
        assert_eq!(day["calls"]["cost_usd"], "0.00", "{day}");
    }
    sums
}

/// P7: a key sees what its own tenant's tasks came to; an admin of the operator's own tenant sees
/// everyone's, and an operator the sum over all of them.
#[tokio::test]
async fn each_key_sees_its_own_tenants_days_and_who_runs_the_system_sees_all() {
    let octo = Octo::start().await;
    octo.submit().await;
    let grant = octo.lease().await;
    let done = Completion::of(StepOutput { text: "a".into(), ..StepOutput::default() });
    octo.leases().complete(&grant.token, done).await.unwrap();
    let given_up = octo.submit().await;
    octo.client(&octo.user).cancel(given_up).await.unwrap();
    let strange = octo.client(&octo.stranger);
    let theirs = strange.submit(&wish("List the files in /tmp"), None).await.unwrap().task_id;
    strange.cancel(theirs).await.unwrap();
    let (home, elsewhere) = (("default".to_owned(), [1, 0, 1]), ("elsewhere".to_owned(), [0, 0, 1]));
    let (of_home, of_elsewhere) = (home.1, elsewhere.1);
    let usage = "/api/v1/usage";
    assert_eq!(tasks(&octo, usage, &octo.user).await, [home.clone()].into());
    assert_eq!(tasks(&octo, usage, &octo.stranger).await, [elsewhere.clone()].into());
    assert_eq!(tasks(&octo, usage, &octo.admin).await, [home.clone(), elsewhere.clone()].into());
    assert_eq!(tasks(&octo, "/api/v1/usage?tenant=elsewhere", &octo.admin).await, [elsewhere].into());
    assert_eq!(tasks(&octo, "/api/v1/usage?tenant=default", &octo.user).await, [home].into());
    assert_eq!(tasks(&octo, "/api/v1/usage?to=2020-01-01", &octo.admin).await, [].into());
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/usage?limit=1{cursor}");
        assert!(pages.len() < 9, "{pages:?}");
        pages.push(tasks(&octo, &path, &octo.admin).await);
        let page = get(&octo, &path, &octo.admin).await;
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    // More when a day began meanwhile.
    assert!(pages.len() > 1 && pages.iter().all(|page| page.len() == 1), "{pages:?}");
    let of = |name: &str| {
        pages
            .iter()
            .filter_map(|page| page.get(name))
            .fold([0; 3], |sum, page| [sum[0] + page[0], sum[1] + page[1], sum[2] + page[2]])
    };
    assert_eq!((of("default"), of("elsewhere")), (of_home, of_elsewhere));
    let theirs = format!("{usage}?limit=1{cursor}");
    let theirs = tasks(&octo, &theirs, &octo.stranger).await;
    assert_eq!(theirs, [("elsewhere".to_owned(), of_elsewhere)].into(), "a cursor opens nothing");
    let reply = octo.call("GET", "/api/v1/usage?tenant=default", Some(&octo.stranger.reveal()), b"").await;
    assert_eq!((reply.status, reply.field().as_str()), (403, "tenant"));

    // The client's own way to them.
    let client = octo.client(&octo.user);
    let page = client.usage((None, None), None).await.unwrap();
    let last = page.days.last().unwrap();
    let ended: u64 = page.days.iter().map(|day| day.tasks.completed + day.tasks.cancelled).sum();
    assert_eq!((last.tenant.as_str(), ended, &page.next_cursor), ("default", 2, &None));
    let one = client.usage((Some(page.from), Some(page.from)), None).await.unwrap();
    assert_eq!((one.from, one.to, one.days.len()), (page.from, page.from, 0));
    let behind = format!("{}.zzz", page.to);
    assert_eq!(client.usage((None, None), Some(&behind)).await.unwrap().days, []);
    let arms = client.arms_usage((Some(page.from), Some(page.to))).await.unwrap();
    assert_eq!((arms.from, arms.to, arms.arms[0].done), (page.from, page.to, 1));

    let cancelled = async |key: &ApiKey| {
        let page = get(&octo, "/api/v1/arms/usage", key).await;
        assert!(page["as_of"].as_str().unwrap() >= page["to"].as_str().unwrap());
        let arms = page["arms"].as_array().unwrap();
        let executor = arms.iter().find(|arm| arm["name"] == "executor").unwrap();
        assert!(executor["done"] == 0 || executor["mean_seconds"].is_number());
        (executor["done"].as_u64().unwrap(), executor["cancelled"].as_u64().unwrap())
    };
    assert_eq!(cancelled(&octo.user).await, (1, 1));
    assert_eq!(cancelled(&octo.stranger).await, (0, 1));
    assert_eq!(cancelled(&octo.admin).await, (1, 2));
    assert_eq!(cancelled(&octo.operator).await, (1, 2));
    octo.stop().await;
}
