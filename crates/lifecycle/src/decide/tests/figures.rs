//! Figures: what all decisions have added is what the task has become.

use super::*;
use crate::{Figures, Subject};
use octollm_contract::Day;
use std::collections::BTreeMap;

/// The sums over all days, without times, which the task does not show.
fn sums(tally: &Tally) -> BTreeMap<Subject, Figures> {
    let mut sums: BTreeMap<Subject, Figures> = BTreeMap::new();
    for ((_, subject), figures) in &tally.0 {
        sums.entry(*subject).or_default().add(figures);
    }
    for figures in sums.values_mut() {
        (figures.took, figures.worst) = (Millis::ZERO, Millis::ZERO);
    }
    sums
}

/// After every decision (the driver calls this): each end is counted once, and so is what was spent (P5).
pub(super) fn check(driver: &Driver) {
    let task = &driver.task;
    let mut wanted: BTreeMap<Subject, Figures> = BTreeMap::new();
    let ended = match &task.state {
        TaskState::Completed { .. } => Some(Figures { done: 1, ..Figures::default() }),
        TaskState::Failed { .. } => Some(Figures { failed: 1, ..Figures::default() }),
        TaskState::Cancelled { .. } => Some(Figures { cancelled: 1, ..Figures::default() }),
        _ => None,
    };
    wanted.extend(ended.map(|figures| (Subject::Tasks, figures)));
    for step in &task.steps {
        let attempts = u64::from(step.deliveries.attempts);
        let figures = match &step.state {
            StepState::Done => Figures { done: 1, attempts, ..Figures::default() },
            StepState::Failed(_) => Figures { failed: 1, attempts, ..Figures::default() },
            StepState::Cancelled => Figures { cancelled: 1, attempts, ..Figures::default() },
            _ => continue,
        };
        wanted.entry(Subject::Steps(step.arm)).or_default().add(&figures);
    }
    let mut sums = sums(&driver.tally);
    let all = sums.values().fold((0, 0, 0), |(cost, tokens, unpriced), figures| {
        (cost + figures.cost.get(), tokens + figures.tokens, unpriced + figures.unpriced)
    });
    let ledger = &task.ledger;
    let used = (ledger.money().spent().get(), ledger.tokens().spent(), u64::from(ledger.unpriced()));
    assert_eq!(all, used, "{task:#?}");
    // What is left are the ends.
    for figures in sums.values_mut() {
        *figures = Figures { calls: 0, unpriced: 0, cost: MicroUsd::ZERO, tokens: 0, ..*figures };
    }
    sums.retain(|_, figures| *figures != Figures::default());
    assert_eq!(sums, wanted, "{task:#?}");
}

fn at(driver: &Driver, subject: Subject) -> Vec<(String, Figures)> {
    let of = driver.tally.0.iter().filter(|((_, of), _)| *of == subject);
    of.map(|((day, _), figures)| (day.to_string(), *figures)).collect()
}

/// What ends is counted on the day of its end, and a call on that of its settlement, whenever it began
/// and also when its task has ended.
#[test]
fn what_ends_counts_on_the_day_of_its_end() {
    let mut driver =
        Driver::new(order(vec![step(ArmName::Coder, &[]), step(ArmName::Judge, &[0])], Replans::No));
    assert_eq!(Day::of(driver.now).to_string(), "1970-01-12");
    let first = driver.claim(0);
    driver.ask(&fail(0, first, true)).unwrap();
    driver.pass(30_000);
    let second = driver.claim(0);
    driver.ask(&hold(0, second, 1, spent(70, 700))).unwrap();
    driver.ask(&hold(0, second, 2, Spent { cost: Cost::Unknown, tokens: 9 })).unwrap();
    driver.ask(&settle(1, spent(50, 500))).unwrap();
    driver.pass(5_000);
    driver.ask(&complete(0, second, None)).unwrap();
    driver.pass(86_400_000);
    driver.ask(&Command::Cancel).unwrap();
    driver.ask(&settle(2, Spent { cost: Cost::Unknown, tokens: 8 })).unwrap();
    let took = Millis::from_secs(5);
    let first_day = Figures {
        done: 1,
        attempts: 2,
        took,
        worst: took,
        calls: 1,
        cost: MicroUsd::new(50),
        tokens: 500,
        ..Figures::default()
    };
    // P5: a call without a price is one, and none that was free.
    let next_day = Figures { calls: 1, unpriced: 1, tokens: 8, ..Figures::default() };
    let coder = at(&driver, Subject::Steps(ArmName::Coder));
    assert_eq!(coder, [("1970-01-12".to_owned(), first_day), ("1970-01-13".to_owned(), next_day)]);
    let cancelled = Figures { cancelled: 1, ..Figures::default() };
    assert_eq!(at(&driver, Subject::Steps(ArmName::Judge)), [("1970-01-13".to_owned(), cancelled)]);
    assert_eq!(at(&driver, Subject::Tasks), [("1970-01-13".to_owned(), cancelled)]);
}

/// P5: a call that a provider turned away is settled with nothing and was not made; one of a model that
/// is free was, and so was one of which nobody knows what it cost.
#[test]
fn a_call_that_used_nothing_does_not_count() {
    let mut driver = Driver::new(order(vec![step(ArmName::Coder, &[])], Replans::No));
    let token = driver.claim(0);
    let coder = Subject::Steps(ArmName::Coder);
    let unknown = Spent { cost: Cost::Unknown, tokens: 0 };
    let counted = Figures { calls: 1, ..Figures::default() };
    let wanted = [
        (spent(0, 0), vec![]),
        (spent(0, 7), vec![Figures { tokens: 7, ..counted }]),
        (unknown, vec![Figures { calls: 2, unpriced: 1, tokens: 7, ..counted }]),
        (spent(0, 0), vec![Figures { calls: 2, unpriced: 1, tokens: 7, ..counted }]),
    ];
    for (n, (used, figures)) in (1..).zip(wanted) {
        let worst = Spent { tokens: 9, ..used };
        driver.ask(&hold(0, token, n, worst)).unwrap();
        driver.ask(&settle(n, used)).unwrap();
        let shown: Vec<Figures> = at(&driver, coder).into_iter().map(|(_, figures)| figures).collect();
        assert_eq!(shown, figures, "{n}");
    }
}

#[test]
fn sums_stop_at_the_greatest_number() {
    let most = Figures { cost: MicroUsd::new(u64::MAX), tokens: u64::MAX, done: 1, ..Figures::default() };
    let mut sum = most;
    sum.add(&most);
    assert_eq!(sum, Figures { done: 2, ..most });
}
