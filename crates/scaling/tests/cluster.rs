//! The Cluster Autoscaler's rules, one by one, on the smallest cluster that shows each.

use std::collections::BTreeMap;

use octollm_scaling::cluster::{
    Amount, Bound, Budget, Cluster, Effect, Eviction, KeptBecause, LabelSelector, Memory, NoFit, Node,
    NotExpanded, Options, Pod, PodTerm, Pool, Requests, Spread, Taint, Toleration, TolerationOperator,
    Workload, scan, settle,
};
use octollm_scaling::moment::Moment;

const GIB: i64 = 1 << 30;
const NOW: Moment = Moment::from_millis(1_700_000_000_000);
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

fn requests(cpu_milli: i64, gib: i64) -> Requests {
    Requests { cpu_milli, memory_bytes: gib * GIB }
}

fn app(name: &str, cpu_milli: i64) -> Workload {
    Workload {
        namespace: "default".into(),
        name: name.into(),
        labels: BTreeMap::from([("app".into(), name.into())]),
        requests: requests(cpu_milli, 1),
        ..Workload::default()
    }
}

fn term(name: &str, topology_key: &str) -> PodTerm {
    PodTerm {
        selector: LabelSelector::of([("app", name)]),
        namespaces: Vec::new(),
        topology_key: topology_key.into(),
    }
}

fn pool(name: &str, cpu_milli: i64, gib: i64, max_nodes: usize) -> Pool {
    Pool {
        name: name.into(),
        min_nodes: 0,
        max_nodes,
        labels: BTreeMap::from([("pool".into(), name.into())]),
        taints: Vec::new(),
        allocatable: requests(cpu_milli, gib),
        pods_max: 110,
        zones: Vec::new(),
    }
}

fn node(name: &str, zone: &str, cpu_milli: i64, gib: i64) -> Node {
    Node {
        name: name.into(),
        pool: Some(0),
        labels: BTreeMap::from([(HOSTNAME.into(), name.into()), (ZONE.into(), zone.into())]),
        taints: Vec::new(),
        allocatable: requests(cpu_milli, gib),
        pods_max: 110,
    }
}

fn pending(workload: usize, count: usize) -> Vec<Pod> {
    (0..count).map(|index| Pod { name: format!("{workload}-{index}"), workload, node: None }).collect()
}

fn on(workload: usize, node: usize) -> Pod {
    Pod { name: format!("{workload}-on-{node}"), workload, node: Some(node) }
}

fn minutes(count: i64) -> Moment {
    NOW.plus_seconds(count * 60)
}

#[test]
fn pods_are_packed_largest_first_so_that_fewer_nodes_are_needed() {
    let mut cluster = Cluster {
        workloads: vec![app("small", 1000), app("large", 3000)],
        pods: [pending(0, 2), pending(1, 2)].concat(),
        pools: vec![pool("main", 4000, 64, 10)],
        ..Cluster::default()
    };
    let outcome = settle(&mut cluster);
    assert_eq!((outcome.expanded[0].nodes, outcome.pending.len()), (2, 0));
}

#[test]
fn the_pool_that_wastes_least_is_expanded() {
    let mut cluster = Cluster {
        workloads: vec![app("web", 1000)],
        pods: pending(0, 4),
        pools: vec![pool("big", 16_000, 64, 10), pool("fitting", 4000, 4, 10)],
        ..Cluster::default()
    };
    let outcome = settle(&mut cluster);
    assert_eq!((outcome.expanded[0].pool, outcome.expanded[0].nodes), (1, 1));
    assert!(outcome.expanded[0].waste.abs() < 1e-9);
}

