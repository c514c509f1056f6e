//! All command sequences up to a depth, for tasks of one and two steps.

use super::*;
use crate::{Limit, LostCalls};
use std::collections::HashSet;

/// What may be asked of a task now: every command with the last token and, for reports, with
/// the one before; and time goes on, or back.
fn asks(driver: &Driver) -> Vec<Option<Command>> {
    let mut asks = vec![
        None,
        Some(Command::Cancel),
        Some(Command::Input(Given::Answer { place: None, answer: document() })),
        Some(Command::Expire { unheard: None }),
        Some(Command::WorkerLost { worker: worker() }),
        Some(server_lost()),
    ];
    for (place, own) in driver.task.places() {
        let attempts = own.deliveries.attempts;
        for given in [Given::Approve { place }, Given::Refuse { place }, answer(place)] {
            asks.push(Some(Command::Input(given)));
        }
        asks.push(Some(Command::Claim {
            place,
            worker: worker(),
            token: token(place, attempts + 1),
            ttl: TTL,
        }));
        for token in [token(place, attempts), token(place, attempts.saturating_sub(1))] {
            asks.push(Some(Command::Heartbeat { place, token, ttl: TTL }));
            let verdicts = match own.arm {
                ArmName::Judge => vec![Some(Verdict::Accepted), refused()],
                ArmName::Planner
                | ArmName::Executor
                | ArmName::Coder
                | ArmName::Guardian
                | ArmName::Retriever => vec![None],
            };
            asks.extend(verdicts.into_iter().map(|verdict| Some(complete(place, token, verdict))));
            let steps = vec![step(ArmName::Executor, &[place])];
            asks.push(Some(revise(place, token, steps)));
            asks.push(Some(question(place, token)));
            asks.push(Some(fail(place, token, true)));
            asks.push(Some(fail(place, token, false)));
            asks.push(Some(Command::Release { place, token, wait: None }));
            for waits_for in [WaitsFor::Provider, WaitsFor::Turn] {
                asks.push(Some(Command::Release { place, token, wait: Some(waiting(waits_for)) }));
            }
        }
    }
    asks
}

/// What may be asked about calls now: two calls of a step, of one that is priced and one that is
/// not, and what may become of them.
fn calls(driver: &Driver) -> Vec<Option<Command>> {
    let unpriced = Spent { cost: Cost::Unknown, tokens: 3 };
    let token = driver.last_token(0);
    vec![
        None,
        Some(Command::Claim { place: 0, worker: worker(), token: token_after(driver), ttl: TTL }),
        Some(hold(0, token, 1, spent(6, 6))),
        Some(hold(0, token, 2, spent(6, 1))),
        Some(hold(0, token, 3, unpriced)),
        Some(settle(1, spent(4, 5))),
        Some(settle(2, spent(6, 0))),
        Some(settle(3, unpriced)),
        Some(Command::CallerLost(LostCalls::All)),
        Some(Command::CallerLost(LostCalls::These([call(2)].into()))),
        Some(Command::WorkerLost { worker: worker() }),
        Some(server_lost()),
        Some(complete(0, token, None)),
        Some(Command::Cancel),
        Some(Command::Expire { unheard: None }),
    ]
}

fn token_after(driver: &Driver) -> LeaseToken {
    token(0, driver.task.steps[0].deliveries.attempts + 1)
}

/// Walks all sequences; states that were met before are not walked again.
fn explore(start: Driver, depth: usize) -> usize {
    walk(start, depth, asks)
}

fn walk(start: Driver, depth: usize, asks: fn(&Driver) -> Vec<Option<Command>>) -> usize {
    let mut met = HashSet::new();
    let mut edge = vec![start];
    for _ in 0..depth {
        let mut next = Vec::new();
        for driver in edge {
            for ask in asks(&driver) {
                let mut then = driver.clone();
                match ask {
                    Some(command) => match then.ask(&command) {
                        Ok(_) => {}
                        Err(_) => continue,
                    },
                    None => then.pass(31_000),
                }
                if met.insert(format!("{:?}{:?}", then.task, then.now)) {
                    next.push(then);
                }
            }
        }
        edge = next;
    }
    // P1: from wherever the sequences led, the task ends.
    for mut driver in edge {
        driver.finish();
    }
    met.len()
}

#[test]
fn one_step_under_every_sequence_of_seven_commands() {
    let met = explore(Driver::new(order(vec![step(ArmName::Executor, &[])], Replans::UpTo(1))), 7);
    assert!(met > 300, "{met}");
}

#[test]
fn a_planner_under_every_sequence_of_six_commands() {
    let met = explore(Driver::new(order(vec![step(ArmName::Planner, &[])], Replans::No)), 6);
    assert!(met > 100, "{met}");
}

#[test]
fn a_chain_that_needs_an_approval_under_every_sequence_of_six_commands() {
    let steps = vec![step(ArmName::Executor, &[]), approved(step(ArmName::Judge, &[0]))];
    let met = explore(Driver::new(order(steps, Replans::UpTo(1))), 6);
    assert!(met > 300, "{met}");
}

#[test]
fn two_steps_side_by_side_under_every_sequence_of_five_commands() {
    let steps = vec![step(ArmName::Executor, &[]), step(ArmName::Judge, &[])];
    let met = explore(Driver::new(order(steps, Replans::UpTo(1))), 5);
    assert!(met > 300, "{met}");
}

/// P5: whatever is held and settled in whatever order, before and after the end.
#[test]
fn calls_of_one_step_under_every_sequence_of_seven_commands() {
    for money in [Limit::Unlimited, Limit::Of(MicroUsd::new(10))] {
        let mut new = order(vec![step(ArmName::Coder, &[])], Replans::No);
        new.budget = Budget { money, tokens: Limit::Of(9) };
        let met = walk(Driver::new(new), 7, calls);
        assert!(met > 300, "{met}");
    }
}
