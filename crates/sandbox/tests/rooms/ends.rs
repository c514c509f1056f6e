//! How a command's end and its streams come back.

use crate::lab::{Lab, err, out};
use octollm_sandbox::Ending;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn exit_codes_and_signals_are_told_apart() {
    let Some(lab) = Lab::new() else { return };
    assert_eq!(lab.sh("exit 0").await.ending, Ending::Exited(0));
    assert_eq!(lab.sh("exit 255").await.ending, Ending::Exited(255));
    assert_eq!(lab.sh("exit 137").await.ending, Ending::Exited(137));
    assert_eq!(lab.sh("kill -KILL $$").await.ending, Ending::Signalled(libc::SIGKILL));
    assert_eq!(lab.sh("kill -TERM $$").await.ending, Ending::Signalled(libc::SIGTERM));
    assert_eq!(lab.perl("use POSIX; abort()").await.ending, Ending::Signalled(libc::SIGABRT));
    // This process ignores SIGPIPE, as every Rust program; a command must not.
    assert_eq!(lab.sh("kill -PIPE $$").await.ending, Ending::Signalled(libc::SIGPIPE));
}

#[tokio::test]
async fn both_streams_come_back_apart() {
    let Some(lab) = Lab::new() else { return };
    let ended = lab.sh("echo out; echo err >&2").await;
    assert_eq!((out(&ended).as_str(), err(&ended).as_str()), ("out", "err"));
}

#[tokio::test]
async fn input_is_read_whole_or_not_at_all() {
    let Some(lab) = Lab::new() else { return };
    let (room, never) = (lab.room(), CancellationToken::new());
    let long = vec![b'x'; 1_000_000];
    let read = room.run(&["wc", "-c"], Some(long.clone()), &never).await.unwrap();
    assert_eq!(out(&read), "1000000");
    let unread = room.run(&["true"], Some(long), &never).await.unwrap();
    assert_eq!(unread.ending, Ending::Exited(0));
    let none = room.run(&["wc", "-c"], None, &never).await.unwrap();
    assert_eq!(out(&none), "0");
}
