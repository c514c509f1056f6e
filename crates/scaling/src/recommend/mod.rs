//! What requests should be: recorded usage through the VPA's recommender, against the requests in the YAML.
//!
//! Each pod's samples go through the engine as the recommender takes them, the pods of a container name are merged, a
//! VPA of the set caps the result. Usage belongs to the workload whose name begins the pod's. Saving is the request less
//! the target, times the pods that ran on average; money only where a node pool of the set names its price: the larger
//! of a pod's two shares of a node, for 730 hours.
//!
//! Knows no files; a CSV or an export comes in as bytes.

mod tell;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

pub use tell::{json, text};
pub use usage::{HEADER, Owner, Samples, Usage, UsageError};

use crate::keda::milli_of;
use crate::manifest::{Detail, Loaded, NodePool, Object, Set, Workload};
use crate::moment::Moment;
use crate::read::Place;
use crate::vpa::{Config, ContainerUsage, Recommendation, recommend as engine};

/// What one container of a workload should request.
#[derive(Debug, Clone)]
pub struct Row {
    /// The workload, as `Kind name`.
    pub workload: String,
    /// Its namespace, as the usage names it.
    pub namespace: String,
    /// The container.
    pub container: String,
    /// Where the container stands.
    pub place: Place,
    /// `requests` as written: millicores and bytes.
    pub requests: (Option<i64>, Option<i64>),
    /// What the recommender says, capped by the set's VPA.
    pub recommendation: Recommendation,
    /// How many CPU samples it stands on.
    pub samples: u64,
    /// How long they reach, in days.
    pub days: f64,
    /// Pods that ran, on average over the time of the samples.
    pub pods: f64,
    /// US dollars a month, where a pool names its price.
    pub saving_usd_month: Option<f64>,
}

/// All recommendations, and usage that belongs to no workload of the manifests.
#[derive(Debug, Clone, Default)]
pub struct Recommended {
    /// By workload and container.
    pub rows: Vec<Row>,
    /// Usage without a workload.
    pub unmatched: Vec<Owner>,
}

/// The pods' containers that share one recommendation.
type Members<'a> = Vec<(&'a Owner, &'a Samples)>;

/// Recommends for every container that has both usage and a workload.
pub fn recommend(loaded: &Loaded, usage: &Usage) -> Recommended {
    let mut out = Recommended::default();
    // By set, object and container.
    let mut groups: BTreeMap<(usize, usize, String), Members<'_>> = BTreeMap::new();
    for (owner, samples) in &usage.containers {
        match find(loaded, owner) {
            Some((set, object)) => {
                groups.entry((set, object, owner.container.clone())).or_default().push((owner, samples));
            }
            None => out.unmatched.push(owner.clone()),
        }
    }
    for ((set, object, container), members) in groups {
        let set = &loaded.sets[set];
        let object = &set.objects[object];
        if let Some(workload) = object.workload()
            && let Some(row) = row(loaded, set, object, workload, &container, &members)
        {
            out.rows.push(row);
        }
    }
    out
}

/// The workload that a pod belongs to: the longest name that begins the pod's and has the container.
fn find(loaded: &Loaded, owner: &Owner) -> Option<(usize, usize)> {
    loaded.sets.iter().enumerate().find_map(|(set_index, set)| {
        set.objects
            .iter()
            .enumerate()
            .filter(|(_, object)| {
                let in_namespace = object.namespace.is_empty() || object.namespace == owner.namespace;
                let is_pod = owner.pod.strip_prefix(object.name()).is_some_and(|rest| rest.starts_with('-'));
                let has = object.workload().is_some_and(|workload| {
                    workload.template.running().any(|container| container.label() == owner.container)
                });
                in_namespace && is_pod && has
            })
            .max_by_key(|(_, object)| object.name().len())
            .map(|(object_index, _)| (set_index, object_index))
    })
}

