//! The coder: has a model write, change and test files in the task's workspace.
//!
//! Promises: P6, the model reaches the workspace and nothing else: no absolute path, no `..`, no
//! link is followed, and programs run in a locked room, by the names that the step may run. P10,
//! what was not run is said not to have been run, whatever the model says. After every call the
//! workspace and the conversation are kept, so that a later attempt goes on from there.
//!
//! Must not know: plans, other steps, providers.

mod diff;
mod report;
mod tools;

#[cfg(test)]
mod tests;

use crate::{
    Arm, ExecutorSettings, Undone, Work,
    executor::{Executor, workspace::Workspace},
    think::{Bounds, Journal, Part, Prompt, Talk, converse, goal, values},
};
use async_trait::async_trait;
use octollm_artefacts::Manifest;
use octollm_client::Completion;
use octollm_contract::ArmName;
use octollm_plan::Instruction;

/// What one step of coding may take.
const BOUNDS: Bounds =
    Bounds { questions: 48, calls: 120, result_bytes: 24 << 10, repeats: 4, text_ends: false };

/// The arm that writes code.
#[derive(Clone)]
pub struct Coder {
    executor: Executor,
    can_run: bool,
}

impl Coder {
    /// A coder on this machine.
    #[must_use]
    pub fn new(settings: ExecutorSettings) -> Self {
        let can_run = settings.kernel.can_lock().is_ok();
        Coder { executor: Executor::new(settings), can_run }
    }
}

#[async_trait]
impl Arm for Coder {
    fn name(&self) -> ArmName {
        ArmName::Coder
    }

    fn tools(&self) -> Vec<&'static str> {
        let mut tools = vec!["edit", "list", "read", "search", "write"];
        if self.can_run {
            tools.insert(3, "run");
        }
        tools
    }

    async fn perform(&self, work: Work) -> Result<Completion, Undone> {
        let Instruction::Think(instruction) = &work.grant.spec.instruction else {
            return Err(Undone::for_good("the coder takes an instruction in words and nothing else"));
        };
        let capability = &work.grant.spec.capability;
        if !capability.writes_workspace {
            return Err(Undone::for_good("the step has no capability to write to the workspace"));
        }
        let (from, left_out) = Journal::begins_with(&work);
        let mut workspace = Workspace::enter_at(self.executor.scratch(), from, left_out, &work).await?;
        let done = self.code(instruction, &mut workspace, &work).await;
        workspace.remove().await;
        done
    }
}

impl Coder {
    async fn code(
        &self,
        instruction: &str,
        workspace: &mut Workspace,
        work: &Work,
    ) -> Result<Completion, Undone> {
        let capability = &work.grant.spec.capability;
        let may_run = match (capability.commands.is_empty(), self.can_run) {
            (true, _) => tools::MayRun::NotAllowed,
            (false, false) => tools::MayRun::NoRoom,
            (false, true) => tools::MayRun::These(capability.commands.iter().cloned().collect()),
        };
        let mut told = work.grant.brief.as_deref().map(goal).unwrap_or_default();
        told.extend(values(work).await?);
        told.push(Part::essential("the instruction of this step", instruction));
        told.push(Part::Words("Carry out the instruction of this step.".to_owned()));
        let system = include_str!("../think/prompts/coder.md").replace("{run}", &may_run.told());
        let mut talk = Talk::begin(work, Prompt::new(work, &system, told)).await?;
        let mut toolbox = tools::Tools::new(&self.executor, workspace, may_run.clone());
        let summary = converse(&mut talk, &mut toolbox, BOUNDS).await?;
        let before = match work.grant.workspace {
            None => Manifest::default(),
            Some(hash) => {
                let bytes = work.link.get(hash).await?;
                let unfit = |e| Undone::for_good(format!("the workspace's manifest cannot be read: {e}"));
                Manifest::from_bytes(&bytes).map_err(unfit)?
            }
        };
        report::report(&summary, &before, workspace, &may_run, &talk).await
    }
}
