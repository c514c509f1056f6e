//! Commands: lock and load the tasks, ask the state machine, write what it says, all in one
//! transaction. And the system's own commands: expiry, workers and callers that are gone.

use super::{
    draft::{Busy, Drafts, Leases, load},
    fault::Fault,
    lane::{Done, Shared, Work},
    link::Link,
    news::News,
    writes::Writes,
};
use crate::{DecideError, Directed, StoreError};
use octollm_contract::{TaskId, Timestamp};
use octollm_lifecycle::{Changes, Dice};
use std::{collections::BTreeSet, sync::Arc};

pub(super) struct Decides {
    pub(super) shared: Arc<Shared>,
}

impl Work for Decides {
    type Ask = Vec<Directed>;
    type Answer = Vec<Result<Changes, DecideError>>;

    fn units(&self, commands: &Vec<Directed>) -> usize {
        commands.len()
    }

    async fn run(&self, link: &Link, asks: &[&Vec<Directed>]) -> Result<Done<Self::Answer>, Fault> {
        let ids: BTreeSet<TaskId> =
            asks.iter().flat_map(|commands| commands.iter()).map(|directed| directed.task).collect();
        if ids.is_empty() {
            return Ok(Done { answers: asks.iter().map(|_| Vec::new()).collect(), news: News::default() });
        }
        let ids: Vec<TaskId> = ids.into_iter().collect();
        let (now, mut drafts) = load(link, &ids, Busy::Wait, Leases::AtOnce, true).await?;
        let answers = asks
            .iter()
            .map(|commands| {
                let decided =
                    commands.iter().map(|directed| decide(&mut drafts, directed, now, self.shared.dice()));
                decided.collect()
            })
            .collect();
        let news = commit(link, &drafts).await?;
        Ok(Done { answers, news })
    }

    fn failed(&self, commands: &Vec<Directed>, why: &dyn Fn() -> StoreError) -> Self::Answer {
        commands.iter().map(|_| Err(why().into())).collect()
    }

    fn split(&self, commands: &Vec<Directed>) -> Option<(Vec<Directed>, Vec<Directed>)> {
        let half = commands.len() / 2;
        (half > 0).then(|| (commands[..half].to_vec(), commands[half..].to_vec()))
    }

    fn join(&self, mut first: Self::Answer, second: Self::Answer) -> Self::Answer {
        first.extend(second);
        first
    }
}

fn decide(
    drafts: &mut Drafts,
    directed: &Directed,
    now: Timestamp,
    dice: Dice,
) -> Result<Changes, DecideError> {
    let draft = match drafts.get(directed.task) {
        Some(Ok(draft)) if directed.scope.allows(&draft.before.tenant) => draft,
        Some(Ok(_)) | None => return Err(DecideError::NotFound),
        Some(Err(fault)) => return Err(DecideError::Store(fault.into())),
    };
    Ok(draft.decide(&directed.command, now, dice)?)
}

/// Writes what the drafts have become and ends the transaction.
pub(super) async fn commit(link: &Link, drafts: &Drafts) -> Result<News, Fault> {
    let mut news = News::default();
    Writes::of(drafts, link.process, &mut news).commit(link, Vec::new()).await?;
    Ok(news)
}

impl Shared {
    /// What a wait's jitter is drawn from.
    pub(super) fn dice(&self) -> Dice {
        Dice(u64::from_le_bytes(self.draw()))
    }

    /// Fresh random bytes.
    pub(super) fn draw<const N: usize>(&self) -> [u8; N] {
        let mut drawn = [0; N];
        self.entropy.fill(&mut drawn);
        drawn
    }
}
