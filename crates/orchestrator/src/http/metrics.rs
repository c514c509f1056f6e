//! The metrics: names and label values are declared here, once, and a test holds the list.
//!
//! Queue figures are read from the store at the scrape, one truth over all tenants: never sum
//! them over processes.

use super::{
    Serving,
    extract::{Authed, MetricsRead},
    refusal::{Problems, Refused},
};
use crate::{
    Finds,
    app::{oldest_seconds, per_second},
};
use axum::{
    extract::State,
    http::{Method, header},
    response::{IntoResponse as _, Response},
};
use octollm_contract::{ArmName, Component, api::ScalingView};
use octollm_gateway::ModelFigures;
use octollm_store::ReplicaView;
use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric as _, LabelValueEncoder,
        text::{encode_eof, encode_registry},
    },
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::Registry,
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Seconds: from an accept on a fast disk to a request that something is wrong with.
const LATENCY_BUCKETS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The routes whose latency is measured. Streams, long polls and leases take as long as they wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    Submit,
    List,
    Get,
    Cancel,
    Input,
    Artefact,
    Keys,
    Arms,
    Scaling,
    Usage,
    Heartbeat,
    Report,
}

impl Endpoint {
    const ALL: [Endpoint; 12] = [
        Endpoint::Submit,
        Endpoint::List,
        Endpoint::Get,
        Endpoint::Cancel,
        Endpoint::Input,
        Endpoint::Artefact,
        Endpoint::Keys,
        Endpoint::Arms,
        Endpoint::Scaling,
        Endpoint::Usage,
        Endpoint::Heartbeat,
        Endpoint::Report,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Endpoint::Submit => "submit",
            Endpoint::List => "list",
            Endpoint::Get => "get",
            Endpoint::Cancel => "cancel",
            Endpoint::Input => "input",
            Endpoint::Artefact => "artefact",
            Endpoint::Keys => "keys",
            Endpoint::Arms => "arms",
            Endpoint::Scaling => "scaling",
            Endpoint::Usage => "usage",
            Endpoint::Heartbeat => "heartbeat",
            Endpoint::Report => "report",
        }
    }

    pub(super) fn of(method: &Method, route: Option<&str>) -> Option<Self> {
        match route? {
            "/api/v1/tasks" if method == Method::POST => Some(Endpoint::Submit),
            "/api/v1/tasks" => Some(Endpoint::List),
            "/api/v1/tasks/{id}" => Some(Endpoint::Get),
            "/api/v1/tasks/{id}/cancel" => Some(Endpoint::Cancel),
            "/api/v1/tasks/{id}/input" => Some(Endpoint::Input),
            "/api/v1/tasks/{id}/artefacts/{*path}" => Some(Endpoint::Artefact),
            "/api/v1/keys" | "/api/v1/keys/{id}" => Some(Endpoint::Keys),
            "/api/v1/arms" => Some(Endpoint::Arms),
            "/api/v1/scaling/{component}" => Some(Endpoint::Scaling),
            "/api/v1/usage" | "/api/v1/arms/usage" => Some(Endpoint::Usage),
            "/internal/v1/heartbeat" => Some(Endpoint::Heartbeat),
            route if route.starts_with("/internal/v1/step/") => Some(Endpoint::Report),
            _ => None,
        }
    }
}

