//! Nodes that are not needed: under half of their requests for ten minutes, and their pods have
//! another place.

use super::board::Board;
use super::budget::{Allowance, Forbidden};
use super::fit::NoFit;
use super::model::{Cluster, Eviction, Requests};
use super::scan::{Memory, Options};
use crate::moment::Moment;

/// A node that is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Index of the node.
    pub node: usize,
    /// Its pods, and the index of the node that takes each.
    pub moved: Vec<(usize, usize)>,
}

/// A node that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Index of the node.
    pub node: usize,
    /// Why.
    pub because: KeptBecause,
}

/// Why a node stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptBecause {
    /// The autoscaler does not manage it.
    NotManaged,
    /// It is used to this percent of its requests, CPU or memory, whichever is more.
    Used {
        /// Percent, truncated.
        percent: i64,
    },
    /// It has been unneeded for less than ten minutes.
    NotLongEnough {
        /// When it will have been.
        until: Moment,
    },
    /// A node was added less than ten minutes ago.
    RecentScaleUp {
        /// When that will be over.
        until: Moment,
    },
    /// Its pool is at its minimum.
    PoolAtMin,
    /// A pod on it must not be moved.
    NotEvictable {
        /// Index of the pod.
        pod: usize,
        /// Why not.
        why: Eviction,
    },
    /// A disruption budget is exhausted.
    Budget {
        /// Index of the pod.
        pod: usize,
        /// Index of the budget.
        budget: usize,
    },
    /// Several budgets count the same pod; the eviction API refuses that.
    SeveralBudgets {
        /// Index of the pod.
        pod: usize,
    },
    /// A pod has no other place.
    NoPlace {
        /// Index of the pod.
        pod: usize,
        /// Why the other nodes refuse it, and how many say so.
        why: Vec<(NoFit, usize)>,
    },
    /// It could go, and goes in a later scan.
    NextScan,
}

/// Which nodes go in this scan, and why the others stay. Updates the memory of unneeded nodes.
pub(super) fn scale_down(
    cluster: &Cluster,
    options: &Options,
    memory: &mut Memory,
    now: Moment,
) -> (Vec<Removal>, Vec<Kept>) {
    let mut board = Board::of(cluster);
    let mut allowance = Allowance::of(cluster);
    let mut sizes: Vec<usize> = vec![0; cluster.pools.len()];
    for pool in cluster.nodes.iter().filter_map(|node| node.pool) {
        if let Some(size) = sizes.get_mut(pool) {
            *size += 1;
        }
    }
    let pods = pods_by_node(cluster);
    let (mut removals, mut kept) = (Vec::new(), Vec::new());
    let (mut emptied, mut drained) = (0, 0);
    // Nodes that took pods in this scan; they are judged anew in the next.
    let mut receives = vec![false; cluster.nodes.len()];
    for node in order(cluster, &pods) {
        let unneeded = match unneeded(cluster, options, node, &pods[node], &mut board, &mut allowance) {
            Ok(unneeded) => unneeded,
            Err(because) => {
                memory.unneeded_since.remove(&cluster.nodes[node].name);
                kept.push(Kept { node, because });
                continue;
            }
        };
        let since = *memory.unneeded_since.entry(cluster.nodes[node].name.clone()).or_insert(now);
        let pool = cluster.nodes[node].pool.unwrap_or(usize::MAX);
        let at_min = sizes.get(pool).copied() <= cluster.pools.get(pool).map(|pool| pool.min_nodes);
        let until = since.plus_millis(options.unneeded_millis);
        let after_add = memory.last_scale_up.map(|at| at.plus_millis(options.delay_after_add_millis));
        let bulk = if unneeded.moved.is_empty() { emptied < EMPTY_BULK } else { drained == 0 };
        let because = if at_min {
            Some(KeptBecause::PoolAtMin)
        } else if let Some(until) = after_add.filter(|until| now < *until) {
            Some(KeptBecause::RecentScaleUp { until })
        } else if now < until {
            Some(KeptBecause::NotLongEnough { until })
        } else if !bulk || receives[node] {
            Some(KeptBecause::NextScan)
        } else {
            None
        };
        match because {
            Some(because) => {
                unneeded.undo(cluster, node, &mut board, &mut allowance);
                kept.push(Kept { node, because });
            }
            None => {
                if unneeded.moved.is_empty() {
                    emptied += 1;
                } else {
                    drained += 1;
                }
                for (_, to) in &unneeded.moved {
                    receives[*to] = true;
                }
                sizes[pool] -= 1;
                board.remove_node(node);
                memory.unneeded_since.remove(&cluster.nodes[node].name);
                removals.push(Removal { node, moved: unneeded.moved });
            }
        }
    }
    memory.unneeded_since.retain(|name, _| cluster.nodes.iter().any(|node| node.name == *name));
    kept.sort_by_key(|kept| kept.node);
    (removals, kept)
}

