//! The autoscaler's loop: one scan, and scans until nothing moves.

use std::collections::BTreeMap;

use super::board::Board;
use super::model::Cluster;
use super::scale_down::{Kept, Removal, scale_down};
use super::scale_up::{Expansion, NotExpanded, Pending, Proposal, estimate, place_on_existing, why_not};
use crate::moment::Moment;

/// Flags of the autoscaler, with its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// `--scan-interval`, in milliseconds.
    pub scan_millis: i64,
    /// `--scale-down-utilization-threshold`, in percent: at or above it a node is needed.
    pub used_percent_max: i64,
    /// `--scale-down-unneeded-time`, in milliseconds.
    pub unneeded_millis: i64,
    /// `--scale-down-delay-after-add`, in milliseconds.
    pub delay_after_add_millis: i64,
}

impl Default for Options {
    fn default() -> Self {
        let ten_minutes = 600_000;
        Options {
            scan_millis: 10_000,
            used_percent_max: 50,
            unneeded_millis: ten_minutes,
            delay_after_add_millis: ten_minutes,
        }
    }
}

/// What the autoscaler keeps between scans.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Since when each node, by name, has been unneeded.
    pub unneeded_since: BTreeMap<String, Moment>,
    /// The last time a node was added.
    pub last_scale_up: Option<Moment>,
}

/// What a scan did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Pods that found a place, and the index of their node; new nodes come after the old.
    pub placed: Vec<(usize, usize)>,
    /// The pools that were expanded; at most one in a scan.
    pub expanded: Vec<Expansion>,
    /// Pods that stay pending.
    pub pending: Vec<Pending>,
    /// Nodes that were removed.
    pub removed: Vec<Removal>,
    /// Nodes that stay; empty when a pool was expanded, for then none is looked at.
    pub kept: Vec<Kept>,
}

/// One scan. Pods are placed and nodes added or removed in `cluster` itself; the indices of the
/// outcome are those before nodes, and the DaemonSet pods on them, are removed.
pub fn scan(cluster: &mut Cluster, options: &Options, memory: &mut Memory, now: Moment) -> Outcome {
    let mut outcome = scale_up(cluster);
    if outcome.expanded.is_empty() {
        let (removed, kept) = scale_down(cluster, options, memory, now);
        carry_out(cluster, &removed);
        outcome.removed = removed;
        outcome.kept = kept;
    } else {
        memory.last_scale_up = Some(now);
    }
    outcome
}

/// Scale-up scans until nothing moves; what is pending then stays so. Nothing is removed.
pub fn settle(cluster: &mut Cluster) -> Outcome {
    let mut all = Outcome::default();
    loop {
        let one = scale_up(cluster);
        let moved = !one.placed.is_empty() || !one.expanded.is_empty();
        all.placed.extend(one.placed);
        all.expanded.extend(one.expanded);
        all.pending = one.pending;
        // Every turn that moves something places a pod, so there are no more turns than pods.
        if !moved || all.pending.is_empty() {
            return all;
        }
    }
}

fn scale_up(cluster: &mut Cluster) -> Outcome {
    let mut outcome = Outcome::default();
    let mut board = Board::of(cluster);
    let rest = place_on_existing(cluster, &mut board, &mut outcome.placed);
    let best = best_option(cluster, &board, &rest);
    outcome.pending = still_pending(cluster, &board, &rest, best.as_ref());
    let placed = outcome.placed.clone();
    for (pod, node) in placed {
        cluster.pods[pod].node = Some(node);
    }
    if let Some(best) = best {
        cluster.nodes.extend(best.nodes);
        for (pod, node) in &best.placed {
            cluster.pods[*pod].node = Some(*node);
        }
        outcome.placed.extend(best.placed);
        outcome.expanded.push(best.expansion);
    }
    outcome
}

/// The pool that wastes least; of equals the first.
fn best_option(cluster: &Cluster, board: &Board<'_>, rest: &[usize]) -> Option<Proposal> {
    let mut best: Option<Proposal> = None;
    for pool in 0..cluster.pools.len() {
        let Some(option) = estimate(cluster, board, pool, rest, cluster.nodes.len()) else { continue };
        if best.as_ref().is_none_or(|best| option.expansion.waste < best.expansion.waste) {
            best = Some(option);
        }
    }
    best
}

/// The pods that neither an existing nor a new node takes, with the reasons. Siblings share them.
fn still_pending(
    cluster: &Cluster,
    board: &Board<'_>,
    rest: &[usize],
    chosen: Option<&Proposal>,
) -> Vec<Pending> {
    let mut taken = vec![false; cluster.pods.len()];
    for (pod, _) in chosen.map_or(&[][..], |option| &option.placed) {
        taken[*pod] = true;
    }
    let mut known: BTreeMap<usize, Pending> = BTreeMap::new();
    let mut pending = Vec::new();
    for pod in rest.iter().copied().filter(|pod| !taken[*pod]) {
        let workload = cluster.pods[pod].workload;
        let like = known.entry(workload).or_insert_with(|| Pending {
            pod,
            existing: board.refusals(workload),
            pools: (0..cluster.pools.len())
                .map(|pool| (pool, reason(cluster, board, pool, workload, chosen)))
                .collect(),
        });
        pending.push(Pending { pod, ..like.clone() });
    }
    pending
}

fn reason(
    cluster: &Cluster,
    board: &Board<'_>,
    pool: usize,
    workload: usize,
    chosen: Option<&Proposal>,
) -> NotExpanded {
    match why_not(cluster, board, pool, workload) {
        // The pool was expanded as far as it may and this pod found no room there.
        NotExpanded::NextScan if chosen.is_none_or(|option| option.expansion.pool == pool) => {
            NotExpanded::AtMax
        }
        other => other,
    }
}

/// Moves the pods of removed nodes and renumbers the rest.
fn carry_out(cluster: &mut Cluster, removed: &[Removal]) {
    if removed.is_empty() {
        return;
    }
    let mut goes = vec![false; cluster.nodes.len()];
    for removal in removed {
        goes[removal.node] = true;
        for (pod, to) in &removal.moved {
            cluster.pods[*pod].node = Some(*to);
        }
    }
    // What is still on a removed node belongs to it, as a DaemonSet's pod does.
    cluster.pods.retain(|pod| pod.node.is_none_or(|node| !goes.get(node).copied().unwrap_or(false)));
    let mut renumbered = Vec::with_capacity(goes.len());
    let mut next = 0;
    for goes in &goes {
        renumbered.push(next);
        next += usize::from(!goes);
    }
    for pod in &mut cluster.pods {
        pod.node = pod.node.and_then(|node| renumbered.get(node).copied());
    }
    let mut index = 0;
    cluster.nodes.retain(|_| {
        index += 1;
        !goes[index - 1]
    });
}
