//! Long random sequences over larger plans: wrong tokens, clocks that jump, duplicates; then
//! the faults end and the task must.

use super::*;
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
        11 => Command::Release { place, token },
        12 => Command::Input(if flag { Given::Approve } else { Given::Refuse }),
        13 => Command::WorkerLost { worker: worker() },
        14 if flag && kind & 32 == 0 => Command::Cancel,
        _ => Command::Expire,
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
