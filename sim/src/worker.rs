//! A worker: leases, works, beats, reports; crashes, stands still, comes back.

use crate::{
    checker::Seen,
    message::{Answer, Ask, Asker, Beat, Envelope, Report, Taken, Thought},
    scenario::output,
    world::{Happening, World},
};
use octollm_contract::{ArmName, LeaseToken, StepId, model::WaitsFor};
use octollm_store::Claimed;

const JOBS_MAX: usize = 2;
const BEAT_EVERY: i64 = 3_000;
/// How long to wait for an answer before asking again.
const ASK_AGAIN: i64 = 10_000;
const REPORT_AGAIN: i64 = 2_000;
const REPORTS_MAX: u32 = 4;
/// A call is asked for so often.
const THOUGHTS_ASKED_MAX: u32 = 4;

#[derive(Default)]
pub(crate) struct Worker {
    /// Counts its starts; each has a name of its own.
    run: u32,
    jobs: Vec<Job>,
    /// It waits for an answer to its lease ask until then.
    asking_until: i64,
    /// It stands still until then.
    pub(crate) still_until: i64,
    /// Only the last wake-up that was set counts.
    ticket: u64,
}

struct Job {
    step: StepId,
    arm: ArmName,
    token: LeaseToken,
    attempt: u32,
    finish_at: i64,
    beat_at: i64,
    /// Model calls that it still makes before its report.
    thoughts: u32,
    /// The number of the call that it makes or made last.
    number: u32,
    /// How often it has asked for that one.
    asked: u32,
    report: Option<Report>,
    reports: u32,
}

enum Due {
    Think(usize),
    Report(usize),
    Beat(usize),
}

