//! What runs between `clone` and `execve`: putting up the walls, and the room's first process.
//!
//! ```text
//! this process ── clone ─► first process (1 in its namespace) ── clone ─► the command
//!                          waits for the command, reports, exits: the kernel kills the rest
//! ```
//!
//! Everything here is a bare system call on data made before the `clone`: no allocation, no
//! lock, no panic, no unwinding. Another thread may have held any lock at that moment.
#![expect(unsafe_code, reason = "bare system calls are all that is sound in a process forked from threads")]

use crate::{
    error::Stage,
    setup::{Command, Purpose, Setup},
};
use libc::{c_int, c_long, c_ulong, pid_t};
use std::{
    ffi::CStr,
    os::fd::{AsRawFd, RawFd},
    ptr,
};

/// What is written to the report pipe: the kind and its value, in the machine's byte order.
/// The kind is [`ENDED`] with the command's wait status, or a [`Stage`] with its `errno`.
pub(crate) type Report = [u8; 8];

/// The kind of report that carries a wait status as `waitpid(2)` gives it.
pub(crate) const ENDED: u32 = 0;

struct Failed(Stage, c_int);

fn errno() -> c_int {
    // SAFETY: the address of the calling thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

fn check(stage: Stage, result: c_int) -> Result<c_int, Failed> {
    check_long(stage, c_long::from(result)).map(|_| result)
}

fn check_long(stage: Stage, result: c_long) -> Result<c_long, Failed> {
    if result < 0 { Err(Failed(stage, errno())) } else { Ok(result) }
}

fn report(to: RawFd, kind: u32, value: c_int) {
    let [a, b, c, d] = kind.to_ne_bytes();
    let [e, f, g, h] = value.to_ne_bytes();
    let report: Report = [a, b, c, d, e, f, g, h];
    // SAFETY: the buffer is valid for its length. Eight bytes to a pipe are written whole; if
    // the reader is gone there is nobody left to tell.
    unsafe { libc::write(to, report.as_ptr().cast(), report.len()) };
}

fn exit(code: c_int) -> ! {
    // SAFETY: ends the process without running anything of the parent's.
    unsafe { libc::_exit(code) }
}

/// The room's first process. Never returns to the caller's code.
///
/// # Safety
/// Only in the child of a `clone` without `CLONE_VM`, whose signals are all blocked.
pub(crate) unsafe fn first_process(setup: &Setup) -> ! {
    let to = setup.ends.report.as_raw_fd();
    match open_room(setup) {
        Ok(command) => wait_for(command, setup, to),
        Err(Failed(stage, errno)) => {
            report(to, stage as u32, errno);
            exit(1)
        }
    }
}

/// The walls that stand around both processes. Gives the command's process id.
fn open_room(setup: &Setup) -> Result<pid_t, Failed> {
    die_with_parent(setup)?;
    // SAFETY: setting default actions touches this process alone.
    unsafe {
        for signal in 1..=64 {
            // Fails for those that cannot be changed.
            libc::signal(signal, libc::SIG_DFL);
        }
        check(Stage::Session, libc::setsid())?;
        libc::umask(0o077);
        // This program does without huge pages to stay small; a command may have them. A kernel
        // that knows none has nothing to give back.
        libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0);
    }
    // While /proc can still be written.
    if let Some(number) = &setup.pid_max {
        bound_processes(number.as_bytes())?;
    }
    if setup.namespaces {
        mount_read_only(&setup.workspace)?;
    }
    // SAFETY: a fork; the child goes on below on its own copy of this stack.
    let pid = unsafe { libc::syscall(libc::SYS_clone, c_long::from(libc::SIGCHLD), 0, 0, 0, 0) };
    if check_long(Stage::Fork, pid)? > 0 {
        // The kernel's own type for process ids is an int.
        return pid_t::try_from(pid).map_err(|_| Failed(Stage::Fork, libc::EOVERFLOW));
    }
    if let Err(Failed(stage, errno)) = become_command(setup) {
        report(setup.ends.report.as_raw_fd(), stage as u32, errno);
    }
    exit(0)
}

/// Ties this process to its parent, waits until the parent has mapped the user, and leaves if
/// the parent died before the tie held.
fn die_with_parent(setup: &Setup) -> Result<(), Failed> {
    // Without a namespace the first process outlives the signal to kill its group.
    let signal = if setup.namespaces { libc::SIGKILL } else { libc::SIGTERM }.cast_unsigned();
    let gate = setup.ends.gate.as_raw_fd();
    let mut byte = 0_u8;
    let mut poll = libc::pollfd { fd: gate, events: libc::POLLIN, revents: 0 };
    // SAFETY: the byte and the pollfd are valid for writing; the gate is open.
    unsafe {
        check(Stage::Session, libc::prctl(libc::PR_SET_PDEATHSIG, c_ulong::from(signal), 0, 0, 0))?;
        if libc::read(gate, (&raw mut byte).cast(), 1) != 1 {
            exit(1);
        }
        if libc::poll(&raw mut poll, 1, 0) > 0 && poll.revents & libc::POLLHUP != 0 {
            exit(1);
        }
    }
    Ok(())
}

