//! Every state × every command, and cases that were wrong once.

use super::*;
use crate::{ATTEMPTS_MAX, CRASHES_MAX, Event, EventKind, FailureReason, LostCalls, RELEASES_MAX, StopInto};

/// The commands of the table, for a task whose step at `place` is or was leased under `token`, inputs for `waits`:
/// first the claim, then what the lease's token fences, then the rest.
/// A new command does not compile in [`kind`], and then is missing here.
fn commands(waits: u16, place: u16, token: LeaseToken) -> Vec<Command> {
    let mut commands =
        vec![Command::Claim { place, worker: worker(), token: super::token(place, 99), ttl: TTL }];
    commands.extend(fenced(place, token));
    commands.extend([
        Command::Cancel,
        Command::Input(Given::Approve { place: waits }),
        Command::Input(Given::Refuse { place: waits }),
        Command::Input(answer(waits)),
        Command::Expire { unheard: None },
        Command::WorkerLost { worker: "nobody".parse().unwrap() },
        server_lost(),
        settle(1, spent(3, 4)),
        settle(99, spent(0, 0)),
        Command::CallerLost(LostCalls::All),
    ]);
    commands
}

fn fenced(place: u16, token: LeaseToken) -> Vec<Command> {
    vec![
        Command::Heartbeat { place, token, ttl: TTL },
        Command::Checkpoint { place, token, state: document(), artefacts: Vec::new() },
        complete(place, token, None),
        revise(place, token, vec![step(ArmName::Executor, &[])]),
        fail(place, token, true),
        Command::Release { place, token, wait: None },
        question(place, token),
        hold(place, token, 2, spent(1, 1)),
    ]
}

/// The number of a command's kind.
fn kind(command: &Command) -> usize {
    match command {
        Command::Claim { .. } => 0,
        Command::Heartbeat { .. } => 1,
        Command::Checkpoint { .. } => 2,
        Command::Complete { .. } => 3,
        Command::Revise { .. } => 4,
        Command::Fail { .. } => 5,
        Command::Release { .. } => 6,
        Command::Cancel => 7,
        Command::Input(_) => 8,
        Command::Expire { .. } => 9,
        Command::WorkerLost { .. } => 10,
        Command::Ask { .. } => 11,
        Command::Hold { .. } => 12,
        Command::Settle { .. } => 13,
        Command::CallerLost(_) => 14,
        Command::ServerLost(_) => 15,
    }
}

/// `+` changes, `.` nothing to change, else the refusal's letter.
fn letter(answer: &Result<Changes, Refusal>) -> char {
    match answer {
        Ok(changes) if changes.is_empty() => '.',
        Ok(_) => '+',
        Err(Refusal::LeaseLost) => 'L',
        Err(Refusal::NotReady) => 'N',
        Err(Refusal::Ended) => 'E',
        Err(Refusal::NotWaiting) => 'W',
        Err(Refusal::OtherInput) => 'O',
        Err(Refusal::OtherStep { .. }) => 'A',
        Err(Refusal::WhichQuestion { .. }) => 'Q',
        Err(Refusal::BadPlan) => 'P',
        Err(Refusal::BadVerdict) => 'V',
        Err(Refusal::MustStop) => 'M',
        Err(Refusal::OverBudget(_)) => 'B',
        Err(Refusal::Unpriced) => 'U',
        Err(Refusal::TooManyHolds) => 'T',
        Err(Refusal::CallReused) => 'R',
        Err(Refusal::NoSuchHold) => 'S',
        Err(Refusal::MoreThanHeld) => 'H',
        Err(Refusal::NumberUnderWay) => 'D',
    }
}

/// Claim; Heartbeat, Checkpoint, Complete, Revise, Fail, Release, Ask, Hold; Cancel, yes, no,
/// answer, Expire, WorkerLost, ServerLost, Settle, Settle of what is not under way, CallerLost.
fn row(task: &Task) -> &'static str {
    let awaits = |place: u16| task.steps[usize::from(place)].awaits;
    match &task.state {
        TaskState::Queued => "+ LLLLLLLL +WWW...SS.",
        TaskState::Planning => "N .+P+++++ +WWW..++S+",
        TaskState::Running => "N .++P++P+ +WWW..++S+",
        TaskState::Waiting { place } if awaits(*place) == Awaits::Answer => "N LLLLLLLL +OO+...+S+",
        TaskState::Waiting { .. } => "N .++P++P+ +++O..++S+",
        TaskState::Stopping { into: StopInto::Cancelled | StopInto::Failed(_), .. } => {
            "N .++P++PM .WWW..++S+"
        }
        TaskState::Completed { .. } | TaskState::Failed { .. } | TaskState::Cancelled { .. } => {
            "N LLLLLLLL EEEE...+S+"
        }
    }
}

