//! What a step may read: the granted roots, and no way out of them.
//!
//! A path is first resolved as it stands, links and all; what it leads to must lie below a
//! granted root, and the root itself inside what the capability is held within. It is then
//! opened from the root part by part without following any link, so that whoever changes the
//! tree meanwhile can make the opening fail but not lead it astray (P6). Nothing but folders
//! and regular files is ever opened for reading, and nothing in the kernel's own file systems.

use super::text::{from_exact, shown_path};
use octollm_access::Capability;
use octollm_sandbox::{is_magic, is_private};
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Component, Path, PathBuf},
};

/// The roots of one step.
#[derive(Debug)]
pub(super) struct Reach {
    roots: Vec<PathBuf>,
    within: Vec<PathBuf>,
    /// Where relative paths begin.
    workspace: Option<PathBuf>,
}

/// Something that was opened below a root.
#[derive(Debug)]
pub(super) enum Opened {
    Folder(OwnedFd),
    File(File, Stat),
}

/// Why a path cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAccess {
    #[error("{0} lies below none of the folders that this step may read")]
    NotGranted(String),
    #[error("{0} leads out of the folders that this step may read")]
    LeadsOut(String),
    #[error("{0} is not a plain absolute path")]
    NotPlain(String),
    #[error("{0} does not exist")]
    Missing(String),
    #[error("{0} does not exist; * stands for other characters only in a goal, and without quotes")]
    NoPattern(String),
    #[error("{0} may not be read by this server's user")]
    Denied(String),
    #[error("{0} is {1}, which is never read")]
    Special(String, &'static str),
    #[error("{0} is a folder")]
    Folder(String),
    #[error("{0} is not a folder")]
    NotFolder(String),
    #[error("{0} lies behind {1}, which is a link; links are not followed there")]
    BehindLink(String, String),
    #[error("{0} changed while it was being opened")]
    Changed(String),
    #[error("{0} cannot be read: {1}")]
    Io(String, io::Error),
}

impl NoAccess {
    /// Whether there is no folder of that name.
    pub(super) fn is_no_folder(&self) -> bool {
        match self {
            NoAccess::Missing(_) | NoAccess::NoPattern(_) | NoAccess::NotFolder(_) => true,
            NoAccess::Io(_, error) => error.kind() == io::ErrorKind::NotADirectory,
            NoAccess::NotGranted(_)
            | NoAccess::LeadsOut(_)
            | NoAccess::NotPlain(_)
            | NoAccess::Denied(_)
            | NoAccess::Special(..)
            | NoAccess::Folder(_)
            | NoAccess::BehindLink(..)
            | NoAccess::Changed(_) => false,
        }
    }

    fn of(path: &Path, error: io::Error) -> Self {
        let name = shown_path(path);
        match error.kind() {
            io::ErrorKind::NotFound if name.contains('*') => NoAccess::NoPattern(name),
            io::ErrorKind::NotFound => NoAccess::Missing(name),
            io::ErrorKind::PermissionDenied => NoAccess::Denied(name),
            _ => NoAccess::Io(name, error),
        }
    }
}

impl Reach {
    /// What `capability` opens, and the workspace for relative paths.
    pub(super) fn new(capability: &Capability, workspace: Option<&Path>) -> Self {
        let roots: Vec<PathBuf> = capability.read_roots.iter().map(PathBuf::from).collect();
        let within: Vec<PathBuf> = capability.read_within.iter().map(PathBuf::from).collect();
        // Without a fence the roots are the fence: whoever named them had the right to.
        let within = if within.is_empty() { roots.clone() } else { within };
        Reach { roots, within, workspace: workspace.map(Path::to_owned) }
    }

    /// Opens the folder or file that `path` leads to.
    pub(super) fn open(&self, path: &str) -> Result<(PathBuf, Opened), NoAccess> {
        let given = from_exact(path);
        let given = given.as_path();
        let plain = !given.as_os_str().as_bytes().contains(&0)
            && given
                .components()
                .all(|c| matches!(c, Component::RootDir | Component::Normal(_) | Component::CurDir));
        if !plain || path.is_empty() {
            return Err(NoAccess::NotPlain(shown_path(given)));
        }
        if given.is_absolute() {
            let given: PathBuf = given.components().collect();
            return self.open_granted(&given).map(|opened| (given, opened));
        }
        let base = self.workspace.as_deref().ok_or_else(|| NoAccess::NotPlain(shown_path(given)))?;
        // In the workspace no link is followed at all: a program may have made it.
        open_below(base, given, given).map(|opened| (given.to_owned(), opened))
    }

