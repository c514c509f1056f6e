//! What `-f PATH…` means: the manifests below the paths, and what the kustomizations among them read.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use octollm_scaling::kustomize;
use octollm_scaling::lint::{self, render};
use octollm_scaling::manifest::{Input, Loaded, load};

use crate::Console;
use crate::files::{ReadError, files_below, read_bytes};

/// What was read, and what could not be.
pub(super) struct Gathered {
    pub(super) inputs: Vec<Input>,
    pub(super) errors: Vec<ReadError>,
}

/// Reads all of it. A file that two paths name is read once. What a kustomization names and is not
/// there is left to the engine, which knows the line that names it.
pub(super) fn gather(paths: &[String], input: &mut dyn Read) -> Gathered {
    let mut gathered = Gathered { inputs: Vec::new(), errors: Vec::new() };
    let mut tried = BTreeSet::new();
    for path in paths {
        let (files, errors) = files_below(path);
        gathered.errors.extend(errors);
        for file in files {
            gathered.read(file, &mut tried, input);
        }
    }
    // Every round reads at least one more file or is the last.
    loop {
        let before = tried.len();
        for path in kustomize::wanted(&gathered.inputs) {
            if let Some(file) = existing(&path) {
                gathered.read(file, &mut tried, input);
            }
        }
        if tried.len() == before {
            return gathered;
        }
    }
}

/// The manifests, for a verb that works on sound ones only; nothing when they are not, which is told.
pub(super) fn accept(paths: &[String], console: &mut Console<'_>) -> io::Result<Option<Loaded>> {
    let gathered = gather(paths, console.input);
    for error in &gathered.errors {
        writeln!(console.err, "{error}")?;
    }
    let loaded = load(gathered.inputs);
    let report = lint::refusals(&loaded);
    let is_sound = report.findings.is_empty() && report.unreadable.is_empty();
    if !is_sound {
        write!(console.err, "{}", render::text(&loaded.sources, &report))?;
    }
    Ok((is_sound && gathered.errors.is_empty()).then_some(loaded))
}

impl Gathered {
    fn read(&mut self, path: String, tried: &mut BTreeSet<String>, input: &mut dyn Read) {
        if !tried.insert(path.clone()) {
            return;
        }
        match read_bytes(&path, input) {
            Ok(bytes) => self.inputs.push(Input { path, bytes }),
            Err(error) => self.errors.push(error),
        }
    }
}

/// The file behind a path that a kustomization names: itself, or the kustomization of a folder. A pipe or a
/// device is none.
fn existing(path: &str) -> Option<String> {
    if !Path::new(path).is_dir() {
        return Path::new(path).is_file().then(|| path.to_owned());
    }
    ["kustomization.yaml", "kustomization.yml", "Kustomization"]
        .iter()
        .map(|name| format!("{path}/{name}"))
        .find(|file| Path::new(file).is_file())
}
