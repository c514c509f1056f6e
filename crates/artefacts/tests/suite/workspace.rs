//! Workspaces: what is made from a manifest is gathered as the same manifest, and a hostile
//! directory gives nothing but its own files (P6).

use async_trait::async_trait;
use bytes::Bytes;
use octollm_artefacts::{
    Artefacts, Bounds, CollectError, Collected, Entry, GetError, Manifest, MaterialiseError, Shelf,
    ShelfError, Skipped, Why, collect, materialise,
};
use octollm_contract::ContentHash;
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

struct Here {
    folder: tempfile::TempDir,
    shelf: Artefacts,
}

impl Here {
    fn new() -> Here {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("workspace")).unwrap();
        let shelf = Artefacts::over(Arc::new(object_store::memory::InMemory::new()), 1 << 20);
        Here { folder, shelf }
    }

    fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.workspace().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    async fn collect(&self, bounds: Bounds) -> Result<Collected, CollectError<ShelfError>> {
        let (workspace, empty) = (self.workspace(), Manifest::default());
        let collecting = collect(&workspace, &empty, bounds, &self.shelf);
        tokio::time::timeout(Duration::from_secs(60), collecting).await.expect("it never waits for a file")
    }
}

fn paths(manifest: &Manifest) -> Vec<&str> {
    manifest.files().map(|(path, _)| path.as_str()).collect()
}

#[tokio::test]
async fn a_workspace_comes_back_as_it_was() {
    let here = Here::new();
    here.write("notes.txt", "notes");
    here.write("src/deep/er/main.rs", "fn main() {}");
    here.write("src/.hidden", "");
    let tool = here.write("bin/tool", "#!/bin/sh");
    fs::set_permissions(tool, fs::Permissions::from_mode(0o755)).unwrap();

    let first = here.collect(Bounds::default()).await.unwrap();
    assert_eq!(paths(&first.manifest), ["bin/tool", "notes.txt", "src/.hidden", "src/deep/er/main.rs"]);
    assert_eq!(first.skipped, []);

    let copy = tempfile::tempdir().unwrap();
    materialise(&first.manifest, copy.path(), &here.shelf).await.unwrap();
    assert_eq!(fs::read_to_string(copy.path().join("src/deep/er/main.rs")).unwrap(), "fn main() {}");
    let modes = ["bin/tool", "notes.txt"]
        .map(|p| copy.path().join(p).metadata().unwrap().permissions().mode() & 0o777);
    assert_eq!(modes, [0o700, 0o600]);
    let again = collect(copy.path(), &first.manifest, Bounds::default(), &here.shelf).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(again.manifest.hash(), first.manifest.hash());
}

#[tokio::test]
async fn a_hostile_workspace_gives_only_its_own_files_and_says_what_it_left_out() {
    let here = Here::new();
    let root = here.workspace();
    let outside = here.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    here.write("own", "own");
    symlink("/etc/passwd", root.join("passwd")).unwrap();
    symlink(&outside, root.join("directory")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("own", root.join("inward")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    here.write("line\nbreak", "");
    here.write(".octollm-private", "");
    fs::create_dir(root.join("octollm-output")).unwrap();
    here.write("octollm-output/1-run.txt", "not what the step said");
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"not-utf8-\xff")), "").unwrap();
    let deep = (0..70).fold(root.join("deep"), |path, _| path.join("d"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f"), "too deep").unwrap();

    let collected = here.collect(Bounds::default()).await.unwrap();
    assert_eq!(paths(&collected.manifest), ["own"]);
    let mut left: Vec<_> =
        collected.skipped.iter().map(|Skipped { path, why }| (path.as_str(), *why)).collect();
    let too_deep = left.iter().position(|(path, _)| path.starts_with("deep/")).unwrap();
    assert_eq!(left.remove(too_deep).1, Why::Name);
    let expected = [
        (".octollm-private", Why::Mark),
        ("directory", Why::Link),
        ("fifo", Why::Special),
        ("inward", Why::Link),
        ("line\nbreak", Why::Name),
        ("loop", Why::Link),
        ("not-utf8-\u{fffd}", Why::Name),
        ("octollm-output", Why::Outputs),
        ("passwd", Why::Link),
        ("socket", Why::Special),
        ("up", Why::Link),
    ];
    assert_eq!(left, expected);
    let secret = here.shelf.get(ContentHash::of(b"secret")).await;
    assert!(matches!(secret, Err(GetError::NotFound(_))));
}

#[tokio::test]
async fn the_workspace_itself_is_not_a_link() {
    let here = Here::new();
    let link = here.folder.path().join("link");
    symlink(here.workspace(), &link).unwrap();
    let refused = collect(&link, &Manifest::default(), Bounds::default(), &here.shelf).await;
    assert!(matches!(refused, Err(CollectError::Read { path, .. }) if path == link));
}

#[tokio::test]
async fn names_are_bounded_whatever_they_are() {
    let bounds = Bounds { entries: 100, ..Bounds::default() };
    for make in [
        |path: &Path| fs::write(path, "").unwrap(),
        |path: &Path| fs::create_dir(path).unwrap(),
        |path: &Path| symlink("x", path).unwrap(),
    ] {
        let here = Here::new();
        for n in 0..100 {
            make(&here.workspace().join(n.to_string()));
        }
        here.collect(bounds).await.expect("as many as the bound");
        make(&here.workspace().join("one-more"));
        assert!(matches!(here.collect(bounds).await, Err(CollectError::TooMany { limit: 100 })));
    }
}

#[tokio::test]
async fn bytes_are_bounded_by_file_and_in_all() {
    let here = Here::new();
    let bounds = Bounds { file_bytes: 10, total_bytes: 15, ..Bounds::default() };
    here.write("a", "0123456789");
    here.write("b", "01234");
    here.collect(bounds).await.expect("exactly the bounds");
    here.write("c", "0");
    assert!(matches!(here.collect(bounds).await, Err(CollectError::TooLarge { limit: 15 })));
    let here = Here::new();
    here.write("a", "0123456789-");
    let refused = here.collect(bounds).await;
    assert!(matches!(refused, Err(CollectError::FileTooLarge { path, limit: 10 }) if path.as_str() == "a"));
    // A hole of a terabyte costs no more than the bound.
    let here = Here::new();
    fs::File::create(here.workspace().join("hole")).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(here.collect(bounds).await, Err(CollectError::FileTooLarge { .. })));
}

