//! A conversation with a model, written down as it goes.

use super::{
    NO_MODEL,
    answer::{Fit, fit},
    fit::{NoRoom, fitted},
    journal::{Journal, Vain, WAITS_MOST},
    prompt::{Prompt, TooLong},
};
use crate::{NoAnswer, Undone, Work};
use bytes::Bytes;
use octollm_client::ModelTerms;
use octollm_contract::{
    Document,
    model::{Answer, Ask, Message, Structured, Tool, ToolCall, ToolChoice},
};

/// So many questions in a row without a whole answer end the step, over all its attempts: each was
/// made and is charged. Nobody else repeats what may have been paid (`docs/decisions/0010`).
const FAILED_MAX: u32 = 3;
/// So many answers in a row that cannot be used end the step.
const USELESS_MAX: u32 = 3;
/// A question may be answered with at most this many tokens, and with a quarter of the window.
const OUTPUT_TOKENS_MAX: u32 = 8192;
/// A token takes at least so many bytes of most text.
const TOKEN_BYTES: u64 = 3;
/// What a model said stays in the conversation up to this many bytes.
const KEPT_BYTES: usize = 16 << 10;
/// What a failure quotes of a model's text, in bytes.
const QUOTED: usize = 2000;

/// A conversation with a model.
pub(crate) struct Talk<'w> {
    pub(crate) work: &'w Work,
    pub(crate) journal: Journal,
    messages: Vec<Message>,
    terms: ModelTerms,
    /// What was wrong with the last answer, if this attempt has heard it.
    fault: Option<String>,
}

/// What a question asks for beyond the conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form {
    pub(crate) tools: Vec<Tool>,
    pub(crate) output: Option<Structured>,
}

impl Form {
    /// What it takes of a question.
    fn bytes(&self) -> usize {
        let schema = |schema: &serde_json::Value| schema.to_string().len();
        let tool = |tool: &Tool| tool.name.len() + tool.description.len() + schema(&tool.parameters);
        let output = self.output.as_ref().map_or(0, |output| schema(&output.schema));
        self.tools.iter().map(tool).sum::<usize>() + output
    }
}

/// What a model said that can be acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) calls: Vec<ToolCall>,
}

impl<'w> Talk<'w> {
    /// Goes on with the conversation of an earlier attempt, or begins one.
    pub(crate) async fn begin(work: &'w Work, prompt: Prompt) -> Result<Self, Undone> {
        let terms = work.grant.models.first().cloned().ok_or_else(|| Undone::for_good(NO_MODEL))?;
        let journal = Journal::read(work.checkpoint().as_ref());
        let journal = journal.unwrap_or_default();
        let mut talk = Talk { work, journal, messages: Vec::new(), terms, fault: None };
        for hash in talk.journal.messages.clone() {
            let bytes = work.link.get(hash).await?;
            let unread = |e| Undone::for_good(format!("a saved message cannot be read: {e}"));
            talk.messages.push(serde_json::from_slice(&bytes).map_err(unread)?);
        }
        if talk.messages.is_empty() {
            let (system, user) = prompt.fitted(work, talk.room()).map_err(|TooLong { bytes, room }| {
                Undone::for_good(format!(
                    "what is wanted has {bytes} bytes with all that must be said of it; of the model's window of \
                     {} tokens {room} bytes can be used for it. Say it shorter, or use a model with a larger window",
                    talk.terms.context_tokens
                ))
            })?;
            talk.add(Message::system(system)).await?;
            talk.add(Message::user(user)).await?;
            // A later attempt asks the same first question, whatever there would be to tell by then.
            talk.save().await?;
        }
        Ok(talk)
    }

    fn output_tokens(&self) -> u32 {
        let quarter = u32::try_from(self.terms.context_tokens / 4).unwrap_or(u32::MAX);
        self.terms.output_tokens_max.min(OUTPUT_TOKENS_MAX).min(quarter).max(1)
    }

    /// How many bytes a question may have.
    pub(crate) fn room(&self) -> usize {
        let tokens = self.terms.context_tokens.saturating_sub(u64::from(self.output_tokens()));
        usize::try_from(tokens.saturating_mul(TOKEN_BYTES)).unwrap_or(usize::MAX)
    }

