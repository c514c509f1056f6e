//! The random commands.

use super::{DICE, Divergence, Pair};
use crate::{AcceptError, Claims, DecideError, Directed, Lost, Order, Store, StoreError, Swept, Wanted};
use octollm_access::{HOME_TENANT, KeyRecord, Policy, RingKey, Role, TenantScope, Verifier};
use octollm_contract::{
    ArmName, ContentHash, Document, KeyId, LeaseToken, Millis, Priority, SessionId, StepId, TaskId, TenantId,
    Timestamp, WorkerId, model::WaitsFor,
};
use octollm_lifecycle::{
    Awaits, Changes, Command, Given, NewStep, NewTask, Replans, TaskState, Terms, Unheard, Verdict, Wait,
};

/// One is the home tenant, whose last admin key stays.
pub(super) const TENANTS: [&str; 3] = ["ant", "bee", HOME_TENANT];
const TTL: Millis = Millis::from_secs(10);

pub(super) fn tenant(at: usize) -> TenantId {
    TENANTS[at % TENANTS.len()].parse().expect("a tenant's name")
}

fn worker(at: usize) -> WorkerId {
    format!("w{at}").parse().expect("a worker's name")
}

pub(super) fn session(at: usize) -> SessionId {
    format!("Gespräch {at}").parse().expect("a session's name")
}

pub(super) fn key_id(at: usize) -> KeyId {
    format!("k{at}").parse().expect("a key's id")
}

fn step(arm: ArmName, needs: Vec<u16>, approval: bool) -> NewStep {
    let awaits = if approval { Awaits::Approval } else { Awaits::Nothing };
    NewStep { arm, needs, awaits, time_limit: Millis::from_secs(60) }
}

/// A planner's question, and the planner that goes on from its answer.
fn question(place: u16, token: LeaseToken) -> Command {
    let next = NewStep { awaits: Awaits::Answer, ..step(ArmName::Planner, vec![place], false) };
    let (output, spec) = (Document::from_json("{\"question\":1}"), Document::from_json("{\"do\":3}"));
    Command::Ask { place, token, output, next, spec }
}

/// An answer in a form that can be compared: errors by what they say.
fn plain<T, E: std::fmt::Display>(answer: Result<T, E>) -> Result<T, String> {
    answer.map_err(|error| error.to_string())
}

