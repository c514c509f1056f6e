//! Planners that ask, people that answer, plans that are refused as a whole.

use super::*;
use crate::{Kept, KeptAs, QUESTIONS_MAX};

fn planning() -> (Driver, LeaseToken) {
    let mut driver = Driver::new(order(vec![step(ArmName::Planner, &[])], Replans::UpTo(1)));
    let token = driver.claim(0);
    (driver, token)
}

fn kept(place: u16, as_: KeptAs) -> Kept {
    Kept { place, as_, document: document(), artefacts: Vec::new() }
}

#[test]
fn a_question_waits_for_its_answer_and_the_next_planner_gets_it() {
    let (mut driver, token) = planning();
    let changes = driver.ask(&question(0, token)).unwrap();
    assert_eq!(changes.kept, [kept(0, KeptAs::Output), kept(1, KeptAs::Spec)]);
    assert_eq!(driver.task.state, TaskState::Waiting { place: 1 });
    assert_eq!((driver.task.plan_version, driver.task.questions), (0, 1));
    let names: Vec<_> = changes.events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(names, ["step.completed", "task.waiting"]);
    for other in [Given::Approve { place: 1 }, Given::Refuse { place: 1 }] {
        assert_eq!(driver.ask(&Command::Input(other)), Err(Refusal::OtherInput));
    }
    let changes = driver.ask(&Command::Input(answer(1))).unwrap();
    assert_eq!(changes.kept, [kept(1, KeptAs::Answer)]);
    assert_eq!(driver.task.state, TaskState::Planning);
    assert_eq!(driver.task.steps[1].awaits, Awaits::Nothing);
    assert_eq!(driver.ask(&Command::Input(answer(1))), Err(Refusal::NotWaiting));
    driver.finish();
    assert!(matches!(driver.task.state, TaskState::Completed { .. }));
}

#[test]
fn an_answer_is_no_approval() {
    let steps = vec![approved(step(ArmName::Executor, &[]))];
    let mut driver = Driver::new(order(steps, Replans::No));
    assert_eq!(driver.ask(&Command::Input(answer(0))), Err(Refusal::OtherInput));
    driver.ask(&Command::Input(Given::Approve { place: 0 })).unwrap();
}

/// P6: what is said twice, or late, is not taken for the next step that waits: nobody has read that one.
#[test]
fn an_approval_and_a_refusal_reach_the_step_they_name_and_no_other() {
    let steps = vec![approved(step(ArmName::Executor, &[])), approved(step(ArmName::Executor, &[]))];
    let mut driver = Driver::new(order(steps, Replans::No));
    let approve = Command::Input(Given::Approve { place: 0 });
    driver.ask(&approve).unwrap();
    assert_eq!(driver.task.state, TaskState::Waiting { place: 1 });
    let before = driver.task.clone();
    for stale in [approve, Command::Input(Given::Refuse { place: 0 }), Command::Input(answer(0))] {
        assert_eq!(driver.ask(&stale), Err(Refusal::OtherStep { waits: 1 }), "{stale:?}");
    }
    assert_eq!(driver.task, before);
    driver.ask(&Command::Input(Given::Approve { place: 1 })).unwrap();
}

/// A late answer is not taken for one to the next question, whether it names its own or none.
#[test]
fn an_answer_that_names_no_question_is_taken_for_the_first_one_only() {
    let (mut driver, token) = planning();
    let nameless = Command::Input(Given::Answer { place: None, answer: document() });
    driver.ask(&question(0, token)).unwrap();
    driver.ask(&nameless).unwrap();
    let token = driver.claim(1);
    driver.ask(&question(1, token)).unwrap();
    assert_eq!(driver.ask(&nameless), Err(Refusal::WhichQuestion { waits: 2 }));
    assert_eq!(driver.ask(&Command::Input(answer(1))), Err(Refusal::OtherStep { waits: 2 }));
    driver.ask(&Command::Input(answer(2))).unwrap();
}

