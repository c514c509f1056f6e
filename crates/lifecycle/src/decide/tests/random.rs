//! Long random sequences over larger plans: wrong tokens, clocks that jump, duplicates; then
//! the faults end and the task must.

use super::*;
use crate::{KeptAs, Limit, LostCalls};
use proptest::prelude::*;

fn plan(drawn: &[(u8, u8, bool)]) -> Vec<NewStep> {
    let arms = [ArmName::Executor, ArmName::Judge, ArmName::Coder, ArmName::Planner];
    (0u16..)
        .zip(drawn)
        .map(|(place, (arm, needs, approval))| {
            let needs: Vec<u16> = (0..place).filter(|need| needs >> need & 1 == 1).collect();
            let own = step(arms[usize::from(arm % 4)], &needs);
            if *approval { approved(own) } else { own }
        })
        .collect()
}

/// For some, all that has run out lately did so unheard.
fn unheard(now: Timestamp, flag: bool) -> Option<Unheard> {
    flag.then(|| Unheard { from: Timestamp::from_millis(now.as_millis() - 60_000), to: now })
}

fn command(driver: &Driver, kind: u8, place: u8, flag: bool) -> Command {
    let place = u16::from(place) % u16::try_from(driver.task.steps.len()).unwrap();
    let last = driver.last_token(place);
    let token = if kind & 64 == 0 { last } else { token(place, 1) };
    let judge = driver.task.step(place).is_some_and(|step| step.arm == ArmName::Judge);
    let verdict = match (judge, flag) {
        (false, _) => None,
        (true, true) => Some(Verdict::Accepted),
        (true, false) => refused(),
    };
    let turn = if kind & 16 == 0 { WaitsFor::Turn } else { WaitsFor::Provider };
    match kind % 16 {
        0..=4 => {
            let attempt = driver.task.steps[usize::from(place)].deliveries.attempts + 1;
            Command::Claim { place, worker: worker(), token: super::token(place, attempt), ttl: TTL }
        }
        5 => Command::Heartbeat { place, token, ttl: TTL },
        6 => Command::Checkpoint { place, token, state: document(), artefacts: Vec::new() },
        7 | 8 => complete(place, token, verdict),
        9 => {
            let steps = vec![step(ArmName::Executor, &[place]), step(ArmName::Judge, &[])];
            revise(place, token, steps)
        }
        10 => fail(place, token, flag),
        11 => Command::Release { place, token, wait: flag.then(|| waiting(turn)) },
        12 if kind & 16 == 0 => {
            Command::Input(Given::Answer { place: flag.then_some(place), answer: document() })
        }
        12 => Command::Input(if flag { Given::Approve { place } } else { Given::Refuse { place } }),
        13 if kind & 16 == 0 => question(place, token),
        13 if flag => server_lost(),
        13 => Command::WorkerLost { worker: worker() },
        14 if flag && kind & 32 == 0 => Command::Cancel,
        _ => Command::Expire { unheard: unheard(driver.now, flag) },
    }
}

proptest! {
    /// P1, P2: the invariants hold after every command; afterwards the task ends.
    #[test]
    fn whatever_is_asked_the_invariants_hold_and_the_task_ends(
        steps in prop::collection::vec((any::<u8>(), any::<u8>(), prop::bool::weighted(0.2)), 1..7),
        replans in prop_oneof![Just(Replans::No), (0u32..3).prop_map(Replans::UpTo)],
        times in (prop::option::of(0u64..50_000), prop::option::of(20_000u64..500_000)),
        asks in prop::collection::vec((any::<u8>(), any::<u8>(), any::<bool>(), -20_000i64..40_000), 0..60),
    ) {
        let mut new = order(plan(&steps), replans);
        new.terms.not_before = times.0.map(|millis| START + Millis::new(millis));
        new.terms.deadline = times.1.map(|millis| START + Millis::new(millis));
        let mut driver = Driver::new(new);
        for (kind, place, flag, millis) in asks {
            if kind % 3 == 0 {
                driver.pass(millis);
            }
            let command = command(&driver, kind, place, flag);
            // A refusal changes nothing: `decide` cannot touch what it was lent.
            driver.ask(&command).ok();
        }
        driver.now = driver.now.max(START);
        driver.finish();
    }
}

