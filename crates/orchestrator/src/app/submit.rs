//! The accept: a request is checked whole, planned, and stored in one transaction, or refused
//! with the field at fault and nothing stored (P8, P10).

use super::{App, Caller, criteria};
use crate::{
    planning,
    stored::{PlanDocument, written},
};
use octollm_access::Policy;
use octollm_contract::{
    ArmName, ContentHash, Cost, Criterion, Document, Edition, IdempotencyKey, Millis, SessionId, TaskId,
    Timestamp,
    api::{self, SubmitTask},
};
use octollm_lifecycle::{
    Awaits, Budget, Limit, NewStep, NewTask, PLANNER_TIME_LIMIT, RETRIES_DEFAULT, Replans, Terms,
};
use octollm_plan::{
    CheckedPlan, Instruction, PlanFault, ToolName,
    rules::{self, NotUnderstood, Place},
};
use octollm_store::{AcceptError, Accepted, Freshness, Order, StoreError};
use std::borrow::Cow;

const GOAL_CHARACTERS_MAX: usize = 20_000;

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
    /// Repeat once the server of the version before, which runs on the same database, is gone.
    #[error("{0}")]
    NotReadByAll(PlanFault),
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
        let order = match criteria::checked(&request.acceptance_criteria, self.thinks()).await {
            Ok(criteria) => self.order(caller, &request, criteria, key.clone()),
            Err(why) => Err(why),
        };
        let order = match order {
            Ok(order) => order,
            Err(why) => return self.accepted_before(caller, &request, key, why).await,
        };
        let accepted = match self.parts.store.accept(order).await {
            Ok(accepted) => accepted,
            Err(AcceptError::KeyReused { first, .. }) => {
                // The caller is told of a task that it may not have been shown: it is learnt that it has.
                let (_, seen) = self.parts.store.task_for(Freshness::Latest, first, &caller.scope()).await?;
                self.sights.learn(caller, seen);
                return Err(SubmitError::KeyReused { first });
            }
            Err(AcceptError::Store(error)) => return Err(SubmitError::Store(error)),
        };
        self.has_written(caller);
        Ok(accepted)
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
                let (record, seen) =
                    self.parts.store.task_for(Freshness::Latest, task, &caller.scope()).await?;
                self.sights.learn(caller, seen);
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
        criteria: Vec<Criterion>,
        key: Option<IdempotencyKey>,
    ) -> Result<Order, SubmitError> {
        let now = self.now();
        let terms = terms(request, now)?;
        check_goal(&request.goal)?;
        check_constraints(&request.constraints)?;
        let session = self.session(request)?;
        let budget = self.budget(request)?;
        let document = Document::of(request)
            .map_err(|error| SubmitError::Invalid { field: "goal".into(), detail: error.to_string() })?;
        let planned = self.planned(caller, request, criteria)?;
        let terms = Terms { replans: planned.replans, ..terms };
        let mut entropy = [0; 10];
        self.parts.entropy.fill(&mut entropy);
        let new = NewTask {
            id: TaskId::new(now, entropy),
            tenant: caller.tenant.clone(),
            priority: request.priority,
            terms,
            budget,
            steps: planned.steps,
        };
        let idempotency = key.map(|key| (key, ContentHash::of(document.as_str().as_bytes())));
        let plan = Document::of(&planned.plan).expect("a plan document is JSON");
        let specs = planned.specs;
        Ok(Order { new, goal: request.goal.clone(), request: document, plan, specs, idempotency, session })
    }

    /// The plan of the rules, or a planner's step where a model must think.
    fn planned(
        &self,
        caller: &Caller,
        request: &SubmitTask,
        criteria: Vec<Criterion>,
    ) -> Result<Planned, SubmitError> {
        // What only a model can heed is not for the rules.
        let heeds = !request.constraints.is_empty() || !request.context.is_empty();
        let plan = match rules::plan(&request.goal, &self.place()) {
            Ok(plan) if !heeds => plan,
            Err(why) if !self.thinks() || !why.needs_model() => return Err(not_understood(why)),
            Ok(_) | Err(_) => {
                self.affords_an_answer(request)?;
                return Ok(Planned::by_a_planner(&caller.policy));
            }
        };
        if criteria.iter().any(|criterion| matches!(criterion, Criterion::FreeText(_))) {
            self.affords_an_answer(request)?;
        }
        let terms = octollm_plan::Terms {
            policy: &caller.policy,
            arms: vec![ArmName::Executor],
            criteria,
            done: Vec::new(),
            first: 0,
            readers: self.read_by_all(),
            unusable: octollm_yardstick::unusable,
        };
        let plan = plan.settled(&terms).map_err(faults)?;
        let (steps, specs) = written(&plan, &[]);
        let pays = self.thinks() && may_be_mended(&plan) && self.affords_an_answer(request).is_ok();
        let replans = if pays { REPLANS } else { Replans::No };
        let policy = self.thinks().then(|| (*caller.policy).clone());
        Ok(Planned { plan: PlanDocument { policy, ..PlanDocument::of(&plan) }, steps, specs, replans })
    }

    /// What paths mean here, and who will read the plan.
    fn place(&self) -> Cow<'_, Place> {
        // Of arms, those that are seen count: where an older one is, it is to do it, in its way, as who claims is
        // not asked which edition it reads.
        let arms = self.workers.reads(ArmName::Executor, self.now()).unwrap_or(Edition::NEWEST);
        let readers = self.read_by_all().min(arms);
        let place = &self.settings.place;
        if place.readers <= readers {
            Cow::Borrowed(place)
        } else {
            Cow::Owned(Place { readers, ..place.clone() })
        }
    }

    /// A budget that covers no answer at all can never do what needs one. What the rules plan needs
    /// none, and may be granted nothing.
    fn affords_an_answer(&self, request: &SubmitTask) -> Result<(), SubmitError> {
        let Some(gateway) = &self.settings.gateway else { return Ok(()) };
        let least = gateway.least();
        let invalid = |field: &str, detail: String| Err(SubmitError::Invalid { field: field.into(), detail });
        match (request.budget.max_cost_usd, least.cost) {
            (Some(most), Cost::Known(least)) if most < least => {
                return invalid(
                    "budget.max_cost_usd",
                    format!(
                        "the goal needs a model, whose shortest answer may cost {least} US dollars, not {most}"
                    ),
                );
            }
            (Some(_) | None, Cost::Known(_) | Cost::Unknown) => {}
        }
        match request.budget.max_tokens {
            Some(most) if most < least.tokens => invalid(
                "budget.max_tokens",
                format!(
                    "the goal needs a model; question and answer take at least {} tokens, not {most}",
                    least.tokens
                ),
            ),
            Some(_) | None => Ok(()),
        }
    }

    fn thinks(&self) -> bool {
        self.settings.gateway.is_some()
    }

    /// What the client's limits grant; without a model there is nothing to spend on.
    fn budget(&self, request: &SubmitTask) -> Result<Budget, SubmitError> {
        let Some(gateway) = &self.settings.gateway else {
            refuse_what_needs_a_model(request)?;
            return Ok(Budget::UNLIMITED);
        };
        if request.budget.max_cost_usd.is_some()
            && let Err(model) = gateway.all_priced()
        {
            let detail = format!(
                "the model {model} has no known price, so nothing could keep to a limit; leave it out, or \
                 add the model to the price file (setting prices)"
            );
            return Err(SubmitError::NotHonoured { field: "budget.max_cost_usd".into(), detail });
        }
        let countable = |field: &str, amount: u64| match i64::try_from(amount) {
            Ok(_) => Ok(()),
            Err(_) => Err(SubmitError::Invalid {
                field: field.to_owned(),
                detail: format!("at most {} can be counted", i64::MAX),
            }),
        };
        if let Some(cost) = request.budget.max_cost_usd {
            countable("budget.max_cost_usd", cost.get())?;
        }
        if let Some(tokens) = request.budget.max_tokens {
            countable("budget.max_tokens", tokens)?;
        }
        Ok(Budget {
            money: request.budget.max_cost_usd.map_or(Limit::Unlimited, Limit::Of),
            tokens: request.budget.max_tokens.map_or(Limit::Unlimited, Limit::Of),
        })
    }

    fn session(&self, request: &SubmitTask) -> Result<Option<SessionId>, SubmitError> {
        let read = |text: &String| {
            text.parse::<SessionId>().map_err(|error| SubmitError::Invalid {
                field: "session_id".into(),
                detail: error.to_string(),
            })
        };
        request.session_id.as_ref().map(read).transpose()
    }
}

