//! P6: only its workspace and the roots it was granted.

use crate::lab::{Lab, err, out, text};
use octollm_contract::names::{
    DATA_FOLDER_DATABASE, DATA_FOLDER_LOCK, DATA_FOLDER_WITHOUT_DATABASE, PRIVATE_FOLDER,
};
use octollm_sandbox::{Ending, RoomError};
use std::os::unix::fs::{PermissionsExt, symlink};

#[tokio::test]
async fn a_command_reads_what_is_granted_and_nothing_else() {
    let Some(lab) = Lab::new() else { return };
    let [granted, outside] =
        [lab.granted().join("note"), lab.outside().join("secret")].map(|p| p.display().to_string());

    assert_eq!(out(&lab.run(&["cat", &granted]).await), "granted");
    let refused = lab.run(&["cat", &outside]).await;
    assert_eq!((refused.ending, out(&refused).as_str()), (Ending::Exited(1), ""));
    assert!(err(&refused).contains("Permission denied"), "{}", err(&refused));
    let listed = lab.run(&["ls", &lab.outside().display().to_string()]).await;
    assert_eq!(out(&listed), "");
}

/// P6, P7: a grant of what lies above a closed folder does not open it, not by a link either, and the
/// rest stays readable.
#[tokio::test]
async fn a_closed_folder_below_a_granted_root_stays_closed() {
    let Some(lab) = Lab::new() else { return };
    let root = lab.granted();
    let (closed, beside) = (root.join("srv/data"), root.join("srv/beside"));
    std::fs::create_dir_all(&closed).unwrap();
    std::fs::create_dir_all(&beside).unwrap();
    std::fs::write(closed.join("db"), "secret").unwrap();
    std::fs::write(beside.join("page"), "page").unwrap();
    symlink(&closed, root.join("link")).unwrap();
    symlink(closed.join("db"), root.join("srv/link")).unwrap();
    let room = lab.room_without(root.clone(), closed.clone()).unwrap();
    let cat = async |path: &std::path::Path| {
        let argv = ["cat".to_owned(), path.display().to_string()];
        room.run(&argv, None, &tokio_util::sync::CancellationToken::new()).await.unwrap()
    };
    assert_eq!(out(&cat(&root.join("note")).await), "granted");
    assert_eq!(out(&cat(&beside.join("page")).await), "page");
    for way in [closed.join("db"), root.join("link/db"), root.join("srv/link")] {
        let refused = cat(&way).await;
        assert_eq!((refused.ending, out(&refused).as_str()), (Ending::Exited(1), ""), "{}", way.display());
        assert!(err(&refused).contains("Permission denied"), "{}", err(&refused));
    }
    for root in [closed.clone(), closed.join("db")] {
        let refused = lab.room_without(root, closed.clone()).unwrap_err();
        assert!(matches!(refused, RoomError::Path { .. }), "{refused}");
    }
}

/// P7: what another server or arm keeps, at whatever depth below what is granted, is closed as it is to the
/// server's own tools; what only looks like its mark closes nothing.
#[tokio::test]
async fn a_folder_that_its_owner_has_marked_is_closed_at_any_depth() {
    let Some(lab) = Lab::new() else { return };
    let root = lab.granted();
    let deep = "srv/a/b/c/d/e/f/g/h/i";
    let folders = [
        ("artefacts", &[PRIVATE_FOLDER][..], true),
        (deep, &[PRIVATE_FOLDER], true),
        ("data", &[DATA_FOLDER_LOCK, DATA_FOLDER_DATABASE], true),
        ("elsewhere", &[DATA_FOLDER_LOCK, DATA_FOLDER_WITHOUT_DATABASE], true),
        ("project", &[DATA_FOLDER_LOCK], false),
        ("plain/below", &[], false),
    ];
    for (folder, marks, _) in folders {
        std::fs::create_dir_all(root.join(folder).join("sha256")).unwrap();
        std::fs::write(root.join(folder).join("sha256/kept"), "kept").unwrap();
        for mark in marks {
            std::fs::write(root.join(folder).join(mark), "").unwrap();
        }
    }
    symlink(root.join("artefacts"), root.join("link")).unwrap();
    symlink(root.join("srv"), root.join("way")).unwrap();
    let room = lab.room();
    let cat = async |path: std::path::PathBuf| {
        let argv = ["cat".to_owned(), path.display().to_string()];
        room.run(&argv, None, &tokio_util::sync::CancellationToken::new()).await.unwrap()
    };
    for (folder, _, closed) in folders.into_iter().chain([("link", &[][..], true)]) {
        let read = cat(root.join(folder).join("sha256/kept")).await;
        let expected = if closed { (Ending::Exited(1), "") } else { (Ending::Exited(0), "kept") };
        assert_eq!((read.ending, out(&read).as_str()), expected, "{folder}: {}", err(&read));
    }
    assert_eq!(out(&cat(root.join("note")).await), "granted");
    let through = cat(root.join("way/a/b/c/d/e/f/g/h/i/sha256/kept")).await;
    assert_eq!((through.ending, out(&through).as_str()), (Ending::Exited(1), ""), "a link on the way");
    let listed = lab.run(&["ls", &root.display().to_string()]).await;
    assert_eq!(out(&listed), "", "a folder on the way to one that is closed cannot be listed");
    let project = root.join("project").display().to_string();
    assert!(out(&lab.run(&["ls", &project]).await).contains(DATA_FOLDER_LOCK));
}

