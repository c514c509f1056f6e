//! PodDisruptionBudgets.

use crate::lint::context::Context;
use crate::lint::finding::Severity;
use crate::lint::fix::Edit;
use crate::manifest::{Object, ObjectId, Workload, WorkloadKind};

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] = &[&ABSENT, &TWO_BOUNDS, &BLOCKS_DRAIN, &SELECTS_NOTHING, &TWO_BUDGETS];

macro_rules! stateful {
    () => {
        concat!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: a}\nspec:\n  replicas: 3\n",
            "  selector: {matchLabels: {app: a}}\n  template:\n    metadata: {labels: {app: a}}\n",
            "    spec: {containers: [{name: a, image: a}]}\n"
        )
    };
}

macro_rules! pdb {
    ($name:expr, $spec:expr) => {
        concat!(
            "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: ",
            $name,
            "}\nspec: {",
            $spec,
            "}\n"
        )
    };
}

static ABSENT: Rule = Rule {
    id: "pdb-absent",
    severity: Severity::Warning,
    title: "nothing limits how many replicas a drain takes at once",
    explain: "Without a PodDisruptionBudget a node drain, an upgrade of the pool or the Cluster Autoscaler's \
              consolidation may evict all replicas together. The rule speaks of StatefulSets with replicas and of \
              workloads whose scaler keeps at least two.",
    check: |context, sink| {
        for (id, object, workload) in context.workloads() {
            let (least, _) = context.replicas_of(object, workload);
            let scaled = !context.scalers_of(object).is_empty();
            let concerned = least >= 2
                && (workload.kind == WorkloadKind::StatefulSet
                    || workload.kind == WorkloadKind::Deployment && scaled)
                && !workload.template.containers.is_empty();
            if !concerned || !context.budgets_of(object, workload).is_empty() {
                continue;
            }
            sink.at(
                id,
                object.span(),
                format!(
                    "{}: no PodDisruptionBudget covers its pods: a drain may evict all {least} at once; add one with \
                     maxUnavailable: 1",
                    object.label()
                ),
            );
        }
    },
    fixture: Fixture {
        fires: stateful!(),
        silent: concat!(stateful!(), pdb!("a", "maxUnavailable: 1, selector: {matchLabels: {app: a}}")),
    },
};

