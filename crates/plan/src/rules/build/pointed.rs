//! What a clause points at, and the steps that work on each of it.

use super::{
    super::{
        NotUnderstood,
        back::{About, From, Target, Topic, name},
        scope::{Depth, Use, Wanted},
        sought::Sought,
        whom::{Earlier, Whom},
    },
    Build, reads,
};
use crate::{Arg, CountWhat, InputName, Instruction, Reference, StepName, ToolCall, ValueType};
use octollm_access::Capability;
use octollm_contract::Edition;
use std::collections::{BTreeMap, BTreeSet};

impl Build<'_> {
    /// A step of a tool that takes paths or a text, for each thing it is pointed at.
    pub(super) fn each(
        &mut self,
        of: &Whom,
        words: &str,
        call: impl Fn(Option<Arg<Vec<String>>>, Option<Arg<String>>) -> ToolCall,
    ) -> Result<(), NotUnderstood> {
        for target in self.targets(of, words)? {
            let exact = !matches!(call(None, None), ToolCall::Hash { .. });
            match &target.from {
                From::Paths(_) | From::PathsOf(_) => {
                    let (arg, inputs) = target.paths();
                    self.step(call(Some(arg), None), inputs, reads(target.roots), Use::Shown);
                }
                From::Text(text) => {
                    self.step(
                        call(None, Some(Arg::Given(text.clone()))),
                        BTreeMap::new(),
                        Capability::default(),
                        Use::Shown,
                    );
                }
                // The text of an output is for people: its digest would be one of nothing. What was fetched is itself.
                From::TextOf(_) if !exact && !self.topic.output_is_exact => {
                    return Err(NotUnderstood::unclear(
                        words,
                        "only files, quoted texts and what was fetched are hashed, not the output of another step",
                    ));
                }
                From::TextOf(step) => {
                    let input = name::<InputName>("text");
                    let from = Reference { step: step.clone(), output: ValueType::Text };
                    self.step(
                        call(None, Some(Arg::Input(input.clone()))),
                        BTreeMap::from([(input, from)]),
                        Capability::default(),
                        Use::Shown,
                    );
                }
            }
        }
        if let Whom::Named(named) = of {
            self.topic = Topic { files: About::Named(self.resolve_all(named)?), ..Topic::default() };
        }
        Ok(())
    }

    /// The step whose output `of` points back to, if it is one's and no file.
    pub(super) fn output_that_is_meant(&self, of: &Whom) -> Option<StepName> {
        let Whom::Earlier(earlier, said) = of else { return None };
        let mut targets = self.topic.earlier(*earlier, said).ok()?;
        match (targets.pop()?.from, targets.is_empty()) {
            (From::TextOf(step), true) => Some(step),
            (From::Paths(_) | From::PathsOf(_) | From::Text(_) | From::TextOf(_), _) => None,
        }
    }

    pub(super) fn paths_only(&mut self, of: &Whom, words: &str) -> Result<Vec<Target>, NotUnderstood> {
        let targets = self.targets(of, words)?;
        let paths = targets.iter().all(|t| matches!(t.from, From::Paths(_) | From::PathsOf(_)));
        if let (false, Whom::Named(_) | Whom::Entries(_) | Whom::Literal(_) | Whom::Earlier(..)) = (paths, of)
        {
            return Err(NotUnderstood::unclear(words, "this needs files, and what came before is a text"));
        }
        if let Whom::Named(named) = of {
            self.topic = Topic { files: About::Named(self.resolve_all(named)?), ..Topic::default() };
        }
        Ok(targets)
    }

    pub(super) fn targets(&mut self, of: &Whom, words: &str) -> Result<Vec<Target>, NotUnderstood> {
        match of {
            Whom::Named(named) => {
                let paths = self.resolve_all(named)?;
                Ok(vec![Target { roots: paths.iter().cloned().collect(), from: From::Paths(paths) }])
            }
            Whom::Literal(text) => {
                Ok(vec![Target { from: From::Text(text.clone()), roots: BTreeSet::new() }])
            }
            Whom::Entries(e) => {
                self.entries(e, words, Depth::Own, Use::Inside)?;
                // "the largest file" is one.
                let earlier = if e.limit == Some(1) { Earlier::One } else { Earlier::Many };
                self.topic.earlier(earlier, words)
            }
            Whom::Earlier(earlier, said) => self.topic.earlier(*earlier, said),
        }
    }

    pub(super) fn compare(&mut self, two: &[Whom], words: &str) -> Result<(), NotUnderstood> {
        let mut paths = Vec::new();
        for of in two {
            match of {
                Whom::Named(named) => paths.extend(self.resolve_all(named)?),
                Whom::Earlier(earlier, said) => {
                    for target in self.topic.earlier(*earlier, said)? {
                        paths.extend(target.named(said)?);
                    }
                }
                Whom::Entries(_) | Whom::Literal(_) => {}
            }
        }
        let Ok([left, right]) = <[String; 2]>::try_from(paths) else {
            return Err(NotUnderstood::unclear(
                words,
                "two files are compared, no more and no less: name both",
            ));
        };
        let roots = BTreeSet::from([left.clone(), right.clone()]);
        self.topic = Topic { files: About::Named(vec![left.clone(), right.clone()]), ..Topic::default() };
        self.step(ToolCall::Compare { left, right }, BTreeMap::new(), reads(roots), Use::Shown);
        Ok(())
    }

    /// Before the second edition a search had no word for telling numbers alone.
    pub(super) fn number_if_readable(&self) -> Wanted {
        if self.place.readers >= Edition::Second { Wanted::Number } else { Wanted::Lines }
    }

    /// How many lines hold a text. Before the second edition a search could not tell that alone: of files it told it
    /// below the lines, with what could not be searched, and the lines of a text were counted by another step.
    pub(super) fn count_holding(
        &mut self,
        sought: &Sought,
        of: &Whom,
        words: &str,
    ) -> Result<(), NotUnderstood> {
        let wanted = self.number_if_readable();
        self.search(sought, of, words, wanted)?;
        self.topic = Topic::default();
        if wanted == Wanted::Number {
            return Ok(());
        }
        let Some(search) = self.plan.steps.last() else { return Ok(()) };
        if !matches!(search.instruction, Instruction::Tool(ToolCall::Search { text: Some(_), .. })) {
            return Ok(());
        }
        let search = search.name.clone();
        self.plan.result.retain(|name| *name != search);
        let input = name::<InputName>("text");
        let from = Reference { step: search, output: ValueType::Text };
        let (text, inputs) = (Some(Arg::Input(input.clone())), BTreeMap::from([(input, from)]));
        let what = CountWhat::Lines;
        let call = ToolCall::Count { what, paths: None, text, name: None, recursive: false };
        self.step(call, inputs, Capability::default(), Use::Shown);
        Ok(())
    }
}
