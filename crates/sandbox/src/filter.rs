//! Which system calls a room may not make, as seccomp programs.
//!
//! What is listed is refused with `EPERM`; calls newer than this table, `clone3` (its flags lie
//! in memory, where a filter cannot look) and the x32 table get `ENOSYS`, so that the C library
//! falls back to older ones. Foreign architectures are killed. The lists name what opens the
//! kernel, other processes or the network; the file system is Landlock's.

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What other walls are missing, and so is left to the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duties {
    /// No namespaces: hold processes in their group, and keep off metadata and System V IPC.
    pub(crate) no_namespaces: bool,
    /// Landlock before ABI 3 does not see `truncate`.
    pub(crate) truncate: bool,
}

/// The last system call (`mseal`) that this table was checked against.
const NEWEST: u32 = 462;
const CLONE3: i64 = 435;
/// Of the x86-64 table; numbers with this bit belong to the x32 table. No other table has it.
const X32_BIT: u32 = 0x4000_0000;

const ALWAYS: &[c_long] = &[
    // Other processes' memory and descriptors.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Mounts, roots, namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // Kernel interfaces with a history of holes.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_personality,
    // The machine.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    // Every socket that could lead out; a connected pair is made by `socketpair`. Landlock does
    // not see sockets that are files, such as that of a container engine.
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
];

#[cfg(target_arch = "x86_64")]
const ALWAYS_HERE: &[c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
];
#[cfg(not(target_arch = "x86_64"))]
const ALWAYS_HERE: &[c_long] = &[];

const WITHOUT_NAMESPACES: &[c_long] = &[
    // One process group, so that one signal reaches all.
    libc::SYS_setsid,
    libc::SYS_setpgid,
    // Landlock does not see metadata, and nothing is mounted read-only.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // Other processes of this user.
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setaffinity,
];

#[cfg(target_arch = "x86_64")]
const WITHOUT_NAMESPACES_HERE: &[c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const WITHOUT_NAMESPACES_HERE: &[c_long] = &[];

const NEW_NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// Terminal input injection, and the inode flags behind a descriptor open for reading.
const IOCTLS: [u64; 4] = [
    0x5412,      // TIOCSTI
    0x541C,      // TIOCLINUX
    0x4008_6602, // FS_IOC_SETFLAGS
    0x401C_5820, // FS_IOC_FSSETXATTR
];

/// Whether rooms know this processor's system calls.
pub(crate) fn knows_this_processor() -> bool {
    TargetArch::try_from(std::env::consts::ARCH).is_ok()
}

/// The programs to install, in this order. The kernel takes the strictest answer of all.
pub(crate) fn programs(duties: Duties) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let refused = compile(denied(duties)?, libc::EPERM)?;
    let unknown = compile(BTreeMap::from([(CLONE3, vec![])]), libc::ENOSYS)?;
    Ok(vec![refused, unknown, newer_than_the_table()])
}

fn compile(rules: Rules, errno: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno.cast_unsigned()), arch)?
        .try_into()
}

fn denied(duties: Duties) -> Result<Rules, seccompiler::BackendError> {
    let mut lists = vec![ALWAYS, ALWAYS_HERE];
    if duties.no_namespaces {
        lists.extend([WITHOUT_NAMESPACES, WITHOUT_NAMESPACES_HERE]);
    }
    if duties.truncate {
        lists.push(&[libc::SYS_truncate]);
    }
    let mut rules: Rules = lists.concat().into_iter().map(|call| (call, vec![])).collect();

    let mut only_when = |call: c_long, argument: u8, compare: SeccompCmpOp, value: u64| {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value)?;
        rules.entry(call).or_default().push(SeccompRule::new(vec![condition])?);
        Ok::<_, seccompiler::BackendError>(())
    };
    for flag in NEW_NAMESPACES.map(|f| u64::from(f.cast_unsigned())) {
        only_when(libc::SYS_clone, 0, SeccompCmpOp::MaskedEq(flag), flag)?;
    }
    for request in IOCTLS {
        only_when(libc::SYS_ioctl, 1, SeccompCmpOp::Eq, request)?;
    }
    // The limits of another process.
    only_when(libc::SYS_prlimit64, 0, SeccompCmpOp::Ne, 0)?;
    // A pair is connected for good, unless it is of datagrams: those may be sent elsewhere.
    only_when(libc::SYS_socketpair, 0, SeccompCmpOp::Ne, 1)?; // AF_UNIX
    for datagrams in [2, 3] {
        only_when(libc::SYS_socketpair, 1, SeccompCmpOp::MaskedEq(0xf), datagrams)?; // SOCK_DGRAM, SOCK_RAW
    }
    Ok(rules)
}

/// `ENOSYS` for numbers above [`NEWEST`], which includes the whole x32 table.
fn newer_than_the_table() -> BpfProgram {
    const { assert!(X32_BIT > NEWEST) };
    let allow = u32::from(SeccompAction::Allow);
    let no_such_call = u32::from(SeccompAction::Errno(libc::ENOSYS.cast_unsigned()));
    let step = |code: u32, jt, k| sock_filter { code: u16::try_from(code).unwrap_or(u16::MAX), jt, jf: 0, k };
    vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0), // the call's number lies first
        step(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 1, NEWEST),
        step(libc::BPF_RET | libc::BPF_K, 0, allow),
        step(libc::BPF_RET | libc::BPF_K, 0, no_such_call),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conditions on a call that is denied outright would open it again.
    #[test]
    fn what_is_denied_outright_has_no_conditions() {
        let all = denied(Duties { no_namespaces: true, truncate: true }).unwrap();
        for call in [ALWAYS, ALWAYS_HERE, WITHOUT_NAMESPACES, WITHOUT_NAMESPACES_HERE].concat() {
            assert_eq!(all.get(&call), Some(&vec![]), "system call {call}");
        }
        assert!(programs(Duties { no_namespaces: true, truncate: true }).is_ok());
    }

    #[test]
    fn the_filter_does_what_missing_walls_would_have_done() {
        let with = denied(Duties { no_namespaces: false, truncate: false }).unwrap();
        let without = denied(Duties { no_namespaces: true, truncate: true }).unwrap();
        for call in [libc::SYS_setsid, libc::SYS_fchmod, libc::SYS_truncate] {
            assert!(!with.contains_key(&call) && without.contains_key(&call), "system call {call}");
        }
    }
}
