//! Model calls: held before they are made, settled once after (P5).
//!
//! The hold is fenced by the lease's token. The settlement is fenced by the open hold alone: the
//! money is spent, whoever has the step by now and wherever the task stands.

use super::{Draft, Kept, KeptAs};
use crate::{HOLDS_MAX, Hold, HoldError, Refusal, Spent};
use octollm_contract::{CallId, ContentHash, Cost, Document, LeaseToken};
use serde::Serialize;

/// The receipt of a call that nobody has settled: all that was held for it is charged.
#[derive(Serialize)]
struct Presumed {
    presumed: bool,
    cost_usd: Cost,
    tokens: u64,
}

impl Draft {
    pub(super) fn hold(
        &mut self,
        place: u16,
        token: LeaseToken,
        call: CallId,
        number: u32,
        worst: Spent,
    ) -> Result<(), Refusal> {
        self.held(place, token)?;
        if self.task.must_stop(place, self.now) {
            return Err(Refusal::MustStop);
        }
        if let Some(open) = self.task.hold(call) {
            let same = open.place == place && open.number == number && open.worst() == worst;
            return if same { Ok(()) } else { Err(Refusal::CallReused) };
        }
        // Nobody knows yet what became of it: to ask now might pay for the question twice.
        if self.task.holds.iter().any(|open| (open.place, open.number) == (place, number)) {
            return Err(Refusal::NumberUnderWay);
        }
        if self.task.holds.len() >= HOLDS_MAX {
            return Err(Refusal::TooManyHolds);
        }
        self.task.ledger = self.task.ledger.hold(worst).map_err(|error| match error {
            HoldError::OverBudget(short) => Refusal::OverBudget(short),
            HoldError::Unpriced => Refusal::Unpriced,
        })?;
        let Spent { cost, tokens } = worst;
        let at = self.task.holds.partition_point(|hold| hold.call < call);
        self.task.holds.insert(at, Hold { call, place, number, cost, tokens, at: self.now });
        Ok(())
    }

    pub(super) fn settle(
        &mut self,
        call: CallId,
        spent: Spent,
        receipt: &Document,
        artefacts: &[ContentHash],
    ) -> Result<(), Refusal> {
        let hold = *self.task.hold(call).ok_or(Refusal::NoSuchHold)?;
        let ledger = self.task.ledger.settle(hold.worst(), spent);
        self.task.ledger = ledger.map_err(|_not_held| Refusal::MoreThanHeld)?;
        self.task.holds.retain(|open| open.call != call);
        self.kept.push(Kept {
            place: hold.place,
            as_: KeptAs::Receipt { call, number: hold.number, spent },
            document: receipt.clone(),
            artefacts: artefacts.to_vec(),
        });
        Ok(())
    }

    /// What these hold counts as spent, all of it.
    pub(super) fn presume(&mut self, gone: impl Fn(&Hold) -> bool) {
        let gone: Vec<Hold> = self.task.holds.iter().copied().filter(gone).collect();
        for hold in gone {
            let receipt = Presumed { presumed: true, cost_usd: hold.cost, tokens: hold.tokens };
            let receipt = Document::of(&receipt).expect("a receipt is JSON");
            self.settle(hold.call, hold.worst(), &receipt, &[])
                .expect("an open hold can be settled at what it holds");
        }
    }
}
