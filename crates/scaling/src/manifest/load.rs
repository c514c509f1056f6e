//! Files to sets of objects.
//!
//! A folder with a kustomization is a set of its own, built as `kustomize build` would as far as
//! [`crate::kustomize`] goes; a kustomization that another one reads is part of that one's set. All files
//! that no kustomization reads are one set together, unless folders hold the same objects (see `apart`). Order of
//! inputs is kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::kustomize;
use crate::read::{Document, Duplicate, Embedded, Node, Sources, Span, Unreadable, Value};

use super::adapter::AdapterRules;
use super::check::{Fault, FaultKind, check};
use super::dashboard::Dashboard;
use super::object::{Detail, Object, ObjectId, detail, heading};
use super::promql::PromRules;
use super::table::table;

/// One file to read.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its path as the user named it, with `/` between parts.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What reading gave.
#[derive(Debug)]
pub struct Loaded {
    /// The files.
    pub sources: Sources,
    /// The sets: one for each outermost kustomization, one for all plain files.
    pub sets: Vec<Set>,
    /// Files that gave nothing, with the reason.
    pub unreadable: Vec<Unreadable>,
    /// Keys that stand twice, in all files.
    pub duplicates: Vec<Duplicate>,
    /// What a kustomization asks for that could not be done.
    pub refused: Vec<Refusal>,
    /// What a kustomization asks for that this reader does not carry out: it was not looked at.
    pub left_out: Vec<Refusal>,
}

/// Something that a kustomization asks for and that could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where it is asked for.
    pub span: Span,
    /// What and why.
    pub message: String,
}

/// Objects that are applied together.
#[derive(Debug, Default)]
pub struct Set {
    /// The kustomization's folder, or nothing for plain files.
    pub name: String,
    /// The objects, in the order of the files.
    pub objects: Vec<Object>,
}

impl Set {
    /// All objects with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (ObjectId, &Object)> {
        self.objects.iter().enumerate().map(|(index, object)| (ObjectId(index), object))
    }

    /// The object with this id; ids come from this set.
    pub fn get(&self, id: ObjectId) -> &Object {
        &self.objects[id.0]
    }
}

/// Reads all inputs.
pub fn load(inputs: Vec<Input>) -> Loaded {
    let mut sources = Sources::default();
    let mut unreadable = Vec::new();
    let mut duplicates = Vec::new();
    let mut files = Vec::new();
    for input in inputs {
        let (_, documents) = sources.read(&input.path, input.bytes);
        match documents {
            Ok(documents) => {
                for document in &documents {
                    duplicates.extend(document.duplicates.iter().cloned());
                }
                files.push(kustomize::File { path: input.path, documents });
            }
            Err(error) => unreadable.push(error),
        }
    }
    let kustomize::Built { sets: built, refused, left_out } = kustomize::build(files, &sources);
    let mut sets = Vec::new();
    for (name, documents) in built {
        let mut set = Set { name, objects: Vec::new() };
        for document in documents {
            add(document, &sources, &mut set, &mut duplicates);
        }
        sets.push(set);
    }
    join_neighbours(&sources, &mut sets);
    let sets = sets.into_iter().flat_map(|set| apart(&sources, set)).collect();
    duplicates.sort_by_key(|duplicate| duplicate.again);
    duplicates.dedup();
    Loaded { sources, sets, unreadable, duplicates, refused, left_out }
}

/// How many folders with the same objects each get what the other folders share.
const MOST_FOLDERS: usize = 16;

/// Plain folders such as `dev/` and `prod/` may hold the same objects for different clusters: they are not applied
/// together. Each of them is then a set of its own, with what the other folders hold beside it.
fn apart(sources: &Sources, set: Set) -> Vec<Set> {
    if !set.name.is_empty() {
        return vec![set];
    }
    let folder = |object: &Object| {
        let path = sources.path(object.root.span.file);
        path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
    };
    let mut places: BTreeMap<(String, String, String), BTreeSet<String>> = BTreeMap::new();
    for object in
        set.objects.iter().filter(|object| !object.api_version.is_empty() && !object.name().is_empty())
    {
        let key = (object.kind.clone(), object.namespace.clone(), object.name().to_owned());
        places.entry(key).or_default().insert(folder(object));
    }
    let rivals: BTreeSet<String> =
        places.into_values().filter(|folders| folders.len() > 1).flatten().collect();
    if rivals.is_empty() {
        return vec![set];
    }
    let share = rivals.len() <= MOST_FOLDERS;
    let mut sets: BTreeMap<String, Set> =
        rivals.iter().map(|folder| (folder.clone(), Set::default())).collect();
    let mut rest = Set::default();
    for object in set.objects {
        match sets.get_mut(&folder(&object)) {
            Some(own) => own.objects.push(object),
            None => rest.objects.push(object),
        }
    }
    let mut sets: Vec<Set> = sets.into_values().collect();
    if share {
        for own in &mut sets {
            own.objects.extend(rest.objects.iter().cloned());
        }
    } else {
        sets.push(rest);
    }
    sets
}

