//! Model calls, conversations and answers in their rows.

use super::{Bench, samples};
use crate::{Claimed, DecideError, Directed, Order, TaskReads, Tasks};
use octollm_access::TenantScope;
use octollm_contract::{ArmName, CallId, ContentHash, Cost, Document, MicroUsd, TaskId, Timestamp};
use octollm_lifecycle::{
    Awaits, Budget, Command, Given, HOLD_GRACE, Limit, NewStep, Refusal, Spent, TaskState,
};

fn limited(n: u32) -> Order {
    let mut new = samples::new(n);
    new.budget = Budget { money: Limit::Of(MicroUsd::new(100)), tokens: Limit::Of(1000) };
    Order { session: Some("talk".parse().unwrap()), ..samples::order(new) }
}

fn spent(micros: u64, tokens: u64) -> Spent {
    Spent { cost: Cost::Known(MicroUsd::new(micros)), tokens }
}

fn call(n: u8) -> CallId {
    CallId::from_bytes([n; 16])
}

fn hold(of: &Claimed, n: u8, number: u32, worst: Spent) -> Directed {
    let command = Command::Hold { place: of.step.place, token: of.token, call: call(n), number, worst };
    Directed { task: of.step.task, scope: TenantScope::System, command }
}

fn settle(task: TaskId, n: u8, spent: Spent) -> Directed {
    let receipt = Document::from_json(format!("{{\"call\":{n}}}"));
    let artefacts = vec![ContentHash::of(&[n])];
    let command = Command::Settle { call: call(n), spent, receipt, artefacts };
    Directed { task, scope: TenantScope::System, command }
}

impl Bench {
    async fn tell(&self, directed: Directed) -> Result<(), DecideError> {
        self.store.decide(vec![directed]).await.remove(0).map(|_| ())
    }

    async fn ledger(&self, task: TaskId) -> [u64; 4] {
        let record = self.store.task(task, &TenantScope::System).await.unwrap().unwrap();
        let (money, tokens) = (record.task.ledger.money(), record.task.ledger.tokens());
        [money.held().get(), money.spent().get(), tokens.held(), tokens.spent()]
    }

    fn rows(&self, table: &str) -> i64 {
        self.side().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }
}

/// The hot path: who sets no limit and belongs to no session pays for neither.
#[tokio::test]
async fn an_accept_without_limits_and_session_runs_no_statement_for_them() {
    let bench = Bench::new();
    bench.store.accept(samples::order(samples::new(0))).await.unwrap();
    let before = bench.store.runs().await;
    bench.store.accept(samples::order(samples::new(1))).await.unwrap();
    let after = bench.store.runs().await;
    let ran: Vec<_> = before.iter().zip(&after).filter(|(was, is)| was != is).map(|(_, is)| is.0).collect();
    // The second look at the runs is a transaction of its own.
    let wanted =
        ["begin", "commit", "insert_task", "insert_paper", "insert_step", "insert_ready", "insert_event"];
    assert_eq!(ran, wanted);
    for table in ["ledger", "hold", "receipt", "session"] {
        assert_eq!(bench.rows(table), 0, "{table}");
    }
}

