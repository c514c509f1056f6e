//! What a room may see of the file system, as a Landlock ruleset.
//!
//! The ruleset is made in the parent and only enforced in the child. Rules bind to inodes, so
//! a path that is replaced later is not granted. What is not listed here cannot be opened.

use crate::error::RoomError;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope,
};
use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

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
    let system = SYSTEM.iter().filter_map(|dir| Path::new(dir).canonicalize().ok());
    system.chain(read_roots.iter().cloned()).chain([workspace.to_owned()]).collect()
}

/// The ruleset of a room with this workspace and these roots, for the kernel's `abi`.
///
/// System paths that this machine lacks are left out; a granted path that cannot be opened is
/// an error, because the command would fail without saying why.
pub(crate) fn ruleset(abi: u32, workspace: &Path, read_roots: &[PathBuf]) -> Result<OwnedFd, RoomError> {
    let abi = known(abi);
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let run = look | AccessFs::Execute;
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let own = AccessFs::from_all(abi)
        & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::IoctlDev);

    let mut ruleset = closed(abi).map_err(refused)?;
    let optional = SYSTEM
        .map(|p| (p, run))
        .into_iter()
        .chain(SETTINGS.map(|p| (p, look)))
        .chain(SINKS.map(|p| (p, device)))
        .chain(SOURCES.map(|p| (p, AccessFs::ReadFile.into())));
    for (path, access) in optional {
        if let Ok(fd) = PathFd::new(path) {
            ruleset = allow(ruleset, fd, access, Path::new(path), abi).map_err(refused)?;
        }
    }
    let granted = read_roots.iter().map(|p| (p.as_path(), run)).chain([(workspace, own)]);
    for (path, access) in granted {
        let fd = PathFd::new(path)
            .map_err(|e| RoomError::Path { path: path.to_owned(), source: io::Error::other(e) })?;
        ruleset = allow(ruleset, fd, access, path, abi).map_err(refused)?;
    }
    Option::<OwnedFd>::from(ruleset).ok_or_else(|| refused(io::ErrorKind::Unsupported.into()))
}

/// A ruleset that allows nothing of what this ABI can forbid.
fn closed(abi: ABI) -> io::Result<RulesetCreated> {
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
    fd: PathFd,
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
