//! Counts: of lines and words in files and texts, and of files and folders.

use super::{
    super::{
        NotUnderstood,
        back::{About, Searched, Topic},
        entries::{Entries, Noun},
        scope::{Depth, Use, kind_of},
        whom::{Earlier, Whom},
    },
    Build, ONE_FOLDER, alone, reads,
};
use crate::{Arg, CountWhat, FindKind, ToolCall};
use octollm_contract::Edition;
use std::collections::{BTreeMap, BTreeSet};

/// "how many there are", which does not say of what.
pub(super) fn asks_for_a_number(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    said.contains("how many") && !said.contains("files")
}

impl Build<'_> {
    /// "count the matches": the lines that the search before has found.
    pub(super) fn count_matches(
        &mut self,
        searched: Option<Searched>,
        words: &str,
    ) -> Result<(), NotUnderstood> {
        match searched {
            Some(Searched { sought, of, again: false }) => self.count_holding(&sought, &of, words),
            Some(Searched { again: true, .. }) => Err(NotUnderstood::unclear(
                words,
                "there are two searches before it: say \"count the lines containing '…' in …\" of each",
            )),
            None => Err(NotUnderstood::unclear(
                words,
                "only the lines that the step before has searched for are counted: say \"count the lines \
                 containing '…' in …\"",
            )),
        }
    }

    /// "how many there are": of a search through what is named it tells the lines and the files.
    pub(super) fn count_either(
        &mut self,
        searched: Option<Searched>,
        said: &str,
        words: &str,
    ) -> Result<(), NotUnderstood> {
        match searched {
            Some(Searched { of: Whom::Entries(_) | Whom::Earlier(Earlier::Many, _), .. }) => {
                Err(NotUnderstood::unclear(
                    words,
                    "it may be the lines that were found or the files: say \"count the matches\", or \"count the \
                     files in … containing '…'\"",
                ))
            }
            Some(searched) => self.count_matches(Some(searched), words),
            None => self.count_found(&Whom::Earlier(Earlier::Many, said.to_owned()), words),
        }
    }

    pub(super) fn count(&mut self, what: &[CountWhat], of: &Whom, words: &str) -> Result<(), NotUnderstood> {
        for kind in what {
            self.each(of, words, |paths, text| ToolCall::Count {
                what: *kind,
                paths,
                text,
                name: None,
                recursive: false,
            })?;
        }
        Ok(())
    }

    pub(super) fn count_entries(&mut self, e: &Entries, words: &str) -> Result<(), NotUnderstood> {
        let paths = self.places(e, words)?;
        let folder = alone(&paths);
        if e.sort.is_some() || e.limit.is_some() {
            return Err(NotUnderstood::unclear(
                words,
                "an order or a number is not understood when counting files",
            ));
        }
        if let Some(sought) = &e.containing {
            // A search tells how many files hold the text.
            let kind = if e.noun == Noun::Folders { FindKind::Folder } else { FindKind::File };
            let wanted = self.number_if_readable();
            self.entries_containing(e, sought, paths, kind, words, wanted)?;
            self.topic = Topic { folder: folder.clone(), ..Topic::default() };
            return Ok(());
        }
        let simple = !e.is_aged() && e.size.is_none() && e.hidden != Some(false);
        if paths.len() > 1 && !simple {
            return Err(NotUnderstood::unclear(words, ONE_FOLDER));
        }
        if simple && e.vague {
            return Err(NotUnderstood::unclear(
                words,
                "files and folders are counted, and links are neither: say \"how many files and folders are in …\"",
            ));
        }
        let kind = kind_of(e, Depth::Own, Use::Later, words)?;
        let what: &[CountWhat] = match kind {
            FindKind::File => &[CountWhat::Files],
            FindKind::Folder => &[CountWhat::Folders],
            FindKind::Any => &[CountWhat::Files, CountWhat::Folders],
        };
        if simple {
            let roots: BTreeSet<String> = paths.iter().cloned().collect();
            for what in what {
                let call = ToolCall::Count {
                    what: *what,
                    paths: Some(Arg::Given(paths.clone())),
                    text: None,
                    name: e.name.clone(),
                    recursive: e.recursive.unwrap_or(false),
                };
                self.step(call, BTreeMap::new(), reads(roots.clone()), Use::Shown);
            }
            self.topic = Topic { folder: folder.clone(), ..Topic::default() };
            return Ok(());
        }
        // Like the counts of a folder's own entries, which the tool for counting makes.
        let counted = Entries { hidden: Some(e.hidden.unwrap_or(true)), count: true, ..e.clone() };
        if self.place.readers >= Edition::Second {
            let counted = Entries {
                only: Some(kind),
                noun: if kind == FindKind::Folder { Noun::Folders } else { Noun::Any },
                ..counted
            };
            self.entries(&counted, words, Depth::Own, Use::Shown)?;
            self.topic = Topic { folder: folder.clone(), ..Topic::default() };
            return Ok(());
        }
        if kind != FindKind::File {
            return Err(NotUnderstood::unclear(
                words,
                "folders are counted without conditions, and hidden ones with them",
            ));
        }
        self.entries(&counted, words, Depth::Own, Use::Inside)?;
        self.count_found(&Whom::Earlier(Earlier::Many, words.to_owned()), words)
    }

    pub(super) fn count_found(&mut self, of: &Whom, words: &str) -> Result<(), NotUnderstood> {
        match &self.topic.files {
            // "how many files are there" as the goal's first words.
            About::Nothing if self.plan.steps.is_empty() && words.to_ascii_lowercase().contains("files") => {
                return self.count_entries(&Entries::default(), words);
            }
            About::Found { kind: FindKind::File, .. } => {}
            About::Found { .. } if self.topic.folder.is_some() => {
                return Err(NotUnderstood::unclear(
                    words,
                    "there may be folders among them: say \"count the files in it\", or \"count the files and folders in it\"",
                ));
            }
            About::Found { .. } | About::Named(_) | About::Nothing => {
                return Err(NotUnderstood::unclear(
                    words,
                    "only files that an earlier step lists or finds are counted",
                ));
            }
        }
        self.each(of, words, |paths, text| ToolCall::Count {
            what: CountWhat::Files,
            paths,
            text,
            name: None,
            recursive: false,
        })
    }
}