impl World<'_> {
    pub(crate) fn wake_worker_in(&mut self, worker: usize, delay: i64) {
        self.workers[worker].ticket += 1;
        let ticket = self.workers[worker].ticket;
        self.schedule(delay.max(1), Happening::WorkerWakes { worker, ticket });
    }

    pub(crate) fn crash_worker(&mut self, worker: usize) {
        let old = self.names.worker(worker, self.workers[worker].run);
        let own = &mut self.workers[worker];
        own.run += 1;
        own.jobs.clear();
        own.asking_until = 0;
        own.still_until = 0;
        if self.rng.chance(50) {
            self.send(Envelope { asker: Asker::Nobody, ask: Ask::WorkerGone { worker: old } });
        }
        let delay = self.rng.between(300, 3_000);
        self.wake_worker_in(worker, delay);
    }

    /// Its clock jumps: its timers go off too early or too late.
    pub(crate) fn step_worker_clock(&mut self, worker: usize, by: i64) {
        let own = &mut self.workers[worker];
        own.asking_until += by;
        for job in &mut own.jobs {
            job.finish_at += by;
            job.beat_at += by;
        }
        self.rest(worker);
    }

    pub(crate) fn worker_wakes(&mut self, worker: usize, ticket: u64) {
        let own = &self.workers[worker];
        if own.ticket != ticket {
            return;
        }
        if own.still_until > self.now {
            let delay = own.still_until - self.now;
            return self.wake_worker_in(worker, delay);
        }
        let now = self.now;
        while let Some(due) = self.workers[worker].due(now) {
            match due {
                Due::Report(at) => {
                    if !self.sends_report(worker, at) {
                        return;
                    }
                }
                Due::Beat(at) => self.beats(worker, at),
                Due::Think(at) => self.thinks(worker, at),
            }
        }
        let own = &mut self.workers[worker];
        if own.jobs.len() < JOBS_MAX && own.asking_until <= now {
            own.asking_until = now + ASK_AGAIN;
            let (name, most) = (self.names.worker(worker, own.run), JOBS_MAX - own.jobs.len());
            let asker = Asker::Worker { worker, run: own.run };
            self.send(Envelope { asker, ask: Ask::Lease { worker: name, most } });
        }
        self.rest(worker);
    }

    /// Sleeps until there is something to do.
    fn rest(&mut self, worker: usize) {
        let own = &self.workers[worker];
        let jobs = own.jobs.iter().map(|job| job.finish_at.min(job.beat_at));
        let ask = (own.jobs.len() < JOBS_MAX).then_some(own.asking_until);
        let next = jobs.chain(ask).min().unwrap_or(self.now + ASK_AGAIN);
        let delay = next - self.now;
        self.wake_worker_in(worker, delay);
    }

    fn beats(&mut self, worker: usize, at: usize) {
        let own = &mut self.workers[worker];
        let asker = Asker::Worker { worker, run: own.run };
        let job = &mut own.jobs[at];
        job.beat_at = self.now + BEAT_EVERY;
        let (step, token) = (job.step, job.token);
        self.send(Envelope { asker, ask: Ask::Beat { step, token } });
        if self.rng.chance(20) {
            self.send(Envelope { asker: Asker::Nobody, ask: Ask::Checkpoint { step, token } });
        }
    }

    /// Has a model think, and asks again while no answer comes.
    fn thinks(&mut self, worker: usize, at: usize) {
        let again = self.rng.between(2_000, 6_000);
        let own = &mut self.workers[worker];
        let asker = Asker::Worker { worker, run: own.run };
        let job = &mut own.jobs[at];
        job.finish_at = self.now + again;
        job.asked += 1;
        if job.asked > THOUGHTS_ASKED_MAX {
            // It goes on without.
            (job.thoughts, job.finish_at) = (0, self.now);
            return;
        }
        let (step, token, number) = (job.step, job.token, job.number);
        self.send(Envelope { asker, ask: Ask::Think { step, token, number } });
    }

    /// Sends the report of a job, again while no answer comes; `false` when the work killed it.
    fn sends_report(&mut self, worker: usize, at: usize) -> bool {
        let run = self.workers[worker].run;
        let (arm, attempt, known) = {
            let job = &self.workers[worker].jobs[at];
            (job.arm, job.attempt, job.report.clone())
        };
        let report = match known {
            Some(report) => report,
            None if self.rng.chance(3) => {
                self.crash_worker(worker);
                return false;
            }
            None => self.outcome_of(worker, arm, attempt),
        };
        let job = &mut self.workers[worker].jobs[at];
        job.report = Some(report.clone());
        job.reports += 1;
        job.finish_at = self.now + REPORT_AGAIN;
        let envelope = Envelope {
            asker: Asker::Worker { worker, run },
            ask: Ask::Report { step: job.step, token: job.token, report },
        };
        if job.reports == REPORTS_MAX {
            self.workers[worker].jobs.remove(at);
        }
        if self.act_one() && self.rng.chance(5) {
            self.send(envelope.clone());
        }
        self.send(envelope);
        true
    }

    fn outcome_of(&mut self, worker: usize, arm: ArmName, attempt: u32) -> Report {
        let name = self.names.worker(worker, self.workers[worker].run);
        let output = output(&name, attempt);
        match (self.rng.below(100), arm) {
            (0..8, _) => Report::Fail { retryable: true, mendable: self.rng.chance(70) },
            (8..11, _) => Report::Fail { retryable: false, mendable: self.rng.chance(70) },
            (11..16, _) => Report::Release {
                waits: match self.rng.below(10) {
                    0..2 => Some(WaitsFor::Provider),
                    2..4 => Some(WaitsFor::Turn),
                    _ => None,
                },
            },
            (16..19, _) => Report::Complete { output, accepted: None },
            (19..45, ArmName::Planner) => Report::Ask { output },
            (_, ArmName::Planner) => Report::Revise { output, shape: self.rng.draw() },
            (_, ArmName::Judge) => Report::Complete { output, accepted: Some(self.rng.chance(80)) },
            (_, ArmName::Executor | ArmName::Coder | ArmName::Guardian | ArmName::Retriever) => {
                Report::Complete { output, accepted: None }
            }
        }
    }

    pub(crate) fn worker_hears(&mut self, worker: usize, run: u32, answer: Answer) {
        if self.workers[worker].run != run {
            // The process that asked is gone.
            return;
        }
        match answer {
            Answer::Granted(claims) => self.starts(worker, claims),
            Answer::Beat { step, token, beat } => {
                let Some(at) = self.workers[worker].job(step, token) else { return };
                let now = self.now;
                let job = &mut self.workers[worker].jobs[at];
                match beat {
                    Beat::Alive => return,
                    Beat::Stop => {
                        job.report.get_or_insert(Report::Release { waits: None });
                        job.finish_at = now;
                    }
                    Beat::Lost => {
                        self.workers[worker].jobs.remove(at);
                    }
                }
            }
            Answer::Reported { step, token, report, taken } => {
                let Some(at) = self.workers[worker].job(step, token) else { return };
                let attempt = self.workers[worker].jobs[at].attempt;
                if taken == Taken::Wrong {
                    let now = self.now;
                    let job = &mut self.workers[worker].jobs[at];
                    job.report = Some(Report::Fail { retryable: false, mendable: true });
                    job.finish_at = now;
                } else {
                    self.workers[worker].jobs.remove(at);
                }
                let name = self.names.worker(worker, run);
                self.saw(Seen::Reported { worker: name, step, attempt, report, taken });
            }
            Answer::Thought { step, token, number, thought } => {
                let Some(at) = self.workers[worker].job(step, token) else { return };
                let (now, work) = (self.now, self.rng.between(20, 1_500));
                let job = &mut self.workers[worker].jobs[at];
                match thought {
                    Thought::Answered if job.number == number && job.thoughts > 0 => {
                        job.thoughts -= 1;
                        job.number += 1;
                        job.asked = 0;
                        job.finish_at = now + work;
                    }
                    // A doubled answer, or one that comes late.
                    Thought::Answered => return,
                    Thought::Refused => job.thoughts = 0,
                    Thought::Lost => {
                        self.workers[worker].jobs.remove(at);
                    }
                }
            }
            Answer::Accepted { .. }
            | Answer::KeyReused { .. }
            | Answer::View { .. }
            | Answer::NoSuchTask { .. }
            | Answer::Cancelled { .. }
            | Answer::InputTaken => return,
        }
        self.rest(worker);
    }

    fn starts(&mut self, worker: usize, claims: Vec<Claimed>) {
        let empty = claims.is_empty();
        for claimed in claims {
            // A doubled answer grants nothing twice.
            if self.workers[worker].job(claimed.step, claimed.token).is_some() {
                continue;
            }
            let work = if self.rng.chance(8) { (8_000, 16_000) } else { (50, 4_000) };
            let (now, work) = (self.now, self.rng.between(work.0, work.1));
            let thoughts = if self.rng.chance(40) { 1 + u32::from(self.rng.chance(40)) } else { 0 };
            let name = self.names.worker(worker, self.workers[worker].run);
            self.workers[worker].jobs.push(Job {
                step: claimed.step,
                arm: claimed.arm,
                token: claimed.token,
                attempt: claimed.attempt,
                finish_at: now + work,
                beat_at: now + BEAT_EVERY,
                thoughts,
                number: 1,
                asked: 0,
                report: None,
                reports: 0,
            });
            let (step, attempt, inputs) = (claimed.step, claimed.attempt, claimed.inputs);
            self.saw(Seen::Granted { worker: name, step, attempt, inputs });
        }
        self.workers[worker].asking_until = self.now + if empty { 300 } else { 0 };
    }
}

impl Worker {
    fn job(&self, step: StepId, token: LeaseToken) -> Option<usize> {
        self.jobs.iter().position(|job| job.step == step && job.token == token)
    }

    fn due(&self, now: i64) -> Option<Due> {
        let report = self.jobs.iter().position(|job| job.finish_at <= now);
        let report = report.map(|at| {
            let thinks = self.jobs[at].thoughts > 0 && self.jobs[at].report.is_none();
            if thinks { Due::Think(at) } else { Due::Report(at) }
        });
        report.or_else(|| self.jobs.iter().position(|job| job.beat_at <= now).map(Due::Beat))
    }
}