    /// The calls of the last answer that have no result yet: those that a drain or a crash kept
    /// from being made.
    pub(crate) fn open_calls(&self) -> Vec<ToolCall> {
        let last = self.messages.iter().rposition(|message| matches!(message, Message::Assistant { .. }));
        let Some(Message::Assistant { tool_calls, .. }) = last.map(|at| &self.messages[at]) else {
            return Vec::new();
        };
        let after = &self.messages[last.map_or(0, |at| at + 1)..];
        let answered = |call: &&ToolCall| {
            after
                .iter()
                .any(|message| matches!(message, Message::Tool { call_id, .. } if *call_id == call.id))
        };
        tool_calls.iter().filter(|call| !answered(call)).cloned().collect()
    }

    /// Every message so far.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Asks the model, and again as long as its answers cannot be used, up to a limit.
    pub(crate) async fn ask(&mut self, form: &Form) -> Result<Said, Undone> {
        loop {
            let answer = self.answered(form).await?;
            let Fit { text, mut calls, trouble } = answer;
            if form.tools.is_empty() {
                // A call that nobody answers would make the conversation one that providers refuse.
                calls.clear();
            }
            let kept = octollm_screen::data::beginning(&text, KEPT_BYTES);
            let cut = if kept.len() < text.len() { "\n(cut here)" } else { "" };
            let tool_calls = calls.iter().map(sendable).collect();
            let said = Message::Assistant { text: format!("{kept}{cut}"), tool_calls };
            // An empty message is refused by some providers.
            let said = if text.trim().is_empty() && calls.is_empty() {
                Message::assistant("(nothing)")
            } else {
                said
            };
            self.add(said).await?;
            match trouble {
                None => return Ok(Said { text, calls }),
                Some(why) => self.useless(&why, &text).await?,
            }
        }
    }

    /// Tells the model why its answer cannot be used. Too many of them end the step for good,
    /// with what the model said last.
    pub(crate) async fn useless(&mut self, why: &str, said: &str) -> Result<(), Undone> {
        self.journal.useless += 1;
        if self.journal.useless >= USELESS_MAX {
            return Err(Undone::for_good(format!(
                "the model gave {USELESS_MAX} answers in a row that cannot be used: {} {}",
                shown(why),
                quoted(said)
            )));
        }
        self.complain(why.to_owned(), why).await
    }

    /// An answer was of use.
    pub(crate) fn useful(&mut self) {
        self.journal.useless = 0;
    }

    /// Tells the model in these words what is wrong with its answer; `fault` says it to people.
    pub(crate) async fn complain(&mut self, words: String, fault: &str) -> Result<(), Undone> {
        self.add(Message::user(words)).await?;
        self.fault = Some(shown(fault.trim()));
        self.save().await
    }

    /// Adds a message. It is kept by the next [`Talk::save`].
    pub(crate) async fn add(&mut self, message: Message) -> Result<(), Undone> {
        let bytes = serde_json::to_vec(&message).map_err(|e| Undone::for_good(e.to_string()))?;
        let hash = self.work.link.put(Bytes::from(bytes)).await?;
        self.journal.messages.push(hash);
        self.messages.push(message);
        Ok(())
    }

    /// Saves where the conversation is.
    pub(crate) async fn save(&self) -> Result<(), Undone> {
        let state = Document::of(&self.journal).map_err(|e| Undone::for_good(e.to_string()))?;
        Ok(self.work.link.checkpoint(&state, &self.journal.artefacts()).await?)
    }

    /// Who has answered, for the provenance.
    pub(crate) fn made_by(&self, arm: &str) -> String {
        let models: Vec<&str> = self.journal.models.iter().map(String::as_str).collect();
        format!("{arm} with {}", models.join(", "))
    }