/// Empty nodes removed in one scan; of the others one is drained at a time.
const EMPTY_BULK: usize = 10;

/// Emptier nodes first, so that pods gather on the fuller ones.
fn order(cluster: &Cluster, pods: &[Vec<usize>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cluster.nodes.len()).collect();
    order.sort_by_key(|node| used_percent(cluster, *node, &pods[*node]));
    order
}

fn pods_by_node(cluster: &Cluster) -> Vec<Vec<usize>> {
    let mut by_node = vec![Vec::new(); cluster.nodes.len()];
    for (index, pod) in cluster.pods.iter().enumerate() {
        if let Some(pods) = pod.node.and_then(|node| by_node.get_mut(node))
            && pod.workload < cluster.workloads.len()
        {
            pods.push(index);
        }
    }
    by_node
}

/// Percent of the node that its pods request, CPU or memory, whichever is more.
fn used_percent(cluster: &Cluster, node: usize, pods: &[usize]) -> i64 {
    let mut used = Requests::default();
    for pod in pods {
        let requests = cluster.workloads[cluster.pods[*pod].workload].requests;
        used.cpu_milli = used.cpu_milli.saturating_add(requests.cpu_milli);
        used.memory_bytes = used.memory_bytes.saturating_add(requests.memory_bytes);
    }
    let all = cluster.nodes[node].allocatable;
    let percent = |used: i64, all: i64| {
        i64::try_from(i128::from(used) * 100 / i128::from(all.max(1))).unwrap_or(i64::MAX)
    };
    percent(used.cpu_milli, all.cpu_milli).max(percent(used.memory_bytes, all.memory_bytes))
}

/// A node whose pods were moved on the board.
struct Unneeded {
    moved: Vec<(usize, usize)>,
    allowance_before: Vec<i64>,
}

impl Unneeded {
    fn undo(self, cluster: &Cluster, node: usize, board: &mut Board<'_>, allowance: &mut Allowance) {
        for (pod, to) in self.moved {
            let workload = cluster.pods[pod].workload;
            board.lift(workload, to);
            board.place(workload, node);
        }
        allowance.restore(self.allowance_before);
    }
}

/// Moves the node's pods elsewhere on the board, or leaves the board as it was and says why not.
fn unneeded(
    cluster: &Cluster,
    options: &Options,
    node: usize,
    pods: &[usize],
    board: &mut Board<'_>,
    allowance: &mut Allowance,
) -> Result<Unneeded, KeptBecause> {
    if cluster.nodes[node].pool.is_none_or(|pool| pool >= cluster.pools.len()) {
        return Err(KeptBecause::NotManaged);
    }
    let percent = used_percent(cluster, node, pods);
    if percent >= options.used_percent_max {
        return Err(KeptBecause::Used { percent });
    }
    let mut unneeded = Unneeded { moved: Vec::new(), allowance_before: allowance.saved() };
    for pod in pods {
        let workload = cluster.pods[*pod].workload;
        let because = match cluster.workloads[workload].eviction {
            Eviction::Daemon => continue,
            Eviction::Allowed => match allowance.take(workload) {
                Ok(()) => match elsewhere(board, workload, node) {
                    Ok(to) => {
                        unneeded.moved.push((*pod, to));
                        continue;
                    }
                    Err(why) => KeptBecause::NoPlace { pod: *pod, why },
                },
                Err(Forbidden::Exhausted(budget)) => KeptBecause::Budget { pod: *pod, budget },
                Err(Forbidden::SeveralBudgets) => KeptBecause::SeveralBudgets { pod: *pod },
            },
            why @ (Eviction::Naked | Eviction::LocalStorage | Eviction::Annotated) => {
                KeptBecause::NotEvictable { pod: *pod, why }
            }
        };
        unneeded.undo(cluster, node, board, allowance);
        return Err(because);
    }
    Ok(unneeded)
}

/// Moves one pod from `node` to the first other node that takes it.
fn elsewhere(board: &mut Board<'_>, workload: usize, node: usize) -> Result<usize, Vec<(NoFit, usize)>> {
    board.lift(workload, node);
    let emptiest = board.emptiest(workload);
    let mut refusals: Vec<(NoFit, usize)> = Vec::new();
    for other in (0..board.node_count()).filter(|other| *other != node && !board.is_removed(*other)) {
        match board.fit(workload, other, &emptiest) {
            Ok(()) => {
                board.place(workload, other);
                return Ok(other);
            }
            Err(why) => match refusals.iter_mut().find(|(known, _)| *known == why) {
                Some((_, count)) => *count += 1,
                None => refusals.push((why, 1)),
            },
        }
    }
    board.place(workload, node);
    refusals.sort_unstable();
    Err(refusals)
}
