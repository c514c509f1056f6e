//! What the gateway adds to a call of a model: the same questions to `octollm llm-sim` without any
//! latency, asked directly and asked as a step asks, over HTTP through an orchestrator. In one run, by
//! turns, at half and at an eighth of what the gateway can do.
//!
//! Two gateways: over stores in memory, which commit nothing, and over SQLite and a folder, with durable
//! holds and answers.

use crate::{accepts, figures::Sample, figures::rate, raw, server::program};
use anyhow::Context;
use futures_util::StreamExt as _;
use object_store::memory::InMemory;
use octollm_access::{Policy, Role};
use octollm_artefacts::Artefacts;
use octollm_client::{Grant, LeaseAsk, Leases as _, ThinkAsk, http::HttpLeases};
use octollm_contract::{
    ArmName, Edition, Millis,
    api::SubmitTask,
    model::{Ask, Chunk, Message},
};
use octollm_gateway::{Gateway, Parts as GatewayParts, Route};
use octollm_llm::{Catalogue, Kind, Provider, ProviderSettings};
use octollm_orchestrator::{
    App, Caller, NewKey, Parts, Settings, Sweeper,
    http::{Entrance, Metrics, Port, Server, ServerSettings},
};
use octollm_store::{
    MemoryStore, OsEntropy, Store, SystemClock,
    sqlite::{Options, SqliteStore},
};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const CALLERS: u32 = 8;
/// A caller asks for one step after another: no step of a real task asks a thousand questions.
const STEPS: u32 = 64;
const ARTEFACT_BYTES_MAX: u64 = 1 << 20;
const FOR: Duration = Duration::from_secs(6);
/// A model that answers at once.
const SCRIPT: &str = r#"
models = ["gpt-4o"]
[timing]
first_token_ms = { fixed = 0 }
tokens_per_second = { fixed = 1000000 }
[[rule]]
name = "any"
any = '(?s).*'
[[rule.answer]]
text = "Forty-two is the answer to the question, as far as anybody knows, and nobody has asked for more than that."
"#;

pub(crate) fn run() -> anyhow::Result<()> {
    let (folder, database, id) = accepts::stopped_after_one()?;
    let commit = Sample::of(raw::commits(&database, &id, 2000)?);
    drop(folder);
    println!("a bare fsynced commit: {}", commit.line());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let sim = Sim::start()?;
        let folder = tempfile::Builder::new().prefix("octollm-bench-").tempdir_in(".")?;
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let memory = Arc::new(MemoryStore::new(clock.clone(), entropy.clone()));
        let answers = Artefacts::over(Arc::new(InMemory::new()), ARTEFACT_BYTES_MAX);
        let without = Way::through_a_gateway(&sim, memory, answers).await?;
        let sqlite = folder.path().join("sqlite");
        let sqlite = SqliteStore::open(&sqlite, clock, entropy, Options::default())?;
        let answers = Artefacts::in_folder(&folder.path().join("artefacts"), ARTEFACT_BYTES_MAX)?;
        let durable = Way::through_a_gateway(&sim, Arc::new(sqlite), answers).await?;
        let direct = Way::direct(&sim)?;
        compare("without commits", &direct, &without, None).await?;
        compare("with durable holds", &direct, &durable, Some(&commit)).await
    })
}

/// The figures of both ways at shares of the gateway's capacity.
async fn compare(name: &str, direct: &Way, gateway: &Way, commit: Option<&Sample>) -> anyhow::Result<()> {
    let capacity = gateway.capacity().await?;
    println!("\n{name}: {capacity:.0} calls/s at most with {CALLERS} callers");
    for (share, of) in [("half", 2.0), ("an eighth", 8.0)] {
        println!("at {share} of it, {:.0}/s:", capacity / of);
        let first = compare_at(capacity / of, direct, gateway).await?;
        if let Some(commit) = commit {
            let ratio = first.at(950).as_secs_f64() / commit.at(950).as_secs_f64();
            println!("  P95 to the first token is {ratio:.1} × the bare commit's (wanted: at most 4)");
        }
    }
    Ok(())
}

