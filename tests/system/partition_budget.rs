//! Money on networks that are cut and healed at random (P1–P3, P5): orchestrators lose the database, their
//! arms, or the model while it answers.

use crate::{
    budget::{FAULTS, Granted, OVERDRAWN, SLOW, Wish, check_all},
    chance::Chance,
    fleet::{Fleet, faults_for},
    fleet_budget::PRESUMED,
    fleet_kills::all_end,
    kill::{self, Told, until_answered},
    model_server::Sim,
    networks::{Cut, End, HUB, Host, hub, on_its_own},
    server::{Api, PATIENCE, wait_until},
};
use octollm_testkit::postgres::Server;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const THIS: &str = "partition_budget::no_cut_overspends_a_budget_or_forgets_a_call";
/// How long networks are cut before everything must end.
const ROUND: Duration = Duration::from_secs(16);

/// P1, P5: an orchestrator that asks a model is cut off from the database, from its arms or from the model,
/// in both directions or in one, so that what is lost is a statement or the word that it is done. No account
/// is overdrawn at any look, and when the networks are whole every task ends and each call is charged once.
#[test]
fn no_cut_overspends_a_budget_or_forgets_a_call() {
    on_its_own(THIS, "tasks with budgets accepted", inside);
}

async fn inside() {
    let mut chance = Chance::for_test(THIS);
    hub();
    let hosts: Vec<Host> = (0..5).map(Host::start).collect();
    let [one, other, arm, another, model] = &hosts[..] else { unreachable!("five were started") };
    let database = Server::start(&["listen_addresses = '*'"]).expect("a database");
    let sql = |sql: &str| database.sql("postgres", sql).expect("an answer");
    let overdrawn = format!("SET search_path = octollm; {OVERDRAWN}");
    let audit =
        || assert_eq!(sql(&overdrawn), "0", "P5: an account is overdrawn, or holds what no call holds");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sim = Sim::start_at(&model.stand(8400), &[SLOW, ("[[rule]]", FAULTS)], folder.path());
    let variables = [("OCTOLLM_MODEL_URL", &*sim.model_url())];
    let places = [one, other].map(|host| (host.stand(8410), &variables[..]));
    let url = format!("postgresql://octo@{HUB}:{}/postgres", database.port());
    let fleet = Fleet::start(&url, &places).await;
    let roles = "arm:planner,arm:executor,arm:coder,arm:judge";
    let _arms = [arm, another].map(|host| fleet.arm_at(host.stand(0), roles, &[("OCTOLLM_SLOTS", "6")]));
    let numbers = Arc::new(AtomicUsize::new(0));
    let (mut cuts, mut met, mut charged, mut accepted) = (0u32, 0u32, 0, 0);
    let began = Instant::now();
    while cuts == 0 || began.elapsed() < faults_for(0) {
        let clients = Clients::start(3, &fleet.clients(), &numbers, &mut chance);
        // The first cut meets a call, and is longer than an orchestrator waits for the database: what became
        // of the call is told in vain.
        wait_until("a model answers", || (sql("SELECT count(*) FROM octollm.hold") != "0").then_some(()));
        let round = Instant::now();
        let mut first = Some([one, other].map(|orchestrator| Cut::one_way(End::Hub, orchestrator)));
        while first.is_some() || round.elapsed() < ROUND {
            met += u32::from(sql("SELECT count(*) FROM octollm.hold") != "0");
            let orchestrator = [one, other][chance.below(2) as usize];
            let arm = [arm, another][chance.below(2) as usize];
            // Shorter than a lease, now and then longer, and in long runs until it is taken for dead.
            let longest = match chance.below(8) {
                0 if !faults_for(0).is_zero() => 30_000,
                0 | 1 => 4_500,
                _ => 1_000,
            };
            let lasts = Duration::from_millis(100 + chance.below(longest));
            let (cut, lasts) = match (first.take(), chance.below(8)) {
                (Some(first), _) => (Vec::from(first), Duration::from_millis(12_500)),
                (None, 0 | 1) => (vec![Cut::whole(orchestrator)], lasts),
                // It is told nothing by the database, or tells it nothing; arms and model go on.
                (None, 2 | 3) => (vec![Cut::one_way(End::Hub, orchestrator)], lasts),
                (None, 4) => (vec![Cut::one_way(orchestrator, End::Hub)], lasts),
                (None, 5) => (vec![Cut::one_way(orchestrator, arm)], lasts),
                (None, 6) => (vec![Cut::one_way(model, orchestrator)], lasts),
                (None, _) => (vec![Cut::whole(arm)], lasts),
            };
            tokio::time::sleep(lasts).await;
            audit();
            drop(cut);
            cuts += 1;
            tokio::time::sleep(Duration::from_millis(chance.below(400))).await;
        }
        let asked = clients.stopped().await;
        let healed = Instant::now();
        let told: Told =
            asked.iter().map(|task| (task.wish.mark.clone(), task.id.clone(), task.wish.body())).collect();
        all_end(&fleet.clients()[0], &told).await;
        // A call that was given up may be charged after its task has ended.
        wait_until("every call is settled", || {
            audit();
            (sql("SELECT count(*) FROM octollm.hold") == "0").then_some(())
        });
        println!("{} tasks, all ended {:?} after the last cut", told.len(), healed.elapsed());
        assert!(healed.elapsed() < PATIENCE, "P1: every task ends within a minute of the last fault");
        kill::check(&fleet.clients(), &told).await;
        let mut ended = Vec::new();
        for task in &asked {
            ended.push(fleet.clients()[0].ended(&task.id).await);
        }
        check_all(&asked, &ended, &sim.log().await);
        charged += ended.iter().map(|task| task["usage"]["tokens"].as_u64().expect("tokens")).sum::<u64>();
        accepted += told.len();
        let in_accounts = sql("SELECT sum(tokens_spent) FROM octollm.ledger");
        assert_eq!(
            in_accounts,
            charged.to_string(),
            "P5: what tasks are charged is what accounts have spent"
        );
        for api in fleet.clients() {
            assert_eq!(
                by_days(&api).await,
                (charged, accepted as u64),
                "figures by day are those of the tasks"
            );
        }
    }
    let presumed = sql(PRESUMED);
    println!(
        "{accepted} tasks with budgets accepted, {cuts} cuts, {met} with calls under way, {presumed} presumed"
    );
}

