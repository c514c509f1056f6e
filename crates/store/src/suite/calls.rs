//! The random model calls: held, settled, settled again, settled for too much, for nobody.

use super::{Divergence, Pair};
use crate::{Directed, Store};
use octollm_access::TenantScope;
use octollm_contract::{CallId, ContentHash, Cost, Document, LeaseToken, MicroUsd};
use octollm_lifecycle::{Budget, Command, Limit, Spent};

impl<S: Store> Pair<'_, S> {
    /// Without limits, as most tasks are, or with small ones.
    pub(super) fn budget(&mut self) -> Budget {
        let mut drawn = || match self.chance.below(4) {
            0 | 1 => None,
            2 => Some(0),
            _ => Some(self.chance.below(100) as u64),
        };
        let (money, tokens) = (drawn(), drawn());
        Budget {
            money: money.map_or(Limit::Unlimited, |most| Limit::Of(MicroUsd::new(most))),
            tokens: tokens.map_or(Limit::Unlimited, Limit::Of),
        }
    }

    fn spent(&mut self, most: usize) -> Spent {
        let cost = self.chance.percent(75).then(|| MicroUsd::new(self.chance.below(most) as u64));
        Spent { cost: Cost::from(cost), tokens: self.chance.below(most) as u64 }
    }

    /// A few holds and settlements in one call.
    pub(super) async fn calls(&mut self) -> Result<(), Divergence> {
        let mut commands = Vec::new();
        for turn in 0..=self.chance.below(3) {
            let settles = self.chance.percent(50);
            let command = if settles { self.settlement() } else { self.hold(turn) };
            commands.extend(command);
        }
        self.decide(commands).await
    }

    fn hold(&mut self, turn: usize) -> Option<Directed> {
        let recent = self.grants.len().saturating_sub(8);
        let (step, token) = self.chance.pick(&self.grants[recent..])?;
        let token = if self.chance.percent(5) { LeaseToken::from_bytes([9; 16]) } else { token };
        let mut name = [0; 16];
        // Names do not come in the order of the calls.
        name[0] = u8::try_from(self.chance.below(256)).unwrap_or(0);
        name[8..].copy_from_slice(&((self.command * 4 + turn) as u64).to_be_bytes());
        let call = CallId::from_bytes(name);
        self.calls.push((step, call));
        let number = 1 + u32::try_from(self.chance.below(3)).unwrap_or(0);
        let worst = self.spent(40);
        let command = Command::Hold { place: step.place, token, call, number, worst };
        Some(Directed { task: step.task, scope: TenantScope::System, command })
    }

    fn settlement(&mut self) -> Option<Directed> {
        let recent = self.calls.len().saturating_sub(10);
        let (step, call) = self.chance.pick(&self.calls[recent..])?;
        let open = self.model.task(step.task, &TenantScope::System).and_then(|record| record.task.hold(call));
        let worst = open.map(octollm_lifecycle::Hold::worst);
        let spent = match worst {
            Some(worst) if self.chance.percent(70) => worst,
            Some(_) | None => self.spent(40),
        };
        let receipt = Document::from_json(format!("{{\"model\":{}}}", self.command));
        let artefacts = vec![ContentHash::of(&[u8::try_from(self.command % 256).unwrap_or(0)])];
        let command = Command::Settle { call, spent, receipt, artefacts };
        Some(Directed { task: step.task, scope: TenantScope::System, command })
    }
}