static BLOCKS_DRAIN: Rule = Rule {
    id: "pdb-blocks-drain",
    severity: Severity::Error,
    title: "a PodDisruptionBudget that allows no eviction",
    explain: "When the budget allows zero disruptions at the replicas that run, every drain waits for ever: node \
              upgrades hang and the Cluster Autoscaler cannot remove the node. It counts at the scaler's minimum, \
              where a quiet night leaves the fleet. Prefer maxUnavailable: 1.",
    check: |context, sink| {
        for (id, object, pdb) in context.pdbs() {
            for (_, workload_object, workload) in context.covered_by(object, pdb) {
                let (least, most) = context.replicas_of(workload_object, workload);
                // At zero replicas there is nothing to drain: look at the first one.
                let least = least.max(1);
                if pdb.allowed(least) > 0 {
                    continue;
                }
                let budget = pdb.min_available.as_ref().or(pdb.max_unavailable.as_ref());
                let (span, words) = match (&pdb.min_available, budget) {
                    (Some(min), _) => (min.span, format!("minAvailable {}", min.value)),
                    (None, Some(max)) => (max.span, format!("maxUnavailable {}", max.value)),
                    (None, None) => (object.span(), "no bound, so minAvailable 1".to_owned()),
                };
                let when = if pdb.allowed(most) > 0 { "at the minimum of" } else { "at" };
                let replicas = if least == 1 { "1 replica".to_owned() } else { format!("{least} replicas") };
                let message = format!(
                    "{}: {words} {when} {replicas} of {} allows 0 evictions: every drain of their nodes waits for ever",
                    object.label(),
                    workload_object.label()
                );
                let reported = sink.at(id, span, message);
                if let Some(entry) =
                    object.root.get("spec").and_then(|spec| spec.entry("minAvailable")).filter(|_| least > 1)
                {
                    reported.fix(vec![
                        Edit::replace(entry.key_span, "maxUnavailable"),
                        Edit::replace(entry.value.span, "1"),
                    ]);
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(stateful!(), pdb!("a", "minAvailable: 3, selector: {matchLabels: {app: a}}")),
        silent: concat!(stateful!(), pdb!("a", "minAvailable: 2, selector: {matchLabels: {app: a}}")),
    },
};

static TWO_BOUNDS: Rule = Rule {
    id: "pdb-two-bounds",
    severity: Severity::Error,
    title: "a PodDisruptionBudget with both minAvailable and maxUnavailable",
    explain: "The two are alternatives: the API server rejects an object that has both, and the pods stay without a \
              budget. Keep maxUnavailable, which holds at any number of replicas.",
    check: |context, sink| {
        for (id, object, pdb) in context.pdbs() {
            let (Some(min), Some(max)) = (&pdb.min_available, &pdb.max_unavailable) else { continue };
            let message = format!(
                "{}: minAvailable {} and maxUnavailable {} exclude each other; the object is rejected",
                object.label(),
                min.value,
                max.value
            );
            sink.at(id, min.span, message);
        }
    },
    fixture: Fixture {
        fires: pdb!("a", "minAvailable: 1, maxUnavailable: 1, selector: {matchLabels: {app: a}}"),
        silent: pdb!("a", "maxUnavailable: 1, selector: {matchLabels: {app: a}}"),
    },
};

static SELECTS_NOTHING: Rule = Rule {
    id: "pdb-selects-nothing",
    severity: Severity::Warning,
    title: "a PodDisruptionBudget whose selector matches no pod of its file's workloads",
    explain: "It protects nothing. The rule speaks only when the same file holds a workload in the same namespace \
              (elsewhere the pods may come from another set) and no workload of the set matches.",
    check: |context, sink| {
        for (id, object, pdb) in context.pdbs() {
            let here = |(_, other, _): &(ObjectId, &Object, &Workload)| {
                other.root.span.file == object.root.span.file && other.shares_namespace(object)
            };
            let Some((_, near, _)) = context.workloads().find(here) else { continue };
            let matches = !context.covered_by(object, pdb).is_empty();
            let selector = pdb.selector.as_ref().filter(|selector| !selector.is_empty());
            if let Some(selector) = selector.filter(|_| !matches) {
                let span = object.root.at(&["spec", "selector"]).map_or(object.span(), |node| node.span);
                sink.at(
                    id,
                    span,
                    format!(
                        "{}: `{selector}` matches no pods, not even those of {} in this file",
                        object.label(),
                        near.label()
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: concat!(stateful!(), pdb!("a", "maxUnavailable: 1, selector: {matchLabels: {app: b}}")),
        silent: concat!(stateful!(), pdb!("a", "maxUnavailable: 1, selector: {matchLabels: {app: a}}")),
    },
};

static TWO_BUDGETS: Rule = Rule {
    id: "pdb-overlap",
    severity: Severity::Error,
    title: "two PodDisruptionBudgets cover the same pods",
    explain: "The eviction API answers 500 for a pod that more than one budget covers: no drain of its node ever ends.",
    check: |context, sink| {
        for (_, workload_object, workload) in context.workloads() {
            let covering = covering(context, workload_object, workload);
            if let [first, second, ..] = covering.as_slice() {
                sink.at(
                    second.0,
                    second.1.span(),
                    format!(
                        "{} and {} ({}) both cover the pods of {}: evicting one answers 500 and drains never end",
                        second.1.label(),
                        first.1.label(),
                        context.place(first.1.span()),
                        workload_object.label()
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            stateful!(),
            pdb!("a", "maxUnavailable: 1, selector: {matchLabels: {app: a}}"),
            pdb!("b", "maxUnavailable: 1, selector: {matchExpressions: [{key: app, operator: Exists}]}")
        ),
        silent: concat!(stateful!(), pdb!("a", "maxUnavailable: 1, selector: {matchLabels: {app: a}}")),
    },
};

fn covering<'a>(context: &Context<'a>, object: &Object, workload: &Workload) -> Vec<(ObjectId, &'a Object)> {
    let mut found: Vec<(ObjectId, &Object)> = Vec::new();
    for (id, pdb_object, _) in context.budgets_of(object, workload) {
        // The same object twice is `duplicate-object`.
        let known = found.iter().any(|(_, other)| other.name() == pdb_object.name());
        if !known {
            found.push((id, pdb_object));
        }
    }
    found
}
