//! `octollm run`: the whole stack in this process, for one goal.

use super::{Usage, data, log, models, runtime, signals, temporary};
use crate::{
    cli::Run,
    config::Config,
    show::{self, Person, Progress, Reason},
};
use anyhow::Context;
use octollm_arms::{Arm, Coder, Executor, ExecutorSettings, Judge, Planner, Worker, WorkerSettings};
use octollm_contract::{
    Millis, Priority, TaskId,
    api::{ArtefactView, Awaited, Budget, SubmitTask, TaskResult, TaskStatus, TaskView},
};
use octollm_orchestrator::{App, Caller, LocalLeases, ReadError, SteerError, Sweeper, WholeResult};
use octollm_plan::rules::{self, Place};
use octollm_store::{Seen, sqlite::Durability};
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// So many names of the current folder are known to the planner.
const ENTRIES_MAX: usize = 100_000;
/// How many events are read at once.
const EVENTS_PAGE: usize = 100;
/// As shells say that a program was ended by Ctrl-C.
const INTERRUPTED: u8 = 130;
/// How long a cancelled run waits for its steps to stop.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub(super) fn run(run: Run, config: &Config) -> anyhow::Result<ExitCode> {
    log::configured(config)?;
    let home = data::home().and_then(|home| home.into_os_string().into_string().ok());
    let (entries, folders) = entries(&run.goal, home.as_deref());
    let place = Place { home, cwd: cwd(), entries, folders, ..Place::default() };
    let has_model = !config.model_servers.is_empty();
    if run.max_cost.is_some() && !has_model {
        let why = "--max-cost: no model is configured, so there is nothing to limit; leave it out";
        return Err(Usage(why.into()).into());
    }
    if let Some(out) = run.out.as_ref().filter(|out| out.exists() && !out.is_dir()) {
        let why = "is no folder; name one that files may be put into";
        return Err(Usage(format!("--out: {} {why}", out.display())).into());
    }
    // Refused before anything is made. The plan of an understood goal says what it may touch, and
    // asks no model; a goal that is not understood may touch what it names.
    let (policy, thinks) = match rules::plan(&run.goal, &place) {
        Ok(plan) => (plan.with_private_hosts(&run.allow_host).exactly(), false),
        Err(why) if has_model && why.needs_model() => {
            (octollm_plan::named(&run.goal, &place, &run.allow_host, |path| Path::new(path).exists()), true)
        }
        Err(why) => return Ok(refused(&why.to_string(), run.json)),
    };
    let temporary = temporary::folder()?;
    let (folder, durability) = match run.data.as_ref().or(config.data.as_ref()) {
        Some(folder) => (folder.clone(), Durability::Full),
        None => (temporary.path().join("data"), Durability::Process),
    };
    let code = runtime(2)?.block_on(async {
        let models = if thinks { models::configured(config, models::Unlisted::Fail).await? } else { None };
        let storage = data::Storage::Folder(durability);
        let (app, _, _) = data::open(&folder, storage, place, config, models).await?;
        let scratch = temporary.path().join("scratch");
        fs::create_dir(&scratch).with_context(|| format!("{} cannot be made", scratch.display()))?;
        let arms = arms(&scratch, data::closed(&folder, config));
        // Without a model nothing costs anything, and any limit is kept.
        let budget = Budget {
            max_time_seconds: run.max_time,
            max_cost_usd: run.max_cost.filter(|_| thinks),
            ..Budget::default()
        };
        reach(&app, Caller::local(policy), &run, budget, config, arms).await
    });
    let removed = temporary.close();
    // What went wrong first is told; what is left behind is only told when nothing else did.
    let code = code?;
    removed.context("the temporary folder cannot be removed")?;
    Ok(code)
}

fn cwd() -> Option<String> {
    std::env::current_dir().ok()?.into_os_string().into_string().ok()
}

/// The names in the current folder, the paths of the goal that are there, and those of them that are folders; a name
/// that is not UTF-8 cannot stand in a goal either.
fn entries(goal: &str, home: Option<&str>) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut entries, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(".").into_iter().flatten().flatten().take(ENTRIES_MAX) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A link to a folder is listed like one.
        if entry.path().is_dir() {
            folders.insert(name.clone());
        }
        entries.insert(name);
    }
    for path in rules::paths(goal) {
        let whole = match (path.strip_prefix("~/"), home) {
            (Some(below), Some(home)) => Path::new(home).join(below),
            (Some(_) | None, _) => PathBuf::from(&path),
        };
        let Ok(there) = fs::metadata(whole) else { continue };
        if there.is_dir() {
            folders.insert(path.clone());
        }
        entries.insert(path);
    }
    (entries, folders)
}

fn refused(why: &str, json: bool) -> ExitCode {
    show::ended(Reason::Refused, why, json);
    ExitCode::from(1)
}

