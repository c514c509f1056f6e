//! Clauses become steps: paths are made absolute, "it" and "them" become typed references, and
//! each step gets exactly the capability that its call needs.
//!
//! Promises: a step that works on what another found may read what the other may read and
//! nothing else; what a word points back to is never chosen among several.

mod commands;
mod counted;
mod pointed;

use super::NotUnderstood;
use super::back::{About, From, Searched, Target, Topic, found, name};
use super::clause::{Clause, Part, Placed};
use super::entries::{Entries, Noun};
use super::named::{Called, Named, looks};
use super::place::Place;
use super::scope::{Depth, Use, Wanted, find_or_list, is_hidden_too, kind_of, search_call};
use super::sought::Sought;
use super::summary::{summary, verb};
use super::url;
use super::whom::{Earlier, Whom};
use crate::{
    Arg, FindKind, InputName, Instruction, MAX_STEPS, Plan, PlanStep, Reference, SortBy, StepName, ToolCall,
};
use octollm_access::{Capability, NetworkGrant};
use octollm_contract::{ArmName, Edition};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the plan of a goal's clauses.
pub(super) fn plan(clauses: &[Placed], place: &Place) -> Result<Plan, NotUnderstood> {
    let mut build = Build {
        place,
        plan: Plan { steps: Vec::new(), result: Vec::new() },
        last: Vec::new(),
        topic: Topic::default(),
    };
    for (at, placed) in clauses.iter().enumerate() {
        let used_later = clauses.get(at + 1).is_some_and(|next| next.clause.points_back());
        let before = std::mem::take(&mut build.last);
        let first_new = build.plan.steps.len();
        if let Some([earlier, latest]) = at.checked_sub(2).and_then(|from| clauses.get(from..at))
            && (placed.clause.points_back() || placed.clause.entries().is_some_and(|e| e.there.is_some()))
            && are_twins(&earlier.clause, &latest.clause)
        {
            return Err(NotUnderstood::unclear(&placed.words, OF_TWO));
        }
        build.clause(&first_of_all(placed, at), used_later)?;
        if placed.after_previous {
            for step in &mut build.plan.steps[first_new..] {
                let own: BTreeSet<&StepName> = step.inputs.values().map(|from| &from.step).collect();
                step.needs = before.iter().filter(|name| !own.contains(name)).cloned().collect();
            }
        }
        if build.plan.steps.len() > MAX_STEPS {
            return Err(NotUnderstood::TooManySteps);
        }
    }
    order_writers(&mut build.plan);
    Ok(build.plan)
}

const OF_TWO: &str =
    "it may be of one or of both of the two before it: name what it is of, or say it behind each";

/// Whether of two clauses neither is more likely to be pointed back to than the other: "fetch A and fetch B, then …".
fn are_twins(earlier: &Clause, latest: &Clause) -> bool {
    match (earlier, latest) {
        (Clause::List(_) | Clause::Find(_), Clause::List(_) | Clause::Find(_))
        | (Clause::Fetch(_), Clause::Fetch(_))
        | (Clause::Run(_), Clause::Run(_)) => true,
        // "count the lines in a.txt and the words in a.txt" speak of one.
        (Clause::Read { of: one, .. }, Clause::Read { of: two, .. })
        | (Clause::Count { of: one, .. }, Clause::Count { of: two, .. })
        | (Clause::Hash { of: one, .. }, Clause::Hash { of: two, .. })
        | (Clause::DiskUse { of: one }, Clause::DiskUse { of: two }) => {
            one != two && !one.points_back() && !two.points_back()
        }
        (_, _) => false,
    }
}

