//! What "it", "them" and "the output" mean, and the typed references that they become.
//!
//! Promises: what a word points back to is never chosen among several; a reference reads what
//! the step that it leads to may read.

use super::NotUnderstood;
use super::named::{Called, Named, looks};
use super::sought::Sought;
use super::whom::{Earlier, Whom};
use crate::{Arg, FindKind, InputName, Reference, StepName, ValueType};
use std::collections::{BTreeMap, BTreeSet};

/// What "it", "them" and "the output" mean after a clause.
#[derive(Clone, Debug, Default)]
pub(super) struct Topic {
    pub(super) files: About,
    /// The one step whose text is "the output".
    pub(super) output: Option<(StepName, BTreeSet<String>)>,
    /// "it" is the output and no file: after a fetch, a command, a part of a file.
    pub(super) output_is_it: bool,
    /// The output's text is to the byte what was fetched or printed, and nothing but that.
    pub(super) output_is_exact: bool,
    /// What the clause before has searched for and where: "the matches" are what it found, and "the lines" may be.
    pub(super) searched: Option<Searched>,
    /// The one folder whose entries were listed, found or counted.
    pub(super) folder: Option<String>,
}

/// A search.
#[derive(Clone, Debug)]
pub(super) struct Searched {
    pub(super) sought: Sought,
    pub(super) of: Whom,
    /// The clause before it was one, too: "the matches" may be those of both.
    pub(super) again: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) enum About {
    #[default]
    Nothing,
    /// Files and folders that the goal names.
    Named(Vec<String>),
    /// What these steps found, each with what it may read; `single`: exactly one each.
    Found { by: Vec<(StepName, BTreeSet<String>)>, single: bool, kind: FindKind },
}

/// One thing that a tool is pointed at.
pub(super) struct Target {
    pub(super) from: From,
    pub(super) roots: BTreeSet<String>,
}

pub(super) enum From {
    Paths(Vec<String>),
    PathsOf(StepName),
    Text(String),
    TextOf(StepName),
}

impl Topic {
    /// The folder that "in it" means after this; `said` are the words.
    pub(super) fn folder(&self, said: &str) -> Result<String, NotUnderstood> {
        match (&self.files, &self.folder) {
            (About::Found { single: true, .. }, _) => Err(NotUnderstood::unclear(
                said,
                "what an earlier step finds is not known yet: name the folder",
            )),
            (About::Named(paths), None) if paths.len() == 1 => {
                let named = Named { path: paths[0].clone(), called: Called::Nothing };
                match looks(&named) {
                    Some(Called::File) => Err(NotUnderstood::unclear(said, "it points back to a file")),
                    Some(Called::Folder | Called::Nothing) | None => Ok(named.path),
                }
            }
            (_, Some(folder)) => Ok(folder.clone()),
            (_, None) => Err(NotUnderstood::unclear(
                said,
                "it points back to a folder, and no earlier step names one alone",
            )),
        }
    }

    /// What `earlier` means after this; `said` are the words.
    pub(super) fn earlier(&self, earlier: Earlier, said: &str) -> Result<Vec<Target>, NotUnderstood> {
        let unclear = |why| Err(NotUnderstood::unclear(said, why));
        let output = || match &self.output {
            Some((step, roots)) => {
                Ok(vec![Target { from: From::TextOf(step.clone()), roots: roots.clone() }])
            }
            None => unclear("it points back to an output, and no earlier step has one alone"),
        };
        match (earlier, &self.files) {
            (Earlier::Output, _) => output(),
            (Earlier::One, About::Nothing) if self.output_is_it => output(),
            (Earlier::One | Earlier::Many, About::Named(_)) if self.output_is_it => unclear(
                "it may be the file or the lines that were read: name the file, or say \"the output\"",
            ),
            (Earlier::One, About::Named(paths)) if paths.len() == 1 => Ok(vec![named_target(paths)]),
            (Earlier::Many, About::Named(paths)) if paths.len() > 1 => Ok(vec![named_target(paths)]),
            (Earlier::One, About::Found { by, single: true, .. }) if by.len() == 1 => Ok(found_targets(by)),
            (Earlier::Many, About::Found { by, single: false, .. }) => Ok(found_targets(by)),
            (Earlier::One, About::Found { single: false, .. }) => unclear(
                "a search or a listing may find several: say \"them\" or \"of each of them\", or name the file",
            ),
            (Earlier::One, About::Named(_) | About::Found { .. }) => {
                unclear("it points back to one thing, and there are several")
            }
            (Earlier::Many, About::Named(_) | About::Found { .. }) => {
                unclear("it points back to several things, and there is one")
            }
            (Earlier::One | Earlier::Many, About::Nothing) => {
                unclear("it points back to nothing that an earlier step names or finds")
            }
        }
    }
}

pub(super) fn named_target(paths: &[String]) -> Target {
    Target { from: From::Paths(paths.to_vec()), roots: paths.iter().cloned().collect() }
}

pub(super) fn found_targets(by: &[(StepName, BTreeSet<String>)]) -> Vec<Target> {
    by.iter()
        .map(|(step, roots)| Target { from: From::PathsOf(step.clone()), roots: roots.clone() })
        .collect()
}

pub(super) fn found(step: StepName, roots: BTreeSet<String>) -> About {
    About::Found { by: vec![(step, roots)], single: false, kind: FindKind::File }
}

impl Target {
    /// The paths that the goal names; `said` are the words that point back to them.
    pub(super) fn named(self, said: &str) -> Result<Vec<String>, NotUnderstood> {
        match self.from {
            From::Paths(paths) => Ok(paths),
            From::PathsOf(_) | From::Text(_) | From::TextOf(_) => Err(NotUnderstood::unclear(
                said,
                "what an earlier step finds or gives is not known yet: name the files",
            )),
        }
    }

    /// The paths as an argument, with the input that it may need.
    pub(super) fn paths(&self) -> (Arg<Vec<String>>, BTreeMap<InputName, Reference>) {
        match &self.from {
            From::PathsOf(step) => {
                let input = name::<InputName>("paths");
                let from = Reference { step: step.clone(), output: ValueType::Paths };
                (Arg::Input(input.clone()), BTreeMap::from([(input, from)]))
            }
            From::Paths(paths) => (Arg::Given(paths.clone()), BTreeMap::new()),
            From::Text(_) | From::TextOf(_) => (Arg::Given(Vec::new()), BTreeMap::new()),
        }
    }
}

pub(super) fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a number and a verb, or a word of this file, is a name")
}
