//! P5 by the provider's own log: every call in it is charged once, at what it used or, when
//! its caller died, at its worst case; nothing else is charged; no task spends above its limits.

use super::{Order, Seen, Verdict, must};
use crate::store::PRESUMED;
use octollm_contract::{CallId, Cost, Document, MicroUsd, StepId, TaskId};
use octollm_lifecycle::{Limit, Spent};
use std::collections::{BTreeMap, BTreeSet};

/// What became of one call.
struct Story {
    step: StepId,
    number: u32,
    worst: Spent,
    used: Option<Spent>,
    settled: bool,
    charged: Option<Spent>,
}

/// The money, the tokens and the calls without a price.
type Sum = (u64, u64, u32);

pub(super) fn check(orders: &[Order<'_>], accepted: &[Option<TaskId>], seen: &[Seen]) -> Verdict {
    let mut calls: BTreeMap<CallId, Story> = BTreeMap::new();
    let mut answered: BTreeSet<(StepId, u32)> = BTreeSet::new();
    for one in seen {
        match one {
            Seen::Held { call, step, number, worst } => {
                must(!answered.contains(&(*step, *number)), || {
                    format!("P5: {step} pays again for call {number}, which is answered")
                })?;
                let (step, number, worst) = (*step, *number, *worst);
                let story = Story { step, number, worst, used: None, settled: false, charged: None };
                calls.insert(*call, story);
            }
            Seen::Called { call, used } => {
                let story =
                    calls.get_mut(call).ok_or_else(|| format!("P5: {call} is made without a hold"))?;
                story.used = Some(*used);
            }
            Seen::Settled { call, taken } => {
                let story =
                    calls.get_mut(call).ok_or_else(|| format!("P5: {call} is settled without a hold"))?;
                must(*taken != story.settled, || {
                    format!("P5: a settlement of {call} by its living caller is taken: {taken}")
                })?;
                story.settled = true;
                answered.insert((story.step, story.number));
            }
            Seen::Receipt { call, step, body } => {
                let story = calls.get_mut(call).filter(|story| story.step == *step);
                charge(*call, story, body)?;
            }
            Seen::Account { .. }
            | Seen::Accepted { .. }
            | Seen::KeyReused { .. }
            | Seen::View { .. }
            | Seen::NoSuchTask { .. }
            | Seen::Cancelled { .. }
            | Seen::Granted { .. }
            | Seen::Reported { .. }
            | Seen::Result { .. }
            | Seen::End { .. } => {}
        }
    }
    let mut sums: BTreeMap<TaskId, Sum> = BTreeMap::new();
    for (call, story) in &calls {
        let Some(paid) = story.charged else {
            return Err(format!(
                "P5: {call} of {} is never charged; the provider saw {:?}",
                story.step, story.used
            ));
        };
        let sum = sums.entry(story.step.task).or_default();
        sum.1 += paid.tokens;
        match paid.cost {
            Cost::Known(cost) => sum.0 += cost.get(),
            Cost::Unknown => sum.2 += 1,
        }
    }
    for one in seen {
        if let Seen::Account { task, spent, open } = one {
            must(*open == 0, || format!("P5: {task} still holds {open} calls after all"))?;
            let sum = sums.get(task).copied().unwrap_or_default();
            must(*spent == sum, || format!("P5: {task} spent {spent:?}, its calls were charged {sum:?}"))?;
            let order = accepted.iter().position(|known| known == &Some(*task)).map(|at| &orders[at]);
            must(order.is_some_and(|order| within(order, sum)), || {
                format!("P5: {task} spent {spent:?}, above its limits")
            })?;
        }
    }
    Ok(())
}

/// A receipt charges its call, once.
fn charge(call: CallId, story: Option<&mut Story>, body: &Document) -> Verdict {
    let story = story.ok_or_else(|| format!("P5: {call} is charged and was never held by its step"))?;
    let paid = if body.as_str().starts_with(PRESUMED) {
        must(!story.settled, || format!("P5: {call} was settled and counts as never settled"))?;
        story.worst
    } else {
        let used = story.used.ok_or_else(|| format!("P5: {call} was never made and has a receipt"))?;
        must(*body == receipt(used), || format!("P5: {call} used {used:?}, its receipt says {body:?}"))?;
        used
    };
    must(story.charged.replace(paid).is_none(), || format!("P5: {call} is charged twice"))
}

fn within(order: &Order<'_>, (money, tokens, unpriced): Sum) -> bool {
    let money_fits = match order.budget.money {
        Limit::Of(most) => MicroUsd::new(money) <= most && unpriced == 0,
        Limit::Unlimited => true,
    };
    let tokens_fit = match order.budget.tokens {
        Limit::Of(most) => tokens <= most,
        Limit::Unlimited => true,
    };
    money_fits && tokens_fit
}

/// The receipt of a call that used so much.
#[must_use]
pub fn receipt(used: Spent) -> Document {
    Document::from_json(match used.cost {
        Cost::Known(cost) => format!(r#"{{"cost":{},"tokens":{}}}"#, cost.get(), used.tokens),
        Cost::Unknown => format!(r#"{{"cost":null,"tokens":{}}}"#, used.tokens),
    })
}
