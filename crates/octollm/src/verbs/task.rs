//! `octollm task`: the tasks of a server.

use super::{Usage, runtime};
use crate::{
    cli::{Server, Submit, TaskVerb},
    show::{self, Progress},
};
use anyhow::Context;
use octollm_client::http::Client;
use octollm_contract::{
    Millis, TaskId,
    api::{Budget, SubmitTask, TaskInput, TaskStatus, TaskView},
};
use std::process::ExitCode;

/// How long one call waits for the end of a task.
const WAIT: Millis = Millis::from_secs(60);

/// A client of the server that the command line names.
pub(super) fn client(server: &Server) -> anyhow::Result<Client> {
    let Some(key) = &server.key else {
        return Err(Usage("no key: set OCTOLLM_KEY (or --key) to a key of the server".into()).into());
    };
    let key = key.parse().map_err(|error| Usage(format!("OCTOLLM_KEY (or --key): {error}")))?;
    Ok(Client::new(&server.url, key)?)
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
                    show::text(&show::task_list(&page));
                }
                Ok(ExitCode::SUCCESS)
            }
            TaskVerb::Cancel { id } => shown(&client.cancel(id).await?, server.json),
            TaskVerb::Input { id, approve, refuse: _ } => {
                let input = TaskInput { text: None, approve: Some(approve) };
                shown(&client.input(id, &input).await?, server.json)
            }
        }
    })
}

async fn submitted(client: &Client, submit: Submit, json: bool) -> anyhow::Result<ExitCode> {
    let request = SubmitTask {
        goal: submit.goal,
        priority: submit.priority,
        constraints: Vec::new(),
        context: serde_json::Map::new(),
        acceptance_criteria: Vec::new(),
        budget: Budget {
            max_time_seconds: submit.max_time,
            max_retries: submit.max_retries,
            ..Budget::default()
        },
        deadline: None,
        not_before: None,
        session_id: None,
    };
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

async fn watched(client: &Client, id: TaskId, json: bool) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::new(json);
    let steps = client.task(id).await?.steps;
    let mut told = 0;
    loop {
        let mut events = client.events(id, told).await?;
        let mut ended = false;
        while let Some(event) = events.next().await? {
            told = event.id;
            ended = matches!(event.event.as_str(), "task.completed" | "task.failed" | "task.cancelled");
            progress.tell(&event, &steps);
        }
        // A stream that ends before its task was cut; the next one goes on behind it.
        if ended || client.task(id).await?.status.is_terminal() {
            break;
        }
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
