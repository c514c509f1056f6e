//! Reading what a command line names: one file, standard input, or a folder with all below it.
//!
//! Promises: no file above [`MAX_BYTES`] is read into memory and no more than [`MAX_FILES`] files are;
//! a symbolic link that leads back up is not followed twice; files come in the order of the arguments
//! and, within a folder, of their names, so that two runs print the same. It knows no manifests.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes. Manifests of a thousand objects have about one MiB.
pub const MAX_BYTES: u64 = 64 << 20;

/// The most files that one command reads; beyond it a path was named by mistake.
pub const MAX_FILES: usize = 100_000;

/// The path that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// Why something could not be read. Each names the path as the user did.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error("{path}: {}", in_words(.source))]
    System {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Above [`MAX_BYTES`].
    #[error("{path}: longer than 64 MiB; split the file")]
    TooLong {
        /// The file.
        path: String,
    },
    /// Not text.
    #[error("{path}: not UTF-8 at byte {at}; save the file as UTF-8")]
    NotUtf8 {
        /// The file.
        path: String,
        /// Offset of the first byte that does not fit.
        at: usize,
    },
    /// A folder where one file is wanted.
    #[error("{path}: a folder; name a file")]
    Folder {
        /// The folder.
        path: String,
    },
    /// A pipe, socket or device inside a folder: reading it might never end.
    #[error("{path}: no regular file; name it by itself if it is meant")]
    Special {
        /// What it is.
        path: String,
    },
    /// A folder with nothing to read in it.
    #[error("{path}: no .yaml, .yml or .json file in this folder")]
    Empty {
        /// The folder.
        path: String,
    },
    /// More than [`MAX_FILES`].
    #[error("{path}: more than 100000 files; name a smaller folder")]
    TooMany {
        /// The path as named on the command line.
        path: String,
    },
}

/// What the system said, without the error number that Rust adds.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => match error.to_string().split_once(" (os error") {
            Some((words, _)) => words.to_owned(),
            None => error.to_string(),
        },
    }
}

fn system(path: &str) -> impl FnOnce(io::Error) -> ReadError + '_ {
    move |source| ReadError::System { path: path.to_owned(), source }
}

/// The bytes of one file, or of `input` when the path is `-`.
///
/// # Errors
/// It cannot be opened or read, is a folder, or is too long.
pub fn read_bytes(path: &str, input: &mut dyn Read) -> Result<Vec<u8>, ReadError> {
    if path == STANDARD_INPUT {
        return bounded(path, input);
    }
    let mut file = File::open(path).map_err(system(path))?;
    let about = file.metadata().map_err(system(path))?;
    if about.is_dir() {
        return Err(ReadError::Folder { path: path.to_owned() });
    }
    if about.is_file() && about.len() > MAX_BYTES {
        return Err(ReadError::TooLong { path: path.to_owned() });
    }
    bounded(path, &mut file)
}

/// A file may grow while it is read, and a pipe has no length: the bound is on what comes out.
fn bounded(path: &str, from: &mut dyn Read) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(system(path))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ReadError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

/// The text of one file, or of `input` when the path is `-`.
///
/// # Errors
/// As [`read_bytes`], and when it is not UTF-8.
pub fn read_text(path: &str, input: &mut dyn Read) -> Result<String, ReadError> {
    String::from_utf8(read_bytes(path, input)?)
        .map_err(|error| ReadError::NotUtf8 { path: path.to_owned(), at: error.utf8_error().valid_up_to() })
}

/// The files that `path` stands for: itself, or every YAML and JSON file below a folder, sorted.
/// Hidden files and folders are left out, as are links that lead back up.
///
/// # Errors
/// One for each folder that cannot be listed; the files of the others are there.
pub fn files_below(path: &str) -> (Vec<String>, Vec<ReadError>) {
    let mut walk = Walk { named: path, files: Vec::new(), errors: Vec::new(), seen: BTreeSet::new() };
    if path != STANDARD_INPUT && Path::new(path).is_dir() {
        walk.folder(path.trim_end_matches('/'));
        if walk.files.is_empty() && walk.errors.is_empty() {
            walk.errors.push(ReadError::Empty { path: path.to_owned() });
        }
    } else {
        walk.files.push(path.to_owned());
    }
    (walk.files, walk.errors)
}

struct Walk<'a> {
    named: &'a str,
    files: Vec<String>,
    errors: Vec<ReadError>,
    /// Folders that were listed, without links in their paths: each is listed once.
    seen: BTreeSet<PathBuf>,
}

