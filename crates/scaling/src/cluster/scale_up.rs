//! Places for pending pods: on nodes that exist, then on new ones.

use super::board::Board;
use super::fit::NoFit;
use super::model::{Cluster, Node, Pool, Requests, ZONE};

/// Pods of a priority below this never make the autoscaler add a node.
const PRIORITY_CUTOFF: i32 = -10;

/// A pool that is expanded.
#[derive(Debug, Clone, PartialEq)]
pub struct Expansion {
    /// Index of the pool.
    pub pool: usize,
    /// How many nodes are added.
    pub nodes: usize,
    /// How many pending pods they take.
    pub pods: usize,
    /// Shares of CPU and memory that nothing requests, added up (0 to 2): the expander's figure.
    pub waste: f64,
}

/// A pod without a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Index of the pod.
    pub pod: usize,
    /// Why no existing node takes it, and how many nodes say so.
    pub existing: Vec<(NoFit, usize)>,
    /// For each pool, why a new node of it does not help.
    pub pools: Vec<(usize, NotExpanded)>,
}

/// Why a pool is not expanded for a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotExpanded {
    /// It has as many nodes as it may.
    #[error("max node group size reached")]
    AtMax,
    /// An empty new node would not take the pod either.
    #[error("{0}")]
    NoFit(NoFit),
    /// The pod's priority is too low to add nodes for.
    #[error("pod priority is below the cutoff of -10")]
    LowPriority,
    /// Another pool was expanded first; the next scan tries again.
    #[error("another pool is expanded first")]
    NextScan,
}

/// The pending pods, largest first: by priority, then by the share of a node they request.
pub(super) fn pending_in_order(cluster: &Cluster) -> Vec<usize> {
    let reference = largest_node(cluster);
    let mut pending: Vec<usize> = cluster
        .pods
        .iter()
        .enumerate()
        .filter(|(_, pod)| pod.node.is_none() && pod.workload < cluster.workloads.len())
        .map(|(index, _)| index)
        .collect();
    pending.sort_by(|a, b| {
        let key = |pod: &usize| {
            let workload = &cluster.workloads[cluster.pods[*pod].workload];
            (workload.priority, share(workload.requests, reference), cluster.pods[*pod].workload)
        };
        let ((priority_a, share_a, of_a), (priority_b, share_b, of_b)) = (key(a), key(b));
        priority_b.cmp(&priority_a).then(share_b.total_cmp(&share_a)).then(of_a.cmp(&of_b))
    });
    pending
}

/// Places what fits on existing nodes; returns the rest, in order.
pub(super) fn place_on_existing(
    cluster: &Cluster,
    board: &mut Board<'_>,
    placed: &mut Vec<(usize, usize)>,
) -> Vec<usize> {
    let mut rest = Vec::new();
    // Siblings of a pod that found nothing find nothing either, as long as none is placed between.
    let mut stuck: Option<usize> = None;
    for pod in pending_in_order(cluster) {
        let workload = cluster.pods[pod].workload;
        if stuck == Some(workload) {
            rest.push(pod);
            continue;
        }
        match board.first_fit(workload, 0) {
            Some(node) => {
                board.place(workload, node);
                placed.push((pod, node));
                stuck = None;
            }
            None => {
                rest.push(pod);
                stuck = Some(workload);
            }
        }
    }
    rest
}

/// What a pool would do for the pending pods.
pub(super) struct Proposal {
    pub(super) expansion: Expansion,
    pub(super) nodes: Vec<Node>,
    /// Pod and index of the new node.
    pub(super) placed: Vec<(usize, usize)>,
}

/// Packs `pending` onto new nodes of `pool`, as many as it may still have.
pub(super) fn estimate(
    cluster: &Cluster,
    board: &Board<'_>,
    pool_index: usize,
    pending: &[usize],
    serial: usize,
) -> Option<Proposal> {
    let pool = cluster.pools.get(pool_index)?;
    let mut zones = ZoneBalance::of(cluster, pool_index);
    let room = pool.max_nodes.saturating_sub(zones.nodes);
    let mut board = board.clone();
    let first_new = board.node_count();
    let mut nodes: Vec<Node> = Vec::new();
    let mut placed = Vec::new();
    let mut used = Requests::default();
    let mut hopeless: Option<usize> = None;
    for pod in pending {
        let workload = cluster.pods[*pod].workload;
        if hopeless == Some(workload) || cluster.workloads[workload].priority < PRIORITY_CUTOFF {
            continue;
        }
        let spot = match board.first_fit(workload, first_new) {
            Some(spot) => Some(spot),
            None => open_node(&mut board, pool, pool_index, workload, room, serial, &mut zones, &mut nodes),
        };
        match spot {
            Some(spot) => {
                board.place(workload, spot);
                placed.push((*pod, spot));
                let requests = cluster.workloads[workload].requests;
                used.cpu_milli = used.cpu_milli.saturating_add(requests.cpu_milli);
                used.memory_bytes = used.memory_bytes.saturating_add(requests.memory_bytes);
                hopeless = None;
            }
            None => hopeless = Some(workload),
        }
    }
    if placed.is_empty() {
        return None;
    }
    let count = nodes.len();
    let waste = wasted(pool.allocatable.cpu_milli, count, used.cpu_milli)
        + wasted(pool.allocatable.memory_bytes, count, used.memory_bytes);
    let expansion = Expansion { pool: pool_index, nodes: count, pods: placed.len(), waste };
    Some(Proposal { expansion, nodes, placed })
}

