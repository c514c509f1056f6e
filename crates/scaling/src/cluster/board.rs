//! Pods on nodes, indexed so that a fit is a few array reads.
//!
//! Each affinity, anti-affinity and spread term is a counter per topology domain of the pods it
//! selects; anti-affinity terms also count the pods that hold them, because they bind newcomers too.
//! Placing and lifting a pod updates the counters that concern its workload and nothing else. What
//! does not change (selector, node affinity, taints) is decided once for each workload and node.

use std::collections::HashMap;

use super::fit::{NoFit, selects, tolerates};
use super::model::{Cluster, Node, Requests, Workload};

/// The board.
#[derive(Clone)]
pub(super) struct Board<'a> {
    workloads: &'a [Workload],
    rules: Vec<Rules>,
    terms: Vec<Term>,
    keys: Vec<Key>,
    spots: Vec<Spot>,
    /// For a workload without terms: nodes before this one are known not to fit any more.
    first_open: Vec<usize>,
}

/// What one workload has to look at.
#[derive(Clone, Default)]
struct Rules {
    affinity: Vec<usize>,
    anti_affinity: Vec<usize>,
    /// Terms of any workload that select this one's pods: their counters follow it.
    counted_by: Vec<usize>,
    /// Anti-affinity terms of any workload that select this one's pods.
    kept_out_by: Vec<usize>,
    spread: Vec<SpreadRule>,
}

#[derive(Clone)]
struct SpreadRule {
    term: usize,
    max_skew: i64,
    min_domains: usize,
    selects_itself: bool,
    /// For each domain, how many nodes there the workload's node affinity allows.
    eligible: Vec<u32>,
}

#[derive(Clone)]
struct Term {
    key: usize,
    selected: Vec<bool>,
    /// Pods selected, by domain.
    pods: Vec<u32>,
    /// Pods that hold this anti-affinity term, by domain.
    holders: Vec<u32>,
    total: u64,
}

#[derive(Clone, Default)]
struct Key {
    label: String,
    domains: HashMap<String, usize>,
}

/// A node on the board.
#[derive(Clone)]
struct Spot {
    free: Requests,
    pods_left: usize,
    removed: bool,
    /// The domain of each key, if the node has the label.
    domains: Vec<Option<usize>>,
    /// For each workload, what always refuses it here.
    refusal: Vec<Option<NoFit>>,
    /// For each workload, whether its node affinity allows this node.
    selected: Vec<bool>,
}

/// The emptiest eligible domain of each spread rule, taken once for a whole search.
pub(super) struct Emptiest(Vec<i64>);

impl<'a> Board<'a> {
    /// The board of `cluster` with its placed pods.
    pub(super) fn of(cluster: &'a Cluster) -> Self {
        let mut board = Board {
            workloads: &cluster.workloads,
            rules: vec![Rules::default(); cluster.workloads.len()],
            terms: Vec::new(),
            keys: Vec::new(),
            spots: Vec::new(),
            first_open: vec![0; cluster.workloads.len()],
        };
        for owner in 0..cluster.workloads.len() {
            board.add_rules(owner);
        }
        for node in &cluster.nodes {
            board.add_node(node);
        }
        for pod in &cluster.pods {
            if let Some(node) = pod.node.filter(|node| *node < cluster.nodes.len())
                && pod.workload < cluster.workloads.len()
            {
                board.place(pod.workload, node);
            }
        }
        board
    }

    fn add_rules(&mut self, owner: usize) {
        let workloads = self.workloads;
        let workload = &workloads[owner];
        for term in &workload.affinity {
            let index = self.add_term(&term.topology_key, |other| selected_by(term, workload, other));
            self.rules[owner].affinity.push(index);
        }
        for term in &workload.anti_affinity {
            let index = self.add_term(&term.topology_key, |other| selected_by(term, workload, other));
            self.rules[owner].anti_affinity.push(index);
            for other in 0..workloads.len() {
                if self.terms[index].selected[other] {
                    self.rules[other].kept_out_by.push(index);
                }
            }
        }
        for spread in &workload.spread {
            let selected = |other: &Workload| {
                other.namespace == workload.namespace && spread.selector.matches(&other.labels)
            };
            let term = self.add_term(&spread.topology_key, selected);
            self.rules[owner].spread.push(SpreadRule {
                term,
                max_skew: i64::from(spread.max_skew.max(1)),
                min_domains: spread.min_domains.unwrap_or(1),
                selects_itself: self.terms[term].selected[owner],
                eligible: Vec::new(),
            });
        }
    }

