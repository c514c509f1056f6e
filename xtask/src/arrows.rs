//! Dependency arrows point down, and pure crates reach no I/O. The layers stand in
//! ARCHITECTURE.md; this is the same table for the machine.

use crate::cargo_path;
use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// A crate, its layer (0 is lowest), and the crates of its own layer that it may use.
const ROOMS: &[(&str, u8, &[&str])] = &[
    ("contract", 0, &[]),
    ("access", 1, &[]),
    ("plan", 1, &["access"]),
    ("lifecycle", 1, &[]),
    ("scaling", 1, &[]),
    ("screen", 1, &[]),
    ("tls", 2, &[]),
    ("store", 2, &["tls"]),
    ("artefacts", 2, &["tls"]),
    ("sandbox", 2, &[]),
    ("llm", 2, &["tls"]),
    ("yardstick", 2, &[]),
    ("supervisor", 3, &[]),
    ("client", 3, &[]),
    ("gateway", 3, &["client"]),
    ("orchestrator", 4, &[]),
    ("arms", 4, &[]),
    ("operate", 4, &[]),
    ("octollm", 5, &[]),
];

/// What no pure crate may reach, directly or not.
const IMPURE: &[&str] =
    &["tokio", "rusqlite", "reqwest", "hyper", "axum", "object_store", "getrandom", "rand", "kube"];

pub(crate) fn check() -> Result<(), String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    let folders = fs::read_dir("crates")
        .map_err(|error| format!("crates/ cannot be read: {error}; run this from the project's root"))?;
    for folder in folders.flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        let manifest = fs::read_to_string(folder.path().join("Cargo.toml")).unwrap_or_default();
        let Some((_, layer, beside)) = ROOMS.iter().find(|(room, _, _)| *room == name) else {
            faults.push(format!("crates/{name} has no place in xtask/src/arrows.rs and ARCHITECTURE.md"));
            continue;
        };
        if !manifest.contains("[lints]\nworkspace = true") && name != "sandbox" {
            faults.push(format!("crates/{name}/Cargo.toml does not take the workspace's lints"));
        }
        for used in own_dependencies(&manifest) {
            match ROOMS.iter().find(|(room, _, _)| *room == used) {
                Some((_, below, _)) if below < layer || beside.contains(&used.as_str()) => {}
                Some(_) => faults.push(format!("the arrow {name} → {used} does not point down")),
                None => faults.push(format!("{name} uses octollm-{used}, which is not a room")),
            }
        }
        if *layer <= 1 {
            faults.extend(impure(&name)?);
        }
        seen.insert(name);
    }
    faults.extend(unsafe_outside_sandbox(Path::new("crates")));
    if faults.is_empty() {
        crate::say(&format!(
            "arrows: {} crates, all arrows point down, the pure ones reach no I/O",
            seen.len()
        ));
        Ok(())
    } else {
        Err(faults.join("\n"))
    }
}

/// The project's own crates among the normal dependencies of a manifest.
fn own_dependencies(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section == "[dependencies]"
            && let Some(name) = line.strip_prefix("octollm-")
        {
            found.extend(name.split(['.', ' ', '=']).next().map(str::to_owned));
        }
    }
    found
}

fn impure(name: &str) -> Result<Vec<String>, String> {
    let package = format!("octollm-{name}");
    let output = Command::new(cargo_path())
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--package", &package])
        .output()
        .map_err(|error| format!("cargo tree cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree of {package} failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let tree = String::from_utf8_lossy(&output.stdout).into_owned();
    let reached: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    let found = IMPURE.iter().filter(|banned| reached.contains(**banned));
    Ok(found.map(|banned| format!("{name} is pure, but reaches {banned}")).collect())
}

fn unsafe_outside_sandbox(folder: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.ends_with("crates/sandbox") || path.ends_with("target") {
            continue;
        }
        if path.is_dir() {
            faults.extend(unsafe_outside_sandbox(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let found = text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
            });
            if found {
                faults.push(format!("{} has unsafe code; only crates/sandbox may", path.display()));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_normal_dependencies_of_our_own_count() {
        let manifest = "[dependencies]\noctollm-plan.workspace = true\nserde = \"1\"\n[dev-dependencies]\noctollm-store.workspace = true\n";
        assert_eq!(own_dependencies(manifest), ["plan"]);
    }
}
