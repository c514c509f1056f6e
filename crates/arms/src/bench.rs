//! For measurements only: an arm that does nothing.

use crate::{Arm, Undone, Work};
use async_trait::async_trait;
use octollm_client::Completion;
use octollm_contract::ArmName;
use octollm_plan::StepOutput;

/// Completes every step at once with an empty output, so that what is left is the way of a
/// step through the system. It answers nothing, so no goal of a user may be given to it.
#[derive(Clone, Copy, Debug)]
pub struct NullArm(pub ArmName);

#[async_trait]
impl Arm for NullArm {
    fn name(&self) -> ArmName {
        self.0
    }

    fn tools(&self) -> Vec<&'static str> {
        Vec::new()
    }

    async fn perform(&self, _: Work) -> Result<Completion, Undone> {
        Ok(Completion::of(StepOutput::default()))
    }
}