impl EncodeLabelValue for Endpoint {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(self.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AtEndpoint {
    endpoint: Endpoint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ComponentLabel(Component);

impl EncodeLabelValue for ComponentLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(self.0.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfComponent {
    component: ComponentLabel,
}

type ByComponent<N, A> = Family<OfComponent, Gauge<N, A>>;

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    latency: Family<AtEndpoint, Histogram>,
    queue_depth: ByComponent<i64, std::sync::atomic::AtomicI64>,
    arm_depth: Vec<(ArmName, Gauge)>,
    oldest: ByComponent<f64, AtomicU64>,
    running: ByComponent<i64, std::sync::atomic::AtomicI64>,
    late: Counter,
    in_flight: Arc<AtomicU64>,
    ended: Mutex<LastMinute>,
}

/// What the sweeper counts, in the form of the exposition.
#[derive(Debug)]
struct Sweeps(Arc<Finds>);

impl Collector for Sweeps {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, count) in [
            ("octollm_leases_lapsed", "Leases that ran out, or whose worker or server died", self.0.lapsed()),
            ("octollm_deadlines_passed", "Tasks whose deadline passed", self.0.overdue()),
            (
                "octollm_sweep_repairs",
                "Tasks that a sweep found between states; zero in healthy runs",
                self.0.repaired(),
            ),
            (
                "octollm_llm_calls_presumed_spent",
                "Model calls that nobody settled, such as after a crash; all that was held for them counts as spent",
                self.0.presumed(),
            ),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

/// A request in flight; it ends with this.
pub(super) struct InFlight<'a>(&'a Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.lock().unwrap_or_else(PoisonError::into_inner).add(Instant::now());
    }
}

impl Metrics {
    /// All metrics at zero; `finds` counts what sweeps find.
    #[must_use]
    pub fn new(finds: Arc<Finds>) -> Arc<Self> {
        let mut registry = Registry::default();
        let latency =
            Family::<AtEndpoint, Histogram>::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS));
        for endpoint in Endpoint::ALL {
            drop(latency.get_or_create(&AtEndpoint { endpoint }));
        }
        registry.register(
            "octollm_api_latency_seconds",
            "Time from a request's head to its answer, without long polls, leases and streams",
            latency.clone(),
        );
        let queue_depth = ByComponent::default();
        registry.register(
            "octollm_task_queue_depth",
            "Steps that a worker could start now, over all tenants",
            queue_depth.clone(),
        );
        let mut arm_depth = Vec::new();
        for arm in ArmName::ALL {
            let gauge = Gauge::default();
            registry.register(
                format!("octollm_{arm}_queue_depth"),
                "Steps that a worker of this arm could start now, over all tenants",
                gauge.clone(),
            );
            arm_depth.push((*arm, gauge));
        }
        let oldest = ByComponent::default();
        registry.register("octollm_queue_oldest_seconds", "Age of the oldest ready step", oldest.clone());
        let running = ByComponent::default();
        registry.register("octollm_steps_running", "Steps at work, over all tenants", running.clone());
        for arm in ArmName::ALL {
            let of = OfComponent { component: ComponentLabel(Component::from(*arm)) };
            for family in [&queue_depth, &running] {
                drop(family.get_or_create(&of));
            }
            drop(oldest.get_or_create(&of));
        }
        registry.register_collector(Box::new(Sweeps(finds)));
        let late = Counter::default();
        registry.register(
            "octollm_lease_writes_refused",
            "What a step's worker has sent after its lease was over, such as one that stood still meanwhile",
            late.clone(),
        );
        Arc::new(Metrics {
            registry,
            latency,
            queue_depth,
            arm_depth,
            oldest,
            running,
            late,
            in_flight: Arc::default(),
            ended: Mutex::default(),
        })
    }

