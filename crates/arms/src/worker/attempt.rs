//! One attempt: has an arm do a step, within its time, and reports how it went. A plan that the
//! orchestrator does not take goes back to the planner, which is told why.

use super::{
    halt::{Cause, Halt},
    pace::Pace,
};
use crate::{Arm, Link, NoLink, Undone, Work, arm::another_may_do, link::Again};
use octollm_access::StepToken;
use octollm_client::{Completion, Decision, LeaseError, Leases, Wait};
use octollm_contract::Millis;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How long an arm that was told to stop may take to do so; then it is dropped.
pub(super) const STOP_WITHIN: Duration = Duration::from_millis(1500);
/// How long a report is repeated while the orchestrator is away. No lease lives longer
/// without a heartbeat, and a report under a dead lease changes nothing.
const REPORT_FOR: Duration = Duration::from_secs(120);
/// The orchestrator's clock for a step starts at the grant, ours when the grant has come: it
/// may call time over before we do, by no more than this or an eighth of the limit.
const GRANTED_BEFORE: Duration = Duration::from_secs(1);

/// How often it is looked whether a step that waits for a slot has any time left.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(20);

/// What is to be said about a step.
#[derive(Debug)]
enum Report {
    Complete(Box<Completion>),
    Fail { message: String, retryable: bool },
    Release(Option<Wait>),
    Nothing,
}

/// A plan that was refused goes back to the planner at most so often. The planner has its own bound,
/// and a failure of its own words.
const REFUSALS_MAX: usize = 3;

/// Does the step and reports; ends only when the report is made or has become pointless.
pub(super) async fn attempt(arm: Arc<dyn Arm>, mut work: Work, halt: Halt, leases: Arc<dyn Leases>) {
    let grant = Arc::clone(&work.grant);
    tracing::debug!(attempt = grant.attempt, arm = %grant.spec.arm, "step begun");
    let begun = Instant::now();
    loop {
        let (outcome, over) = perform(Arc::clone(&arm), work.clone(), &halt, begun, grant.time_limit).await;
        let cause = match halt.cause() {
            // Whoever said it first, a step that ran over its time failed so and was not handed back.
            Some(Cause::WantedBack) if over => Some(Cause::TimeOver),
            cause => cause,
        };
        let report = report(outcome, cause, grant.time_limit);
        if let Report::Fail { message, retryable } = &report {
            tracing::info!(retryable, "step failed: {message}");
        }
        if let Report::Release(Some(Wait { at_least, why, .. })) = &report {
            tracing::info!(%at_least, "step waits: {why}");
        }
        let mends = cause.is_none() && work.refused.len() < REFUSALS_MAX;
        match deliver(report, mends, &grant.token, &work.link, leases.as_ref(), &halt).await {
            Delivered::Over => return,
            Delivered::PlanRefused(why) => work.refused.push(why),
        }
    }
}

/// What became of a report.
enum Delivered {
    /// It was made, or has become pointless.
    Over,
    /// The step is still ours: its plan does not hold, for this reason.
    PlanRefused(String),
}

/// The outcome, and whether the step's time was over when it was told to stop.
async fn perform(
    arm: Arc<dyn Arm>,
    work: Work,
    halt: &Halt,
    begun: Instant,
    limit: Millis,
) -> (Result<Completion, Undone>, bool) {
    let (limit, link) = (limit.to_duration(), work.link.clone());
    // A task of its own: a panic ends in its handle, and dropping the handle ends the task.
    let mut at_work = AbortOnDropHandle::new(tokio::spawn(async move { arm.perform(work).await }));
    let joined = tokio::select! {
        biased;
        joined = &mut at_work => Some(joined),
        () = halt.token().cancelled() => None,
        () = time_over(begun + limit, &link) => {
            halt.tell(Cause::TimeOver);
            None
        }
    };
    let over = joined.is_none() && begun.elapsed() + GRANTED_BEFORE.min(limit / 8) >= limit + link.waited();
    let joined = match joined {
        Some(joined) => joined,
        None => match timeout(STOP_WITHIN, &mut at_work).await {
            Ok(joined) => joined,
            Err(_) => {
                tracing::warn!("an arm did not stop in time and was dropped");
                return (Err(Undone::Stopped), over);
            }
        },
    };
    let outcome = joined.unwrap_or_else(|ended| match ended.try_into_panic() {
        Ok(panic) => {
            let told = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(|s| &**s));
            Err(Undone::for_now(format!("the arm panicked: {}", told.unwrap_or("without a message"))))
        }
        Err(_) => Err(Undone::Stopped),
    });
    (outcome, over)
}