/// Mounts everything read-only but the workspace: Landlock guards contents, not modes, owners
/// and times.
fn mount_read_only(workspace: &CStr) -> Result<(), Failed> {
    let change = |path: &CStr, flags: c_int, set: u64, clear: u64| {
        let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
        // SAFETY: path and attributes are valid, and the size is that of the attributes.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                libc::AT_FDCWD,
                path.as_ptr(),
                flags,
                &raw const attributes,
                size_of::<libc::mount_attr>(),
            )
        };
        check_long(Stage::Mounts, result)
    };
    let bind = |flags: c_ulong, path: &CStr| {
        // SAFETY: source and target are valid strings; the other arguments are unused here.
        check(Stage::Mounts, unsafe {
            libc::mount(path.as_ptr(), path.as_ptr(), ptr::null(), flags, ptr::null())
        })
    };
    bind(libc::MS_REC | libc::MS_PRIVATE, c"/")?;
    bind(libc::MS_BIND, workspace)?;
    change(c"/", libc::AT_RECURSIVE, libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID, 0)?;
    change(workspace, 0, libc::MOUNT_ATTR_NODEV, libc::MOUNT_ATTR_RDONLY)?;
    Ok(())
}

fn bound_processes(number: &[u8]) -> Result<(), Failed> {
    // SAFETY: path and buffer are valid for their lengths.
    unsafe {
        let path = c"/proc/sys/kernel/pid_max";
        let fd = check(Stage::ProcessBound, libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC))?;
        let written = libc::write(fd, number.as_ptr().cast(), number.len());
        check_long(Stage::ProcessBound, written as c_long)?;
        libc::close(fd);
    }
    Ok(())
}

/// The walls that stand around the command alone, then the command. Returns only on failure,
/// or when this is a probe.
fn become_command(setup: &Setup) -> Result<(), Failed> {
    let ends = &setup.ends;
    // SAFETY: all descriptors are open and above 2; all pointers are to live values of `setup`.
    unsafe {
        for (from, to) in [(&ends.stdin, 0), (&ends.stdout, 1), (&ends.stderr, 2)] {
            check(Stage::Streams, libc::dup2(from.as_raw_fd(), to))?;
        }
        check(Stage::Directory, libc::chdir(setup.workspace.as_ptr()))?;
        for (resource, value) in setup.limits {
            let limit = libc::rlimit { rlim_cur: value as libc::rlim_t, rlim_max: value as libc::rlim_t };
            check(Stage::Limits, libc::setrlimit(resource as _, &raw const limit))?;
        }
        check(Stage::Privileges, libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as c_ulong, 0, 0, 0))?;
        drop_capabilities()?;
        let restricted = libc::syscall(libc::SYS_landlock_restrict_self, setup.ruleset().as_raw_fd(), 0);
        check_long(Stage::Landlock, restricted)?;
        let closed = libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
        check_long(Stage::Descriptors, closed)?;
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check(Stage::Session, libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()))?;
        for program in setup.filters.iter() {
            let program = libc::sock_fprog {
                // The kernel refuses 0; programs are shorter than 4096 by construction.
                len: libc::c_ushort::try_from(program.len()).unwrap_or(0),
                filter: program.as_ptr().cast_mut().cast(),
            };
            let installed =
                libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program);
            check_long(Stage::Filter, installed)?;
        }
        match &setup.purpose {
            Purpose::Execute(command) => execute(command),
            Purpose::Probe => Ok(()),
        }
    }
}

/// Empties every capability set. A user without any may not empty the bounding set; it grants
/// nothing then, as no program gains privileges any more.
fn drop_capabilities() -> Result<(), Failed> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    let empty = [[0_u32; 3]; 2];
    // SAFETY: the structures have the layout that capset(2) documents for version 3.
    unsafe {
        for capability in 0..64 as c_ulong {
            libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong, 0, 0, 0);
        let set = libc::syscall(libc::SYS_capset, &raw const header, empty.as_ptr());
        check_long(Stage::Privileges, set)?;
    }
    Ok(())
}

fn execute(command: &Command) -> Result<(), Failed> {
    // SAFETY: program, argv and envp are null-terminated and live as long as `command`.
    let result = unsafe { libc::execve(command.program().as_ptr(), command.argv(), command.envp()) };
    check(Stage::Execute, result).map(|_| ())
}

/// Keeps nothing open but the report, waits for the command, tells its status and exits.
fn wait_for(command: pid_t, setup: &Setup, to: RawFd) -> ! {
    let mut status: c_int = 0;
    // SAFETY: closing descriptors of this process; no destructor of theirs will run here.
    unsafe {
        let report = to.cast_unsigned();
        libc::syscall(libc::SYS_close_range, 0, report - 1, 0);
        libc::syscall(libc::SYS_close_range, report + 1, libc::c_uint::MAX, 0);
        if setup.namespaces {
            // Also reaps what the command's processes left behind.
            while libc::waitpid(-1, &raw mut status, libc::__WALL) != command {}
            self::report(to, ENDED, status);
            exit(0)
        }
        // The group is killed when the command ends and when the parent dies, whichever is first.
        let mut wake: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut wake);
        libc::sigaddset(&raw mut wake, libc::SIGCHLD);
        libc::sigaddset(&raw mut wake, libc::SIGTERM);
        loop {
            match libc::waitpid(command, &raw mut status, libc::__WALL | libc::WNOHANG) {
                0 => {
                    if libc::sigwaitinfo(&raw const wake, ptr::null_mut()) == libc::SIGTERM {
                        break;
                    }
                }
                _ => {
                    self::report(to, ENDED, status);
                    break;
                }
            }
        }
        libc::kill(0, libc::SIGKILL);
        exit(0)
    }
}
