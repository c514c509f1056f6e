//! The faults that strike on purpose. Lost, late and doubled messages come beside.

use crate::{
    rng::Rng,
    scenario::WORKERS,
    world::{ORCHESTRATORS, World},
};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    OrchestratorCrashes(usize),
    /// Every orchestrator and every worker dies at once. Whoever starts first knows that nobody
    /// is alive.
    PowerFails,
    WorkerCrashes(usize),
    /// It stands still past its leases, then goes on as if nothing had been.
    WorkerStandsStill {
        worker: usize,
        millis: i64,
    },
    /// The next answers of an orchestrator are lost, after the commit.
    RepliesLost {
        orchestrator: usize,
        replies: u32,
    },
    OrchestratorClockSteps {
        orchestrator: usize,
        millis: i64,
    },
    WorkerClockSteps {
        worker: usize,
        millis: i64,
    },
    /// For a while the network loses and doubles much.
    Storm {
        millis: i64,
    },
    ClientCancels(u64),
}

impl Fault {
    /// A fault and when it strikes, from the start.
    pub(crate) fn draw(rng: &mut Rng) -> (i64, Fault) {
        let (orchestrator, worker) = (rng.index(ORCHESTRATORS), rng.index(WORKERS));
        let fault = match rng.below(10) {
            0 => Fault::OrchestratorCrashes(orchestrator),
            1 | 2 => Fault::WorkerCrashes(worker),
            3 => Fault::WorkerStandsStill { worker, millis: rng.between(9_000, 18_000) },
            4 => Fault::RepliesLost { orchestrator, replies: 1 + u32::try_from(rng.below(4)).unwrap_or(0) },
            5 => Fault::OrchestratorClockSteps { orchestrator, millis: rng.between(-15_000, 15_000) },
            6 => Fault::WorkerClockSteps { worker, millis: rng.between(-15_000, 15_000) },
            8 => Fault::PowerFails,
            7 => Fault::Storm { millis: rng.between(1_000, 6_000) },
            _ => Fault::ClientCancels(rng.draw()),
        };
        (rng.between(200, 14_000), fault)
    }
}

impl World<'_> {
    pub(crate) fn strikes(&mut self, fault: Fault) {
        match fault {
            Fault::OrchestratorCrashes(orchestrator) => self.crash_orchestrator(orchestrator),
            Fault::PowerFails => {
                (0..ORCHESTRATORS).for_each(|orchestrator| self.crash_orchestrator(orchestrator));
                (0..WORKERS).for_each(|worker| self.crash_worker(worker));
                self.dark = true;
            }
            Fault::WorkerCrashes(worker) => self.crash_worker(worker),
            Fault::WorkerStandsStill { worker, millis } => {
                self.workers[worker].still_until = self.now + millis;
            }
            Fault::RepliesLost { orchestrator, replies } => {
                self.orchestrators[orchestrator].replies_to_drop += replies;
            }
            Fault::OrchestratorClockSteps { orchestrator, millis } => {
                self.orchestrators[orchestrator].offset += millis;
            }
            Fault::WorkerClockSteps { worker, millis } => self.step_worker_clock(worker, millis),
            Fault::Storm { millis } => self.storm_until = self.now + millis,
            Fault::ClientCancels(drawn) => {
                let order = usize::try_from(drawn % self.clients.len() as u64).unwrap_or(0);
                self.clients[order].wants_cancel = true;
            }
        }
    }
}
