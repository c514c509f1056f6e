//! The executor: the arm that runs tools, those of a plan or those that a model chooses.
//!
//! Promises: P6, a tool reads below the capability's roots only, connects to its hosts only,
//! runs its programs only, and those in a locked room; every tool is bounded in entries,
//! bytes and time, and stops within a moment when told to. P10: what was cut, left out or
//! unreadable is said in the text. The tools that read files run off the async threads.
//!
//! Must not know: plans, tasks, leases, stores.

mod files;
mod glob;
pub(crate) mod limits;
pub(crate) mod outcome;
mod reach;
#[cfg(test)]
mod tests;
mod text;
mod thinking;
mod tools;
mod walk;
pub(crate) mod workspace;

use crate::{Arm, Undone, Work, clock};
use async_trait::async_trait;
use octollm_client::Completion;
use octollm_contract::{ArmName, Millis};
use octollm_plan::{Arg, InputName, InputValue, Instruction, PlanStep, StepOutput, ToolCall};
use octollm_sandbox::Kernel;
use outcome::{Found, finish};
use reach::Reach;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;
use tools::http_fetch::{Resolve, SystemResolver};
use workspace::Workspace;

/// What the executor needs to know of its machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder in which steps get private folders for their workspaces. They are removed
    /// when the step ends; what a killed process left there may be removed when none runs.
    pub scratch: PathBuf,
    /// Folders that no program may read whatever it is granted: the data folder of the server or arm that
    /// this is part of, and the artefacts that it is configured with. The built-in tools know such folders by what is in them.
    pub closed: Vec<PathBuf>,
    /// What the kernel offers for rooms; where it lacks something, programs are refused and
    /// the built-in tools go on.
    pub kernel: &'static Kernel,
}

/// The arm that runs tools.
#[derive(Clone)]
pub struct Executor {
    settings: Settings,
    resolver: Arc<dyn Resolve>,
}

impl Executor {
    /// An executor on this machine.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Executor { settings, resolver: Arc::new(SystemResolver) }
    }
}

#[async_trait]
impl Arm for Executor {
    fn name(&self) -> ArmName {
        ArmName::Executor
    }

    fn tools(&self) -> Vec<&'static str> {
        let mut tools = vec![
            "compare",
            "count",
            "disk_use",
            "find",
            "hash",
            "http_fetch",
            "list",
            "read_file",
            "search",
            "write_file",
        ];
        if self.settings.kernel.can_lock().is_ok() {
            tools.extend(["shell", "shell_string"]);
        }
        tools
    }

    async fn perform(&self, work: Work) -> Result<Completion, Undone> {
        let spec = &work.grant.spec;
        let call = match &spec.instruction {
            Instruction::Tool(call) => call.clone(),
            Instruction::Think(instruction) => return thinking::perform(self, instruction, &work).await,
            Instruction::Judge { .. } => {
                return Err(Undone::for_good("the executor takes tools and instructions in words"));
            }
        };
        allowed(&call, spec)?;
        let mut workspace = match needs_workspace(&call, &work) {
            true => Some(Workspace::enter(&self.settings.scratch, &work).await?),
            false => None,
        };
        let done = self.call(call, workspace.as_mut(), &work).await;
        if let Some(workspace) = workspace {
            workspace.remove().await;
        }
        Ok(Completion::of(done?))
    }
}

impl Executor {
    async fn call(
        &self,
        call: ToolCall,
        workspace: Option<&mut Workspace>,
        work: &Work,
    ) -> Result<StepOutput, Undone> {
        let (spec, tool) = (&work.grant.spec, tools::name(&call));
        let inputs = whole_inputs(work).await?;
        let wall = limits::of_a_step_s_program(work.grant.time_limit);
        let found = self.run_tool(call, inputs, workspace.as_deref(), wall, work).await?;
        let committed = match workspace {
            Some(workspace) if spec.capability.writes_workspace => Some(workspace.commit(work).await?),
            Some(_) | None => None,
        };
        finish(found, tool, committed, work).await
    }

    /// Where private folders for workspaces are made.
    pub(crate) fn scratch(&self) -> &std::path::Path {
        &self.settings.scratch
    }

    /// Runs one tool, if the step's capability holds what it does. A program gets `wall` at most.
    pub(crate) async fn run_tool(
        &self,
        call: ToolCall,
        inputs: BTreeMap<InputName, InputValue>,
        workspace: Option<&Workspace>,
        wall: Millis,
        work: &Work,
    ) -> Result<Found, Undone> {
        let spec = &work.grant.spec;
        allowed(&call, spec)?;
        let folder = workspace.map(Workspace::path);
        let reach = Reach::new(&spec.capability, folder);
        match call {
            ToolCall::HttpFetch { url } => {
                tools::http_fetch::fetch(&url, &spec.capability, self.resolver.as_ref(), &work.cancel).await
            }
            ToolCall::Shell { argv, stdin, any_exit } => {
                let stdin = stdin.map(|arg| text_of(&arg, &inputs)).transpose()?;
                self.run_program(&argv, stdin, any_exit, wall, (&reach, workspace), work).await
            }
            ToolCall::ShellString { script, any_exit } => {
                let argv = ["sh".to_owned(), "-c".to_owned(), script];
                self.run_program(&argv, None, any_exit, wall, (&reach, workspace), work).await
            }
            ToolCall::List { .. }
            | ToolCall::Find { .. }
            | ToolCall::ReadFile { .. }
            | ToolCall::WriteFile { .. }
            | ToolCall::Count { .. }
            | ToolCall::Search { .. }
            | ToolCall::Hash { .. }
            | ToolCall::DiskUse { .. }
            | ToolCall::Compare { .. } => {
                // A child: its end must not look like the step's.
                let stop = work.cancel.child_token();
                let site = tools::Site {
                    reach,
                    stop: Stop(stop.clone()),
                    now: work.started,
                    zone: clock::zone(),
                    inputs,
                    workspace: folder.map(PathBuf::from),
                };
                off_the_async_threads(stop, move || tools::run(call, &site)).await
            }
        }
    }

