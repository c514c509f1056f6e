//! Orchestrators and arms on networks of their own that are cut and healed at random (P1–P3).
//!
//! The test runs itself again in a network namespace, which is the hub: database, clients, a bridge. Each
//! orchestrator and each arm has a namespace with one cable to that bridge. All of them end with the
//! processes that hold them.

use crate::{
    chance::Chance,
    fleet::{Arm, Fleet, LEASE, faults_for},
    fleet_kills::all_end,
    kill::{self, Clients},
    poison::holds,
    server::{PATIENCE, Stand, wait_until},
};
use octollm_testkit::postgres::Server;
use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Set where the test is inside.
const INSIDE: &str = "OCTOLLM_TEST_INSIDE";
const THIS: &str = "partition::every_accepted_task_ends_once_whoever_is_cut_off";

/// What is under way is what a cut meets: half of the steps take a while.
const GOALS: &[&str] = &["run `sleep 0.6`", "Count the files in /tmp"];

const LAPSED: &str = "SELECT count(*) FROM octollm.event WHERE kind = 'step.lapsed'";

/// P1, P2, P3: orchestrators are cut off from everybody, arms are, and single pairs are in one direction:
/// no step has two results, and when the networks are whole again every accepted task ends.
#[test]
fn every_accepted_task_ends_once_whoever_is_cut_off() {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.expect("a runtime").block_on(inside());
    }
    for kind in ["bridge", "veth"] {
        if let Err(why) = run("unshare", &["--net", "ip", "link", "add", "octo", "type", kind]) {
            println!("not tried: this machine allows no networks of one's own: {why}");
            return;
        }
    }
    let own = std::env::current_exe().expect("a test knows its own path");
    // It dies with this one.
    let ended = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--net"])
        .arg(own)
        .args([THIS, "--exact", "--nocapture"])
        .env(INSIDE, "yes")
        .output()
        .expect("it runs");
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    println!("{said}");
    assert!(ended.status.success() && said.contains("tasks accepted"), "it failed inside: {}", ended.status);
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

/// The hub's address on the bridge.
const HUB: &str = "10.213.0.1";

fn hub() {
    for line in
        ["link set lo up", "link add octo type bridge", "addr add 10.213.0.1/24 dev octo", "link set octo up"]
    {
        must("ip", &line.split(' ').collect::<Vec<_>>());
    }
}

/// A machine, as far as networks go: a namespace and a cable to the hub.
struct Host {
    holder: Child,
    address: String,
    /// The hub's end of the cable.
    cable: String,
}

impl Host {
    fn start(number: usize) -> Self {
        // It ends with its input.
        let holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("it runs");
        let host =
            Host { holder, address: format!("10.213.0.{}", 10 + number), cable: format!("octo{number}") };
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let pid = host.holder.id().to_string();
        wait_until("it has left", || (of(&pid)? != of("self")?).then_some(()));
        let cable = ["link", "add", &host.cable, "type", "veth", "peer", "name", "eth0", "netns", &pid];
        must("ip", &cable);
        must("ip", &["link", "set", &host.cable, "master", "octo", "up"]);
        host.ip("link set lo up");
        host.ip(&format!("addr add {}/24 dev eth0", host.address));
        host.ip("link set eth0 up");
        host
    }

    fn stand(&self, port: u16) -> Stand {
        Stand { launcher: self.launcher(), address: format!("{}:{port}", self.address) }
    }

    fn launcher(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.holder.id())]
    }

    /// `ip` with these words, there.
    fn ip(&self, line: &str) {
        let launcher = self.launcher();
        let words = [launcher[1].as_str(), "ip"].into_iter().chain(line.split(' '));
        must(&launcher[0], &words.collect::<Vec<_>>());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _reaped = self.holder.wait();
    }
}

/// A network that is not whole, for as long as this lives.
enum Cut<'a> {
    /// Nothing reaches it, nothing leaves it.
    Whole(&'a Host),
    /// What the first sends to the second is lost; the other way goes on.
    OneWay(&'a Host, &'a Host),
}

impl<'a> Cut<'a> {
    fn whole(host: &'a Host) -> Self {
        must("ip", &["link", "set", &host.cable, "down"]);
        Cut::Whole(host)
    }

    fn one_way(from: &'a Host, to: &'a Host) -> Self {
        // It is looked up for each packet, and nearer than the network's own route.
        from.ip(&format!("route add blackhole {}/32", to.address));
        Cut::OneWay(from, to)
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        match self {
            Cut::Whole(host) => must("ip", &["link", "set", &host.cable, "up"]),
            Cut::OneWay(from, to) => from.ip(&format!("route del blackhole {}/32", to.address)),
        }
    }
}

/// What it said when it failed.
fn run(program: &str, words: &[&str]) -> Result<(), String> {
    match Command::new(program).args(words).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

fn must(program: &str, words: &[&str]) {
    if let Err(said) = run(program, words) {
        panic!("{program} {words:?}: {said}");
    }
}