/// The executor of the seed guide: one a node, ten replicas, three nodes.
#[test]
fn required_anti_affinity_by_hostname_means_one_pod_a_node() {
    let mut executor = app("executor", 500);
    executor.anti_affinity = vec![term("executor", HOSTNAME)];
    let mut cluster = Cluster {
        workloads: vec![executor],
        pods: pending(0, 10),
        nodes: ["a", "b", "c"].map(|name| node(name, "z", 8000, 16)).to_vec(),
        pools: vec![pool("main", 8000, 16, 8)],
        ..Cluster::default()
    };
    let outcome = settle(&mut cluster);
    assert_eq!((outcome.placed.len(), outcome.expanded[0].nodes), (8, 5));
    assert_eq!(outcome.pending[0].existing, [(NoFit::AntiAffinity, 8)]);
    assert_eq!(outcome.pending[0].pools, [(0, NotExpanded::AtMax)]);
}

#[test]
fn anti_affinity_of_a_pod_that_runs_keeps_others_away() {
    let mut lonely = app("lonely", 500);
    lonely.anti_affinity = vec![term("web", HOSTNAME)];
    let mut cluster = Cluster {
        workloads: vec![lonely, app("web", 500)],
        pods: [vec![on(0, 0)], pending(1, 1)].concat(),
        nodes: vec![node("a", "z", 8000, 16)],
        ..Cluster::default()
    };
    assert_eq!(settle(&mut cluster).pending[0].existing, [(NoFit::ExistingAntiAffinity, 1)]);
}

#[test]
fn the_first_pod_of_a_group_that_wants_to_be_together_may_go_anywhere() {
    let mut together = app("together", 500);
    together.affinity = vec![term("together", ZONE)];
    let mut cluster = Cluster {
        workloads: vec![together],
        pods: pending(0, 3),
        nodes: vec![node("a", "east", 1000, 16), node("b", "west", 8000, 16)],
        ..Cluster::default()
    };
    let outcome = settle(&mut cluster);
    // Two fit in the east; the third wants the east as well.
    assert_eq!((outcome.placed.len(), outcome.pending.len()), (2, 1));
    assert_eq!(outcome.pending[0].existing, [(NoFit::Cpu, 1), (NoFit::Affinity, 1)]);
}

#[test]
fn a_tainted_pool_takes_only_pods_that_tolerate_it() {
    let mut spot = pool("spot", 4000, 16, 5);
    spot.taints = vec![Taint { key: "spot".into(), value: "true".into(), effect: Effect::NoSchedule }];
    let mut tolerant = app("tolerant", 500);
    tolerant.tolerations = vec![Toleration {
        key: Some("spot".into()),
        operator: TolerationOperator::Equal("true".into()),
        effect: Some(Effect::NoSchedule),
    }];
    let mut cluster = Cluster {
        workloads: vec![app("plain", 500), tolerant],
        pods: [pending(0, 1), pending(1, 1)].concat(),
        pools: vec![spot],
        ..Cluster::default()
    };
    let outcome = settle(&mut cluster);
    assert_eq!(outcome.pending.iter().map(|p| p.pod).collect::<Vec<_>>(), [0]);
    assert_eq!(outcome.pending[0].pools, [(0, NotExpanded::NoFit(NoFit::Taint))]);
}

#[test]
fn topology_spread_holds_the_zones_level() {
    let mut web = app("web", 500);
    web.spread = vec![Spread {
        selector: LabelSelector::of([("app", "web")]),
        topology_key: ZONE.into(),
        max_skew: 1,
        min_domains: None,
    }];
    let mut cluster = Cluster {
        workloads: vec![web],
        pods: pending(0, 6),
        nodes: vec![node("a", "east", 8000, 16), node("b", "west", 1000, 16)],
        ..Cluster::default()
    };
    let outcome = settle(&mut cluster);
    // The west is full with two, so the east stops at three.
    assert_eq!(outcome.placed.len(), 5);
    assert_eq!(outcome.pending[0].existing, [(NoFit::Cpu, 1), (NoFit::Spread, 1)]);
}

