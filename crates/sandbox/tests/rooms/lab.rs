//! A workspace, a granted root and a place outside, and rooms on them.

use octollm_sandbox::{Ended, Kernel, Lacking, Limits, Room, RoomError, RoomSpec};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// When set, a kernel that cannot lock a room fails the tests: a machine that checks changes
/// sets it, because a room that is broken looks like a kernel that lacks something.
const REQUIRED: &str = "OCTOLLM_TEST_ROOMS";

/// Set by `again`: rooms are to do without namespaces.
pub(crate) const BARE: &str = "OCTOLLM_SANDBOX_TEST_BARE";

pub(crate) struct Lab {
    pub(crate) limits: Limits,
    kernel: Kernel,
    folder: tempfile::TempDir,
}

impl Lab {
    /// Nothing where this kernel cannot lock a room; there the promise is to refuse, and that
    /// is checked instead.
    pub(crate) fn new() -> Option<Lab> {
        let probed = *Kernel::probe();
        let kernel = if std::env::var_os(BARE).is_some() { probed.without_namespaces() } else { probed };
        let folder = tempfile::tempdir().expect("a temporary directory");
        let lab = Lab { limits: Limits::default(), kernel, folder };
        for name in ["workspace", "granted", "outside"] {
            std::fs::create_dir(lab.folder.path().join(name)).expect("a directory");
        }
        std::fs::write(lab.granted().join("note"), "granted").expect("a file");
        std::fs::write(lab.outside().join("secret"), "secret").expect("a file");
        if let Err(lacking) = kernel.can_lock() {
            println!("no rooms here: {kernel}");
            let ours = matches!(lacking, Lacking::Room(_));
            assert!(!ours && std::env::var_os(REQUIRED).is_none(), "rooms are expected here: {kernel}");
            assert!(matches!(Room::open(&lab.spec(), &kernel, &|| false), Err(RoomError::Lacking(_))));
            return None;
        }
        Some(lab)
    }

    pub(crate) fn limited(change: impl FnOnce(&mut Limits)) -> Option<Lab> {
        let mut lab = Lab::new()?;
        change(&mut lab.limits);
        Some(lab)
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    pub(crate) fn granted(&self) -> PathBuf {
        self.folder.path().join("granted")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    pub(crate) fn is_bare(&self) -> bool {
        self.kernel.without_namespaces() == self.kernel
    }

    fn spec(&self) -> RoomSpec {
        self.spec_of(self.granted(), vec![])
    }

    fn spec_of(&self, root: PathBuf, closed: Vec<PathBuf>) -> RoomSpec {
        RoomSpec { workspace: self.workspace(), read_roots: vec![root], closed, limits: self.limits }
    }

    /// A room that may read `root`, except what is `closed`.
    pub(crate) fn room_without(&self, root: PathBuf, closed: PathBuf) -> Result<Room, RoomError> {
        Room::open(&self.spec_of(root, vec![closed]), &self.kernel, &|| false)
    }

    /// A room of which nobody wants to hear any more while it is opened.
    pub(crate) fn unwanted_room(&self) -> Result<Room, RoomError> {
        Room::open(&self.spec(), &self.kernel, &|| true)
    }

    pub(crate) fn opened(&self) -> Result<Room, RoomError> {
        Room::open(&self.spec(), &self.kernel, &|| false)
    }

    pub(crate) fn room(&self) -> Room {
        self.opened().expect("a room")
    }

    pub(crate) async fn run(&self, argv: &[&str]) -> Ended {
        self.room().run(argv, None, &CancellationToken::new()).await.expect("the command runs")
    }

    pub(crate) async fn sh(&self, script: &str) -> Ended {
        self.run(&["sh", "-c", script]).await
    }

    pub(crate) async fn perl(&self, script: &str) -> Ended {
        self.run(&["perl", "-e", script]).await
    }
}

/// What a Perl script prints outside any room: shows that it tries what it claims to try.
pub(crate) fn perl_outside(script: &str) -> String {
    let output = std::process::Command::new("perl").args(["-e", script]).output().expect("perl is installed");
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) fn out(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stdout.bytes).trim().to_owned()
}

pub(crate) fn err(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stderr.bytes).trim().to_owned()
}

pub(crate) fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a readable file")
}
