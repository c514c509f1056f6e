//! Commands: load the view, ask the state machine, write what it says.

use crate::{
    DecideError, Directed, StoreError,
    sqlite::{
        fault::Fault,
        writer::{Request, Writer},
    },
};
use octollm_contract::TaskId;
use octollm_lifecycle::{Changes, Command, Dice, Task};
use std::sync::Arc;

impl Request for Vec<Directed> {
    type Answer = Vec<Result<Changes, DecideError>>;

    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault> {
        self.iter()
            .map(|directed| {
                let done = writer.unit(|writer| decide(writer, directed))?;
                Ok(done.unwrap_or_else(|error| Err(error.into())))
            })
            .collect()
    }

    fn failed(&self, why: &mut dyn FnMut() -> StoreError) -> Self::Answer {
        self.iter().map(|_| Err(why().into())).collect()
    }

    fn units(&self) -> usize {
        self.len()
    }
}

fn decide(writer: &mut Writer<'_>, directed: &Directed) -> Result<Result<Changes, DecideError>, Fault> {
    let found = writer.view(directed.task)?.filter(|task| directed.scope.allows(&task.tenant));
    let Some(task) = found else { return Ok(Err(DecideError::NotFound)) };
    let (now, dice) = (writer.now(), Dice(u64::from_le_bytes(writer.draw())));
    let changes = match octollm_lifecycle::decide(&task, &directed.command, now, dice) {
        Ok(changes) => changes,
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    if !changes.is_empty() {
        writer.apply(&task, &changes, now)?;
        writer.views.change(Arc::new(changes.after.clone()));
    }
    Ok(Ok(changes))
}

impl Writer<'_> {
    /// Sends a command of the system's own. `None` when there is no such task or nothing to do.
    pub(super) fn command(
        &mut self,
        id: TaskId,
        command: &Command,
    ) -> Result<Option<(Arc<Task>, Changes)>, Fault> {
        let Some(task) = self.view(id)? else { return Ok(None) };
        let (now, dice) = (self.now(), Dice(u64::from_le_bytes(self.draw())));
        let Ok(changes) = octollm_lifecycle::decide(&task, command, now, dice) else { return Ok(None) };
        if changes.is_empty() {
            return Ok(None);
        }
        self.apply(&task, &changes, now)?;
        self.views.change(Arc::new(changes.after.clone()));
        Ok(Some((task, changes)))
    }
}