#[test]
fn new_nodes_go_to_the_zone_with_the_fewest() {
    let mut zonal = pool("main", 1000, 16, 6);
    zonal.zones = vec!["east".into(), "west".into()];
    let mut cluster = Cluster {
        workloads: vec![app("web", 1000)],
        pods: pending(0, 4),
        pools: vec![zonal],
        ..Cluster::default()
    };
    settle(&mut cluster);
    let east = cluster.nodes.iter().filter(|n| n.labels.get(ZONE).is_some_and(|z| z == "east")).count();
    assert_eq!((cluster.nodes.len(), east), (4, 2));
}

#[test]
fn a_pod_larger_than_any_node_stays_pending_and_says_so() {
    let mut cluster = Cluster {
        workloads: vec![app("huge", 99_000)],
        pods: pending(0, 1),
        nodes: vec![node("a", "z", 8000, 16)],
        pools: vec![pool("main", 8000, 16, 9)],
        ..Cluster::default()
    };
    let outcome = settle(&mut cluster);
    assert_eq!(outcome.pending[0].existing, [(NoFit::Cpu, 1)]);
    assert_eq!(outcome.pending[0].pools, [(0, NotExpanded::NoFit(NoFit::Cpu))]);
}

#[test]
fn an_expendable_pod_adds_no_node() {
    let mut batch = app("batch", 500);
    batch.priority = -11;
    let mut cluster = Cluster {
        workloads: vec![batch],
        pods: pending(0, 1),
        pools: vec![pool("main", 8000, 16, 9)],
        ..Cluster::default()
    };
    assert_eq!(settle(&mut cluster).pending[0].pools, [(0, NotExpanded::LowPriority)]);
}

fn two_nodes(workload: Workload) -> Cluster {
    Cluster {
        workloads: vec![workload],
        pods: vec![on(0, 0), on(0, 0), on(0, 1)],
        nodes: vec![node("a", "z", 4000, 16), node("b", "z", 4000, 16)],
        pools: vec![pool("main", 4000, 16, 9)],
        ..Cluster::default()
    }
}

#[test]
fn a_node_under_half_of_its_requests_goes_after_ten_minutes_and_not_before() {
    let mut cluster = two_nodes(app("web", 1000));
    let (options, mut memory) = (Options::default(), Memory::default());
    let first = scan(&mut cluster, &options, &mut memory, NOW);
    assert_eq!(first.kept[0].because, KeptBecause::Used { percent: 50 });
    assert_eq!(first.kept[1].because, KeptBecause::NotLongEnough { until: minutes(10) });
    let almost = scan(&mut cluster, &options, &mut memory, minutes(10).plus_millis(-1));
    assert!(almost.removed.is_empty());
    let then = scan(&mut cluster, &options, &mut memory, minutes(10));
    assert_eq!((then.removed[0].node, then.removed[0].moved.clone()), (1, vec![(2, 0)]));
    assert_eq!((cluster.nodes.len(), cluster.pods[2].node), (1, Some(0)));
}

#[test]
fn a_node_that_was_needed_in_between_starts_its_ten_minutes_anew() {
    let mut cluster = two_nodes(app("web", 1000));
    let (options, mut memory) = (Options::default(), Memory::default());
    scan(&mut cluster, &options, &mut memory, NOW);
    cluster.pods.extend([on(0, 1), on(0, 1)]);
    scan(&mut cluster, &options, &mut memory, minutes(5));
    cluster.pods.truncate(3);
    let outcome = scan(&mut cluster, &options, &mut memory, minutes(10));
    assert_eq!(outcome.kept[1].because, KeptBecause::NotLongEnough { until: minutes(20) });
}

/// A budget that no eviction may pass keeps the node for ever.
#[test]
fn a_budget_that_allows_nothing_blocks_every_drain() {
    let mut cluster = two_nodes(app("web", 1000));
    cluster.budgets = vec![Budget {
        namespace: "default".into(),
        name: "web".into(),
        selector: LabelSelector::of([("app", "web")]),
        bound: Bound::MinAvailable(Amount::Percent(100)),
    }];
    let outcome = scan(&mut cluster, &Options::default(), &mut Memory::default(), NOW);
    assert_eq!(outcome.kept[1].because, KeptBecause::Budget { pod: 2, budget: 0 });
}