/// What a task begins with.
struct Planned {
    plan: PlanDocument,
    steps: Vec<NewStep>,
    specs: Vec<Document>,
    replans: Replans,
}

/// A plan that failed is written anew so often.
const REPLANS: Replans = Replans::UpTo(planning::REVISIONS_MAX);

/// Whether a planner may be paid to mend this plan of the rules when it fails.
///
/// A plan that only looks at what the goal names fails because of what is there: a file that is missing,
/// a host that does not answer. No other plan makes it so. Another may help where a program ended
/// badly or a judge refused the result.
fn may_be_mended(plan: &CheckedPlan) -> bool {
    !plan.steps().iter().all(|step| only_looks(&step.step.instruction))
}

/// Whether a step does nothing but look at what the goal names.
pub(crate) fn only_looks(instruction: &Instruction) -> bool {
    match instruction {
        Instruction::Tool(call) => match call.name() {
            ToolName::Shell | ToolName::ShellString | ToolName::WriteFile => false,
            ToolName::List
            | ToolName::Find
            | ToolName::ReadFile
            | ToolName::Count
            | ToolName::Search
            | ToolName::Hash
            | ToolName::DiskUse
            | ToolName::Compare
            | ToolName::HttpFetch => true,
        },
        Instruction::Judge { .. } | Instruction::Think(_) => false,
    }
}

