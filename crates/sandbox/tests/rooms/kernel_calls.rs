//! P6: the kernel's dangerous interfaces are shut.

use crate::lab::{Lab, err, out, perl_outside};

/// Calls that any user may make outside a room, with arguments that do no harm there.
const OPEN_OUTSIDE: [(&str, i64, &str); 13] = [
    ("ptrace(TRACEME)", libc::SYS_ptrace, "0, 0, 0, 0"),
    ("unshare(nothing)", libc::SYS_unshare, "0"),
    ("setns(no descriptor)", libc::SYS_setns, "-1, 0"),
    ("process_vm_readv(nothing)", libc::SYS_process_vm_readv, "$$, 0, 0, 0, 0, 0"),
    ("socket(AF_UNIX)", libc::SYS_socket, "1, 1, 0"),
    ("socket(AF_NETLINK)", libc::SYS_socket, "16, 3, 0"),
    ("personality(query)", libc::SYS_personality, "0xffffffff"),
    ("add_key(null)", libc::SYS_add_key, "0, 0, 0, 0, 0"),
    ("name_to_handle_at(null)", libc::SYS_name_to_handle_at, "-100, 0, 0, 0, 0"),
    ("kcmp(self)", libc::SYS_kcmp, "$$, $$, 1, 0, 0"),
    ("migrate_pages(self)", libc::SYS_migrate_pages, "0, 0, 0, 0"),
    ("clone(NEWUSER without its thread group)", libc::SYS_clone, "0x10010000, 0, 0, 0, 0"),
    ("ioctl(TIOCSTI)", libc::SYS_ioctl, "0, 0x5412, 0"),
];

#[tokio::test]
async fn dangerous_calls_are_refused_that_work_outside() {
    let Some(lab) = Lab::new() else { return };
    for (what, number, arguments) in OPEN_OUTSIDE {
        let script = format!("$! = 0; syscall({number}, {arguments}); print $!+0");
        let inside = out(&lab.perl(&script).await);
        assert_eq!(inside, libc::EPERM.to_string(), "{what} in a room");
        assert_ne!(perl_outside(&script), libc::EPERM.to_string(), "{what} outside");
    }
}

#[tokio::test]
async fn mounts_namespaces_and_modules_are_refused_by_their_own_tools() {
    let Some(lab) = Lab::new() else { return };
    for script in ["unshare -Ur true", "mount -t tmpfs none .", "mount --bind / .", "chroot . /bin/true"] {
        let ended = lab.sh(&format!("{script} && echo done; echo after")).await;
        assert_eq!(out(&ended), "after", "{script}");
    }
}

#[tokio::test]
async fn calls_unknown_to_the_table_do_not_exist() {
    let Some(lab) = Lab::new() else { return };
    const CLONE3: i64 = 435;
    for number in [CLONE3, 463, 469, 600, 0x4000_0000 + 39] {
        let ended = lab.perl(&format!("$! = 0; syscall({number}, 0, 0); print $!+0")).await;
        assert_eq!(out(&ended), libc::ENOSYS.to_string(), "system call {number}: {}", err(&ended));
    }
    // A known harmless one does: getpid.
    let ended = lab.perl(&format!("print syscall({}) == $$ ? 'same' : 'other'", libc::SYS_getpid)).await;
    assert_eq!(out(&ended), "same");
}

#[tokio::test]
async fn no_program_gains_a_privilege() {
    let Some(lab) = Lab::new() else { return };
    let prctl = libc::SYS_prctl;
    let (no_new_privs, bounding) = (libc::PR_GET_NO_NEW_PRIVS, libc::PR_CAPBSET_READ);
    let script = format!("print syscall({prctl}, {no_new_privs}, 0, 0, 0, 0)");
    assert_eq!(out(&lab.perl(&script).await), "1");
    let ended = lab.sh("id -u; su -c 'id -u' root </dev/null; chown 1:1 . && echo chowned").await;
    assert_ne!(out(&ended).lines().next(), Some("0"));
    assert_eq!(out(&ended).lines().count(), 1, "{}", out(&ended));
    if !lab.is_bare() {
        let script = format!("print join ',', map {{ syscall({prctl}, {bounding}, $_, 0, 0, 0) }} 0..7");
        assert_eq!(out(&lab.perl(&script).await), "0,0,0,0,0,0,0,0");
    }
}