#[test]
fn a_pod_that_must_not_move_keeps_its_node() {
    let mut web = app("web", 1000);
    web.eviction = Eviction::LocalStorage;
    let outcome = scan(&mut two_nodes(web), &Options::default(), &mut Memory::default(), NOW);
    assert_eq!(outcome.kept[1].because, KeptBecause::NotEvictable { pod: 2, why: Eviction::LocalStorage });
}

#[test]
fn a_pod_without_another_place_keeps_its_node() {
    let mut web = app("web", 1000);
    web.anti_affinity = vec![term("web", HOSTNAME)];
    let mut cluster = two_nodes(web);
    cluster.pods.remove(0);
    let outcome = scan(&mut cluster, &Options::default(), &mut Memory::default(), NOW);
    let why = vec![(NoFit::AntiAffinity, 1)];
    assert_eq!(outcome.kept[0].because, KeptBecause::NoPlace { pod: 0, why });
}

#[test]
fn a_pool_keeps_its_minimum() {
    let mut cluster = two_nodes(app("web", 1000));
    cluster.pools[0].min_nodes = 2;
    let outcome = scan(&mut cluster, &Options::default(), &mut Memory::default(), NOW);
    assert_eq!(outcome.kept[1].because, KeptBecause::PoolAtMin);
}

#[test]
fn a_scale_up_delays_every_removal() {
    let mut cluster = two_nodes(app("web", 1000));
    cluster.pods.extend(pending(0, 6));
    let (options, mut memory) = (Options::default(), Memory::default());
    let up = scan(&mut cluster, &options, &mut memory, NOW);
    assert_eq!((up.expanded[0].nodes, memory.last_scale_up), (1, Some(NOW)));
    cluster.pods.retain(|pod| pod.node != Some(2));
    let outcome = scan(&mut cluster, &options, &mut memory, minutes(1));
    assert_eq!(outcome.kept[2].because, KeptBecause::RecentScaleUp { until: minutes(10) });
}

#[test]
fn a_pod_that_no_pool_can_help_does_not_keep_unneeded_nodes_up() {
    let mut cluster = two_nodes(app("web", 1000));
    cluster.workloads.push(app("huge", 99_000));
    cluster.pods.extend(pending(1, 1));
    let (options, mut memory) = (Options::default(), Memory::default());
    scan(&mut cluster, &options, &mut memory, NOW);
    let outcome = scan(&mut cluster, &options, &mut memory, minutes(10));
    assert_eq!((outcome.pending.len(), outcome.removed.len()), (1, 1));
}

#[test]
fn a_node_that_took_pods_in_this_scan_is_not_removed_in_it() {
    let mut idle = app("idle", 0);
    idle.requests = Requests::default();
    let mut cluster = two_nodes(idle);
    cluster.pods = vec![on(0, 0)];
    let (options, mut memory) = (Options::default(), Memory::default());
    scan(&mut cluster, &options, &mut memory, NOW);
    let outcome = scan(&mut cluster, &options, &mut memory, minutes(10));
    assert_eq!(outcome.removed.len(), 1);
    assert_eq!((cluster.nodes.len(), cluster.pods.len()), (1, 1));
    assert_eq!(cluster.pods[0].node, Some(0));
}

#[test]
fn indices_that_point_nowhere_do_not_panic() {
    let mut cluster = two_nodes(app("web", 1000));
    cluster.pods.push(Pod { name: "lost".into(), workload: 7, node: Some(99) });
    cluster.pods.push(Pod { name: "odd".into(), workload: 0, node: Some(99) });
    cluster.nodes[1].pool = Some(42);
    cluster.nodes[0].allocatable = Requests { cpu_milli: i64::MIN, memory_bytes: i64::MAX };
    let mut memory = Memory::default();
    for minute in 0..25 {
        scan(&mut cluster, &Options::default(), &mut memory, minutes(minute));
    }
    settle(&mut cluster);
}