impl<S: Store> Pair<'_, S> {
    pub(super) async fn one_command(&mut self) -> Result<(), Divergence> {
        match self.chance.below(100) {
            0..14 => self.accept().await,
            14..34 => self.claim().await,
            34..60 => self.reports().await,
            60..70 => self.calls().await,
            70..76 => self.steers().await,
            76..85 => self.sweep().await,
            85..87 => self.lose().await,
            87..90 => self.prune().await,
            90..92 => self.keys().await,
            92..94 => self.roll_up().await,
            _ => {
                let millis = [1, 700, 3_000, 11_000, 61_000, 901_000, -2_000];
                let millis = self.chance.pick(&millis).unwrap_or(1);
                self.last = format!("the clock moves by {millis} ms");
                self.hands.step(millis);
                Ok(())
            }
        }
    }

    async fn accept(&mut self) -> Result<(), Divergence> {
        let order = self.order();
        self.last = format!("{order:?}");
        let model = self.model.accept(order.clone());
        let store = self.store.accept(order).await;
        if let Ok(accepted) = &model
            && !accepted.replayed
        {
            self.tasks.push(accepted.task);
        }
        if let (Err(AcceptError::KeyReused { first, .. }), Err(AcceptError::KeyReused { first: other, .. })) =
            (&model, &store)
        {
            self.same("the first task of a key", first, other)?;
        }
        self.same("an accept", &plain(model), &plain(store))
    }

    fn order(&mut self) -> Order {
        let now = self.now();
        let mut entropy = [0; 10];
        entropy[..8].copy_from_slice(&(self.command as u64).to_be_bytes());
        let steps = self.steps();
        let later = |pair: &mut Self, percent, millis: usize| {
            pair.chance.percent(percent).then(|| now + Millis::new(pair.chance.below(millis) as u64))
        };
        let terms = Terms {
            accepted_at: now,
            not_before: later(self, 20, 8_000),
            deadline: later(self, 25, 90_000),
            max_retries: u32::try_from(self.chance.below(3)).unwrap_or(0),
            replans: if self.chance.percent(50) { Replans::UpTo(2) } else { Replans::No },
        };
        let idempotency = self.chance.percent(60).then(|| {
            let key = format!("key-{}", self.chance.below(12)).parse().expect("a key");
            (key, ContentHash::of(&[u8::from(self.chance.percent(20))]))
        });
        let specs = (0..steps.len()).map(|at| Document::from_json(format!("{{\"do\":{at}}}"))).collect();
        Order {
            new: NewTask {
                id: TaskId::new(now, entropy),
                tenant: tenant(self.chance.below(TENANTS.len())),
                priority: self.chance.pick(Priority::ALL).unwrap_or(Priority::Medium),
                terms,
                budget: self.budget(),
                steps,
            },
            goal: format!("goal {}", self.command),
            request: Document::from_json("{\"goal\":1}"),
            plan: Document::from_json("{\"plan\":1}"),
            specs,
            idempotency,
            session: self.chance.percent(40).then(|| session(self.chance.below(3))),
        }
    }

    fn steps(&mut self) -> Vec<NewStep> {
        if self.chance.percent(15) {
            return vec![step(ArmName::Planner, Vec::new(), false)];
        }
        let arms = [ArmName::Executor, ArmName::Coder, ArmName::Judge, ArmName::Retriever];
        let many = 1 + self.chance.below(4);
        let many = u16::try_from(many).unwrap_or(1);
        (0..many)
            .map(|place| {
                let needs = (0..place).filter(|_| self.chance.percent(50)).collect();
                let arm = self.chance.pick(&arms).unwrap_or(ArmName::Executor);
                step(arm, needs, self.chance.percent(10))
            })
            .collect()
    }

    async fn claim(&mut self) -> Result<(), Divergence> {
        let arms: Vec<ArmName> = ArmName::ALL.iter().copied().filter(|_| self.chance.percent(70)).collect();
        let wanted =
            Wanted { worker: worker(self.chance.below(4)), arms, most: self.chance.below(5), ttl: TTL };
        self.last = format!("{wanted:?}");
        let store = plain::<Claims, StoreError>(self.store.claim(wanted.clone()).await);
        // The model grants under the tokens that the store drew.
        let mut drawn =
            store.iter().flat_map(|claims| &claims.granted).map(|claimed| claimed.token.to_bytes());
        let now = self.now();
        let model = self.model.claim(&wanted, now, &mut |bytes| {
            bytes.copy_from_slice(&drawn.next().unwrap_or([255; 16])[..bytes.len()]);
        });
        self.grants.extend(model.granted.iter().map(|claimed| (claimed.step, claimed.token)));
        self.same("a claim", &Ok(model), &store)
    }

    /// One or several reports in one call, with right, stale and wrong tokens.
    async fn reports(&mut self) -> Result<(), Divergence> {
        let mut commands = Vec::new();
        for _ in 0..=self.chance.below(3) {
            let recent = self.grants.len().saturating_sub(12);
            let from = if self.chance.percent(80) { &self.grants[recent..] } else { &self.grants[..] };
            let Some((step, token)) = self.chance.pick(from) else { continue };
            let token = if self.chance.percent(8) { LeaseToken::from_bytes([9; 16]) } else { token };
            let command = self.report(step, token);
            commands.push(Directed { task: step.task, scope: TenantScope::System, command });
        }
        self.decide(commands).await
    }

    fn report(&mut self, step: StepId, token: LeaseToken) -> Command {
        let place = step.place;
        let record = self.model.task(step.task, &TenantScope::System);
        let arm = record.and_then(|record| record.task.step(place)).map(|step| step.arm);
        let document = |what: &str| Document::from_json(format!("{{\"{what}\":{place}}}"));
        let artefact = ContentHash::of(&[u8::try_from(self.command % 256).unwrap_or(0)]);
        match self.chance.below(100) {
            0..10 => Command::Heartbeat { place, token, ttl: TTL },
            10..20 => {
                let artefacts = vec![artefact];
                Command::Checkpoint { place, token, state: document("state"), artefacts }
            }
            20..32 => {
                let retryable = self.chance.percent(70);
                let mendable = self.chance.percent(80);
                Command::Fail { place, token, message: "it did not work".to_owned(), retryable, mendable }
            }
            32..42 => {
                let at_least = Millis::new(u64::try_from(self.chance.below(20_000)).unwrap_or(0));
                let waits_for = if self.chance.percent(30) { WaitsFor::Turn } else { WaitsFor::Provider };
                let why = "nobody is there".to_owned();
                let wait = self.chance.percent(40).then_some(Wait { at_least, waits_for, why });
                Command::Release { place, token, wait }
            }
            42..46 => self.revision(place, token),
            46..49 => question(place, token),
            _ if arm == Some(ArmName::Planner) && self.chance.percent(40) => question(place, token),
            _ if arm == Some(ArmName::Planner) => self.revision(place, token),
            _ => {
                let judged = (arm == Some(ArmName::Judge)).then(|| {
                    let evidence = "not good".to_owned();
                    if self.chance.percent(75) { Verdict::Accepted } else { Verdict::Refused { evidence } }
                });
                let output = document("output");
                Command::Complete { place, token, output, artefacts: vec![artefact], verdict: judged }
            }
        }
    }

    fn revision(&mut self, place: u16, token: LeaseToken) -> Command {
        let output = Document::from_json("{\"plan\":2}");
        let second = step(ArmName::Judge, vec![place], self.chance.percent(10));
        let steps = vec![step(ArmName::Executor, vec![place], false), second];
        let (plan, spec) = (Document::from_json("{\"criteria\":2}"), Document::from_json("{\"do\":2}"));
        let specs = vec![spec; steps.len()];
        Command::Revise { place, token, output, plan, steps, specs }
    }

    /// What clients send, in their own scope or in another's.
    async fn steers(&mut self) -> Result<(), Divergence> {
        let Some(task) = self.chance.pick(&self.tasks) else { return Ok(()) };
        let scope = TenantScope::Only(tenant(self.chance.below(TENANTS.len())));
        let command = match self.chance.below(3) {
            0 => Command::Cancel,
            _ => {
                // Mostly the step that waits, if one does.
                let waits = match self.model.task(task, &scope).map(|record| &record.task.state) {
                    Some(TaskState::Waiting { place }) if self.chance.percent(90) => *place,
                    _ => 0,
                };
                Command::Input(match self.chance.below(10) {
                    0..5 => Given::Approve { place: waits },
                    5..9 => Given::Answer {
                        place: self.chance.percent(50).then_some(waits),
                        answer: Document::from_json(format!("{{\"text\":{}}}", self.command)),
                    },
                    _ => Given::Refuse { place: waits },
                })
            }
        };
        self.decide(vec![Directed { task, scope, command }]).await
    }

    pub(super) async fn decide(&mut self, commands: Vec<Directed>) -> Result<(), Divergence> {
        self.last = format!("{commands:?}");
        let now = self.now();
        let model: Vec<Result<Changes, String>> =
            commands.iter().map(|directed| plain(self.model.decide(directed, now, DICE))).collect();
        let store: Vec<Result<Changes, DecideError>> = self.store.decide(commands).await;
        let store: Vec<Result<Changes, String>> = store.into_iter().map(plain).collect();
        self.same("a decision", &model, &store)
    }

    async fn sweep(&mut self) -> Result<(), Divergence> {
        let now = self.now();
        let unheard = match self.chance.below(3) {
            0 => Some(Unheard { from: Timestamp::from_millis(now.as_millis() - 20_000), to: now }),
            _ => None,
        };
        self.last = format!("a sweep, and {unheard:?}");
        let model = self.model.sweep((1_000, unheard), now, &mut || DICE);
        let store = plain::<Swept, StoreError>(self.store.sweep(1_000, unheard).await);
        self.same(
            "a sweep",
            &Ok(Swept { next: None, notes: false, ..model }),
            &store.map(|swept| Swept { next: None, notes: false, ..swept }),
        )
    }

    async fn lose(&mut self) -> Result<(), Divergence> {
        let one = worker(self.chance.below(4));
        let lost = match self.chance.below(10) {
            0..7 => Lost::Worker(one),
            7 => Lost::WorkersOf { label: one.as_str().to_owned() },
            // All of them, but not who calls models.
            8 => Lost::WorkersOf { label: "w".to_owned() },
            _ => Lost::Everyone,
        };
        self.last = format!("{lost:?}");
        let now = self.now();
        let model = self.model.lose(&lost, now, &mut || DICE);
        let store = plain::<Swept, StoreError>(self.store.lose(lost).await);
        self.same(
            "a loss",
            &Ok(Swept { next: None, notes: false, ..model }),
            &store.map(|swept| Swept { next: None, notes: false, ..swept }),
        )
    }

    async fn prune(&mut self) -> Result<(), Divergence> {
        let before = self.now().as_millis() - i64::try_from(self.chance.below(120_000)).unwrap_or(0);
        let before = Timestamp::from_millis(before);
        self.last = format!("a prune of what ended before {before}");
        let model = self.model.prune(before, 1_000);
        let store = plain::<usize, StoreError>(self.store.prune(before, 1_000).await);
        self.same("a prune", &Ok(model), &store)
    }

    /// It changes nothing that can be seen, whatever part of it is done.
    async fn roll_up(&mut self) -> Result<(), Divergence> {
        let most = self.chance.pick(&[1, 3, 1_000]).unwrap_or(1_000);
        self.last = format!("a roll-up of {most} notes");
        let store = plain::<usize, StoreError>(self.store.roll_up(most).await);
        self.same("a roll-up", &Ok(()), &store.map(|_how_many| ()))
    }

    async fn keys(&mut self) -> Result<(), Divergence> {
        let (id, now) = (key_id(self.chance.below(5)), self.now());
        if self.chance.percent(10) {
            let key = RingKey {
                opens_until: now + Millis::from_secs(30),
                ..RingKey::new([u8::try_from(self.chance.below(256)).unwrap_or(0); 32], now)
            };
            self.last = format!("{key:?}");
            self.model.add_to_ring(key.clone(), now);
            let store = plain(self.store.add_to_ring(key, now).await);
            self.same("a new key of the ring", &Ok(()), &store)?;
            let (model, store) = (self.model.ring(), plain::<_, StoreError>(self.store.ring().await));
            return self.same("the ring", &Ok(model), &store);
        }
        if self.chance.percent(60) {
            let role = self.chance.pick(Role::ALL).unwrap_or(Role::User);
            let key = KeyRecord {
                id,
                verifier: Verifier::from_bytes([u8::try_from(self.command % 256).unwrap_or(0); 32]),
                role,
                scopes: role.scopes(),
                tenant: tenant(self.chance.below(TENANTS.len())),
                policy: Policy::default_admin(),
                label: format!("key of {}", self.command),
                created_at: now,
                revoked_at: None,
            };
            self.last = format!("{key:?}");
            if self.chance.percent(10) {
                let model = self.model.put_first_key(key.clone());
                let store = plain(self.store.put_first_key(key).await);
                return self.same("a first key", &Ok(model), &store);
            }
            self.model.put_key(key.clone());
            let store = plain(self.store.put_key(key).await);
            return self.same("a new key", &Ok(()), &store);
        }
        let scope = TenantScope::Only(tenant(self.chance.below(TENANTS.len())));
        self.last = format!("{id} is revoked in {scope:?}");
        let model = self.model.revoke_key(&id, &scope, now);
        let store = plain(self.store.revoke_key(&id, &scope, now).await);
        self.same("a revocation", &Ok(model), &store)
    }
}