    async fn answered(&mut self, form: &Form) -> Result<Fit, Undone> {
        let output_tokens = self.output_tokens();
        let room = self.room().saturating_sub(form.bytes());
        loop {
            let messages = fitted(&self.messages, room).map_err(|NoRoom { bytes }| {
                Undone::for_good(format!(
                    "the conversation has {bytes} bytes, more than the model's context of {} tokens takes",
                    self.terms.context_tokens
                ))
            })?;
            let ask = Ask {
                tools: form.tools.clone(),
                tool_choice: ToolChoice::Auto,
                output: form.output.clone(),
                ..Ask::new(self.terms.model.clone(), messages, output_tokens)
            };
            let number = self.journal.asked + 1;
            let answer = tokio::select! {
                () = self.work.cancel.cancelled() => return Err(Undone::Stopped),
                answer = self.work.link.think(number, &ask) => answer,
            };
            match answer {
                Ok(answer) => {
                    self.fault = None;
                    self.journal.asked = number;
                    self.journal.failed = 0;
                    self.journal.waited.over();
                    self.journal.models.insert(answered_by(&self.terms.model, &answer));
                    return Ok(fit(answer, number));
                }
                Err(NoAnswer::Lost) => return Err(Undone::Stopped),
                Err(NoAnswer::OverBudget(why)) => {
                    return Err(Undone::for_good(self.over_budget(&why)));
                }
                Err(NoAnswer::Refused(why)) => {
                    return Err(Undone::for_good(format!("{why}{}", self.to_mend())));
                }
                Err(error @ NoAnswer::Away(_)) => return Err(Undone::for_now(error.to_string())),
                Err(error @ NoAnswer::Later { at_least, waits_for, .. }) => {
                    let why = error.to_string();
                    let Some(at_least) = self.journal.waited.again(waits_for, at_least) else {
                        let why = format!("{why}; it was waited for during {WAITS_MOST} in all");
                        return Err(Undone::for_good(why));
                    };
                    self.save().await?;
                    return Err(Undone::Later { at_least, waits_for, why });
                }
                Err(NoAnswer::Failed(why)) => {
                    self.journal.asked = number;
                    self.journal.failed += 1;
                    let questions =
                        self.journal.vain.take().map_or(1, |vain| vain.questions.saturating_add(1));
                    self.journal.vain = Some(Vain { questions, last: shown(&why) });
                    if self.journal.failed >= FAILED_MAX {
                        let why = format!("{FAILED_MAX} questions in a row brought no whole answer: {why}");
                        return Err(Undone::for_good(why));
                    }
                    // The next number is asked only when it is written down that this one failed.
                    self.save().await?;
                }
            }
        }
    }
}

impl Talk<'_> {
    /// Why no other question can be paid. Where an answer was at fault, or providers have used up what was
    /// granted without one, that is the cause, and the budget only what it ran into.
    fn over_budget(&self, why: &str) -> String {
        let over = format!("the budget does not cover another question: {why}{}", self.to_mend());
        match &self.journal.vain {
            Some(Vain { questions, last }) => format!(
                "{over}; {questions} of {} questions brought no whole answer and had to be paid, the last of them: {last}",
                self.journal.asked
            ),
            None => over,
        }
    }

    /// What the question that is not answered was asked for, if an answer before was at fault.
    fn to_mend(&self) -> String {
        match &self.fault {
            Some(fault) => format!("; it was to mend the answer before, which could not be used: {fault}"),
            // An earlier attempt knew what.
            None if self.complains() => "; it was to mend the answer before, which could not be used".into(),
            None => String::new(),
        }
    }

    /// Whether the last thing said is what is wrong with an answer: nothing else is said to a model after
    /// the two messages of the beginning but what its tools have found.
    fn complains(&self) -> bool {
        matches!(self.messages.get(2..), Some([.., Message::User { .. }]))
    }
}

/// The call as it is sent back: some providers refuse a conversation in which the arguments are
/// no JSON object. What the model wrote is told in the tool's answer.
fn sendable(call: &ToolCall) -> ToolCall {
    let arguments = if call.object().is_ok() { call.arguments.clone() } else { "{}".to_owned() };
    ToolCall { arguments, ..call.clone() }
}

/// Who has answered: the model that was asked for, and what the server calls it.
fn answered_by(asked: &str, answer: &Answer) -> String {
    let served = shown(&answer.model);
    let name =
        if asked.is_empty() || asked == served { served } else { format!("{asked} (served as {served})") };
    let simulated = if answer.simulated { " (simulated)" } else { "" };
    format!("{name}{simulated}")
}

/// A short text of a model in a message for people.
fn shown(text: &str) -> String {
    let clean = octollm_screen::text::neutralise(text);
    octollm_screen::data::beginning(&clean, 1000).to_owned()
}

/// The model's own words, bounded, for the message of a failure.
pub(crate) fn quoted(text: &str) -> String {
    let clean = octollm_screen::text::neutralise(text.trim());
    let kept = octollm_screen::data::beginning(&clean, QUOTED);
    let more = if kept.len() < clean.len() { "…" } else { "" };
    format!("It said: {kept:?}{more}")
}
