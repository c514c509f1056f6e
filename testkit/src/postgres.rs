//! PostgreSQL from Debian's package `postgresql-15`: a primary, and standbys that follow it.
//!
//! A server runs below a shell that waits for the test's process: when the test ends, however it ends,
//! the pipe between them closes, and the shell stops the server and removes its folder.

use crate::{certificates::Signed, free_port, poll_until};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{self, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

/// Where Debian puts the programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const READY_WITHIN: Duration = Duration::from_secs(20);
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Starts the server in the background, and ends it when standard input does.
const KEEPER: &str = r#"
"$@" >>"$LOG" 2>&1 &
server=$!
echo $server >"$PIDFILE"
word=
read -r word
kill -QUIT $server 2>/dev/null
wait $server 2>/dev/null
[ "$word" = keep ] || rm -rf "$HOME"
"#;

/// Told to a keeper that is to leave the folder alone.
const KEEP: &[u8] = b"keep\n";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Install it.
    #[error(
        "{PROGRAMS}/{0} is not there; install it: apt-get install -y --no-install-recommends postgresql-15"
    )]
    NotInstalled(&'static str),
    /// The machine refuses.
    #[error("the server cannot be set up")]
    Io(#[from] io::Error),
    /// One of PostgreSQL's programs failed.
    #[error("{program} failed: {said}")]
    Failed {
        /// Which.
        program: String,
        /// What it said.
        said: String,
    },
    /// It was started and does not answer.
    #[error("the server does not answer within {READY_WITHIN:?}; its log ends with:\n{0}")]
    NotReady(String),
}

/// Whom the server runs as: root may not.
#[derive(Clone, Copy, Debug)]
struct Account {
    uid: u32,
    gid: u32,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    port: u16,
    account: Option<Account>,
    keeper: Option<Child>,
}

impl Server {
    /// A new, empty primary. `settings` are lines of `postgresql.conf`, on top of those that make tests
    /// fast; without `fsync = on` it does not wait for the disk.
    ///
    /// # Errors
    /// When it is not installed, or does not start within a bound.
    pub fn start(settings: &[&str]) -> Result<Self, StartError> {
        Self::start_with(settings, &[])
    }

    /// The same, which also takes encrypted connections over TCP, with this certificate.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_encrypted(shown: &Signed) -> Result<Self, StartError> {
        let files = [("server.crt", shown.certificate.as_str()), ("server.key", shown.key.as_str())];
        Self::start_with(&["ssl = on"], &files)
    }

    /// With files in its data folder that only its account reads.
    fn start_with(settings: &[&str], files: &[(&str, &str)]) -> Result<Self, StartError> {
        let (folder, account) = home()?;
        let data = folder.path().join("data");
        let mut initdb = program("initdb", account)?;
        initdb
            .args(["--no-sync", "--auth=trust", "--username=octo", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data);
        checked(&mut initdb)?;
        let port = free_port()?;
        let lines = [
            "listen_addresses = '127.0.0.1'",
            "fsync = off",
            "shared_buffers = 64MB",
            "max_connections = 200",
            "max_wal_senders = 10",
            "wal_level = replica",
            "hot_standby = on",
        ];
        let socket = format!("unix_socket_directories = '{}'", folder.path().display());
        let lines = lines.iter().copied().chain([socket.as_str()]).chain(settings.iter().copied());
        append(&data.join("postgresql.conf"), &lines.collect::<Vec<_>>().join("\n"))?;
        // Whoever is on a network of this machine, where `listen_addresses` lets them.
        let known = "host replication all 127.0.0.1/32 trust\nhost all all samenet trust";
        append(&data.join("pg_hba.conf"), known)?;
        for (name, text) in files {
            let path = data.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            if let Some(Account { uid, gid }) = account {
                chown(&path, Some(uid), Some(gid))?;
            }
        }
        let mut server = Server { folder, port, account, keeper: None };
        server.run()?;
        Ok(server)
    }

    /// A standby of this server that follows it through a replication slot called `slot`, which is also
    /// the name under which the primary knows it.
    ///
    /// # Errors
    /// When the copy fails or the standby does not start within a bound.
    pub fn standby(&self, slot: &str) -> Result<Self, StartError> {
        let (folder, account) = home()?;
        let data = folder.path().join("data");
        let mut copy = program("pg_basebackup", account)?;
        copy.args(["--checkpoint=fast", "--no-sync", "-R", "-C", "-S", slot, "-X", "stream", "-D"])
            .arg(&data)
            .arg(format!("--dbname=host=127.0.0.1 port={} user=octo application_name={slot}", self.port));
        checked(&mut copy)?;
        let socket = format!("unix_socket_directories = '{}'", folder.path().display());
        append(&data.join("postgresql.conf"), &socket)?;
        let port = free_port()?;
        let mut standby = Server { folder, port, account, keeper: None };
        standby.run()?;
        Ok(standby)
    }

    /// Starts the server again after [`Server::kill`] or [`Server::stop`], on the same port.
    ///
    /// # Errors
    /// When it does not start within a bound.
    pub fn run(&mut self) -> Result<(), StartError> {
        let data = self.data();
        // A server that was killed leaves this; its process is known to be gone.
        let _absent_at_first = fs::remove_file(data.join("postmaster.pid"));
        let server = Path::new(PROGRAMS).join("postgres");
        let (port, log) = (self.port.to_string(), self.log());
        // A killed server's children let go of its memory a moment later.
        let mut said = String::new();
        let started = poll_until(READY_WITHIN, || {
            let _new = fs::remove_file(self.pid_file());
            let mut keeper = as_account(Command::new("/bin/sh"), self.account);
            keeper
                .args(["-c", KEEPER, "keeper"])
                .arg(&server)
                .arg("-D")
                .arg(&data)
                .args(["-p", port.as_str()])
                .env("LOG", &log)
                .env("PIDFILE", self.pid_file())
                .env("HOME", self.folder.path())
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            match keeper.spawn() {
                Ok(child) => self.keeper = Some(child),
                Err(error) => {
                    said = error.to_string();
                    return false;
                }
            }
            if poll_until(READY_WITHIN, || self.answers() || self.is_gone()) && !self.is_gone() {
                return true;
            }
            self.end_keeper();
            false
        });
        if started {
            return Ok(());
        }
        let log = fs::read_to_string(&log).unwrap_or(said);
        let from = log.len().saturating_sub(2000);
        Err(StartError::NotReady(log.get(from..).unwrap_or(&log).to_owned()))
    }

    /// The port that it listens on, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database of this server, over its socket.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgresql://octo@{folder}:{}/{database}", self.port)
    }

    /// The URL of a database of this server, over TCP.
    #[must_use]
    pub fn tcp_url(&self, database: &str) -> String {
        format!("postgresql://octo@127.0.0.1:{}/{database}", self.port)
    }

    /// A new, empty database; its name.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn database(&self) -> Result<String, StartError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} STRATEGY wal_log"))?;
        Ok(name)
    }

    /// Runs `sql` with `psql`; what it answers, unaligned, without headers.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String, StartError> {
        let mut psql = program("psql", self.account)?;
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "octo", "-d", database, "-c", sql])
            .args(["-p", self.port.to_string().as_str(), "-h"])
            .arg(self.folder.path());
        Ok(String::from_utf8_lossy(&checked(&mut psql)?.stdout).trim().to_owned())
    }

    /// Kills the server at once, as a failing machine would; returns when it is gone.
    pub fn kill(&mut self) {
        if let Some(pid) = self.pid() {
            // It may be gone already.
            let _gone = kill_process(pid, Signal::KILL);
        }
        poll_until(GONE_WITHIN, || self.is_gone());
        self.end_keeper();
    }

    /// Stops the server as an operator would: sessions are ended, the disk is written.
    pub fn stop(&mut self) {
        if let Some(pid) = self.pid() {
            let _gone = kill_process(pid, Signal::INT);
        }
        poll_until(GONE_WITHIN, || self.is_gone());
        self.end_keeper();
    }

    /// A new, empty database on a disk of its own of so many megabytes; `None` where this process may not
    /// mount one.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn on_a_small_disk(&self, megabytes: u32) -> Result<Option<SmallDisk>, StartError> {
        let name = format!("small_{}", std::process::id());
        let folder = self.folder.path().join(&name);
        fs::create_dir(&folder)?;
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        if !mount.is_ok_and(|mount| mount.status.success()) {
            return Ok(None);
        }
        let disk = SmallDisk { folder, database: name };
        if let Some(Account { uid, gid }) = self.account {
            chown(&disk.folder, Some(uid), Some(gid))?;
        }
        let name = &disk.database;
        self.sql("postgres", &format!("CREATE TABLESPACE {name} LOCATION '{}'", disk.folder.display()))?;
        self.sql("postgres", &format!("CREATE DATABASE {name} TABLESPACE {name} STRATEGY wal_log"))?;
        Ok(Some(disk))
    }

    /// Stops a standby from hearing its primary, as a stalled machine would. What it has not read by then it
    /// never will.
    ///
    /// # Errors
    /// When it does not follow anybody.
    pub fn stop_hearing(&self) -> Result<Deaf, StartError> {
        let pid = self.sql("postgres", "SELECT pid FROM pg_stat_wal_receiver")?;
        let pid = pid.parse().ok().and_then(Pid::from_raw).ok_or(StartError::NotReady(pid))?;
        kill_process(pid, Signal::STOP).map_err(io::Error::from)?;
        Ok(Deaf(pid))
    }

    /// Stops all of its processes where they are: it still takes connections, and answers nobody. They go on when
    /// what is returned is dropped.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<Frozen, StartError> {
        let first = self.pid().ok_or(StartError::NotReady("it does not run".into()))?;
        kill_process(first, Signal::STOP).map_err(io::Error::from)?;
        let mut frozen = Frozen(vec![first]);
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
            if let (Some(pid), true) = (Pid::from_raw(pid), parent == Some(first.as_raw_nonzero().get())) {
                let _ended_meanwhile = kill_process(pid, Signal::STOP);
                frozen.0.push(pid);
            }
        }
        Ok(frozen)
    }

    /// Makes a standby the primary; returns when it can be written to.
    ///
    /// # Errors
    /// When it refuses.
    pub fn promote(&self) -> Result<(), StartError> {
        self.sql("postgres", "SELECT pg_promote(true, 20)").map(|_| ())
    }

    /// The end of its log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The first of its processes, while it runs; the others are its children.
    pub fn pid(&self) -> Option<Pid> {
        Pid::from_raw(fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.path().join("pid")
    }

    fn is_gone(&self) -> bool {
        // A process that ended and was not waited for still has its entry: its keeper waits for input.
        let Some(pid) = self.pid() else { return false };
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        state.map_or(true, |state| {
            state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
        })
    }

    fn answers(&self) -> bool {
        self.sql("postgres", "SELECT 1").is_ok()
    }

    fn end_keeper(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            if let Some(mut input) = keeper.stdin.take() {
                // It may have ended already.
                let _told = input.write_all(KEEP);
            }
            let _status = keeper.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end_keeper();
    }
}