impl Planned {
    fn by_a_planner(policy: &Policy) -> Self {
        let step = NewStep {
            arm: ArmName::Planner,
            needs: Vec::new(),
            awaits: Awaits::Nothing,
            time_limit: PLANNER_TIME_LIMIT,
        };
        let spec = Document::of(&planning::planner_step(0)).expect("a step document is JSON");
        let plan = PlanDocument { result: Vec::new(), policy: Some(policy.clone()) };
        Planned { plan, steps: vec![step], specs: vec![spec], replans: REPLANS }
    }
}

fn terms(request: &SubmitTask, now: Timestamp) -> Result<Terms, SubmitError> {
    const TIME_SECONDS_MAX: u32 = api::Budget::TIME_SECONDS_MAX;
    const RETRIES_MAX: u32 = api::Budget::RETRIES_MAX;
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
    match goal.chars().find(|c| !super::is_plain(*c)) {
        Some(control) => invalid(format!("U+{:04X} is a control character", u32::from(control))),
        None => Ok(()),
    }
}

/// One that says nothing would be kept to by everything.
fn check_constraints(constraints: &[String]) -> Result<(), SubmitError> {
    match constraints.iter().position(|constraint| constraint.trim().is_empty()) {
        Some(at) => Err(SubmitError::Invalid {
            field: format!("constraints[{at}]"),
            detail: "the constraint is blank; say what to keep to, or leave it out".into(),
        }),
        None => Ok(()),
    }
}

/// What a field promises must be kept; what nothing keeps is not accepted.
fn refuse_what_needs_a_model(request: &SubmitTask) -> Result<(), SubmitError> {
    let model = "no model is configured, so there is nothing to limit";
    let asked = [
        (request.budget.max_cost_usd.is_some(), "budget.max_cost_usd", model),
        (request.budget.max_tokens.is_some(), "budget.max_tokens", model),
        (request.session_id.is_some(), "session_id", "only a model remembers a conversation"),
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

fn faults(mut faults: Vec<PlanFault>) -> SubmitError {
    if let Some(at) = faults.iter().position(|fault| matches!(fault, PlanFault::NotReadByAll { .. })) {
        return SubmitError::NotReadByAll(faults.swap_remove(at));
    }
    let beyond = faults.iter().find_map(|fault| match fault {
        PlanFault::BeyondPolicy { beyond, .. } => Some(beyond.to_string()),
        PlanFault::Empty
        | PlanFault::TooManySteps(_)
        | PlanFault::DuplicateStep(_)
        | PlanFault::UnknownStep { .. }
        | PlanFault::Cycle(_)
        | PlanFault::BadResult
        | PlanFault::WrongArm { .. }
        | PlanFault::UnusableCriterion { .. }
        | PlanFault::ArmNotOffered { .. }
        | PlanFault::NotReadByAll { .. }
        | PlanFault::NoSuchOutput { .. }
        | PlanFault::MissingInput { .. }
        | PlanFault::BadArguments { .. }
        | PlanFault::UnorderedWriters(..)
        | PlanFault::Capability { .. }
        | PlanFault::TooManyNeeds { .. }
        | PlanFault::TooLong(_) => None,
    });
    match beyond {
        Some(detail) => SubmitError::BeyondPolicy { detail },
        None => SubmitError::BadPlan(faults),
    }
}
