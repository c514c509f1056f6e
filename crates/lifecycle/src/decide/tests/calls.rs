//! Model calls: what is held, what is settled, and what becomes of calls that nobody settles.

use super::*;
use crate::{HOLD_GRACE, HOLDS_MAX, Kept, KeptAs, Limit, LostCalls, NotFree, OverBudget};

fn limited(micros: u64, tokens: u64) -> Driver {
    let mut new = order(vec![step(ArmName::Coder, &[])], Replans::No);
    new.budget = Budget { money: Limit::Of(MicroUsd::new(micros)), tokens: Limit::Of(tokens) };
    Driver::new(new)
}

/// Held and spent, of money and of tokens.
fn used(driver: &Driver) -> [(u64, u64); 2] {
    let (money, tokens) = (driver.task.ledger.money(), driver.task.ledger.tokens());
    [(money.held().get(), money.spent().get()), (tokens.held(), tokens.spent())]
}

/// P5: each call reserves its worst case first; what it did not use is free again.
#[test]
fn a_call_holds_its_worst_case_and_settles_what_it_used() {
    let mut driver = limited(100, 1000);
    let token = driver.claim(0);
    driver.ask(&hold(0, token, 1, spent(60, 600))).unwrap();
    assert_eq!(used(&driver), [(60, 0), (600, 0)]);
    let short = driver.ask(&hold(0, token, 2, spent(41, 1))).unwrap_err();
    let (asked, free) = (MicroUsd::new(41), MicroUsd::new(40));
    assert_eq!(short, Refusal::OverBudget(OverBudget::Money(NotFree { asked, free })));
    let short = driver.ask(&hold(0, token, 2, spent(1, 401))).unwrap_err();
    assert_eq!(short, Refusal::OverBudget(OverBudget::Tokens(NotFree { asked: 401, free: 400 })));
    let changes = driver.ask(&settle(1, spent(15, 200))).unwrap();
    assert_eq!(used(&driver), [(0, 15), (0, 200)]);
    let as_ = KeptAs::Receipt { call: call(1), number: 1, spent: spent(15, 200) };
    assert_eq!(changes.kept, [Kept { place: 0, as_, document: document(), artefacts: Vec::new() }]);
    assert_eq!(changes.events, [], "what a call used is read, not told");
    driver.ask(&hold(0, token, 2, spent(85, 800))).unwrap();
}

/// P5: every call is charged once.
#[test]
fn a_second_settlement_changes_nothing() {
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    driver.ask(&hold(0, token, 1, spent(50, 50))).unwrap();
    driver.ask(&settle(1, spent(10, 10))).unwrap();
    assert_eq!(driver.ask(&settle(1, spent(10, 10))), Err(Refusal::NoSuchHold));
    assert_eq!(used(&driver), [(0, 10), (0, 10)]);
}

#[test]
fn more_than_is_held_is_not_settled_and_the_hold_stays() {
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    driver.ask(&hold(0, token, 1, spent(50, 50))).unwrap();
    for more in [spent(51, 1), spent(1, 51), Spent { cost: Cost::Unknown, tokens: 1 }] {
        assert_eq!(driver.ask(&settle(1, more)), Err(Refusal::MoreThanHeld));
    }
    assert_eq!(used(&driver), [(50, 0), (50, 0)]);
}

/// P5: a model without a price is refused wherever a money limit applies.
#[test]
fn a_call_without_a_price_is_refused_where_money_is_limited() {
    let unpriced = |token| hold(0, token, 1, Spent { cost: Cost::Unknown, tokens: 5 });
    let mut driver = limited(u64::MAX, 100);
    let token = driver.claim(0);
    assert_eq!(driver.ask(&unpriced(token)), Err(Refusal::Unpriced));
    let mut driver = Driver::new(order(vec![step(ArmName::Coder, &[])], Replans::No));
    let token = driver.claim(0);
    driver.ask(&unpriced(token)).unwrap();
    driver.ask(&settle(1, Spent { cost: Cost::Unknown, tokens: 4 })).unwrap();
    assert_eq!(driver.task.ledger.cost(), Cost::Unknown);
}