impl Walk<'_> {
    /// `folder` comes without a slash at its end; the root folder is empty.
    fn folder(&mut self, folder: &str) {
        let there = if folder.is_empty() { "/" } else { folder };
        match self.list(there) {
            Ok(Some(names)) => {
                for name in names {
                    self.entry(&format!("{folder}/{name}"), &name);
                }
            }
            Ok(None) => {}
            Err(error) => self.errors.push(error),
        }
    }

    /// The names in a folder, sorted; nothing if it was listed before.
    fn list(&mut self, folder: &str) -> Result<Option<Vec<String>>, ReadError> {
        if !self.seen.insert(fs::canonicalize(folder).map_err(system(folder))?) {
            return Ok(None);
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(system(folder))? {
            let name = entry.map_err(system(folder))?.file_name();
            match name.into_string() {
                Ok(name) if name.starts_with('.') => {}
                Ok(name) => names.push(name),
                Err(name) => {
                    let path = format!("{folder}/{}", name.to_string_lossy());
                    let source = io::Error::new(io::ErrorKind::InvalidInput, "the name is not UTF-8");
                    self.errors.push(ReadError::System { path, source });
                }
            }
        }
        names.sort();
        Ok(Some(names))
    }

    fn entry(&mut self, path: &str, name: &str) {
        let about = fs::metadata(path).ok();
        if about.as_ref().is_some_and(fs::Metadata::is_dir) {
            self.folder(path);
        } else if is_manifest(name) && about.as_ref().is_some_and(|about| !about.is_file()) {
            self.errors.push(ReadError::Special { path: path.to_owned() });
        } else if is_manifest(name) && self.files.len() < MAX_FILES {
            self.files.push(path.to_owned());
        } else if is_manifest(name) && !matches!(self.errors.last(), Some(ReadError::TooMany { .. })) {
            self.errors.push(ReadError::TooMany { path: self.named.to_owned() });
        }
    }
}

/// Whether a file of a folder may hold manifests, by its name.
fn is_manifest(name: &str) -> bool {
    name == "Kustomization" || [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, path: &str, text: &[u8]) -> String {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }

    fn said(result: Result<impl Sized, ReadError>) -> String {
        result.map(|_| ()).expect_err("refused").to_string()
    }

    #[test]
    fn a_folder_gives_its_manifests_in_order_and_nothing_hidden() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["b/z.yml", "b/a.json", "a.yaml", "notes.md", ".git/config.yaml", "b/.x.yaml"] {
            write(folder.path(), path, b"a: 1");
        }
        let root = folder.path().to_str().expect("UTF-8");
        let (files, errors) = files_below(&format!("{root}/"));
        let files: Vec<_> = files.iter().map(|file| file.strip_prefix(root).expect("below")).collect();
        assert_eq!(files, ["/a.yaml", "/b/a.json", "/b/z.yml"]);
        assert!(errors.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_back_up_is_followed_once() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "a/a.yaml", b"a: 1");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/up")).expect("a link");
        std::os::unix::fs::symlink("self.yaml", folder.path().join("self.yaml")).expect("a link");
        let (files, errors) = files_below(folder.path().to_str().expect("UTF-8"));
        assert_eq!(files.len(), 2, "{files:?}");
        assert!(errors.is_empty());
        let said = said(read_bytes(&files[1], &mut io::empty()));
        assert!(said.ends_with("self.yaml: Too many levels of symbolic links"), "{said}");
    }

    #[cfg(unix)]
    #[test]
    fn what_might_never_end_is_not_read_from_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "a.yaml", b"a: 1");
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("b.yaml")).expect("a socket");
        let (files, errors) = files_below(folder.path().to_str().expect("UTF-8"));
        assert_eq!((files.len(), errors.len()), (1, 1));
        let said = errors[0].to_string();
        assert!(said.ends_with("b.yaml: no regular file; name it by itself if it is meant"), "{said}");
    }

    #[test]
    fn what_cannot_be_read_is_named_with_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_str().expect("UTF-8");
        let text = |path: &str| said(read_text(path, &mut io::empty())).replace(root, "ROOT");
        let latin = write(folder.path(), "latin.json", b"{\"a\": \"caf\xe9\"}");
        assert_eq!(text(&format!("{root}/none")), "ROOT/none: no such file or folder");
        assert_eq!(text(root), "ROOT: a folder; name a file");
        assert_eq!(text(&latin), "ROOT/latin.json: not UTF-8 at byte 10; save the file as UTF-8");
        let (files, errors) =
            files_below(&write(folder.path(), "empty/notes.md", b"").replace("/notes.md", ""));
        assert!(files.is_empty());
        assert_eq!(
            errors[0].to_string().replace(root, "ROOT"),
            "ROOT/empty: no .yaml, .yml or .json file in this folder"
        );
    }

    #[test]
    fn a_file_above_the_bound_is_refused_unread_and_a_stream_after_the_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sparse.yaml");
        File::create(&path).and_then(|file| file.set_len(MAX_BYTES + 1)).expect("a sparse file");
        let path = path.to_str().expect("UTF-8");
        assert!(said(read_bytes(path, &mut io::empty())).ends_with("longer than 64 MiB; split the file"));
        assert_eq!(said(read_bytes("-", &mut io::repeat(b' '))), "-: longer than 64 MiB; split the file");
    }
}
