//! Commands as steps: which of their arguments are files, and what they may do.

use super::{
    super::{
        NotUnderstood, argv,
        back::{Topic, name},
        refusal::cut,
        scope::Use,
    },
    Build,
};
use crate::{Arg, InputName, Reference, StepName, ToolCall, ValueType};
use octollm_access::Capability;
use std::collections::{BTreeMap, BTreeSet};

impl Build<'_> {
    pub(super) fn run(&mut self, line: &str) -> Result<(), NotUnderstood> {
        let mut argv = argv::split(line)?;
        if argv::needs_network(&argv) {
            return Err(NotUnderstood::NoNetwork { command: cut(line, 120) });
        }
        argv::name_the_folder_of_find(&mut argv);
        let written = self.plan.steps.iter().any(|step| step.capability.writes_workspace);
        match argv::pathless(&argv) {
            // Its own folder is the task's, which is empty unless an earlier command has written there.
            Some(argv::Pathless::Folder) if !written && self.place.cwd.is_some() => argv.push(".".to_owned()),
            Some(argv::Pathless::Nothing) => {
                return Err(NotUnderstood::unclear(
                    line,
                    "it is given no file to work on: name one behind it",
                ));
            }
            Some(argv::Pathless::Folder) | None => {}
        }
        if let Some(pattern) = argv::pattern_of_here(&argv) {
            return Err(NotUnderstood::unclear(
                pattern,
                "folders are given to find by their whole paths, so that a pattern that begins with ./ fits nothing: \
                 let it begin with */",
            ));
        }
        let mut roots = BTreeSet::new();
        if argv[0].contains('/') {
            argv[0] = self.place.resolve(&argv[0])?;
            roots.insert(argv[0].clone());
        }
        let is_dd = argv::name(&argv[0]) == "dd";
        // The first argument that means something of the user's.
        let mut outside = None;
        for at in 1..argv.len() {
            let takes = argv::takes(&argv, at);
            let argument = &mut argv[at];
            if takes == argv::Takes::NoFile {
                // A pattern, or a name that is looked for.
            } else if argument.starts_with('/') {
                roots.insert(self.place.resolve(argument)?);
                outside.get_or_insert_with(|| argument.clone());
            } else if let Some(file) = argv::output_of_dd(argument).filter(|_| is_dd) {
                // Only a name of its own may be written to.
                if file.starts_with('/') || self.place.holds(file, argv::Takes::File) {
                    outside.get_or_insert_with(|| file.to_owned());
                }
            } else if self.place.holds(argument, takes) {
                // The program runs in the task's workspace, where the user's file is not.
                let absolute = self.place.resolve(argument)?;
                roots.insert(absolute.clone());
                outside.get_or_insert(std::mem::replace(argument, absolute));
            }
        }
        // Else it would be told to have worked, in a folder where there is nothing to change.
        if argv::changes_files(&argv) {
            let (command, program) = (cut(line, 120), argv[0].clone());
            match outside {
                Some(name) if written => {
                    return Err(NotUnderstood::ChangesYours { command, program, name: cut(&name, 120) });
                }
                None if written || argv::makes_files(&argv[0]) => {}
                Some(_) | None => return Err(NotUnderstood::ChangesFiles { command, program }),
            }
        }
        self.program(argv, roots, true);
        Ok(())
    }

    /// A program over the text that an earlier step gives.
    pub(super) fn filter(&mut self, argv: &[String], given_by: &StepName) {
        let capability = Capability { commands: BTreeSet::from([argv[0].clone()]), ..Capability::default() };
        let input = name::<InputName>("text");
        let from = Reference { step: given_by.clone(), output: ValueType::Text };
        let call =
            ToolCall::Shell { argv: argv.to_vec(), stdin: Some(Arg::Input(input.clone())), any_exit: false };
        let step = self.step(call, BTreeMap::from([(input, from)]), capability, Use::Shown);
        self.topic = Topic { output: Some((step, BTreeSet::new())), output_is_it: true, ..Topic::default() };
    }

    /// A program that may read below `roots`; what it leaves in its folder is the task's where it `writes`.
    pub(super) fn program(&mut self, argv: Vec<String>, roots: BTreeSet<String>, writes: bool) {
        let capability = Capability {
            read_roots: roots,
            commands: BTreeSet::from([argv[0].clone()]),
            writes_workspace: writes,
            ..Capability::default()
        };
        let step = self.step(
            ToolCall::Shell { argv, stdin: None, any_exit: false },
            BTreeMap::new(),
            capability,
            Use::Shown,
        );
        self.topic = Topic { output: Some((step, BTreeSet::new())), output_is_it: true, ..Topic::default() };
    }
}