/// "All files" points back, and as a goal's first words it means those that lie here.
fn first_of_all(placed: &Placed, at: usize) -> Placed {
    const ALL: &[&str] = &["all files", "all the files", "all of the files", "every file", "each file"];
    let mut placed = placed.clone();
    let all = |said: &str| at == 0 && ALL.contains(&said.to_ascii_lowercase().as_str());
    let every = || Box::new(Entries { every: true, ..Entries::default() });
    // "show all files" asks for no text.
    if let Clause::Read { part: Part::Shown, of: Whom::Earlier(Earlier::Many, said) } = &placed.clause
        && all(said)
    {
        placed.clause = Clause::List(every());
    }
    if let Some(of) = placed.clause.whom_mut()
        && let Whom::Earlier(Earlier::Many, said) = of
        && all(said)
    {
        *of = Whom::Entries(every());
    }
    placed
}

/// A command may change the workspace, so that of two the second starts from what the first
/// left there, also where the goal says "and".
fn order_writers(plan: &mut Plan) {
    let mut last: Option<StepName> = None;
    for step in plan.steps.iter_mut().filter(|step| step.capability.writes_workspace) {
        let before = last.replace(step.name.clone());
        let known = |name: &StepName| {
            step.needs.contains(name) || step.inputs.values().any(|from| from.step == *name)
        };
        if let Some(before) = before.filter(|name| !known(name)) {
            step.needs.push(before);
        }
    }
}

/// What several steps find has no sum.
const ONE_FOLDER: &str =
    "with conditions, what lies in several folders is not counted at once: ask for each folder";

struct Build<'p> {
    place: &'p Place,
    plan: Plan,
    /// The steps of the clause being built.
    last: Vec<StepName>,
    topic: Topic,
}

