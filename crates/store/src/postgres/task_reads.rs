//! What is read of tasks: at the primary, or for clients at a replica that shows enough.

use super::{PostgresStore, reads};
use crate::{
    Backlog, Counted, DayLine, DayListing, Freshness, Listing, Period, ReplicaView, Seen, StoreError, Sums,
    TaskLine, TaskReads, TaskRecord,
};
use async_trait::async_trait;
use futures_util::FutureExt as _;
use octollm_access::TenantScope;
use octollm_contract::{
    ArmName, ContentHash, Document, IdempotencyKey, LeaseToken, SessionId, StepId, TaskId, TenantId,
};
use octollm_lifecycle::Event;
use std::collections::BTreeSet;

#[async_trait]
impl TaskReads for PostgresStore {
    async fn task(&self, id: TaskId, scope: &TenantScope) -> Result<Option<TaskRecord>, StoreError> {
        let scope = scope.clone();
        self.readers.read(move |link| reads::task(link, id, scope.clone()).boxed()).await
    }

    async fn list(&self, scope: &TenantScope, wanted: &Listing) -> Result<Vec<TaskLine>, StoreError> {
        let (scope, wanted) = (scope.clone(), wanted.clone());
        self.readers.read(move |link| reads::list(link, scope.clone(), wanted.clone()).boxed()).await
    }

    async fn events(
        &self,
        id: TaskId,
        scope: &TenantScope,
        after: u64,
        most: usize,
    ) -> Result<Option<Vec<Event>>, StoreError> {
        let scope = scope.clone();
        self.readers.read(move |link| reads::events(link, id, scope.clone(), after, most).boxed()).await
    }

    async fn backlog(&self, arm: ArmName) -> Result<Backlog, StoreError> {
        self.readers.read(move |link| reads::backlog(link, arm).boxed()).await
    }

    async fn holds(&self, step: StepId, token: LeaseToken) -> Result<bool, StoreError> {
        self.readers.read(move |link| reads::holds(link, step, token).boxed()).await
    }

    async fn receipt(&self, step: StepId, number: u32) -> Result<Option<Document>, StoreError> {
        self.readers.read(move |link| reads::receipt(link, step, number).boxed()).await
    }

    async fn session(
        &self,
        scope: &TenantScope,
        tenant: &TenantId,
        session: &SessionId,
        before: TaskId,
        most: usize,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        let (scope, tenant, session) = (scope.clone(), tenant.clone(), session.clone());
        self.readers
            .read(move |link| {
                reads::session(link, scope.clone(), (tenant.clone(), session.clone()), before, most).boxed()
            })
            .await
    }

    async fn refers(&self, task: TaskId, artefact: ContentHash) -> Result<bool, StoreError> {
        self.readers.read(move |link| reads::refers(link, task, artefact).boxed()).await
    }

    async fn accepted_under(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<(TaskId, ContentHash)>, StoreError> {
        let (tenant, key) = (tenant.clone(), key.clone());
        self.readers.read(move |link| reads::accepted_under(link, tenant.clone(), key.clone()).boxed()).await
    }

    async fn artefacts(&self) -> Result<BTreeSet<ContentHash>, StoreError> {
        self.readers.read(|link| reads::artefacts(link).boxed()).await
    }

    async fn open_tasks(&self) -> Result<u64, StoreError> {
        self.readers.read(|link| reads::open_tasks(link).boxed()).await
    }

    fn reached(&self) -> Seen {
        self.shared.reached.get()
    }

    async fn task_for(
        &self,
        fresh: Freshness,
        id: TaskId,
        scope: &TenantScope,
    ) -> Result<(Option<TaskRecord>, Seen), StoreError> {
        let scope = scope.clone();
        self.readers
            .read_for(fresh, move |link| reads::task(link, id, scope.clone()).boxed(), Option::is_some)
            .await
    }

    async fn list_for(
        &self,
        fresh: Freshness,
        scope: &TenantScope,
        wanted: &Listing,
    ) -> Result<(Vec<TaskLine>, Seen), StoreError> {
        let (scope, wanted) = (scope.clone(), wanted.clone());
        self.readers
            .read_for(fresh, move |link| reads::list(link, scope.clone(), wanted.clone()).boxed(), |_| true)
            .await
    }

    async fn events_for(
        &self,
        fresh: Freshness,
        id: TaskId,
        scope: &TenantScope,
        after: u64,
        most: usize,
    ) -> Result<(Option<Vec<Event>>, Seen), StoreError> {
        let scope = scope.clone();
        self.readers
            .read_for(
                fresh,
                move |link| reads::events(link, id, scope.clone(), after, most).boxed(),
                Option::is_some,
            )
            .await
    }

    async fn usage_days(
        &self,
        fresh: Freshness,
        scope: &TenantScope,
        wanted: &DayListing,
    ) -> Result<(Counted<Vec<DayLine>>, Seen), StoreError> {
        let (scope, wanted) = (scope.clone(), wanted.clone());
        let read = self.readers.read_for(
            fresh,
            move |link| reads::usage_days(link, scope.clone(), wanted.clone()).boxed(),
            |usage| usage.0.is_some(),
        );
        Ok(counted(read.await?))
    }

    async fn usage_sums(
        &self,
        fresh: Freshness,
        scope: &TenantScope,
        period: Period,
    ) -> Result<(Counted<Sums>, Seen), StoreError> {
        let scope = scope.clone();
        let read = self.readers.read_for(
            fresh,
            move |link| reads::usage_sums(link, scope.clone(), period).boxed(),
            |usage| usage.0.is_some(),
        );
        Ok(counted(read.await?))
    }

    async fn replicas(&self) -> Vec<ReplicaView> {
        self.readers.replicas.view().await
    }
}

fn counted<T>(((as_of, figures), seen): (reads::Usage<T>, Seen)) -> (Counted<T>, Seen) {
    // Only a standby may not know it, and then the primary was asked.
    let as_of = as_of.expect("a primary has a clock");
    (Counted { as_of, figures }, seen)
}
