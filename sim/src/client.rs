//! A client: submits its order until it is accepted, watches it, approves, cancels.

use crate::{
    checker::Seen,
    message::{Answer, Ask, Asker, Envelope, Floor},
    world::{Happening, World},
};
use octollm_contract::TaskId;
use octollm_lifecycle::{Awaits, Given};

/// The client of one order.
pub(crate) struct Client {
    task: Option<TaskId>,
    floor: Floor,
    /// The step that waits, and for what.
    awaits: (u16, Awaits),
    pub(crate) wants_cancel: bool,
}

impl Default for Client {
    fn default() -> Self {
        Client { task: None, floor: Floor::default(), awaits: (0, Awaits::Nothing), wants_cancel: false }
    }
}

impl Client {
    /// Its task was accepted and it has seen how it ended.
    pub(crate) fn is_content(&self) -> bool {
        self.floor.ended.is_some()
    }
}

impl World<'_> {
    pub(crate) fn client_wakes(&mut self, order: usize) {
        let asker = Asker::Client(order);
        let client = &self.clients[order];
        let (known, floor, (place, awaits), wants_cancel) =
            (client.task, client.floor, client.awaits, client.wants_cancel);
        let Some(task) = known else {
            self.send(Envelope { asker, ask: Ask::Submit { order, other: false } });
            let delay = self.rng.between(800, 3_000);
            return self.schedule(delay, Happening::ClientWakes { order });
        };
        let tenant = self.plans[order].tenant.clone();
        if self.rng.chance(4) {
            let other = self.rng.chance(50);
            self.send(Envelope { asker, ask: Ask::Submit { order, other } });
        }
        if self.rng.chance(6) {
            let tenant = self.names.tenants[(order + 1) % self.names.tenants.len()].clone();
            self.send(Envelope { asker, ask: Ask::Read { task, tenant, floor } });
        }
        if wants_cancel && !floor.cancelled {
            self.send(Envelope { asker, ask: Ask::Cancel { task, tenant: tenant.clone() } });
        }
        let given = match awaits {
            Awaits::Nothing => None,
            Awaits::Approval if self.rng.chance(85) => Some(Given::Approve { place }),
            Awaits::Approval => Some(Given::Refuse { place }),
            Awaits::Answer => Some(Given::Answer { place: Some(place), answer: self.names.empty.clone() }),
        };
        if let Some(given) = given {
            self.send(Envelope { asker, ask: Ask::Input { task, tenant: tenant.clone(), given } });
        }
        self.send(Envelope { asker, ask: Ask::Read { task, tenant, floor } });
        let delay = if floor.ended.is_some() { (3_000, 9_000) } else { (500, 3_000) };
        let delay = self.rng.between(delay.0, delay.1);
        self.schedule(delay, Happening::ClientWakes { order });
    }

    pub(crate) fn client_hears(&mut self, order: usize, answer: Answer) {
        match answer {
            Answer::Accepted { task, other } => {
                self.clients[order].task.get_or_insert(task);
                self.saw(Seen::Accepted { order, task, other });
            }
            Answer::KeyReused { first, other } => self.saw(Seen::KeyReused { order, first, other }),
            Answer::View { task, tenant, floor, status, events, awaits } => {
                let own = tenant == self.plans[order].tenant;
                self.saw(Seen::View { task, own, floor, status, events });
                let client = &mut self.clients[order];
                client.awaits = awaits;
                client.floor.events = client.floor.events.max(events);
                if status.is_terminal() {
                    client.floor.ended = Some(status);
                }
            }
            Answer::NoSuchTask { task, tenant } => {
                let own = tenant == self.plans[order].tenant;
                self.saw(Seen::NoSuchTask { task, own });
            }
            Answer::Cancelled { task, done } => {
                self.clients[order].floor.cancelled |= done;
                self.clients[order].wants_cancel = false;
                self.saw(Seen::Cancelled { task, done });
            }
            Answer::InputTaken => self.clients[order].awaits.1 = Awaits::Nothing,
            Answer::Granted(_) | Answer::Beat { .. } | Answer::Reported { .. } | Answer::Thought { .. } => {}
        }
    }
}
