//! The views that are compared after every command.

use super::{
    Divergence, Pair,
    commands::{TENANTS, key_id, session, tenant},
};
use crate::{DayListing, Freshness, Listing, Period, Store, StoreError};
use octollm_access::TenantScope;
use octollm_contract::{ArmName, ContentHash, Day, TaskId, api::TaskStatus};

fn read<T>(answer: Result<T, StoreError>) -> Result<T, String> {
    answer.map_err(|error| error.to_string())
}

impl<S: Store> Pair<'_, S> {
    pub(super) async fn compare_views(&mut self) -> Result<(), Divergence> {
        self.compare_tasks().await?;
        self.compare_lists().await?;
        let now = self.now();
        for arm in ArmName::ALL {
            let store = read(self.store.backlog(*arm).await);
            self.same("a backlog", &Ok(self.model.backlog(*arm, now)), &store)?;
        }
        for (step, token) in self.grants.iter().rev().take(6) {
            let store = read(self.store.holds(*step, *token).await);
            self.same("whether a token holds", &Ok(self.model.holds(*step, *token, now)), &store)?;
        }
        for (step, _) in self.calls.iter().rev().take(4) {
            for number in 0..4 {
                let store = read(self.store.receipt(*step, number).await);
                let model = self.model.receipt(*step, number).cloned();
                self.same("a receipt", &Ok(model), &store)?;
            }
        }
        self.compare_sessions().await?;
        let store = read(self.store.open_tasks().await);
        self.same("the number of open tasks", &Ok(self.model.open_tasks()), &store)?;
        let store = read(self.store.artefacts().await);
        self.same("the artefacts", &Ok(self.model.artefacts()), &store)?;
        self.compare_usage().await?;
        self.compare_keys().await
    }

    /// The figures of all days, and of a day, in every scope.
    async fn compare_usage(&mut self) -> Result<(), Divergence> {
        let today = Day::of(self.now());
        let one = TenantScope::Only(tenant(self.chance.below(TENANTS.len())));
        let most = self.chance.pick(&[0, 2, 1_000]).unwrap_or(1_000);
        let behind = tenant(self.chance.below(TENANTS.len()));
        for (from, behind) in [(today.before(5), None), (today, None), (today, Some(behind))] {
            let period = Period { from, to: today };
            let wanted = DayListing { period, behind, most };
            for scope in [&TenantScope::System, &one] {
                let store = read(self.store.usage_days(Freshness::Latest, scope, &wanted).await);
                let store = store.map(|(counted, _)| (counted.as_of, counted.figures));
                let model = (self.now(), self.model.usage_days(scope, &wanted));
                self.same("the figures by day", &Ok(model), &store)?;
                let store = read(self.store.usage_sums(Freshness::Latest, scope, period).await);
                let store = store.map(|(counted, _)| (counted.as_of, counted.figures));
                let model = (self.now(), self.model.usage_sums(scope, period));
                self.same("the sums of figures", &Ok(model), &store)?;
            }
        }
        Ok(())
    }

    /// The tasks of late and one of old, in every scope.
    async fn compare_tasks(&mut self) -> Result<(), Divergence> {
        let mut ids: Vec<_> = self.tasks.iter().rev().take(6).copied().collect();
        ids.extend(self.chance.pick(&self.tasks));
        ids.extend(self.grants.last().map(|(step, _)| step.task));
        for id in ids {
            let one = TenantScope::Only(tenant(self.chance.below(TENANTS.len())));
            for scope in [&TenantScope::System, &one] {
                let store = read(self.store.task(id, scope).await);
                self.same("a task", &Ok(self.model.task(id, scope).cloned()), &store)?;
                let after = self.chance.below(4) as u64;
                let most = self.chance.pick(&[0, 3, 1_000]).unwrap_or(1_000);
                let store = read(self.store.events(id, scope, after, most).await);
                self.same("the events", &Ok(self.model.events(id, scope, after, most)), &store)?;
            }
            let artefact = ContentHash::of(&[u8::try_from(self.chance.below(256)).unwrap_or(0)]);
            let store = read(self.store.refers(id, artefact).await);
            self.same("whether a task refers", &Ok(self.model.refers(id, artefact)), &store)?;
        }
        Ok(())
    }

    async fn compare_sessions(&mut self) -> Result<(), Divergence> {
        let (owner, reader) = (tenant(self.chance.below(3)), tenant(self.chance.below(3)));
        let before = self.chance.pick(&self.tasks).filter(|_| self.chance.percent(30));
        let before = before.unwrap_or(TaskId::from_bytes([255; 16]));
        let most = self.chance.pick(&[1, 3, 1_000]).unwrap_or(1_000);
        let name = session(self.chance.below(3));
        for scope in [TenantScope::System, TenantScope::Only(reader)] {
            let store = read(self.store.session(&scope, &owner, &name, before, most).await);
            let model = self.model.session(&scope, &owner, &name, before, most);
            self.same("a session", &Ok(model), &store)?;
        }
        Ok(())
    }

    async fn compare_lists(&mut self) -> Result<(), Divergence> {
        let mut statuses: Vec<Option<TaskStatus>> = TaskStatus::ALL.iter().copied().map(Some).collect();
        statuses.push(None);
        let one = TenantScope::Only(tenant(self.chance.below(TENANTS.len())));
        let before = self.chance.percent(30).then(|| self.chance.pick(&self.tasks)).flatten();
        for status in statuses {
            for (scope, poison) in [(&TenantScope::System, false), (&one, false), (&one, true)] {
                let most = self.chance.pick(&[1, 5, 1_000]).unwrap_or(1_000);
                let wanted = Listing { status, poison, before, most };
                let store = read(self.store.list(scope, &wanted).await);
                let what = format!("the list of {wanted:?} in {scope:?}");
                self.same(&what, &Ok(self.model.list(scope, &wanted)), &store)?;
            }
        }
        Ok(())
    }

    async fn compare_keys(&mut self) -> Result<(), Divergence> {
        let id = key_id(self.chance.below(5));
        let store = read(self.store.key(&id).await);
        self.same("a key", &Ok(self.model.key(&id).cloned()), &store)?;
        for scope in [TenantScope::System, TenantScope::Only(tenant(self.chance.below(TENANTS.len())))] {
            let store = read(self.store.keys(&scope).await);
            self.same("the keys", &Ok(self.model.keys(&scope)), &store)?;
        }
        Ok(())
    }
}
