//! A room, and running a command in it.

use crate::{
    child,
    ended::{Ended, Ending, Output},
    error::{RoomError, SetupFailure, Stage},
    filter, keeper,
    kernel::{self, Kernel},
    private, program,
    setup::{self, Command, Ends, Purpose, Setup},
    view,
};
use seccompiler::BpfProgram;
use std::{
    ffi::{CString, OsStr},
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, unix::AsyncFd},
    net::unix::pipe,
    sync::oneshot,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// What a room is made of. A room has no network; there is nothing to switch it on.
#[derive(Debug, Clone)]
pub struct RoomSpec {
    /// The directory that commands may read and write; also their home, their temporary
    /// directory and where they start. It must exist and belong to this process's user.
    pub workspace: PathBuf,
    /// Files and directories that commands may read, and execute programs from.
    pub read_roots: Vec<PathBuf>,
    /// Directories that commands may not read although they lie below a root, such as the
    /// server's own data; they must exist. The workspace may lie in one. Those below a root that their
    /// owner has marked as private are closed as well, and those that can be entered and not listed.
    pub closed: Vec<PathBuf>,
    /// Bounds of one command.
    pub limits: Limits,
}

/// Bounds of one command. Values above what this process may set are lowered to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time from start to kill.
    pub wall: Duration,
    /// Processor time of each process, in whole seconds rounded up; then it is killed.
    pub cpu: Duration,
    /// Address space of each process, in bytes. Programs that reserve much more than they use
    /// (Go, Java, sanitizers) need it large.
    pub memory_bytes: u64,
    /// Processes and threads alive at once, the command included.
    pub processes: u32,
    /// Open descriptors of each process.
    pub open_files: u32,
    /// Size of each written file, in bytes; writing beyond it is an error or a signal.
    pub file_bytes: u64,
    /// What is kept of each of the two output streams, in bytes; the rest is counted.
    pub output_bytes: usize,
}

impl Default for Limits {
    /// One command of an ordinary step: a minute, 2 GiB, 128 processes, 1 MiB of output.
    fn default() -> Self {
        Limits {
            wall: Duration::from_secs(60),
            cpu: Duration::from_secs(60),
            memory_bytes: 2 << 30,
            processes: 128,
            open_files: 512,
            file_bytes: 1 << 30,
            output_bytes: 1 << 20,
        }
    }
}

/// A locked room, ready for commands. They may run at the same time; what one writes to the
/// workspace the others see.
#[derive(Debug)]
pub struct Room {
    workspace: PathBuf,
    workspace_c: CString,
    executable: Vec<PathBuf>,
    limits: Limits,
    namespaces: bool,
    ruleset: Arc<OwnedFd>,
    filters: Arc<Vec<BpfProgram>>,
}

impl Room {
    /// Checks and opens what the spec grants. Blocks for as long as it takes to look into all folders below the
    /// roots, or until `stop` says so.
    ///
    /// Refuses with [`RoomError::Lacking`] where the kernel cannot lock a room.
    pub fn open(spec: &RoomSpec, kernel: &Kernel, stop: &dyn Fn() -> bool) -> Result<Room, RoomError> {
        kernel.can_lock().map_err(RoomError::Lacking)?;
        let real = |path: &Path| {
            path.canonicalize().map_err(|source| RoomError::Path { path: path.to_owned(), source })
        };
        let workspace = real(&spec.workspace)?;
        if !workspace.is_dir() {
            return Err(RoomError::Path { path: workspace, source: io::ErrorKind::NotADirectory.into() });
        }
        let read_roots = spec.read_roots.iter().map(|p| real(p)).collect::<Result<Vec<_>, _>>()?;
        let mut closed = spec.closed.iter().map(|p| real(p)).collect::<Result<Vec<_>, _>>()?;
        let known: Vec<PathBuf> = closed.iter().cloned().chain(view::system()).collect();
        closed.extend(private::below(&read_roots, &known, stop)?);
        let (abi, namespaces) = (kernel.landlock_abi(), kernel.has_namespaces());
        let filters = filter::programs(setup::duties(namespaces, abi))
            .map_err(|_| RoomError::Setup(SetupFailure { stage: Stage::Filter, errno: libc::ENOSYS }))?;
        Ok(Room {
            workspace_c: setup::c_string(workspace.as_os_str())?,
            executable: view::executable_roots(&workspace, &read_roots),
            limits: spec.limits,
            namespaces,
            ruleset: Arc::new(view::ruleset(abi, &workspace, &read_roots, &closed)?),
            filters: Arc::new(filters),
            workspace,
        })
    }

