//! What a call may cost and what it did cost: pure arithmetic between a count, a price and what
//! a provider reported (P5).
//!
//! What is charged is never more than was held. A provider that reports more than the worst case
//! is wrong, or we are: the hold is charged, and the receipt says so.

use octollm_contract::{
    Cost,
    model::{Counted, Usage},
};
use octollm_lifecycle::{Ledger, Limit, Spent};
use octollm_llm::{Charge, Price};
use std::fmt::Display;

/// The most that a call with so many tokens of question and of answer may use.
pub(crate) fn worst_case(price: Option<&Price>, question: u64, answer_most: u64) -> Spent {
    let cost = price.and_then(|price| price.worst_case(question, answer_most));
    Spent { cost: cost.into(), tokens: question.saturating_add(answer_most) }
}

/// Whether so much would be free if no call were under way.
pub(crate) fn fits_without_holds(ledger: &Ledger, worst: Spent) -> bool {
    let money = match (ledger.money().granted(), worst.cost) {
        (Limit::Of(granted), Cost::Known(cost)) => {
            granted.checked_sub(ledger.money().spent()).is_some_and(|left| cost <= left)
        }
        (Limit::Unlimited, _) | (_, Cost::Unknown) => true,
    };
    let tokens = match ledger.tokens().granted() {
        Limit::Of(granted) => {
            granted.checked_sub(ledger.tokens().spent()).is_some_and(|left| worst.tokens <= left)
        }
        Limit::Unlimited => true,
    };
    money && tokens
}

/// The limits that a call with this worst case goes beyond, with what would do: for whoever set them.
pub(crate) fn what_would_do(ledger: &Ledger, worst: Spent) -> String {
    let mut told = String::new();
    let mut tell = |limit: &str, granted: &dyn Display, least: &dyn Display| {
        told.push_str(&format!(
            "; budget.{limit} is {granted}, and this question takes at least {least} of it with what was used before: \
             submit the goal again with a larger one"
        ));
    };
    if let (Limit::Of(granted), Cost::Known(cost)) = (ledger.money().granted(), worst.cost)
        && let Some(least) = ledger.money().least_to_hold(cost).filter(|least| *least > granted)
    {
        tell("max_cost_usd", &granted, &least);
    }
    if let Limit::Of(granted) = ledger.tokens().granted()
        && let Some(least) = ledger.tokens().least_to_hold(worst.tokens).filter(|least| *least > granted)
    {
        tell("max_tokens", &granted, &least);
    }
    told
}

/// What a call is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charged {
    pub(crate) spent: Spent,
    pub(crate) usage: Usage,
    /// More was reported than was held.
    pub(crate) disputed: bool,
}

/// The charge of a call that was held for by `held` and used `usage`.
pub(crate) fn charged(price: Option<&Price>, held: Spent, usage: Usage) -> Charged {
    let cost = match (price.and_then(|price| price.cost(&usage)), held.cost) {
        (Some(cost), Cost::Known(most)) => Cost::Known(cost.min(most)),
        // A sum that does not fit is more than any hold.
        (None, known @ Cost::Known(_)) => known,
        (_, Cost::Unknown) => Cost::Unknown,
    };
    let tokens = usage.total().min(held.tokens);
    let over = |cost| matches!((cost, held.cost), (Some(cost), Cost::Known(most)) if cost > most);
    let disputed = usage.total() > held.tokens || over(price.and_then(|price| price.cost(&usage)));
    Charged { spent: Spent { cost, tokens }, usage, disputed }
}

