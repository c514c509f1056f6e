//! `kustomization.yaml`: resources, components, patches and the transformers, on trees that keep their places.
//!
//! A patched value keeps the place of the patch that wrote it, so a finding points at the line to change.
//! Promises the result of `kustomize build` for resources, components, patches (strategic merge and JSON
//! 6902, in a file or inline), namespace, namePrefix, nameSuffix, labels, commonLabels, commonAnnotations,
//! images, replicas, and the names of generated ConfigMaps and Secrets (without their hash). All else is
//! refused by name, never dropped. Does no I/O: [`wanted`] names the files that are still to be read.

mod json_patch;
mod merge;
mod target;
mod transform;

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::{Input, Refusal};
use crate::read::{Document, Entry, Node, Scalar, Sources, Span, Style, Value};
use crate::slip::slips;

/// One file that was read.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) documents: Vec<Document>,
}

/// How deep kustomizations may build on each other.
const MAX_LAYERS: usize = 32;

/// How often, for each kustomization among the files, one may be built into another: layers that double at each level
/// would otherwise grow without end (and kustomize refuses the objects that they repeat).
const BUILDS_EACH: usize = 64;

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Fields that are carried out; generator options only change how names are hashed.
const KNOWN: [&str; 22] = [
    "apiVersion",
    "kind",
    "metadata",
    "resources",
    "bases",
    "components",
    "patches",
    "patchesStrategicMerge",
    "patchesJson6902",
    "namespace",
    "namePrefix",
    "nameSuffix",
    "labels",
    "commonLabels",
    "commonAnnotations",
    "images",
    "replicas",
    "configMapGenerator",
    "secretGenerator",
    "generatorOptions",
    "sortOptions",
    "buildMetadata",
];

/// Fields that kustomize has and that are not carried out.
const NOT_CARRIED_OUT: [&str; 12] = [
    "crds",
    "configurations",
    "generators",
    "helmCharts",
    "helmChartInflationGenerator",
    "helmGlobals",
    "imageTags",
    "openapi",
    "replacements",
    "transformers",
    "validators",
    "vars",
];

/// Whether a path is that of a kustomization.
pub fn is_kustomization(path: &str) -> bool {
    NAMES.contains(&path.rsplit('/').next().unwrap_or(path))
}

/// The paths that the kustomizations among `inputs` read and that are not among them: files, and folders that
/// hold a kustomization. Whoever reads files adds them and asks again until nothing new is named.
pub fn wanted(inputs: &[Input]) -> Vec<String> {
    let here: BTreeSet<String> = inputs.iter().map(|input| normal(&input.path)).collect();
    let mut paths = BTreeSet::new();
    for input in inputs.iter().filter(|input| is_kustomization(&input.path)) {
        let mut sources = Sources::default();
        let (_, documents) = sources.read(&input.path, input.bytes.clone());
        for document in documents.unwrap_or_default() {
            paths.extend(references(&normal(&input.path), &document.root));
        }
    }
    let is_here = |path: &String| {
        here.contains(path) || NAMES.iter().any(|name| here.contains(&format!("{path}/{name}")))
    };
    paths.into_iter().filter(|path| !is_here(path)).collect()
}

/// The local paths that one kustomization reads.
fn references(path: &str, root: &Node) -> Vec<String> {
    let mut paths = Vec::new();
    for key in ["resources", "bases", "components", "patchesStrategicMerge"] {
        for item in root.get(key).map_or(&[][..], Node::items) {
            paths.extend(item.text().filter(|text| is_local(text)).map(|text| join(path, text)));
        }
    }
    for key in ["patches", "patchesJson6902"] {
        for item in root.get(key).map_or(&[][..], Node::items) {
            paths.extend(item.text_at(&["path"]).map(|text| join(path, text)));
        }
    }
    paths
}

fn is_local(text: &str) -> bool {
    !text.contains("://")
        && !text.contains("?ref=")
        && !text.starts_with("github.com/")
        && !text.contains('\n')
}

/// `relative`, seen from the folder of `path`, with `.` and `..` resolved.
pub(crate) fn join(path: &str, relative: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.pop();
    for part in relative.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." && parts.last().is_some_and(|last| *last != "..") {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"))
}

/// A path with `.` and `..` resolved.
fn normal(path: &str) -> String {
    join(&format!("{}x", if path.starts_with('/') { "/" } else { "" }), path)
}

/// What building gave.
pub(crate) struct Built {
    /// Folder and objects of each set; the folder is empty for files that no kustomization reads.
    pub(crate) sets: Vec<(String, Vec<Node>)>,
    /// What is asked for and cannot be done.
    pub(crate) refused: Vec<Refusal>,
    /// What is asked for and not carried out here.
    pub(crate) left_out: Vec<Refusal>,
}