/// A standby that does not hear its primary, for as long as this lives.
#[derive(Debug)]
pub struct Deaf(Pid);

impl Drop for Deaf {
    fn drop(&mut self) {
        // It meets its end before it could read on; the server then looks for its primary again.
        let _gone = kill_process(self.0, Signal::TERM).and_then(|()| kill_process(self.0, Signal::CONT));
    }
}

/// A server whose processes stand still, for as long as this lives.
pub struct Frozen(Vec<Pid>);

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _gone = kill_process(*pid, Signal::CONT);
        }
    }
}

/// A database on a disk of its own, for as long as this lives. The server must not be asked for it after.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
    /// The database.
    pub database: String,
}

impl SmallDisk {
    /// Fills the disk to the last byte; the file that does.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn fill(&self) -> io::Result<PathBuf> {
        let path = self.folder.join("filler");
        let mut file = fs::File::create(&path)?;
        while file.write_all(&[0; 4096]).is_ok() {}
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server may still have files open there.
        let _best_effort = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

/// The server that all tests of this process share. It is made at the first call and ends with the
/// process.
///
/// # Panics
/// When there is none to be had: the tests that call this cannot do without.
#[must_use]
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| match Server::start(&[]) {
        Ok(server) => server,
        Err(error) => panic!("{error}"),
    })
}

