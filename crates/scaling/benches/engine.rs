//! The engine's canonical figures, as plain text: `cargo bench -p octollm-scaling`.
//!
//! Each line is one workload on one core: decisions of the HPA over a simulated week, one large
//! decision, samples of the VPA recommender, packing of a large cluster, and the resident memory
//! around the week. The clock is read here only; the engine gets its time as an argument.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use octollm_scaling::cluster::{
    Cluster, LabelSelector, Node, Pod as ClusterPod, PodTerm, Pool, Requests, Spread, Workload, settle,
};
use octollm_scaling::hpa::{
    Behavior, Controller, History, Metric, Observed, Pod, Policy, PolicyKind, Reading, Request, Resource,
    ResourceTarget, RulesAsWritten, Sample, SelectPolicy, Selector, Spec, ValueTarget, decide,
};
use octollm_scaling::moment::Moment;
use octollm_scaling::vpa::{Config, ContainerUsage, recommend};

const START: Moment = Moment::from_millis(1_762_732_800_000);

fn main() {
    week_of_syncs();
    one_large_decision();
    vpa_samples();
    packing("10,000 plain pods on 1,000 nodes", &plain_cluster());
    packing("10,000 pods with spread and anti-affinity on 1,000 nodes", &constrained_cluster());
    packing("10,000 pending pods, 1,000 new nodes of 3 pools", &empty_cluster());
}

