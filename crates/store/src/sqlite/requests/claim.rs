//! The claim: the heads of the queues, the fair choice among them, a lease for each.
//!
//! It reads at most `most` rows of each queue (arm, tenant, priority) of [`TENANTS_AT_ONCE`]
//! tenants at a time, taking turns over the tenants, so that its cost does not grow with what
//! waits.

use crate::{
    Claimed, Claims, StoreError, Wanted,
    sqlite::{
        fault::Fault,
        rows,
        writer::{Request, Writer},
    },
};
use octollm_contract::{ArmName, Document, LeaseToken, Priority, StepId, Timestamp};
use octollm_lifecycle::{Command, Dice, Step, StepState, Task, fair};
use rusqlite::OptionalExtension;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// So many tenants of an arm are looked at together.
const TENANTS_AT_ONCE: usize = 64;
/// A claim looks at so many groups of tenants at most.
const GROUPS_MAX: usize = 16;
/// A claim gives out at most so many steps.
const CLAIM_MAX: usize = 256;

impl Request for Wanted {
    type Answer = Result<Claims, StoreError>;

    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault> {
        writer.unit(|writer| claim(writer, self))
    }

    fn failed(&self, why: &mut dyn FnMut() -> StoreError) -> Self::Answer {
        Err(why())
    }

    fn units(&self) -> usize {
        self.most.min(CLAIM_MAX)
    }
}

/// What the queues show.
#[derive(Default)]
struct Heads {
    now: Vec<fair::Candidate>,
    arms: HashMap<StepId, ArmName>,
}

/// One way round an arm's tenants, each looked at once, from the one after the last claim's. Where
/// they are too many for one claim and nothing was found, the next claim goes on with it, so that
/// after as many claims as it takes the arm's next start is known.
pub(crate) struct Round {
    arm: ArmName,
    start: String,
    /// The last tenant that was looked at.
    after: String,
    /// The end of the alphabet was passed; what is left goes up to `start`.
    wrapped: bool,
    /// Everyone was looked at.
    done: bool,
    /// The first moment, of those seen, at which a step may start.
    next: Option<Timestamp>,
}

impl Round {
    fn begin(writer: &mut Writer<'_>, arm: ArmName, now: Timestamp) -> Self {
        // Where everyone was looked at, that holds until the first of them is ready.
        let holds = |round: &Round| !round.done || round.next.is_none_or(|next| next > now);
        if let Some(kept) = writer.rounds.remove(&arm).filter(holds) {
            return kept;
        }
        let start = writer.rotation.get(&arm).cloned().unwrap_or_default();
        Round { arm, after: start.clone(), wrapped: start.is_empty(), start, done: false, next: None }
    }
}

fn claim(writer: &mut Writer<'_>, wanted: &Wanted) -> Result<Claims, Fault> {
    let most = wanted.most.min(CLAIM_MAX);
    // One moment for all of it: a clock set back in between must not make a ready step look early.
    let now = writer.now();
    let arms: BTreeSet<ArmName> = wanted.arms.iter().copied().collect();
    let mut rounds: Vec<Round> = arms.into_iter().map(|arm| Round::begin(writer, arm, now)).collect();
    let mut claims = Claims::default();
    for _group in 0..GROUPS_MAX {
        let left = most - claims.granted.len();
        if left == 0 {
            break;
        }
        let mut heads = Heads::default();
        for round in rounds.iter_mut().filter(|round| !round.done) {
            look(writer, round, left, now, &mut heads)?;
        }
        for step in fair::choose(&heads.now, &writer.running, left, now) {
            claims.granted.extend(grant(writer, wanted, &heads, step, now)?);
        }
        if rounds.iter().all(|round| round.done) {
            break;
        }
    }
    claims.next = if claims.granted.len() == most {
        None
    } else if rounds.iter().all(|round| round.done) {
        rounds.iter().filter_map(|round| round.next).min()
    } else {
        // Whoever was not looked at may have something now.
        Some(now)
    };
    told(writer, &rounds, &claims);
    if claims.granted.is_empty() && rounds.iter().any(|round| !round.done) {
        writer.rounds.extend(rounds.into_iter().map(|round| (round.arm, round)));
    }
    Ok(claims)
}

/// Whoever is given nothing waits until the arm's next start or for a hint; hints of later starts
/// are spared. Whoever is given something learns of no start.
fn told(writer: &mut Writer<'_>, rounds: &[Round], claims: &Claims) {
    for round in rounds {
        match round.next.filter(|_| round.done && claims.granted.is_empty()) {
            Some(next) => writer.told_start.insert(round.arm, next),
            None => writer.told_start.remove(&round.arm),
        };
    }
}

/// Adds the heads of an arm's queues.
fn look(
    writer: &mut Writer<'_>,
    round: &mut Round,
    most: usize,
    now: Timestamp,
    heads: &mut Heads,
) -> Result<(), Fault> {
    let arm = round.arm;
    for name in turn(writer, round)? {
        let tenant: octollm_contract::TenantId = rows::word("tenant", &name).map_err(rows::RowError::from)?;
        for priority in Priority::ALL {
            let key = (arm.as_str(), &name, rows::priority_number(*priority), rows::limit(most));
            let mut queue = writer.sql.heads.query(key)?;
            while let Some(row) = queue.next()? {
                let since = rows::moment(row, 0)?;
                if since > now {
                    round.next = round.next.into_iter().chain([since]).min();
                    break;
                }
                let step = rows::task_id(row, 1)?.step(row.get(2)?);
                heads.arms.insert(step, arm);
                heads.now.push(fair::Candidate { tenant: tenant.clone(), priority: *priority, since, step });
            }
        }
    }
    Ok(())
}

