//! The claim: the heads of the queues, the fair choice among them, a lease for each.
//!
//! What waits is read without a lock, from a small table that what is claimed leaves; the chosen
//! tasks are then locked, and those that another transaction has are left to it: a claim waits for
//! nobody. It reads at most a few more rows of each queue (arm, tenant, priority) than are wanted, so
//! that when others were faster the next in line are at hand, and [`TENANTS_AT_ONCE`] tenants at a
//! time, taking turns, so that its cost does not grow with what waits. Several workers' claims share
//! a transaction.

use super::{
    draft::{Busy, Drafts, Leases, load},
    fault::Fault,
    lane::{Done, Shared, Work},
    link::Link,
    news::News,
    rows,
    writes::Writes,
};
use crate::{Claimed, Claims, StoreError, Wanted, columns};
use futures_util::FutureExt as _;
use octollm_contract::{ArmName, Document, LeaseToken, Priority, StepId, TenantId, Timestamp};
use octollm_lifecycle::{Command, Dice, StepState, fair};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio_postgres::Row;

/// So many tenants of an arm are looked at together.
const TENANTS_AT_ONCE: usize = 64;
/// A claim looks at so many groups of tenants at most.
const GROUPS_MAX: usize = 16;
/// A claim gives out at most so many steps: more than a worker's poll asks for, so that whoever uses the
/// store itself need not ask again.
const CLAIM_MAX: usize = 1024;
/// So many rows of each queue are read beyond those that are wanted.
const BEYOND: usize = 32;

pub(super) struct ClaimWork {
    pub(super) shared: Arc<Shared>,
    /// Where the last claim for an arm stopped looking for tenants.
    pub(super) rotation: Mutex<HashMap<ArmName, String>>,
    /// The last claim saw steps of several tenants.
    pub(super) several: AtomicBool,
}

impl Work for ClaimWork {
    type Ask = Wanted;
    type Answer = Result<Claims, StoreError>;

    fn units(&self, wanted: &Wanted) -> usize {
        wanted.most.min(CLAIM_MAX)
    }

    async fn run(&self, link: &Link, asks: &[&Wanted]) -> Result<Done<Self::Answer>, Fault> {
        let mut claim = Claiming::begin(self, link, asks).await?;
        claim.all().await?;
        let (claims, news) = claim.commit().await?;
        Ok(Done { answers: claims.into_iter().map(Ok).collect(), news })
    }

    fn failed(&self, _wanted: &Wanted, why: &dyn Fn() -> StoreError) -> Self::Answer {
        Err(why())
    }
}

/// One way round an arm's tenants, each looked at once, from the one after the last claim's.
struct Round {
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

/// A step in line.
struct Waiting {
    arm: ArmName,
    candidate: fair::Candidate,
}

/// A claim under way, for several workers.
struct Claiming<'a> {
    work: &'a ClaimWork,
    link: &'a Link,
    asks: &'a [&'a Wanted],
    now: Timestamp,
    /// How many steps of each tenant were at work before; absent until [`Claiming::at_work`] needs it.
    running: Option<BTreeMap<TenantId, u32>>,
    /// There were several tenants to choose among.
    several: bool,
    /// How many of each this claim has given out.
    granted: BTreeMap<TenantId, u32>,
    rounds: Vec<Round>,
    /// What was read in advance for the first look.
    heads: Option<Vec<Vec<Row>>>,
    waiting: Vec<Waiting>,
    drafts: Drafts,
    /// What each ask was given, in order.
    grants: Vec<Vec<(StepId, LeaseToken)>>,
    /// Rows of the queue behind which no step stands.
    orphans: Vec<(StepId, ArmName, Timestamp)>,
    /// Somebody else had what was chosen.
    beaten: bool,
}

