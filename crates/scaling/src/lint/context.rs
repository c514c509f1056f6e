//! What rules look things up in: one set, by kind and by name.

use std::collections::BTreeMap;

use super::index::Index;
use crate::manifest::{
    AdapterRules, Behavior, Dashboard, Detail, Hpa, Loaded, Monitor, NodePool, Object, ObjectId, Pdb,
    PromRules, ScaledObject, Service, Set, TargetRef, Vpa, Workload,
};
use crate::read::Sources;

/// One set, and the look-ups that rules share.
pub struct Context<'a> {
    /// Everything that was loaded, for what belongs to no set.
    pub loaded: &'a Loaded,
    /// The set that is linted.
    pub set: &'a Set,
    index: Index<'a>,
}

/// What scales a workload.
#[derive(Clone, Copy)]
pub(super) enum Scaler<'a> {
    Hpa(&'a Hpa),
    Keda(&'a ScaledObject),
}

impl<'a> Scaler<'a> {
    fn of(object: &'a Object) -> Option<Self> {
        match &object.detail {
            Detail::Hpa(hpa) => Some(Self::Hpa(hpa)),
            Detail::ScaledObject(scaled) => Some(Self::Keda(scaled)),
            _ => None,
        }
    }

    /// The fewest replicas it lets the workload have while it is in use; KEDA's 0 counts as 0.
    pub(super) fn min(self) -> i64 {
        match self {
            Self::Hpa(hpa) => hpa.min_replicas(),
            Self::Keda(scaled) => scaled.min_replicas(),
        }
    }

    pub(super) fn max(self) -> Option<i64> {
        match self {
            Self::Hpa(hpa) => hpa.max.as_ref().map(|max| max.value),
            Self::Keda(scaled) => Some(scaled.max_replicas()),
        }
    }

    pub(super) fn behavior(self) -> Option<&'a Behavior> {
        match self {
            Self::Hpa(hpa) => hpa.behavior.as_ref(),
            Self::Keda(scaled) => scaled.behavior.as_ref(),
        }
    }

    pub(super) fn target(self) -> Option<&'a TargetRef> {
        match self {
            Self::Hpa(hpa) => hpa.target.as_ref(),
            Self::Keda(scaled) => scaled.target.as_ref(),
        }
    }
}

macro_rules! of_kind {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty) => {
        $(#[$doc])*
        pub(super) fn $name(&self) -> impl Iterator<Item = (ObjectId, &'a Object, &'a $type)> + use<'a> {
            self.set.iter().filter_map(|(id, object)| match &object.detail {
                Detail::$variant(detail) => {
                    let detail: &'a $type = detail;
                    Some((id, object, detail))
                }
                _ => None,
            })
        }
    };
}

impl<'a> Context<'a> {
    pub(super) fn new(loaded: &'a Loaded, set: &'a Set) -> Self {
        Self { loaded, set, index: Index::new(set) }
    }

