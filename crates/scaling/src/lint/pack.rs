//! Whether pods fit on nodes, asked of the Cluster Autoscaler's own packer.
//!
//! Requests alone count here: taints, affinity and spread can only make it worse.

use std::collections::BTreeMap;

use super::context::Context;
use crate::cluster::{self, Cluster, Node, Pod, Requests, settle};
use crate::manifest::{At, NodePool, Object, ObjectId, Workload};
use crate::quantity::Quantity;

/// The most pods and nodes for which it is asked; beyond it sums have to do.
const MOST: usize = 2000;

/// How many pods the packer leaves when all workloads and pools are at their maximum; 0 where it cannot be asked.
pub(super) fn left_pending(
    context: &Context<'_>,
    pools: &[(ObjectId, &Object, &NodePool)],
    workloads: &[(ObjectId, &Object, &Workload)],
) -> usize {
    let pods = workloads.iter().map(|(_, object, workload)| {
        let request = |resource| workload.template.request_milli(resource).unwrap_or(0).max(0);
        let requests = Requests { cpu_milli: request("cpu"), memory_bytes: request("memory") / 1000 };
        (requests, context.replicas_of(object, workload).1)
    });
    let nodes = pools.iter().map(|(_, _, pool)| {
        let has = |at: &Option<At<Quantity>>| at.as_ref().map_or(0, |at| at.value.milli());
        let allocatable = Requests { cpu_milli: has(&pool.cpu), memory_bytes: has(&pool.memory) / 1000 };
        (allocatable, pool.max.as_ref().map_or(0, |max| max.value), pool.pods)
    });
    let (mut pods, nodes): (Vec<_>, Vec<_>) = (pods.collect(), nodes.collect());
    // A pod that no node can hold is told by a rule of its own.
    pods.retain(|(wants, _)| {
        let holds =
            |has: &Requests| wants.cpu_milli <= has.cpu_milli && wants.memory_bytes <= has.memory_bytes;
        nodes.iter().any(|(has, _, _)| holds(has))
    });
    left_over(&pods, &nodes).unwrap_or(0)
}

/// How many of `pods` (requests and their number) find no place on `nodes` (what a node has and their number), largest
/// first. `None` where there are too many of either.
fn left_over(pods: &[(Requests, i64)], nodes: &[(Requests, i64, i64)]) -> Option<usize> {
    let count = |numbers: &mut dyn Iterator<Item = i64>| {
        let sum = numbers.fold(0_i64, |sum, number| sum.saturating_add(number.max(0)));
        usize::try_from(sum).ok().filter(|sum| *sum <= MOST)
    };
    count(&mut pods.iter().map(|(_, number)| *number))?;
    count(&mut nodes.iter().map(|(_, number, _)| *number))?;
    let mut cluster = Cluster::default();
    for (index, (requests, number)) in pods.iter().enumerate() {
        cluster.workloads.push(cluster::Workload { requests: *requests, ..cluster::Workload::default() });
        let each =
            (0..*number).map(|pod| Pod { name: format!("{index}-{pod}"), workload: index, node: None });
        cluster.pods.extend(each);
    }
    for (index, (allocatable, number, pods_max)) in nodes.iter().enumerate() {
        cluster.nodes.extend((0..*number).map(|node| Node {
            name: format!("{index}-{node}"),
            pool: None,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            allocatable: *allocatable,
            pods_max: usize::try_from(*pods_max).unwrap_or(0),
        }));
    }
    Some(settle(&mut cluster).pending.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_three_cores_leave_a_quarter_of_each_node_empty() {
        let cores = |cores: i64| Requests { cpu_milli: cores * 1000, memory_bytes: 0 };
        assert_eq!(left_over(&[(cores(3), 4)], &[(cores(4), 3, 110)]), Some(1));
        assert_eq!(left_over(&[(cores(3), 3)], &[(cores(4), 3, 110)]), Some(0));
        assert_eq!(left_over(&[(cores(3), i64::MAX)], &[(cores(4), 3, 110)]), None);
    }
}