fn row(
    loaded: &Loaded,
    set: &Set,
    object: &Object,
    workload: &Workload,
    name: &str,
    members: &[(&Owner, &Samples)],
) -> Option<Row> {
    let container = workload.template.running().find(|container| container.label() == name)?;
    let config = Config::default();
    let mut merged = ContainerUsage::new(&config);
    let mut moments: BTreeSet<Moment> = BTreeSet::new();
    let mut seen = 0_usize;
    for (_, samples) in members {
        let mut usage = ContainerUsage::new(&config);
        // Memory windows and CPU samples keep clocks of their own, so the two may be added one after the other.
        for (at, cores) in &samples.cpu_cores {
            usage.add_cpu(milli_of(*cores), *at);
        }
        for (at, bytes) in &samples.memory_bytes {
            usage.add_memory(milli_of(*bytes) / 1000, *at);
        }
        let times = if samples.cpu_cores.is_empty() { &samples.memory_bytes } else { &samples.cpu_cores };
        moments.extend(times.iter().map(|(at, _)| *at));
        seen += times.len();
        merged.merge(&usage);
    }
    let containers = u32::try_from(workload.template.running().count()).unwrap_or(u32::MAX);
    let mut recommendation = engine(&config, &merged, containers);
    if members.iter().all(|(_, samples)| samples.cpu_cores.is_empty()) {
        recommendation.cpu_milli = None;
    }
    if members.iter().all(|(_, samples)| samples.memory_bytes.is_empty()) {
        recommendation.memory_bytes = None;
    }
    if let Some(vpa) = vpa_of(set, object) {
        recommendation = vpa.spec().cap(name, &recommendation)?;
    }
    let (first, last) = (moments.first()?, moments.last()?);
    #[expect(clippy::cast_precision_loss, reason = "counts and days for a report")]
    let (days, pods) = (last.millis_since(*first) as f64 / 86_400_000.0, seen as f64 / moments.len() as f64);
    let requests = (
        container.requests.cpu.as_ref().map(|cpu| cpu.value.milli()),
        container.requests.memory.as_ref().map(|memory| memory.value.units()),
    );
    let span = container.name.as_ref().map_or(container.span, |name| name.span);
    let mut row = Row {
        workload: object.label(),
        namespace: members.first().map_or(String::new(), |(owner, _)| owner.namespace.clone()),
        container: name.to_owned(),
        place: loaded.sources.place(span),
        requests,
        recommendation,
        samples: merged.sample_count(),
        days,
        pods,
        saving_usd_month: None,
    };
    row.saving_usd_month = priced_pool(loaded).and_then(|pool| row.usd_month(pool));
    Some(row)
}

fn vpa_of<'a>(set: &'a Set, object: &Object) -> Option<&'a crate::manifest::Vpa> {
    set.objects.iter().find_map(|other| match &other.detail {
        Detail::Vpa(vpa) => {
            let target = vpa.target.as_ref()?;
            let hits = target.kind == object.kind && target.name.value == object.name();
            (hits && other.shares_namespace(object)).then_some(&**vpa)
        }
        _ => None,
    })
}

/// The first pool with a price and a size; on-demand before spot.
fn priced_pool(loaded: &Loaded) -> Option<&NodePool> {
    let pools = loaded.sets.iter().flat_map(|set| &set.objects).filter_map(|object| match &object.detail {
        Detail::NodePool(pool) => Some(&**pool),
        _ => None,
    });
    pools.filter(|pool| pool.price_per_hour.is_some()).min_by_key(|pool| pool.spot)
}

/// Hours a month, as clouds bill them.
const HOURS_MONTH: f64 = 730.0;

impl Row {
    /// Millicores that each pod requests beyond its target; negative where it requests too little.
    pub fn saving_cpu_milli(&self) -> Option<i64> {
        Some(self.requests.0?.saturating_sub(self.recommendation.cpu_milli?.target))
    }

    /// Bytes that each pod requests beyond its target; negative where it requests too little.
    pub fn saving_memory_bytes(&self) -> Option<i64> {
        Some(self.requests.1?.saturating_sub(self.recommendation.memory_bytes?.target))
    }

    fn usd_month(&self, pool: &NodePool) -> Option<f64> {
        let price = pool.price_per_hour?;
        let (cpu, memory) = (pool.cpu.as_ref()?.value.as_f64(), pool.memory.as_ref()?.value.as_f64());
        if cpu <= 0.0 || memory <= 0.0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "shares of a node for an estimate of money")]
        let share = |milli: i64, bytes: i64| (milli as f64 / 1000.0 / cpu).max(bytes as f64 / memory);
        let target = (self.recommendation.cpu_milli?.target, self.recommendation.memory_bytes?.target);
        let saved = share(self.requests.0?, self.requests.1?) - share(target.0, target.1);
        Some(saved * price * HOURS_MONTH * self.pods)
    }
}

#[cfg(test)]
mod tests;