/// A hold whose commit was not confirmed may be repeated.
#[test]
fn the_same_hold_again_changes_nothing_and_another_under_its_name_is_refused() {
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    let first = hold(0, token, 1, spent(30, 30));
    driver.ask(&first).unwrap();
    assert!(driver.ask(&first).unwrap().is_empty());
    assert_eq!(driver.ask(&hold(0, token, 1, spent(31, 30))), Err(Refusal::CallReused));
    assert_eq!(used(&driver)[0], (30, 0));
}

#[test]
fn the_calls_under_way_are_bounded() {
    let mut driver = limited(1000, 1000);
    let token = driver.claim(0);
    let most = u8::try_from(HOLDS_MAX).unwrap();
    for n in 0..most {
        driver.ask(&hold(0, token, most - n, spent(1, 1))).unwrap();
    }
    assert_eq!(driver.ask(&hold(0, token, most + 1, spent(1, 1))), Err(Refusal::TooManyHolds));
    driver.ask(&settle(3, spent(1, 1))).unwrap();
    driver.ask(&hold(0, token, most + 1, spent(1, 1))).unwrap();
}

/// P5: the money is spent, whoever has the step by now.
#[test]
fn a_call_is_settled_after_its_lease_is_lost() {
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    driver.ask(&hold(0, token, 1, spent(50, 50))).unwrap();
    driver.ask(&Command::WorkerLost { worker: worker() }).unwrap();
    assert_eq!(driver.ask(&hold(0, token, 2, spent(1, 1))), Err(Refusal::LeaseLost));
    driver.pass(61_000);
    let again = driver.claim(0);
    driver.ask(&settle(1, spent(20, 20))).unwrap();
    assert_eq!(used(&driver), [(0, 20), (0, 20)]);
    assert_eq!(driver.ask(&hold(0, token, 2, spent(1, 1))), Err(Refusal::LeaseLost));
    // The call of this number is made again: the first answer was lost.
    let same_number =
        Command::Hold { place: 0, token: again, call: call(9), number: 1, worst: spent(80, 80) };
    driver.ask(&same_number).unwrap();
}

/// P2, P5: of an ended task nothing changes but its calls; no event tells of it.
#[test]
fn a_call_is_settled_after_the_end() {
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    driver.ask(&hold(0, token, 1, spent(50, 50))).unwrap();
    driver.ask(&complete(0, token, None)).unwrap();
    let ended = driver.task.clone();
    let changes = driver.ask(&settle(1, spent(5, 6))).unwrap();
    assert_eq!((changes.events.len(), changes.steps.len(), changes.moved), (0, 0, true));
    assert_eq!(driver.task.state, ended.state);
    assert_eq!(used(&driver), [(0, 5), (0, 6)]);
}

/// P5: what nobody settles counts as spent, all of it.
#[test]
fn calls_of_a_lost_caller_count_as_spent_at_their_worst_case() {
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    driver.ask(&hold(0, token, 2, spent(30, 10))).unwrap();
    driver.ask(&hold(0, token, 1, spent(50, 20))).unwrap();
    let changes = driver.ask(&Command::CallerLost(LostCalls::All)).unwrap();
    assert_eq!(used(&driver), [(0, 80), (0, 30)]);
    let receipts: Vec<_> = changes.kept.iter().map(|kept| (kept.as_, kept.document.as_str())).collect();
    let presumed = |n, spent, body| (KeptAs::Receipt { call: call(n), number: u32::from(n), spent }, body);
    let first = r#"{"presumed":true,"cost_usd":"0.00005","tokens":20}"#;
    let second = r#"{"presumed":true,"cost_usd":"0.00003","tokens":10}"#;
    assert_eq!(receipts, [presumed(1, spent(50, 20), first), presumed(2, spent(30, 10), second)]);
    assert_eq!(driver.ask(&settle(1, spent(1, 1))), Err(Refusal::NoSuchHold), "late, and not believed");
    assert!(driver.ask(&Command::CallerLost(LostCalls::All)).unwrap().is_empty());
}