/// The shortest of several runs: the others were disturbed.
fn best_of(runs: u32, mut run: impl FnMut()) -> Duration {
    (0..runs)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

fn resource(resource: Resource, percent: i32) -> Metric {
    Metric::Resource { resource, target: ResourceTarget::Utilization(percent) }
}

fn external(name: &str, target_milli: i64) -> Metric {
    Metric::External { name: name.into(), target: ValueTarget::AverageMilli(target_milli) }
}

/// `count` ready pods that use `milli` of a request of 500.
fn per_pod(count: usize, milli: i64, at: Moment) -> Reading {
    Reading::PerPod {
        samples: vec![Some(Sample { milli, at, window_millis: 15_000 }); count],
        requests: vec![Request::Milli(500); count],
        strays: Vec::new(),
    }
}

/// Eight HPAs, CPU and a queue each, four of them with behavior, one week of 15-second syncs.
fn week_of_syncs() {
    const SYNCS: i64 = 7 * 24 * 240;
    let rules = |window, value| {
        Some(RulesAsWritten {
            stabilization_seconds: Some(window),
            select: Some(SelectPolicy::Min),
            policies: Some(vec![
                Policy { kind: PolicyKind::Percent, value: 50, period_seconds: 60 },
                Policy { kind: PolicyKind::Pods, value, period_seconds: 60 },
            ]),
            tolerance: None,
        })
    };
    let specs: Vec<Spec> = (0..8_i32)
        .map(|index| Spec {
            min_replicas: 1 + index % 3,
            max_replicas: 10 + index,
            metrics: vec![resource(Resource::Cpu, 70), external("queue", 5000)],
            behavior: (index % 2 == 0).then(|| Behavior::defaulted(rules(0, 4), rules(300, 2), 300)),
            controller: Controller::default(),
        })
        .collect();

    let before = resident_kib();
    let mut changes = 0_u64;
    let mut slots = 0;
    let took = best_of(3, || {
        changes = 0;
        slots = 0;
        for spec in &specs {
            let mut history = History::default();
            let mut observed = Observed {
                spec_replicas: spec.min_replicas,
                status_replicas: spec.min_replicas,
                pods: Vec::new(),
                readings: vec![per_pod(0, 0, START), Reading::Series(vec![0])],
                scaled_to_zero: None,
                selector: Selector::Unique,
            };
            for sync in 0..SYNCS {
                let now = START.plus_seconds(sync * 15);
                let count = usize::try_from(observed.spec_replicas).unwrap_or(0);
                observed.pods.resize_with(count, || Pod::steady("pod"));
                // A day of rising and falling load, with a ripple.
                let hour = (sync / 240 % 24 - 12).abs();
                let each =
                    10_000 * (12 - hour) / i64::from(observed.spec_replicas).max(1) / 10 + sync % 7 * 5;
                observed.readings[0] = per_pod(count, each, now);
                observed.readings[1] = Reading::Series(vec![(12 - hour) * 4000 + sync / 20 % 5 * 900]);
                let decision = decide(spec, &observed, &history, now);
                history.remember(spec, &decision.remembered, now);
                changes += u64::from(decision.rescale.is_some());
                observed.spec_replicas = decision.replicas;
                observed.status_replicas = decision.replicas;
            }
            slots = slots.max(history.recommendations().len() + history.ups.len() + history.downs.len());
        }
    });
    let decisions = 8 * u64::try_from(SYNCS).unwrap_or(0);
    println!(
        "hpa week: {decisions} decisions ({changes} changes) in {took:.2?}, {:.0} a second",
        per_second(decisions, took)
    );
    println!("hpa memory: {slots} slots at most, resident {before} KiB before, {} KiB after", resident_kib());
}

fn one_large_decision() {
    let metrics = vec![
        resource(Resource::Cpu, 70),
        resource(Resource::Memory, 80),
        Metric::Pods { name: "in_flight".into(), average_milli: 10_000 },
        external("queue", 5000),
    ];
    let spec = Spec {
        min_replicas: 1,
        max_replicas: 200,
        metrics,
        behavior: Some(Behavior::defaulted(None, None, 300)),
        controller: Controller::default(),
    };
    let reading = |milli| per_pod(100, milli, START);
    let observed = Observed {
        spec_replicas: 100,
        status_replicas: 100,
        pods: (0..100).map(|index| Pod::steady(format!("pod-{index}"))).collect(),
        readings: vec![reading(380), reading(390), reading(9000), Reading::Series(vec![480_000])],
        scaled_to_zero: None,
        selector: Selector::Unique,
    };
    let history = History::default();
    const TIMES: u32 = 20_000;
    let took = best_of(5, || {
        for _ in 0..TIMES {
            black_box(decide(black_box(&spec), black_box(&observed), black_box(&history), START));
        }
    });
    println!("hpa decision: 100 pods and 4 metrics in {:.2?}", took / TIMES);
}

fn vpa_samples() {
    const MINUTES: i64 = 30 * 1440;
    let config = Config::default();
    let mut target = 0;
    let took = best_of(3, || {
        let mut usage = ContainerUsage::new(&config);
        for minute in 0..MINUTES {
            let at = START.plus_seconds(minute * 60);
            usage.add_cpu(100 + minute % 400, at);
            usage.add_memory((300 + minute % 200) << 20, at);
        }
        target = recommend(&config, &usage, 1).targets().cpu_milli.unwrap_or(0);
    });
    let samples = 2 * u64::try_from(MINUTES).unwrap_or(0);
    println!(
        "vpa: {samples} samples in {took:.2?}, {:.0} a second (target {target}m)",
        per_second(samples, took)
    );
}

fn workloads(constrained: bool) -> Vec<Workload> {
    (0..20_i64)
        .map(|index| {
            let name = format!("app-{index}");
            let selector = LabelSelector::of([("app", name.as_str())]);
            let own = |key: &str| PodTerm {
                selector: selector.clone(),
                namespaces: Vec::new(),
                topology_key: key.into(),
            };
            Workload {
                namespace: "default".into(),
                labels: BTreeMap::from([("app".into(), name.clone())]),
                name,
                requests: Requests {
                    cpu_milli: 200 + 50 * (index % 9),
                    memory_bytes: (200 + 40 * index) << 20,
                },
                anti_affinity: if constrained { vec![own("kubernetes.io/hostname")] } else { Vec::new() },
                spread: if constrained {
                    vec![Spread {
                        selector: selector.clone(),
                        topology_key: "topology.kubernetes.io/zone".into(),
                        max_skew: 1,
                        min_domains: None,
                    }]
                } else {
                    Vec::new()
                },
                ..Workload::default()
            }
        })
        .collect()
}

fn pods() -> Vec<ClusterPod> {
    (0..10_000)
        .map(|index| ClusterPod { name: format!("pod-{index}"), workload: index % 20, node: None })
        .collect()
}

fn nodes() -> Vec<Node> {
    (0..1_000)
        .map(|index| Node {
            name: format!("node-{index}"),
            pool: None,
            labels: BTreeMap::from([
                ("kubernetes.io/hostname".into(), format!("node-{index}")),
                ("topology.kubernetes.io/zone".into(), format!("zone-{}", index % 3)),
            ]),
            taints: Vec::new(),
            allocatable: Requests { cpu_milli: 8000, memory_bytes: 16 << 30 },
            pods_max: 110,
        })
        .collect()
}

fn plain_cluster() -> Cluster {
    Cluster { workloads: workloads(false), pods: pods(), nodes: nodes(), ..Cluster::default() }
}

fn constrained_cluster() -> Cluster {
    Cluster { workloads: workloads(true), ..plain_cluster() }
}

fn empty_cluster() -> Cluster {
    let pool = |name: &str, cpu_milli, gib: i64| Pool {
        name: name.into(),
        min_nodes: 0,
        max_nodes: 1_000,
        labels: BTreeMap::new(),
        taints: Vec::new(),
        allocatable: Requests { cpu_milli, memory_bytes: gib << 30 },
        pods_max: 110,
        zones: vec!["zone-0".into(), "zone-1".into(), "zone-2".into()],
    };
    let pools = vec![pool("small", 4000, 8), pool("wide", 8000, 8), pool("deep", 4000, 32)];
    Cluster { nodes: Vec::new(), pools, ..plain_cluster() }
}

fn packing(what: &str, cluster: &Cluster) {
    let mut placed = 0;
    let mut nodes = 0;
    let took = best_of(3, || {
        let mut cluster = cluster.clone();
        placed = settle(&mut cluster).placed.len();
        nodes = cluster.nodes.len();
    });
    println!("cluster: {what}: {placed} placed on {nodes} nodes in {took:.2?}");
}

fn per_second(count: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate to print")]
    let count = count as f64;
    count / took.as_secs_f64().max(1e-9)
}

/// Resident memory of this process; 0 where the system does not say.
fn resident_kib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()));
    pages.unwrap_or(0) * 4
}
