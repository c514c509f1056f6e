//! A coder that goes on where an earlier attempt was.

use super::Coder;
use crate::{
    Arm, ExecutorSettings,
    think::scripted::{calls, thinking},
};
use octollm_contract::ArmName;
use octollm_plan::Instruction;
use octollm_sandbox::Kernel;
use serde_json::json;
use std::sync::Arc;

/// P5: a model is sent back from its end once, however often its step is handed back: each time is a paid call.
#[tokio::test]
async fn a_coder_that_resumes_knows_that_it_has_sent_its_model_back() {
    let scratch = tempfile::tempdir().unwrap();
    let settings =
        ExecutorSettings { scratch: scratch.path().to_owned(), closed: Vec::new(), kernel: Kernel::probe() };
    if settings.kernel.can_lock().is_err() {
        // Nothing can be run, and nobody is sent back to run it.
        eprintln!("not tried: no room can be locked on this machine");
        return;
    }
    let write = calls(&[("write", json!({ "path": "a.py", "content": "print(1)\n" }))]);
    let finish = || calls(&[("finish", json!({ "summary": "all done" }))]);
    let (mut work, leases) =
        thinking(ArmName::Coder, Instruction::Think("x".into()), vec![write, finish(), finish()]);
    let capability = &mut Arc::get_mut(&mut work.grant).unwrap().spec.capability;
    capability.commands = ["python3".to_owned()].into();
    capability.writes_workspace = true;
    let coder = Coder::new(settings);
    coder.perform(work.clone()).await.unwrap();
    assert_eq!(leases.asked().len(), 3, "it is sent back once, and believed then");

    // The attempt ends when the model was sent back; the next one asks once more.
    let sent_back = leases.checkpoint_at(2).read().unwrap();
    Arc::make_mut(&mut work.grant).checkpoint = Some(sent_back);
    leases.next_thought(Ok(finish()));
    coder.perform(work).await.unwrap();
    assert_eq!(leases.asked().len(), 4);
}
