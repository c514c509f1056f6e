//! The accept: a request is checked whole, planned, and stored in one transaction, or refused
//! with the field at fault and nothing stored (P8, P10).

use super::{App, Caller, criteria};
use crate::stored::{PlanDocument, StepDocument};
use octollm_contract::{
    ArmName, ContentHash, Document, IdempotencyKey, Millis, TaskId, Timestamp,
    api::{StructuredCriterion, SubmitTask},
};
use octollm_lifecycle::{Awaits, Budget, NewStep, NewTask, RETRIES_DEFAULT, Replans, Terms};
use octollm_plan::{
    CheckedPlan, PlanFault,
    rules::{self, NotUnderstood},
};
use octollm_store::{AcceptError, Accepted, Order, StoreError};

const GOAL_CHARACTERS_MAX: usize = 20_000;
const TIME_SECONDS_MAX: u32 = 604_800;
const RETRIES_MAX: u32 = 20;

/// Why a task was not accepted. Nothing was stored, unless the store says that it does not know.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Correct the field.
    #[error("{field}: {detail}")]
    Invalid {
        /// The field at fault.
        field: String,
        /// What is taken there.
        detail: String,
    },
    /// Leave the field out.
    #[error("{field}: {detail}")]
    NotHonoured {
        /// The field that nothing honours yet.
        field: String,
        /// Why.
        detail: String,
    },
    /// Rephrase the goal, or configure a model.
    #[error("{0}")]
    NeedsModel(NotUnderstood),
    /// Use a key that may do more.
    #[error("{detail}")]
    BeyondPolicy {
        /// What goes beyond the key's policy.
        detail: String,
    },
    /// Use another key for another task.
    #[error("the idempotency key belongs to another request, accepted as {first}")]
    KeyReused {
        /// The task that was accepted under it.
        first: TaskId,
    },
    /// Repeat later.
    #[error("more accepts wait than are taken at once")]
    Overloaded,
    /// Repeat with the server that follows this one.
    #[error("the server is going away and accepts nothing any more")]
    Draining,
    /// A plan of the rules that its own checks refuse: a defect.
    #[error("the plan for the goal does not hold: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    BadPlan(Vec<PlanFault>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// Accepts a task. Durable when it returns; the same key and body give the same task (P3).
    pub async fn submit(
        &self,
        caller: &Caller,
        request: SubmitTask,
        key: Option<IdempotencyKey>,
    ) -> Result<Accepted, SubmitError> {
        if self.is_draining() {
            return Err(SubmitError::Draining);
        }
        let _place_in_the_queue = self.accepts.try_acquire().map_err(|_| SubmitError::Overloaded)?;
        let order = match criteria::structured(&request.acceptance_criteria).await {
            Ok(criteria) => self.order(caller, &request, criteria, key.clone()),
            Err(why) => Err(why),
        };
        let order = match order {
            Ok(order) => order,
            Err(why) => return self.accepted_before(caller, &request, key, why).await,
        };
        self.parts.store.accept(order).await.map_err(|error| match error {
            AcceptError::KeyReused { first, .. } => SubmitError::KeyReused { first },
            AcceptError::Store(error) => SubmitError::Store(error),
        })
    }

    /// A retry is answered as the first attempt was, even when the request would be refused
    /// today: its deadline may have passed, the key's policy may have changed (P3).
    async fn accepted_before(
        &self,
        caller: &Caller,
        request: &SubmitTask,
        key: Option<IdempotencyKey>,
        why: SubmitError,
    ) -> Result<Accepted, SubmitError> {
        let (Some(key), Ok(document)) = (key, Document::of(request)) else { return Err(why) };
        match self.parts.store.accepted_under(&caller.tenant, &key).await? {
            Some((task, hash)) if hash == ContentHash::of(document.as_str().as_bytes()) => {
                let record = self.parts.store.task(task, &caller.scope()).await?;
                let status = record.map(|record| record.task.state.status()).ok_or(why)?;
                Ok(Accepted { task, status, replayed: true })
            }
            Some(_) | None => Err(why),
        }
    }

    fn order(
        &self,
        caller: &Caller,
        request: &SubmitTask,
        criteria: Vec<StructuredCriterion>,
        key: Option<IdempotencyKey>,
    ) -> Result<Order, SubmitError> {
        let now = self.now();
        let terms = terms(request, now)?;
        check_goal(&request.goal)?;
        refuse_what_nothing_honours(request)?;
        let document = Document::of(request)
            .map_err(|error| SubmitError::Invalid { field: "goal".into(), detail: error.to_string() })?;
        let plan = rules::plan(&request.goal, &self.settings.place).map_err(not_understood)?;
        // Whoever wrote the policy named these hosts on purpose.
        let private = caller.policy.hosts.iter().filter(|own| own.private).map(|own| &own.host);
        let plan = plan.judged_by(criteria).with_private_hosts(private);
        let plan = plan.check(&caller.policy).map_err(faults)?;
        let (steps, specs) = written(&plan);
        let mut entropy = [0; 10];
        self.parts.entropy.fill(&mut entropy);
        let new = NewTask {
            id: TaskId::new(now, entropy),
            tenant: caller.tenant.clone(),
            priority: request.priority,
            terms,
            budget: Budget::UNLIMITED,
            steps,
        };
        let idempotency = key.map(|key| (key, ContentHash::of(document.as_str().as_bytes())));
        let plan = Document::of(&PlanDocument::of(&plan)).expect("a plan document is JSON");
        Ok(Order {
            new,
            goal: request.goal.clone(),
            request: document,
            plan,
            specs,
            idempotency,
            session: None,
        })
    }
}

