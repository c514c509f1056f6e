//! What a caller can see of its tasks (P7: never of another tenant's).

use super::{App, Caller};
use crate::view;
use bytes::Bytes;
use octollm_artefacts::GetError;
use octollm_contract::{
    Millis, TaskId,
    api::{EventView, TaskPage, TaskView},
};
use octollm_store::{Listing, StoreError, Watch};

/// A page of a list has at most so many tasks.
pub(crate) const PAGE_MAX: usize = 200;
/// Nobody waits longer in one call.
pub(crate) const WAIT_MAX: Millis = Millis::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such thing, or it is another tenant's.
    #[error("there is nothing here")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The artefact is lost, or cannot be read now.
    #[error(transparent)]
    Artefact(GetError),
    /// A document of the task cannot be read by this version.
    #[error("what is stored of the task cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

impl App {
    /// A task, whole.
    pub async fn task(&self, caller: &Caller, id: TaskId) -> Result<TaskView, ReadError> {
        let record = self.parts.store.task(id, &caller.scope()).await?.ok_or(ReadError::NotFound)?;
        view::task(&record).map_err(ReadError::Unreadable)
    }

    /// A task once it has ended, or as it is after `wait` (at most a minute), or when the
    /// process drains.
    pub async fn task_after(&self, caller: &Caller, id: TaskId, wait: Millis) -> Result<TaskView, ReadError> {
        let over = tokio::time::sleep(wait.min(WAIT_MAX).to_duration());
        tokio::pin!(over);
        let mut watch = self.parts.store.hints().watch_task(id);
        loop {
            let task = self.task(caller, id).await?;
            if task.status.is_terminal() {
                return Ok(task);
            }
            tokio::select! {
                () = watch.changed() => {}
                () = &mut over => return self.task(caller, id).await,
                () = self.draining.cancelled() => return Ok(task),
            }
        }
    }

    /// The caller's tasks, newest first.
    pub async fn list(&self, caller: &Caller, mut wanted: Listing) -> Result<TaskPage, ReadError> {
        let most = wanted.most.clamp(1, PAGE_MAX);
        wanted.most = most + 1;
        let mut lines = self.parts.store.list(&caller.scope(), &wanted).await?;
        let more = lines.len() > most;
        lines.truncate(most);
        let next_cursor = lines.last().filter(|_| more).map(|line| view::cursor(line.id));
        Ok(TaskPage { tasks: lines.into_iter().map(view::summary).collect(), next_cursor })
    }

    /// At most `most` events of a task with numbers over `after`.
    pub async fn events(
        &self,
        caller: &Caller,
        id: TaskId,
        after: u64,
        most: usize,
    ) -> Result<Vec<EventView>, ReadError> {
        let events = self.parts.store.events(id, &caller.scope(), after, most).await?;
        let events = events.ok_or(ReadError::NotFound)?;
        let record = match events.iter().any(view::needs_the_task) {
            true => self.parts.store.task(id, &caller.scope()).await?,
            false => None,
        };
        let views = events.into_iter().map(|event| view::event(id, event, record.as_ref()));
        views.collect::<Result<_, _>>().map_err(ReadError::Unreadable)
    }

    /// To wait for the next change of a task; take it before reading.
    #[must_use]
    pub fn watch_task(&self, id: TaskId) -> Watch {
        self.parts.store.hints().watch_task(id)
    }

    /// The bytes of a file that a task made: of its result if it has one there, else of the
    /// last step that made one.
    pub async fn artefact(&self, caller: &Caller, id: TaskId, path: &str) -> Result<Bytes, ReadError> {
        let record = self.parts.store.task(id, &caller.scope()).await?.ok_or(ReadError::NotFound)?;
        let found = view::artefact(&record, path).map_err(ReadError::Unreadable)?;
        let hash = found.ok_or(ReadError::NotFound)?.sha256;
        self.parts.artefacts.get(hash).await.map_err(ReadError::Artefact)
    }
}
