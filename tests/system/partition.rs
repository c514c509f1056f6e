//! Orchestrators and arms on networks of their own that are cut and healed at random (P1–P3).

use crate::{
    chance::Chance,
    fleet::{Arm, Fleet, LEASE, faults_for},
    fleet_kills::all_end,
    kill::{self, Clients},
    networks::{Cut, HUB, Host, hub, on_its_own},
    poison::holds,
    server::{PATIENCE, wait_until},
};
use octollm_testkit::postgres::Server;
use std::time::{Duration, Instant};

const THIS: &str = "partition::every_accepted_task_ends_once_whoever_is_cut_off";

/// What is under way is what a cut meets: half of the steps take a while.
const GOALS: &[&str] = &["run `sleep 0.6`", "Count the files in /tmp"];

const LAPSED: &str = "SELECT count(*) FROM octollm.event WHERE kind = 'step.lapsed'";

/// P1, P2, P3: orchestrators are cut off from everybody, arms are, and single pairs are in one direction:
/// no step has two results, and when the networks are whole again every accepted task ends.
#[test]
fn every_accepted_task_ends_once_whoever_is_cut_off() {
    on_its_own(THIS, "tasks accepted", inside);
}

async fn inside() {
    let mut chance = Chance::for_test(THIS);
    hub();
    let hosts: Vec<Host> = (0..5).map(Host::start).collect();
    let (upper, lower) = hosts.split_at(2);
    let database = Server::start(&["listen_addresses = '*'"]).expect("a database");
    let url = format!("postgresql://octo@{HUB}:{}/postgres", database.port());
    let none: &[(&str, &str)] = &[];
    let places: Vec<_> = upper.iter().map(|host| (host.stand(8410), none)).collect();
    let fleet = Fleet::start(&url, &places).await;
    let arms: Vec<Arm> = lower
        .iter()
        .map(|host| fleet.arm_at(host.stand(0), "arm:executor,arm:judge", &[("OCTOLLM_SLOTS", "16")]))
        .collect();
    let servers = fleet.clients_with(&["sleep"]).await;
    let clients = Clients::start(4, &servers, GOALS, &mut chance);
    // An arm that works is away for longer than its leases, and comes back with results that are too late.
    while database.sql("postgres", LAPSED).expect("an answer") == "0" {
        let at_work = wait_until("an arm works", || arms.iter().position(|arm| holds(arm.pid(), "sleep")));
        let _cut = Cut::whole(&lower[at_work]);
        tokio::time::sleep(LEASE + Duration::from_millis(1500)).await;
    }
    let (began, mut cuts) = (Instant::now(), 1);
    while began.elapsed() < faults_for(3) || cuts < 4 || clients.accepted() < 20 {
        assert!(began.elapsed() < faults_for(3) + PATIENCE, "nobody accepts");
        tokio::time::sleep(Duration::from_millis(chance.below(300))).await;
        let (orchestrator, arm) = (&upper[chance.below(2) as usize], &lower[chance.below(3) as usize]);
        let cut = match chance.below(4) {
            0 => Cut::whole(orchestrator),
            1 => Cut::whole(arm),
            2 => Cut::one_way(orchestrator, arm),
            _ => Cut::one_way(arm, orchestrator),
        };
        // Shorter than a lease, and now and then longer.
        let longest = if chance.below(5) == 0 { 4500 } else { 1000 };
        tokio::time::sleep(Duration::from_millis(100 + chance.below(longest))).await;
        drop(cut);
        cuts += 1;
    }
    let told = clients.stopped().await;
    println!("{} tasks accepted, {cuts} cuts", told.len());
    all_end(&servers[0], &told).await;
    let lapsed = kill::check(&servers, &told).await;
    println!("{lapsed} leases ran out");
}