/// P7: what lies in a folder that lets in who knows a name, and nobody list it, cannot be told: it is closed. One
/// that lets nobody in closes nothing. For root every folder can be listed; see `again`.
#[tokio::test]
async fn a_folder_that_can_be_entered_and_not_listed_is_closed() {
    let Some(lab) = Lab::new() else { return };
    if rustix::process::geteuid().is_root() {
        return;
    }
    let root = lab.granted();
    let mode = |folder: &str, mode| {
        std::fs::set_permissions(root.join(folder), PermissionsExt::from_mode(mode)).unwrap();
    };
    for folder in ["barred", "home/plain", "marked"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
        std::fs::write(root.join(folder).join("kept"), "kept").unwrap();
    }
    std::fs::write(root.join("marked").join(PRIVATE_FOLDER), "").unwrap();
    mode("barred", 0o000);
    mode("marked", 0o000);
    let root_named = root.display().to_string();
    assert!(out(&lab.run(&["ls", &root_named]).await).contains("note"), "nobody is let in anyway");
    mode("home", 0o111);
    mode("marked", 0o111);
    for kept in ["barred/kept", "home/plain/kept", "marked/kept"] {
        let read = lab.run(&["cat", &root.join(kept).display().to_string()]).await;
        assert_eq!((read.ending, out(&read).as_str()), (Ending::Exited(1), ""), "{kept}");
    }
    assert_eq!(out(&lab.run(&["cat", &root.join("note").display().to_string()]).await), "granted");
    for folder in ["barred", "home", "marked"] {
        mode(folder, 0o700);
    }
}

