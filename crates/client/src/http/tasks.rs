//! The public API, typed.

use super::{
    events::Events,
    transport::{ANSWER_WITHIN, BadBase, ClientError, SeenWord, Tls, Transport, body},
};
use crate::wire::{KeyAsk, KeyList, KeyMade};
use bytes::Bytes;
use octollm_access::ApiKey;
use octollm_contract::{
    Component, Day, IdempotencyKey, KeyId, Millis, TaskId,
    api::{
        ArmView, ArmsUsage, ScalingView, SubmitTask, TaskAccepted, TaskInput, TaskPage, TaskStatus, TaskView,
        UsagePage,
    },
};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;

/// A caller of one server with one key. It and its clones see no task go back in time, also when different
/// orchestrators answer at the address.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    key: ApiKey,
    seen: SeenWord,
}

impl Client {
    /// Talks to the server at `base`, such as `http://127.0.0.1:8410`. Nothing is sent yet.
    pub fn new(base: &str, key: ApiKey) -> Result<Self, BadBase> {
        Client::over(base, key, &Tls::default())
    }

    /// The same, with a say in whom to trust.
    pub fn over(base: &str, key: ApiKey, tls: &Tls) -> Result<Self, BadBase> {
        Ok(Client { transport: Transport::new(base, tls)?, key, seen: SeenWord::default() })
    }

    /// Submits a task. Safe to repeat only with an idempotency key.
    pub async fn submit(
        &self,
        task: &SubmitTask,
        key: Option<&IdempotencyKey>,
    ) -> Result<TaskAccepted, ClientError> {
        let request = self.request(Method::POST, &["tasks"]).json(task);
        let request = match key {
            Some(key) => request.header("Idempotency-Key", key.as_str()),
            None => request,
        };
        self.read(request).await
    }

    /// A task as it is now.
    pub async fn task(&self, id: TaskId) -> Result<TaskView, ClientError> {
        self.read(self.request(Method::GET, &["tasks", &id.to_string()])).await
    }

    /// A task once it has ended, or as it is after `wait`; a minute counts at most.
    pub async fn wait(&self, id: TaskId, wait: Millis) -> Result<TaskView, ClientError> {
        let query = [("wait", wait.to_string())];
        let request = self.with_query(Method::GET, &["tasks", &id.to_string()], &query);
        self.read(request.timeout(wait.to_duration() + ANSWER_WITHIN)).await
    }

    /// A page of tasks, newest first.
    pub async fn list(
        &self,
        status: Option<TaskStatus>,
        poison: bool,
        cursor: Option<&str>,
        limit: Option<u16>,
    ) -> Result<TaskPage, ClientError> {
        let mut query: Vec<(&str, String)> = Vec::new();
        query.extend(status.map(|status| ("status", status.as_str().to_owned())));
        query.extend(poison.then(|| ("poison", "true".to_owned())));
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        query.extend(limit.map(|limit| ("limit", limit.to_string())));
        self.read(self.with_query(Method::GET, &["tasks"], &query)).await
    }

    /// Wishes that a task ends.
    pub async fn cancel(&self, id: TaskId) -> Result<TaskView, ClientError> {
        self.read(self.request(Method::POST, &["tasks", &id.to_string(), "cancel"])).await
    }

    /// Gives a waiting task what it waits for.
    pub async fn input(&self, id: TaskId, input: &TaskInput) -> Result<TaskView, ClientError> {
        self.read(self.request(Method::POST, &["tasks", &id.to_string(), "input"]).json(input)).await
    }

    /// The events of a task after number `after`, as they happen.
    pub async fn events(&self, id: TaskId, after: u64) -> Result<Events, ClientError> {
        Events::begin(self, id, after).await
    }

    /// The bytes of a file that a task made.
    pub async fn artefact(&self, id: TaskId, path: &str) -> Result<Bytes, ClientError> {
        let id = id.to_string();
        let segments: Vec<&str> = ["tasks", &id, "artefacts"].into_iter().chain(path.split('/')).collect();
        let response = self.answered(self.request(Method::GET, &segments)).await?;
        response.bytes().await.map_err(ClientError::Unreachable)
    }

    /// The arms.
    pub async fn arms(&self) -> Result<Vec<ArmView>, ClientError> {
        self.read(self.request(Method::GET, &["arms"])).await
    }

    /// A page of what tasks came to and what model calls cost, by day, from the first of `days` to the last;
    /// the server's own choice where one is absent.
    pub async fn usage(
        &self,
        days: (Option<Day>, Option<Day>),
        cursor: Option<&str>,
    ) -> Result<UsagePage, ClientError> {
        let mut query = between(days);
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.read(self.with_query(Method::GET, &["usage"], &query)).await
    }

    /// How the steps of each arm ended in these days.
    pub async fn arms_usage(&self, days: (Option<Day>, Option<Day>)) -> Result<ArmsUsage, ClientError> {
        self.read(self.with_query(Method::GET, &["arms", "usage"], &between(days))).await
    }

    /// The signal that a component scales on.
    pub async fn scaling(&self, component: Component) -> Result<ScalingView, ClientError> {
        self.read(self.request(Method::GET, &["scaling", component.as_str()])).await
    }

    /// Makes a key. Its secret is in the answer and nowhere else.
    pub async fn create_key(&self, ask: &KeyAsk) -> Result<KeyMade, ClientError> {
        self.read(self.request(Method::POST, &["keys"]).json(ask)).await
    }

    /// The keys that the caller may see.
    pub async fn keys(&self) -> Result<KeyList, ClientError> {
        self.read(self.request(Method::GET, &["keys"])).await
    }

    /// Revokes a key for ever.
    pub async fn revoke_key(&self, id: &KeyId) -> Result<(), ClientError> {
        self.answered(self.request(Method::DELETE, &["keys", id.as_str()])).await.map(drop)
    }

    /// The answer; what it says that was seen is kept.
    pub(super) async fn answered(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        self.transport.answered_with(request, |response| self.seen.learn_of(response)).await
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        body(self.answered(request).await?).await
    }

    pub(super) fn seen(&self) -> SeenWord {
        self.seen.clone()
    }

    pub(super) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.with_query(method, segments, &[])
    }

    fn with_query(&self, method: Method, segments: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let whole: Vec<&str> = ["api", "v1"].into_iter().chain(segments.iter().copied()).collect();
        self.seen.told(self.transport.request(method, &whole, query, &self.key.reveal()))
    }
}

fn between((from, to): (Option<Day>, Option<Day>)) -> Vec<(&'static str, String)> {
    let day = |name: &'static str, day: Option<Day>| day.map(|day| (name, day.to_string()));
    day("from", from).into_iter().chain(day("to", to)).collect()
}