impl Build<'_> {
    fn clause(&mut self, placed: &Placed, used_later: bool) -> Result<(), NotUnderstood> {
        let words = placed.words.as_str();
        if let Some(why) = placed.clause.unclear() {
            return Err(NotUnderstood::unclear(words, why));
        }
        let searched = std::mem::take(&mut self.topic.searched);
        match &placed.clause {
            Clause::List(e) => {
                self.entries(e, words, Depth::Own, if used_later { Use::Later } else { Use::Shown })
            }
            Clause::Find(e) => {
                self.entries(e, words, Depth::All, if used_later { Use::Later } else { Use::Shown })
            }
            Clause::Show(named) => self.show(named, words),
            Clause::Read { part: _, of: Whom::Earlier(Earlier::One, said) }
                if searched.is_some() && !said.to_ascii_lowercase().contains("file") =>
            {
                Err(NotUnderstood::unclear(
                    words,
                    "it may be of the lines that were found or of the file: name the file",
                ))
            }
            Clause::Read { part, of } => self.read(*part, of, words),
            Clause::Count { what: _, of: Whom::Earlier(Earlier::One | Earlier::Many, _) }
                if searched.is_some() && matches!(self.topic.files, About::Named(_)) =>
            {
                Err(NotUnderstood::unclear(
                    words,
                    "it may be the lines that were found, whose number a search tells, or all of the file: name the file",
                ))
            }
            Clause::Count { what, of } => self.count(what, of, words),
            Clause::CountEntries(e) => self.count_entries(e, words),
            Clause::CountFound(Whom::Earlier(Earlier::Many, said)) if counted::asks_for_a_number(said) => {
                self.count_either(searched, said, words)
            }
            Clause::CountFound(of) => self.count_found(of, words),
            Clause::CountMatches => self.count_matches(searched, words),
            Clause::Search { sought, of } => {
                self.search(sought, of, words, Wanted::Lines)?;
                if let Some(now) = &mut self.topic.searched {
                    now.again = searched.is_some();
                }
                Ok(())
            }
            Clause::CountHolding { sought, of } => self.count_holding(sought, of, words),
            Clause::Hash { kind, of } => {
                self.each(of, words, |paths, text| ToolCall::Hash { kind: *kind, paths, text })
            }
            Clause::DiskUse { of } => {
                for target in self.paths_only(of, words)? {
                    let (arg, inputs) = target.paths();
                    self.step(ToolCall::DiskUse { paths: arg }, inputs, reads(target.roots), Use::Shown);
                }
                self.topic.output = None;
                Ok(())
            }
            Clause::Compare(two) => self.compare(two, words),
            Clause::Fetch(address) => {
                let grant = NetworkGrant { host: url::host_of(address)?, private: false };
                let capability = Capability { hosts: BTreeSet::from([grant]), ..Capability::default() };
                let step = self.step(
                    ToolCall::HttpFetch { url: address.clone() },
                    BTreeMap::new(),
                    capability,
                    Use::Shown,
                );
                self.topic = Topic {
                    files: About::Nothing,
                    output: Some((step, BTreeSet::new())),
                    output_is_it: true,
                    output_is_exact: true,
                    ..Topic::default()
                };
                Ok(())
            }
            Clause::Run(command) => self.run(&command.line),
            Clause::Program { argv, of } => {
                let paths = self.resolve_all(of)?;
                let roots = paths.iter().cloned().collect();
                self.program(argv.iter().cloned().chain(paths).collect(), roots, false);
                Ok(())
            }
            Clause::Here => {
                let here = self.place.resolve(".")?;
                self.program(vec!["echo".to_owned(), here], BTreeSet::new(), false);
                Ok(())
            }
            Clause::Unclear(why) => Err(NotUnderstood::unclear(words, why)),
        }
    }

    /// Adds a step and gives its name.
    fn step(
        &mut self,
        call: ToolCall,
        inputs: BTreeMap<InputName, Reference>,
        capability: Capability,
        used: Use,
    ) -> StepName {
        let name = name::<StepName>(&format!("{}-{}", self.plan.steps.len() + 1, verb(&call)));
        let summary = summary(&call, &inputs);
        self.plan.steps.push(PlanStep {
            name: name.clone(),
            arm: ArmName::Executor,
            summary,
            instruction: Instruction::Tool(call),
            inputs,
            needs: Vec::new(),
            capability,
            time_limit: None,
        });
        if used != Use::Inside {
            self.plan.result.push(name.clone());
        }
        self.last.push(name.clone());
        name
    }

    fn resolve_all(&self, named: &[Named]) -> Result<Vec<String>, NotUnderstood> {
        named.iter().map(|one| self.place.resolve(&one.path)).collect()
    }

    /// The folders of a description; one that looks like a file is none: an archive is not opened.
    fn folders(&self, places: &[Named], words: &str) -> Result<Vec<String>, NotUnderstood> {
        if places.iter().any(|place| looks(place) == Some(Called::File)) {
            return Err(NotUnderstood::unclear(
                words,
                "this looks like a file; say \"the folder …\" if it is one",
            ));
        }
        let mut folders: Vec<String> = Vec::new();
        for folder in self.resolve_all(places)? {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Ok(folders)
    }

    /// The folders of a description; without one it is the current folder, as on a command line, unless
    /// another was spoken of before.
    fn places(&self, e: &Entries, words: &str) -> Result<Vec<String>, NotUnderstood> {
        if let Some(said) = &e.there {
            return self.topic.folder(said).map(|folder| vec![folder]);
        }
        let elsewhere = |step: &PlanStep| {
            step.capability.read_roots.iter().any(|root| self.place.resolve(".").as_ref() != Ok(root))
        };
        match e.places.is_empty() {
            false => self.folders(&e.places, words),
            true if self.place.cwd.is_none() || e.vague || self.plan.steps.iter().any(elsewhere) => {
                Err(NotUnderstood::unclear(words, "say in which folder, such as \"in /tmp\""))
            }
            true => Ok(vec![self.place.resolve(".")?]),
        }
    }

    /// A listing or a search for each place that is named.
    fn entries(&mut self, e: &Entries, words: &str, depth: Depth, used: Use) -> Result<(), NotUnderstood> {
        let places = self.places(e, words)?;
        if places.len() > 1 && (e.limit.is_some() || e.sort.is_some()) {
            return Err(NotUnderstood::unclear(
                words,
                "an order and a number over several folders at once is not understood",
            ));
        }
        let kind = kind_of(e, depth, used, words)?;
        if e.turned && (used != Use::Shown || e.limit.is_some() || e.containing.is_some()) {
            return Err(NotUnderstood::unclear(words, "only a listing of its own is shown from Z to A"));
        }
        if let Some(sought) = &e.containing {
            // The newest file, if it holds the text, or the newest of those that do?
            if e.limit.is_some() || e.sort.is_some_and(|order| order != SortBy::Name) {
                return Err(NotUnderstood::unclear(
                    words,
                    "files that hold a text are not put in order or counted off",
                ));
            }
            // Which files hold a text is what a search for it tells, whatever the verb.
            return self.entries_containing(e, sought, places, kind, words, Wanted::Lines);
        }
        let mut by = Vec::new();
        let folder = alone(&places);
        let used = if e.turned { Use::Inside } else { used };
        for path in places {
            let roots = BTreeSet::from([path.clone()]);
            let call = find_or_list(e, path, kind, depth, used, self.place.readers, words)?;
            by.push((self.step(call, BTreeMap::new(), reads(roots.clone()), used), roots));
        }
        if e.turned {
            for (listed, _) in &by {
                self.filter(&["tac".to_owned()], listed);
            }
        }
        let files = About::Found { by, single: e.limit == Some(1) || e.must, kind };
        self.topic = Topic { files, folder, ..Topic::default() };
        Ok(())
    }

    /// Files by what is in them: a text search below the folders, whose paths are the files.
    fn entries_containing(
        &mut self,
        e: &Entries,
        sought: &Sought,
        places: Vec<String>,
        kind: FindKind,
        words: &str,
        wanted: Wanted,
    ) -> Result<(), NotUnderstood> {
        let plain = !e.is_aged() && e.size.is_none() && e.sort.is_none() && e.limit.is_none();
        if kind == FindKind::Folder {
            return Err(NotUnderstood::unclear(words, "only files hold a text"));
        }
        if plain && e.recursive.unwrap_or(true) && is_hidden_too(e, Depth::All) {
            let roots: BTreeSet<String> = places.iter().cloned().collect();
            let call = search_call(sought, Some(Arg::Given(places)), None, e.name.clone(), wanted);
            let step = self.step(call, BTreeMap::new(), reads(roots.clone()), Use::Shown);
            self.topic = Topic { files: found(step, roots), ..Topic::default() };
            return Ok(());
        }
        if wanted == Wanted::Number && places.len() > 1 {
            return Err(NotUnderstood::unclear(words, ONE_FOLDER));
        }
        let mut by = Vec::new();
        let inner = Entries { containing: None, only: Some(FindKind::File), ..e.clone() };
        for path in places {
            let roots = BTreeSet::from([path.clone()]);
            let source = find_or_list(
                &inner,
                path,
                FindKind::File,
                Depth::All,
                Use::Inside,
                self.place.readers,
                words,
            )?;
            let from = self.step(source, BTreeMap::new(), reads(roots.clone()), Use::Inside);
            let target = Target { from: From::PathsOf(from), roots: roots.clone() };
            let (arg, inputs) = target.paths();
            let call = search_call(sought, Some(arg), None, None, wanted);
            by.push((self.step(call, inputs, reads(roots.clone()), Use::Shown), roots));
        }
        self.topic =
            Topic { files: About::Found { by, single: false, kind: FindKind::File }, ..Topic::default() };
        Ok(())
    }

    fn show(&mut self, named: &Named, words: &str) -> Result<(), NotUnderstood> {
        let looks = looks(named).or_else(|| {
            let folder = self.place.is_folder(&named.path)?;
            Some(if folder { Called::Folder } else { Called::File })
        });
        match looks {
            Some(Called::File) => self.read(Part::Whole, &Whom::Named(vec![named.clone()]), words),
            Some(Called::Folder) => {
                let e = Entries { noun: Noun::Any, places: vec![named.clone()], ..Entries::default() };
                self.entries(&e, words, Depth::Own, Use::Shown)
            }
            Some(Called::Nothing) | None => {
                Err(NotUnderstood::unclear(words, "say \"read the file …\" or \"list the folder …\""))
            }
        }
    }

    fn read(&mut self, part: Part, of: &Whom, words: &str) -> Result<(), NotUnderstood> {
        let named = matches!(of, Whom::Named(_));
        let (first_lines, last_lines, from_line) = match part {
            Part::Whole | Part::Shown => (None, None, None),
            Part::First(n) => (Some(n), None, None),
            Part::Last(n) => (None, Some(n), None),
            Part::Range(from, to) => (to, None, Some(from)),
        };
        if let (Part::Range(from, to), Whom::Named(named)) = (part, of)
            && self.place.readers < Edition::Second
        {
            // What such lines were read with before there was a word for them.
            let last = to.map_or("$".to_owned(), |to| to.to_string());
            let paths = self.resolve_all(named)?;
            let argv = ["sed", "-n", &format!("{from},{last}p")].map(str::to_owned);
            self.program(argv.into_iter().chain(paths.clone()).collect(), paths.into_iter().collect(), false);
            return Ok(());
        }
        if let Some(step) = self.output_that_is_meant(of)
            && let Some(argv) = part.of_a_text()
        {
            self.filter(&argv, &step);
            return Ok(());
        }
        let targets = self.paths_only(of, words)?;
        let before = std::mem::take(&mut self.topic);
        let mut outputs = Vec::new();
        let mut paths = Vec::new();
        for target in targets {
            let (arg, inputs) = target.paths();
            if let Arg::Given(given) = &arg {
                paths.extend(given.iter().cloned());
            }
            let roots = target.roots.clone();
            outputs.push((
                self.step(
                    ToolCall::ReadFile { paths: arg, first_lines, last_lines, from_line },
                    inputs,
                    reads(target.roots),
                    Use::Shown,
                ),
                roots,
            ));
        }
        self.topic = before;
        if named {
            self.topic.files = About::Named(paths);
        }
        self.topic.output = if outputs.len() == 1 { outputs.pop() } else { None };
        self.topic.output_is_it = matches!(part, Part::First(_) | Part::Last(_) | Part::Range(..));
        Ok(())
    }

    fn search(
        &mut self,
        sought: &Sought,
        of: &Whom,
        words: &str,
        wanted: Wanted,
    ) -> Result<(), NotUnderstood> {
        // "search for 'x' in the .log files in /var/log" is one search with a name.
        if let Whom::Entries(e) = of {
            if e.containing.is_some() {
                return Err(NotUnderstood::unclear(words, "one text at a time"));
            }
            let narrowed = Entries { recursive: Some(e.recursive.unwrap_or(true)), ..(**e).clone() };
            let places = self.places(e, words)?;
            let kind = kind_of(e, Depth::All, Use::Later, words)?;
            let kind = if kind == FindKind::Any { FindKind::File } else { kind };
            self.entries_containing(&narrowed, sought, places, kind, words, wanted)?;
            self.topic.searched = Some(Searched { sought: sought.clone(), of: of.clone(), again: false });
            return Ok(());
        }
        let before = self.topic.files.clone();
        self.each(of, words, |paths, text| search_call(sought, paths, text, None, wanted))?;
        if !matches!(of, Whom::Earlier(..)) {
            // "them" after a search in named files could be the files or the lines.
            self.topic.files = if let (Whom::Named(one), About::Named(_)) = (of, &self.topic.files) {
                if one.len() == 1 && looks(&one[0]) == Some(Called::File) {
                    self.topic.files.clone()
                } else {
                    About::Nothing
                }
            } else {
                before
            };
        }
        self.topic.searched = Some(Searched { sought: sought.clone(), of: of.clone(), again: false });
        Ok(())
    }
}

/// The one of them, if it is one.
fn alone(folders: &[String]) -> Option<String> {
    if let [one] = folders { Some(one.clone()) } else { None }
}

fn reads(roots: BTreeSet<String>) -> Capability {
    Capability { read_roots: roots, ..Capability::default() }
}
