//! Why a command did not run.

use crate::kernel::Lacking;
use std::{io, path::PathBuf};

/// Why a command was not run: one variant for each thing the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// The kernel lacks what a room is made of; untrusted commands are refused here.
    #[error("untrusted commands are refused on this machine")]
    Lacking(#[source] Lacking),
    /// The workspace or a granted root cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Path {
        /// As it stands in the spec.
        path: PathBuf,
        /// What opening it said.
        source: io::Error,
    },
    /// What lies in a folder below a granted root cannot be told, so other tenants' folders may.
    #[error("{} cannot be looked through for folders of other tenants; grant what is needed beside it", path.display())]
    NotLookedThrough {
        /// The folder.
        path: PathBuf,
        /// What reading it said.
        source: io::Error,
    },
    /// Too many folders lie below the granted roots.
    #[error(
        "more than {most} folders lie in what it may read, too many to look through for those of other tenants; \
         grant those that are needed"
    )]
    TooManyFolders {
        /// So many are looked through.
        most: usize,
    },
    /// Whoever wanted the room said that it is wanted no more.
    #[error("opening the room was stopped")]
    Stopped,
    /// No program of that name: not in the search path of the room, or no file there.
    #[error("no program named {name:?} is in /usr/local/bin, /usr/bin, /bin or at that path")]
    ProgramNotFound {
        /// The first argument as it was given.
        name: String,
    },
    /// The program exists but lies outside what the room may see, or is not executable.
    #[error("{} may not be run in this room", path.display())]
    ProgramNotAllowed {
        /// Where the program was found.
        path: PathBuf,
    },
    /// No arguments, or one that holds a NUL byte.
    #[error("the command is empty or holds a NUL byte")]
    BadCommand,
    /// A wall could not be put up, so nothing was run.
    #[error("the room could not be set up")]
    Setup(#[source] SetupFailure),
    /// This process lacks descriptors, threads or memory for one more room; try again later.
    #[error("no resources for one more room")]
    Exhausted(#[source] io::Error),
}

/// The step of the set-up at which the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {}", io::Error::from_raw_os_error(*errno))]
pub struct SetupFailure {
    /// What was being done.
    pub stage: Stage,
    /// The kernel's answer, as in `errno(3)`.
    pub errno: i32,
}

macro_rules! stages {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// A step of putting up a room, in order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Stage { $($(#[$doc])* $name = $number,)* }

        impl Stage {
            pub(crate) fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Stage::$name),)* _ => None }
            }
        }

        impl std::fmt::Display for Stage {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Stage::$name => $text,)* })
            }
        }
    };
}

stages! {
    /// `clone(2)`, with new namespaces where there are any.
    Clone = 1, "starting the first process in its namespaces";
    /// Mapping the user into the new user namespace.
    IdMap = 2, "mapping the user into its namespace";
    /// A session of its own.
    Session = 3, "opening a session";
    /// Read-only mounts around a writable workspace.
    Mounts = 4, "mounting all but the workspace read-only";
    /// The namespace's `pid_max`.
    ProcessBound = 5, "bounding the number of processes";
    /// The second `clone(2)`.
    Fork = 6, "starting the command's process";
    /// Standard streams.
    Streams = 7, "connecting input and output";
    /// Entering the workspace.
    Directory = 8, "entering the workspace";
    /// `setrlimit(2)`.
    Limits = 9, "setting resource limits";
    /// `no_new_privs` and the capability sets.
    Privileges = 10, "dropping privileges";
    /// `landlock_restrict_self(2)`.
    Landlock = 11, "closing the file system with Landlock";
    /// `close_range(2)`.
    Descriptors = 12, "closing descriptors";
    /// `seccomp(2)`.
    Filter = 13, "installing the system-call filter";
    /// `execve(2)`.
    Execute = 14, "executing the program";
}