/// The charge of a call that brought no whole answer. `question` is its count, `heard` the bytes
/// of the answer that came.
pub(crate) fn charged_for_failure(
    charge: Charge,
    price: Option<&Price>,
    held: Spent,
    question: u64,
    heard: u64,
) -> Charged {
    let none = Usage { input: 0, output: 0, cache_read: 0, cache_write: 0, counted: Counted::Estimated };
    match charge {
        Charge::Nothing => Charged {
            spent: Spent { cost: Cost::Known(octollm_contract::MicroUsd::ZERO), tokens: 0 },
            usage: none,
            disputed: false,
        },
        // Nobody has counted all that was written, and a model that reasons may have written much that is
        // not sent. What was read is known where it is less than our own count from above: then the server
        // has said it, and could be believed.
        Charge::AtLeast(usage) if usage.counted == Counted::Estimated => {
            let output = held.tokens.saturating_sub(question);
            if usage.total().saturating_sub(usage.output) < question {
                charged(price, held, Usage { output, ..usage })
            } else {
                Charged { spent: held, usage: Usage { input: question, output, ..none }, disputed: false }
            }
        }
        // A token is at least a byte: what came is no more tokens than bytes.
        Charge::AtLeast(usage) => {
            let counted = usage.counted;
            let output = usage.output.max(heard);
            let read = usage.input.saturating_add(usage.cache_read).saturating_add(usage.cache_write);
            let input = if read == 0 { question } else { usage.input };
            charged(price, held, Usage { input, output, counted, ..usage })
        }
        Charge::Unknown => {
            let output = held.tokens.saturating_sub(question);
            Charged { spent: held, usage: Usage { input: question, output, ..none }, disputed: false }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::MicroUsd;
    use octollm_lifecycle::Budget;
    use proptest::prelude::*;

    const PRICE: Price = Price { input: 1_000_000, output: 3_000_000, cache_read: None, cache_write: None };

    fn usage(input: u64, output: u64) -> Usage {
        Usage { input, output, cache_read: 0, cache_write: 0, counted: Counted::Exact }
    }

    #[test]
    fn the_answer_is_charged_at_its_price() {
        let held = worst_case(Some(&PRICE), 100, 50);
        assert_eq!(held, Spent { cost: Cost::Known(MicroUsd::new(250)), tokens: 150 });
        let charged = charged(Some(&PRICE), held, usage(90, 10));
        assert_eq!(charged.spent, Spent { cost: Cost::Known(MicroUsd::new(120)), tokens: 100 });
        assert!(!charged.disputed);
    }

    /// Whoever set a limit that does not suffice is told which, and what would.
    #[test]
    fn a_limit_that_is_too_low_is_named_with_the_least_that_would_do() {
        let (money, tokens) = (Limit::Of(MicroUsd::new(300)), Limit::Of(200));
        let ledger = Ledger::granting(Budget { money, tokens });
        let first = worst_case(Some(&PRICE), 100, 50);
        assert_eq!(what_would_do(&ledger, first), "");
        let ledger = ledger.hold(first).unwrap().settle(first, first).unwrap();
        let told = what_would_do(&ledger, first);
        assert!(
            told.contains("budget.max_cost_usd is 0.0003, and this question takes at least 0.0005"),
            "{told}"
        );
        assert!(told.contains("budget.max_tokens is 200, and this question takes at least 300"), "{told}");
        assert_eq!(what_would_do(&Ledger::granting(Budget::UNLIMITED), first), "");
    }

    /// P5: what is known of a broken answer is charged as it is, the rest at its most.
    #[test]
    fn a_broken_answer_is_charged_what_was_read_and_all_that_may_have_been_written() {
        let held = worst_case(Some(&PRICE), 100, 50);
        let said = Usage { counted: Counted::Estimated, cache_read: 5, ..usage(30, 2) };
        let charged = charged_for_failure(Charge::AtLeast(said), Some(&PRICE), held, 100, 10);
        assert_eq!(charged.usage, Usage { output: 50, ..said });
        assert_eq!(charged.spent, Spent { cost: Cost::Known(MicroUsd::new(185)), tokens: 85 });
        let ours = Usage { counted: Counted::Estimated, ..usage(100, 2) };
        let charged = charged_for_failure(Charge::AtLeast(ours), Some(&PRICE), held, 100, 10);
        assert_eq!((charged.spent, charged.disputed), (held, false));
        let unknown = charged_for_failure(Charge::Unknown, Some(&PRICE), held, 100, 0);
        assert_eq!(
            (unknown.spent, unknown.usage),
            (held, Usage { counted: Counted::Estimated, ..usage(100, 50) })
        );
    }

    /// P5: a price that nobody knows stays unknown and never becomes 0.
    #[test]
    fn a_call_without_a_price_has_an_unknown_cost() {
        let held = worst_case(None, 100, 50);
        assert_eq!(held.cost, Cost::Unknown);
        assert_eq!(charged(None, held, usage(90, 10)).spent.cost, Cost::Unknown);
    }

    proptest! {
        /// P5: whatever a provider reports, what is charged can be settled.
        #[test]
        fn every_charge_can_be_settled(
            question in 0u64..10_000, most in 0u64..10_000, reported: [u64; 4], heard: u64, priced: bool, kind in 0..5,
        ) {
            let price = priced.then_some(&PRICE);
            let held = worst_case(price, question, most);
            let [input, output, cache_read, cache_write] = reported;
            let usage = Usage { input, output, cache_read, cache_write, counted: Counted::Exact };
            let charged = match kind {
                0 => charged(price, held, usage),
                1 => charged_for_failure(Charge::Nothing, price, held, question, heard),
                2 => charged_for_failure(Charge::Unknown, price, held, question, heard),
                3 => charged_for_failure(Charge::AtLeast(usage), price, held, question, heard),
                _ => {
                    let usage = Usage { counted: Counted::Estimated, ..usage };
                    charged_for_failure(Charge::AtLeast(usage), price, held, question, heard)
                }
            };
            let ledger = Ledger::granting(Budget { money: Limit::Unlimited, tokens: Limit::Of(held.tokens) });
            let ledger = ledger.hold(held).unwrap();
            prop_assert!(ledger.settle(held, charged.spent).is_ok());
        }
    }
}