    async fn run_program(
        &self,
        argv: &[String],
        stdin: Option<String>,
        any_exit: bool,
        wall: Millis,
        (reach, workspace): (&Reach, Option<&Workspace>),
        work: &Work,
    ) -> Result<Found, Undone> {
        let workspace = workspace.ok_or_else(|| Undone::for_good("a program needs a workspace"))?;
        let itself = |root: &String| Some(root) == argv.first();
        // What it is given to read is enough for `head` and `tac`.
        let alone = stdin.is_none()
            && workspace.began_empty()
            && work.grant.spec.capability.read_roots.iter().all(itself);
        let read_roots = reach.real_roots().map_err(|error| Undone::for_good(error.to_string()))?;
        let closed = self.settings.closed.clone();
        let place = tools::shell::Place { workspace: workspace.path(), alone, read_roots, closed, wall };
        tools::shell::run(argv, stdin, any_exit, place, self.settings.kernel, &work.cancel).await
    }
}

/// Whether the step's capability holds what its tool does. The plan was checked against the
/// same rules; this is the wall behind that one.
fn allowed(call: &ToolCall, spec: &PlanStep) -> Result<(), Undone> {
    let lacks = |what: &str| Err(Undone::for_good(format!("the step has no capability to {what}")));
    match call {
        ToolCall::Shell { argv, .. } => match argv.first() {
            Some(program) if spec.capability.commands.contains(program) => Ok(()),
            Some(program) => lacks(&format!("run {program:?}")),
            None => Err(Undone::for_good("argv names no program")),
        },
        ToolCall::ShellString { .. } if !spec.capability.shell => lacks("run shell strings"),
        ToolCall::WriteFile { .. } if !spec.capability.writes_workspace => lacks("write to the workspace"),
        ToolCall::ShellString { .. }
        | ToolCall::WriteFile { .. }
        | ToolCall::List { .. }
        | ToolCall::Find { .. }
        | ToolCall::ReadFile { .. }
        | ToolCall::Count { .. }
        | ToolCall::Search { .. }
        | ToolCall::Hash { .. }
        | ToolCall::DiskUse { .. }
        | ToolCall::Compare { .. }
        | ToolCall::HttpFetch { .. } => Ok(()),
    }
}

/// A step gets a folder when it writes, runs a program, or reads relative paths of a
/// workspace that there is.
fn needs_workspace(call: &ToolCall, work: &Work) -> bool {
    let programs = matches!(call, ToolCall::Shell { .. } | ToolCall::ShellString { .. });
    let relative = || tools::paths(call, &work.grant.inputs).iter().any(|path| !path.starts_with('/'));
    programs || work.grant.spec.capability.writes_workspace || (work.grant.workspace.is_some() && relative())
}

/// Tells a tool on a blocking thread to stop.
#[derive(Clone, Debug)]
struct Stop(CancellationToken);

impl Stop {
    fn check(&self) -> Result<(), Undone> {
        if self.0.is_cancelled() { Err(Undone::Stopped) } else { Ok(()) }
    }
}

/// Runs `tool` where it may block. It looks at the token often; one that hangs in the file
/// system is left behind on its thread when the caller drops this.
async fn off_the_async_threads<T: Send + 'static>(
    stop: CancellationToken,
    tool: impl FnOnce() -> Result<T, Undone> + Send + 'static,
) -> Result<T, Undone> {
    // A drop of this future must end the tool, too.
    let _ended = stop.drop_guard();
    match tokio::task::spawn_blocking(tool).await {
        Ok(outcome) => outcome,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Undone::Stopped),
        },
    }
}

/// The step's inputs, with texts that were cut loaded whole.
async fn whole_inputs(work: &Work) -> Result<BTreeMap<InputName, InputValue>, Undone> {
    let mut inputs = work.grant.inputs.clone();
    for value in inputs.values_mut() {
        if let InputValue::WholeText(kept) = value {
            *value = InputValue::Text(work.whole_text(*kept).await?);
        }
    }
    Ok(inputs)
}

fn text_of(arg: &Arg<String>, inputs: &BTreeMap<InputName, InputValue>) -> Result<String, Undone> {
    match arg {
        Arg::Given(text) => Ok(text.clone()),
        Arg::Input(name) => match inputs.get(name) {
            Some(InputValue::Text(text)) => Ok(text.clone()),
            Some(_) | None => Err(Undone::for_good(format!("the step has no text called {name}"))),
        },
    }
}

fn paths_of(arg: &Arg<Vec<String>>, inputs: &BTreeMap<InputName, InputValue>) -> Result<Vec<String>, Undone> {
    match arg {
        Arg::Given(paths) => Ok(paths.clone()),
        Arg::Input(name) => match inputs.get(name) {
            Some(InputValue::Paths(paths)) => Ok(paths.clone()),
            Some(_) | None => Err(Undone::for_good(format!("the step has no paths called {name}"))),
        },
    }
}