#[test]
fn a_task_has_only_so_many_questions() {
    let (mut driver, mut token) = planning();
    for place in 0..u16::try_from(QUESTIONS_MAX).unwrap() {
        driver.ask(&question(place, token)).unwrap();
        driver.ask(&Command::Input(answer(place + 1))).unwrap();
        token = driver.claim(place + 1);
    }
    let last = u16::try_from(QUESTIONS_MAX).unwrap();
    assert_eq!(driver.ask(&question(last, token)), Err(Refusal::BadPlan));
    driver.ask(&revise(last, token, vec![step(ArmName::Executor, &[])])).unwrap();
    assert_eq!(driver.task.state, TaskState::Running);
}

#[test]
fn a_question_comes_from_a_planner_and_leads_back_to_one() {
    let (mut driver, token) = planning();
    let Command::Ask { place, output, next, spec, .. } = question(0, token) else { panic!("a question") };
    let wrong = [
        NewStep { arm: ArmName::Executor, ..next.clone() },
        NewStep { needs: Vec::new(), ..next.clone() },
        NewStep { awaits: Awaits::Approval, ..next.clone() },
        NewStep { needs: vec![0, 5], ..next },
    ];
    for next in wrong {
        let ask = Command::Ask { place, token, output: output.clone(), next, spec: spec.clone() };
        assert_eq!(driver.ask(&ask), Err(Refusal::BadPlan), "{ask:?}");
    }
}

#[test]
fn a_plan_says_what_each_of_its_steps_is_to_do() {
    let (mut driver, token) = planning();
    let steps = vec![step(ArmName::Coder, &[0]), step(ArmName::Judge, &[1])];
    let Command::Revise { place, output, plan, .. } = revise(0, token, Vec::new()) else { panic!("a plan") };
    let with = |steps: &[NewStep], specs: usize| Command::Revise {
        place,
        token,
        output: output.clone(),
        plan: plan.clone(),
        steps: steps.to_vec(),
        specs: vec![document(); specs],
    };
    for specs in [0, 1, 3] {
        assert_eq!(driver.ask(&with(&steps, specs)), Err(Refusal::BadPlan));
    }
    let asks = NewStep { awaits: Awaits::Answer, ..step(ArmName::Coder, &[0]) };
    assert_eq!(driver.ask(&with(&[asks], 1)), Err(Refusal::BadPlan), "only a question awaits an answer");
    let changes = driver.ask(&with(&steps, 2)).unwrap();
    let wanted = [kept(0, KeptAs::Output), kept(1, KeptAs::Spec), kept(2, KeptAs::Spec)];
    assert_eq!((changes.kept.as_slice(), changes.plan), (wanted.as_slice(), Some(document())));
}

/// A task that is being stopped keeps a planner's result and begins nothing new.
#[test]
fn a_question_of_a_task_that_is_being_stopped_is_not_asked() {
    let (mut driver, token) = planning();
    driver.ask(&Command::Cancel).unwrap();
    driver.ask(&question(0, token)).unwrap();
    assert!(matches!(driver.task.state, TaskState::Cancelled { .. }));
    assert_eq!((driver.task.steps.len(), driver.task.questions), (1, 0));
}

/// A planner that awaits an answer is the one that sees what failed meanwhile.
#[test]
fn a_step_that_fails_while_a_planner_waits_begins_no_second_revision() {
    let steps = vec![step(ArmName::Executor, &[]), step(ArmName::Planner, &[])];
    let mut driver = Driver::new(order(steps, Replans::UpTo(2)));
    let executor = driver.claim(0);
    let planner = driver.claim(1);
    driver.ask(&question(1, planner)).unwrap();
    driver.ask(&fail(0, executor, false)).unwrap();
    assert_eq!(driver.task.state, TaskState::Waiting { place: 2 });
    assert_eq!(driver.task.revisions, 0);
    driver.ask(&Command::Input(answer(2))).unwrap();
    driver.finish();
    assert!(matches!(driver.task.state, TaskState::Completed { .. }));
}

fn message(task: &Task) -> String {
    let TaskState::Failed { failure, .. } = &task.state else { panic!("{:?}", task.state) };
    failure.message.to_string()
}