async fn reach(
    app: &Arc<App>,
    caller: Caller,
    run: &Run,
    budget: Budget,
    config: &Config,
    arms: Vec<Arc<dyn Arm>>,
) -> anyhow::Result<ExitCode> {
    let shutdown = signals::shutdown()?;
    let request = SubmitTask {
        goal: run.goal.clone(),
        priority: Priority::Medium,
        constraints: Vec::new(),
        context: serde_json::Map::new(),
        acceptance_criteria: Vec::new(),
        budget,
        deadline: None,
        not_before: None,
        session_id: None,
    };
    let task = match app.submit(&caller, request, None).await {
        Ok(accepted) => accepted.task,
        Err(why) => return Ok(refused(&why.to_string(), run.json)),
    };
    let sweeper = Sweeper::start(Arc::clone(app));
    let drained = CancellationToken::new();
    let worker = Worker::new(
        Arc::new(LocalLeases::new(Arc::clone(app))),
        arms,
        WorkerSettings {
            worker: format!("run-{}", std::process::id()).parse().expect("a number is a worker id"),
            leased_from: "this process".to_owned(),
            slots: config.slots,
            // In one process a poll costs nothing, and the end waits for one.
            poll: Millis::new(200),
            grace: Millis::ZERO,
        },
    );
    let working = tokio::spawn(worker.run(drained.clone()));
    let unanswered = follow(app, &caller, task, run.json, &shutdown).await?;
    drained.cancel();
    app.drain();
    working.await.context("the worker failed")?;
    app.settle_calls(LAST_WORDS).await;
    // What the last calls cost is known now.
    let view = app.task(&caller, task).await?;
    sweeper.stop().await;
    let code = conclude(app, &caller, view, run).await?;
    let Some(question) = unanswered else { return Ok(code) };
    let asks = format!(
        "the task asks, and nobody can answer here: {}\n\
         Put the answer into the goal, or run it where standard input is a terminal.",
        show::unbroken(&question)
    );
    show::ended(Reason::Unanswered, &asks, run.json);
    Ok(ExitCode::from(1))
}

/// The arms that this version has. Workspaces of steps lie below `scratch` while they run; no
/// program that a step runs may read the `data` folder.
pub(super) fn arms(scratch: &Path, closed: Vec<PathBuf>) -> Vec<Arc<dyn Arm>> {
    let settings =
        ExecutorSettings { scratch: scratch.to_owned(), closed, kernel: octollm_sandbox::Kernel::probe() };
    vec![
        Arc::new(Planner),
        Arc::new(Executor::new(settings.clone())),
        Arc::new(Coder::new(settings)),
        Arc::new(Judge),
    ]
}

