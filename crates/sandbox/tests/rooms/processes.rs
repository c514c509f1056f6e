//! P6: a room reaches no process outside, and leaves none behind.

use crate::lab::{Lab, out};
use octollm_sandbox::{Ended, Ending, RoomError};
use std::{
    io::ErrorKind,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt, net::unix::pipe};
use tokio_util::sync::CancellationToken;

/// What a cancel is promised to need at most.
const GONE: Duration = Duration::from_secs(2);

/// A process that has left its parents, its session if it may, and its manners. It holds the
/// FIFO `alive` open as long as it lives, then keeps the processor.
const DAEMON: &str = "use POSIX; $SIG{TERM} = $SIG{HUP} = $SIG{INT} = 'IGNORE';
    if (!fork) { POSIX::setsid(); if (!fork) { POSIX::setsid();
        open(my $alive, '>', 'alive') or die; syswrite($alive, 'up'); close STDOUT; close STDERR;
        sleep 1000 while 1; } exit 0 } ";

/// The reading end of the FIFO: its end of file is the proof that no process holds it.
struct Pulse(pipe::Receiver);

impl Pulse {
    fn of(lab: &Lab) -> Pulse {
        let path = lab.workspace().join("alive");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        Pulse(pipe::OpenOptions::new().open_receiver(path).unwrap())
    }

    async fn up(&mut self) {
        let mut up = [0; 2];
        let read = tokio::time::timeout(Duration::from_secs(20), async {
            // Before the first writer has come, reading says end of file.
            while let Err(error) = self.0.read_exact(&mut up).await {
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                tokio::task::yield_now().await;
            }
        });
        read.await.expect("the daemon comes up");
    }

    async fn gone(mut self) {
        let mut rest = Vec::new();
        tokio::time::timeout(GONE, self.0.read_to_end(&mut rest)).await.expect("the daemon is gone").unwrap();
    }
}

#[tokio::test]
async fn a_cancelled_command_takes_its_daemons_along_within_two_seconds() {
    let Some(lab) = Lab::new() else { return };
    let mut pulse = Pulse::of(&lab);
    let cancel = CancellationToken::new();
    let script = format!("{DAEMON} sleep 1000;");
    let argv = ["perl", "-e", &script];
    let room = lab.room();
    let (ended, asked) = tokio::join!(room.run(&argv, None, &cancel), async {
        pulse.up().await;
        cancel.cancel();
        Instant::now()
    });
    assert_eq!(ended.unwrap().ending, Ending::Cancelled);
    assert!(asked.elapsed() < GONE);
    pulse.gone().await;
}

#[tokio::test]
async fn a_dropped_run_takes_its_daemons_along() {
    let Some(lab) = Lab::new() else { return };
    let mut pulse = Pulse::of(&lab);
    let script = format!("{DAEMON} sleep 1000;");
    let argv = ["perl", "-e", &script];
    let (room, never) = (lab.room(), CancellationToken::new());
    tokio::select! {
        ended = room.run(&argv, None, &never) => panic!("it does not end by itself: {ended:?}"),
        () = pulse.up() => {}
    }
    pulse.gone().await;
}

#[tokio::test]
async fn a_command_that_ends_leaves_no_daemon() {
    let Some(lab) = Lab::new() else { return };
    let pulse = Pulse::of(&lab);
    let ended = lab.perl(&format!("{DAEMON} wait; select(undef, undef, undef, 0.2); exit 3;")).await;
    assert_eq!(ended.ending, Ending::Exited(3));
    pulse.gone().await;
}

#[tokio::test]
async fn a_command_is_killed_when_its_time_is_over() {
    let Some(lab) = Lab::limited(|l| l.wall = Duration::from_millis(600)) else { return };
    let pulse = Pulse::of(&lab);
    let ended = lab.perl(&format!("$| = 1; print 'begun'; {DAEMON} sleep 1000;")).await;
    assert_eq!((ended.ending, out(&ended).as_str()), (Ending::TimedOut, "begun"));
    assert!(ended.took >= lab.limits.wall && ended.took < lab.limits.wall + GONE);
    pulse.gone().await;
}

/// Set for the copy of this test that is killed.
const HOST: &str = "OCTOLLM_SANDBOX_TEST_HOST";

#[tokio::test]
async fn a_killed_parent_takes_its_rooms_along() {
    let Some(lab) = Lab::new() else { return };
    if std::env::var_os(HOST).is_some() {
        let pulse = Pulse::of(&lab);
        println!("{}", lab.workspace().join("alive").display());
        lab.perl(&format!("{DAEMON} sleep 1000;")).await;
        drop(pulse);
        return;
    }
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::a_killed_parent_takes_its_rooms_along", "--nocapture"])
        .env(HOST, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(host.stdout.take().unwrap()));
    let fifo = lines.map_while(Result::ok).find_map(|line| line.find('/').map(|at| line[at..].to_owned()));
    let fifo = std::path::PathBuf::from(fifo.expect("the host names its FIFO"));
    let mut pulse = Pulse(pipe::OpenOptions::new().open_receiver(&fifo).unwrap());
    // Both read; the host only until it is killed, and it never does.
    pulse.up().await;
    host.kill().unwrap();
    host.wait().unwrap();
    pulse.gone().await;
    std::fs::remove_dir_all(fifo.parent().and_then(|p| p.parent()).unwrap()).unwrap();
}

#[tokio::test]
async fn processes_outside_get_no_signal() {
    let Some(lab) = Lab::new() else { return };
    let mut victim = Command::new("sleep").arg("1000").spawn().unwrap();
    let script = format!(
        "kill -9 {} && echo victim; kill -9 {} && echo parent; sleep 1000 & kill -9 $! && echo own",
        victim.id(),
        std::process::id()
    );
    assert_eq!(out(&lab.sh(&script).await), "own");
    assert_eq!(victim.try_wait().unwrap(), None);
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[tokio::test]
async fn no_descriptor_is_inherited() {
    let Some(lab) = Lab::new() else { return };
    let secret = std::fs::File::open(lab.outside().join("secret")).unwrap();
    let leaky = rustix::io::dup(&secret).unwrap(); // dup clears close-on-exec
    let script = format!(
        "print join ' ', grep {{ syscall({}, $_, {}, 0) >= 0 }} 0..1023",
        libc::SYS_fcntl,
        libc::F_GETFD
    );
    assert_eq!(out(&lab.perl(&script).await), "0 1 2");
    drop(leaky);
}

#[tokio::test]
async fn many_rooms_at_once_end_each_in_its_own_way() {
    let Some(lab) = Lab::new() else { return };
    let room = lab.room();
    let never = CancellationToken::new();
    let one = async |n: i32| -> Result<Ended, RoomError> {
        room.run(&["sh", "-c", &format!("echo {n}; exit {n}")], None, &never).await
    };
    let all = tokio::join!(one(1), one(2), one(3), one(4), one(5), one(6), one(7), one(8));
    let all: [_; 8] = all.into();
    for (ended, n) in all.into_iter().zip(1..) {
        let ended = ended.unwrap();
        assert_eq!((ended.ending, out(&ended)), (Ending::Exited(n), n.to_string()));
    }
}
