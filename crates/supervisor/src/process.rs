//! One worker process, seen from both ends of its standard input.

use crate::Program;
use std::{os::fd::AsFd, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::unix::pipe,
    process::{Child, ChildStdin, Command},
};

/// An order is not longer than this, in bytes.
const ORDER_BYTES_MAX: u64 = 64 * 1024;

/// Why a worker has no order.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The descriptor cannot be read or written.
    #[error("the order cannot be passed")]
    Descriptor(#[from] std::io::Error),
    /// What came is not an order.
    #[error("no order came on standard input: a worker is started by `octollm serve`, not by hand")]
    Missing,
    /// The caller could not make one.
    #[error("{0}")]
    NotMade(#[source] Box<dyn std::error::Error + Send + Sync>),
}

pub(crate) struct Process {
    child: Child,
    pid: u32,
    /// Held open: its end tells the worker that the supervisor is gone.
    _lifeline: ChildStdin,
}

impl Process {
    pub(crate) async fn start(program: &Program, order: &str) -> std::io::Result<Self> {
        let mut child = Command::new(&program.path)
            .args(&program.arguments)
            .stdin(Stdio::piped())
            // A group of its own: a Ctrl-C on the terminal reaches the supervisor alone, which drains.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or_else(|| std::io::Error::other("the process ended at once"))?;
        let mut lifeline = child.stdin.take().ok_or_else(|| std::io::Error::other("no standard input"))?;
        lifeline.write_all(format!("{order}\n").as_bytes()).await?;
        lifeline.flush().await?;
        Ok(Process { child, pid, _lifeline: lifeline })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the end; safe to drop and call again.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => format!("it cannot be waited for: {error}"),
        }
    }

    /// SIGTERM, then SIGKILL after the grace.
    pub(crate) async fn drain(&mut self, grace: Duration) -> String {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw) {
            // It may have ended on its own in between; the wait below tells.
            let _may_be_gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        match tokio::time::timeout(grace, self.ended()).await {
            Ok(how) => how,
            Err(_elapsed) => {
                if let Err(error) = self.child.kill().await {
                    return format!("it did not drain within {grace:?} and cannot be killed: {error}");
                }
                format!("it did not drain within {grace:?} and was killed")
            }
        }
    }
}

/// The worker's end of the descriptor on which its order came. Its end is the supervisor's end.
pub struct Lifeline(BufReader<pipe::Receiver>);

/// For the worker: reads the order from standard input, which must be a pipe.
pub async fn read_order() -> Result<(String, Lifeline), OrderError> {
    // Not `tokio::io::stdin`: its blocking read would hold up the end of the process.
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    let pipe = pipe::Receiver::from_owned_fd(stdin).map_err(|_not_a_pipe| OrderError::Missing)?;
    let mut reader = BufReader::new(pipe);
    let mut line = String::new();
    (&mut reader).take(ORDER_BYTES_MAX).read_line(&mut line).await?;
    match line.strip_suffix('\n') {
        Some(order) if !order.is_empty() => Ok((order.to_owned(), Lifeline(reader))),
        Some(_) | None => Err(OrderError::Missing),
    }
}

impl Lifeline {
    /// Returns when the supervisor is gone, however it went.
    pub async fn cut(mut self) {
        let mut byte = [0];
        // Nothing is sent after the order: whatever the read says, the supervisor is gone.
        let _end_or_error = self.0.read(&mut byte).await;
    }
}
