//! Figures by day, which outlive their tasks.

use super::{Bench, complete, samples};
use crate::{DayLine, DayListing, Directed, FIGURES_KEPT, Freshness, Period, TaskReads, Tasks};
use octollm_access::TenantScope;
use octollm_contract::{ArmName, Day, Millis, Timestamp};
use octollm_lifecycle::{Command, Figures, Subject};

const DAY: Millis = Millis::from_secs(86_400);

impl Bench {
    async fn figures(&self) -> Vec<DayLine> {
        let period = Period { from: Day::from_number(i32::MIN), to: Day::from_number(i32::MAX) };
        let wanted = DayListing { period, behind: None, most: 100 };
        let read = self.store.usage_days(Freshness::Latest, &TenantScope::System, &wanted);
        read.await.unwrap().0.figures
    }
}

fn line(day: i32, subject: Subject, figures: Figures) -> DayLine {
    DayLine { day: Day::from_number(day), tenant: "acme".parse().unwrap(), subject, figures }
}

/// What a day came to is known after a restart and when its tasks are gone, and for as long as it is said.
#[tokio::test]
async fn figures_outlive_restarts_and_their_tasks_but_not_their_time() {
    let bench = Bench::new();
    for n in 0..3 {
        bench.store.accept(samples::order(samples::new(n))).await.unwrap();
    }
    let claimed = bench.claim(2).await;
    bench.advance(Millis::from_secs(7));
    let mut commands: Vec<_> = claimed.iter().map(|claimed| complete(claimed.step, claimed.token)).collect();
    let cancel = Directed { task: samples::id(2), scope: TenantScope::System, command: Command::Cancel };
    // A late one counts nowhere.
    commands.extend([cancel.clone(), cancel, complete(claimed[0].step, claimed[0].token)]);
    let answers = bench.store.decide(commands).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3, "{answers:?}");
    let (took, at_most) = (Millis::from_secs(14), Millis::from_secs(7));
    let steps = Figures { done: 2, cancelled: 1, attempts: 2, took, worst: at_most, ..Figures::default() };
    // They were accepted at the first second, and the clock began at the tenth.
    let whole = Millis::from_secs(16);
    let tasks = Figures { done: 2, cancelled: 1, took: whole.times(2), worst: whole, ..Figures::default() };
    let first_day = [line(0, Subject::Steps(ArmName::Executor), steps), line(0, Subject::Tasks, tasks)];
    assert_eq!(bench.figures().await, first_day);
    let bench = bench.reopen();
    assert_eq!(bench.store.prune(Timestamp::from_millis(i64::MAX), 100).await.unwrap(), 3);
    assert_eq!(bench.figures().await, first_day);

    let cancelled = Figures { cancelled: 1, ..Figures::default() };
    let of_day =
        |day| [line(day, Subject::Steps(ArmName::Executor), cancelled), line(day, Subject::Tasks, cancelled)];
    let kept = i32::from(FIGURES_KEPT);
    for (days, shown) in [
        (u64::from(FIGURES_KEPT), [first_day.clone(), of_day(kept)].concat()),
        (1, [of_day(kept), of_day(kept + 1)].concat()),
    ] {
        bench.advance(DAY.times(days));
        let n = 100 + u32::try_from(days).unwrap();
        bench.store.accept(samples::order(samples::new(n))).await.unwrap();
        let cancel = Directed { task: samples::id(n), scope: TenantScope::System, command: Command::Cancel };
        bench.store.decide(vec![cancel]).await.remove(0).unwrap();
        assert_eq!(bench.figures().await, shown);
    }
}

/// A request that fails and is done again alone counts once, and so do its neighbours.
#[tokio::test]
async fn what_is_done_again_counts_once() {
    let bench = Bench::new();
    for n in 0..6 {
        bench.store.accept(samples::order(samples::new(n))).await.unwrap();
    }
    bench
        .side()
        .execute_batch(
            "CREATE TRIGGER bad BEFORE UPDATE ON task WHEN hex(old.id) LIKE '00000003%'
             BEGIN SELECT RAISE(ABORT, 'bad'); END",
        )
        .unwrap();
    let cancel = |n| Directed { task: samples::id(n), scope: TenantScope::System, command: Command::Cancel };
    let answers = bench.store.decide((0..6).map(cancel).collect()).await;
    let failed: Vec<_> = (0..6).filter(|n| answers[*n].is_err()).collect();
    assert_eq!(failed, [3]);
    let cancelled: Vec<_> = bench.figures().await.iter().map(|line| line.figures.cancelled).collect();
    assert_eq!(cancelled, [5, 5]);
}

/// A sum that would not fit stops at the greatest number, and goes on to be read.
#[tokio::test]
async fn sums_stop_at_the_greatest_number() {
    let bench = Bench::new();
    bench
        .side()
        .execute_batch(
            "INSERT INTO usage_day VALUES ('acme', 0, 'task', 0, 0, 0, 0, 9223372036854775806, 0, 0, 0,
             9223372036854775807, 0)",
        )
        .unwrap();
    bench.store.accept(samples::order(samples::new(0))).await.unwrap();
    let claimed = bench.claim(1).await.remove(0);
    bench.store.decide(vec![complete(claimed.step, claimed.token)]).await.remove(0).unwrap();
    let sum = bench.figures().await.pop().unwrap().figures;
    let most = u64::try_from(i64::MAX).unwrap();
    assert_eq!((sum.done, sum.took.get(), sum.cost.get()), (1, most, most));
}
