//! A task in memory, with its events and what its documents refer to.

use crate::{Receipt, StepRecord, TaskRecord};
use octollm_contract::ContentHash;
use octollm_lifecycle::{Changes, Event, Kept, KeptAs};
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) record: TaskRecord,
    pub(super) events: Vec<Event>,
    pub(super) artefacts: BTreeSet<ContentHash>,
}

impl Entry {
    pub(super) fn apply(&mut self, changes: &Changes) {
        let record = &mut self.record;
        record.task.apply(changes);
        record.steps.resize(record.task.steps.len(), StepRecord::new(None));
        self.events.extend_from_slice(&changes.events);
        for Kept { place, as_, document, artefacts } in &changes.kept {
            let step = &mut record.steps[usize::from(*place)];
            match as_ {
                KeptAs::Spec => step.spec = Some(document.clone()),
                KeptAs::Output => step.output = Some(document.clone()),
                KeptAs::Checkpoint => step.checkpoint = Some(document.clone()),
                KeptAs::Answer => step.answer = Some(document.clone()),
                KeptAs::Receipt { call, number, spent: _ } => {
                    let at = step.receipts.partition_point(|receipt| receipt.number <= *number);
                    let receipt = Receipt { number: *number, call: *call, body: document.clone() };
                    step.receipts.insert(at, receipt);
                }
            }
            self.artefacts.extend(artefacts);
        }
        if let Some(plan) = &changes.plan {
            record.plan = plan.clone();
        }
    }
}