/// P7: no room is opened over a folder that cannot be looked into, here one whose path is too long to be said.
#[tokio::test]
async fn what_cannot_be_looked_through_refuses_the_room() {
    use rustix::fs::{CWD, Mode, OFlags};
    let Some(lab) = Lab::new() else { return };
    let mut folder = rustix::fs::openat(CWD, lab.granted(), OFlags::DIRECTORY, Mode::empty()).unwrap();
    let name = "n".repeat(250);
    for _ in 0..20 {
        rustix::fs::mkdirat(&folder, &name, Mode::RWXU).unwrap();
        folder = rustix::fs::openat(&folder, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let refused = lab.opened().unwrap_err();
    assert!(matches!(refused, RoomError::NotLookedThrough { .. }), "{refused}");
}

#[tokio::test]
async fn a_room_that_nobody_wants_any_more_is_not_opened() {
    let Some(lab) = Lab::new() else { return };
    assert!(matches!(lab.unwanted_room(), Err(RoomError::Stopped)));
}

#[tokio::test]
async fn a_command_writes_its_workspace_and_nothing_else() {
    let Some(lab) = Lab::new() else { return };
    let (granted, outside) = (lab.granted(), lab.outside());
    let script = format!(
        "echo own > own; mkdir -p d/e; mv own d/e/own; for d in '{}' '{}' /tmp /dev/shm /var/tmp /; do
           echo leak > $d/leak-$$; mkdir $d/leak-dir-$$; rm -f $d/note $d/secret; done; true",
        granted.display(),
        outside.display()
    );
    let ended = lab.sh(&script).await;

    assert_eq!(ended.ending, Ending::Exited(0), "{}", err(&ended));
    assert_eq!(text(&lab.workspace().join("d/e/own")), "own\n");
    assert_eq!(text(&granted.join("note")), "granted");
    assert_eq!(text(&outside.join("secret")), "secret");
    for folder in [granted, outside] {
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    }
    assert_eq!(err(&ended).matches("cannot create").count(), 12, "{}", err(&ended));
}

#[tokio::test]
async fn truncation_and_metadata_of_files_outside_stay_as_they_are() {
    let Some(lab) = Lab::new() else { return };
    let (outside, granted) = (lab.outside().join("secret"), lab.granted().join("note"));
    let before = [&outside, &granted].map(|p| p.metadata().unwrap());
    let script = format!(
        "my @f = ('{}', '{}'); truncate($_, 0) and print 'cut' for @f; chmod(0777, $_) and print 'mode' for @f;
         utime(1, 1, $_) and print 'time' for @f; open(my $g, '<', $f[1]) or die; chmod(0777, $g) and print 'fd';
         open(my $own, '>', 'own') or die; print $own 'abc'; close $own; truncate('own', 1) and print 'own';",
        outside.display(),
        granted.display()
    );
    let ended = lab.perl(&script).await;

    assert!(["own", ""].contains(&out(&ended).as_str()), "{}{}", out(&ended), err(&ended));
    assert!(lab.workspace().join("own").exists());
    for (path, before) in [outside, granted].iter().zip(before) {
        let after = path.metadata().unwrap();
        assert_eq!(after.len(), before.len());
        assert_eq!(after.permissions(), before.permissions());
        assert_eq!(after.modified().unwrap(), before.modified().unwrap());
    }
    if !lab.is_bare() {
        let own = lab.sh("echo '#!/bin/sh\necho made' > tool; chmod 755 tool; ./tool").await;
        assert_eq!(out(&own), "made");
    }
}

#[tokio::test]
async fn password_hashes_are_closed_and_user_names_are_open() {
    let Some(lab) = Lab::new() else { return };
    assert!(out(&lab.sh("cat /etc/passwd").await).contains("root:"));
    for file in ["/etc/shadow", "/etc/gshadow", "/etc/hostname", "/etc/ssh/sshd_config", "/root/.profile"] {
        assert_eq!(out(&lab.run(&["cat", file]).await), "", "{file}");
    }
}

#[tokio::test]
async fn a_link_in_the_workspace_leads_nowhere_outside() {
    let Some(lab) = Lab::new() else { return };
    std::fs::write(lab.workspace().join("own"), "own").unwrap();
    symlink("own", lab.workspace().join("inward")).unwrap();
    symlink(lab.outside().join("secret"), lab.workspace().join("outward")).unwrap();
    assert_eq!(out(&lab.sh("cat inward").await), "own");
    let ended = lab.sh("cat outward; echo leak > outward; ln -s / all; cat all/etc/shadow").await;
    assert_eq!(out(&ended), "");
    let hard = format!("ln '{}' hard; cat hard", lab.outside().join("secret").display());
    assert_eq!(out(&lab.sh(&hard).await), "");
    assert_eq!(text(&lab.outside().join("secret")), "secret");
}

#[tokio::test]
async fn processes_are_not_read_through_proc_nor_devices_opened() {
    let Some(lab) = Lab::new() else { return };
    let pid = std::process::id();
    let script = format!(
        "cat /proc/1/environ /proc/{pid}/environ /proc/self/maps /dev/kmsg /sys/kernel/notes; ls /proc"
    );
    assert_eq!(out(&lab.sh(&script).await), "");
    let devices =
        lab.sh("head -c 3 /dev/urandom | wc -c; echo gone > /dev/null && echo null; mknod x c 1 3").await;
    assert_eq!(out(&devices).split_whitespace().collect::<Vec<_>>(), ["3", "null"]);
}

#[tokio::test]
async fn the_environment_is_empty_but_for_four_names() {
    let Some(lab) = Lab::new() else { return };
    assert!(std::env::vars_os().count() > 4, "this process has variables that could leak");
    let here = lab.workspace().canonicalize().unwrap();
    let here = here.display();
    let expected = format!("PATH=/usr/local/bin:/usr/bin:/bin\nHOME={here}\nTMPDIR={here}\nLANG=C.UTF-8");
    assert_eq!(out(&lab.run(&["env"]).await), expected);
    assert_eq!(out(&lab.run(&["pwd"]).await), here.to_string());
}

#[tokio::test]
async fn what_a_command_makes_is_its_own() {
    let Some(lab) = Lab::new() else { return };
    lab.sh("echo x > private").await;
    let mode = lab.workspace().join("private").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