/// Helm values, dashboards, rules files and node pools in a kustomization's own folder belong to its set: they are what the
/// set's metrics and nodes come from, though `kustomize build` does not read them.
fn join_neighbours(sources: &Sources, sets: &mut [Set]) {
    let Some((plain, built)) = sets.split_first_mut().filter(|(plain, _)| plain.name.is_empty()) else {
        return;
    };
    let mut kept = Vec::new();
    for object in plain.objects.drain(..) {
        let path = sources.path(object.root.span.file);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_loose = object.api_version.is_empty() || matches!(object.detail, Detail::NodePool(_));
        let folder = folder.trim_start_matches("./");
        match built.iter_mut().find(|set| is_loose && !folder.is_empty() && set.name == folder) {
            Some(set) => set.objects.push(object),
            None => kept.push(object),
        }
    }
    plain.objects = kept;
}

fn add(root: Node, sources: &Sources, set: &mut Set, duplicates: &mut Vec<Duplicate>) {
    if root.is_null() {
        return;
    }
    let object = heading(root);
    if object.kind.ends_with("List")
        && object.root.get("items").is_some_and(|items| !items.items().is_empty())
    {
        let Value::Map(entries) = object.root.value else { return };
        for entry in entries.into_iter().filter(|entry| entry.key == "items") {
            let Value::List(items) = entry.value.value else { continue };
            for item in items {
                add(item, sources, set, duplicates);
            }
        }
        return;
    }
    if object.kind.is_empty() || object.api_version.is_empty() {
        let headed = object.root.get("apiVersion").is_some() && object.root.get("kind").is_some();
        let keys = ["apiVersion", "kind"].into_iter().filter(|_| headed);
        let faults = keys.filter_map(|key| no_word(&object.root, key)).collect();
        set.objects.push(Object { faults, ..not_kubernetes(object) });
        return;
    }
    let known = table().kind(&object.api_version, &object.kind);
    let faults = known.map(|name| check(&object.root, name)).unwrap_or_default();
    let typed = detail(&object.api_version, &object.kind, &object.root, known.is_some());
    let mut object = Object { detail: typed, faults, ..object };
    if object.kind == "ConfigMap" && object.api_version == "v1" {
        object.detail = config_map(&object.root, sources, duplicates);
    }
    set.objects.push(object);
}

/// A heading that is there and is no word, as in a template that was not rendered: `kind: {{ .Values.kind }}`.
fn no_word(root: &Node, key: &str) -> Option<Fault> {
    let node = root.get(key).filter(|node| !node.is_null() && node.scalar().is_none())?;
    let what = FaultKind::WrongType { wanted: "a string", got: node.what() };
    Some(Fault { path: key.to_owned(), span: node.span, what })
}

/// A document without `kind` or `apiVersion`: Helm values, a dashboard, a rules file, or something broken.
fn not_kubernetes(object: Object) -> Object {
    let name = object.name.clone();
    let (kind, detail) = if let Some(dashboard) = Dashboard::of(&object.root) {
        ("Grafana dashboard", Detail::Dashboard(dashboard))
    } else if let Some(rules) = AdapterRules::of_values(&object.root) {
        ("prometheus-adapter values", Detail::Adapter(rules))
    } else if object
        .root
        .get("groups")
        .is_some_and(|groups| groups.items().iter().any(|group| group.get("rules").is_some()))
    {
        ("Prometheus rules", Detail::PromRules(PromRules::of(&object.root)))
    } else {
        let kind =
            if object.kind.is_empty() { "document without kind" } else { "document without apiVersion" };
        (kind, Detail::Unknown)
    };
    Object { kind: kind.to_owned(), name, detail, ..object }
}

/// What a ConfigMap holds: adapter rules, a dashboard, or anything.
fn config_map(root: &Node, sources: &Sources, duplicates: &mut Vec<Duplicate>) -> Detail {
    let mut contents = Vec::new();
    for entry in root.get("data").map_or(&[][..], Node::entries) {
        let language = if entry.key.ends_with(".json") {
            Embedded::Json
        } else if entry.key.ends_with(".yaml") || entry.key.ends_with(".yml") {
            Embedded::Yaml
        } else {
            continue;
        };
        // What is inside a ConfigMap may be any language that its reader knows; not ours is no fault.
        let Ok(documents) = sources.read_embedded(&entry.value, language) else { continue };
        for Document { root, duplicates: inner } in documents {
            if let Some(rules) = AdapterRules::of_config(&root) {
                duplicates.extend(inner);
                return Detail::Adapter(rules);
            }
            if let Some(dashboard) = Dashboard::of(&root) {
                return Detail::Dashboard(dashboard);
            }
            contents.push(root);
        }
    }
    Detail::ConfigMap(contents)
}
