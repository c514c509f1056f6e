//! What the worker loop promises, against an orchestrator that misbehaves, on a paused clock.

use super::{
    Settings, Worker,
    unreliable::{Fault, Told, UnreliableLeases, grant},
};
use crate::{Arm, Undone, Work, link::take_again};
use async_trait::async_trait;
use bytes::Bytes;
use octollm_client::{Beat, Completion};
use octollm_contract::{ArmName, Document, Millis, api::ArtefactView};
use octollm_plan::{Instruction, StepOutput};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Does what the sentence of its step says.
#[derive(Default)]
struct Scripted {
    begun: AtomicUsize,
    forget: Notify,
    forgotten: Notify,
}

#[async_trait]
impl Arm for Scripted {
    fn name(&self) -> ArmName {
        ArmName::Coder
    }

    fn tools(&self) -> Vec<&'static str> {
        Vec::new()
    }

    async fn perform(&self, work: Work) -> Result<Completion, Undone> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let Instruction::Think(sentence) = &work.grant.spec.instruction else {
            return Err(Undone::for_good("not a sentence"));
        };
        let done = Ok(Completion::of(StepOutput::default()));
        match sentence.as_str() {
            "at once" => done,
            "soon" => {
                sleep(Duration::from_secs(1)).await;
                done
            }
            "never" => {
                work.cancel.cancelled().await;
                let state = Document::from_json("1");
                work.link.checkpoint(&state, &[]).await?;
                Err(Undone::Stopped)
            }
            "deaf" => std::future::pending().await,
            "hands over" | "hands over and saves" | "hands over much" => {
                let much = sentence == "hands over much";
                let made = if much { Bytes::from(vec![0; 17 << 20]) } else { Bytes::from_static(b"made") };
                let bytes = u64::try_from(made.len()).unwrap();
                let sha256 = work.link.put(made).await?;
                if self.begun.load(Ordering::Relaxed) == 1 {
                    self.forget.notify_one();
                    self.forgotten.notified().await;
                }
                if sentence == "hands over and saves" {
                    work.link.checkpoint(&Document::from_json("1"), &[sha256]).await?;
                }
                let mut output = StepOutput::default();
                output.artefacts.push(ArtefactView { path: "made".into(), bytes, sha256 });
                Ok(Completion::of(output))
            }
            "hoards" => {
                tokio::spawn(async move {
                    sleep(Duration::from_secs(20)).await;
                    drop(work);
                });
                done
            }
            "asks" => {
                let ((), loan) = work.link.lending_slot(sleep(Duration::from_secs(4))).await;
                take_again(loan).await;
                done
            }
            "long" => {
                sleep(Duration::from_secs(30)).await;
                done
            }
            "panic" => panic!("the sky fell"),
            other => Err(Undone::for_good(other)),
        }
    }
}

struct Bench {
    leases: Arc<UnreliableLeases>,
    arm: Arc<Scripted>,
    shutdown: CancellationToken,
    worker: JoinHandle<()>,
}

impl Bench {
    fn start(slots: u16) -> Self {
        let leases = UnreliableLeases::new();
        let arm = Arc::new(Scripted::default());
        let settings = Settings {
            worker: "w1".parse().unwrap(),
            leased_from: "nowhere".to_owned(),
            slots,
            poll: Millis::from_secs(5),
            grace: Millis::from_secs(10),
        };
        let arms: [Arc<dyn Arm>; 1] = [Arc::clone(&arm) as Arc<dyn Arm>];
        let worker = Worker::new(Arc::clone(&leases) as _, arms, settings);
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(worker.run(shutdown.clone()));
        Bench { leases, arm, shutdown, worker }
    }

    fn ready(&self, place: u16, sentence: &str) {
        self.leases.ready(grant(place, ArmName::Coder, Instruction::Think(sentence.to_owned())));
    }

    async fn told(&self, count: usize) -> Vec<Told> {
        let enough = self.leases.until(|told| told.len() >= count);
        timeout(Duration::from_secs(600), enough).await.expect("what was waited for was told")
    }

    async fn stop(self) -> (Arc<UnreliableLeases>, Duration) {
        let asked = Instant::now();
        self.shutdown.cancel();
        timeout(Duration::from_secs(600), self.worker).await.expect("the worker returns").unwrap();
        (self.leases, asked.elapsed())
    }
}

fn failed(place: u16, message: &str, retryable: bool) -> Told {
    Told::Failed(place, message.into(), retryable)
}

