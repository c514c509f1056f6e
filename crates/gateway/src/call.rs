//! One call under way: what has been said so far, and who listens.
//!
//! A call belongs to the gateway, not to the connection that asked for it: a listener that
//! comes back, or comes late, hears everything from the beginning.

use crate::lock;
use futures_util::stream;
use octollm_client::{ThinkError, ThinkLine, Thinking};
use octollm_contract::{
    ContentHash,
    model::{Answer, Chunk},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::watch;

/// A call and its answer as it comes.
pub(crate) struct Call {
    /// The hash of the question.
    pub(crate) asked: ContentHash,
    said: Mutex<Vec<ThinkLine>>,
    /// How much was said; closed by the last word.
    heard: Mutex<Option<watch::Sender<usize>>>,
    listeners: AtomicUsize,
}

impl Call {
    pub(crate) fn begin(asked: ContentHash) -> Arc<Self> {
        Arc::new(Call {
            asked,
            said: Mutex::default(),
            heard: Mutex::new(Some(watch::Sender::new(0))),
            listeners: AtomicUsize::new(0),
        })
    }

    /// Says one thing more. Nothing is said after the last word.
    pub(crate) fn say(&self, line: ThinkLine) {
        self.say_all([line]);
    }

    /// The same for several things, for which listeners are woken once. A last word is the last of them.
    pub(crate) fn say_all(&self, lines: impl IntoIterator<Item = ThinkLine>) {
        let mut heard = lock(&self.heard);
        let Some(sender) = heard.as_ref() else { return };
        let mut said = lock(&self.said);
        let before = said.len();
        said.extend(lines);
        if said.len() == before {
            return;
        }
        let last = said.last().is_some_and(is_last_word);
        sender.send_replace(said.len());
        if last {
            *heard = None;
        }
    }

    pub(crate) fn say_whole(&self, answer: &Answer) {
        let mut chunks = vec![Chunk::Begun { model: answer.model.clone(), simulated: answer.simulated }];
        if !answer.text.is_empty() {
            chunks.push(Chunk::Text { text: answer.text.clone() });
        }
        chunks.extend(answer.tool_calls.iter().cloned().map(Chunk::ToolCall));
        chunks.push(Chunk::Usage(answer.usage));
        chunks.push(Chunk::End { finish: answer.finish });
        self.say_all(chunks.into_iter().map(ThinkLine::Chunk));
    }

    /// The last word was said.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.heard).is_none()
    }

    /// Nobody listens now.
    pub(crate) fn is_unheard(&self) -> bool {
        self.listeners.load(Ordering::Acquire) == 0
    }

    /// Everything that was and will be said.
    pub(crate) fn listen(self: &Arc<Self>) -> Thinking {
        self.listeners.fetch_add(1, Ordering::AcqRel);
        let more = lock(&self.heard).as_ref().map(watch::Sender::subscribe);
        let ear = Ear { call: Arc::clone(self), next: 0, more };
        Box::pin(stream::unfold(ear, |mut ear| async move {
            let said = ear.hear().await?;
            Some((said.into(), ear))
        }))
    }
}

fn is_last_word(line: &ThinkLine) -> bool {
    match line {
        ThinkLine::Chunk(chunk) => matches!(chunk, Chunk::End { .. }),
        ThinkLine::Failed(_)
        | ThinkLine::Refused(_)
        | ThinkLine::OverBudget(_)
        | ThinkLine::Away(_)
        | ThinkLine::Busy { .. }
        | ThinkLine::Lost => true,
    }
}

/// One listener.
struct Ear {
    call: Arc<Call>,
    next: usize,
    more: Option<watch::Receiver<usize>>,
}

impl Ear {
    async fn hear(&mut self) -> Option<ThinkLine> {
        loop {
            if let Some(line) = lock(&self.call.said).get(self.next).cloned() {
                self.next += 1;
                return Some(line);
            }
            // The sender is gone once the last word was said, which was seen above or is there now.
            if self.more.as_mut()?.changed().await.is_err() {
                self.more = None;
                let last = lock(&self.call.said).get(self.next).cloned()?;
                self.next += 1;
                return Some(last);
            }
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.call.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An answer that is one error.
pub(crate) fn refused(error: ThinkError) -> Thinking {
    Box::pin(stream::once(async { Err(error) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt as _, StreamExt as _};
    use octollm_contract::model::{Counted, Finish, Usage};

    fn answer() -> Answer {
        Answer {
            model: "m".into(),
            simulated: true,
            text: "hello".into(),
            tool_calls: Vec::new(),
            usage: Usage { input: 1, output: 2, cache_read: 0, cache_write: 0, counted: Counted::Exact },
            finish: Finish::Stop,
        }
    }

    #[tokio::test]
    async fn everybody_hears_everything_whenever_they_come() {
        let call = Call::begin(ContentHash::of(b"?"));
        let early = call.listen();
        call.say_whole(&answer());
        let late = call.listen();
        assert!(!call.is_unheard());
        for ear in [early, late] {
            assert_eq!(octollm_client::whole(ear).await.unwrap(), answer());
        }
        assert!(call.is_unheard());
        call.say(ThinkLine::Lost);
        assert_eq!(call.listen().count().await, 4, "nothing is said after the last word");
    }

    #[tokio::test]
    async fn a_listener_waits_for_the_next_word() {
        let call = Call::begin(ContentHash::of(b"?"));
        let mut ear = call.listen();
        assert!(ear.next().now_or_never().is_none());
        call.say(ThinkLine::Failed("x".into()));
        assert!(matches!(ear.next().await, Some(Err(ThinkError::Failed(_)))));
        assert!(ear.next().await.is_none());
    }
}
