//! How the names of a server's own workers begin, kept in its data folder: the next start knows by it
//! which leases nobody holds any more, also in a database where others' workers have theirs.

use super::drawn;
use anyhow::Context;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

const FILE: &str = "workers.label";

/// A label of the one process that draws it.
pub(super) fn draw() -> String {
    format!("{:016x}", drawn())
}

/// The label of the process that had `folder` before, if it kept one. What is no label is none: an empty one
/// would be everybody's.
pub(super) fn of_the_last(folder: &Path) -> anyhow::Result<Option<String>> {
    let path = folder.join(FILE);
    let kept = match fs::read_to_string(&path) {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    Ok(Some(kept).filter(|kept| kept.len() == 16 && kept.bytes().all(|byte| byte.is_ascii_hexdigit())))
}

/// Keeps the label of this process, before its first worker has a name. After a power failure it is there, or
/// the one before it.
pub(super) fn keep(folder: &Path, label: &str) -> anyhow::Result<()> {
    let (path, beside) = (folder.join(FILE), folder.join(format!("{FILE}.new")));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(label.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(folder)?.sync_all()
    });
    written.with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P2: a label that was cut or changed takes nobody's leases.
    #[test]
    fn what_is_no_label_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_the_last(folder.path()).unwrap(), None);
        let label = draw();
        keep(folder.path(), &label).unwrap();
        assert_eq!(of_the_last(folder.path()).unwrap().as_deref(), Some(label.as_str()));
        for bad in ["", "-", "0123", "0123456789abcdeg", "0123456789abcdef\n"] {
            keep(folder.path(), bad).unwrap();
            assert_eq!(of_the_last(folder.path()).unwrap(), None, "{bad:?}");
        }
    }
}
