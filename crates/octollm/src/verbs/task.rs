//! `octollm task`: the tasks of a server.

use super::{Usage, runtime};
use crate::{
    cli::{Server, Submit, TaskVerb},
    config::Named,
    show::{self, Asked, Progress},
};
use anyhow::Context;
use octollm_client::http::{BadBase, Client, ClientError, Tls};
use octollm_contract::{
    Millis, ProblemKind, TaskId,
    api::{Budget, StepView, SubmitTask, TaskInput, TaskStatus, TaskView},
};
use octollm_tls::Trust;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// How long one call waits for the end of a task.
const WAIT: Millis = Millis::from_secs(60);
/// The first and the longest pause between streams that were cut.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A server that tells nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of the server that the command line names.
pub(super) fn client(server: &Server) -> anyhow::Result<Client> {
    let Some(key) = &server.key else {
        return Err(Usage("no key: set OCTOLLM_KEY (or --key) to a key of the server".into()).into());
    };
    let key = key.parse().map_err(|error| Usage(format!("OCTOLLM_KEY (or --key): {error}")))?;
    let tls = match &server.ca {
        Some(_) if !server.url.starts_with("https://") => {
            let why = "--ca (OCTOLLM_CA) is for https, and the key would go in the clear to";
            return Err(Usage(format!("{why} {}", server.url)).into());
        }
        Some(path) => {
            let authorities = Named::option("--ca (OCTOLLM_CA)", path).authorities()?;
            Tls { trust: Trust::Only(authorities), shown: None }
        }
        None => Tls::default(),
    };
    Client::over(&server.url, key, &tls).map_err(|error| match error {
        BadBase::NotAnAddress(_) | BadBase::NamesAUser | BadBase::NoneGiven => {
            Usage(format!("--url (OCTOLLM_URL): {error}")).into()
        }
        BadBase::NoTrust(..) | BadBase::Client(_) => error.into(),
    })
}

pub(super) fn task(server: &Server, verb: TaskVerb) -> anyhow::Result<ExitCode> {
    let client = client(server)?;
    runtime(1)?.block_on(async {
        match verb {
            TaskVerb::Submit(submit) => submitted(&client, submit, server.json).await,
            TaskVerb::Get { id, wait } => {
                let task = if wait { client.wait(id, WAIT).await? } else { client.task(id).await? };
                shown(&task, server.json)
            }
            TaskVerb::Watch { id } => watched(&client, id, server.json).await,
            TaskVerb::List { status, poison, limit, cursor } => {
                let page = client.list(status, poison, cursor.as_deref(), Some(limit)).await?;
                if server.json {
                    show::line(&serde_json::to_string(&page)?);
                } else {
                    let asked = Asked { status, poison, goes_on: cursor.is_some() };
                    show::text(&show::task_list(&page, &asked));
                }
                Ok(ExitCode::SUCCESS)
            }
            TaskVerb::Cancel { id } => shown(&client.cancel(id).await?, server.json),
            TaskVerb::Input { id, text, approve, refuse: _, step: step_id } => {
                let approve = text.is_none().then_some(approve);
                let input = TaskInput { text, approve, step_id };
                shown(&client.input(id, &input).await?, server.json)
            }
        }
    })
}

/// What is sent to the server.
fn request(submit: &Submit) -> SubmitTask {
    SubmitTask {
        goal: submit.goal.clone(),
        priority: submit.priority,
        constraints: Vec::new(),
        context: serde_json::Map::new(),
        acceptance_criteria: Vec::new(),
        budget: Budget {
            max_cost_usd: submit.max_cost,
            max_time_seconds: submit.max_time,
            max_retries: submit.max_retries,
            max_tokens: None,
        },
        deadline: None,
        not_before: None,
        session_id: None,
    }
}

