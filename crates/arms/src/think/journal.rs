//! What a step that thinks keeps, so that a later attempt goes on where it was.
//!
//! The checkpoint is small: it names the messages of the conversation, each an artefact of its
//! own, so that saving after every tool call costs what is new.

use crate::{
    Work,
    executor::workspace::{LeftOut, Workspace},
};
use octollm_contract::{ContentHash, Millis, model::WaitsFor};
use octollm_lifecycle::retry::WAIT_MOST;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The version that is written. Another one is not read: the attempt begins anew.
const VERSION: u32 = 1;

/// The checkpoint of a step that thinks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Journal {
    version: u32,
    /// The number of the last question that was answered, or that failed.
    pub(crate) asked: u32,
    /// The conversation, oldest first.
    pub(crate) messages: Vec<ContentHash>,
    /// Answers of the model that could not be used, in a row.
    #[serde(default)]
    pub(crate) useless: u32,
    /// Questions in a row that brought no whole answer.
    #[serde(default)]
    pub(crate) failed: u32,
    /// Questions that brought no whole answer, ever, and what was wrong with the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vain: Option<Vain>,
    /// What the step has waited for a model since the last answer.
    #[serde(default, skip_serializing_if = "Waited::is_none")]
    pub(crate) waited: Waited,
    /// Effects on the outside world.
    #[serde(default)]
    pub(crate) effects: Vec<Effect>,
    /// The workspace as it is now, when the step changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) workspace: Option<ContentHash>,
    /// What is not in it although it was there: a later attempt's result tells of it, too.
    #[serde(default, skip_serializing_if = "LeftOut::is_none")]
    left_out: LeftOut,
    /// The contents of the workspace's files: a later attempt may read what was named only.
    #[serde(skip)]
    files: Vec<ContentHash>,
    /// What the arm keeps for its report: programs that were run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) runs: Vec<Run>,
    /// How often the model was sent back to look at what it left, in place of an end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) nudges: u32,
    /// Who has answered, as it names itself; marked when it is a simulation.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) models: BTreeSet<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How often and how long a step was handed back because no model could be asked. Only what a provider
/// keeps waiting adds up to a failure (see [`WaitsFor`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waited {
    /// Since the last answer.
    times: u32,
    /// Since the last answer, without the jitter that is added to it.
    sum: Millis,
    /// Ever, for a provider.
    all: u32,
    /// For what is our own doing, since the last wait for a provider or the last answer.
    #[serde(default)]
    turns: u32,
}

/// The first wait is at least this long; each next one twice as long.
const WAIT_FIRST: Millis = Millis::from_secs(1);
/// Waits do not grow beyond this by themselves; a provider may ask for longer ones.
const WAIT_GROWS_TO: Millis = Millis::from_secs(30);
/// What waits for its turn looks again at least so often: nobody tells it when a place is free, and one
/// that is free and not taken is time lost at the provider.
const TURN_GROWS_TO: Millis = Millis::from_secs(4);
/// A step that was handed back often begins with longer waits: a step has a hundred of them.
const OFTEN: u32 = 16;
/// A step whose waits for providers add up to this without one answer fails.
pub(crate) const WAITS_MOST: Millis = Millis::from_secs(900);

impl Waited {
    fn is_none(&self) -> bool {
        *self == Waited::default()
    }

    /// How long to wait now for what is not there before `asked` has passed; `None`: it was waited
    /// for long enough.
    pub(crate) fn again(&mut self, waits_for: WaitsFor, asked: Millis) -> Option<Millis> {
        let grown = |doublings: u32, most: Millis| {
            let wait = WAIT_FIRST.times(1 << doublings.min(8)).min(most);
            wait.max(asked).min(WAIT_MOST)
        };
        if !waits_for.is_provider() {
            self.turns = self.turns.saturating_add(1);
            return Some(grown(self.turns - 1, TURN_GROWS_TO));
        }
        if self.sum >= WAITS_MOST {
            return None;
        }
        let wait = grown(self.times + self.all / OFTEN, WAIT_GROWS_TO);
        self.turns = 0;
        self.times += 1;
        self.all += 1;
        self.sum = Millis::new(self.sum.get().saturating_add(wait.get()));
        Some(wait)
    }

    /// A model has answered.
    pub(crate) fn over(&mut self) {
        *self = Waited { all: self.all, ..Waited::default() };
    }
}

/// Questions that were made and charged, and brought no whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vain {
    pub(crate) questions: u32,
    pub(crate) last: String,
}

/// An effect on the outside world: reserved before it is begun, finalised when its outcome is
/// known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effect {
    /// Step, call and canonical arguments.
    pub(crate) key: ContentHash,
    pub(crate) tool: String,
    pub(crate) finalised: bool,
}

/// A program that was run for the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The program and its arguments, shortened.
    pub(crate) argv: Vec<String>,
    /// How it ended; none when it could not be run or took too long.
    pub(crate) exit_code: Option<i32>,
    /// Files were written or edited after it.
    #[serde(default)]
    pub(crate) outdated: bool,
    /// The end of what it wrote; of the last run only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) tail: String,
}

impl Default for Journal {
    fn default() -> Self {
        Journal {
            version: VERSION,
            asked: 0,
            messages: Vec::new(),
            useless: 0,
            failed: 0,
            vain: None,
            waited: Waited::default(),
            effects: Vec::new(),
            workspace: None,
            left_out: LeftOut::default(),
            files: Vec::new(),
            runs: Vec::new(),
            nudges: 0,
            models: BTreeSet::new(),
        }
    }
}

