//! The plan of a task: a versioned DAG of steps with typed dataflow, its checks, and the
//! rules planner that makes plans without a model.
//!
//! Promises: a [`CheckedPlan`] names known arms only, has no cycle, is bounded, has
//! references that resolve to values of the right type, has its writers ordered, and asks
//! for nothing beyond the policy it was checked against. The rules planner never guesses
//! (P10): what it does not understand whole, it refuses.
//!
//! Must not know: how steps are run, stored or leased; the file system; the network.

mod brief;
mod check;
pub mod draft;
mod file_name;
mod grant;
mod judged;
mod named;
mod output;
pub mod rules;
mod step;
mod terms;
mod tool;

pub use brief::{Answered, ArmOffer, Brief, DoneStep, Earlier, Failure, Finished, Planning};
pub use check::{CheckedPlan, CheckedStep, MAX_STEPS, PlanFault};
pub use named::named;
pub use output::{Body, InputValue, NoValue, Provenance, StepOutput, compose};
pub use step::{BadPlanName, InputName, Instruction, Plan, PlanStep, Reference, StepName, ValueType};
pub use terms::{Terms, Unusable};
pub use tool::{Arg, ChangedOn, CountWhat, FindKind, HashKind, SizeBound, SortBy, ToolCall, ToolName};
