//! What a room may see of the file system, as a Landlock ruleset.
//!
//! The ruleset is made in the parent and only enforced in the child. Rules bind to inodes, so
//! a path that is replaced later is not granted. What is not listed here cannot be opened.
//!
//! Grants only add up: what lies below a granted directory cannot be taken out again. A directory
//! that holds one that stays closed is therefore not granted itself, but all in it that does not
//! lead there: such a directory cannot be listed, and what is made in it later cannot be opened.

use crate::error::RoomError;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, Scope,
};
use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A directory on the way to one that stays closed has at most so many entries.
const PARTS_MAX: usize = 4096;

/// Programs and libraries: read and execute. Those that are links into `/usr` cost nothing.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What programs need of `/etc` to start, to name users and to know the time zone: read only.
/// Not `/etc` itself: it holds password hashes and private keys.
const SETTINGS: [&str; 19] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates.conf",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/host.conf",
    "/etc/mime.types",
    "/etc/magic",
    "/etc/perl",
    "/etc/python3",
    "/etc/pki/tls/certs",
];

/// Devices that hold nothing: read and write.
const SINKS: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/full"];

/// Devices that give chance: read only.
const SOURCES: [&str; 2] = ["/dev/urandom", "/dev/random"];

/// The directories whose files may be executed: the system's, the granted roots, the workspace.
pub(crate) fn executable_roots(workspace: &Path, read_roots: &[PathBuf]) -> Vec<PathBuf> {
    system().into_iter().chain(read_roots.iter().cloned()).chain([workspace.to_owned()]).collect()
}

/// Where programs and libraries are.
pub(crate) fn system() -> Vec<PathBuf> {
    SYSTEM.iter().filter_map(|dir| Path::new(dir).canonicalize().ok()).collect()
}

/// The ruleset of a room with this workspace and these roots, for the kernel's `abi`.
///
/// System paths that this machine lacks are left out; a granted path that cannot be opened is
/// an error, because the command would fail without saying why.
///
/// Nothing below `closed` is granted, except the workspace.
pub(crate) fn ruleset(
    abi: u32,
    workspace: &Path,
    read_roots: &[PathBuf],
    closed: &[PathBuf],
) -> Result<OwnedFd, RoomError> {
    let abi = known(abi);
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let run = look | AccessFs::Execute;
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let own = AccessFs::from_all(abi)
        & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::IoctlDev);

    let mut ruleset = nothing_allowed(abi).map_err(refused)?;
    let optional = SYSTEM
        .map(|p| (p, run))
        .into_iter()
        .chain(SETTINGS.map(|p| (p, look)))
        .chain(SINKS.map(|p| (p, device)))
        .chain(SOURCES.map(|p| (p, AccessFs::ReadFile.into())));
    let unopened = |path: &Path, source| RoomError::Path { path: path.to_owned(), source };
    for (path, access) in optional {
        let Ok(real) = Path::new(path).canonicalize() else { continue };
        for part in open_parts(&real, closed).map_err(|e| unopened(&real, e))? {
            if let Ok(fd) = opened(&part) {
                ruleset = allow(ruleset, fd, access, &part, abi).map_err(refused)?;
            }
        }
    }
    for root in read_roots {
        for part in open_parts(root, closed).map_err(|e| unopened(root, e))? {
            match opened(&part) {
                Ok(fd) => ruleset = allow(ruleset, fd, run, &part, abi).map_err(refused)?,
                // An entry that went away meanwhile.
                Err(error) if part != *root && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unopened(&part, error)),
            }
        }
    }
    let fd = opened(workspace).map_err(|e| unopened(workspace, e))?;
    ruleset = allow(ruleset, fd, own, workspace, abi).map_err(refused)?;
    Option::<OwnedFd>::from(ruleset).ok_or_else(|| refused(io::ErrorKind::Unsupported.into()))
}

/// What of `root` is granted so that nothing of `closed` is: itself when nothing of it lies below.
fn open_parts(root: &Path, closed: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    if closed.iter().any(|closed| root.starts_with(closed)) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is closed to commands"));
    }
    if !closed.iter().any(|closed| closed.starts_with(root)) {
        return Ok(vec![root.to_owned()]);
    }
    let mut parts = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let path = entry.path();
        // A link would grant what it leads to.
        if entry.file_type()?.is_symlink() || closed.contains(&path) {
            continue;
        }
        parts.extend(open_parts(&path, closed)?);
        if parts.len() > PARTS_MAX {
            let why = format!(
                "it holds a closed folder and more than {PARTS_MAX} other entries; grant those that are needed"
            );
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        }
    }
    Ok(parts)
}

/// Opens a path that holds no links, as it stands; a link that took its place is not followed.
fn opened(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    fs::File::options().read(true).custom_flags(flags).open(path).map(OwnedFd::from)
}

/// A ruleset that allows nothing of what this ABI can forbid.
fn nothing_allowed(abi: ABI) -> io::Result<RulesetCreated> {
    let made = || {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(abi))?;
        if abi >= ABI::V4 {
            ruleset = ruleset.handle_access(AccessNet::from_all(abi))?;
        }
        if abi >= ABI::V6 {
            ruleset = ruleset.scope(Scope::from_all(abi))?;
        }
        ruleset.create()
    };
    made().map_err(io::Error::other)
}

fn allow(
    ruleset: RulesetCreated,
    fd: OwnedFd,
    access: BitFlags<AccessFs>,
    path: &Path,
    abi: ABI,
) -> io::Result<RulesetCreated> {
    // Rights that only make sense below a directory are refused for a file.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
    ruleset.add_rule(PathBeneath::new(fd, access)).map_err(io::Error::other)
}

/// The newest ABI that this code knows and the kernel has.
fn known(abi: u32) -> ABI {
    match abi {
        0 => ABI::Unsupported,
        1 => ABI::V1,
        2 => ABI::V2,
        3 => ABI::V3,
        4 => ABI::V4,
        5 => ABI::V5,
        6 => ABI::V6,
        _ => ABI::V7,
    }
}

fn refused(error: io::Error) -> RoomError {
    RoomError::Exhausted(error)
}
