//! What `deploy/` starts is what this program takes: its arguments, its variables, its ports.

use crate::server::Stand;
use std::{collections::BTreeMap, path::Path};

/// The roles that this version has code for.
const ROLES: [&str; 5] = ["orchestrator", "planner", "executor", "coder", "judge"];

fn manifest(role: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the project");
    let path = root.join(format!("deploy/base/{role}/deployment.yaml"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The container's arguments, which stand in one line.
fn arguments(manifest: &str) -> Vec<String> {
    let line = manifest.lines().find_map(|line| line.trim().strip_prefix("args: [")).expect("arguments");
    let words = line.strip_suffix(']').expect("they end in their line").split(", ");
    words.map(|word| word.trim_matches('"').to_owned()).collect()
}

/// The container's variables; those that come from a Secret with something of its shape.
fn variables(manifest: &str) -> BTreeMap<&str, String> {
    let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
    let names = lines.windows(2).filter_map(|pair| Some((pair[0].strip_prefix("- name: OCTOLLM_")?, pair)));
    names
        .map(|(name, pair)| {
            let value = match (pair[1].strip_prefix("value: "), name) {
                (Some(value), _) => value.to_owned(),
                (None, "DATABASE_URL") => "postgresql://octollm@127.0.0.1:1/octollm".to_owned(),
                (None, _) => crate::server::ADMIN.to_owned(),
            };
            (pair[0].trim_start_matches("- name: "), value)
        })
        .collect()
}

/// P8: each pod's program begins its work: an arm looks for its folder, an orchestrator for its database.
/// Neither says that it was called in a way it does not know.
#[test]
fn every_role_starts_as_it_is_deployed() {
    for role in ROLES {
        let manifest = manifest(role);
        let mut variables = variables(&manifest);
        // Where nothing can be made: the start ends there, and not in waiting for others.
        let folder = tempfile::NamedTempFile::new().expect("a file");
        let data = folder.path().join("data").display().to_string();
        let wanted = if role == "orchestrator" { "OCTOLLM_DATABASE_URL" } else { "OCTOLLM_ARM_KEY" };
        assert!(variables.contains_key(wanted), "{role}: {wanted} is missing");
        variables.insert("OCTOLLM_DATA", data);
        let mut program = Stand::here(0).program();
        let out = program.args(arguments(&manifest)).envs(variables).output().expect("the program runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(
            out.status.code() == Some(1) && said.contains("cannot be made"),
            "{role}: {:?} {said}",
            out.status
        );
    }
}

/// An orchestrator's ports are those that its pod and its Service name, and arms look there.
#[test]
fn arms_look_for_the_orchestrator_where_it_listens() {
    let orchestrator = manifest("orchestrator");
    let arguments = arguments(&orchestrator);
    let port = |flag: &str| -> &str {
        let at = arguments.iter().position(|word| word == flag).expect("the flag is there");
        arguments[at + 1].strip_prefix("0.0.0.0:").expect("every address of the pod")
    };
    for (name, flag) in [("http", "--listen"), ("internal", "--internal-listen")] {
        let said = format!("- name: {name}\n              containerPort: {}\n", port(flag));
        assert!(orchestrator.contains(&said), "{said}");
    }
    for arm in &ROLES[1..] {
        let manifest = manifest(arm);
        let wanted = format!("http://orchestrator:{}", port("--internal-listen"));
        assert_eq!(variables(&manifest)["OCTOLLM_ORCHESTRATORS"], wanted, "{arm}");
    }
}