#[tokio::test(start_paused = true)]
async fn steps_are_done_side_by_side_and_each_is_told_once() {
    let bench = Bench::start(4);
    (0..20).for_each(|place| bench.ready(place, "soon"));
    let begun = Instant::now();
    let mut told = bench.told(20).await;
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    told.sort_by_key(|told| format!("{told:?}"));
    told.dedup();
    assert_eq!(told.len(), 20);
    let (leases, _) = bench.stop().await;
    assert_eq!(leases.counts().2, 4, "never more than its free slots");
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_sends_nothing_but_its_long_poll() {
    let bench = Bench::start(2);
    sleep(Duration::from_secs(60)).await;
    let (calls, heartbeats, _) = bench.leases.counts();
    assert_eq!(heartbeats, 0);
    assert!((12..=14).contains(&calls), "{calls}");
    bench.stop().await;
}

/// P2: a report that is repeated because its answer was lost is counted once.
#[tokio::test(start_paused = true)]
async fn a_report_is_repeated_until_it_arrives_and_then_no_more() {
    for fault in [Fault::RequestLost, Fault::ReplyLost, Fault::Busy(Millis::from_secs(3))] {
        let bench = Bench::start(1);
        bench.leases.next_report(fault);
        bench.ready(0, "at once");
        bench.ready(1, "at once");
        assert_eq!(bench.told(2).await, [Told::Completed(0), Told::Completed(1)]);
        let (leases, _) = bench.stop().await;
        assert_eq!(leases.told().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_or_absent_orchestrator_is_asked_again_without_spinning() {
    let bench = Bench::start(1);
    bench.leases.next_lease(Fault::Busy(Millis::from_secs(20)));
    (0..20).for_each(|_| bench.leases.next_lease(Fault::RequestLost));
    bench.ready(0, "at once");
    let begun = Instant::now();
    assert_eq!(bench.told(1).await, [Told::Completed(0)]);
    assert!(begun.elapsed() >= Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(bench.leases.counts().0 <= 23);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_delivered_twice_is_begun_once() {
    let bench = Bench::start(4);
    bench.leases.next_lease(Fault::Duplicate);
    bench.leases.next_lease(Fault::Duplicate);
    bench.ready(0, "soon");
    bench.told(1).await;
    assert_eq!(bench.arm.begun.load(Ordering::Relaxed), 1);
    assert_eq!(bench.stop().await.0.told(), [Told::Completed(0)]);
}

/// A cancel reaches the step within two seconds, and the step is handed back.
#[tokio::test(start_paused = true)]
async fn a_step_that_is_wanted_back_stops_and_is_handed_back() {
    let bench = Bench::start(2);
    bench.ready(0, "never");
    bench.ready(1, "deaf");
    sleep(Duration::from_secs(10)).await;
    bench.leases.answer_beats_of(0, Beat::Stop);
    let asked = Instant::now();
    assert_eq!(bench.told(1).await, [Told::Released(0)]);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(bench.leases.checkpoints(), 1);
    bench.leases.answer_beats_of(1, Beat::Stop);
    assert_eq!(bench.told(2).await[1], Told::Released(1), "an arm that does not listen is dropped");
    bench.stop().await;
}

/// P2: whoever says first that a step's time is over, it is a failure and no release.
#[tokio::test(start_paused = true)]
async fn a_step_that_ran_over_its_time_is_not_handed_back() {
    let bench = Bench::start(1);
    let mut grant = grant(0, ArmName::Coder, Instruction::Think("never".into()));
    grant.time_limit = Millis::from_secs(10);
    bench.leases.ready(grant);
    // The orchestrator's clock began a little earlier.
    sleep(Duration::from_millis(8_900)).await;
    bench.leases.answer_beats_of(0, Beat::Stop);
    let told = bench.told(1).await;
    assert!(matches!(&told[0], Told::Failed(0, why, true) if why.contains("time limit")), "{told:?}");
    bench.stop().await;
}

/// P2: nothing is reported under a lease that is gone.
#[tokio::test(start_paused = true)]
async fn a_lost_lease_ends_the_work_in_silence() {
    let bench = Bench::start(1);
    bench.leases.answer_beats_of(0, Beat::Lost);
    bench.ready(0, "never");
    bench.ready(1, "at once");
    assert_eq!(bench.told(1).await, [Told::Completed(1)], "the slot is free again");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_over_its_time_is_a_failure_that_may_be_retried() {
    let bench = Bench::start(1);
    bench.ready(0, "deaf");
    let begun = Instant::now();
    assert_eq!(bench.told(1).await, [failed(0, "the step took longer than its time limit of 1m", true)]);
    assert!(begun.elapsed() < Duration::from_secs(62));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_of_its_step_alone() {
    let bench = Bench::start(1);
    bench.ready(0, "panic");
    bench.ready(1, "no");
    let told = bench.told(2).await;
    assert_eq!(told, [failed(0, "the arm panicked: the sky fell", true), failed(1, "no", false)]);
    bench.stop().await;
}

/// P1: an orchestrator that dies with what it knew of a step's files costs not even an attempt, be it before
/// a checkpoint or before the report.
#[tokio::test(start_paused = true)]
async fn files_that_the_next_orchestrator_does_not_know_are_handed_over_again() {
    for how in ["hands over", "hands over and saves"] {
        let bench = Bench::start(1);
        bench.ready(0, how);
        bench.arm.forget.notified().await;
        bench.leases.next_attempt();
        bench.arm.forgotten.notify_one();
        assert_eq!(bench.told(1).await, [Told::Completed(0)], "{how}");
        assert_eq!(bench.arm.begun.load(Ordering::Relaxed), 1, "{how}");
        bench.stop().await;
    }
}

/// P1: of more than a step keeps, another attempt has to make it again; the step does not fail for good.
#[tokio::test(start_paused = true)]
async fn files_that_are_too_much_to_be_kept_cost_an_attempt() {
    let bench = Bench::start(1);
    bench.ready(0, "hands over much");
    bench.arm.forget.notified().await;
    bench.leases.next_attempt();
    bench.arm.forgotten.notify_one();
    let told = bench.told(1).await;
    assert!(matches!(&told[0], Told::Failed(0, why, true) if why.contains("no artefact")), "{told:?}");
    bench.ready(0, "hands over much");
    assert_eq!(bench.told(2).await[1], Told::Completed(0));
    bench.stop().await;
}

/// P9: a slot that is free only after its step's report is used again all the same.
#[tokio::test(start_paused = true)]
async fn a_slot_that_is_given_back_late_is_used_again() {
    let bench = Bench::start(1);
    bench.ready(0, "hoards");
    bench.ready(1, "at once");
    assert_eq!(bench.told(2).await, [Told::Completed(0), Told::Completed(1)]);
    bench.stop().await;
}

/// P1, P9: a step whose slot was taken meanwhile waits under its lease and burns no release.
#[tokio::test(start_paused = true)]
async fn a_granted_step_that_meets_no_slot_waits_for_one() {
    let bench = Bench::start(1);
    bench.leases.next_lease(Fault::TooMany);
    (0..3).for_each(|place| bench.ready(place, "soon"));
    assert_eq!(bench.told(3).await, [Told::Completed(0), Told::Completed(1), Told::Completed(2)]);
    bench.stop().await;
    let bench = Bench::start(1);
    bench.leases.next_lease(Fault::TooMany);
    bench.leases.answer_beats_of(5, Beat::Lost);
    bench.leases.answer_beats_of(6, Beat::Stop);
    bench.ready(4, "deaf");
    bench.ready(5, "at once");
    bench.ready(6, "at once");
    let told = bench.told(2).await;
    assert_eq!(told[0], Told::Released(6), "and is handed back when it is wanted back");
    assert!(matches!(told[1], Told::Failed(4, ..)), "and is silent when it is lost: {told:?}");
    bench.stop().await;
}

/// P5: a step that has its answer and waits for a slot does not run out of time meanwhile.
#[tokio::test(start_paused = true)]
async fn the_wait_for_a_slot_after_an_answer_is_no_time_of_the_step() {
    let bench = Bench::start(1);
    let mut grant = grant(0, ArmName::Coder, Instruction::Think("asks".into()));
    grant.time_limit = Millis::from_secs(10);
    bench.leases.ready(grant);
    bench.ready(1, "long");
    assert_eq!(bench.told(2).await, [Told::Completed(1), Told::Completed(0)]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_for_another_arm_is_handed_back() {
    let bench = Bench::start(1);
    bench.leases.ready(grant(0, ArmName::Judge, Instruction::Think("x".into())));
    assert_eq!(bench.told(1).await, [Told::Released(0)]);
    bench.stop().await;
}

/// P2: a drain burns no attempt: what can finish does, the rest is handed back.
#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_it_can_and_hands_back_the_rest() {
    let bench = Bench::start(3);
    bench.ready(0, "soon");
    bench.ready(1, "never");
    bench.ready(2, "deaf");
    sleep(Duration::from_millis(10)).await;
    bench.ready(3, "at once");
    let (leases, took) = bench.stop().await;
    let mut told = leases.told();
    told.sort_by_key(|told| format!("{told:?}"));
    assert_eq!(told, [Told::Completed(0), Told::Released(1), Told::Released(2)]);
    assert!(took < Duration::from_secs(13), "{took:?}");
    assert!(leases.counts().1 >= 10, "leases are kept alive in the grace");
}

/// An idle worker goes at once: the wish for steps that waits is answered when it says that it leaves.
#[tokio::test(start_paused = true)]
async fn an_idle_worker_does_not_wait_out_its_poll() {
    let bench = Bench::start(1);
    bench.leases.hear_leaving();
    sleep(Duration::from_millis(10)).await;
    let (_, took) = bench.stop().await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_long_poll_brings_after_the_shutdown_is_handed_back() {
    let bench = Bench::start(1);
    sleep(Duration::from_millis(10)).await;
    bench.shutdown.cancel();
    sleep(Duration::from_millis(10)).await;
    bench.ready(0, "at once");
    assert_eq!(bench.told(1).await, [Told::Released(0)]);
    bench.stop().await;
}
