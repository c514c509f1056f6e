use super::*;
use proptest::prelude::*;

fn limits() -> impl Strategy<Value = Option<u64>> {
    prop::option::weighted(0.8, 0u64..1000)
}

fn limit<A>(granted: Option<u64>, amount: impl Fn(u64) -> A) -> Limit<A> {
    granted.map_or(Limit::Unlimited, |granted| Limit::Of(amount(granted)))
}

fn sum<A: Amount>(account: Account<A>) -> Option<A> {
    match account.free() {
        Limit::Of(free) => account.spent().plus(account.held()).and_then(|used| used.plus(free)),
        Limit::Unlimited => None,
    }
}

proptest! {
    /// P5: whatever is held and settled, granted = spent + held + free in both accounts, and
    /// what is refused changes neither.
    #[test]
    fn nothing_is_made_or_lost(
        granted in (limits(), limits()),
        acts in prop::collection::vec((prop::option::weighted(0.8, 0u64..400), 0u64..400, prop::option::weighted(0.8, 0u64..400), 0u64..400), 0..40),
    ) {
        let budget = Budget { money: limit(granted.0, MicroUsd::new), tokens: limit(granted.1, |n| n) };
        let mut ledger = Ledger::granting(budget);
        let mut holds = Vec::new();
        for (hold_cost, hold_tokens, cost, tokens) in acts {
            let money = |amount: Option<u64>| amount.map(MicroUsd::new).into();
            let worst = Spent { cost: money(hold_cost), tokens: hold_tokens };
            match ledger.hold(worst) {
                Ok(next) => {
                    ledger = next;
                    holds.push(worst);
                }
                Err(HoldError::Unpriced) => prop_assert!(hold_cost.is_none() && granted.0.is_some()),
                Err(HoldError::OverBudget(OverBudget::Money(short))) => prop_assert!(short.asked > short.free),
                Err(HoldError::OverBudget(OverBudget::Tokens(short))) => prop_assert!(short.asked > short.free),
            }
            if tokens % 3 == 0 && let Some(hold) = holds.pop() {
                match ledger.settle(hold, Spent { cost: money(cost), tokens }) {
                    Ok(next) => ledger = next,
                    Err(NotHeld) => holds.push(hold),
                }
            }
            prop_assert_eq!(sum(ledger.money()), granted.0.map(MicroUsd::new));
            prop_assert_eq!(sum(ledger.tokens()), granted.1);
            let held = holds.iter().map(|hold| match hold.cost { Cost::Known(cost) => cost.get(), Cost::Unknown => 0 }).sum::<u64>();
            prop_assert_eq!(ledger.money().held().get(), held);
            prop_assert_eq!(ledger.tokens().held(), holds.iter().map(|hold| hold.tokens).sum::<u64>());
            prop_assert_eq!(ledger.cost() == Cost::Unknown, ledger.unpriced() > 0);
        }
    }
}

fn spent(cost: Cost, tokens: u64) -> Spent {
    Spent { cost, tokens }
}

const DOLLAR: Cost = Cost::Known(MicroUsd::new(1_000_000));

#[test]
fn what_is_not_free_is_refused_and_says_which_account() {
    let budget = Budget { money: Limit::Of(MicroUsd::new(1_500_000)), tokens: Limit::Of(100) };
    let ledger = Ledger::granting(budget).hold(spent(DOLLAR, 60)).unwrap();
    let short = ledger.hold(spent(DOLLAR, 10)).unwrap_err();
    assert_eq!(short.to_string(), "the call may cost 1.00 US dollars, 0.50 are free");
    let short = ledger.hold(spent(Cost::Known(MicroUsd::ZERO), 41)).unwrap_err();
    assert_eq!(short.to_string(), "the call may take 41 tokens, 40 are free");
}

/// P5: a model without a price is refused wherever money is limited, elsewhere its cost is unknown.
#[test]
fn an_unpriced_call_is_refused_where_money_is_limited_and_never_counts_as_nothing() {
    let limited = Budget { money: Limit::Of(MicroUsd::new(u64::MAX)), tokens: Limit::Unlimited };
    assert_eq!(Ledger::granting(limited).hold(spent(Cost::Unknown, 1)), Err(HoldError::Unpriced));
    let unknown = spent(Cost::Unknown, 7);
    let ledger = Ledger::granting(Budget::UNLIMITED).hold(unknown).unwrap();
    assert_eq!(ledger.cost(), Cost::Known(MicroUsd::ZERO));
    let settled = ledger.settle(unknown, unknown).unwrap();
    assert_eq!((settled.cost(), settled.unpriced(), settled.tokens().spent()), (Cost::Unknown, 1, 7));
    // It was never made.
    let nothing = ledger.settle(unknown, spent(Cost::Known(MicroUsd::ZERO), 0)).unwrap();
    assert_eq!((nothing.cost(), nothing.unpriced()), (Cost::Known(MicroUsd::ZERO), 0));
    assert_eq!(ledger.settle(unknown, spent(DOLLAR, 7)), Err(NotHeld));
    // Who held a price does not get away with none.
    let priced = Ledger::granting(limited).hold(spent(DOLLAR, 7)).unwrap();
    assert_eq!(priced.settle(spent(DOLLAR, 7), unknown), Err(NotHeld));
}

#[test]
fn an_account_without_a_limit_has_no_free_that_could_be_taken_for_nothing() {
    let account = Account::<u64>::granting(Limit::Unlimited);
    assert_eq!(account.free(), Limit::Unlimited);
    let full = account.hold(u64::MAX).unwrap();
    assert_eq!(full.hold(1), Err(NotFree { asked: 1, free: 0 }), "what cannot be counted is not held");
    assert_eq!(Account::restored(Limit::Of(5u64), 3, 3), None);
    assert_eq!(Account::restored(Limit::Unlimited, u64::MAX, 1), None);
}