    /// Opens a folder.
    pub(super) fn folder(&self, path: &str) -> Result<(PathBuf, OwnedFd), NoAccess> {
        match self.open(path)? {
            (path, Opened::Folder(fd)) => Ok((path, fd)),
            (path, Opened::File(..)) => Err(NoAccess::NotFolder(shown_path(&path))),
        }
    }

    /// Opens a regular file.
    pub(super) fn file(&self, path: &str) -> Result<(PathBuf, File, Stat), NoAccess> {
        match self.open(path)? {
            (path, Opened::File(file, stat)) => Ok((path, file, stat)),
            (path, Opened::Folder(_)) => Err(NoAccess::Folder(shown_path(&path))),
        }
    }

    /// The roots as they really lie, for a room; the error names one that leads out.
    pub(super) fn real_roots(&self) -> Result<Vec<PathBuf>, NoAccess> {
        let real = |root: &PathBuf| {
            if leads_through_the_kernel(root) {
                return Err(NoAccess::Special(shown_path(root), KERNELS));
            }
            let real = root.canonicalize().map_err(|e| NoAccess::of(root, e))?;
            if in_a_private_folder(&real) {
                return Err(NoAccess::Special(shown_path(root), OWN));
            }
            if self.fenced(&real) { Ok(real) } else { Err(NoAccess::LeadsOut(shown_path(root))) }
        };
        self.roots.iter().map(real).collect()
    }

    fn fenced(&self, real: &Path) -> bool {
        self.within.iter().filter_map(|fence| fence.canonicalize().ok()).any(|fence| real.starts_with(fence))
    }

    fn open_granted(&self, given: &Path) -> Result<Opened, NoAccess> {
        let name = || shown_path(given);
        if !self.roots.iter().any(|root| given.starts_with(root)) {
            return Err(NoAccess::NotGranted(name()));
        }
        // `/dev/stdin` would lead to whatever this process was given to read, if that has a name.
        let kernels = leads_through_the_kernel(given);
        let real = match given.canonicalize() {
            Err(_) if kernels => return Err(NoAccess::Special(name(), KERNELS)),
            real => real.map_err(|e| NoAccess::of(given, e))?,
        };
        let roots = self.roots.iter().filter_map(|root| root.canonicalize().ok());
        let root = roots
            .filter(|root| real.starts_with(root) && self.fenced(root))
            .max_by_key(|root| root.as_os_str().len())
            .ok_or_else(|| NoAccess::LeadsOut(name()))?;
        if kernels {
            return Err(NoAccess::Special(name(), KERNELS));
        }
        if in_a_private_folder(&real) {
            return Err(NoAccess::Special(name(), OWN));
        }
        let below = real.strip_prefix(&root).map_err(|_| NoAccess::LeadsOut(name()))?;
        open_below(&root, given, below)
    }
}

const OWN: &str = "part of a server's or an arm's own data";
const KERNELS: &str = "part of the kernel's own file systems";
/// So many links are followed, as by Linux.
const LINKS_MAX: u32 = 40;

/// Whether one of the links on the way to a path is the kernel's: its target is an open file or a folder of
/// some process, whatever its text says.
fn leads_through_the_kernel(path: &Path) -> bool {
    let parts = |path: &Path| path.components().map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>();
    let mut ahead: Vec<OsString> = parts(path).into_iter().rev().collect();
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = ahead.pop() {
        let next = match part.to_str() {
            Some("..") => at.parent().unwrap_or(&at).to_owned(),
            Some(_) | None => at.join(&part),
        };
        let Ok(target) = next.read_link() else {
            at = next;
            continue;
        };
        let folder = rustix::fs::openat(CWD, &at, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        links += 1;
        if links > LINKS_MAX || folder.is_ok_and(|folder| is_magic(folder.as_fd())) {
            // Of too many nothing is opened in the end.
            return links <= LINKS_MAX;
        }
        ahead.extend(parts(&target).into_iter().rev());
    }
    false
}

/// Whether a path lies in a folder of a server or an arm, which holds what is every tenant's (P7).
fn in_a_private_folder(real: &Path) -> bool {
    let opened = |folder: &Path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, folder, flags, Mode::empty()).ok()
    };
    real.ancestors().filter_map(opened).any(|folder| is_private(folder.as_fd()))
}

