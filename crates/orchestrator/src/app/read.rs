//! What a caller can see of its tasks (P7: never of another tenant's).
//!
//! A read may come from a replica that shows all that the caller has seen (P4). Whoever goes on to wait
//! for a change reads the newest first, and again when woken: a hint may be ahead of every replica.

use super::{App, Caller};
use crate::view;
use bytes::Bytes;
use octollm_artefacts::GetError;
use octollm_contract::{
    Millis, TaskId,
    api::{ArtefactView, EventView, TaskPage, TaskView},
};
use octollm_plan::{Body, compose};
use octollm_store::{Freshness, Listing, ReplicaView, Seen, StoreError, TaskRecord, Watch};

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

/// A task's result with nothing cut, and its files apart by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WholeResult {
    /// `result.text`, with all of what stands there as a beginning.
    pub text: String,
    /// Those of `result.artefacts` that only hold what did not fit into texts.
    pub texts: Vec<ArtefactView>,
    /// The others: what the task's steps have made.
    pub files: Vec<ArtefactView>,
}

impl App {
    /// A task as it is now, whole.
    pub async fn task(&self, caller: &Caller, id: TaskId) -> Result<TaskView, ReadError> {
        let record = self.record(caller, Freshness::Latest, id).await?;
        view::task(&record).map_err(ReadError::Unreadable)
    }

    async fn record(&self, caller: &Caller, fresh: Freshness, id: TaskId) -> Result<TaskRecord, ReadError> {
        let (record, seen) = self.parts.store.task_for(fresh, id, &caller.scope()).await?;
        self.sights.learn(caller, seen);
        record.ok_or(ReadError::NotFound)
    }

    /// A task for a caller that says that it has seen `told`: once it has ended, or as it is after
    /// `wait` (at most a minute), or when the process drains.
    pub async fn task_after(
        &self,
        caller: &Caller,
        told: Seen,
        id: TaskId,
        wait: Millis,
    ) -> Result<TaskView, ReadError> {
        let over = tokio::time::sleep(wait.min(WAIT_MAX).to_duration());
        tokio::pin!(over);
        let record = self.record(caller, self.sights.since(caller, told), id).await?;
        let task = view::task(&record).map_err(ReadError::Unreadable)?;
        if task.status.is_terminal() || wait == Millis::ZERO {
            return Ok(task);
        }
        let mut watch = self.watch_task(id);
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
    pub async fn list(
        &self,
        caller: &Caller,
        told: Seen,
        mut wanted: Listing,
    ) -> Result<TaskPage, ReadError> {
        let most = wanted.most.clamp(1, PAGE_MAX);
        wanted.most = most + 1;
        let fresh = self.sights.since(caller, told);
        let (mut lines, seen) = self.parts.store.list_for(fresh, &caller.scope(), &wanted).await?;
        self.sights.learn(caller, seen);
        let more = lines.len() > most;
        lines.truncate(most);
        let next_cursor = lines.last().filter(|_| more).map(|line| view::cursor(line.id));
        Ok(TaskPage { tasks: lines.into_iter().map(view::summary).collect(), next_cursor })
    }

    /// At most `most` events of a task with numbers over `after`: all that there are now.
    pub async fn events(
        &self,
        caller: &Caller,
        id: TaskId,
        after: u64,
        most: usize,
    ) -> Result<Vec<EventView>, ReadError> {
        self.fresh_events(caller, Freshness::Latest, id, after, most).await
    }

    /// The same for a caller that says that it has seen `told`: there may be more.
    pub async fn events_since(
        &self,
        caller: &Caller,
        told: Seen,
        id: TaskId,
        after: u64,
        most: usize,
    ) -> Result<Vec<EventView>, ReadError> {
        self.fresh_events(caller, self.sights.since(caller, told), id, after, most).await
    }

    async fn fresh_events(
        &self,
        caller: &Caller,
        fresh: Freshness,
        id: TaskId,
        after: u64,
        most: usize,
    ) -> Result<Vec<EventView>, ReadError> {
        let (events, seen) = self.parts.store.events_for(fresh, id, &caller.scope(), after, most).await?;
        self.sights.learn(caller, seen);
        let events = events.ok_or(ReadError::NotFound)?;
        let record = match events.iter().any(view::needs_the_task) {
            // A task that an event tells of is no older than the event.
            true => Some(self.record(caller, self.sights.since(caller, seen), id).await?),
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
    pub async fn artefact(
        &self,
        caller: &Caller,
        told: Seen,
        id: TaskId,
        path: &str,
    ) -> Result<Bytes, ReadError> {
        let record = self.record(caller, self.sights.since(caller, told), id).await?;
        let hash_in = |record: &TaskRecord| {
            let found = view::artefact(record, path).map_err(ReadError::Unreadable)?;
            Ok::<_, ReadError>(found.map(|found| found.sha256))
        };
        let hash = match hash_in(&record)? {
            Some(hash) => hash,
            // A replica's record may not have it yet: nothing is never a replica's answer.
            None => {
                let newest = self.record(caller, Freshness::Latest, id).await?;
                hash_in(&newest)?.ok_or(ReadError::NotFound)?
            }
        };
        self.parts.artefacts.get(hash).await.map_err(ReadError::Artefact)
    }

    /// The result of a task with nothing cut; an empty one before the task has completed.
    pub async fn whole_result(&self, caller: &Caller, id: TaskId) -> Result<WholeResult, ReadError> {
        let record = self.record(caller, Freshness::Latest, id).await?;
        let mut outputs = view::results(&record).map_err(ReadError::Unreadable)?;
        let mut whole = WholeResult::default();
        for output in &mut outputs {
            let body = match &output.body {
                Some(Body::Whole(kept)) => Some(*kept),
                Some(Body::Text(_) | Body::Partial) | None => None,
            };
            for kept in [body, output.whole_text].into_iter().flatten() {
                // Behind the files of the workspace, of which one may have the same bytes.
                let place = output.artefacts.iter().rposition(|file| file.sha256 == kept);
                whole.texts.extend(place.map(|place| output.artefacts.remove(place)));
            }
            if let Some(kept) = output.whole_text {
                let text = self.parts.artefacts.get(kept).await.map_err(ReadError::Artefact)?;
                output.text = String::from_utf8_lossy(&text).into_owned();
            }
        }
        let composed = compose(&outputs.iter().collect::<Vec<_>>());
        Ok(WholeResult { text: composed.text, files: composed.artefacts, ..whole })
    }

    /// What the caller has seen, for it to send with its next reads, perhaps to another orchestrator;
    /// nothing where the store has no positions.
    #[must_use]
    pub fn carried(&self, caller: &Caller) -> Option<Seen> {
        self.sights.carried(caller)
    }

    /// The caller is about to be told of what it has written.
    pub(super) fn has_written(&self, caller: &Caller) {
        self.sights.learn(caller, self.parts.store.reached());
    }

    /// The replicas of the store.
    pub(crate) async fn replicas(&self) -> Vec<ReplicaView> {
        self.parts.store.replicas().await
    }
}
