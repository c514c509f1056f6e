//! Machines on networks of their own, as far as one machine can have them, and what cuts them off.
//!
//! A test runs itself again in a network namespace, which is the hub: clients, a bridge, and whatever has
//! no place of its own. Each host has a namespace with one cable to that bridge. All of them end with the
//! processes that hold them.

use crate::server::{Stand, wait_until};
use std::process::{Child, Command, Stdio};

/// Set where the test is inside.
const INSIDE: &str = "OCTOLLM_TEST_INSIDE";

/// What a machine says that may have no such networks.
const REFUSALS: [&str; 3] = ["Operation not permitted", "Operation not supported", "Unknown device type"];

/// Runs this test again with a network of its own, where `inside` is done; it must say that it `proves` it.
pub(crate) fn on_its_own<F: Future<Output = ()>>(test: &str, proves: &str, inside: impl FnOnce() -> F) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.expect("a runtime").block_on(inside());
    }
    for kind in ["bridge", "veth"] {
        if let Err(why) = run("unshare", &["--net", "ip", "link", "add", "octo", "type", kind]) {
            // Whatever else is wrong is the test's own fault.
            assert!(REFUSALS.iter().any(|refusal| why.contains(refusal)), "{why}");
            println!("not tried: this machine allows no networks of one's own: {why}");
            return;
        }
    }
    let own = std::env::current_exe().expect("a test knows its own path");
    // It dies with this one.
    let ended = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--net"])
        .arg(own)
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "yes")
        .output()
        .expect("it runs");
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    println!("{said}");
    assert!(ended.status.success() && said.contains(proves), "it failed inside: {}", ended.status);
}

/// The hub's address on the bridge.
pub(crate) const HUB: &str = "10.213.0.1";

pub(crate) fn hub() {
    for line in
        ["link set lo up", "link add octo type bridge", "addr add 10.213.0.1/24 dev octo", "link set octo up"]
    {
        End::Hub.ip(line);
    }
}

/// A machine, as far as networks go: a namespace and a cable to the hub.
pub(crate) struct Host {
    holder: Child,
    address: String,
    /// The hub's end of the cable.
    cable: String,
}

impl Host {
    pub(crate) fn start(number: usize) -> Self {
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

    pub(crate) fn stand(&self, port: u16) -> Stand {
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

/// Who sends, or is sent to.
#[derive(Clone, Copy)]
pub(crate) enum End<'a> {
    Hub,
    At(&'a Host),
}

impl<'a> From<&'a Host> for End<'a> {
    fn from(host: &'a Host) -> Self {
        End::At(host)
    }
}

impl End<'_> {
    fn address(&self) -> &str {
        match self {
            End::Hub => HUB,
            End::At(host) => &host.address,
        }
    }

    /// `ip` with these words, there.
    fn ip(&self, line: &str) {
        match self {
            End::Hub => must("ip", &line.split(' ').collect::<Vec<_>>()),
            End::At(host) => host.ip(line),
        }
    }
}

/// A network that is not whole, for as long as this lives.
pub(crate) enum Cut<'a> {
    /// Nothing reaches it, nothing leaves it.
    Whole(&'a Host),
    /// What the first sends to the second is lost; the other way goes on.
    OneWay(End<'a>, End<'a>),
}

impl<'a> Cut<'a> {
    pub(crate) fn whole(host: &'a Host) -> Self {
        must("ip", &["link", "set", &host.cable, "down"]);
        Cut::Whole(host)
    }

    pub(crate) fn one_way(from: impl Into<End<'a>>, to: impl Into<End<'a>>) -> Self {
        let (from, to) = (from.into(), to.into());
        // It is looked up for each packet, and nearer than the network's own route.
        from.ip(&format!("route add blackhole {}/32", to.address()));
        Cut::OneWay(from, to)
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        match self {
            Cut::Whole(host) => must("ip", &["link", "set", &host.cable, "up"]),
            Cut::OneWay(from, to) => from.ip(&format!("route del blackhole {}/32", to.address())),
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