impl Journal {
    /// The journal of an earlier attempt, if it left one that can be read.
    pub(crate) fn read(checkpoint: Option<&serde_json::Value>) -> Option<Journal> {
        let journal: Journal = serde_json::from_value(checkpoint?.clone()).ok()?;
        Some(journal).filter(|journal| journal.version == VERSION)
    }

    /// The artefacts that it refers to.
    pub(crate) fn artefacts(&self) -> Vec<ContentHash> {
        self.messages.iter().copied().chain(self.workspace).chain(self.files.iter().copied()).collect()
    }

    /// The workspace is as it was kept now.
    pub(crate) fn keep_workspace(&mut self, workspace: &Workspace) {
        self.workspace = Some(workspace.manifest().hash());
        self.left_out = workspace.left_out().clone();
        self.files = workspace.manifest().hashes().collect();
    }

    /// The workspace that an attempt begins with, and what an earlier one left out of it.
    pub(crate) fn begins_with(work: &Work) -> (Option<ContentHash>, LeftOut) {
        let journal = Journal::read(work.checkpoint().as_ref()).unwrap_or_default();
        (journal.workspace.or(work.grant.workspace), journal.left_out)
    }

    /// Takes the right to an effect. An effect of the same key that was begun and whose outcome
    /// is not known may not be begun again.
    pub(crate) fn reserve(&mut self, key: ContentHash, tool: &str) -> Result<(), Unknown> {
        if self.effects.iter().any(|effect| effect.key == key && !effect.finalised) {
            return Err(Unknown);
        }
        self.effects.push(Effect { key, tool: tool.to_owned(), finalised: false });
        Ok(())
    }

    /// The outcome of an effect is known, good or bad.
    pub(crate) fn finalise(&mut self, key: ContentHash) {
        self.effects.iter_mut().filter(|effect| effect.key == key).for_each(|effect| effect.finalised = true);
    }
}

/// An effect was begun before, and nobody knows how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unknown;

#[cfg(test)]
mod tests {
    use super::*;

    /// P9: what is waited for is waited for in bounds, of time and of hand-backs.
    #[test]
    fn waits_grow_respect_what_was_asked_and_end() {
        let mut waited = Waited::default();
        let provider = WaitsFor::Provider;
        let waits: Vec<Millis> = std::iter::from_fn(|| waited.again(provider, Millis::ZERO)).collect();
        assert_eq!(waits[..6], [1, 2, 4, 8, 16, 30].map(Millis::from_secs));
        assert!(waits.len() < 60, "far fewer than the hundred that a step has: {}", waits.len());
        waited.over();
        assert!(
            waited.again(provider, Millis::ZERO).is_some_and(|wait| wait > WAIT_FIRST),
            "it was often away"
        );
        let mut waited = Waited::default();
        assert_eq!(waited.again(provider, Millis::from_secs(60)), Some(Millis::from_secs(60)));
        assert_eq!(waited.again(provider, Millis::new(u64::MAX)), Some(WAIT_MOST));
    }

    /// P9: our own bounds never add up to the end of a step; the waits for a provider do, whatever comes
    /// between them.
    #[test]
    fn only_waits_for_a_provider_add_up() {
        let mut waited = Waited::default();
        for waits_for in [WaitsFor::Turn, WaitsFor::Siblings, WaitsFor::Orchestrator].repeat(500) {
            assert!(waited.again(waits_for, Millis::ZERO).is_some_and(|wait| wait <= TURN_GROWS_TO));
        }
        assert_eq!(waited.again(WaitsFor::Provider, Millis::ZERO), Some(WAIT_FIRST), "the first of its kind");
        let provider = |waited: &mut Waited| waited.again(WaitsFor::Provider, WAIT_GROWS_TO);
        let waits = std::iter::from_fn(|| {
            assert!(waited.again(WaitsFor::Turn, Millis::ZERO).is_some());
            provider(&mut waited)
        });
        assert!(waits.count() <= 30);
    }

    /// P2: an effect of unknown outcome is not begun again; one that is over may be.
    #[test]
    fn an_effect_is_reserved_once_until_its_outcome_is_known() {
        let key = ContentHash::of(b"a");
        let mut journal = Journal::default();
        assert_eq!(journal.reserve(key, "x"), Ok(()));
        assert_eq!(journal.reserve(key, "x"), Err(Unknown));
        let reread = Journal::read(Some(&serde_json::to_value(&journal).unwrap()));
        assert_eq!(reread.unwrap().reserve(key, "x"), Err(Unknown), "after a crash, too");
        journal.finalise(key);
        assert_eq!(journal.reserve(key, "x"), Ok(()));
    }

    #[test]
    fn a_checkpoint_of_the_first_version_is_read_and_others_are_not() {
        let stored = r#"{"version":1,"asked":3,"messages":[],"useless":1,"effects":[]}"#;
        let journal = Journal::read(Some(&serde_json::from_str(stored).unwrap())).unwrap();
        assert_eq!((journal.asked, journal.useless, journal.nudges), (3, 1, 0));
        for other in [r#"{"version":2,"asked":3,"messages":[]}"#, r#"{"n":1}"#, "null", "[]"] {
            assert_eq!(Journal::read(Some(&serde_json::from_str(other).unwrap())), None, "{other}");
        }
    }
}