/// Cuts the files into sets: one for each kustomization that no other reads, one for what none reads.
pub(crate) fn build(files: Vec<File>, sources: &Sources) -> Built {
    let by_path: BTreeMap<String, &File> = files.iter().map(|file| (normal(&file.path), file)).collect();
    let mut builder = Builder {
        files: by_path,
        sources,
        refused: Vec::new(),
        circles: Vec::new(),
        left_out: Vec::new(),
        used: BTreeSet::new(),
        layers: Vec::new(),
        builds_left: 0,
    };
    let kustomizations: Vec<String> =
        builder.files.keys().filter(|path| is_kustomization(path)).cloned().collect();
    builder.builds_left = kustomizations.len().saturating_mul(BUILDS_EACH);
    let mut layers = Vec::new();
    for path in kustomizations {
        builder.layers.clear();
        let nodes = builder.kustomization(&path, Vec::new());
        layers.push((path, nodes, std::mem::take(&mut builder.refused)));
    }
    let Builder { files: by_path, used, mut circles, left_out, .. } = builder;
    let is_plain = |file: &File| {
        let path = normal(&file.path);
        !used.contains(&path) && !is_kustomization(&path)
    };
    let plain: Vec<Node> = files
        .iter()
        .filter(|file| is_plain(file))
        .flat_map(|file| file.documents.iter().map(|document| document.root.clone()))
        .collect();
    let mut sets = Vec::new();
    if !plain.is_empty() || layers.is_empty() {
        sets.push((String::new(), plain));
    }
    let mut refused = Vec::new();
    for (path, nodes, refusals) in layers.into_iter().filter(|(path, ..)| !used.contains(path)) {
        // A component patches what its users bring: by itself its patches have nothing to change.
        let root = by_path.get(&path).and_then(|file| file.documents.first()).map(|document| &document.root);
        if root.is_none_or(|root| root.text_at(&["kind"]) != Some("Component")) {
            refused.extend(refusals);
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        sets.push((folder, nodes));
    }
    if sets.is_empty() {
        sets.push((String::new(), Vec::new()));
    }
    refused.append(&mut circles);
    Built { sets, refused, left_out }
}

struct Builder<'a> {
    files: BTreeMap<String, &'a File>,
    sources: &'a Sources,
    refused: Vec<Refusal>,
    /// Kustomizations that build on themselves: none of them is outermost, so they are kept apart.
    circles: Vec<Refusal>,
    left_out: Vec<Refusal>,
    /// Files that some kustomization reads.
    used: BTreeSet<String>,
    /// The kustomizations being built, outermost first.
    layers: Vec<String>,
    builds_left: usize,
}

/// Adds a refusal once.
fn note(list: &mut Vec<Refusal>, span: Span, message: String) {
    let refusal = Refusal { span, message };
    if !list.contains(&refusal) {
        list.push(refusal);
    }
}

