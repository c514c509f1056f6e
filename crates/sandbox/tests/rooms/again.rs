//! The whole suite once more where other walls do the work: as a user who is not root, and
//! without namespaces, as in most containers.

use crate::lab::BARE;
use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(30);
const NOBODY: u32 = 65534;
const AGAIN: &str = "OCTOLLM_SANDBOX_TEST_AGAIN";

#[test]
fn every_wall_stands_for_a_user_who_is_not_root() {
    run_all_again(None);
}

#[test]
fn every_wall_stands_without_namespaces() {
    run_all_again(Some(BARE));
}

fn run_all_again(switch: Option<&str>) {
    if std::env::var_os(AGAIN).is_some() {
        return;
    }
    // A copy that anybody may execute: the target directory may be closed to others.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("rooms");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for path in [folder.path(), &program] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.env(AGAIN, "1").envs(switch.map(|name| (name, "1"))).args(["--test-threads", "2"]);
    command.current_dir("/");
    let began = Instant::now();
    let output = loop {
        match command.output() {
            // Another test has forked while the copy was written: its child has it open until it is another
            // program.
            Err(busy) if busy.kind() == ErrorKind::ExecutableFileBusy && began.elapsed() < PATIENCE => {
                std::thread::yield_now();
            }
            output => break output.unwrap(),
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("0 filtered out"), "not every test ran:\n{said}");
}