impl<'a> Claiming<'a> {
    /// Begins, and reads the first heads in the same round trip.
    async fn begin(work: &'a ClaimWork, link: &'a Link, asks: &'a [&'a Wanted]) -> Result<Self, Fault> {
        let (client, sql) = (&link.client, &link.sql);
        let arms: BTreeSet<ArmName> = asks.iter().flat_map(|wanted| wanted.arms.iter().copied()).collect();
        let rotation = work.rotation.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rounds: Vec<Round> = arms
            .into_iter()
            .map(|arm| {
                let start = rotation.get(&arm).cloned().unwrap_or_default();
                Round { arm, after: start.clone(), wrapped: start.is_empty(), start, done: false, next: None }
            })
            .collect();
        let mut claiming = Claiming {
            work,
            link,
            asks,
            now: Timestamp::from_millis(0),
            running: None,
            several: false,
            granted: BTreeMap::new(),
            rounds,
            heads: None,
            waiting: Vec::new(),
            drafts: Drafts::default(),
            grants: asks.iter().map(|_| Vec::new()).collect(),
            orphans: Vec::new(),
            beaten: false,
        };
        // Where there were several tenants, there are mostly several again.
        let several = work.several.load(Ordering::Relaxed);
        let (_, told, running, heads) = tokio::try_join!(
            biased;
            async { client.batch_execute("BEGIN").await.map_err(Fault::before) },
            async { client.query_one(&sql.moment, &[]).await.map_err(Fault::before) },
            async { if several { running(link).await.map(Some) } else { Ok(None) } },
            claiming.heads(),
        )?;
        // One moment for all of it: a clock set back in between must not make a ready step look early.
        claiming.now = link.clock.moment(rows::get(&told, 0)?);
        claiming.heads = Some(heads);
        claiming.running = running;
        Ok(claiming)
    }

    fn left(&self, ask: usize) -> usize {
        self.asks[ask].most.min(CLAIM_MAX) - self.grants[ask].len()
    }

    fn left_in_all(&self) -> usize {
        (0..self.asks.len()).map(|ask| self.left(ask)).sum()
    }

    async fn all(&mut self) -> Result<(), Fault> {
        for _group in 0..GROUPS_MAX {
            if self.left_in_all() == 0 {
                return Ok(());
            }
            self.look().await?;
            while self.choose_and_lease().await? {}
            if self.rounds.iter().all(|round| round.done) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The heads of the queues of the next tenants, for each round that is not done.
    async fn heads(&self) -> Result<Vec<Vec<Row>>, Fault> {
        let open = self.rounds.iter().filter(|round| !round.done);
        let found = open.map(|round| self.heads_after(round.arm, &round.after));
        futures_util::future::try_join_all(found).await
    }

    async fn heads_after(&self, arm: ArmName, after: &str) -> Result<Vec<Row>, Fault> {
        let (arm, limit) = (arm.as_str(), rows::limit(self.left_in_all() + BEYOND));
        // One tenant more than is taken shows whether there are more.
        let tenants = i32::try_from(TENANTS_AT_ONCE + 1).unwrap_or(i32::MAX);
        let (client, sql) = (&self.link.client, &self.link.sql);
        client.query(&sql.heads, &[&arm, &after, &tenants, &limit]).await.map_err(Fault::before)
    }

    /// Adds the heads of the queues of the next tenants.
    async fn look(&mut self) -> Result<(), Fault> {
        let now = self.now;
        let found = match self.heads.take() {
            Some(found) => found,
            None => self.heads().await?,
        };
        let open: Vec<usize> = (0..self.rounds.len()).filter(|at| !self.rounds[*at].done).collect();
        for (at, heads) in open.into_iter().zip(found) {
            let (arm, mut room) = (self.rounds[at].arm, TENANTS_AT_ONCE);
            room -= self.take(at, &heads, room, now)?;
            let round = &self.rounds[at];
            if !round.done && round.wrapped && round.after.is_empty() && room > 0 {
                // The end of the alphabet came in between: go on from its begin.
                let heads = self.heads_after(arm, "").await?;
                self.take(at, &heads, room, now)?;
            }
            let mut rotation = self.work.rotation.lock().unwrap_or_else(PoisonError::into_inner);
            let round = &self.rounds[at];
            if round.done {
                rotation.remove(&arm);
            } else {
                rotation.insert(arm, round.after.clone());
            }
        }
        Ok(())
    }

    /// Takes the heads of at most `room` tenants, in their order; how many there were.
    fn take(&mut self, at: usize, heads: &[Row], room: usize, now: Timestamp) -> Result<usize, Fault> {
        let round = &mut self.rounds[at];
        let mut seen = 0;
        let mut last = String::new();
        for row in heads {
            let name: &str = rows::get(row, 0)?;
            if name != last {
                if round.wrapped && !round.start.is_empty() && name > round.start.as_str() {
                    round.done = true;
                    return Ok(seen);
                }
                if seen == room {
                    return Ok(seen);
                }
                seen += 1;
                name.clone_into(&mut last);
                name.clone_into(&mut round.after);
            }
            let since = rows::moment(row, 2)?;
            if since > now {
                round.next = round.next.into_iter().chain([since]).min();
                continue;
            }
            let candidate = fair::Candidate {
                tenant: columns::word("tenant", name)?,
                priority: columns::read_priority(i64::from(rows::get::<i32>(row, 1)?))?,
                since,
                step: rows::task_id(row, 3)?.step(rows::place(row, 4)?),
            };
            self.waiting.push(Waiting { arm: round.arm, candidate });
        }
        // There was nobody after them.
        if round.wrapped {
            round.done = true;
        } else {
            round.wrapped = true;
            round.after = String::new();
        }
        Ok(seen)
    }

    /// Chooses for each ask, locks what was chosen and leases it. `false` when nothing is left to do
    /// with those in line.
    async fn choose_and_lease(&mut self) -> Result<bool, Fault> {
        let mut picks: Vec<(usize, Waiting)> = Vec::new();
        let mut at_work = self.at_work().await?;
        // Whose turn a step is does not depend on who does it: those who want the same arms choose together.
        let mut wishes: Vec<(&[ArmName], Vec<usize>)> = Vec::new();
        let all: &[&Wanted] = self.asks;
        for (ask, wanted) in all.iter().enumerate() {
            match wishes.iter_mut().find(|(arms, _)| *arms == wanted.arms.as_slice()) {
                Some((_, asks)) => asks.push(ask),
                None => wishes.push((&wanted.arms, vec![ask])),
            }
        }
        for (arms, asks) in wishes {
            let candidates: Vec<fair::Candidate> = self
                .waiting
                .iter()
                .filter(|waiting| arms.contains(&waiting.arm))
                .map(|waiting| waiting.candidate.clone())
                .collect();
            let takers = asks.iter().flat_map(|ask| std::iter::repeat_n(*ask, self.left(*ask)));
            let takers: Vec<usize> = takers.collect();
            let chosen = fair::choose(&candidates, &at_work, takers.len(), self.now);
            let turns: HashMap<StepId, usize> = chosen.into_iter().zip(0..).collect();
            let waiting = std::mem::take(&mut self.waiting).into_iter();
            let (mut chosen, rest): (Vec<_>, Vec<_>) =
                waiting.partition(|waiting| turns.contains_key(&waiting.candidate.step));
            self.waiting = rest;
            chosen.sort_by_key(|waiting| turns.get(&waiting.candidate.step));
            for (ask, waiting) in takers.into_iter().zip(chosen) {
                add_one(&mut at_work, &waiting.candidate.tenant);
                picks.push((ask, waiting));
            }
        }
        if picks.is_empty() {
            return Ok(false);
        }
        let missing: BTreeSet<_> = picks
            .iter()
            .map(|(_, waiting)| waiting.candidate.step.task)
            .filter(|task| !self.drafts.tasks.contains_key(task))
            .collect();
        if !missing.is_empty() {
            let missing: Vec<_> = missing.into_iter().collect();
            let (_, more) = load(self.link, &missing, Busy::Skip, Leases::WhereSome, false).await?;
            self.drafts.tasks.extend(more.tasks);
        }
        for (ask, waiting) in picks {
            self.lease(ask, &waiting);
        }
        Ok(self.left_in_all() > 0)
    }

    /// How many steps of each tenant are at work. Where all that waits is one tenant's it makes no difference,
    /// and those at work are not counted, which takes the longer the more they are.
    async fn at_work(&mut self) -> Result<BTreeMap<TenantId, u32>, Fault> {
        let mut tenants = self.waiting.iter().map(|waiting| &waiting.candidate.tenant);
        let first = tenants.next();
        let several = tenants.any(|tenant| Some(tenant) != first);
        self.several |= several;
        if several && self.running.is_none() {
            self.running = Some(running(self.link).await?);
        }
        let mut at_work = self.running.clone().unwrap_or_default();
        for (tenant, more) in &self.granted {
            let count = at_work.entry(tenant.clone()).or_insert(0);
            *count = count.saturating_add(*more);
        }
        Ok(at_work)
    }

    fn lease(&mut self, ask: usize, waiting: &Waiting) {
        let step = waiting.candidate.step;
        let orphan = (step, waiting.arm, waiting.candidate.since);
        let draft = match self.drafts.get(step.task) {
            Some(Ok(draft)) => draft,
            Some(Err(fault)) => {
                tracing::error!(%step, ?fault, "a task cannot be read; its step is not handed out");
                self.orphans.push(orphan);
                return;
            }
            None => {
                self.beaten = true;
                return;
            }
        };
        let wanted = self.asks[ask];
        let token = LeaseToken::from_bytes(self.work.shared.draw());
        let command =
            Command::Claim { place: step.place, worker: wanted.worker.clone(), token, ttl: wanted.ttl };
        // A claim rolls no dice.
        if draft.decide(&command, self.now, Dice(0)).is_ok() {
            add_one(&mut self.granted, &waiting.candidate.tenant);
            self.grants[ask].push((step, token));
        } else {
            // It was claimed or ended since the queue was read, or its row there is wrong; the row is
            // removed in either case.
            self.beaten = true;
            self.orphans.push(orphan);
        }
    }

    /// Writes the leases and reads what the workers need, in one round trip.
    async fn commit(self) -> Result<(Vec<Claims>, News), Fault> {
        let link = self.link;
        self.work.several.store(self.several, Ordering::Relaxed);
        let mut news = News::default();
        let mut writes = Writes::of(&self.drafts, self.link.process, &mut news);
        for (step, arm, since) in &self.orphans {
            if let Some(Ok(draft)) = self.drafts.tasks.get(&step.task) {
                writes.unqueue(&draft.before, step.place, *arm, *since);
            }
        }
        let (mut tasks, mut places) = (Vec::new(), Vec::new());
        let (mut needed, mut needed_places) = (Vec::new(), Vec::new());
        for (step, _) in self.grants.iter().flatten() {
            tasks.push(rows::uuid(step.task));
            places.push(i32::from(step.place));
            let Some(Ok(draft)) = self.drafts.tasks.get(&step.task) else { continue };
            for need in draft.view().step(step.place).iter().flat_map(|own| own.needs.iter()) {
                needed.push(rows::uuid(step.task));
                needed_places.push(i32::from(*need));
            }
        }
        let specs = Mutex::new(Vec::new());
        let outputs = Mutex::new(Vec::new());
        let mut beside = Vec::new();
        if !tasks.is_empty() {
            let read = async {
                let found = link.client.query(&link.sql.specs, &[&tasks, &places]).await?;
                *specs.lock().unwrap_or_else(PoisonError::into_inner) = found;
                Ok(0)
            };
            beside.push(read.boxed());
        }
        if !needed.is_empty() {
            let read = async {
                let found = link.client.query(&link.sql.outputs, &[&needed, &needed_places]).await?;
                *outputs.lock().unwrap_or_else(PoisonError::into_inner) = found;
                Ok(0)
            };
            beside.push(read.boxed());
        }
        writes.commit(link, beside).await?;
        let papers = Papers::read(
            &specs.into_inner().unwrap_or_else(PoisonError::into_inner),
            &outputs.into_inner().unwrap_or_else(PoisonError::into_inner),
        )?;
        Ok((self.claims(&papers), news))
    }

    fn claims(&self, papers: &Papers) -> Vec<Claims> {
        let done = self.rounds.iter().all(|round| round.done) && !self.beaten;
        let next_of = |wanted: &Wanted| {
            let own = self.rounds.iter().filter(|round| wanted.arms.contains(&round.arm));
            own.filter_map(|round| round.next).min()
        };
        (0..self.asks.len())
            .map(|ask| Claims {
                granted: self.grants[ask]
                    .iter()
                    .filter_map(|(step, token)| self.claimed(*step, *token, papers))
                    .collect(),
                next: match (self.left(ask), done) {
                    (0, _) => None,
                    (_, true) => next_of(self.asks[ask]),
                    // Whoever was not looked at, or was busy, may have something now.
                    (_, false) => Some(self.now),
                },
            })
            .collect()
    }

    fn claimed(&self, id: StepId, token: LeaseToken, papers: &Papers) -> Option<Claimed> {
        let Some(Ok(draft)) = self.drafts.tasks.get(&id.task) else { return None };
        let step = draft.view().step(id.place)?;
        let StepState::Leased(lease) = &step.state else { return None };
        let paper = papers.steps.get(&id);
        let output = |need: &u16| papers.outputs.get(&id.task.step(*need)).map(|body| (*need, body.clone()));
        Some(Claimed {
            step: id,
            arm: step.arm,
            tenant: draft.view().tenant.clone(),
            token,
            attempt: step.deliveries.attempts,
            granted_at: lease.granted_at,
            expires_at: lease.expires_at,
            time_limit: step.time_limit,
            // A planner step that a revision put in has nothing to do but to plan.
            spec: paper.and_then(|paper| paper.spec.clone()).unwrap_or_else(|| Document::from_json("null")),
            inputs: step.needs.iter().filter_map(output).collect(),
            checkpoint: paper.and_then(|paper| paper.checkpoint.clone()),
            answer: paper.and_then(|paper| paper.answer.clone()),
        })
    }
}

/// How many leases each tenant has.
async fn running(link: &Link) -> Result<BTreeMap<TenantId, u32>, Fault> {
    let leased = link.client.query(&link.sql.running, &[]).await.map_err(Fault::before)?;
    let counts = leased.iter().map(|row| {
        let count = u32::try_from(rows::get::<i64>(row, 1)?).unwrap_or(u32::MAX);
        Ok((columns::word("tenant", rows::get(row, 0)?)?, count))
    });
    counts.collect()
}

fn add_one(counts: &mut BTreeMap<TenantId, u32>, tenant: &TenantId) {
    match counts.get_mut(tenant) {
        Some(count) => *count = count.saturating_add(1),
        None => drop(counts.insert(tenant.clone(), 1)),
    }
}

/// The documents of a step that goes out.
struct Paper {
    spec: Option<Document>,
    answer: Option<Document>,
    checkpoint: Option<Document>,
}

/// The documents that go out with leases.
struct Papers {
    steps: HashMap<StepId, Paper>,
    outputs: HashMap<StepId, Document>,
}

impl Papers {
    fn read(specs: &[Row], outputs: &[Row]) -> Result<Self, Fault> {
        let id = |row| Ok::<_, Fault>(rows::task_id(row, 0)?.step(rows::place(row, 1)?));
        let steps = specs.iter().map(|row| {
            let paper = Paper {
                spec: rows::document_if(row, 2)?,
                answer: rows::document_if(row, 3)?,
                checkpoint: rows::document_if(row, 4)?,
            };
            Ok((id(row)?, paper))
        });
        let outputs =
            outputs.iter().map(|row| Ok((id(row)?, Document::from_json(rows::get::<&str>(row, 2)?))));
        Ok(Papers {
            steps: steps.collect::<Result<_, Fault>>()?,
            outputs: outputs.collect::<Result<_, Fault>>()?,
        })
    }
}

const _: () = assert!(Priority::ALL.len() == 4, "the statement `heads` names each priority");