/// A folder that the server's account owns.
fn home() -> Result<(TempDir, Option<Account>), StartError> {
    let folder = TempDir::with_prefix("octollm-postgres-")?;
    let account = account()?;
    if let Some(Account { uid, gid }) = account {
        chown(folder.path(), Some(uid), Some(gid))?;
    }
    Ok((folder, account))
}

/// Root runs it as `postgres`, or else as `nobody`.
fn account() -> io::Result<Option<Account>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")?;
    let of = |name: &str| {
        let mut fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = fields.find(|fields| fields.first() == Some(&name))?;
        Some(Account { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    };
    Ok(of("postgres").or_else(|| of("nobody")))
}

fn program(name: &'static str, account: Option<Account>) -> Result<Command, StartError> {
    let path = Path::new(PROGRAMS).join(name);
    if !path.exists() {
        return Err(StartError::NotInstalled(name));
    }
    let mut command = as_account(Command::new(path), account);
    command.current_dir("/").stdin(Stdio::null());
    Ok(command)
}

fn as_account(mut command: Command, account: Option<Account>) -> Command {
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    command.env("LC_ALL", "C");
    command
}

fn checked(command: &mut Command) -> Result<Output, StartError> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(StartError::Failed {
        program: command.get_program().to_string_lossy().into_owned(),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn append(file: &Path, text: &str) -> io::Result<()> {
    let mut all = fs::read_to_string(file)?;
    all.push('\n');
    all.push_str(text);
    all.push('\n');
    fs::write(file, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_follows_is_promoted_and_nothing_stays_behind() {
        let mut primary = Server::start(&[]).unwrap();
        let standby = primary.standby("one").unwrap();
        primary.sql("postgres", "CREATE TABLE t AS SELECT 7 AS n").unwrap();
        let arrived = || standby.sql("postgres", "SELECT n FROM t").is_ok_and(|n| n == "7");
        assert!(poll_until(READY_WITHIN, arrived));
        assert!(standby.sql("postgres", "DELETE FROM t").is_err());
        primary.kill();
        standby.promote().unwrap();
        standby.sql("postgres", "DELETE FROM t").unwrap();
        primary.run().unwrap();
        assert_eq!(primary.sql("postgres", "SELECT n FROM t").unwrap(), "7");
        let (folder, pid) = (primary.folder.path().to_owned(), primary.pid().unwrap());
        drop(primary);
        assert!(!folder.exists());
        assert!(!Path::new(&format!("/proc/{}", pid.as_raw_nonzero())).exists());
    }
}