async fn submitted(client: &Client, submit: Submit, json: bool) -> anyhow::Result<ExitCode> {
    let request = request(&submit);
    let key = submit.idempotency_key.map(|key| key.parse()).transpose();
    let key = key.map_err(|error| Usage(format!("--idempotency-key: {error}")))?;
    let accepted = client.submit(&request, key.as_ref()).await?;
    if submit.watch {
        return watched(client, accepted.task_id, json).await;
    }
    if json {
        show::line(&serde_json::to_string(&accepted)?);
    } else {
        show::line(&accepted.task_id.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what one stream brings, until it is cut or the task's last event has come.
async fn tell(
    client: &Client,
    id: TaskId,
    watched: &mut Watched,
    progress: &mut Progress,
) -> Result<(), ClientError> {
    let mut events = client.events(id, watched.told).await?;
    while let Some(event) = events.next().await? {
        // A plan that was written meanwhile has brought it.
        if event.step_id.is_some_and(|step| watched.steps.iter().all(|known| known.step_id != step)) {
            watched.steps = client.task(id).await?.steps;
        }
        progress.tell(&event, &watched.steps);
        watched.told = event.id;
        watched.ended = event.is_terminal();
    }
    Ok(())
}

/// What is known of a task that is watched.
struct Watched {
    steps: Vec<StepView>,
    /// The last event that was told.
    told: u64,
    /// It was the task's last.
    ended: bool,
}

/// Whether waiting may help: the server is away, starts anew or has no room.
fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable(_) => true,
        ClientError::Problem { problem, .. } => {
            matches!(problem.known_kind(), Some(ProblemKind::Overloaded | ProblemKind::Unavailable))
        }
        ClientError::OtherScheme { .. }
        | ClientError::TurnedAway(_)
        | ClientError::NoneShown(_)
        | ClientError::Unreadable { .. } => false,
    }
}

/// How long to pause between streams, and when to give up.
struct Patience {
    pause: Duration,
    fruitless: Duration,
}

impl Patience {
    const fn new() -> Self {
        Patience { pause: PAUSE, fruitless: Duration::ZERO }
    }

    /// The pause after a stream for which `spent` went by; `None` when enough were in vain.
    fn pause(&mut self, progressed: bool, spent: Duration) -> Option<Duration> {
        if progressed {
            *self = Patience::new();
            self.pause = (PAUSE * 2).min(PAUSE_MAX);
            return Some(PAUSE);
        }
        let pause = self.pause;
        self.fruitless += spent + pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        (self.fruitless <= PATIENCE).then_some(pause)
    }
}

async fn watched(client: &Client, id: TaskId, json: bool) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::new(json);
    let mut watched = Watched { steps: client.task(id).await?.steps, told: 0, ended: false };
    let mut patience = Patience::new();
    loop {
        let asked = Instant::now();
        let before = watched.told;
        let cut = match tell(client, id, &mut watched, &mut progress).await {
            Ok(()) => None,
            Err(error) if passes(&error) => Some(error),
            Err(error) => return Err(error.into()),
        };
        if watched.ended {
            break;
        }
        // A stream that stayed open is no sign of a server that is away, even if nothing happened.
        let progressed = watched.told > before || (cut.is_none() && asked.elapsed() > PAUSE_MAX);
        // A stream that ends before its task was cut; the next one goes on behind it.
        match client.task(id).await {
            Ok(task) if task.status.is_terminal() => break,
            Ok(_) => {}
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(pause) = patience.pause(progressed, asked.elapsed()) else {
            progress.finish();
            let gone = anyhow::anyhow!(
                "the server has told nothing of the task for {} s; `octollm task watch {id}` goes on when it is back",
                PATIENCE.as_secs()
            );
            return Err(match cut {
                Some(error) => anyhow::Error::from(error).context(gone.to_string()),
                None => gone,
            });
        };
        tokio::time::sleep(pause).await;
    }
    progress.finish();
    let task = client.task(id).await.context("the task's end cannot be read")?;
    shown(&task, json)?;
    Ok(if task.status == TaskStatus::Completed { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn shown(task: &TaskView, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        show::line(&serde_json::to_string(task)?);
    } else {
        show::text(&show::task(task));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use clap::Parser as _;

    /// P5: no limit that was named is lost on the way.
    #[test]
    fn what_a_task_may_use_is_sent() {
        let words =
            ["octollm", "task", "submit", "g", "--max-cost", "0.5", "--max-time", "9", "--max-retries", "1"];
        let Verb::Task { verb: TaskVerb::Submit(submit), .. } = Cli::try_parse_from(words).unwrap().verb
        else {
            panic!()
        };
        let sent = serde_json::to_value(request(&submit).budget).unwrap();
        let wanted = serde_json::json!({ "max_cost_usd": "0.50", "max_time_seconds": 9, "max_retries": 1 });
        assert_eq!(sent, wanted);
    }

    #[test]
    fn streams_in_vain_are_asked_ever_more_slowly_and_not_for_ever() {
        let mut patience = Patience::new();
        let pauses: Vec<Duration> =
            std::iter::from_fn(|| patience.pause(false, Duration::from_millis(1))).collect();
        assert_eq!(pauses[..5], [200, 400, 800, 1600, 2000].map(Duration::from_millis));
        let all: Duration = pauses.iter().sum();
        assert!(all > Duration::from_secs(55) && all <= PATIENCE, "{all:?}");
        assert_eq!(patience.pause(true, Duration::from_secs(300)), Some(PAUSE));
        assert_eq!(patience.pause(false, Duration::ZERO), Some(PAUSE * 2));
    }
}