/// Tells of the task's events until its end, and puts its questions to whoever is at the terminal. A
/// question that nobody can answer cancels the task; it is given back.
async fn follow(
    app: &App,
    caller: &Caller,
    task: TaskId,
    json: bool,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<String>> {
    let mut progress = Progress::new(json).beside_questions();
    let mut watch = app.watch_task(task);
    let mut person = Person::new();
    let (mut asked, mut unanswered) = (None, None);
    let mut told = 0;
    let mut cancelled = false;
    loop {
        let view = app.task(caller, task).await?;
        loop {
            let events = app.events(caller, task, told, EVENTS_PAGE).await?;
            let Some(last) = events.last() else { break };
            told = last.id;
            // Read after them: a step that an event tells of is in it.
            let view = app.task(caller, task).await?;
            for event in &events {
                progress.tell(event, &view.steps);
            }
        }
        if view.status.is_terminal() {
            progress.finish();
            return Ok(unanswered);
        }
        let step = view.awaits_step_id;
        let question = view.question.filter(|_| view.status == TaskStatus::Waiting && !cancelled);
        // Two questions may have the same words.
        let question = question.map(|question| (question, step));
        let awaits = view.awaits.unwrap_or(Awaited::Answer);
        if question != asked {
            if let Some((question, _)) = &question {
                progress.finish();
                if !person.ask(question, awaits) {
                    (cancelled, unanswered) = (true, Some(question.clone()));
                    app.cancel(caller, task).await?;
                    continue;
                }
            } else {
                progress.resume();
            }
            asked = question;
        }
        tokio::select! {
            () = watch.changed() => {}
            answer = person.answer(awaits, step), if asked.is_some() => match answer {
                Some(answer) => match app.input(caller, task, answer).await {
                    Ok(_) => {
                        asked = None;
                        progress.resume();
                    }
                    // An answer that cannot be taken is asked for again; a task that has ended is told above.
                    Err(SteerError::NoAnswer | SteerError::NotOneInput) => asked = None,
                    Err(
                        SteerError::Refused(_)
                        | SteerError::OtherInput { .. }
                        | SteerError::OtherStep { .. }
                        | SteerError::WhichQuestion { .. },
                    ) => {}
                    Err(error) => return Err(error.into()),
                },
                None => {
                    (cancelled, unanswered) = (true, asked.take().map(|(question, _)| question));
                    app.cancel(caller, task).await?;
                }
            },
            () = shutdown.cancelled(), if !cancelled => {
                cancelled = true;
                app.cancel(caller, task).await?;
            }
            () = tokio::time::sleep(LAST_WORDS), if cancelled => {
                progress.finish();
                anyhow::bail!("interrupted; a step did not stop in time");
            }
        }
    }
}

/// Prints the result or the reason, then puts files where they belong: what the task found is
/// not lost when a file cannot be written or read.
async fn conclude(app: &App, caller: &Caller, mut view: TaskView, run: &Run) -> anyhow::Result<ExitCode> {
    // Whoever looks at a terminal is shown a beginning; what a program reads is all there is.
    let shown_cut = !run.json && show::output_on_terminal();
    let whole = app.whole_result(caller, view.task_id).await;
    let (whole, unread) = whole_or_beginning(whole, view.result.as_mut(), shown_cut);
    if run.json {
        show::line(&serde_json::to_string(&view)?);
    }
    let code = match (&view.result, &view.error) {
        (Some(result), _) => {
            if !run.json {
                show::line(result.text.trim_end_matches('\n'));
            }
            ExitCode::SUCCESS
        }
        (None, Some(error)) => {
            show::note(&format!("failed ({}): {}", error.reason, show::indented(&error.message)));
            ExitCode::from(1)
        }
        // Only an interrupt cancels a task of `run`.
        (None, None) => {
            show::note(view.status.as_str());
            ExitCode::from(INTERRUPTED)
        }
    };
    if let Some(closing) = show::closing(&view).filter(|_| !run.json) {
        show::note(&closing);
    }
    if let Some(why) = unread {
        put_readable(app, caller, &view, run).await?;
        return Err(why);
    }
    let (mut texts, mut files) = (whole.texts, whole.files);
    if run.out.is_some() {
        files.append(&mut texts);
    }
    let put = if files.is_empty() {
        Ok(Put::WhereItWasWanted)
    } else {
        put_somewhere(app, caller, &view, &files, run).await
    };
    if shown_cut && !texts.is_empty() {
        // Nobody has asked for a file in the working folder, nor for this one: without it nothing has failed.
        let folder = std::env::temp_dir().join(own_folder(&view));
        match put_files(app, caller, &view, &texts, &folder).await {
            Ok(()) => {
                let path = |text: &ArtefactView| folder.join(&text.path).display().to_string();
                let texts: Vec<String> = texts.iter().map(path).collect();
                show::note(&format!("all of the output is in {}", texts.join(" and ")));
            }
            Err(why) => show::note(&format!("all of the output is put nowhere: {why:#}")),
        }
    }
    Ok(match put? {
        Put::WhereItWasWanted => code,
        Put::Elsewhere => ExitCode::from(1),
    })
}

/// The task's result with nothing cut, which `result` then shows unless it is `shown_cut`. When that cannot be
/// read `result` keeps the beginning that it has, and why is given back.
fn whole_or_beginning(
    whole: Result<WholeResult, ReadError>,
    result: Option<&mut TaskResult>,
    shown_cut: bool,
) -> (WholeResult, Option<anyhow::Error>) {
    match (whole, result) {
        (Ok(mut whole), Some(result)) if !shown_cut => {
            result.text = std::mem::take(&mut whole.text);
            (whole, None)
        }
        (Ok(whole), _) => (whole, None),
        (Err(why), Some(_)) => {
            let why = anyhow::Error::from(why).context("only the beginning of the output can be read");
            (WholeResult::default(), Some(why))
        }
        // How the task ended is told, and there is nothing else to read.
        (Err(_), None) => (WholeResult::default(), None),
    }
}

/// Puts those files of the result that can be read; which cannot is told.
async fn put_readable(app: &App, caller: &Caller, view: &TaskView, run: &Run) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for file in view.result.iter().flat_map(|result| &result.artefacts) {
        match app.artefact(caller, Seen::NOTHING, view.task_id, &file.path).await {
            Ok(_) => files.push(file.clone()),
            Err(why) => show::note(&format!("{} cannot be read: {why}", file.path)),
        }
    }
    if !files.is_empty() {
        put_somewhere(app, caller, view, &files, run).await?;
    }
    Ok(())
}

/// Where files were put.
enum Put {
    /// Where `--out` says, or without it anywhere.
    WhereItWasWanted,
    /// Not where `--out` says.
    Elsewhere,
}