/// Counts puts, and fails or lies when told to.
struct Odd {
    inner: Artefacts,
    puts: AtomicUsize,
    fails: bool,
    lies: bool,
}

#[async_trait]
impl Shelf for Odd {
    type Error = io::Error;

    async fn put(&self, bytes: Bytes) -> io::Result<ContentHash> {
        self.puts.fetch_add(1, Ordering::Relaxed);
        if self.fails {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.put(bytes).await.map_err(io::Error::other)
    }

    async fn get(&self, hash: ContentHash) -> io::Result<Bytes> {
        if self.fails {
            return Err(io::ErrorKind::NotFound.into());
        }
        let bytes = self.inner.get(hash).await.map_err(io::Error::other)?;
        Ok(if self.lies { bytes.iter().rev().copied().collect() } else { bytes })
    }
}

fn odd(here: &Here, fails: bool, lies: bool) -> Odd {
    Odd { inner: here.shelf.clone(), puts: AtomicUsize::new(0), fails, lies }
}

#[tokio::test]
async fn only_what_is_new_is_stored() {
    let here = Here::new();
    here.write("old", "old");
    let before = here.collect(Bounds::default()).await.unwrap().manifest;
    here.write("new", "new");
    here.write("moved", "old");
    let shelf = odd(&here, false, false);
    let after = collect(&here.workspace(), &before, Bounds::default(), &shelf).await.unwrap().manifest;
    assert_eq!(paths(&after), ["moved", "new", "old"]);
    assert_eq!(shelf.puts.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_shelf_that_fails_or_lies_is_an_error_that_names_the_file() {
    let here = Here::new();
    here.write("file", "bytes");
    let refused =
        collect(&here.workspace(), &Manifest::default(), Bounds::default(), &odd(&here, true, false)).await;
    assert!(matches!(refused, Err(CollectError::Store { path, .. }) if path.as_str() == "file"));

    let manifest = here.collect(Bounds::default()).await.unwrap().manifest;
    let copy = tempfile::tempdir().unwrap();
    let refused = materialise(&manifest, copy.path(), &odd(&here, true, false)).await;
    assert!(matches!(refused, Err(MaterialiseError::Fetch { path, .. }) if path.as_str() == "file"));
    let refused = materialise(&manifest, copy.path(), &odd(&here, false, true)).await;
    assert!(matches!(refused, Err(MaterialiseError::Corrupt { path }) if path.as_str() == "file"));
    assert_eq!(fs::read_dir(copy.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_length_that_the_bytes_do_not_have_is_corrupt() {
    let here = Here::new();
    let sha256 = here.shelf.put(Bytes::from_static(b"abc")).await.unwrap();
    let entry = Entry { sha256, bytes: 2, executable: false };
    let manifest = Manifest::new(BTreeMap::from([("f".parse().unwrap(), entry)])).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let refused = materialise(&manifest, copy.path(), &here.shelf).await;
    assert!(matches!(refused, Err(MaterialiseError::Corrupt { .. })));
}

#[tokio::test]
async fn only_an_empty_directory_is_filled() {
    let here = Here::new();
    here.write("f", "bytes");
    let manifest = here.collect(Bounds::default()).await.unwrap().manifest;
    let refused = materialise(&manifest, &here.workspace(), &here.shelf).await;
    assert!(matches!(refused, Err(MaterialiseError::NotEmpty(path)) if path == here.workspace()));
    let missing = here.folder.path().join("missing");
    assert!(matches!(
        materialise(&manifest, &missing, &here.shelf).await,
        Err(MaterialiseError::Write { .. })
    ));
}