/// Opens `below` from `root`, which holds no links, following none; errors call it `named`.
fn open_below(root: &Path, named: &Path, below: &Path) -> Result<Opened, NoAccess> {
    let told = |errno: Errno| match errno {
        Errno::LOOP | Errno::NOTDIR | Errno::MLINK => NoAccess::Changed(shown_path(named)),
        _ => NoAccess::of(named, errno.into()),
    };
    // From the top, because the root itself may be a file and may be replaced, too.
    let whole: PathBuf = root.join(below);
    let mut parts: Vec<&OsStr> = whole
        .components()
        .filter_map(|part| match part {
            Component::Normal(part) => Some(part),
            Component::RootDir | Component::CurDir | Component::ParentDir | Component::Prefix(_) => None,
        })
        .collect();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = rustix::fs::openat(CWD, "/", flags, Mode::empty()).map_err(told)?;
    let last = parts.pop();
    for part in parts {
        folder = rustix::fs::openat(&folder, part, flags, Mode::empty()).map_err(|errno| {
            let entry = rustix::fs::statat(&folder, part, AtFlags::SYMLINK_NOFOLLOW);
            let part = || shown_path(Path::new(part));
            match (errno, entry.map(|stat| kind(&stat))) {
                (Errno::LOOP | Errno::NOTDIR | Errno::MLINK, Ok(Kind::Link)) => {
                    NoAccess::BehindLink(shown_path(named), part())
                }
                (Errno::NOTDIR, Ok(Kind::File | Kind::Special(_))) => NoAccess::NotFolder(part()),
                (errno, _) => told(errno),
            }
        })?;
    }
    let last = last.unwrap_or(OsStr::new("."));
    open_entry(folder.as_fd(), last, named)
}

/// Opens an entry of a folder without following a link.
pub(super) fn open_entry(folder: BorrowedFd<'_>, name: &OsStr, named: &Path) -> Result<Opened, NoAccess> {
    let told = |errno: Errno| NoAccess::of(named, errno.into());
    let special = |what| NoAccess::Special(shown_path(named), what);
    let before = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(told)?;
    // Looked at before it is opened: opening a FIFO waits, opening a device may do things.
    let flags = match kind(&before) {
        Kind::Folder => OFlags::RDONLY | OFlags::DIRECTORY,
        Kind::File => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
        Kind::Link => return Err(special("a link")),
        Kind::Special(what) => return Err(special(what)),
    };
    let fd = rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(told)?;
    let stat = rustix::fs::fstat(&fd).map_err(told)?;
    if is_magic(fd.as_fd()) {
        return Err(special(KERNELS));
    }
    if kind(&stat) == Kind::Folder && is_private(fd.as_fd()) {
        return Err(special(OWN));
    }
    match kind(&stat) {
        Kind::Folder => Ok(Opened::Folder(fd)),
        Kind::File => Ok(Opened::File(File::from(fd), stat)),
        Kind::Link | Kind::Special(_) => Err(NoAccess::Changed(shown_path(named))),
    }
}

/// What an entry of a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    Link,
    Special(&'static str),
}

impl Kind {
    /// The word for programs.
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Folder => "folder",
            Kind::File => "file",
            Kind::Link => "link",
            Kind::Special(_) => "special",
        }
    }
}

pub(super) fn kind(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Link,
        FileType::Fifo => Kind::Special("a FIFO"),
        FileType::Socket => Kind::Special("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Kind::Special("a device"),
        FileType::Unknown => Kind::Special("of no known kind"),
    }
}

/// The plain parts of a path relative to the workspace.
pub(super) fn plain_parts(path: &str) -> Option<Vec<OsString>> {
    let parts: Option<Vec<OsString>> = Path::new(path)
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .map(|part| match part {
            Component::Normal(part) => Some(part.to_owned()),
            Component::RootDir | Component::CurDir | Component::ParentDir | Component::Prefix(_) => None,
        })
        .collect();
    parts.filter(|parts| !parts.is_empty() && !path.contains('\0') && !path.ends_with('/'))
}