/// The figures of both ways at so many calls/s; the gateway's times to first tokens.
async fn compare_at(rate: f64, direct: &Way, gateway: &Way) -> anyhow::Result<Sample> {
    let (mut firsts, mut wholes) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    // In turn, so that a slower minute of the machine meets both.
    for _ in 0..2 {
        for (at, way) in [direct, gateway].into_iter().enumerate() {
            let (first, whole) = way.at(rate).await?;
            firsts[at].extend(first);
            wholes[at].extend(whole);
        }
    }
    let [first_direct, first] = firsts.map(Sample::of);
    let [whole_direct, whole] = wholes.map(Sample::of);
    for (what, direct, through) in
        [("first token", &first_direct, &first), ("whole answer", &whole_direct, &whole)]
    {
        println!("  {what}, directly:     {}", direct.line());
        println!("  {what}, by a gateway: {}", through.line());
        // The difference of two quantiles, below zero where the direct way was slower.
        let more = |at| 1000.0 * (through.at(at).as_secs_f64() - direct.at(at).as_secs_f64());
        println!("  {what}, more: P50 {:.3} ms, P99 {:.3} ms", more(500), more(990));
    }
    Ok(first)
}

/// `octollm llm-sim`, which answers at once.
struct Sim {
    process: Child,
    base: String,
    _folder: tempfile::TempDir,
}

