//! The effect journal: an act outside whose outcome is not known is not done again.

use super::{
    Bounds, Call, Form, Part, Prompt, Reply, Talk, Toolbox, converse,
    scripted::{calls, says, thinking},
    tool,
};
use crate::{Undone, Work};
use async_trait::async_trait;
use octollm_client::ThinkError;
use octollm_contract::{ArmName, model::Tool};
use octollm_plan::Instruction;
use serde_json::json;
use std::sync::Arc;

const BOUNDS: Bounds = Bounds { questions: 5, calls: 5, result_bytes: 1000, repeats: 3, text_ends: true };

/// Sends a letter: nobody can take it back.
struct Post {
    sent: u32,
    falls: bool,
}

#[async_trait]
impl Toolbox for Post {
    fn tools(&self) -> Vec<Tool> {
        vec![tool("send", "", json!({}), &[]), tool("finish", "", json!({}), &[])]
    }

    fn changes_the_world(&self, call: &Call) -> bool {
        call.name == "send"
    }

    async fn call(&mut self, call: Call, _: &mut Talk<'_>) -> Result<Reply, Undone> {
        if call.name == "finish" {
            return Ok(Reply::Finished("done".into()));
        }
        self.sent += 1;
        if self.falls {
            Err(Undone::Stopped)
        } else {
            Ok(Reply::Result { label: "post".into(), text: "sent".into() })
        }
    }
}

fn prompt(work: &Work) -> Prompt {
    Prompt::new(work, "s", vec![Part::Words("u".into())])
}

/// P5: a budget that a provider used up without an answer is not the cause, the provider is.
#[tokio::test(start_paused = true)]
async fn a_budget_that_failures_used_up_names_the_provider() {
    let (work, leases) = thinking(ArmName::Executor, Instruction::Think("x".into()), Vec::new());
    for why in ["provider farm: it broke off", "provider farm: nothing came in 60 s"] {
        leases.next_thought(Err(ThinkError::Failed(why.into())));
    }
    leases.next_thought(Err(ThinkError::OverBudget("200 tokens are needed, 10 are left".into())));
    let mut talk = Talk::begin(&work, prompt(&work)).await.unwrap();
    let failed = talk.ask(&Form::default()).await;
    let Err(Undone::Failed { message, retryable: false }) = failed else { panic!("{failed:?}") };
    for part in ["200 tokens are needed", "2 of 2 questions", "provider farm: nothing came in 60 s"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// P5: who could not pay for the mending of an answer is told what was to be mended, too.
#[tokio::test(start_paused = true)]
async fn a_budget_that_does_not_cover_the_mending_names_the_fault() {
    let brief = |answer: &str| {
        let (work, leases) = thinking(ArmName::Executor, Instruction::Think("x".into()), vec![says(answer)]);
        leases.next_thought(Err(ThinkError::OverBudget("200 tokens are needed, 10 are left".into())));
        (work, leases)
    };
    let failed = |outcome: Result<_, Undone>| match outcome {
        Err(Undone::Failed { message, retryable: false }) => message,
        other => panic!("{other:?}"),
    };
    let (mut work, leases) = brief(" ");
    let mut talk = Talk::begin(&work, prompt(&work)).await.unwrap();
    let message = failed(talk.ask(&Form::default()).await.map(|said| said.text));
    assert!(
        message.contains("200 tokens are needed")
            && message.contains("could not be used: Your answer was empty"),
        "{message}"
    );
    // Another attempt goes on behind the complaint.
    leases.next_thought(Err(ThinkError::OverBudget("200 tokens are needed, 10 are left".into())));
    Arc::get_mut(&mut work.grant).unwrap().checkpoint = Some(leases.checkpoint_at(1).read().unwrap());
    let mut talk = Talk::begin(&work, prompt(&work)).await.unwrap();
    let message = failed(talk.ask(&Form::default()).await.map(|said| said.text));
    assert!(message.ends_with("the answer before, which could not be used"), "{message}");
    // Nor is it another cause that hides it.
    let (work, leases) = thinking(ArmName::Executor, Instruction::Think("x".into()), vec![says(" ")]);
    leases.next_thought(Err(ThinkError::Refused("no credit".into())));
    let mut talk = Talk::begin(&work, prompt(&work)).await.unwrap();
    let message = failed(talk.ask(&Form::default()).await.map(|said| said.text));
    assert!(message.starts_with("no credit; ") && message.contains("Your answer was empty"), "{message}");
    // A question that mends nothing names no fault.
    let (work, _) = brief("useful");
    let mut talk = Talk::begin(&work, prompt(&work)).await.unwrap();
    talk.ask(&Form::default()).await.unwrap();
    let message = failed(talk.ask(&Form::default()).await.map(|said| said.text));
    assert!(!message.contains("could not be used"), "{message}");
}

/// P2: the worker fell between the act and its outcome; the next attempt stops and says so.
#[tokio::test(start_paused = true)]
async fn an_effect_of_unknown_outcome_is_not_repeated() {
    let send = || calls(&[("send", json!({}))]);
    let (mut work, leases) = thinking(ArmName::Executor, Instruction::Think("x".into()), vec![send()]);
    let mut post = Post { sent: 0, falls: true };
    let mut talk = Talk::begin(&work, prompt(&work)).await.unwrap();
    assert_eq!(converse(&mut talk, &mut post, BOUNDS).await, Err(Undone::Stopped));
    assert_eq!(post.sent, 1);
    Arc::get_mut(&mut work.grant).unwrap().checkpoint = Some(leases.checkpoint_at(1).read().unwrap());
    let mut talk = Talk::begin(&work, prompt(&work)).await.unwrap();
    let Err(Undone::Failed { message, retryable }) = converse(&mut talk, &mut post, BOUNDS).await else {
        panic!()
    };
    assert!(message.contains("nobody knows how it ended") && !retryable, "{message}");
    assert_eq!(post.sent, 1);
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_is_over_is_finalised() {
    let send = || calls(&[("send", json!({}))]);
    let answers = vec![send(), send(), calls(&[("finish", json!({}))])];
    let (work, _) = thinking(ArmName::Executor, Instruction::Think("x".into()), answers);
    let mut post = Post { sent: 0, falls: false };
    let mut talk = Talk::begin(&work, prompt(&work)).await.unwrap();
    assert_eq!(converse(&mut talk, &mut post, BOUNDS).await, Ok("done".into()));
    assert_eq!(post.sent, 2, "two calls are two acts");
    assert!(talk.journal.effects.len() == 2 && talk.journal.effects.iter().all(|effect| effect.finalised));
}
