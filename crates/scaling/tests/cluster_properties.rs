//! Laws of packing and of removing nodes that hold for any cluster.

use std::collections::BTreeMap;

use octollm_scaling::cluster::{
    Amount, Bound, Budget, Cluster, LabelSelector, Memory, Node, Options, Pod, PodTerm, Pool, Requests,
    Spread, Workload, scan, settle,
};
use octollm_scaling::moment::Moment;
use proptest::collection::vec;
use proptest::prelude::*;

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

fn workload(index: usize, cpu_milli: i64, memory: i64, apart: bool, spread: bool) -> Workload {
    let name = format!("app-{index}");
    let selector = LabelSelector::of([("app", name.as_str())]);
    Workload {
        namespace: "default".into(),
        labels: BTreeMap::from([("app".into(), name.clone())]),
        name,
        requests: Requests { cpu_milli, memory_bytes: memory },
        anti_affinity: if apart {
            vec![PodTerm {
                selector: selector.clone(),
                namespaces: Vec::new(),
                topology_key: HOSTNAME.into(),
            }]
        } else {
            Vec::new()
        },
        spread: if spread {
            vec![Spread { selector, topology_key: ZONE.into(), max_skew: 1, min_domains: None }]
        } else {
            Vec::new()
        },
        ..Workload::default()
    }
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let workloads = vec((0..4000_i64, 0..4000_i64, any::<bool>(), any::<bool>()), 1..5);
    let pools = vec((1000..9000_i64, 1000..9000_i64, 0..6_usize), 0..3);
    (workloads, vec(any::<prop::sample::Index>(), 0..40), 0..6_usize, pools, 0..3_i64).prop_map(
        |(workloads, pods, nodes, pools, spare)| {
            let workloads: Vec<Workload> = workloads
                .into_iter()
                .enumerate()
                .map(|(index, (cpu, memory, apart, spread))| workload(index, cpu, memory, apart, spread))
                .collect();
            let budget = Budget {
                namespace: "default".into(),
                name: "app-0".into(),
                selector: LabelSelector::of([("app", "app-0")]),
                bound: Bound::MaxUnavailable(Amount::Pods(spare)),
            };
            Cluster {
                pods: pods
                    .iter()
                    .enumerate()
                    .map(|(index, workload)| Pod {
                        name: format!("pod-{index}"),
                        workload: workload.index(workloads.len()),
                        node: None,
                    })
                    .collect(),
                nodes: (0..nodes)
                    .map(|index| Node {
                        name: format!("node-{index}"),
                        pool: Some(0),
                        labels: BTreeMap::from([
                            (HOSTNAME.into(), format!("node-{index}")),
                            (ZONE.into(), format!("zone-{}", index % 2)),
                        ]),
                        taints: Vec::new(),
                        allocatable: Requests { cpu_milli: 4000, memory_bytes: 4000 },
                        pods_max: 9,
                    })
                    .collect(),
                pools: pools
                    .into_iter()
                    .enumerate()
                    .map(|(index, (cpu_milli, memory_bytes, max_nodes))| Pool {
                        name: format!("pool-{index}"),
                        min_nodes: 0,
                        max_nodes,
                        labels: BTreeMap::new(),
                        taints: Vec::new(),
                        allocatable: Requests { cpu_milli, memory_bytes },
                        pods_max: 9,
                        zones: vec!["zone-0".into(), "zone-1".into()],
                    })
                    .collect(),
                budgets: vec![budget],
                workloads,
            }
        },
    )
}

/// Nothing is overfull and pods that want to be apart are apart.
fn check(cluster: &Cluster) -> Result<(), TestCaseError> {
    let mut used = vec![(0_i64, 0_i64, 0_usize); cluster.nodes.len()];
    let mut apart: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for pod in &cluster.pods {
        let Some(node) = pod.node else { continue };
        let workload = &cluster.workloads[pod.workload];
        used[node].0 += workload.requests.cpu_milli;
        used[node].1 += workload.requests.memory_bytes;
        used[node].2 += 1;
        if !workload.anti_affinity.is_empty() {
            *apart.entry((pod.workload, node)).or_default() += 1;
        }
    }
    for (node, (cpu, memory, pods)) in cluster.nodes.iter().zip(used) {
        prop_assert!(cpu <= node.allocatable.cpu_milli && memory <= node.allocatable.memory_bytes);
        prop_assert!(pods <= node.pods_max);
    }
    prop_assert!(apart.values().all(|count| *count == 1), "{apart:?}");
    for (index, pool) in cluster.pools.iter().enumerate() {
        let nodes = cluster.nodes.iter().filter(|node| node.pool == Some(index)).count();
        let before = cluster.nodes.iter().filter(|node| node.name.starts_with("node-")).count();
        prop_assert!(nodes <= pool.max_nodes.max(before));
    }
    Ok(())
}

proptest! {
    #[test]
    fn packing_keeps_every_rule_and_ends_where_nothing_moves(mut cluster in cluster()) {
        let outcome = settle(&mut cluster);
        check(&cluster)?;
        prop_assert_eq!(outcome.placed.len() + outcome.pending.len(), cluster.pods.len());
        for pending in &outcome.pending {
            prop_assert!(cluster.pods[pending.pod].node.is_none());
            prop_assert!(!pending.existing.is_empty() || cluster.nodes.is_empty());
            prop_assert_eq!(pending.pools.len(), cluster.pools.len());
        }
        let again = settle(&mut cluster.clone());
        prop_assert!(again.placed.is_empty() && again.expanded.is_empty());
        prop_assert_eq!(again.pending, outcome.pending);
    }

    #[test]
    fn removing_nodes_loses_no_pod_and_breaks_no_rule(mut cluster in cluster(), keep in vec(any::<bool>(), 40)) {
        settle(&mut cluster);
        // Some load goes away, so that nodes become unneeded.
        let mut kept = keep.iter().cycle();
        cluster.pods.retain(|pod| pod.node.is_some() && *kept.next().expect("cycles"));
        let pods = cluster.pods.len();
        let mut memory = Memory::default();
        let mut sizes = Vec::new();
        for minute in 0..120 {
            let now = Moment::from_millis(minute * 60_000);
            scan(&mut cluster, &Options::default(), &mut memory, now);
            check(&cluster)?;
            prop_assert_eq!(cluster.pods.iter().filter(|pod| pod.node.is_some()).count(), pods);
            sizes.push(cluster.nodes.len());
        }
        prop_assert!(sizes.windows(2).all(|pair| pair[1] <= pair[0]));
        prop_assert!(memory.unneeded_since.len() <= cluster.nodes.len());
    }

    #[test]
    fn the_order_of_siblings_does_not_matter(cluster in cluster()) {
        let placed = |cluster: &Cluster| {
            let mut cluster = cluster.clone();
            settle(&mut cluster);
            let mut places: BTreeMap<(usize, Option<usize>), usize> = BTreeMap::new();
            for pod in &cluster.pods {
                *places.entry((pod.workload, pod.node)).or_default() += 1;
            }
            places
        };
        let mut reversed = cluster.clone();
        reversed.pods.reverse();
        prop_assert_eq!(placed(&cluster), placed(&reversed));
    }
}
