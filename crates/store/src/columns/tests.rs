use super::*;
use octollm_contract::{LeaseToken, MicroUsd, Timestamp, WorkerId};
use octollm_lifecycle::{
    Account, Amount, Budget, EventKind, Figures, Lease, Ledger, Limit, StepState, StopInto, TaskState, Waits,
};
use proptest::prelude::*;

fn moments() -> impl Strategy<Value = Timestamp> {
    (-1_000_000i64..4_000_000_000_000).prop_map(Timestamp::from_millis)
}

fn failures() -> impl Strategy<Value = Failure> {
    (proptest::sample::select(FailureReason::ALL), any::<String>(), any::<Option<u16>>())
        .prop_map(|(reason, message, place)| Failure { reason, message: message.as_str().into(), place })
}

fn workers() -> impl Strategy<Value = WorkerId> {
    "[a-zA-Z0-9:._-]{1,96}".prop_map(|text| text.parse().unwrap())
}

fn task_states() -> impl Strategy<Value = TaskState> {
    prop_oneof![
        Just(TaskState::Queued),
        Just(TaskState::Planning),
        Just(TaskState::Running),
        any::<u16>().prop_map(|place| TaskState::Waiting { place }),
        moments().prop_map(|since| TaskState::Stopping { into: StopInto::Cancelled, since }),
        (failures(), moments())
            .prop_map(|(why, since)| TaskState::Stopping { into: StopInto::Failed(why), since }),
        moments().prop_map(|at| TaskState::Completed { at }),
        (failures(), moments()).prop_map(|(failure, at)| TaskState::Failed { failure, at }),
        moments().prop_map(|at| TaskState::Cancelled { at }),
    ]
}

fn step_states() -> impl Strategy<Value = StepState> {
    prop_oneof![
        Just(StepState::Blocked),
        moments().prop_map(|from| StepState::Ready { from }),
        (any::<[u8; 16]>(), workers(), moments(), moments()).prop_map(
            |(token, worker, granted_at, expires_at)| StepState::Leased(Lease {
                token: LeaseToken::from_bytes(token),
                worker,
                granted_at,
                expires_at
            })
        ),
        Just(StepState::Done),
        failures().prop_map(StepState::Failed),
        Just(StepState::Cancelled),
    ]
}

fn event_kinds() -> impl Strategy<Value = EventKind> {
    let place = any::<u16>();
    prop_oneof![
        Just(EventKind::TaskAccepted),
        place.prop_map(|place| EventKind::TaskWaiting { place }),
        place.prop_map(|place| EventKind::TaskResumed { place }),
        Just(EventKind::TaskCancelling),
        Just(EventKind::TaskCompleted),
        failures().prop_map(EventKind::TaskFailed),
        Just(EventKind::TaskCancelled),
        any::<u32>().prop_map(|version| EventKind::PlanWritten { version }),
        (any::<u16>(), workers(), any::<u32>()).prop_map(|(place, worker, attempt)| EventKind::StepStarted {
            place,
            worker,
            attempt
        }),
        place.prop_map(|place| EventKind::StepCheckpointed { place }),
        place.prop_map(|place| EventKind::StepCompleted { place }),
        (any::<u16>(), any::<String>(), moments()).prop_map(|(place, message, from)| {
            EventKind::StepRetrying { place, message: message.as_str().into(), from }
        }),
        (any::<u16>(), proptest::option::of((any::<String>(), moments()))).prop_map(|(place, waits)| {
            let waits = waits.map(|(why, from)| Waits { why: why.as_str().into(), from });
            EventKind::StepReleased { place, waits }
        }),
        (any::<u16>(), any::<u32>(), moments()).prop_map(|(place, crashes, from)| EventKind::StepLapsed {
            place,
            crashes,
            from
        }),
        (any::<u16>(), failures()).prop_map(|(place, failure)| EventKind::StepFailed { place, failure }),
        place.prop_map(|place| EventKind::StepCancelled { place }),
    ]
}