/// A failure that no other plan can do without pays for no planner; one that is at work for another reason
/// goes on.
#[test]
fn what_no_plan_can_mend_fails_without_a_planner() {
    let steps =
        || vec![step(ArmName::Executor, &[]), step(ArmName::Executor, &[]), step(ArmName::Judge, &[0])];
    let gone = |place, token| Command::Fail {
        place,
        token,
        message: "a.txt is gone".into(),
        retryable: false,
        mendable: false,
    };
    let mut driver = Driver::new(order(steps(), Replans::UpTo(2)));
    let executor = driver.claim(0);
    driver.ask(&gone(0, executor)).unwrap();
    assert_eq!(message(&driver.task), "a.txt is gone");
    assert!(driver.task.revisions == 0 && driver.task.steps.len() == 3);

    let mut driver = Driver::new(order(steps(), Replans::UpTo(2)));
    let (one, other) = (driver.claim(0), driver.claim(1));
    driver.ask(&fail(0, one, false)).unwrap();
    driver.ask(&gone(1, other)).unwrap();
    assert_eq!(driver.task.revisions, 1);
    driver.finish();
    assert!(matches!(driver.task.state, TaskState::Completed { .. }), "{:?}", driver.task.state);
}

/// A task fails because of what its plan met, also when a planner could not make another.
#[test]
fn what_was_to_be_mended_stays_in_sight_when_its_planner_fails() {
    let steps = vec![step(ArmName::Executor, &[])];
    let mut driver = Driver::new(order(steps, Replans::UpTo(2)));
    let executor = driver.claim(0);
    let failed = Command::Fail {
        place: 0,
        token: executor,
        message: "a.txt is gone".into(),
        retryable: false,
        mendable: true,
    };
    driver.ask(&failed).unwrap();
    let planner = driver.claim(1);
    driver.ask(&fail(1, planner, false)).unwrap();
    let TaskState::Failed { failure, .. } = &driver.task.state else { panic!("{:?}", driver.task.state) };
    assert_eq!((failure.place, failure.reason), (Some(0), crate::FailureReason::StepFailed));
    assert_eq!(message(&driver.task), "a.txt is gone; and no other plan was made: no");

    let steps = vec![step(ArmName::Executor, &[]), step(ArmName::Judge, &[0])];
    let mut driver = Driver::new(order(steps, Replans::UpTo(2)));
    let executor = driver.claim(0);
    driver.ask(&complete(0, executor, None)).unwrap();
    let judge = driver.claim(1);
    driver.ask(&complete(1, judge, refused())).unwrap();
    let planner = driver.claim(2);
    driver.ask(&fail(2, planner, false)).unwrap();
    let TaskState::Failed { failure, .. } = &driver.task.state else { panic!("{:?}", driver.task.state) };
    assert_eq!((failure.place, failure.reason), (Some(1), crate::FailureReason::Refused));
    assert_eq!(message(&driver.task), "the judge refused the result; and no other plan was made: no");

    // One judge accepted, the other refused: the wrong one is not named.
    for refuses in [1, 2] {
        let steps =
            vec![step(ArmName::Executor, &[]), step(ArmName::Judge, &[0]), step(ArmName::Judge, &[0])];
        let mut driver = Driver::new(order(steps, Replans::UpTo(2)));
        let executor = driver.claim(0);
        driver.ask(&complete(0, executor, None)).unwrap();
        let judges = [driver.claim(1), driver.claim(2)];
        for place in [3 - refuses, refuses] {
            let verdict = if place == refuses { refused() } else { Some(Verdict::Accepted) };
            driver.ask(&complete(place, judges[usize::from(place - 1)], verdict)).unwrap();
        }
        let planner = driver.claim(3);
        driver.ask(&fail(3, planner, false)).unwrap();
        let TaskState::Failed { failure, .. } = &driver.task.state else { panic!("{:?}", driver.task.state) };
        assert_eq!((failure.place, failure.reason), (None, crate::FailureReason::Refused));
        let told = "one of the judges refused the result; and no other plan was made: no";
        assert_eq!(message(&driver.task), told);
    }

    // A first planner that fails has nothing to mend.
    let (mut driver, token) = planning();
    driver.ask(&fail(0, token, false)).unwrap();
    assert_eq!(message(&driver.task), "no");
}
