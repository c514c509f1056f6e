//! Which programs a room runs, and what it says about the others.

use crate::lab::{Lab, out};
use octollm_sandbox::{Kernel, Limits, Room, RoomError, RoomSpec};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use tokio_util::sync::CancellationToken;

fn script(path: &Path) -> String {
    fs::write(path, "#!/bin/sh\necho ran").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn programs_are_the_systems_the_workspaces_and_those_below_granted_roots() {
    let Some(lab) = Lab::new() else { return };
    let [own, granted, outside] =
        [lab.workspace(), lab.granted(), lab.outside()].map(|d| script(&d.join("tool")));
    assert_eq!(out(&lab.run(&[&own]).await), "ran");
    assert_eq!(out(&lab.run(&["./tool"]).await), "ran");
    assert_eq!(out(&lab.run(&[&granted]).await), "ran");
    let refused = lab.room().run(&[&outside], None, &CancellationToken::new()).await;
    assert!(matches!(refused, Err(RoomError::ProgramNotAllowed { .. })), "{refused:?}");
    // The same line holds in the kernel, for what a shell starts.
    assert_eq!(out(&lab.sh(&format!("'{outside}'; echo after")).await), "after");
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let Some(lab) = Lab::new() else { return };
    let (room, never) = (lab.room(), CancellationToken::new());
    for name in ["no-such-program", "./no-such-file", "/usr/bin/no-such-file", ""] {
        let error = room.run(&[name], None, &never).await.unwrap_err();
        assert!(matches!(&error, RoomError::ProgramNotFound { name: n } if n == name), "{error:?}");
    }
    let error = room.run(&["/etc/passwd"], None, &never).await.unwrap_err();
    assert!(matches!(error, RoomError::ProgramNotAllowed { .. }), "{error:?}");
    let none: [&str; 0] = [];
    assert!(matches!(room.run(&none, None, &never).await, Err(RoomError::BadCommand)));
    assert!(matches!(room.run(&["echo", "a\0b"], None, &never).await, Err(RoomError::BadCommand)));
}

#[tokio::test]
async fn a_grant_that_cannot_be_opened_is_an_error_not_a_silent_refusal() {
    let Some(lab) = Lab::new() else { return };
    let kernel = Kernel::probe();
    let missing = lab.outside().join("missing");
    let spec = |workspace, root| RoomSpec {
        workspace,
        read_roots: vec![root],
        closed: vec![],
        limits: Limits::default(),
    };
    for spec in [spec(lab.workspace(), missing.clone()), spec(missing.clone(), lab.granted())] {
        let error = Room::open(&spec, kernel, &|| false).unwrap_err();
        assert!(matches!(&error, RoomError::Path { path, .. } if *path == missing), "{error:?}");
    }
}
