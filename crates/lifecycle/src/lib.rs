//! The one state machine of tasks and steps: every decision about a task is made here, as a
//! function of values. The stores apply what it decides; the orchestrator asks it; the
//! simulation, the model-based suite and both stores run this same code.
//!
//! Promises (P1–P3): a step's result is taken once and only under its lease's token; a task
//! ends exactly once, and only when no lease of it is alive; crash, handled failure and
//! voluntary release are counted apart and each is bounded, so that every accepted task ends.
//! What a model call may use is held before it is made and settled once (P5).
//! Nothing here waits, logs, reads a clock or rolls dice: moments, tokens and entropy are
//! arguments, and refusals are values.
//!
//! Must not know: stores, HTTP, workers, what a step's instruction or result says.
//!
//! ```text
//! task   queued ─► planning | running ⇄ waiting ─► completed
//!           └──────────┴──────────┴────────┴─────► failed, cancelling ─► cancelled
//! step   blocked ─► ready ⇄ leased ─► done | failed        blocked | ready | leased ─► cancelled
//! ```

mod accept;
mod command;
mod decide;
mod event;
pub mod fair;
mod figures;
pub mod invariants;
mod ledger;
pub mod retry;
mod task;

pub use accept::{NewTask, accept};
pub use command::{Command, Given, ItsWorkers, LostCalls, Refusal, Unheard, Verdict, Wait};
pub use decide::{Changes, Kept, KeptAs, PLANNER_TIME_LIMIT, decide};
pub use event::{Event, EventKind, Waits};
pub use figures::{Figures, Subject, Tally};
pub use ledger::{Account, Amount, Budget, HoldError, Ledger, Limit, NotFree, NotHeld, OverBudget, Spent};
pub use retry::Dice;
pub use task::{
    Awaits, Deliveries, Failure, FailureReason, Hold, Lease, NewStep, Replans, Step, StepState, StopInto,
    Task, TaskState, Terms,
};

use octollm_contract::Millis;

/// The third crash or expired lease of a step fails it (design §3).
pub const CRASHES_MAX: u32 = 3;
/// A step may be handed back this often; one more fails it (design §3).
pub const RELEASES_MAX: u32 = 100;
/// A step that is handed back after so many attempts fails, whatever it waited for: an arm that always
/// says that it is not its turn must end, too.
pub const ATTEMPTS_MAX: u32 = 10_000;
/// Handled failures that a step may have and still be tried again, unless the task says otherwise.
pub const RETRIES_DEFAULT: u32 = 2;
/// A task never has more steps, over all its plan versions.
pub const STEPS_MAX: usize = 256;
/// So many model calls of a task may be under way at once.
pub const HOLDS_MAX: usize = 16;
/// A planner may ask its client so often in a task.
pub const QUESTIONS_MAX: u32 = 3;
/// What is still held so long after its call began counts as spent, though nobody knows its caller to be
/// gone. It is longer than any call lasts (a provider has ten minutes for the whole answer; `Times` of octollm-llm).
pub const HOLD_GRACE: Millis = Millis::from_secs(900);
/// How long a worker that was told to stop may keep its lease alive by heartbeats.
pub const STOP_GRACE: Millis = Millis::from_secs(10);