fn terms(request: &SubmitTask, now: Timestamp) -> Result<Terms, SubmitError> {
    let invalid = |field: &str, detail: String| Err(SubmitError::Invalid { field: field.to_owned(), detail });
    let start = request.not_before.map_or(now, |at| at.max(now));
    if let Some(deadline) = request.deadline {
        if deadline <= now {
            return invalid("deadline", format!("{deadline} has passed; it is {now}"));
        }
        if deadline <= start {
            return invalid("deadline", format!("{deadline} is not after not_before, {start}"));
        }
    }
    let time = match request.budget.max_time_seconds {
        Some(seconds) if seconds == 0 || seconds > TIME_SECONDS_MAX => {
            return invalid(
                "budget.max_time_seconds",
                format!("1 to {TIME_SECONDS_MAX} seconds are taken, not {seconds}"),
            );
        }
        Some(seconds) => Some(start + Millis::from_secs(u64::from(seconds))),
        None => None,
    };
    let max_retries = request.budget.max_retries.unwrap_or(RETRIES_DEFAULT);
    if max_retries > RETRIES_MAX {
        return invalid("budget.max_retries", format!("0 to {RETRIES_MAX} are taken, not {max_retries}"));
    }
    Ok(Terms {
        accepted_at: now,
        not_before: request.not_before.filter(|at| *at > now),
        deadline: request.deadline.into_iter().chain(time).min(),
        max_retries,
        replans: Replans::No,
    })
}

fn check_goal(goal: &str) -> Result<(), SubmitError> {
    let invalid = |detail: String| Err(SubmitError::Invalid { field: "goal".into(), detail });
    let characters = goal.chars().count();
    if characters > GOAL_CHARACTERS_MAX {
        return invalid(format!("at most {GOAL_CHARACTERS_MAX} characters are taken, not {characters}"));
    }
    if goal.trim().is_empty() {
        return invalid("the goal is blank".into());
    }
    match goal.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        Some(control) => invalid(format!("U+{:04X} is a control character", u32::from(control))),
        None => Ok(()),
    }
}

/// What a field promises must be kept; what nothing keeps is not accepted.
fn refuse_what_nothing_honours(request: &SubmitTask) -> Result<(), SubmitError> {
    let model = "nothing calls a model yet, so nothing would keep to it";
    let asked = [
        (request.budget.max_cost_usd.is_some(), "budget.max_cost_usd", model),
        (request.budget.max_tokens.is_some(), "budget.max_tokens", model),
        (request.session_id.is_some(), "session_id", "there are no conversations yet"),
        (!request.constraints.is_empty(), "constraints", "only a model can keep to constraints"),
        (!request.context.is_empty(), "context", "only a model can make use of a context"),
    ];
    match asked.into_iter().find(|(asked, ..)| *asked) {
        Some((_, field, why)) => {
            Err(SubmitError::NotHonoured { field: field.to_owned(), detail: why.to_owned() })
        }
        None => Ok(()),
    }
}

fn not_understood(why: NotUnderstood) -> SubmitError {
    if why.needs_model() {
        SubmitError::NeedsModel(why)
    } else {
        SubmitError::Invalid { field: "goal".into(), detail: why.to_string() }
    }
}

fn faults(faults: Vec<PlanFault>) -> SubmitError {
    let beyond = faults.iter().find_map(|fault| match fault {
        PlanFault::BeyondPolicy { beyond, .. } => Some(beyond.to_string()),
        PlanFault::Empty
        | PlanFault::TooManySteps(_)
        | PlanFault::DuplicateStep(_)
        | PlanFault::UnknownStep { .. }
        | PlanFault::Cycle(_)
        | PlanFault::BadResult
        | PlanFault::WrongArm { .. }
        | PlanFault::NoSuchOutput { .. }
        | PlanFault::MissingInput { .. }
        | PlanFault::BadArguments { .. }
        | PlanFault::UnorderedWriters(..)
        | PlanFault::Capability { .. }
        | PlanFault::TooLong(_) => None,
    });
    match beyond {
        Some(detail) => SubmitError::BeyondPolicy { detail },
        None => SubmitError::BadPlan(faults),
    }
}

fn written(plan: &CheckedPlan) -> (Vec<NewStep>, Vec<Document>) {
    let steps = plan.steps().iter().map(|checked| {
        let document = StepDocument::of(plan, checked);
        let new = NewStep {
            arm: checked.step.arm,
            needs: document.needs(checked),
            awaits: if checked.needs_approval { Awaits::Approval } else { Awaits::Nothing },
            time_limit: checked.step.time_limit.unwrap_or_else(|| time_limit(checked.step.arm)),
        };
        (new, Document::of(&document).expect("a step document is JSON"))
    });
    steps.unzip()
}

/// How long one attempt may take when the plan does not say.
fn time_limit(arm: ArmName) -> Millis {
    match arm {
        ArmName::Judge | ArmName::Guardian | ArmName::Retriever => Millis::from_secs(60),
        ArmName::Executor | ArmName::Planner => Millis::from_secs(300),
        ArmName::Coder => Millis::from_secs(1800),
    }
}
