//! What the tests need beside a Rust toolchain, and how it is installed.

use crate::{run, say};
use std::{env, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

/// A program that the tests call, and the Debian package that has it.
const NEEDS: &[(&str, &str)] = &[
    ("cc", "gcc"),
    ("curl", "curl"),
    ("jq", "jq"),
    ("python3", "python3-minimal"),
    ("/usr/lib/postgresql/15/bin/postgres", "postgresql-15"),
];

/// Likewise, for tests that say that they were not tried where it is missing.
const WISHES: &[(&str, &str)] = &[("faketime", "faketime"), ("/usr/sbin/ip", "iproute2")];

/// Asked by Debian's packages before they start a service; 101 forbids it. The tests start their own
/// servers, in folders of their own.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What a test run takes of a disk beside what is there already, and some more: 0.5 GiB of servers' data were seen, and
/// 2.7 GiB of builds, 5.5 with incremental ones.
const FOLDER_MIB: u64 = 1024;
const BUILD_MIB: u64 = 6144;

/// Whether there is space for what the tests build and write. A disk that fills midway fails dozens of tests, each
/// with words of its own.
pub(crate) fn space() -> Result<(), String> {
    let mut wanted = vec![(env::temp_dir(), FOLDER_MIB, "TMPDIR")];
    let built = env::current_exe().ok().and_then(|this| this.parent().map(Path::to_owned));
    // Where the program is built, most of the rest is, too.
    if let Some(built) = built.filter(|built| !built.join("octollm").exists()) {
        wanted.push((built, BUILD_MIB, "CARGO_TARGET_DIR"));
    }
    for (folder, mib, variable) in wanted {
        // Without `df` nothing is known, and the tests say it themselves.
        if let Some(free) = free_mib(&folder).filter(|free| *free < mib) {
            let at = folder.display();
            return Err(format!(
                "the tests take up to {mib} MiB in {at}, where {free} MiB are free: make room there, or name a \
                 folder on another disk in {variable}"
            ));
        }
    }
    Ok(())
}

fn free_mib(folder: &Path) -> Option<u64> {
    let said = Command::new("df").arg("-Pk").arg(folder).output().ok()?;
    available(&String::from_utf8_lossy(&said.stdout))
}

/// The fourth column of the last line that `df -Pk` prints (POSIX), in MiB.
fn available(said: &str) -> Option<u64> {
    let kib: u64 = said.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib / 1024)
}

/// Installs what is missing when this is Debian and we are root; says what to install otherwise.
pub(crate) fn install() -> Result<(), String> {
    let (missing, wished) = (missing(NEEDS), missing(WISHES));
    let installs = is_root() && on_path("apt-get");
    if !wished.is_empty()
        && let Err(why) = if installs { apt_get(&wished) } else { Err("it takes root and Debian".to_owned()) }
    {
        say(&format!("some tests will not be tried without {}: {why}", wished.join(", ")));
    }
    if missing.is_empty() {
        return Ok(());
    }
    if !installs {
        let line = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
        return Err(format!(
            "the tests need what is not installed here; install it with\n\n    {line}\n\nand repeat"
        ));
    }
    apt_get(&missing)
}

fn missing(of: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    of.iter().filter(|(program, _)| !on_path(program)).map(|(_, package)| *package).collect()
}

fn apt_get(packages: &[&str]) -> Result<(), String> {
    say(&format!("installing what the tests need: {}", packages.join(", ")));
    run(Command::new("apt-get").args(["update", "-q"]))?;
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(packages);
    without_services(|| run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive")))
}

/// Does `install` so that no package starts a service.
fn without_services(install: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    if Path::new(POLICY).exists() {
        // Whoever put it there says what may start.
        return install();
    }
    let refused = |error: std::io::Error| format!("{POLICY} cannot be written: {error}");
    fs::write(POLICY, "#!/bin/sh\nexit 101\n").map_err(refused)?;
    fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).map_err(refused)?;
    let installed = install();
    let removed = fs::remove_file(POLICY)
        .map_err(|error| format!("{POLICY} forbids every service to start and cannot be removed: {error}"));
    match (installed, removed) {
        (Err(installing), Err(removing)) => Err(format!("{installing}; {removing}")),
        (installed, removed) => installed.and(removed),
    }
}

fn on_path(program: &str) -> bool {
    // A path that is absolute stays as it is.
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    // The effective user id is the second number of this line.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|ids| ids.split_whitespace().nth(1))
        == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_space_of_a_disk_is_read_from_what_df_says() {
        let said = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 264000 90000 2097152 94% /\n";
        assert_eq!(available(said), Some(2048));
        assert_eq!(available("df: /nowhere: No such file or directory\n"), None);
    }
}
