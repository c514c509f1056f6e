//! Everything that the child needs, made before it exists: between `clone` and `execve` nothing
//! may be allocated, so paths, arguments, limits, rules and filters lie ready here.

use crate::{error::RoomError, filter::Duties, room::Limits};
use seccompiler::BpfProgram;
use std::{
    ffi::{CStr, CString, OsStr, c_char},
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

/// What the last process of the set-up does.
pub(crate) enum Purpose {
    /// Become the command.
    Execute(Command),
    /// Exit with 0: only the walls were of interest.
    Probe,
}

/// A command as `execve(2)` takes it. The vectors of pointers point into the strings beside
/// them and end with a null pointer.
pub(crate) struct Command {
    program: CString,
    _arguments: Vec<CString>,
    _environment: Vec<CString>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
}

// SAFETY: the pointers point into heap buffers that the same value owns and never changes.
#[expect(unsafe_code, reason = "raw pointers in the shape that execve takes")]
unsafe impl Send for Command {}

impl Command {
    pub(crate) fn new<A: AsRef<OsStr>, E: AsRef<OsStr>>(
        program: &Path,
        argv: &[A],
        environment: &[E],
    ) -> Result<Self, RoomError> {
        let program = c_string(program.as_os_str())?;
        let arguments = argv.iter().map(|a| c_string(a.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let environment = environment.iter().map(|e| c_string(e.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let pointers = |strings: &[CString]| {
            strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        let (argv, envp) = (pointers(&arguments), pointers(&environment));
        Ok(Command { program, _arguments: arguments, _environment: environment, argv, envp })
    }

    pub(crate) fn program(&self) -> &CStr {
        &self.program
    }

    /// Null-terminated, valid as long as `self`.
    pub(crate) fn argv(&self) -> *const *const c_char {
        self.argv.as_ptr()
    }

    /// Null-terminated, valid as long as `self`.
    pub(crate) fn envp(&self) -> *const *const c_char {
        self.envp.as_ptr()
    }
}

/// A path as system calls take it; [`RoomError::BadCommand`] if it holds a NUL byte.
pub(crate) fn c_string(text: &OsStr) -> Result<CString, RoomError> {
    CString::new(text.as_bytes()).map_err(|_| RoomError::BadCommand)
}

/// The child's ends of its pipes. All lie above 2, so that moving them to 0, 1 and 2 overwrites
/// none of them.
pub(crate) struct Ends {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// Where set-up failures and the final status are written.
    pub(crate) report: OwnedFd,
    /// Opens when the parent has mapped the user; closes when the parent is gone.
    pub(crate) gate: OwnedFd,
}

/// One room's set-up, ready for the child.
pub(crate) struct Setup {
    pub(crate) purpose: Purpose,
    pub(crate) workspace: CString,
    pub(crate) namespaces: bool,
    /// The number to write to the namespace's `pid_max`, where `RLIMIT_NPROC` does not count.
    pub(crate) pid_max: Option<String>,
    /// Resource (as in `setrlimit(2)`) and its value, soft and hard.
    pub(crate) limits: [(u32, u64); 7],
    pub(crate) ruleset: std::sync::Arc<OwnedFd>,
    pub(crate) filters: std::sync::Arc<Vec<BpfProgram>>,
    pub(crate) ends: Ends,
}

impl Setup {
    pub(crate) fn ruleset(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&*self.ruleset)
    }
}

/// The bounds in the kernel's terms, none above what this process may set.
pub(crate) fn resource_limits(limits: &Limits) -> [(u32, u64); 7] {
    use rustix::process::{Resource, getrlimit};
    let least = |resource: Resource, wanted: u64| wanted.min(getrlimit(resource).maximum.unwrap_or(u64::MAX));
    let processes = u64::from(limits.processes) + 1; // the namespace's first process counts too
    let cpu_seconds = limits.cpu.as_secs() + u64::from(limits.cpu.subsec_nanos() > 0);
    [
        (libc::RLIMIT_AS, least(Resource::As, limits.memory_bytes)),
        (libc::RLIMIT_NPROC, least(Resource::Nproc, processes)),
        (libc::RLIMIT_FSIZE, least(Resource::Fsize, limits.file_bytes)),
        (libc::RLIMIT_NOFILE, least(Resource::Nofile, u64::from(limits.open_files))),
        (libc::RLIMIT_CPU, least(Resource::Cpu, cpu_seconds.max(1))),
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_MSGQUEUE, 0),
    ]
}

/// What is left to the filter on a kernel with this Landlock ABI.
pub(crate) fn duties(namespaces: bool, landlock_abi: u32) -> Duties {
    Duties { no_namespaces: !namespaces, truncate: landlock_abi < 3 }
}
