//! What this machine's kernel offers for a room, found out once by putting one up.

use crate::{
    error::{RoomError, SetupFailure, Stage},
    filter, keeper,
    room::{Limits, channels},
    setup::{self, Purpose, Setup},
    view,
};
use std::{
    fmt,
    path::Path,
    sync::{Arc, OnceLock, mpsc},
};

/// What the kernel offers, as found by trying. Does not change while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    landlock_abi: u32,
    seccomp: bool,
    namespaces: Result<(), SetupFailure>,
    /// Why a room without namespaces fails, if it does.
    bare: Result<(), SetupFailure>,
    /// Why `pid_max` cannot bound a namespace, asked only for root.
    root_bound: Result<(), SetupFailure>,
}

/// What is missing for an untrusted command, the first of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lacking {
    /// No Landlock: Linux 5.13 and newer have it, unless it is left out of the `lsm=` list.
    #[error("the kernel has no Landlock (Linux 5.13, with landlock among its security modules)")]
    Landlock,
    /// No seccomp filters, or a processor whose system calls are not known here.
    #[error("the kernel has no seccomp filters, or this processor is not supported")]
    Seccomp,
    /// Neither a process namespace nor Landlock's scopes keep signals inside.
    #[error("neither namespaces nor Landlock ABI 6 keep signals inside (namespaces: {0})")]
    SignalScope(SetupFailure),
    /// For root no limit counts processes, so nothing would stop a fork bomb.
    #[error("for root the kernel cannot bound the number of processes: run as another user ({0})")]
    ProcessBound(SetupFailure),
    /// All parts are there, but a room made of them could not be put up.
    #[error("a room could not be put up ({0})")]
    Room(SetupFailure),
}

impl Kernel {
    /// Tries what the kernel offers, once; later calls give the same answer at no cost. The
    /// first call blocks for some milliseconds and starts up to three short-lived processes.
    #[must_use]
    pub fn probe() -> &'static Kernel {
        static FOUND: OnceLock<Kernel> = OnceLock::new();
        FOUND.get_or_init(|| {
            let landlock_abi = landlock_abi();
            let seccomp = filter::knows_this_processor() && has_seccomp();
            let try_room = |namespaces, pid_max| match (landlock_abi, seccomp) {
                (0, _) => Err(SetupFailure { stage: Stage::Landlock, errno: libc::ENOSYS }),
                (_, false) => Err(SetupFailure { stage: Stage::Filter, errno: libc::ENOSYS }),
                (abi, true) => probe_room(abi, namespaces, pid_max),
            };
            let namespaces = try_room(true, None);
            let root_bound = if is_root() { try_room(true, Some(PIDS_RESERVED + 1)) } else { Ok(()) };
            Kernel { landlock_abi, seccomp, namespaces, bare: try_room(false, None), root_bound }
        })
    }

    /// Whether an untrusted command can be locked in on this machine; the default everywhere is
    /// to refuse it when not.
    pub fn can_lock(&self) -> Result<(), Lacking> {
        if self.landlock_abi == 0 {
            return Err(Lacking::Landlock);
        }
        if !self.seccomp {
            return Err(Lacking::Seccomp);
        }
        if let Err(why) = self.namespaces {
            if self.landlock_abi < 6 {
                return Err(Lacking::SignalScope(why));
            }
            self.bare.map_err(Lacking::Room)?;
        }
        self.root_bound.map_err(Lacking::ProcessBound)
    }

    /// The same kernel, taken as one that gives no namespaces: many containers don't. Rooms then
    /// rest on Landlock and the filter alone. Root cannot bound processes without them.
    #[must_use]
    pub fn without_namespaces(self) -> Kernel {
        let withheld = Err(SetupFailure { stage: Stage::Clone, errno: libc::EPERM });
        let root_bound = if is_root() { withheld } else { self.root_bound };
        Kernel { namespaces: withheld, root_bound, ..self }
    }

    pub(crate) fn landlock_abi(&self) -> u32 {
        self.landlock_abi
    }

    pub(crate) fn has_namespaces(&self) -> bool {
        self.namespaces.is_ok()
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock_abi {
            0 => f.write_str("landlock: no")?,
            abi => write!(f, "landlock: ABI {abi}")?,
        }
        write!(f, "; seccomp: {}", if self.seccomp { "yes" } else { "no" })?;
        match self.namespaces {
            Ok(()) => f.write_str("; namespaces: user, mount, process, network, IPC")?,
            Err(why) => write!(f, "; namespaces: no ({why})")?,
        }
        match self.can_lock() {
            Ok(()) => f.write_str("; untrusted commands: in a locked room"),
            Err(why) => write!(f, "; untrusted commands: refused ({why})"),
        }
    }
}