    fn add_term(&mut self, label: &str, selected: impl Fn(&Workload) -> bool) -> usize {
        let key = self.keys.iter().position(|key| key.label == label).unwrap_or_else(|| {
            self.keys.push(Key { label: label.to_owned(), domains: HashMap::new() });
            self.keys.len() - 1
        });
        let selected: Vec<bool> = self.workloads.iter().map(selected).collect();
        let index = self.terms.len();
        for (workload, selected) in selected.iter().enumerate() {
            if *selected {
                self.rules[workload].counted_by.push(index);
            }
        }
        self.terms.push(Term { key, selected, pods: Vec::new(), holders: Vec::new(), total: 0 });
        index
    }

    /// Adds an empty node and returns its index.
    pub(super) fn add_node(&mut self, node: &Node) -> usize {
        let mut domains = Vec::with_capacity(self.keys.len());
        for key in &mut self.keys {
            let next = key.domains.len();
            domains.push(
                node.labels.get(&key.label).map(|value| *key.domains.entry(value.clone()).or_insert(next)),
            );
        }
        for term in &mut self.terms {
            let count = self.keys[term.key].domains.len();
            term.pods.resize(count, 0);
            term.holders.resize(count, 0);
        }
        let mut refusal = Vec::with_capacity(self.workloads.len());
        let mut all_selected = Vec::with_capacity(self.workloads.len());
        for (workload, rules) in self.workloads.iter().zip(&mut self.rules) {
            let selected = selects(workload, node);
            for spread in &mut rules.spread {
                let key = self.terms[spread.term].key;
                spread.eligible.resize(self.keys[key].domains.len(), 0);
                if let Some(domain) = domains[key].filter(|_| selected) {
                    spread.eligible[domain] += 1;
                }
            }
            all_selected.push(selected);
            refusal.push(if !tolerates(workload, node) {
                Some(NoFit::Taint)
            } else if !selected {
                Some(NoFit::NodeAffinity)
            } else {
                None
            });
        }
        let spot = Spot {
            free: node.allocatable,
            pods_left: node.pods_max,
            removed: false,
            domains,
            refusal,
            selected: all_selected,
        };
        self.spots.push(spot);
        self.spots.len() - 1
    }

    /// Takes the last node away again. It has to be empty.
    pub(super) fn drop_last_node(&mut self) {
        let Some(spot) = self.spots.pop() else { return };
        self.uncount(&spot);
    }

    /// Takes a node out of every search; its pods have to be lifted by the caller.
    pub(super) fn remove_node(&mut self, node: usize) {
        if self.spots[node].removed {
            return;
        }
        self.spots[node].removed = true;
        let spot = self.spots[node].clone();
        self.uncount(&spot);
    }

    fn uncount(&mut self, spot: &Spot) {
        for (rules, selected) in self.rules.iter_mut().zip(&spot.selected) {
            if !selected {
                continue;
            }
            for spread in &mut rules.spread {
                if let Some(domain) = spot.domains[self.terms[spread.term].key] {
                    spread.eligible[domain] = spread.eligible[domain].saturating_sub(1);
                }
            }
        }
    }

    /// Whether a pod of `workload` fits on `node` now.
    pub(super) fn fit(&self, workload: usize, node: usize, emptiest: &Emptiest) -> Result<(), NoFit> {
        let spot = &self.spots[node];
        if let Some(refusal) = spot.refusal[workload] {
            return Err(refusal);
        }
        if spot.pods_left == 0 {
            return Err(NoFit::Pods);
        }
        let requests = self.workloads[workload].requests;
        if requests.cpu_milli > spot.free.cpu_milli && requests.cpu_milli > 0 {
            return Err(NoFit::Cpu);
        }
        if requests.memory_bytes > spot.free.memory_bytes && requests.memory_bytes > 0 {
            return Err(NoFit::Memory);
        }
        let rules = &self.rules[workload];
        for (spread, emptiest) in rules.spread.iter().zip(&emptiest.0) {
            let term = &self.terms[spread.term];
            let Some(domain) = spot.domains[term.key] else { return Err(NoFit::SpreadLabel) };
            let after = i64::from(term.pods[domain]) + i64::from(spread.selects_itself);
            if after - emptiest > spread.max_skew {
                return Err(NoFit::Spread);
            }
        }
        for index in &rules.affinity {
            let term = &self.terms[*index];
            let Some(domain) = spot.domains[term.key] else { return Err(NoFit::Affinity) };
            // The first pod of a group that wants to be together may go anywhere.
            let first = term.total == 0 && term.selected[workload];
            if term.pods[domain] == 0 && !first {
                return Err(NoFit::Affinity);
            }
        }
        for index in &rules.anti_affinity {
            let term = &self.terms[*index];
            if spot.domains[term.key].is_some_and(|domain| term.pods[domain] > 0) {
                return Err(NoFit::AntiAffinity);
            }
        }
        for index in &rules.kept_out_by {
            let term = &self.terms[*index];
            if spot.domains[term.key].is_some_and(|domain| term.holders[domain] > 0) {
                return Err(NoFit::ExistingAntiAffinity);
            }
        }
        Ok(())
    }

