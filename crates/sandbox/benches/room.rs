//! What a room costs: `/bin/true` in a room against a bare spawn of it, in the same run.
//!
//! Prints microseconds; the two alternate, so that a busy machine slows both.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and stops at what it cannot do"
)]

use octollm_sandbox::{Kernel, Limits, Room, RoomSpec};
use std::{path::PathBuf, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const RUNS: usize = 300;

#[tokio::main]
async fn main() {
    let kernel = Kernel::probe();
    println!("{kernel}");
    let workspace = std::env::temp_dir().join(format!("octollm-room-bench-{}", std::process::id()));
    std::fs::create_dir(&workspace).unwrap();
    let room = Room::open(&spec(workspace.clone()), kernel, &|| false).unwrap();
    let never = CancellationToken::new();
    let (mut rooms, mut spawns) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let started = Instant::now();
        room.run(&["/bin/true"], None, &never).await.unwrap();
        rooms.push(started.elapsed());
        let started = Instant::now();
        tokio::process::Command::new("/bin/true").output().await.unwrap();
        spawns.push(started.elapsed());
    }
    std::fs::remove_dir_all(&workspace).unwrap();
    println!("{RUNS} runs of /bin/true, µs");
    print("room", rooms);
    print("bare spawn", spawns);
}

fn spec(workspace: PathBuf) -> RoomSpec {
    RoomSpec { workspace, read_roots: vec![], closed: vec![], limits: Limits::default() }
}

fn print(name: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1].as_micros();
    println!("{name:<10}  P50 {:>6}  P99 {:>6}", at(50), at(99));
}