/// The name of the folder that is made for a task's files.
fn own_folder(view: &TaskView) -> PathBuf {
    PathBuf::from(format!("octollm-{}", view.task_id))
}

/// Puts the task's files where `--out` says, else into a folder of their own here, else among the temporary
/// files: they may have been paid for, and the data folder goes with this process.
async fn put_somewhere(
    app: &App,
    caller: &Caller,
    view: &TaskView,
    files: &[ArtefactView],
    run: &Run,
) -> anyhow::Result<Put> {
    let told = |folder: &Path| {
        let plural = if files.len() == 1 { "" } else { "s" };
        show::note(&format!("{} file{plural} in {}", files.len(), folder.display()));
    };
    let mut missed = None;
    if let Some(out) = &run.out {
        match put_files(app, caller, view, files, out).await {
            Ok(()) => {
                told(out);
                return Ok(Put::WhereItWasWanted);
            }
            Err(why) => {
                show::note(&format!("error: {why:#}"));
                missed = Some(why);
            }
        }
    }
    let mut folder = own_folder(view);
    if let Err(why) = put_files(app, caller, view, files, &folder).await {
        show::note(&format!("{why:#}"));
        folder = std::env::temp_dir().join(folder);
        put_files(app, caller, view, files, &folder).await?;
    }
    told(&folder);
    let Some(why) = missed else { return Ok(Put::WhereItWasWanted) };
    if run.json {
        show::line(&show::ending(Reason::Failed, &format!("{why:#}; the files are in {}", folder.display())));
    }
    Ok(Put::Elsewhere)
}

/// Puts files of the task below `folder`.
async fn put_files(
    app: &App,
    caller: &Caller,
    view: &TaskView,
    files: &[ArtefactView],
    folder: &Path,
) -> anyhow::Result<()> {
    for file in files {
        let bytes = app.artefact(caller, Seen::NOTHING, view.task_id, &file.path).await?;
        write_new(folder, &file.path, &bytes)?;
    }
    Ok(())
}

/// Writes a file below `out`, whole or not at all; what exists is never overwritten.
fn write_new(out: &Path, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let relative = Path::new(path);
    let plain = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    anyhow::ensure!(
        plain && !path.is_empty(),
        "the task named a file {path:?}, which is no plain relative path"
    );
    let target = out.join(relative);
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let made = fs::OpenOptions::new().write(true).create_new(true).open(&target);
    let mut file =
        made.with_context(|| format!("{} cannot be made; files are never overwritten", target.display()))?;
    let written = file.write_all(bytes);
    if written.is_err() {
        // What was made here is a half; that the writing failed is what is told.
        let _removed = fs::remove_file(&target);
    }
    written.with_context(|| format!("{} cannot be written", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has been found, and may have been paid for, is shown as far as it can be read.
    #[test]
    fn an_output_that_cannot_be_read_whole_is_shown_as_far_as_it_can() {
        let begun = || TaskResult { text: "the beginning".into(), ..TaskResult::default() };
        let mut result = begun();
        let (_, unread) = whole_or_beginning(Err(ReadError::NotFound), Some(&mut result), false);
        assert_eq!(result, begun());
        let unread = format!("{:#}", unread.expect("it is told"));
        assert_eq!(unread, "only the beginning of the output can be read: there is nothing here");
        let whole = || Ok(WholeResult { text: "the beginning and the end".into(), ..WholeResult::default() });
        assert!(whole_or_beginning(whole(), Some(&mut result), true).1.is_none());
        assert_eq!(result, begun(), "a terminal is shown the beginning");
        assert!(whole_or_beginning(whole(), Some(&mut result), false).1.is_none());
        assert_eq!(result.text, "the beginning and the end");
    }

    /// What a configuration may ask for is there.
    #[test]
    fn the_arms_that_can_be_asked_for_are_built() {
        let arms = arms(Path::new("/nowhere"), Vec::new());
        assert!(arms.iter().map(|arm| arm.name()).eq(crate::config::BUILT.iter().copied()));
    }

    #[test]
    fn what_lies_in_a_folder_is_kept_and_nothing_is_put_outside() {
        let out = tempfile::tempdir().unwrap();
        let theirs = out.path().join("a.txt");
        fs::write(&theirs, "mine").unwrap();
        write_new(out.path(), "a.txt", b"new").unwrap_err();
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "mine");
        write_new(out.path(), "a.txt/b.txt", b"new").unwrap_err();
        write_new(out.path(), "deep/b.txt", b"new").unwrap();
        assert_eq!(fs::read_to_string(out.path().join("deep/b.txt")).unwrap(), "new");
        for outside in ["", "../b.txt", "deep/../../b.txt", "/tmp/octollm-b.txt"] {
            write_new(&out.path().join("in"), outside, b"new").unwrap_err();
        }
        assert!(!out.path().join("in").exists());
    }
}
