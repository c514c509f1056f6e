//! Which file a command's first argument names, seen from inside the room.

use crate::error::RoomError;
use std::{
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Where programs are looked for by name, in this order; also the room's `PATH`.
pub(crate) const SEARCH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// Finds the program that `name` names: by name in [`SEARCH`], by path from `workspace`, and
/// only below `allowed` (canonical directories). Landlock holds the same line in the kernel;
/// this is where the refusal gets its words.
pub(crate) fn resolve(name: &OsStr, workspace: &Path, allowed: &[PathBuf]) -> Result<PathBuf, RoomError> {
    let not_found = || RoomError::ProgramNotFound { name: name.to_string_lossy().into_owned() };
    let path = if name.as_encoded_bytes().contains(&b'/') {
        workspace.join(name)
    } else if name.is_empty() {
        return Err(not_found());
    } else {
        SEARCH.iter().map(|dir| Path::new(dir).join(name)).find(|p| is_executable(p)).ok_or_else(not_found)?
    };
    let real = path.canonicalize().map_err(|_| not_found())?;
    if is_executable(&real) && allowed.iter().any(|root| real.starts_with(root)) {
        // The path as given, not the real one: programs such as busybox act by their name.
        Ok(path)
    } else {
        Err(RoomError::ProgramNotAllowed { path })
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// The whole environment of a room.
pub(crate) fn environment(workspace: &Path) -> [OsString; 4] {
    let with = |name: &str, value: &OsStr| {
        let mut entry = OsString::from(name);
        entry.push("=");
        entry.push(value);
        entry
    };
    [
        with("PATH", OsStr::new(&SEARCH.join(":"))),
        with("HOME", workspace.as_os_str()),
        with("TMPDIR", workspace.as_os_str()),
        with("LANG", OsStr::new("C.UTF-8")),
    ]
}
