//! `write_file`: writes a file of the task's workspace; follows no link on the way there.

use super::Site;
use crate::{
    Undone,
    executor::{
        outcome::Found,
        reach::plain_parts,
        text::{shown, size},
    },
};
use octollm_contract::names::{OUTPUTS_FOLDER, PRIVATE_FOLDER};
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags},
    io::Errno,
};
use serde_json::json;
use std::{ffi::OsStr, fs::File, io::Write as _, os::fd::OwnedFd};

/// A file has at most this many bytes.
const FILE_BYTES: usize = 16 << 20;

pub(super) fn write_file(site: &Site, path: &str, content: &str) -> Result<Found, Undone> {
    let named = shown(OsStr::new(path));
    let workspace = site.workspace.as_deref().ok_or_else(|| Undone::for_good("the step has no workspace"))?;
    let mut parts = plain_parts(path)
        .ok_or_else(|| Undone::for_good(format!("{named} is not a path inside the workspace")))?;
    if parts.iter().any(|part| part.as_encoded_bytes() == PRIVATE_FOLDER.as_bytes()) {
        return Err(Undone::for_good(format!(
            "{named} is a name that marks the folders of servers and arms"
        )));
    }
    if parts.first().is_some_and(|first| first.as_encoded_bytes() == OUTPUTS_FOLDER.as_bytes()) {
        return Err(Undone::for_good(format!("{named} has the name of the folder of whole outputs")));
    }
    if content.len() > FILE_BYTES {
        return Err(Undone::for_good(format!("a file may have {} at most", size(FILE_BYTES as u64))));
    }
    let told = |errno: Errno| match errno {
        Errno::LOOP | Errno::NOTDIR => {
            Undone::for_good(format!("{named} leads through something that is not a folder"))
        }
        Errno::ISDIR => Undone::for_good(format!("{named} is a folder")),
        _ => Undone::for_now(format!("{named} cannot be written: {errno}")),
    };
    let name = parts.pop().unwrap_or_default();
    let folder_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder: OwnedFd =
        rustix::fs::openat(CWD, workspace, folder_flags, Mode::empty()).map_err(told)?;
    for part in parts {
        match rustix::fs::mkdirat(&folder, &part, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(told(errno)),
        }
        folder = rustix::fs::openat(&folder, &part, folder_flags, Mode::empty()).map_err(told)?;
    }
    // What may be run stays so when it is written anew.
    let executable = match rustix::fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => stat.st_mode & 0o111,
        Ok(_) | Err(_) => 0,
    };
    // Removed first, so that a link or a FIFO of that name is replaced and not written through.
    match rustix::fs::unlinkat(&folder, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(told(errno)),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd =
        rustix::fs::openat(&folder, &name, flags, Mode::from_raw_mode(0o644 | executable)).map_err(told)?;
    let written = File::from(fd).write_all(content.as_bytes());
    written.map_err(|e| Undone::for_now(format!("{named} cannot be written: {e}")))?;
    let bytes = content.len() as u64;
    let text = format!("wrote {named}: {}\n", size(bytes));
    Ok(Found { text, data: json!({ "path": path, "bytes": bytes }), ..Found::default() })
}
