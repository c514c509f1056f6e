//! P6: bounded time, memory, processes, files and output.

use crate::lab::{Lab, err, out};
use octollm_sandbox::Ending;
use std::time::Duration;

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_fork_bomb_stops_at_the_bound() {
    let Some(lab) = Lab::limited(|l| l.processes = 20) else { return };
    let bomb =
        "my $n = 0; while (defined(my $p = fork)) { if (!$p) { sleep 1000 } last if ++$n >= 2000 } print $n";
    let count: u32 = out(&lab.perl(bomb).await).parse().unwrap();
    // For root the namespace's numbers are the bound, and 300 of them come on top. Without a
    // namespace the limit counts all processes of the user.
    let most = if rustix::process::geteuid().is_root() { 320 } else { 20 };
    assert!(count <= most, "{count} processes");
    assert!(count >= 1 || lab.is_bare(), "{count} processes");
    assert_eq!(out(&lab.sh("echo again").await), "again");
}

#[tokio::test]
async fn a_process_gets_so_much_memory_and_no_more() {
    let Some(lab) = Lab::limited(|l| l.memory_bytes = 256 * MIB) else { return };
    let take = |mib: u64| format!("my $n = {mib} << 20; my $x = 'a' x $n; print length($x) >> 20");
    assert_eq!(out(&lab.perl(&take(32)).await), "32");
    let hog = lab.perl(&take(1024)).await;
    assert_ne!(hog.ending, Ending::Exited(0));
    assert_eq!(out(&hog), "");
}

#[tokio::test]
async fn a_flood_of_output_is_counted_and_thrown_away() {
    let Some(lab) = Lab::limited(|l| l.output_bytes = 1000) else { return };
    let before = peak_kib();
    let ended = lab.sh("head -c 100000000 /dev/zero; head -c 999 /dev/zero >&2").await;
    assert_eq!(ended.ending, Ending::Exited(0));
    assert_eq!((ended.stdout.bytes.len(), ended.stdout.total), (1000, 100_000_000));
    assert_eq!((ended.stderr.bytes.len(), ended.stderr.total), (999, 999));
    assert!(ended.stdout.is_cut() && !ended.stderr.is_cut());
    let grown = peak_kib() - before;
    assert!(grown < 32 << 10, "memory grew by {grown} KiB");
}

/// The most memory this process ever had.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_file_grows_to_the_bound_and_no_further() {
    let Some(lab) = Lab::limited(|l| l.file_bytes = MIB) else { return };
    let ended = lab
        .sh("head -c 500000 /dev/zero > small && echo small; head -c 5000000 /dev/zero > big && echo big")
        .await;
    assert_eq!(out(&ended), "small");
    assert_eq!(lab.workspace().join("small").metadata().unwrap().len(), 500_000);
    assert!(lab.workspace().join("big").metadata().unwrap().len() <= MIB);
}

#[tokio::test]
async fn a_process_opens_so_many_files_and_no_more() {
    let Some(lab) = Lab::limited(|l| l.open_files = 32) else { return };
    let ended = lab
        .perl("my @f; while (open(my $f, '<', '/dev/null')) { push @f, $f; last if @f > 999 } print 0+@f")
        .await;
    let count: u32 = out(&ended).parse().unwrap();
    assert!((16..=32).contains(&count), "{count}: {}", err(&ended));
}

#[tokio::test]
async fn processor_time_is_bounded() {
    let Some(lab) = Lab::limited(|l| l.cpu = Duration::from_secs(1)) else { return };
    let ended = lab.perl("1 while 1").await;
    assert!(matches!(ended.ending, Ending::Signalled(libc::SIGXCPU | libc::SIGKILL)), "{:?}", ended.ending);
}