/// P5: of several orchestrators one is gone; the calls of the others go on.
#[test]
fn calls_of_one_lost_caller_leave_the_others_alone() {
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    driver.ask(&hold(0, token, 1, spent(50, 20))).unwrap();
    driver.ask(&hold(0, token, 2, spent(30, 10))).unwrap();
    let lost = Command::CallerLost(LostCalls::These([call(1), call(3)].into()));
    driver.ask(&lost).unwrap();
    assert_eq!(used(&driver), [(30, 50), (10, 20)]);
    assert!(driver.ask(&lost).unwrap().is_empty(), "what is settled stays so");
    driver.ask(&settle(2, spent(1, 1))).unwrap();
    assert_eq!(used(&driver), [(0, 51), (0, 21)]);
}

/// P5: the orchestrator that made the call is gone and its task goes on: another step of it does not wait
/// for that money for ever.
#[test]
fn what_a_task_that_goes_on_holds_for_longer_than_a_call_lasts_counts_as_spent() {
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    driver.ask(&hold(0, token, 1, spent(80, 80))).unwrap();
    driver.ask(&Command::WorkerLost { worker: worker() }).unwrap();
    let due = START + HOLD_GRACE;
    assert_eq!(driver.task.next_expiry(), Some(due));
    driver.now = due;
    let changes = driver.ask(&Command::Expire { unheard: None }).unwrap();
    assert_eq!((changes.kept.len(), changes.events.len(), used(&driver)), (1, 0, [(0, 80), (0, 80)]));
    assert_eq!(driver.task.next_expiry(), None);
    let token = driver.claim(0);
    driver.ask(&hold(0, token, 2, spent(20, 20))).unwrap();
    assert_eq!(driver.ask(&settle(1, spent(1, 1))), Err(Refusal::NoSuchHold), "late, and not believed");
}

/// P5: as long as nobody knows what became of a call, its question is not asked again.
#[test]
fn a_number_is_under_way_once() {
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    let numbered =
        |token, n, number| Command::Hold { place: 0, token, call: call(n), number, worst: spent(5, 5) };
    driver.ask(&numbered(token, 1, 1)).unwrap();
    assert!(driver.ask(&numbered(token, 1, 1)).unwrap().is_empty(), "the same hold again");
    assert_eq!(driver.ask(&numbered(token, 2, 1)), Err(Refusal::NumberUnderWay));
    driver.ask(&Command::WorkerLost { worker: worker() }).unwrap();
    driver.pass(61_000);
    let token = driver.claim(0);
    assert_eq!(driver.ask(&numbered(token, 3, 1)), Err(Refusal::NumberUnderWay), "nor by another attempt");
    driver.ask(&numbered(token, 4, 2)).unwrap();
    driver.ask(&settle(1, spent(1, 1))).unwrap();
    driver.ask(&numbered(token, 5, 1)).unwrap();
}

#[test]
fn what_an_ended_task_holds_for_long_counts_as_spent() {
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    driver.ask(&hold(0, token, 1, spent(50, 50))).unwrap();
    driver.pass(1000);
    driver.ask(&hold(0, token, 2, spent(20, 20))).unwrap();
    driver.ask(&complete(0, token, None)).unwrap();
    let due = START + HOLD_GRACE;
    assert_eq!(driver.task.next_expiry(), Some(due));
    driver.now = due;
    driver.ask(&Command::Expire { unheard: None }).unwrap();
    assert_eq!(used(&driver), [(20, 50), (20, 50)]);
    driver.pass(1000);
    driver.ask(&Command::Expire { unheard: None }).unwrap();
    assert_eq!(used(&driver), [(0, 70), (0, 70)]);
    assert_eq!(driver.task.next_expiry(), None);
}

#[test]
fn a_step_that_is_to_stop_begins_no_call() {
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    driver.ask(&Command::Cancel).unwrap();
    assert_eq!(driver.ask(&hold(0, token, 1, spent(1, 1))), Err(Refusal::MustStop));
    let mut driver = limited(100, 100);
    let token = driver.claim(0);
    for _ in 0..26 {
        driver.pass(25_000);
        driver.ask(&Command::Heartbeat { place: 0, token, ttl: TTL }).ok();
        if driver.task.must_stop(0, driver.now) {
            break;
        }
    }
    assert_eq!(driver.ask(&hold(0, token, 1, spent(1, 1))), Err(Refusal::MustStop), "it took too long");
}