    /// Runs a command to its end, its timeout or its cancellation. When this returns, and when
    /// the future is dropped, every process of the command is killed.
    ///
    /// `argv` is the program, by name or path, and its arguments; no shell looks at them.
    /// `stdin` is what the command may read; without it there is nothing to read.
    ///
    /// Must be called within a Tokio runtime with I/O and time enabled.
    pub async fn run<A: AsRef<OsStr>>(
        &self,
        argv: &[A],
        stdin: Option<Vec<u8>>,
        cancel: &CancellationToken,
    ) -> Result<Ended, RoomError> {
        let started = Instant::now();
        let name = argv.first().ok_or(RoomError::BadCommand)?.as_ref();
        let program = program::resolve(name, &self.workspace, &self.executable)?;
        let command = Command::new(&program, argv, &program::environment(&self.workspace))?;
        let Channels { child: ends, gate, report, stdin: to_stdin, stdout, stderr } =
            channels(stdin.as_ref()).map_err(RoomError::Exhausted)?;
        let setup = Setup {
            purpose: Purpose::Execute(command),
            workspace: self.workspace_c.clone(),
            namespaces: self.namespaces,
            pid_max: kernel::pid_max(self.limits.processes),
            limits: setup::resource_limits(&self.limits),
            ruleset: Arc::clone(&self.ruleset),
            filters: Arc::clone(&self.filters),
            ends,
        };
        let (answer, tree) = oneshot::channel();
        keeper::order(setup, gate, move |started| drop(answer.send(started)))?;
        let gone = |_| RoomError::Exhausted(io::ErrorKind::BrokenPipe.into());
        let mut tree = tree.await.map_err(gone)??;

        let (report, ending) = {
            let receiver = |fd| pipe::Receiver::from_owned_fd(fd).map_err(RoomError::Exhausted);
            let cap = self.limits.output_bytes;
            let ended = tree.watch().map_err(RoomError::Exhausted)?;
            let mut everything = pin!(gather(Streams {
                stdin: to_stdin.zip(stdin),
                stdout: receiver(stdout)?,
                stderr: receiver(stderr)?,
                report: receiver(report)?,
                cap,
                ended,
            }));
            tokio::select! {
                gathered = &mut everything => (gathered, None),
                () = cancel.cancelled() => {
                    tree.kill();
                    (everything.await, Some(Ending::Cancelled))
                }
                () = tokio::time::sleep_until(started + self.limits.wall) => {
                    tree.kill();
                    (everything.await, Some(Ending::TimedOut))
                }
            }
        };
        tree.reap();
        let Gathered { stdout, stderr, report } = report.map_err(RoomError::Exhausted)?;
        let ending = match (first_report(&report), ending) {
            (First::Failed(failure), _) => return Err(refusal(failure, program)),
            (_, Some(killed)) => killed,
            (First::Ended(ending), None) => ending,
            // Somebody outside killed the first process, and the kernel the rest.
            (First::Nothing, None) => Ending::Signalled(libc::SIGKILL),
        };
        Ok(Ended { ending, stdout, stderr, took: started.elapsed() })
    }
}