    pub(super) fn sources(&self) -> &'a Sources {
        &self.loaded.sources
    }

    pub(super) fn line(&self, span: crate::read::Span) -> usize {
        self.sources().line(span)
    }

    /// `file:line`, for messages about a second place.
    pub(super) fn place(&self, span: crate::read::Span) -> String {
        let place = self.sources().place(span);
        format!("{}:{}", place.file, place.line)
    }

    of_kind!(workloads, Workload, Workload);
    of_kind!(hpas, Hpa, Hpa);
    of_kind!(vpas, Vpa, Vpa);
    of_kind!(scaled_objects, ScaledObject, ScaledObject);
    of_kind!(pdbs, Pdb, Pdb);
    of_kind!(services, Service, Service);
    of_kind!(monitors, Monitor, Monitor);
    of_kind!(adapters, Adapter, AdapterRules);
    of_kind!(prom_rules, PromRules, PromRules);
    of_kind!(dashboards, Dashboard, Dashboard);
    of_kind!(node_pools, NodePool, NodePool);

    /// All HPAs and ScaledObjects.
    pub(super) fn scalers(&self) -> impl Iterator<Item = (ObjectId, &'a Object, Scaler<'a>)> + use<'a> {
        self.set.iter().filter_map(|(id, object)| Some((id, object, Scaler::of(object)?)))
    }

    /// The objects with this name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = (ObjectId, &'a Object)> + use<'_, 'a> {
        self.index.named(name).iter().map(|id| (*id, self.set.get(*id)))
    }

    /// The workload that a scaler or VPA points at.
    pub(super) fn target(
        &self,
        from: &Object,
        target: &TargetRef,
    ) -> Option<(ObjectId, &'a Object, &'a Workload)> {
        self.named(&target.name.value)
            .filter(|(_, object)| object.kind == target.kind && object.shares_namespace(from))
            .find_map(|(id, object)| object.workload().map(|workload| (id, object, workload)))
    }

    /// What scales the workload `object`.
    pub(super) fn scalers_of(&self, object: &'a Object) -> Vec<(ObjectId, &'a Object, Scaler<'a>)> {
        let named = self.index.scalers_of(object.name()).iter();
        named
            .filter_map(|id| Some((*id, self.set.get(*id), Scaler::of(self.set.get(*id))?)))
            .filter(|(_, scaler_object, scaler)| {
                scaler.target().is_some_and(|target| target.kind == object.kind)
                    && scaler_object.shares_namespace(object)
            })
            .collect()
    }

    /// The fewest and most replicas that a workload has: what scales it, else its own number.
    pub(super) fn replicas_of(&self, object: &'a Object, workload: &Workload) -> (i64, i64) {
        let own = workload.replicas.as_ref().map_or(1, |replicas| replicas.value);
        let scalers = self.scalers_of(object);
        match scalers.first() {
            Some((_, _, scaler)) => (scaler.min(), scaler.max().unwrap_or(own)),
            None => (own, own),
        }
    }

    /// Whether a LimitRange of the set may write requests and limits into this workload's pods.
    pub(super) fn has_limit_range(&self, object: &Object) -> bool {
        self.set.iter().any(|(_, other)| other.kind == "LimitRange" && other.shares_namespace(object))
    }

    /// The Services that select a workload's pods.
    pub(super) fn services_of(
        &self,
        object: &'a Object,
        workload: &Workload,
    ) -> Vec<(ObjectId, &'a Object, &'a Service)> {
        let near = self.index.services_for(&workload.template.labels).into_iter();
        near.map(|id| (id, self.set.get(id)))
            .filter_map(|(id, other)| match &other.detail {
                Detail::Service(service) => Some((id, other, service)),
                _ => None,
            })
            .filter(|(_, service_object, service)| {
                !service.selector.is_empty()
                    && service_object.shares_namespace(object)
                    && service.selector.matches(&workload.template.labels)
            })
            .collect()
    }

    /// The workloads that a budget covers.
    pub(super) fn covered_by(&self, object: &Object, pdb: &Pdb) -> Vec<(ObjectId, &'a Object, &'a Workload)> {
        let Some(selector) = &pdb.selector else { return Vec::new() };
        let near = self.index.may_be_selected(selector).iter().map(|id| (*id, self.set.get(*id)));
        near.filter_map(|(id, other)| Some((id, other, other.workload()?)))
            .filter(|(_, other, workload)| {
                other.shares_namespace(object) && selector.matches(&workload.template.labels)
            })
            .collect()
    }

    /// The budgets that cover a workload.
    pub(super) fn budgets_of(
        &self,
        object: &Object,
        workload: &Workload,
    ) -> Vec<(ObjectId, &'a Object, &'a Pdb)> {
        let near = self.index.budgets_for(&workload.template.labels).into_iter();
        near.map(|id| (id, self.set.get(id)))
            .filter_map(|(id, other)| match &other.detail {
                Detail::Pdb(pdb) => Some((id, other, pdb)),
                _ => None,
            })
            .filter(|(_, other, pdb)| {
                let selector = pdb.selector.as_ref();
                other.shares_namespace(object)
                    && selector.is_some_and(|selector| selector.matches(&workload.template.labels))
            })
            .collect()
    }
}

/// What no rule and no field table looked at, with how often: kinds without a table, and what kustomizations ask for
/// beyond what is carried out.
pub(super) fn unknown_kinds(loaded: &Loaded) -> Vec<(String, usize)> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for object in loaded.sets.iter().flat_map(|set| &set.objects) {
        if matches!(object.detail, Detail::Unknown) {
            let name = format!("{} {}", object.api_version, object.kind);
            *kinds.entry(name.trim().to_owned()).or_default() += 1;
        }
    }
    for refusal in &loaded.left_out {
        let place = loaded.sources.place(refusal.span);
        *kinds.entry(format!("{}:{}: {}", place.file, place.line, refusal.message)).or_default() += 1;
    }
    kinds.into_iter().collect()
}