/// One act of a run of calls: `what` is done with the call `n`, for `micros` and `tokens`.
fn act(driver: &Driver, what: u8, n: u8, micros: u64, tokens: u64) -> Command {
    let priced = what & 16 == 0;
    let cost = if priced { Cost::Known(MicroUsd::new(micros)) } else { Cost::Unknown };
    let used = Spent { cost, tokens };
    match what % 16 {
        0..=5 => hold(0, driver.last_token(0), n, used),
        6..=10 => settle(n, used),
        11 => Command::CallerLost(LostCalls::All),
        12 if priced => Command::WorkerLost { worker: worker() },
        12 => server_lost(),
        13 => {
            let attempt = driver.task.steps[0].deliveries.attempts + 1;
            Command::Claim { place: 0, worker: worker(), token: token(0, attempt), ttl: TTL }
        }
        14 if micros < 6 => Command::Cancel,
        14 if micros < 12 => complete(0, driver.last_token(0), None),
        _ => Command::Expire { unheard: unheard(driver.now, micros.is_multiple_of(2)) },
    }
}

proptest! {
    /// P5: with random holds, settlements, cancels and crashes, granted = spent + held + free in
    /// both accounts at every step (the driver checks it), no account is ever over its limit,
    /// and each call is charged once.
    #[test]
    fn no_call_is_charged_twice_and_no_account_goes_over_its_limit(
        limits in (prop::option::of(0u64..300), prop::option::of(0u64..300)),
        acts in prop::collection::vec((any::<u8>(), 1u8..24, 0u64..60, 0u64..60, 0i64..20_000), 0..80),
    ) {
        let mut new = order(vec![step(ArmName::Coder, &[])], Replans::No);
        new.terms.max_retries = 5;
        new.budget = Budget {
            money: limits.0.map_or(Limit::Unlimited, |most| Limit::Of(MicroUsd::new(most))),
            tokens: limits.1.map_or(Limit::Unlimited, Limit::Of),
        };
        let mut driver = Driver::new(new);
        driver.claim(0);
        // What was charged for each call, kept beside the machine.
        let mut charged: std::collections::BTreeMap<CallId, Spent> = std::collections::BTreeMap::new();
        for (what, n, micros, tokens, millis) in acts {
            if what.is_multiple_of(5) {
                driver.pass(millis);
            }
            let command = act(&driver, what, n, micros, tokens);
            let before = driver.task.clone();
            let Ok(changes) = driver.ask(&command) else { continue };
            for kept in &changes.kept {
                let KeptAs::Receipt { call, .. } = kept.as_ else { continue };
                let held = before.hold(call).expect("only what was held is charged").worst();
                let paid = match &command {
                    Command::Settle { spent, .. } => *spent,
                    _ => held,
                };
                prop_assert!(paid.tokens <= held.tokens);
                charged.entry(call).and_modify(|sum| {
                    sum.tokens += paid.tokens;
                    sum.cost = add(sum.cost, paid.cost);
                }).or_insert(paid);
            }
            let cost: u64 = charged.values().map(|paid| match paid.cost { Cost::Known(cost) => cost.get(), Cost::Unknown => 0 }).sum();
            prop_assert_eq!(driver.task.ledger.money().spent().get(), cost);
            prop_assert_eq!(driver.task.ledger.tokens().spent(), charged.values().map(|paid| paid.tokens).sum::<u64>());
            prop_assert!(limits.0.is_none_or(|most| cost + driver.task.ledger.money().held().get() <= most));
            prop_assert!(limits.1.is_none_or(|most| driver.task.ledger.tokens().spent() + driver.task.ledger.tokens().held() <= most));
        }
    }
}

/// Costs of two calls under one name, one after the other.
fn add(one: Cost, other: Cost) -> Cost {
    match (one, other) {
        (Cost::Known(one), Cost::Known(other)) => Cost::Known(one.checked_add(other).unwrap()),
        (Cost::Known(known), Cost::Unknown) | (Cost::Unknown, Cost::Known(known)) => Cost::Known(known),
        (Cost::Unknown, Cost::Unknown) => Cost::Unknown,
    }
}