    /// The emptiest eligible domain of each of the workload's spread rules.
    pub(super) fn emptiest(&self, workload: usize) -> Emptiest {
        let each = self.rules[workload].spread.iter().map(|spread| {
            let pods = &self.terms[spread.term].pods;
            let eligible = spread
                .eligible
                .iter()
                .zip(pods)
                .filter(|(nodes, _)| **nodes > 0)
                .map(|(_, pods)| i64::from(*pods));
            let domains = spread.eligible.iter().filter(|nodes| **nodes > 0).count();
            if domains < spread.min_domains { 0 } else { eligible.min().unwrap_or(0) }
        });
        Emptiest(each.collect())
    }

    /// The first node from `from` on where a pod of `workload` fits.
    pub(super) fn first_fit(&mut self, workload: usize, from: usize) -> Option<usize> {
        let emptiest = self.emptiest(workload);
        let plain = self.is_plain(workload);
        let start = if plain { from.max(self.first_open[workload]) } else { from };
        let found = (start..self.spots.len())
            .find(|node| !self.spots[*node].removed && self.fit(workload, *node, &emptiest).is_ok());
        // Without terms, a node that is full for one pod is full for its siblings too.
        if plain && from <= self.first_open[workload] {
            self.first_open[workload] = found.unwrap_or(self.spots.len());
        }
        found
    }

    fn is_plain(&self, workload: usize) -> bool {
        let rules = &self.rules[workload];
        rules.affinity.is_empty()
            && rules.anti_affinity.is_empty()
            && rules.kept_out_by.is_empty()
            && rules.spread.is_empty()
    }

    /// Puts a pod of `workload` on `node`.
    pub(super) fn place(&mut self, workload: usize, node: usize) {
        self.change(workload, node, true);
    }

    /// Takes a pod of `workload` off `node`.
    pub(super) fn lift(&mut self, workload: usize, node: usize) {
        self.change(workload, node, false);
        self.first_open.fill(0);
    }

    fn change(&mut self, workload: usize, node: usize, on: bool) {
        let requests = self.workloads[workload].requests;
        let spot = &mut self.spots[node];
        let count = |counter: &mut u32| {
            *counter = if on { counter.saturating_add(1) } else { counter.saturating_sub(1) };
        };
        if on {
            spot.free.cpu_milli = spot.free.cpu_milli.saturating_sub(requests.cpu_milli);
            spot.free.memory_bytes = spot.free.memory_bytes.saturating_sub(requests.memory_bytes);
            spot.pods_left = spot.pods_left.saturating_sub(1);
        } else {
            spot.free.cpu_milli = spot.free.cpu_milli.saturating_add(requests.cpu_milli);
            spot.free.memory_bytes = spot.free.memory_bytes.saturating_add(requests.memory_bytes);
            spot.pods_left = spot.pods_left.saturating_add(1);
        }
        let rules = &self.rules[workload];
        for index in &rules.counted_by {
            let term = &mut self.terms[*index];
            term.total = if on { term.total.saturating_add(1) } else { term.total.saturating_sub(1) };
            if let Some(domain) = spot.domains[term.key] {
                count(&mut term.pods[domain]);
            }
        }
        for index in &rules.anti_affinity {
            let term = &mut self.terms[*index];
            if let Some(domain) = spot.domains[term.key] {
                count(&mut term.holders[domain]);
            }
        }
    }

    /// Every reason why no node takes a pod of `workload` now, with how many nodes give it.
    pub(super) fn refusals(&self, workload: usize) -> Vec<(NoFit, usize)> {
        let emptiest = self.emptiest(workload);
        let mut counts: Vec<(NoFit, usize)> = Vec::new();
        for node in (0..self.spots.len()).filter(|node| !self.spots[*node].removed) {
            if let Err(why) = self.fit(workload, node, &emptiest) {
                match counts.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((why, 1)),
                }
            }
        }
        counts.sort_unstable();
        counts
    }

    pub(super) fn node_count(&self) -> usize {
        self.spots.len()
    }

    pub(super) fn is_removed(&self, node: usize) -> bool {
        self.spots[node].removed
    }
}

fn selected_by(term: &super::model::PodTerm, owner: &Workload, other: &Workload) -> bool {
    let namespace = if term.namespaces.is_empty() {
        other.namespace == owner.namespace
    } else {
        term.namespaces.contains(&other.namespace)
    };
    namespace && term.selector.matches(&other.labels)
}