    pub(super) fn request_begins(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// So much of what was sent came after its step's lease was over.
    pub(super) fn came_too_late(&self, count: usize) {
        self.late.inc_by(count as u64);
    }

    pub(super) fn answered(&self, endpoint: Endpoint, after: Duration) {
        self.latency.get_or_create(&AtEndpoint { endpoint }).observe(after.as_secs_f64());
    }

    /// The orchestrator's own signal: its requests.
    pub(super) fn own_load(&self) -> ScalingView {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ScalingView {
            component: Component::Orchestrator,
            ready: 0,
            leased: self.in_flight.load(Ordering::Relaxed),
            oldest_seconds: 0.0,
            rate_per_second: per_second(ended.count(Instant::now())),
        }
    }

    async fn text(&self, app: &crate::App) -> Result<String, Refused> {
        for (arm, depth) in &self.arm_depth {
            let backlog = app.backlog(*arm).await?;
            let of = OfComponent { component: ComponentLabel(Component::from(*arm)) };
            let figure = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            depth.set(figure(backlog.ready));
            self.queue_depth.get_or_create(&of).set(figure(backlog.ready));
            self.running.get_or_create(&of).set(figure(backlog.leased));
            self.oldest.get_or_create(&of).set(oldest_seconds(&backlog, app.now()));
        }
        let mut text = String::new();
        let models = app.settings.gateway.as_ref().map(|gateway| models(&gateway.figures()));
        let seen = app.replicas().await;
        let replicas = (!seen.is_empty()).then(|| replicas(&seen));
        for registry in [Some(&self.registry), models.as_ref(), replicas.as_ref()].into_iter().flatten() {
            encode_registry(&mut text, registry).expect("a String takes text");
        }
        encode_eof(&mut text).expect("a String takes text");
        Ok(text)
    }
}

/// What models have used since the start of this process. The models are those of the
/// configuration, so there are few.
fn models(figures: &BTreeMap<String, ModelFigures>) -> Registry {
    let mut registry = Registry::default();
    let tokens = Family::<OfModel, Counter>::default();
    let cost = Family::<Model, Counter<f64, AtomicU64>>::default();
    let unpriced = Family::<Model, Counter>::default();
    for (model, used) in figures {
        for (kind, count) in [
            ("input", used.input),
            ("output", used.output),
            ("cache_read", used.cache_read),
            ("cache_write", used.cache_write),
        ] {
            tokens.get_or_create(&OfModel { model: model.clone(), kind }).inc_by(count);
        }
        let of = Model { model: model.clone() };
        #[expect(clippy::cast_precision_loss, reason = "metrics are floats; the ledger is exact")]
        cost.get_or_create(&of).inc_by(used.cost.get() as f64 / 1e6);
        unpriced.get_or_create(&of).inc_by(used.unpriced);
    }
    registry.register("octollm_llm_tokens", "Tokens of model calls that were charged", tokens);
    registry.register("octollm_llm_cost_usd", "Known cost of model calls, in US dollars", cost);
    registry.register("octollm_llm_unpriced_calls", "Model calls whose cost nobody knows", unpriced);
    registry
}

/// The replicas of the store. They are those of the configuration, so there are few.
fn replicas(views: &[ReplicaView]) -> Registry {
    let mut registry = Registry::default();
    let lag = Family::<OfReplica, Gauge<f64, AtomicU64>>::default();
    let serves = Family::<OfReplica, Gauge>::default();
    let reads = Family::<OfReplica, Counter>::default();
    for view in views {
        let of = OfReplica { replica: view.name.clone() };
        // What nobody knows is not told as 0.
        if let Some(behind) = view.lag {
            // To a millisecond: what is finer is noise.
            #[expect(clippy::cast_precision_loss, reason = "a lag of 285,000 years is none")]
            let millis = behind.as_millis() as f64;
            lag.get_or_create(&of).set(millis / 1000.0);
        }
        serves.get_or_create(&of).set(i64::from(view.serves));
        reads.get_or_create(&of).inc_by(view.reads);
    }
    registry.register(
        "octollm_replica_lag_seconds",
        "How far a replica is behind, as it says itself; nothing of one that does not say so",
        lag,
    );
    registry.register("octollm_replica_serves", "1 while reads go to the replica", serves);
    registry.register("octollm_replica_reads", "Reads that the replica has answered", reads);
    registry
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReplica {
    replica: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Model {
    model: String,
}

/// How many in each of the last sixty seconds.
#[derive(Default)]
struct LastMinute {
    seconds: VecDeque<(u64, u64)>,
    since: Option<Instant>,
}

impl LastMinute {
    fn add(&mut self, now: Instant) {
        let second = self.second(now);
        match self.seconds.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            Some(_) | None => self.seconds.push_back((second, 1)),
        }
        self.forget(second);
    }

    fn count(&mut self, now: Instant) -> u64 {
        let second = self.second(now);
        self.forget(second);
        self.seconds.iter().map(|(_, count)| count).sum()
    }

    fn second(&mut self, now: Instant) -> u64 {
        now.duration_since(*self.since.get_or_insert(now)).as_secs()
    }

    fn forget(&mut self, second: u64) {
        while self.seconds.front().is_some_and(|(old, _)| old + 60 <= second) {
            self.seconds.pop_front();
        }
    }
}

/// The metrics, as OpenMetrics text.
#[utoipa::path(
    get, path = "/metrics", tag = "observe",
    responses(
        (status = 200, body = String, content_type = "application/openmetrics-text"),
        Problems,
    ),
    security(("key" = ["metrics:read"]))
)]
pub(super) async fn scrape(
    State(serving): State<Serving>,
    _: Authed<MetricsRead>,
) -> Result<Response, Refused> {
    let text = serving.metrics.text(&serving.app).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_for_a_minute() {
        let mut last = LastMinute::default();
        let start = Instant::now();
        last.add(start);
        last.add(start + Duration::from_secs(30));
        assert_eq!(last.count(start + Duration::from_secs(59)), 2);
        assert_eq!(last.count(start + Duration::from_secs(60)), 1);
        assert_eq!(last.count(start + Duration::from_secs(90)), 0);
    }

    #[test]
    fn every_metric_has_its_name() {
        let metrics = Metrics::new(Arc::default());
        let mut text = String::new();
        encode_registry(&mut text, &metrics.registry).unwrap();
        let used = ModelFigures { input: 3, unpriced: 1, ..ModelFigures::default() };
        encode_registry(&mut text, &models(&BTreeMap::from([("m".to_owned(), used)]))).unwrap();
        let well = ReplicaView {
            name: "db-2:5432".into(),
            lag: Some(Duration::from_nanos(100_300_001)),
            serves: true,
            reads: 3,
        };
        let gone = ReplicaView { name: "db-3".into(), lag: None, serves: false, reads: 0 };
        encode_registry(&mut text, &replicas(&[well, gone])).unwrap();
        let samples: Vec<&str> = text.lines().filter(|line| line.starts_with("octollm_replica_")).collect();
        assert_eq!(samples.len(), 5, "{samples:?}");
        assert!(samples.contains(&"octollm_replica_lag_seconds{replica=\"db-2:5432\"} 0.1"), "{samples:?}");
        assert!(samples.contains(&"octollm_replica_serves{replica=\"db-3\"} 0"), "{samples:?}");
        assert!(text.contains("octollm_llm_tokens_total{model=\"m\",kind=\"input\"} 3"), "{text}");
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        insta::assert_snapshot!(names.join("\n"), @r"
        octollm_api_latency_seconds histogram
        octollm_task_queue_depth gauge
        octollm_planner_queue_depth gauge
        octollm_executor_queue_depth gauge
        octollm_coder_queue_depth gauge
        octollm_judge_queue_depth gauge
        octollm_guardian_queue_depth gauge
        octollm_retriever_queue_depth gauge
        octollm_queue_oldest_seconds gauge
        octollm_steps_running gauge
        octollm_lease_writes_refused counter
        octollm_leases_lapsed counter
        octollm_deadlines_passed counter
        octollm_sweep_repairs counter
        octollm_llm_calls_presumed_spent counter
        octollm_llm_tokens counter
        octollm_llm_cost_usd counter
        octollm_llm_unpriced_calls counter
        octollm_replica_lag_seconds gauge
        octollm_replica_serves gauge
        octollm_replica_reads counter
        ");
    }
}