/// The tenants whose turn it is in the round. The arm's next claim begins after them, or
/// anywhere when this was everyone.
fn turn(writer: &mut Writer<'_>, round: &mut Round) -> Result<Vec<String>, Fault> {
    let mut tenants: Vec<String> = Vec::new();
    let mut after = round.after.clone();
    let mut wrapped = round.wrapped;
    loop {
        let next: Option<String> =
            writer.sql.next_tenant.query_row((round.arm.as_str(), &after), |row| row.get(0)).optional()?;
        match next {
            Some(tenant) if wrapped && !round.start.is_empty() && tenant > round.start => round.done = true,
            Some(_) if tenants.len() == TENANTS_AT_ONCE => break,
            Some(tenant) => {
                after.clone_from(&tenant);
                tenants.push(tenant);
            }
            None if wrapped => round.done = true,
            None => {
                wrapped = true;
                after = String::new();
            }
        }
        if round.done {
            writer.rotation.remove(&round.arm);
            return Ok(tenants);
        }
    }
    writer.rotation.insert(round.arm, after.clone());
    (round.after, round.wrapped) = (after, wrapped);
    Ok(tenants)
}

fn grant(
    writer: &mut Writer<'_>,
    wanted: &Wanted,
    heads: &Heads,
    step: StepId,
    now: Timestamp,
) -> Result<Option<Claimed>, Fault> {
    let token = LeaseToken::from_bytes(writer.draw());
    let command = Command::Claim { place: step.place, worker: wanted.worker.clone(), token, ttl: wanted.ttl };
    let leased = match writer.view(step.task) {
        Ok(Some(task)) => {
            // A claim rolls no dice.
            let decided = octollm_lifecycle::decide(&task, &command, now, Dice(0));
            decided.ok().map(|changes| (task, changes))
        }
        Ok(None) => None,
        Err(Fault::Corrupt(why)) => {
            tracing::error!(%step, error = &why as &dyn std::error::Error, "a task cannot be read; its step is not handed out");
            None
        }
        Err(sql) => return Err(sql),
    };
    let Some((before, changes)) = leased else {
        drop_head(writer, heads, step)?;
        return Ok(None);
    };
    writer.apply(&before, &changes, now)?;
    let after = Arc::new(changes.after);
    writer.views.change(Arc::clone(&after));
    let Some(Step { state: StepState::Leased(lease), needs, .. }) = after.step(step.place) else {
        return Ok(None);
    };
    let (spec, answer) = spec(writer, step)?;
    let claimed = Claimed {
        step,
        arm: after.steps[usize::from(step.place)].arm,
        tenant: after.tenant.clone(),
        token,
        attempt: after.steps[usize::from(step.place)].deliveries.attempts,
        granted_at: lease.granted_at,
        expires_at: lease.expires_at,
        time_limit: after.steps[usize::from(step.place)].time_limit,
        spec,
        inputs: inputs(writer, &after, needs)?,
        checkpoint: checkpoint(writer, step)?,
        answer,
    };
    Ok(Some(claimed))
}

/// Takes a row out of the queue that no step stands behind, so that it is not met again. If
/// the step is there after all, the audit puts the row back.
fn drop_head(writer: &mut Writer<'_>, heads: &Heads, step: StepId) -> Result<(), Fault> {
    let candidate = heads.now.iter().find(|candidate| candidate.step == step);
    if let (Some(candidate), Some(arm)) = (candidate, heads.arms.get(&step)) {
        tracing::error!(%step, "a row of the queue has no ready step; it is removed");
        writer.sql.delete_ready.execute((
            arm.as_str(),
            candidate.tenant.as_str(),
            rows::priority_number(candidate.priority),
            candidate.since.as_millis(),
            step.task.to_bytes(),
            step.place,
        ))?;
    }
    Ok(())
}

/// What the step is to do, JSON `null` for a step that a revision put in; and the answer that
/// it goes on from.
fn spec(writer: &mut Writer<'_>, step: StepId) -> Result<(Document, Option<Document>), Fault> {
    let found = writer.sql.spec.query_row((step.task.to_bytes(), step.place), |row| {
        Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?))
    });
    let (spec, answer) = found?;
    Ok((Document::from_json(spec.unwrap_or_else(|| "null".to_owned())), answer.map(Document::from_json)))
}

fn inputs(writer: &mut Writer<'_>, task: &Task, needs: &[u16]) -> Result<Vec<(u16, Document)>, Fault> {
    let mut inputs = Vec::with_capacity(needs.len());
    for place in needs {
        let output: Option<String> =
            writer.sql.output.query_row((task.id.to_bytes(), place), |row| row.get(0)).optional()?.flatten();
        inputs.extend(output.map(|output| (*place, Document::from_json(output))));
    }
    Ok(inputs)
}

fn checkpoint(writer: &mut Writer<'_>, step: StepId) -> Result<Option<Document>, Fault> {
    let body: Option<String> =
        writer.sql.checkpoint.query_row((step.task.to_bytes(), step.place), |row| row.get(0)).optional()?;
    Ok(body.map(Document::from_json))
}