/// A task in every state, with the place and the token of its leased step where it has or had
/// one; that step has a call under way.
fn samples() -> Vec<(Driver, u16, LeaseToken)> {
    let executor = || step(ArmName::Executor, &[]);
    let leased = |steps, place| {
        let mut driver = Driver::new(order(steps, Replans::No));
        let token = driver.claim(place);
        driver.ask(&hold(place, token, 1, spent(5, 5))).unwrap();
        (driver, place, token)
    };
    let then = |(mut driver, place, token): (Driver, u16, LeaseToken), command: Command| {
        driver.ask(&command).unwrap();
        (driver, place, token)
    };
    let running = leased(vec![executor()], 0);
    let token = running.2;
    let planning = leased(vec![step(ArmName::Planner, &[])], 0);
    let mut two = leased(vec![executor(), executor()], 0);
    let other = two.0.claim(1);
    vec![
        (Driver::new(order(vec![executor()], Replans::No)), 0, super::token(0, 1)),
        planning.clone(),
        then(planning, question(0, super::token(0, 1))),
        running.clone(),
        leased(vec![approved(executor()), executor()], 1),
        then(running.clone(), Command::Cancel),
        then(two, fail(1, other, false)),
        then(running.clone(), complete(0, token, None)),
        then(running.clone(), fail(0, token, false)),
        then(then(running, Command::Cancel), Command::Release { place: 0, token, wait: None }),
    ]
}

/// P2: the whole table; a wrong token opens nothing anywhere.
#[test]
fn every_state_answers_every_command_as_the_table_says() {
    let mut states = std::collections::BTreeSet::new();
    for (driver, place, right) in samples() {
        states.insert(format!("{:?}", std::mem::discriminant(&driver.task.state)));
        let waits = if let TaskState::Waiting { place } = driver.task.state { place } else { 0 };
        let answers: String = commands(waits, place, right)
            .iter()
            .map(|command| letter(&driver.clone().ask(command)))
            .collect();
        let wanted: String = row(&driver.task).split(' ').collect();
        assert_eq!(answers, wanted, "{:?}", driver.task.state);
        for command in &fenced(place, super::token(place, 77)) {
            assert_eq!(driver.clone().ask(command), Err(Refusal::LeaseLost), "{command:?}");
        }
    }
    assert_eq!(states.len(), 8, "every state has a sample");
    let kinds: Vec<usize> = commands(0, 0, super::token(0, 1)).iter().map(kind).collect();
    assert!((0..=15).all(|number| kinds.contains(&number)), "every command is asked: {kinds:?}");
}

#[test]
fn a_deadline_with_a_live_lease_is_written_and_stops_the_worker() {
    let mut new = order(vec![step(ArmName::Executor, &[])], Replans::No);
    new.terms.deadline = Some(START + Millis::new(5));
    let mut driver = Driver::new(new);
    driver.claim(0);
    driver.pass(5);
    assert!(!driver.ask(&Command::Expire { unheard: None }).unwrap().is_empty());
    let TaskState::Stopping { into: StopInto::Failed(failure), .. } = &driver.task.state else {
        panic!("{:?}", driver.task.state)
    };
    let time = format!("time of 5ms from the accept, until {}", START + Millis::new(5));
    let told = format!(
        "the task was not done within its {time} (the earlier of deadline and budget.max_time_seconds)"
    );
    assert_eq!(*failure.message, *told);
    assert!(driver.task.must_stop(0, driver.now));
    driver.pass(-3);
    assert!(driver.task.must_stop(0, driver.now), "a clock set back takes nothing back");
}

#[test]
fn a_planner_that_waits_for_the_step_that_failed_does_not_hang_the_task() {
    let steps = vec![step(ArmName::Executor, &[]), step(ArmName::Planner, &[0])];
    let mut driver = Driver::new(order(steps, Replans::UpTo(1)));
    let token = driver.claim(0);
    driver.ask(&fail(0, token, false)).unwrap();
    driver.finish();
    assert!(matches!(driver.task.state, TaskState::Completed { .. }));
}