/// Opens a new node if the pod fits on it when empty; each zone is tried, the emptiest first.
#[expect(clippy::too_many_arguments, reason = "the moving parts of one packing")]
fn open_node(
    board: &mut Board<'_>,
    pool: &Pool,
    pool_index: usize,
    workload: usize,
    room: usize,
    serial: usize,
    zones: &mut ZoneBalance,
    nodes: &mut Vec<Node>,
) -> Option<usize> {
    if nodes.len() >= room {
        return None;
    }
    for zone in zones.emptiest_first() {
        let name = zone.and_then(|zone| pool.zones.get(zone));
        let node = pool.node(pool_index, serial + nodes.len(), name);
        let spot = board.add_node(&node);
        let emptiest = board.emptiest(workload);
        if board.fit(workload, spot, &emptiest).is_ok() {
            zones.add(zone);
            nodes.push(node);
            return Some(spot);
        }
        board.drop_last_node();
    }
    None
}

/// Why an empty new node of the pool does not take a pod of `workload`.
pub(super) fn why_not(
    cluster: &Cluster,
    board: &Board<'_>,
    pool_index: usize,
    workload: usize,
) -> NotExpanded {
    let Some(pool) = cluster.pools.get(pool_index) else { return NotExpanded::AtMax };
    if cluster.workloads[workload].priority < PRIORITY_CUTOFF {
        return NotExpanded::LowPriority;
    }
    let zones = ZoneBalance::of(cluster, pool_index);
    let mut board = board.clone();
    let mut first = None;
    for zone in zones.emptiest_first() {
        let name = zone.and_then(|zone| pool.zones.get(zone));
        let spot = board.add_node(&pool.node(pool_index, usize::MAX, name));
        let emptiest = board.emptiest(workload);
        match board.fit(workload, spot, &emptiest) {
            Ok(()) if zones.nodes >= pool.max_nodes => return NotExpanded::AtMax,
            Ok(()) => return NotExpanded::NextScan,
            Err(why) => {
                first.get_or_insert(why);
            }
        }
        board.drop_last_node();
    }
    first.map_or(NotExpanded::AtMax, NotExpanded::NoFit)
}

/// The nodes of a pool by zone: new ones go where there are fewest.
struct ZoneBalance {
    nodes: usize,
    by_zone: Vec<usize>,
}

impl ZoneBalance {
    fn of(cluster: &Cluster, pool_index: usize) -> Self {
        let zones = cluster.pools.get(pool_index).map_or(&[][..], |pool| &pool.zones);
        let mut by_zone = vec![0; zones.len()];
        let mut nodes = 0;
        for node in cluster.nodes.iter().filter(|node| node.pool == Some(pool_index)) {
            nodes += 1;
            let zone = node.labels.get(ZONE);
            if let Some(index) = zones.iter().position(|name| zone == Some(name)) {
                by_zone[index] += 1;
            }
        }
        ZoneBalance { nodes, by_zone }
    }

    fn emptiest_first(&self) -> Vec<Option<usize>> {
        if self.by_zone.is_empty() {
            return vec![None];
        }
        let mut order: Vec<usize> = (0..self.by_zone.len()).collect();
        order.sort_by_key(|zone| self.by_zone[*zone]);
        order.into_iter().map(Some).collect()
    }

    fn add(&mut self, zone: Option<usize>) {
        if let Some(count) = zone.and_then(|zone| self.by_zone.get_mut(zone)) {
            *count += 1;
        }
    }
}

fn largest_node(cluster: &Cluster) -> Requests {
    let nodes = cluster.nodes.iter().map(|node| node.allocatable);
    let pools = cluster.pools.iter().map(|pool| pool.allocatable);
    nodes.chain(pools).fold(Requests { cpu_milli: 1, memory_bytes: 1 }, |most, one| Requests {
        cpu_milli: most.cpu_milli.max(one.cpu_milli),
        memory_bytes: most.memory_bytes.max(one.memory_bytes),
    })
}

#[expect(clippy::cast_precision_loss, reason = "shares that only order and compare")]
fn share(requests: Requests, of: Requests) -> f64 {
    requests.cpu_milli as f64 / of.cpu_milli as f64 + requests.memory_bytes as f64 / of.memory_bytes as f64
}

#[expect(clippy::cast_precision_loss, reason = "a share that only compares")]
fn wasted(each: i64, count: usize, used: i64) -> f64 {
    let all = each as f64 * count as f64;
    if all > 0.0 { (all - used as f64) / all } else { 0.0 }
}