/// P5: what was held and spent is there after a restart, and every call is charged once.
#[tokio::test]
async fn calls_are_held_and_settled_over_restarts_and_after_the_end() {
    let bench = Bench::new();
    let id = bench.store.accept(limited(1)).await.unwrap().task;
    let claimed = bench.claim(1).await.remove(0);
    bench.tell(hold(&claimed, 7, 1, spent(60, 600))).await.unwrap();
    bench.tell(hold(&claimed, 3, 2, spent(40, 400))).await.unwrap();
    let bench = bench.reopen();
    assert_eq!(bench.ledger(id).await, [100, 0, 1000, 0]);
    let over = bench.tell(hold(&claimed, 9, 3, spent(1, 1))).await;
    assert!(matches!(over, Err(DecideError::Refused(Refusal::OverBudget(_)))), "{over:?}");
    let twice = bench.tell(hold(&claimed, 9, 1, spent(1, 1))).await;
    assert!(matches!(twice, Err(DecideError::Refused(Refusal::NumberUnderWay))), "{twice:?}");
    bench.tell(settle(id, 7, spent(10, 20))).await.unwrap();
    bench.tell(hold(&claimed, 5, 1, spent(20, 200))).await.unwrap();
    bench.tell(super::complete(claimed.step, claimed.token)).await.unwrap();
    bench.tell(settle(id, 3, spent(5, 6))).await.unwrap();
    bench.tell(settle(id, 5, spent(1, 1))).await.unwrap();
    let bench = bench.reopen();
    let again = bench.tell(settle(id, 3, spent(5, 6))).await;
    assert!(matches!(again, Err(DecideError::Refused(Refusal::NoSuchHold))), "{again:?}");
    assert_eq!(bench.ledger(id).await, [0, 16, 0, 27]);
    // Two calls had the number 1, one after the other; the last one counts, none is forgotten.
    let last = bench.store.receipt(claimed.step, 1).await.unwrap();
    assert_eq!(last, Some(Document::from_json(r#"{"call":5}"#)));
    let record = bench.store.task(id, &TenantScope::System).await.unwrap().unwrap();
    let receipts: Vec<_> = record.steps[0].receipts.iter().map(|receipt| receipt.call).collect();
    assert_eq!(receipts, [call(7), call(5), call(3)]);
    assert!(bench.store.refers(id, ContentHash::of(&[3])).await.unwrap());
    assert!(matches!(record.task.state, TaskState::Completed { .. }));
}

/// The accounts of a task without limits are as new after calls that cost nothing; its receipts
/// are there all the same.
#[tokio::test]
async fn a_call_that_cost_nothing_leaves_its_receipt() {
    let bench = Bench::new();
    let mut order = limited(1);
    order.new.budget = Budget::UNLIMITED;
    let id = bench.store.accept(order).await.unwrap().task;
    let claimed = bench.claim(1).await.remove(0);
    bench.tell(hold(&claimed, 7, 1, spent(60, 600))).await.unwrap();
    bench.tell(settle(id, 7, spent(0, 0))).await.unwrap();
    let bench = bench.reopen();
    let record = bench.store.task(id, &TenantScope::System).await.unwrap().unwrap();
    assert_eq!(record.steps[0].receipts.len(), 1);
}

/// P5: the orchestrator that made the calls is gone; they count as spent at their worst case.
#[tokio::test]
async fn the_start_of_the_one_orchestrator_settles_what_the_last_one_held() {
    let bench = Bench::new();
    let id = bench.store.accept(limited(1)).await.unwrap().task;
    let claimed = bench.claim(1).await.remove(0);
    bench.tell(hold(&claimed, 1, 1, spent(30, 300))).await.unwrap();
    bench.tell(hold(&claimed, 2, 2, spent(20, 200))).await.unwrap();
    let some = bench.store.lose(crate::Lost::Worker("w2".parse().unwrap())).await.unwrap();
    assert_eq!((some.presumed, some.tasks), (0, 0));
    let bench = bench.reopen();
    let lost = bench.store.take_over(crate::Gone::Callers).await.unwrap();
    assert_eq!((lost.presumed, lost.lapsed, lost.tasks), (2, 0, 1), "its workers may have outlived it");
    assert_eq!(bench.ledger(id).await, [0, 50, 0, 500]);
    let receipt = bench.store.receipt(claimed.step, 2).await.unwrap();
    assert_eq!(receipt, Some(Document::from_json(r#"{"presumed":true,"cost_usd":"0.00002","tokens":200}"#)));
    let rest = bench.store.take_over(crate::Gone::All).await.unwrap();
    assert_eq!((rest.presumed, rest.lapsed, rest.tasks), (0, 1, 1));
}

/// P5: what is due of a task that goes on is found by the sweep, too.
#[tokio::test]
async fn the_sweep_settles_what_a_task_that_goes_on_has_held_for_long() {
    let bench = Bench::new();
    let id = bench.store.accept(limited(1)).await.unwrap().task;
    let claimed = bench.claim(1).await.remove(0);
    bench.tell(hold(&claimed, 1, 1, spent(30, 300))).await.unwrap();
    bench.store.lose(crate::Lost::Worker("w1".parse().unwrap())).await.unwrap();
    let bench = bench.reopen();
    let due = Timestamp::from_millis(10_000) + HOLD_GRACE;
    assert_eq!(bench.store.sweep(10, None).await.unwrap().next, Some(due));
    bench.advance(HOLD_GRACE);
    let swept = bench.store.sweep(10, None).await.unwrap();
    assert_eq!((swept.tasks, swept.presumed, swept.overdue, swept.repaired), (1, 1, 0, 0));
    assert_eq!((swept.next, bench.ledger(id).await), (None, [0, 30, 0, 300]));
}

#[tokio::test]
async fn the_sweep_settles_what_an_ended_task_has_held_for_long() {
    let bench = Bench::new();
    let id = bench.store.accept(limited(1)).await.unwrap().task;
    let claimed = bench.claim(1).await.remove(0);
    bench.tell(hold(&claimed, 1, 1, spent(30, 300))).await.unwrap();
    bench.tell(super::complete(claimed.step, claimed.token)).await.unwrap();
    let bench = bench.reopen();
    let due = Timestamp::from_millis(10_000) + HOLD_GRACE;
    let swept = bench.store.sweep(10, None).await.unwrap();
    assert_eq!((swept.tasks, swept.next), (0, Some(due)));
    bench.advance(HOLD_GRACE);
    let swept = bench.store.sweep(10, None).await.unwrap();
    assert_eq!((swept.tasks, swept.presumed, swept.overdue, swept.repaired), (1, 1, 0, 0));
    assert_eq!((swept.next, bench.ledger(id).await), (None, [0, 30, 0, 300]));
    assert_eq!(bench.store.sweep(10, None).await.unwrap(), crate::Swept::default());
}

/// P7: a session is its tenant's own, and shows what has ended, newest first.
#[tokio::test]
async fn a_session_lists_its_ended_tasks_newest_first() {
    let bench = Bench::new();
    for n in 0..6 {
        let mut order = limited(n);
        if n == 4 {
            order.session = Some("other talk".parse().unwrap());
        }
        if n == 5 {
            order.new.tenant = "other".parse().unwrap();
        }
        bench.store.accept(order).await.unwrap();
    }
    for n in [0, 2, 3, 4, 5] {
        let command = Command::Cancel;
        bench.tell(Directed { task: samples::id(n), scope: TenantScope::System, command }).await.unwrap();
    }
    let (acme, talk) = ("acme".parse().unwrap(), "talk".parse().unwrap());
    let own = TenantScope::Only("acme".parse().unwrap());
    let ids = async |scope: &TenantScope, before: TaskId, most| {
        let found = bench.store.session(scope, &acme, &talk, before, most).await.unwrap();
        found.into_iter().map(|record| record.task.id).collect::<Vec<_>>()
    };
    let all = TaskId::from_bytes([255; 16]);
    assert_eq!(ids(&own, all, 9).await, [3, 2, 0].map(samples::id));
    assert_eq!(ids(&own, samples::id(3), 1).await, [samples::id(2)]);
    assert_eq!(ids(&TenantScope::Only("other".parse().unwrap()), all, 9).await, []);
}

/// A planner asks, a person answers, the next planner is handed the answer and writes a plan,
/// whose steps are handed out with what they are to do.
#[tokio::test]
async fn an_answer_and_a_plan_reach_the_steps_that_need_them() {
    let bench = Bench::new();
    let mut order = samples::order(samples::new(1));
    order.new.steps[0].arm = ArmName::Planner;
    let id = bench.store.accept(order).await.unwrap().task;
    let json = |text: &str| Document::from_json(text);
    let wanted = || crate::Wanted { arms: ArmName::ALL.to_vec(), ..super::wanted(5) };
    let claim = async |bench: &Bench| bench.store.claim(wanted()).await.unwrap().granted.remove(0);
    let first = claim(&bench).await;
    let next = NewStep { arm: ArmName::Planner, awaits: Awaits::Answer, ..samples::step(&[0]) };
    let (output, spec) = (json(r#""which?""#), json(r#""go on""#));
    let command = Command::Ask { place: 0, token: first.token, output, next, spec };
    let tell = |command| Directed { task: id, scope: TenantScope::System, command };
    bench.tell(tell(command)).await.unwrap();
    let bench = bench.reopen();
    bench
        .tell(tell(Command::Input(Given::Answer { place: Some(1), answer: json(r#""this""#) })))
        .await
        .unwrap();
    let bench = bench.reopen();
    let second = claim(&bench).await;
    assert_eq!((second.answer, second.spec), (Some(json(r#""this""#)), json(r#""go on""#)));
    assert_eq!(second.inputs, [(0, json(r#""which?""#))]);
    let command = Command::Revise {
        place: 1,
        token: second.token,
        output: json("1"),
        plan: json(r#"{"plan":2}"#),
        steps: vec![samples::step(&[1])],
        specs: vec![json(r#""do it""#)],
    };
    bench.tell(tell(command)).await.unwrap();
    let bench = bench.reopen();
    let third = claim(&bench).await;
    assert_eq!((third.spec, third.answer), (json(r#""do it""#), None));
    let record = bench.store.task(id, &TenantScope::System).await.unwrap().unwrap();
    assert_eq!(record.plan, json(r#"{"plan":2}"#));
    assert_eq!((record.task.questions, record.task.plan_version), (1, 1));
    assert_eq!(record.steps[1].answer, Some(json(r#""this""#)));
}

#[tokio::test]
async fn retention_takes_the_rows_of_calls_and_sessions_along() {
    let bench = Bench::new();
    for n in 1..=2 {
        bench.store.accept(limited(n)).await.unwrap();
        let claimed = bench.claim(1).await.remove(0);
        bench.tell(hold(&claimed, 1, 1, spent(1, 1))).await.unwrap();
        bench.tell(hold(&claimed, 2, 2, spent(1, 1))).await.unwrap();
        bench.tell(settle(claimed.step.task, 1, spent(1, 1))).await.unwrap();
        if n == 1 {
            bench.tell(super::complete(claimed.step, claimed.token)).await.unwrap();
        }
    }
    assert_eq!(bench.store.prune(Timestamp::from_millis(20_000), 10).await.unwrap(), 1);
    for table in ["task", "ledger", "hold", "receipt", "session", "artefact", "paper"] {
        assert_eq!(bench.rows(table), 1, "{table}");
    }
}
