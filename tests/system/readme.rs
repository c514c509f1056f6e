//! What the README says is what happens: its shell blocks are run, in order, in a shell.

use crate::server::{Octo, program};
use std::{path::Path, process::Command};

/// The blocks between ```sh and ``` that a comment marks with `test: <name>`.
fn blocks(name: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(readme).expect("the README");
    let mark = format!("<!-- test: {name} -->");
    let parts = text.split(&mark).skip(1).filter_map(|rest| rest.split_once("```sh\n")?.1.split_once("```"));
    let found: Vec<&str> = parts.map(|(block, _)| block).collect();
    assert!(!found.is_empty(), "the README has no block marked {mark}");
    found.join("\n")
}

#[test]
fn the_flow_with_curl_works_as_the_readme_shows_it() {
    let octo = Octo::start(&[]);
    let base = octo.base().read().expect("the base").clone();
    let script = blocks("curl").replace("http://127.0.0.1:8410", &base);
    let out = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .env("OCTOLLM_KEY", crate::server::ADMIN)
        .env(
            "PATH",
            format!(
                "{}:{}",
                program().parent().expect("a folder").display(),
                std::env::var("PATH").expect("PATH")
            ),
        )
        .current_dir(octo.folder())
        .output()
        .expect("bash starts");
    let shown = format!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{shown}");
    assert!(shown.contains("completed"), "{shown}");
}