/// The tokens of all days, and how many tasks ended.
async fn by_days(api: &Api) -> (u64, u64) {
    let (status, usage) = api.get("/api/v1/usage").await.expect("an answer");
    assert_eq!(status, 200, "{usage}");
    let mut sums = (0, 0);
    for day in usage["days"].as_array().expect("days") {
        sums.0 += day["calls"]["tokens"].as_u64().expect("tokens");
        let of = |end: &str| day["tasks"][end].as_u64().expect("a number");
        sums.1 += of("completed") + of("failed") + of("cancelled");
    }
    sums
}

/// Clients that ask for tasks with budgets at any of some servers until they are stopped, and cancel some.
struct Clients {
    stop: Arc<AtomicBool>,
    running: Vec<tokio::task::JoinHandle<Vec<Granted>>>,
}

impl Clients {
    fn start(count: u32, servers: &[Api], numbers: &Arc<AtomicUsize>, chance: &mut Chance) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let running = (0..count).map(|_| {
            let (servers, numbers, stop) = (servers.to_vec(), Arc::clone(numbers), Arc::clone(&stop));
            tokio::spawn(client(servers, numbers, stop, chance.child()))
        });
        Clients { running: running.collect(), stop }
    }

    async fn stopped(self) -> Vec<Granted> {
        self.stop.store(true, Ordering::Relaxed);
        let mut granted = Vec::new();
        for client in self.running {
            granted.extend(client.await.expect("no client saw a fault"));
        }
        granted
    }
}

async fn client(
    servers: Vec<Api>,
    numbers: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    mut chance: Chance,
) -> Vec<Granted> {
    let mut granted = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let wish = Wish::drawn(&mut chance, numbers.fetch_add(1, Ordering::Relaxed));
        let turn = chance.below(2) as usize;
        let Some(id) = until_answered(&servers, turn, &wish.body(), &wish.mark).await else { continue };
        tokio::time::sleep(Duration::from_millis(200 + chance.below(600))).await;
        if chance.below(8) == 0 {
            let cancel: Result<(u16, Value), _> =
                servers[turn].post(&format!("/api/v1/tasks/{id}/cancel"), &json!({}), None).await;
            let _it_may_have_ended = cancel;
        }
        granted.push(Granted { wish, id });
    }
    granted
}
