//! Money under kill -9 in a fleet over one PostgreSQL database (P1, P5): orchestrators and arms are killed
//! at random moments while a model answers, cuts, fails and limits its rate.

use crate::{
    budget::{FAULTS, OVERDRAWN, SLOW, check_all, submit},
    chance::Chance,
    fleet::{Fleet, faults_for, here},
    model_server::Sim,
    server::{PATIENCE, wait_until},
};
use octollm_testkit::postgres::shared;
use std::time::{Duration, Instant};

/// How long faults go on before everything must end.
const ROUND: Duration = Duration::from_secs(10);
/// How many calls nobody settled.
pub(crate) const PRESUMED: &str =
    r#"SELECT count(*) FROM octollm.receipt WHERE body LIKE '{"presumed":true,%'"#;

/// P1, P5: no account is overdrawn at any moment, each call that the provider did is charged once, and
/// what a dead orchestrator was asking keeps no task for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_in_a_fleet_overspends_a_budget_or_forgets_a_call() {
    let mut chance = Chance::for_test("no_kill_in_a_fleet_overspends_a_budget_or_forgets_a_call");
    let name = shared().database().expect("a database");
    let sql = |sql: &str| shared().sql(&name, sql).expect("an answer");
    let overdrawn = format!("SET search_path = octollm; {OVERDRAWN}");
    let audit =
        || assert_eq!(sql(&overdrawn), "0", "P5: an account is overdrawn, or holds what no call holds");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sim = Sim::start(&[SLOW, ("[[rule]]", FAULTS)], folder.path());
    let variables = [("OCTOLLM_MODEL_URL", &*sim.model_url())];
    let places: Vec<(_, &[(&str, &str)])> = vec![(here(), &variables), (here(), &variables)];
    let mut fleet = Fleet::start(&shared().url(&name), &places).await;
    let roles = "arm:planner,arm:executor,arm:coder,arm:judge";
    let mut arms = [fleet.arm(roles, 6), fleet.arm(roles, 6)];
    let (mut kills, mut arm_kills, mut met, mut calls) = (0u32, 0u32, 0u32, 0usize);
    let began = Instant::now();
    // Faults for a while, then none until everything has ended; again and again in a long run.
    while began.elapsed() < faults_for(10) || met < 2 || arm_kills < 1 {
        let mut tasks = Vec::new();
        let round = Instant::now();
        while round.elapsed() < ROUND || met < 2 || arm_kills < 1 {
            assert!(round.elapsed() < 4 * ROUND, "no kill meets a call");
            for _ in 0..(2 + chance.below(3)) {
                let at = chance.below(2) as usize;
                tasks.push(submit(&fleet.clients()[at], &mut chance, tasks.len()).await);
            }
            tokio::time::sleep(Duration::from_millis(200 + chance.below(1200))).await;
            if chance.below(3) == 0 {
                let arm = &mut arms[chance.below(2) as usize];
                arm.kill();
                arm.start_again();
                arm_kills += 1;
            } else {
                let victim = chance.below(2) as usize;
                fleet.orchestrators[victim].kill_server();
                audit();
                met += u32::from(sql("SELECT count(*) FROM octollm.hold") != "0");
                fleet.orchestrators[victim].start_again();
                kills += 1;
            }
        }
        let faults_ended = Instant::now();
        for task in &tasks {
            fleet.clients()[0].ended(&task.id).await;
        }
        // A call that died may be charged after its task has ended.
        wait_until("every call is settled", || {
            (sql("SELECT count(*) FROM octollm.hold") == "0").then_some(())
        });
        let took = faults_ended.elapsed();
        audit();
        let mut ended = Vec::new();
        for task in &tasks {
            ended.push(fleet.clients()[0].ended(&task.id).await);
        }
        let log = sim.log().await;
        println!("{} tasks, all ended {took:?} after the last kill", tasks.len());
        assert!(took < PATIENCE, "P1: every task ends within a minute of the last fault");
        check_all(&tasks, &ended, &log[calls..]);
        calls = log.len();
    }
    let presumed = sql(PRESUMED);
    println!(
        "{kills} kills of an orchestrator, {met} with calls under way, {arm_kills} of an arm, {calls} calls, {presumed} presumed spent"
    );
    assert!(calls > 20, "too little happened to prove anything");
}
