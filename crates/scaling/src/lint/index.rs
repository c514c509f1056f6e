//! Look-ups over one set that stay fast when it holds tens of thousands of objects.
//!
//! A label selector names at least one label most of the time: whoever has that label is all that need be compared.

use std::collections::BTreeMap;

use crate::manifest::{Detail, ObjectId, Selector, Set};

/// The ids of a set's objects, by what rules ask for.
pub(super) struct Index<'a> {
    by_name: BTreeMap<&'a str, Vec<ObjectId>>,
    scalers: BTreeMap<&'a str, Vec<ObjectId>>,
    workloads: Vec<ObjectId>,
    workloads_by_label: BTreeMap<(&'a str, &'a str), Vec<ObjectId>>,
    services: Selecting<'a>,
    budgets: Selecting<'a>,
}

/// Objects with a selector, by the first label that it names.
#[derive(Default)]
struct Selecting<'a> {
    by_label: BTreeMap<(&'a str, &'a str), Vec<ObjectId>>,
    without_label: Vec<ObjectId>,
}

impl<'a> Selecting<'a> {
    fn add(&mut self, selector: &'a Selector, id: ObjectId) {
        match selector.labels.first() {
            Some((key, value)) => self.by_label.entry((key, value)).or_default().push(id),
            None => self.without_label.push(id),
        }
    }

    fn may_select(&self, labels: &[(String, String)]) -> Vec<ObjectId> {
        let named =
            labels.iter().filter_map(|(key, value)| self.by_label.get(&(key.as_str(), value.as_str())));
        let mut ids: Vec<ObjectId> = named.flatten().chain(&self.without_label).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

impl<'a> Index<'a> {
    pub(super) fn new(set: &'a Set) -> Self {
        let mut index = Self {
            by_name: BTreeMap::new(),
            scalers: BTreeMap::new(),
            workloads: Vec::new(),
            workloads_by_label: BTreeMap::new(),
            services: Selecting::default(),
            budgets: Selecting::default(),
        };
        for (id, object) in set.iter() {
            index.by_name.entry(object.name()).or_default().push(id);
            match &object.detail {
                Detail::Hpa(hpa) => index.add_scaler(hpa.target.as_ref().map(|t| t.name.value.as_str()), id),
                Detail::ScaledObject(scaled) => {
                    index.add_scaler(scaled.target.as_ref().map(|t| t.name.value.as_str()), id);
                }
                Detail::Workload(workload) => {
                    index.workloads.push(id);
                    for (key, value) in &workload.template.labels {
                        index.workloads_by_label.entry((key, value)).or_default().push(id);
                    }
                }
                Detail::Service(service) => index.services.add(&service.selector, id),
                Detail::Pdb(pdb) => {
                    if let Some(selector) = &pdb.selector {
                        index.budgets.add(selector, id);
                    }
                }
                Detail::Vpa(_)
                | Detail::Monitor(_)
                | Detail::Adapter(_)
                | Detail::PromRules(_)
                | Detail::Dashboard(_)
                | Detail::NodePool(_)
                | Detail::ConfigMap(_)
                | Detail::Plain
                | Detail::Unknown => {}
            }
        }
        index
    }

    fn add_scaler(&mut self, target: Option<&'a str>, id: ObjectId) {
        if let Some(name) = target {
            self.scalers.entry(name).or_default().push(id);
        }
    }

    /// The objects of this name.
    pub(super) fn named(&self, name: &str) -> &[ObjectId] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The HPAs and ScaledObjects whose target has this name.
    pub(super) fn scalers_of(&self, name: &str) -> &[ObjectId] {
        self.scalers.get(name).map_or(&[], Vec::as_slice)
    }

    /// The workloads whose pods `selector` may select; which of them it does is still to be asked.
    pub(super) fn may_be_selected<'s>(&'s self, selector: &'s Selector) -> &'s [ObjectId] {
        match selector.labels.first() {
            Some((key, value)) => {
                self.workloads_by_label.get(&(key.as_str(), value.as_str())).map_or(&[], Vec::as_slice)
            }
            None => &self.workloads,
        }
    }

    /// The Services that may select pods with these labels.
    pub(super) fn services_for(&self, labels: &[(String, String)]) -> Vec<ObjectId> {
        self.services.may_select(labels)
    }

    /// The PodDisruptionBudgets that may cover pods with these labels.
    pub(super) fn budgets_for(&self, labels: &[(String, String)]) -> Vec<ObjectId> {
        self.budgets.may_select(labels)
    }
}