impl Builder<'_> {
    fn refuse(&mut self, span: Span, message: String) {
        note(&mut self.refused, span, message);
    }

    /// Builds one kustomization on top of `nodes` (which only a component gets).
    fn kustomization(&mut self, path: &str, mut nodes: Vec<Node>) -> Vec<Node> {
        let Some(root) = self.files.get(path).and_then(|file| file.documents.first()).map(|d| &d.root) else {
            return nodes;
        };
        if self.layers.len() >= MAX_LAYERS || self.layers.iter().any(|layer| layer == path) {
            let message = "this kustomization builds on itself; remove the circle".to_owned();
            note(&mut self.circles, root.span, message);
            return nodes;
        }
        let Some(left) = self.builds_left.checked_sub(1) else {
            let message = "kustomizations repeat each other here without end; read each once".to_owned();
            note(&mut self.circles, root.span, message);
            return nodes;
        };
        self.builds_left = left;
        self.layers.push(path.to_owned());
        for entry in root.entries().iter().filter(|entry| !KNOWN.contains(&entry.key.as_str())) {
            let key = entry.key.as_str();
            if NOT_CARRIED_OUT.contains(&key) {
                let message = format!("`{key}` is not carried out; lint the output of `kustomize build`");
                note(&mut self.left_out, entry.key_span, message);
            } else {
                let written = key.to_lowercase();
                let names = KNOWN.iter().chain(&NOT_CARRIED_OUT);
                let near =
                    names.filter_map(|name| Some((slips(&name.to_lowercase(), &written, 2)?, name))).min();
                let advice =
                    near.map_or("remove it".to_owned(), |(_, name)| format!("did you mean `{name}`?"));
                let message =
                    format!("`{key}` is no field of a Kustomization, `kustomize build` refuses it; {advice}");
                note(&mut self.refused, entry.key_span, message);
            }
        }
        for key in ["resources", "bases"] {
            for item in root.get(key).map_or(&[][..], Node::items) {
                nodes.extend(self.resource(path, item));
            }
        }
        for item in root.get("components").map_or(&[][..], Node::items) {
            if let Some(component) = self.folder(path, item) {
                nodes = self.kustomization(&component, nodes);
            }
        }
        transform::generate(root, &mut nodes);
        self.patches(path, root, &mut nodes);
        transform::all(root, &mut nodes);
        self.layers.pop();
        nodes
    }

    /// The path of the kustomization that an item names, marked as used.
    fn folder(&mut self, path: &str, item: &Node) -> Option<String> {
        let text = item.text()?;
        let folder = join(path, text);
        let found = NAMES
            .iter()
            .map(|name| if folder.is_empty() { (*name).to_owned() } else { format!("{folder}/{name}") })
            .find(|candidate| self.files.contains_key(candidate));
        match found {
            Some(found) => {
                self.used.insert(found.clone());
                Some(found)
            }
            None => {
                if is_local(text) {
                    let message = format!("`{text}` is not among the files read; add it or correct the path");
                    self.refuse(item.span, message);
                } else {
                    let message =
                        format!("`{text}` is remote and was not read; lint the output of `kustomize build`");
                    note(&mut self.left_out, item.span, message);
                }
                None
            }
        }
    }

    fn resource(&mut self, path: &str, item: &Node) -> Vec<Node> {
        let Some(text) = item.text() else { return Vec::new() };
        let file = join(path, text);
        if let Some(found) = self.files.get(&file).filter(|_| is_local(text)) {
            let nodes = found.documents.iter().map(|document| document.root.clone()).collect();
            self.used.insert(file);
            return nodes;
        }
        match self.folder(path, item) {
            Some(folder) => self.kustomization(&folder, Vec::new()),
            None => Vec::new(),
        }
    }

    fn patches(&mut self, path: &str, root: &Node, nodes: &mut Vec<Node>) {
        for item in root.get("patchesStrategicMerge").map_or(&[][..], Node::items) {
            for patch in self.patch_documents(path, item, item) {
                self.apply(&patch, None, nodes);
            }
        }
        for key in ["patches", "patchesJson6902"] {
            for item in root.get(key).map_or(&[][..], Node::items) {
                let Some(body) = item.get("path").or_else(|| item.get("patch")) else { continue };
                for patch in self.patch_documents(path, body, item) {
                    self.apply(&patch, item.get("target"), nodes);
                }
            }
        }
    }

    /// The documents of a patch: those of a file, or what is written inline.
    fn patch_documents(&mut self, path: &str, body: &Node, item: &Node) -> Vec<Node> {
        let Some(scalar) = body.scalar() else { return Vec::new() };
        let inline = scalar.text.contains('\n') || item.get("patch").is_some() && item.get("path").is_none();
        if inline {
            return match self.sources.read_embedded(body, crate::read::Embedded::Yaml) {
                Ok(documents) => documents.into_iter().map(|document| document.root).collect(),
                Err(error) => {
                    self.refuse(body.span, format!("this patch cannot be read: {error}"));
                    Vec::new()
                }
            };
        }
        let file = join(path, &scalar.text);
        match self.files.get(&file) {
            Some(found) => {
                let documents = found.documents.iter().map(|document| document.root.clone()).collect();
                self.used.insert(file);
                documents
            }
            None => {
                self.refuse(body.span, format!("`{}` is not among the files read", scalar.text));
                Vec::new()
            }
        }
    }

    fn apply(&mut self, patch: &Node, target: Option<&Node>, nodes: &mut Vec<Node>) {
        if patch.is_null() {
            return;
        }
        let wanted = match target {
            Some(target) => target::Target::of(target),
            None => target::Target::of_patch(patch),
        };
        let mut hits = 0;
        let mut failures = Vec::new();
        nodes.retain_mut(|node| {
            if !wanted.matches(node) {
                return true;
            }
            hits += 1;
            if let Value::List(operations) = &patch.value {
                for operation in operations {
                    if let Err(message) = json_patch::apply(node, operation) {
                        failures.push(Refusal { span: operation.span, message });
                    }
                }
                true
            } else {
                merge::object(node, patch, target.is_some())
            }
        });
        for failure in failures {
            self.refuse(failure.span, failure.message);
        }
        // What was left out may hold the patch's object.
        if hits == 0 && self.left_out.is_empty() {
            self.refuse(
                target.map_or(patch.span, |target| target.span),
                format!("this patch changes nothing: no resource is {wanted}"),
            );
        }
    }
}

/// A scalar that a transformer writes, at the place that asked for it.
fn written(text: &str, span: Span) -> Node {
    Node { span, value: Value::Scalar(Scalar { text: text.to_owned(), style: Style::Quoted }) }
}

/// Sets `keys` to `value`, making maps on the way.
fn set(node: &mut Node, keys: &[&str], value: Node) {
    let Some((key, rest)) = keys.split_first() else {
        *node = value;
        return;
    };
    if !matches!(node.value, Value::Map(_)) {
        node.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut node.value else { return };
    let index = match entries.iter().position(|entry| entry.key == *key) {
        Some(index) => index,
        None => {
            let empty = Node { span: value.span, value: Value::Null };
            entries.push(Entry { key: (*key).to_owned(), key_span: value.span, value: empty });
            entries.len() - 1
        }
    };
    set(&mut entries[index].value, rest, value);
}

/// The node under `keys`, to be changed.
fn at_mut<'a>(node: &'a mut Node, keys: &[&str]) -> Option<&'a mut Node> {
    keys.iter().try_fold(node, |node, key| match &mut node.value {
        Value::Map(entries) => {
            entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.value)
        }
        Value::Null | Value::Scalar(_) | Value::List(_) => None,
    })
}

#[cfg(test)]
mod tests;
