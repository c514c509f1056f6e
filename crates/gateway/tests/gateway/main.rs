//! The way of a call through the gateway, over the memory store and a provider that misbehaves
//! as it is told (P5, P10).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench;

use bench::{Act, Bench, dollars, leased, leased_until};
use futures_util::StreamExt as _;
use octollm_access::{StepClaims, TenantScope};
use octollm_client::{ThinkAsk, ThinkError, whole};
use octollm_contract::{
    CallId, Cost, Document, MicroUsd, Millis,
    model::{Ask, Chunk, Message, WaitsFor},
};
use octollm_gateway::Outcome;
use octollm_lifecycle::{Budget, Command, Limit, LostCalls, Spent};
use octollm_store::{Clock as _, Directed};
use std::sync::atomic::Ordering;

/// P5: an answered question is paid once, however often it is asked.
#[tokio::test(start_paused = true)]
async fn an_answer_is_paid_once_and_kept() {
    let bench = Bench::new("priced", dollars(10_000), vec![Act::Say("yes"), Act::Say("no")]).await;
    assert_eq!(bench.answer(1, "?").await.unwrap(), "yes");
    let ledger = bench.task().await.ledger;
    assert_eq!(ledger.cost(), Cost::Known(MicroUsd::new(20)), "10 tokens in, 5 out");
    assert_eq!((ledger.money().held(), ledger.tokens().held()), (MicroUsd::ZERO, 0));
    assert_eq!(bench.answer(1, "?").await.unwrap(), "yes");
    assert_eq!(bench.calls(), 1);
    // Another question of the same number is another question.
    assert_eq!(bench.answer(1, "??").await.unwrap(), "no");
    assert_eq!(bench.calls(), 2);
    let receipts = bench.receipts().await;
    let [first, _] = &receipts[..] else { panic!("{receipts:?}") };
    assert!(first.simulated && first.is_exact() && first.catalogue == "2026-01-01");
    assert!(matches!(first.outcome, Outcome::Answered { .. }));
    assert_eq!(bench.gateway.figures()["priced"].cost, MicroUsd::new(40));
}

/// P5: an answer that was paid and is lost is said to be so; it is not paid again unseen, and asking on
/// takes the next number.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_not_paid_again_under_its_number() {
    for spoil in [
        |path: &std::path::Path| std::fs::remove_file(path),
        |path: &std::path::Path| std::fs::write(path, "x"),
    ] {
        let bench = Bench::new("priced", dollars(10_000), vec![Act::Say("yes"), Act::Say("again")]).await;
        assert_eq!(bench.answer(1, "?").await.unwrap(), "yes");
        bench.task().await;
        let mut open = vec![bench.folder.path().to_owned()];
        while let Some(path) = open.pop() {
            match std::fs::read_dir(&path) {
                Ok(entries) => open.extend(entries.map(|entry| entry.unwrap().path())),
                Err(_) => spoil(&path).unwrap(),
            }
        }
        for _ in 0..2 {
            let Err(ThinkError::Failed(why)) = bench.answer(1, "?").await else { panic!("an answer") };
            assert!(why.contains("question 1, which was paid for, is lost"), "{why}");
        }
        assert_eq!(bench.calls(), 1);
        assert_eq!(bench.answer(2, "?").await.unwrap(), "again");
        assert_eq!((bench.calls(), bench.receipts().await.len()), (2, 2));
    }
}

/// P5: what the worst case does not fit is not asked.
#[tokio::test(start_paused = true)]
async fn a_budget_that_does_not_cover_the_worst_case_refuses_before_the_call() {
    let bench = Bench::new("priced", dollars(100), vec![]).await;
    assert!(matches!(bench.answer(1, "?").await, Err(ThinkError::OverBudget(_))));
    let tokens = Budget { money: Limit::Unlimited, tokens: Limit::Of(40) };
    let bench = Bench::new("priced", tokens, vec![]).await;
    assert!(matches!(bench.answer(1, "?").await, Err(ThinkError::OverBudget(_))));
    assert_eq!(bench.calls(), 0);
}