/// P2: what fails of a plan that was revised already cancels nothing of the next one.
#[test]
fn a_failing_step_of_an_earlier_plan_leaves_the_next_one_alone() {
    let steps = vec![step(ArmName::Executor, &[]), step(ArmName::Executor, &[])];
    let mut driver = Driver::new(order(steps, Replans::UpTo(1)));
    let (first, slow) = (driver.claim(0), driver.claim(1));
    driver.ask(&fail(0, first, false)).unwrap();
    let planner = driver.claim(2);
    driver.ask(&revise(2, planner, vec![step(ArmName::Executor, &[])])).unwrap();
    driver.ask(&fail(1, slow, false)).unwrap();
    assert!(matches!(driver.task.steps[3].state, StepState::Ready { .. }), "{:#?}", driver.task);
    driver.finish();
    assert!(matches!(driver.task.state, TaskState::Completed { .. }));
    assert_eq!(driver.task.revisions, 1);
}

#[test]
fn what_a_refusing_judge_held_back_does_not_start_while_a_planner_is_at_it() {
    let steps = vec![step(ArmName::Judge, &[]), step(ArmName::Planner, &[]), step(ArmName::Executor, &[0])];
    let mut driver = Driver::new(order(steps, Replans::UpTo(1)));
    let judge = driver.claim(0);
    driver.claim(1);
    driver.ask(&complete(0, judge, refused())).unwrap();
    assert_eq!(driver.task.steps[2].state, StepState::Cancelled);
}

#[test]
fn a_step_that_is_handed_back_while_the_clock_is_behind_keeps_to_not_before() {
    let mut new = order(vec![step(ArmName::Executor, &[])], Replans::No);
    let not_before = START + Millis::new(100);
    new.terms.not_before = Some(not_before);
    let mut driver = Driver::new(new);
    driver.pass(100);
    let token = driver.claim(0);
    driver.pass(-50);
    driver.ask(&Command::Release { place: 0, token, wait: None }).unwrap();
    assert_eq!(driver.task.steps[0].state, StepState::Ready { from: not_before });
}

fn wait(seconds: u64) -> Option<Wait> {
    let why = "connection refused".to_owned();
    Some(Wait { at_least: Millis::from_secs(seconds), waits_for: WaitsFor::Provider, why })
}

/// P2: what our own bounds keep waiting passes by itself. It uses up none of the hand-backs that a step
/// has; the task's own deadline ends it, with what it waited for.
#[test]
fn a_step_that_waits_for_its_turn_uses_up_no_releases() {
    for waits_for in [WaitsFor::Turn, WaitsFor::Siblings, WaitsFor::Orchestrator] {
        let mut new = order(vec![step(ArmName::Coder, &[])], Replans::No);
        new.terms.deadline = Some(START + Millis::from_secs(10_000));
        let mut driver = Driver::new(new);
        let mut waited = 0;
        while driver.task.state.ended_at().is_none() {
            let token = driver.claim(0);
            let why = "32 calls are under way".to_owned();
            let wait = Some(Wait { at_least: Millis::from_secs(30), waits_for, why });
            driver.ask(&Command::Release { place: 0, token, wait }).unwrap();
            driver.pass(37_500);
            waited += 1;
        }
        assert!(waited > 2 * RELEASES_MAX, "{waits_for:?}: only {waited} times");
        let TaskState::Failed { failure, .. } = &driver.task.state else { panic!() };
        assert_eq!(failure.reason, FailureReason::Deadline);
        assert!(failure.message.contains("32 calls are under way"), "{}", failure.message);
        assert_eq!(driver.task.steps[0].deliveries.releases, 1, "the last one, which ended it");
    }
}

/// P9: an arm that always says that it is not its turn ends, too, where no deadline does it.
#[test]
fn nobody_waits_for_his_turn_for_ever() {
    let mut driver = Driver::new(order(vec![step(ArmName::Coder, &[])], Replans::No));
    for _ in 0..ATTEMPTS_MAX {
        let token = driver.claim(0);
        let wait = Wait { at_least: Millis::ZERO, waits_for: WaitsFor::Turn, why: "full".to_owned() };
        driver.ask(&Command::Release { place: 0, token, wait: Some(wait) }).unwrap();
        driver.pass(1_000);
    }
    let TaskState::Failed { failure, .. } = &driver.task.state else { panic!("{:?}", driver.task.state) };
    assert_eq!(failure.reason, FailureReason::Released);
    assert!(failure.message.contains("full"), "{}", failure.message);
}

/// P9: a step that waits for something gives its worker back and is not claimed before; neither
/// failure nor crash, and bounded like every release, with the reason told.
#[test]
fn a_step_that_waits_is_ready_later_and_not_for_ever() {
    let mut driver = Driver::new(order(vec![step(ArmName::Coder, &[])], Replans::UpTo(2)));
    for time in 0..=RELEASES_MAX {
        let token = driver.claim(0);
        driver.ask(&Command::Release { place: 0, token, wait: wait(10) }).unwrap();
        if time < RELEASES_MAX {
            let StepState::Ready { from } = driver.task.steps[0].state else { panic!() };
            assert!(from >= driver.now + Millis::from_secs(10));
            driver.pass(12_500);
        }
    }
    let StepState::Failed(failure) = &driver.task.steps[0].state else { panic!() };
    assert_eq!(failure.reason, FailureReason::Released);
    assert!(failure.message.contains("connection refused"), "{}", failure.message);
    let deliveries = driver.task.steps[0].deliveries;
    assert_eq!((deliveries.failures, deliveries.crashes), (0, 0));
}