fn refusal(failure: SetupFailure, program: PathBuf) -> RoomError {
    match (failure.stage, failure.errno) {
        // The file was there a moment ago: its interpreter is missing.
        (Stage::Execute, libc::ENOENT) => {
            RoomError::ProgramNotFound { name: program.to_string_lossy().into_owned() }
        }
        (Stage::Execute, libc::EACCES | libc::ENOEXEC | libc::EPERM) => {
            RoomError::ProgramNotAllowed { path: program }
        }
        (Stage::Fork, libc::EAGAIN | libc::ENOMEM) => {
            RoomError::Exhausted(io::Error::from_raw_os_error(failure.errno))
        }
        _ => RoomError::Setup(failure),
    }
}

/// The first thing a room had to say, which is what counts.
pub(crate) enum First {
    Ended(Ending),
    Failed(SetupFailure),
    Nothing,
}

pub(crate) fn first_report(bytes: &[u8]) -> First {
    let Some(&[a, b, c, d, e, f, g, h]) = bytes.first_chunk::<{ size_of::<child::Report>() }>() else {
        return First::Nothing;
    };
    let (kind, value) = (u32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h]));
    match Stage::from_number(kind) {
        Some(stage) => First::Failed(SetupFailure { stage, errno: value }),
        None if libc::WIFSIGNALED(value) => First::Ended(Ending::Signalled(libc::WTERMSIG(value))),
        None => First::Ended(Ending::Exited(libc::WEXITSTATUS(value))),
    }
}

/// Both ends of everything between this process and a room.
pub(crate) struct Channels {
    pub(crate) child: Ends,
    pub(crate) gate: OwnedFd,
    pub(crate) report: OwnedFd,
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

pub(crate) fn channels(stdin: Option<&Vec<u8>>) -> io::Result<Channels> {
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let above_standard = |fd: OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 3);
    let (stdin_read, stdin) = match stdin {
        Some(_) => pipe().map(|(read, write)| (read, Some(write)))?,
        None => (fs::File::open("/dev/null")?.into(), None),
    };
    let (stdout, stdout_write) = pipe()?;
    let (stderr, stderr_write) = pipe()?;
    let (report, report_write) = pipe()?;
    let (gate_read, gate) = pipe()?;
    let child = Ends {
        stdin: above_standard(stdin_read)?,
        stdout: above_standard(stdout_write)?,
        stderr: above_standard(stderr_write)?,
        report: above_standard(report_write)?,
        gate: above_standard(gate_read)?,
    };
    Ok(Channels { child, gate, report, stdin, stdout, stderr })
}

struct Streams {
    stdin: Option<(OwnedFd, Vec<u8>)>,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    report: pipe::Receiver,
    cap: usize,
    ended: AsyncFd<OwnedFd>,
}

struct Gathered {
    stdout: Output,
    stderr: Output,
    report: Vec<u8>,
}

/// Feeds and reads the room until its first process has ended and its streams are closed.
async fn gather(streams: Streams) -> io::Result<Gathered> {
    let Streams { stdin, stdout, stderr, mut report, cap, ended } = streams;
    let mut reports = Vec::new();
    let ((), stdout, stderr, _, _) = tokio::try_join!(
        feed(stdin),
        read(stdout, cap),
        read(stderr, cap),
        report.read_to_end(&mut reports),
        ended.readable()
    )?;
    Ok(Gathered { stdout, stderr, report: reports })
}

async fn feed(stdin: Option<(OwnedFd, Vec<u8>)>) -> io::Result<()> {
    let Some((fd, bytes)) = stdin else { return Ok(()) };
    match pipe::Sender::from_owned_fd(fd)?.write_all(&bytes).await {
        // A command need not read what it is given.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Reads to the end and keeps the first `cap` bytes: a writer is never blocked, memory is flat.
async fn read(mut from: pipe::Receiver, cap: usize) -> io::Result<Output> {
    let mut output = Output::default();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(output);
        }
        output.total += read as u64;
        let kept = read.min(cap - output.bytes.len());
        output.bytes.extend_from_slice(&buffer[..kept]);
    }
}