impl Sim {
    fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let script = folder.path().join("script.toml");
        std::fs::write(&script, SCRIPT)?;
        let mut process = Command::new(program()?)
            .args(["llm-sim", "--listen", "127.0.0.1:0", "--script"])
            .arg(&script)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("stdout is a pipe")?).lines();
        let line = lines.next().context("it says where it listens")??;
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let at = line.find("http://").context("an address")?;
        Ok(Sim { process, base: line[at..].to_owned(), _folder: folder })
    }

    fn provider(&self) -> anyhow::Result<Arc<Provider>> {
        Ok(Arc::new(Provider::new(ProviderSettings::new(Kind::OpenAi, &self.base, None))?))
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        let _may_be_gone = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// How a question reaches the model.
enum Way {
    Direct(Arc<Provider>),
    Gateway { leases: HttpLeases, grants: Vec<Grant>, closed: CancellationToken },
}

impl Drop for Way {
    fn drop(&mut self) {
        match self {
            Way::Direct(_) => {}
            Way::Gateway { closed, .. } => closed.cancel(),
        }
    }
}

impl Way {
    fn direct(sim: &Sim) -> anyhow::Result<Self> {
        Ok(Way::Direct(sim.provider()?))
    }

    /// An orchestrator over `store` on a port of its own, and leased steps for each caller.
    async fn through_a_gateway(
        sim: &Sim,
        store: Arc<dyn Store>,
        artefacts: Artefacts,
    ) -> anyhow::Result<Self> {
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let gateway = Gateway::new(GatewayParts {
            store: Arc::clone(&store),
            artefacts: artefacts.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            routes: vec![Route::new("sim", vec!["gpt-4o".to_owned()], sim.provider()?)],
            catalogue: Catalogue::built_in(),
        });
        let settings =
            Settings { gateway: Some(gateway), lease_ttl: Millis::from_secs(600), ..Settings::default() };
        let app = App::new(Parts { store, artefacts, clock, entropy }, settings);
        let caller = Caller::local(Policy::default_admin());
        for _ in 0..CALLERS * STEPS {
            let request: SubmitTask = serde_json::from_str(r#"{"goal":"Ponder this"}"#)?;
            app.submit(&caller, request, None).await?;
        }
        let key = NewKey {
            role: Role::Arm,
            tenant: None,
            scopes: None,
            policy: Some(Policy::default_admin()),
            label: "bench".into(),
        };
        let key = app.create_key(&caller, key).await?.key;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let closed = CancellationToken::new();
        let metrics = Metrics::new(Sweeper::start(Arc::clone(&app)).finds());
        let (entrance, until) = (Entrance::Plain(listener), closed.clone());
        tokio::spawn(Server::serve(entrance, app, metrics, Port::Whole, ServerSettings::default(), until));
        let leases = HttpLeases::new(&[base], key, 0)?;
        let mut grants = Vec::new();
        while grants.len() < (CALLERS * STEPS) as usize {
            let ask = LeaseAsk {
                worker: "bench".parse()?,
                arms: vec![ArmName::Planner],
                tools: [].into(),
                most: 16,
                wait: Millis::from_secs(5),
                reads: Edition::NEWEST,
            };
            grants.extend(leases.lease(ask).await?);
        }
        Ok(Way::Gateway { leases, grants, closed })
    }

    /// Time to the first token and to the end of one call, the `number`-th of this caller.
    async fn call(&self, caller: u32, number: u32) -> anyhow::Result<(Duration, Duration)> {
        let ask = Ask::new("gpt-4o", vec![Message::user(format!("Question {caller}/{number}?"))], 64);
        let began = Instant::now();
        let mut first = None;
        match self {
            Way::Direct(provider) => {
                let mut answering = provider.call(&ask).await?;
                while let Some(chunk) = answering.next().await {
                    heard(&chunk?, began, &mut first);
                }
            }
            Way::Gateway { leases, grants, .. } => {
                let step = (caller * STEPS + number % STEPS) as usize;
                let mut thinking = leases.think(&grants[step].token, ThinkAsk { number, ask }).await?;
                while let Some(chunk) = thinking.next().await {
                    heard(&chunk?, began, &mut first);
                }
            }
        }
        Ok((first.context("an answer has a text")?, began.elapsed()))
    }

    /// Calls/s when each caller asks again at once.
    async fn capacity(&self) -> anyhow::Result<f64> {
        let numbers = Numbers::fresh();
        let until = Instant::now() + FOR / 2;
        let callers = (0..CALLERS).map(async |caller| {
            let mut calls = 0;
            while Instant::now() < until {
                self.call(caller, numbers.next(calls)).await?;
                calls += 1;
            }
            anyhow::Ok(calls)
        });
        let calls: Vec<u32> = futures_util::future::try_join_all(callers).await?;
        Ok(rate(calls.iter().sum::<u32>() as usize, FOR / 2))
    }

    /// First tokens and whole answers at `rate` calls/s; a caller that is late asks at once and
    /// its lateness counts.
    async fn at(&self, rate: f64) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
        let numbers = Numbers::fresh();
        let every = Duration::from_secs_f64(f64::from(CALLERS) / rate);
        let began = Instant::now() + Duration::from_millis(20);
        let callers = (0..CALLERS).map(async |caller| {
            let mut due = began + every.mul_f64(f64::from(caller) / f64::from(CALLERS));
            let (mut firsts, mut wholes, mut calls) = (Vec::new(), Vec::new(), 0);
            while due < began + FOR {
                // Who is still busy when a call is due is late; who wakes late, by a timer of whole
                // milliseconds, is not.
                let late = Instant::now().saturating_duration_since(due);
                tokio::time::sleep_until(due.into()).await;
                let (first, whole) = self.call(caller, numbers.next(calls)).await?;
                firsts.push(first + late);
                wholes.push(whole + late);
                calls += 1;
                due += every;
            }
            anyhow::Ok((firsts, wholes))
        });
        let all = futures_util::future::try_join_all(callers).await?;
        let (firsts, wholes): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        Ok((firsts.concat(), wholes.concat()))
    }
}

/// Numbers that no earlier run of this process has used: an answered one is answered from the record.
struct Numbers(u32);

impl Numbers {
    fn fresh() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static RUNS: AtomicU32 = AtomicU32::new(0);
        Numbers(RUNS.fetch_add(1, Ordering::Relaxed) * 1_000_000 + 1)
    }

    const fn next(&self, calls: u32) -> u32 {
        self.0 + calls
    }
}

fn heard(chunk: &Chunk, began: Instant, first: &mut Option<Duration>) {
    if let Chunk::Text { .. } = chunk {
        first.get_or_insert_with(|| began.elapsed());
    }
}