/// What is waited for beyond the deadline fails the task now, for the reason that it waits for.
#[test]
fn a_wait_beyond_the_deadline_fails_the_task_with_its_cause() {
    let mut new = order(vec![step(ArmName::Coder, &[])], Replans::UpTo(2));
    new.terms.deadline = Some(START + Millis::from_secs(30));
    let mut driver = Driver::new(new);
    let token = driver.claim(0);
    driver.ask(&Command::Release { place: 0, token, wait: wait(5) }).unwrap();
    driver.pass(10_000);
    let token = driver.claim(0);
    driver.ask(&Command::Release { place: 0, token, wait: wait(20) }).unwrap();
    let TaskState::Failed { failure, .. } = &driver.task.state else { panic!("{:?}", driver.task.state) };
    assert_eq!(failure.reason, FailureReason::Deadline);
    let told =
        ["connection refused", "it cannot be tried again within the task's time of 30s from the accept"];
    assert!(told.iter().all(|part| failure.message.contains(part)), "{}", failure.message);
}

/// P2: that a server died is no evidence against a step, and comes to an end nevertheless.
#[test]
fn a_lost_server_is_no_crash_of_the_step() {
    let mut driver = Driver::new(order(vec![step(ArmName::Executor, &[])], Replans::No));
    for death in 1..=RELEASES_MAX {
        driver.claim(0);
        let changes = driver.ask(&server_lost()).unwrap();
        assert_eq!(changes.events.len(), 1);
        let deliveries = driver.task.steps[0].deliveries;
        assert_eq!((deliveries.crashes, deliveries.releases), (0, death));
    }
    driver.claim(0);
    let others = Command::ServerLost(ItsWorkers::Labelled("another-".into()));
    assert!(driver.ask(&others).unwrap().is_empty(), "workers of another server");
    driver.ask(&server_lost()).unwrap();
    let TaskState::Failed { failure, .. } = &driver.task.state else { panic!("{:?}", driver.task.state) };
    assert_eq!(failure.reason, FailureReason::Released);
}

/// P2: that a worker could not be heard is no evidence against its step.
#[test]
fn a_lease_that_ran_out_unheard_is_no_crash_of_the_step() {
    let mut driver = Driver::new(order(vec![step(ArmName::Executor, &[])], Replans::No));
    for time in 1..=CRASHES_MAX {
        driver.claim(0);
        let out = driver.now + TTL;
        driver.pass(40_000);
        let changes = driver.ask(&Command::Expire { unheard: Some(Unheard { from: out, to: out }) }).unwrap();
        assert!(matches!(changes.events[..], [Event { kind: EventKind::StepReleased { .. }, .. }]));
        let deliveries = driver.task.steps[0].deliveries;
        assert_eq!((deliveries.crashes, deliveries.releases), (0, time));
    }
    driver.claim(0);
    let (before, out) = (driver.now, driver.now + TTL);
    driver.pass(40_000);
    let earlier = Unheard { from: before, to: Timestamp::from_millis(out.as_millis() - 1) };
    driver.ask(&Command::Expire { unheard: Some(earlier) }).unwrap();
    assert_eq!(driver.task.steps[0].deliveries.crashes, 1, "it could be heard again before it ran out");
}

/// P2: crash, handled failure and release are counted apart; a drain burns no attempt.
#[test]
fn releases_and_failures_do_not_count_as_crashes() {
    let mut driver = Driver::new(order(vec![step(ArmName::Executor, &[])], Replans::No));
    for _ in 0..20 {
        let token = driver.claim(0);
        driver.ask(&Command::Release { place: 0, token, wait: None }).unwrap();
    }
    let token = driver.claim(0);
    driver.ask(&fail(0, token, true)).unwrap();
    for crash in 1..=3 {
        driver.pass(61_000);
        driver.claim(0);
        driver.ask(&Command::WorkerLost { worker: worker() }).unwrap();
        assert_eq!(driver.task.state.ended_at().is_some(), crash == 3);
    }
    let TaskState::Failed { failure, .. } = &driver.task.state else { panic!("{:?}", driver.task.state) };
    assert_eq!(failure.reason, FailureReason::Poison);
}
