//! The files of `deploy/`, read as `octollm scale` reads them.

use std::path::{Path, PathBuf};

use octollm_scaling::manifest::{Input, Loaded, load};

pub(crate) fn load_deploy() -> Loaded {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy"));
    let mut inputs = Vec::new();
    collect(&root, &root, &mut inputs);
    inputs.sort_by(|a, b| a.path.cmp(&b.path));
    load(inputs)
}

fn collect(root: &Path, folder: &Path, inputs: &mut Vec<Input>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, inputs);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            inputs.push(Input { path: format!("deploy/{name}"), bytes: std::fs::read(&path).unwrap() });
        }
    }
}