/// Numbers that the kernel gives out only once in a namespace (`RESERVED_PIDS`); a `pid_max`
/// above it is what bounds the rest.
const PIDS_RESERVED: u32 = 300;

/// The `pid_max` that bounds a room of root to about `processes`; nothing where `RLIMIT_NPROC`
/// counts, which is everywhere else.
pub(crate) fn pid_max(processes: u32) -> Option<String> {
    is_root().then(|| (PIDS_RESERVED + processes.max(1)).to_string())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[expect(unsafe_code, reason = "asking Landlock for its version has no wrapper that tells the number")]
fn landlock_abi() -> u32 {
    const CREATE_RULESET_VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the call takes no memory and only answers a number.
    let abi = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<()>(),
            0_usize,
            CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(abi).unwrap_or(0)
}

#[expect(unsafe_code, reason = "asking seccomp for an action has no wrapper")]
fn has_seccomp() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the kernel reads four bytes at the address, which is that of a live u32.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    answer == 0
}

/// Puts up a room around nothing.
fn probe_room(abi: u32, namespaces: bool, pid_max: Option<u32>) -> Result<(), SetupFailure> {
    let refused = |stage| SetupFailure { stage, errno: libc::EIO };
    let workspace = Path::new("/usr");
    let ruleset = view::ruleset(abi, workspace, &[], &[]).map_err(|_| refused(Stage::Landlock))?;
    let filters = filter::programs(setup::duties(namespaces, abi)).map_err(|_| refused(Stage::Filter))?;
    let channels = channels(None).map_err(|_| SetupFailure { stage: Stage::Streams, errno: libc::EMFILE })?;
    let setup = Setup {
        purpose: Purpose::Probe,
        workspace: c"/usr".into(),
        namespaces,
        pid_max: pid_max.map(|n| n.to_string()),
        limits: setup::resource_limits(&Limits::default()),
        ruleset: Arc::new(ruleset),
        filters: Arc::new(filters),
        ends: channels.child,
    };
    let (answer, started) = mpsc::channel();
    let ordered = keeper::order(setup, channels.gate, move |tree| drop(answer.send(tree)));
    let started = ordered.and_then(|()| started.recv().unwrap_or(Err(RoomError::BadCommand)));
    let mut tree = started.map_err(|error| match error {
        RoomError::Setup(failure) => failure,
        _ => SetupFailure { stage: Stage::Clone, errno: libc::EAGAIN },
    })?;
    let mut report = Vec::new();
    let read = std::io::Read::read_to_end(&mut std::fs::File::from(channels.report), &mut report);
    read.map_err(|e| SetupFailure { stage: Stage::Clone, errno: e.raw_os_error().unwrap_or(libc::EIO) })?;
    tree.reap();
    match crate::room::first_report(&report) {
        crate::room::First::Ended(_) => Ok(()),
        crate::room::First::Failed(failure) => Err(failure),
        crate::room::First::Nothing => Err(SetupFailure { stage: Stage::Clone, errno: libc::EIO }),
    }
}
