//! What the tests need beside a Rust toolchain, and how it is installed.

use crate::{run, say};
use std::{fs, process::Command};

/// A program that the tests call, and the Debian package that has it.
const NEEDS: &[(&str, &str)] =
    &[("cc", "gcc"), ("curl", "curl"), ("jq", "jq"), ("python3", "python3-minimal")];

/// Installs what is missing when this is Debian and we are root; says what to install otherwise.
pub(crate) fn install() -> Result<(), String> {
    let missing: Vec<&str> =
        NEEDS.iter().filter(|(program, _)| !on_path(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    if !(is_root() && on_path("apt-get")) {
        return Err(format!(
            "the tests need what is not installed here; install it with\n\n    {line}\n\nand repeat"
        ));
    }
    say(&format!("installing what the tests need: {}", missing.join(", ")));
    run(Command::new("apt-get").args(["update", "-q"]))?;
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(&missing);
    run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    // The effective user id is the second number of this line.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|ids| ids.split_whitespace().nth(1))
        == Some("0")
}
