//! What processes take, as Linux counts it (proc(5)).

use anyhow::Context;
use std::{fs, time::Duration};

/// Hundredths of a second: the unit of processor time in `/proc` on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A process and its descendants.
pub(crate) fn family(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut family = vec![pid];
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let parent = fields(&stat).nth(1).and_then(|parent| parent.parse().ok());
        if parent == Some(pid) {
            family.extend(self::family(child)?);
        }
    }
    Ok(family)
}

/// Proportional set size of a process and its descendants, in kB, and how many they are.
pub(crate) fn pss(pid: u32) -> anyhow::Result<(u64, usize)> {
    let family = family(pid)?;
    let mut sum = 0;
    for process in &family {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let own = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        sum += own
            .and_then(|text| text.split_whitespace().next())
            .and_then(|n| n.parse::<u64>().ok())
            .context("a PSS")?;
    }
    Ok((sum, family.len()))
}

/// Processor time, user's and system's, of a process and its descendants.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    family(pid)?.iter().map(|process| ticks(&format!("/proc/{process}/stat"))).sum()
}

/// Processor time of the thread that asks.
pub(crate) fn cpu_of_this_thread() -> anyhow::Result<Duration> {
    ticks("/proc/thread-self/stat")
}

fn ticks(path: &str) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(path)?;
    let ticks = fields(&stat).skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}

/// The fields of a `stat` from the third on; the second is a name that may hold anything.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split_ascii_whitespace()
}