proptest! {
    /// P1: nothing of a state is lost on its way through a row.
    #[test]
    fn a_task_state_reads_back_as_itself(state in task_states()) {
        let row = StateRow::from(&state);
        prop_assert!(list_states(Some(state.status())).contains(&row.state));
        prop_assert_eq!(OPEN_STATES.contains(&row.state), state.ended_at().is_none());
        prop_assert_eq!(row.read().unwrap(), state);
    }

    #[test]
    fn a_step_state_reads_back_as_itself(state in step_states()) {
        let lease = match &state {
            StepState::Leased(lease) => Some(lease.clone()),
            _ => None,
        };
        prop_assert_eq!(StepRow::from(&state).read(lease).unwrap(), state);
    }

    #[test]
    fn an_event_reads_back_as_itself(kind in event_kinds()) {
        prop_assert_eq!(EventRow::from(&kind).read().unwrap(), kind);
    }

    #[test]
    fn what_nobody_wrote_is_an_error(word in "[a-z.]{1,12}") {
        let state = StateRow { state: &word, ..StateRow::default() };
        prop_assert!(state.read().is_err() || list_states(None).contains(&word.as_str()));
        let step = StepRow { state: &word, ..StepRow::default() };
        prop_assert!(step.read(None).is_err() || ["blocked", "done", "cancelled"].contains(&word.as_str()));
        let event = EventRow { kind: &word, ..EventRow::default() };
        prop_assert!(event.read().is_err() || word.starts_with("task."));
    }
}

fn accounts() -> impl Strategy<Value = (Option<u64>, u64, u64)> {
    (any::<bool>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(limited, free, spent, held)| {
        let (spent, held) = (spent / 4, held / 4);
        (limited.then(|| spent + held + free / 2), spent, held)
    })
}

fn account<A: Amount>((granted, spent, held): (Option<u64>, u64, u64), amount: fn(u64) -> A) -> Account<A> {
    let granted = granted.map_or(Limit::Unlimited, |granted| Limit::Of(amount(granted)));
    Account::restored(granted, amount(spent), amount(held)).unwrap()
}

proptest! {
    /// P5: no limit, no amount and no unknown cost is lost on its way through a row.
    #[test]
    fn a_ledger_reads_back_as_itself(money in accounts(), tokens in accounts(), unpriced: u32) {
        let ledger = Ledger::restored(account(money, MicroUsd::new), account(tokens, |n| n), unpriced);
        prop_assert_eq!(LedgerRow::from(&ledger).read().unwrap(), ledger);
    }
}

#[test]
fn more_spent_and_held_than_granted_is_an_error() {
    let ledger = Ledger::granting(Budget { money: Limit::Of(MicroUsd::new(5)), tokens: Limit::Of(5) });
    let mut row = LedgerRow::from(&ledger);
    (row.tokens.spent, row.tokens.held) = (3, 3);
    assert!(row.read().is_err());
}

#[test]
fn a_negative_sum_is_an_error_and_no_zero() {
    let figures = Figures { done: 3, tokens: 7, ..Figures::default() };
    let row = FiguresRow::from(&figures);
    assert_eq!(row.read().unwrap(), figures);
    for at in 0..10 {
        let mut row = row;
        row.0[at] = -1;
        assert!(row.read().is_err(), "{at}");
    }
}

#[test]
fn every_status_and_every_priority_has_its_rows() {
    let mut states: Vec<_> =
        octollm_contract::api::TaskStatus::ALL.iter().flat_map(|status| list_states(Some(*status))).collect();
    let mut all: Vec<_> = list_states(None).iter().collect();
    states.sort();
    all.sort();
    assert_eq!(states, all);
    for priority in Priority::ALL {
        assert_eq!(read_priority(priority_number(*priority)).unwrap(), *priority);
    }
    assert!(read_priority(4).is_err());
}