/// Returns when the step has worked for as long as it may. What it waits for a slot in between is no
/// work of its own: an answer that may have been paid for is not lost to it.
async fn time_over(until: Instant, link: &Link) {
    loop {
        let (now, until) = (Instant::now(), until + link.waited());
        if until <= now {
            return;
        }
        sleep_until(until.max(now + LOOK_AT_MOST_EVERY)).await;
    }
}

/// What to say of an outcome. A result is told whatever happened meanwhile: the orchestrator
/// keeps the result of a task that is being cancelled. A timeout is a failure that another
/// attempt may not meet.
fn report(outcome: Result<Completion, Undone>, cause: Option<Cause>, limit: Millis) -> Report {
    let fail = |message: String, retryable| Report::Fail { message, retryable };
    match (outcome, cause) {
        (_, Some(Cause::Lost)) => Report::Nothing,
        (Ok(done), None | Some(Cause::WantedBack | Cause::TimeOver | Cause::Drain)) => {
            Report::Complete(Box::new(done))
        }
        (Err(_), Some(Cause::WantedBack)) => Report::Release(None),
        (Err(Undone::Later { at_least, waits_for, why }), None | Some(Cause::TimeOver | Cause::Drain)) => {
            Report::Release(Some(Wait { at_least, waits_for, why }))
        }
        (Err(Undone::Failed { message, retryable }), None | Some(Cause::TimeOver | Cause::Drain)) => {
            fail(message, retryable)
        }
        (Err(Undone::Stopped), Some(Cause::TimeOver)) => {
            fail(format!("the step took longer than its time limit of {limit}"), true)
        }
        (Err(Undone::Stopped), Some(Cause::Drain)) => Report::Release(None),
        (Err(Undone::Stopped), None) => fail("the arm stopped before the step was done".into(), true),
    }
}

/// Whether it makes sense to report again: an orchestrator that is away, or a lease that is lost, shows then.
async fn handed_over(link: &Link) -> bool {
    match link.hand_over_again().await {
        Ok(known) => known,
        Err(NoLink::Lost | NoLink::Away) => true,
        Err(NoLink::Refused(_)) => false,
    }
}

/// Makes the report, again and again while the orchestrator is away. Repeating is safe: the
/// first report under a lease ends it, so a second one only finds the lease lost.
async fn deliver(
    mut report: Report,
    mends: bool,
    token: &StepToken,
    link: &Link,
    leases: &dyn Leases,
    halt: &Halt,
) -> Delivered {
    let (until, mut pace, mut again) = (Instant::now() + REPORT_FOR, Pace::new(), Again::default());
    loop {
        let said = match &report {
            Report::Complete(done) => leases.complete(token, (**done).clone()).await,
            Report::Fail { message, retryable } => leases.fail(token, message.clone(), *retryable).await,
            Report::Release(wait) => leases.release(token, wait.clone()).await,
            Report::Nothing => return Delivered::Over,
        };
        let wait = match said {
            Ok(()) => return Delivered::Over,
            // After an answer that did not come this most likely means that the report arrived.
            Err(LeaseError::Lost) => {
                tracing::debug!("the lease had ended before the report");
                return Delivered::Over;
            }
            Err(LeaseError::Refused(problem)) => match report {
                // The orchestrator that took what the result names is gone.
                Report::Complete(_) if again.may(&problem) && handed_over(link).await => continue,
                Report::Complete(done) if mends && matches!(done.decision, Some(Decision::Plan(_))) => {
                    tracing::info!("a plan was refused: {problem}");
                    return Delivered::PlanRefused(problem.to_string());
                }
                Report::Complete(_) => {
                    let message = format!("the result was not taken: {problem}");
                    report = Report::Fail { message, retryable: another_may_do(&problem) };
                    continue;
                }
                Report::Fail { .. } | Report::Release(_) | Report::Nothing => {
                    tracing::error!("a report was refused: {problem}");
                    return Delivered::Over;
                }
            },
            Err(LeaseError::Busy { retry_after }) => pace.at_least(retry_after),
            Err(LeaseError::Unreachable(_)) => pace.next_wait(),
        };
        if Instant::now() + wait > until {
            tracing::warn!("a report could not be delivered; the lease will lapse");
            return Delivered::Over;
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = halt.lost().cancelled() => return Delivered::Over,
        }
    }
}
