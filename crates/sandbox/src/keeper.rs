//! Starts rooms, and ends them.
//!
//! The kernel ties a child to the *thread* that made it (`PR_SET_PDEATHSIG`), and threads of a
//! runtime come and go. So one thread, which lives as long as the process, starts every room;
//! two that start at once wait for each other, well under a millisecond each.
#![expect(unsafe_code, reason = "clone(2) with namespaces and a process descriptor has no safe wrapper")]

use crate::{
    child,
    error::{RoomError, SetupFailure, Stage},
    setup::Setup,
};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use std::{
    fs, io,
    os::fd::{AsFd, FromRawFd, OwnedFd, RawFd},
    sync::{LazyLock, mpsc},
};
use tokio::io::{Interest, unix::AsyncFd};

/// A room's first process. Dropping it kills everything in the room.
#[derive(Debug)]
pub(crate) struct Tree {
    pid: i32,
    /// Names the process whatever becomes of the number; readable once it has ended.
    pidfd: OwnedFd,
    /// The other end is the child's gate; it closes with this process.
    gate: OwnedFd,
    namespaces: bool,
    reaped: bool,
}

impl Tree {
    /// Kills every process in the room. Without effect once they are gone.
    pub(crate) fn kill(&self) {
        if self.reaped {
            return;
        }
        if !self.namespaces
            && let Some(group) = rustix::process::Pid::from_raw(self.pid)
        {
            // Not reaped yet, so the number is still ours; no group yet means one process.
            let _gone = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _gone = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Becomes readable when the first process has ended.
    pub(crate) fn watch(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let pidfd = self.pidfd.try_clone()?;
        // SAFETY: an `OwnedFd` keeps its one descriptor open until it is dropped.
        let watched = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
        Ok(watched?)
    }

    /// Takes the ended first process off the kernel's table. In a namespace all others are gone
    /// before it counts as ended.
    pub(crate) fn reap(&mut self) {
        if !self.reaped {
            if !self.namespaces {
                self.kill();
            }
            self.reaped = wait(&self.pidfd);
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        self.kill();
        // Waiting may take milliseconds and must not hold up a runtime's thread.
        let pidfd = self.pidfd.try_clone();
        let reaper = std::thread::Builder::new().name("room-reaper".into());
        let _unreaped = reaper.spawn(move || pidfd.is_ok_and(|fd| wait(&fd)));
    }
}

fn wait(pidfd: &OwnedFd) -> bool {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.is_ok(),
        }
    }
}

/// What the keeper is asked to do, and where it answers.
struct Order {
    setup: Setup,
    gate: OwnedFd,
    answer: Box<dyn FnOnce(Result<Tree, RoomError>) + Send>,
}

static KEEPER: LazyLock<Result<mpsc::Sender<Order>, io::ErrorKind>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    std::thread::Builder::new()
        .name("room-keeper".into())
        .spawn(move || {
            block_signals();
            for Order { setup, gate, answer } in inbox {
                answer(start(&setup, gate));
            }
        })
        .map_err(|e| e.kind())?;
    Ok(orders)
});

/// Starts the room; `answer` is called on the keeper's thread. `gate` is the parent's end.
pub(crate) fn order(
    setup: Setup,
    gate: OwnedFd,
    answer: impl FnOnce(Result<Tree, RoomError>) + Send + 'static,
) -> Result<(), RoomError> {
    let keeper = KEEPER.as_ref().map_err(|kind| RoomError::Exhausted((*kind).into()))?;
    let gone = |_| RoomError::Exhausted(io::ErrorKind::BrokenPipe.into());
    keeper.send(Order { setup, gate, answer: Box::new(answer) }).map_err(gone)
}

/// Handlers of this process must not run in the child, which inherits this thread's mask.
fn block_signals() {
    // SAFETY: the set is initialised by sigfillset before it is used.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}

const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

fn start(setup: &Setup, gate: OwnedFd) -> Result<Tree, RoomError> {
    let failed = |stage, error: &io::Error| {
        RoomError::Setup(SetupFailure { stage, errno: error.raw_os_error().unwrap_or(libc::EIO) })
    };
    let flags = libc::CLONE_PIDFD | libc::SIGCHLD | if setup.namespaces { NAMESPACES } else { 0 };
    let mut pidfd: RawFd = -1;
    // SAFETY: without CLONE_VM this is a fork: the child has its own copy of this stack and
    // memory. It runs only `first_process`, with all signals blocked by this thread's mask.
    // The kernel writes the process descriptor to `pidfd`, in the parent.
    let pid = unsafe {
        let pid = libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, &raw mut pidfd, 0, 0);
        if pid == 0 {
            child::first_process(setup)
        }
        pid
    };
    let pid = i32::try_from(pid).unwrap_or(-1);
    if pid < 0 {
        let error = io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOMEM) => RoomError::Exhausted(error),
            _ => failed(Stage::Clone, &error),
        });
    }
    // SAFETY: the kernel has just made this descriptor for us and nobody else has it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let tree = Tree { pid, pidfd, gate, namespaces: setup.namespaces, reaped: false };
    if setup.namespaces {
        map_user(pid).map_err(|e| failed(Stage::IdMap, &e))?;
    }
    rustix::io::write(&tree.gate, &[1]).map_err(|e| failed(Stage::IdMap, &e.into()))?;
    Ok(tree)
}

/// Maps this process's user and group into the child's namespace, to a number without meaning
/// there: as `nobody` when it is root, so that programs don't believe to be root.
fn map_user(pid: i32) -> io::Result<()> {
    const NOBODY: u32 = 65534;
    let line = |outside: u32| format!("{} {outside} 1", if outside == 0 { NOBODY } else { outside });
    let write = |file: &str, text: &str| fs::write(format!("/proc/{pid}/{file}"), text);
    write("setgroups", "deny")?;
    write("uid_map", &line(rustix::process::geteuid().as_raw()))?;
    write("gid_map", &line(rustix::process::getegid().as_raw()))
}