/// P5: without a price a limit refuses; without a limit the cost is unknown, not 0.
#[tokio::test(start_paused = true)]
async fn a_model_without_a_price_is_refused_where_money_is_limited() {
    let bench = Bench::new("unheard-of", dollars(1_000_000), vec![]).await;
    assert!(matches!(bench.answer(1, "?").await, Err(ThinkError::Refused(_))));
    assert_eq!(bench.gateway.all_priced(), Err("unheard-of".to_owned()));
    let bench = Bench::new("unheard-of", Budget::UNLIMITED, vec![Act::Say("x")]).await;
    assert_eq!(bench.answer(1, "?").await.unwrap(), "x");
    let ledger = bench.task().await.ledger;
    assert_eq!((ledger.cost(), ledger.tokens().spent()), (Cost::Unknown, 15));
}

/// P5: a provider that reports more than the worst case is charged the worst case.
#[tokio::test(start_paused = true)]
async fn a_report_beyond_the_hold_is_disputed() {
    let bench = Bench::new("priced", dollars(10_000), vec![Act::Report("x", 9_000_000)]).await;
    bench.answer(1, "?").await.unwrap();
    let receipts = bench.receipts().await;
    assert!(receipts[0].disputed && !receipts[0].is_exact());
    assert!(bench.task().await.ledger.money().spent() < MicroUsd::new(1_000));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_paid_is_asked_again_and_what_was_is_not() {
    let acts = vec![Act::Limit(1), Act::Say("late"), Act::Cut("half"), Act::Limit(900)];
    let bench = Bench::new("priced", dollars(10_000), acts).await;
    assert_eq!(bench.answer(1, "?").await.unwrap(), "late");
    assert_eq!((bench.calls(), bench.receipts().await[0].tries), (2, 2));
    let cut = |answer| matches!(answer, Err(ThinkError::Failed(why)) if why.contains("provider test"));
    assert!(cut(bench.answer(2, "?").await));
    assert!(cut(bench.answer(2, "?").await), "the record says so, too: whoever asks counts it once");
    assert_eq!(bench.calls(), 3);
    // Ten tokens of question; four bytes came, which are at most four tokens.
    assert_eq!(bench.task().await.ledger.money().spent(), MicroUsd::new(20 + 10 + 8));
    let Err(ThinkError::Busy { retry_after, .. }) = bench.answer(3, "?").await else { panic!() };
    assert_eq!(retry_after, Millis::from_secs(900));
    assert_eq!(bench.task().await.ledger.money().spent(), MicroUsd::new(38), "a refusal costs nothing");
}

/// P9: a provider that says "at once" each time, or nothing, is not asked at once each time.
#[tokio::test(start_paused = true)]
async fn whoever_is_refused_comes_back_in_a_second_at_the_soonest() {
    for acts in [[Act::Limit(0), Act::Limit(0)], [Act::Down, Act::Down]] {
        let bench = Bench::new("priced", dollars(10_000), acts.into()).await;
        let Err(ThinkError::Busy { retry_after, waits_for, .. }) = bench.answer(1, "?").await else {
            panic!()
        };
        assert_eq!((retry_after, waits_for), (Millis::from_secs(1), WaitsFor::Provider));
        assert_eq!(bench.calls(), 2);
    }
}

/// P5: a listener that went away finds its answer when it comes back, and nothing is paid twice.
#[tokio::test(start_paused = true)]
async fn a_call_outlives_its_listener() {
    let bench = Bench::new("priced", dollars(10_000), vec![Act::Hang("so far")]).await;
    let mut first = bench.ask(1, "?");
    while !matches!(first.next().await, Some(Ok(Chunk::Text { .. }))) {}
    drop(first);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(*bench.provider.closed.lock().unwrap(), 0);
    let second = bench.ask(1, "?");
    bench.provider.go_on.notify_one();
    assert_eq!(whole(second).await.unwrap().text, "so far");
    assert_eq!(bench.calls(), 1);
}

/// A cancelled task's call is closed at the provider, and charged for what came.
#[tokio::test(start_paused = true)]
async fn a_cancelled_task_closes_its_call() {
    use octollm_store::Tasks as _;
    let bench = Bench::new("priced", dollars(10_000), vec![Act::Hang("so far")]).await;
    let mut first = bench.ask(1, "?");
    while !matches!(first.next().await, Some(Ok(Chunk::Text { .. }))) {}
    let task = bench.claims.step.task;
    let cancel = Directed { task, scope: TenantScope::System, command: Command::Cancel };
    bench.store.decide(vec![cancel]).await.pop().unwrap().unwrap();
    drop(first);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(*bench.provider.closed.lock().unwrap(), 1);
    let ledger = bench.task().await.ledger;
    assert_eq!(ledger.money().held(), MicroUsd::ZERO);
    assert_eq!(ledger.money().spent(), MicroUsd::new(10 + 2 * 6), "six bytes came");
}

/// What leaves for a provider holds no secret that a file or a page brought in.
#[tokio::test(start_paused = true)]
async fn secrets_are_masked_on_the_way_out() {
    let bench = Bench::new("priced", dollars(1_000_000), vec![Act::Say("ok")]).await;
    let secret = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    bench.answer(1, &format!("the token is {secret}")).await.unwrap();
    let asked = bench.provider.asked.lock().unwrap()[0].clone();
    assert!(!format!("{asked:?}").contains(secret), "{asked:?}");
    assert_eq!(bench.receipts().await[0].masked, 1);
}

/// Nor one with characters inside that hide it; what is no secret is asked as it was written.
#[tokio::test(start_paused = true)]
async fn a_hidden_secret_is_masked_and_no_other_word_changed() {
    let bench = Bench::new("priced", dollars(1_000_000), vec![Act::Say("ok")]).await;
    let said = "می\u{200c}خواهم: ghp_0123456789\u{200b}abcdefghijABCDEF\u{202e}GHIJ012345!";
    bench.answer(1, said).await.unwrap();
    let Message::User { text } = &bench.provider.asked.lock().unwrap()[0].messages[0] else { panic!() };
    assert_eq!(text, "می\u{200c}خواهم: [masked github]!");
}

/// P10: what a simulated provider did not answer is no less simulated.
#[tokio::test(start_paused = true)]
async fn a_call_in_vain_of_a_simulated_provider_says_so() {
    let bench = Bench::new("priced", dollars(1_000_000), vec![Act::Unknown]).await;
    bench.provider.simulated.store(true, Ordering::Relaxed);
    bench.answer(1, "anybody there?").await.unwrap_err();
    let receipt = &bench.receipts().await[0];
    assert!(receipt.simulated && matches!(receipt.outcome, Outcome::Failed(_)), "{receipt:?}");
}

/// P5: what does not fit is made smaller before it is refused, down to what may still be an answer.
#[tokio::test(start_paused = true)]
async fn a_question_that_does_not_fit_asks_for_a_shorter_answer() {
    let tokens = |most| Budget { money: Limit::Unlimited, tokens: Limit::Of(most) };
    let bench = Bench::new("unheard-of", tokens(1200), vec![Act::Say("short")]).await;
    assert_eq!(whole(bench.ask_for(1, "?", 4096)).await.unwrap().text, "short");
    assert_eq!(bench.provider.asked.lock().unwrap()[0].max_output_tokens, 1024);
    let bench = Bench::new("unheard-of", tokens(200), vec![]).await;
    assert!(matches!(whole(bench.ask_for(1, "?", 4096)).await, Err(ThinkError::OverBudget(_))));
}

/// P5: two questions of one task do not fail each other: what one holds, the other may have later.
#[tokio::test(start_paused = true)]
async fn a_question_that_another_keeps_from_its_hold_comes_later() {
    let bench = Bench::new("priced", dollars(180), vec![Act::Hang("so far"), Act::Say("mine")]).await;
    let mut first = bench.ask(1, "?");
    while !matches!(first.next().await, Some(Ok(Chunk::Text { .. }))) {}
    let Err(ThinkError::Busy { why, waits_for, .. }) = bench.answer(2, "??").await else { panic!() };
    assert!(why.contains("other calls of the task") && waits_for == WaitsFor::Siblings, "{why}");
    bench.provider.go_on.notify_one();
    assert_eq!(bench.answer(1, "?").await.unwrap(), "so far");
    assert_eq!(bench.answer(2, "??").await.unwrap(), "mine");
}

/// P9: a provider that fails is not asked for a while; whoever waits is told who and why, and
/// holds nothing meanwhile.
#[tokio::test(start_paused = true)]
async fn a_sick_provider_is_named_with_its_cause() {
    let acts = (0..10).map(|_| Act::Down).collect();
    let bench = Bench::new("priced", dollars(10_000), acts).await;
    for number in 1..=5 {
        let Err(ThinkError::Busy { why, .. }) = bench.answer(number, "?").await else { panic!() };
        assert!(why.contains("provider test") && why.contains("no GPU is free"), "{why}");
    }
    let receipts = bench.receipts().await.len();
    let Err(ThinkError::Busy { retry_after, why, waits_for }) = bench.answer(9, "?").await else { panic!() };
    assert!(why.contains("provider test") && why.contains("no GPU is free"), "{why}");
    assert_eq!(waits_for, WaitsFor::Provider);
    assert!(retry_after > Millis::from_secs(5));
    assert_eq!((bench.calls(), bench.receipts().await.len()), (10, receipts));
}

/// P9: a probe that was given up before a word came says nothing: the provider is not well for that.
#[tokio::test(start_paused = true)]
async fn a_probe_that_is_cancelled_makes_no_provider_well() {
    use octollm_store::Tasks as _;
    let acts = (0..10).map(|_| Act::Down).chain([Act::Mute, Act::Down]).collect();
    let mut bench = Bench::new("priced", dollars(10_000), acts).await;
    for number in 1..=5 {
        assert!(bench.answer(number, "?").await.is_err());
    }
    bench.clock.0.store(16_000, Ordering::Relaxed);
    let probe = bench.ask(9, "?");
    while bench.calls() < 11 {
        tokio::task::yield_now().await;
    }
    let task = bench.claims.step.task;
    let cancel = Directed { task, scope: TenantScope::System, command: Command::Cancel };
    bench.store.decide(vec![cancel]).await.pop().unwrap().unwrap();
    drop(probe);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(bench.task().await.ledger.money().held(), MicroUsd::ZERO, "the call was given up");
    bench.claims = leased(&bench.store, bench.clock.now(), 2, dollars(10_000)).await;
    assert!(matches!(bench.answer(1, "?").await, Err(ThinkError::Busy { .. })));
    assert_eq!(bench.calls(), 12, "another probe, and not the two tries of a provider that is well");
}

/// P5: what an orchestrator that is gone has asked is not asked again under its number, neither while
/// nobody knows what became of it nor after.
#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_settles_is_not_made_again_under_its_number() {
    use octollm_store::Tasks as _;
    let bench = Bench::new("priced", dollars(10_000), vec![Act::Say("anew")]).await;
    let StepClaims { step, lease, .. } = bench.claims;
    let worst = Spent { cost: Cost::Known(MicroUsd::new(500)), tokens: 100 };
    let call = CallId::from_bytes([9; 16]);
    let hold = Command::Hold { place: step.place, token: lease, call, number: 1, worst };
    let tell = async |command| {
        let directed = Directed { task: step.task, scope: TenantScope::System, command };
        bench.store.decide(vec![directed]).await.pop().unwrap().unwrap();
    };
    tell(hold).await;
    let Err(ThinkError::Busy { why, waits_for, .. }) = bench.answer(1, "?").await else {
        panic!("it was asked")
    };
    assert!(why.contains("this question of the step") && waits_for == WaitsFor::Siblings, "{why}");
    tell(Command::CallerLost(LostCalls::All)).await;
    for _ in 0..2 {
        let Err(ThinkError::Failed(why)) = bench.answer(1, "?").await else { panic!("it was asked") };
        assert!(why.contains("counts as spent"), "{why}");
    }
    assert_eq!((bench.calls(), bench.answer(2, "?").await.unwrap().as_str()), (0, "anew"));
}

/// What is held so long is presumed spent: no call may last longer.
#[test]
fn a_hold_is_presumed_spent_only_when_its_call_must_be_over() {
    assert!(octollm_llm::Times::default().total < octollm_lifecycle::HOLD_GRACE);
}

/// P9: as many questions as a provider is asked at once; the next one is told so.
#[tokio::test(start_paused = true)]
async fn a_provider_is_asked_so_much_at_once() {
    let acts = vec![Act::Hang("so far"), Act::Say("now")];
    let bench = Bench::with(vec!["priced".into()], dollars(10_000), acts, 1).await;
    let mut first = bench.ask(1, "?");
    while !matches!(first.next().await, Some(Ok(Chunk::Text { .. }))) {}
    let Err(ThinkError::Busy { why, waits_for, .. }) = bench.answer(2, "??").await else { panic!() };
    assert!(why.contains("1 calls are under way") && why.contains("calls_at_once"), "{why}");
    assert_eq!(waits_for, WaitsFor::Turn, "our own bound is no sign of a sick provider");
    bench.provider.go_on.notify_one();
    whole(first).await.unwrap();
    assert_eq!(bench.answer(2, "??").await.unwrap(), "now");
}

/// Whose task's time runs out while a model is silent is told in time what it waited for, so that the task does
/// not fail for a bare deadline; the answer is kept all the same while the task goes on.
#[tokio::test(start_paused = true)]
async fn a_deadline_during_a_call_names_who_was_waited_for() {
    let mut bench = Bench::new("priced", dollars(10_000), vec![Act::Hang("so far")]).await;
    let now = bench.clock.now();
    let deadline = Some(now + Millis::from_secs(30));
    bench.claims = leased_until(&bench.store, now, 2, dollars(10_000), deadline).await;
    let begun = tokio::time::Instant::now();
    let answer = tokio::time::timeout(std::time::Duration::from_secs(60), bench.answer(7, "?"));
    let Err(ThinkError::Busy { why, waits_for, .. }) = answer.await.expect("it is told") else { panic!() };
    for part in ["provider test", "priced", "question 7", "its task had left"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert_eq!(waits_for, WaitsFor::Provider);
    let waited = begun.elapsed();
    assert!(waited < std::time::Duration::from_secs(30), "in time to be reported: {waited:?}");
}

/// A server that starts before its provider does works as soon as the provider does.
#[tokio::test(start_paused = true)]
async fn a_provider_that_has_named_no_model_is_asked_when_one_is_needed() {
    let bench = Bench::with(Vec::new(), Budget::UNLIMITED, vec![Act::Say("up")], 32).await;
    assert_eq!(bench.gateway.models()[0].model, "");
    assert!(bench.gateway.all_priced().is_err(), "nobody knows what it costs");
    let Err(ThinkError::Busy { why, .. }) = bench.answer(1, "?").await else { panic!() };
    assert!(why.contains("models cannot be listed") && why.contains("starting"), "{why}");
    bench.provider.lists.lock().unwrap().push("priced".into());
    assert_eq!(bench.answer(1, "?").await.unwrap(), "up");
    assert_eq!(bench.gateway.models()[0].model, "priced");
    assert_eq!(bench.gateway.all_priced(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_model_is_refused_by_name() {
    let bench = Bench::new("priced", Budget::UNLIMITED, vec![]).await;
    let ask = Ask::new("other", vec![Message::user("?")], 50);
    let thinking = bench.gateway.think(&bench.claims, ThinkAsk { number: 1, ask });
    let Err(ThinkError::Refused(why)) = whole(thinking).await else { panic!() };
    assert!(why.contains("other") && why.contains("priced"), "{why}");
}

/// P1, P5: a hold of which the store does not say whether it was taken is given back once the store says
/// something again; the question was never asked.
#[tokio::test(start_paused = true)]
async fn a_hold_in_doubt_is_given_back() {
    let bench = Bench::new("priced", dollars(10_000), vec![Act::Say("anew")]).await;
    bench.store.leave_unconfirmed(11);
    assert!(bench.answer(1, "?").await.is_err());
    let task = bench.task().await;
    assert_eq!((task.holds.len(), task.ledger.cost()), (0, Cost::Known(MicroUsd::ZERO)));
    assert_eq!((bench.calls(), bench.answer(1, "?").await.unwrap().as_str()), (0, "anew"));
}

/// P5: a receipt of another version cannot be read, and may be that of a paid answer: nothing is asked.
#[tokio::test]
async fn a_question_with_a_receipt_that_nobody_here_can_read_is_not_asked_again() {
    use octollm_store::Tasks as _;
    let bench = Bench::new("priced", dollars(10_000), vec![Act::Say("anew")]).await;
    let (step, token) = (bench.claims.step, bench.claims.lease);
    let (call, spent) =
        (CallId::from_bytes([7; 16]), Spent { cost: Cost::Known(MicroUsd::new(5)), tokens: 5 });
    let receipt =
        Document::from_json(r#"{"model": "priced", "outcome": {"postponed": "by a later version"}}"#);
    for command in [
        Command::Hold { place: step.place, token, call, number: 1, worst: spent },
        Command::Settle { call, spent, receipt, artefacts: Vec::new() },
    ] {
        let directed = Directed { task: step.task, scope: TenantScope::System, command };
        bench.store.decide(vec![directed]).await.remove(0).unwrap();
    }
    assert!(matches!(bench.answer(1, "?").await, Err(ThinkError::Failed(_))));
    assert_eq!((bench.calls(), bench.answer(2, "?").await.unwrap().as_str()), (0, "anew"));
}

/// P5: what was held in doubt is given back, too, when the task is stopped before the hold is repeated.
#[tokio::test(start_paused = true)]
async fn a_hold_in_doubt_is_given_back_when_its_repetition_is_refused() {
    use octollm_store::Tasks as _;
    let bench = Bench::new("priced", dollars(10_000), vec![Act::Say("unasked")]).await;
    bench.store.leave_unconfirmed(1);
    let (asked, ()) = tokio::join!(bench.answer(1, "?"), async {
        while bench.record().await.task.holds.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let directed =
            Directed { task: bench.claims.step.task, scope: TenantScope::System, command: Command::Cancel };
        bench.store.decide(vec![directed]).await;
    });
    assert!(asked.is_err(), "{asked:?}");
    let task = bench.task().await;
    assert_eq!((task.holds.len(), task.ledger.cost()), (0, Cost::Known(MicroUsd::ZERO)));
    assert_eq!(bench.calls(), 0);
}

/// P5: an orchestrator that is cut off from the store repeats a hold, and is taken for dead meanwhile: the
/// question counts as asked by then, and is not asked.
#[tokio::test(start_paused = true)]
async fn a_hold_that_comes_through_after_its_burial_asks_nothing() {
    use octollm_store::Tasks as _;
    let bench = Bench::new("priced", dollars(10_000), vec![Act::Say("anew")]).await;
    bench.store.leave_unconfirmed(8);
    let (asked, held) = tokio::join!(bench.answer(1, "?"), async {
        let held = loop {
            match bench.record().await.task.holds.first() {
                Some(hold) => break hold.cost,
                None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        let task = bench.claims.step.task;
        let lost = Command::CallerLost(LostCalls::All);
        let directed = Directed { task, scope: TenantScope::System, command: lost };
        bench.store.decide(vec![directed]).await;
        held
    });
    let Err(ThinkError::Failed(why)) = asked else { panic!("{asked:?}") };
    assert!(why.contains("counts as spent"), "{why}");
    let task = bench.task().await;
    assert_eq!((task.holds.len(), task.ledger.cost()), (0, held));
    assert!(matches!(bench.answer(1, "?").await, Err(ThinkError::Failed(_))));
    assert_eq!((bench.calls(), bench.answer(2, "?").await.unwrap().as_str()), (0, "anew"));
}
