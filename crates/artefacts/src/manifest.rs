//! A workspace as a value: which file has which bytes.

use octollm_contract::ContentHash;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Where a file lies in a workspace: relative, `/` between names, UTF-8.
///
/// No name is empty, `.` or `..`, longer than 255 bytes or holds a control character; there are
/// at most 64 names and 1,024 bytes. What passes here is safe to join to a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspacePath(String);

/// Why a text is not a [`WorkspacePath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It begins with `/`.
    #[error("{0:?} is absolute")]
    Absolute(String),
    /// A name is empty, `.` or `..`.
    #[error("{0:?} has an empty name, \".\" or \"..\" in it")]
    Dots(String),
    /// A control character, such as a line break.
    #[error("{0:?} holds a control character")]
    Control(String),
    /// Too long or too deep.
    #[error(
        "a path of {bytes} bytes and {names} names is more than 1024 bytes, 64 names or 255 bytes a name"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
        /// How many names it has.
        names: usize,
    },
}

impl WorkspacePath {
    /// The most names a path may have.
    pub const NAMES_MAX: usize = 64;
    /// The most bytes a path may have.
    pub const BYTES_MAX: usize = 1024;
    const NAME_BYTES_MAX: usize = 255;

    /// The text, as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its names, from the top: at least one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The directories it lies in, from the top.
    fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl FromStr for WorkspacePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let names = text.split('/').count();
        let long = text.split('/').any(|name| name.len() > Self::NAME_BYTES_MAX);
        if text.len() > Self::BYTES_MAX || names > Self::NAMES_MAX || long {
            return Err(InvalidPath::TooLong { bytes: text.len(), names });
        }
        if text.starts_with('/') {
            return Err(InvalidPath::Absolute(text.to_owned()));
        }
        if text.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return Err(InvalidPath::Dots(text.to_owned()));
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPath::Control(text.to_owned()));
        }
        Ok(WorkspacePath(text.to_owned()))
    }
}

impl TryFrom<String> for WorkspacePath {
    type Error = InvalidPath;

    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<WorkspacePath> for String {
    fn from(path: WorkspacePath) -> String {
        path.0
    }
}

impl fmt::Display for WorkspacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The hash of its bytes.
    pub sha256: ContentHash,
    /// How many they are.
    pub bytes: u64,
    /// Whether its owner may execute it. No other permission is kept.
    pub executable: bool,
}

/// The files of a workspace. Empty directories, links and times are not part of one.
///
/// Its serialisation is JSON without spaces, files in the order of their paths' bytes; its hash
/// names the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest(BTreeMap<WorkspacePath, Entry>);

/// Why files are not a manifest, or bytes not one's serialisation.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// More files than a workspace may have.
    #[error("a workspace may have {limit} files")]
    TooManyFiles {
        /// [`Manifest::FILES_MAX`].
        limit: usize,
    },
    /// More bytes than a workspace may have.
    #[error("the files of a workspace may have {limit} bytes together")]
    TooLarge {
        /// [`Manifest::BYTES_MAX`].
        limit: u64,
    },
    /// A path is a file and also a directory of another file.
    #[error("{0} is a file and a directory")]
    FileAndDirectory(WorkspacePath),
    /// Not the shape of a manifest.
    #[error("not a manifest")]
    Shape(#[source] serde_json::Error),
    /// The shape of a manifest, but not the one serialisation of it.
    #[error("a manifest, but not in its canonical form")]
    NotCanonical,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<F> {
    version: Version,
    files: F,
}

/// The version of the stored form; another number is not read.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
#[derive(Clone, Copy)]
struct Version;

impl From<Version> for u32 {
    fn from(_: Version) -> u32 {
        1
    }
}

impl TryFrom<u32> for Version {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        if number == 1 { Ok(Version) } else { Err("the version of a manifest is 1") }
    }
}

impl Manifest {
    /// The most files of a workspace.
    pub const FILES_MAX: usize = 20_000;
    /// The most bytes of a workspace's files together.
    pub const BYTES_MAX: u64 = 4 << 30;

    /// A manifest of these files.
    pub fn new(files: BTreeMap<WorkspacePath, Entry>) -> Result<Manifest, InvalidManifest> {
        if files.len() > Self::FILES_MAX {
            return Err(InvalidManifest::TooManyFiles { limit: Self::FILES_MAX });
        }
        let total = files.values().try_fold(0_u64, |sum, entry| sum.checked_add(entry.bytes));
        if total.is_none_or(|bytes| bytes > Self::BYTES_MAX) {
            return Err(InvalidManifest::TooLarge { limit: Self::BYTES_MAX });
        }
        let both = |path: &WorkspacePath| {
            let mut parents = path.parents().map(|parent| WorkspacePath(parent.to_owned()));
            parents.find(|parent| files.contains_key(parent))
        };
        match files.keys().find_map(both) {
            Some(path) => Err(InvalidManifest::FileAndDirectory(path)),
            None => Ok(Manifest(files)),
        }
    }

    /// Reads what [`Manifest::to_bytes`] wrote; any other form is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Manifest, InvalidManifest> {
        let wire: Wire<BTreeMap<WorkspacePath, Entry>> =
            serde_json::from_slice(bytes).map_err(InvalidManifest::Shape)?;
        let manifest = Manifest::new(wire.files)?;
        // Also catches a path that stands there twice, of which the last would win.
        if manifest.to_bytes() == bytes { Ok(manifest) } else { Err(InvalidManifest::NotCanonical) }
    }

    /// The one serialisation.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let wire = Wire { version: Version, files: &self.0 };
        serde_json::to_vec(&wire).expect("texts, numbers and booleans under text keys are JSON")
    }

    /// The manifest's name: the hash of its serialisation.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(&self.to_bytes())
    }

    /// The files in the order of their paths.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&WorkspacePath, &Entry)> {
        self.0.iter()
    }

    /// The file at `path`.
    #[must_use]
    pub fn get(&self, path: &WorkspacePath) -> Option<&Entry> {
        self.0.get(path)
    }

    /// The hashes of all files: what the manifest refers to, beside itself.
    pub fn hashes(&self) -> impl Iterator<Item = ContentHash> {
        self.0.values().map(|entry| entry.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> WorkspacePath {
        text.parse().unwrap()
    }

    fn entry(bytes: u64) -> Entry {
        Entry { sha256: ContentHash::of(&bytes.to_le_bytes()), bytes, executable: bytes.is_multiple_of(2) }
    }

    fn manifest(files: &[(&str, u64)]) -> Result<Manifest, InvalidManifest> {
        Manifest::new(files.iter().map(|(p, n)| (path(p), entry(*n))).collect())
    }

    #[test]
    fn the_stored_form_is_for_ever() {
        let bytes = manifest(&[("z", 1), ("a/é", 2)]).unwrap().to_bytes();
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"{"version":1,"files":{"a/é":{"sha256":"d86e8112f3c4c4442126f8e9f44f16867da487f29052bf91b810457db34209a4","bytes":2,"executable":true},"z":{"sha256":"7c9fa136d4413fa6173637e883b6998d32e1d675f88cddff9dcbcf331820f4b8","bytes":1,"executable":false}}}"#);
        insta::assert_snapshot!(Manifest::default().hash(), @"2c456ac66a6d5d46dcee43ad4cda7ffc3cf3852e925005ce17afbc8cbe1c6432");
    }

    #[test]
    fn a_path_stays_below_its_directory() {
        for good in ["a", "a/b", "...", "a b", ".hidden", "é/ü", "a\\b", "-", "~"] {
            assert_eq!(good.parse::<WorkspacePath>().unwrap().as_str(), good);
        }
        let (long_name, long, deep) =
            ("n".repeat(256), "d/".repeat(40) + &"x/".repeat(500), "d/".repeat(64) + "f");
        let bad = [
            "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "./a", "a\0", "a\nb", "\u{7f}",
            "a\u{85}", &long_name, &long, &deep,
        ];
        for bad in bad {
            assert!(bad.parse::<WorkspacePath>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_is_a_file_or_a_directory() {
        let both = manifest(&[("a", 1), ("a-b", 2), ("a/b", 3)]);
        assert!(matches!(both, Err(InvalidManifest::FileAndDirectory(p)) if p == path("a")));
        assert!(manifest(&[("a-b", 2), ("a/b", 3), ("a/c", 4), ("b", 5)]).is_ok());
    }

    #[test]
    fn a_manifest_is_bounded() {
        let many = (0..=Manifest::FILES_MAX).map(|n| (path(&n.to_string()), entry(0))).collect();
        assert!(matches!(Manifest::new(many), Err(InvalidManifest::TooManyFiles { .. })));
        for sizes in [[Manifest::BYTES_MAX, 1], [u64::MAX, u64::MAX]] {
            let large = manifest(&[("a", sizes[0]), ("b", sizes[1])]);
            assert!(matches!(large, Err(InvalidManifest::TooLarge { .. })));
        }
    }

    #[test]
    fn another_form_of_the_same_files_is_refused() {
        let canonical = String::from_utf8(manifest(&[("a", 1)]).unwrap().to_bytes()).unwrap();
        let entry = canonical.split_once(":{\"a\":").unwrap().1.trim_end_matches("}}").to_owned();
        let twice = format!("{{\"version\":1,\"files\":{{\"a\":{entry},\"a\":{entry}}}}}");
        let spaced = canonical.replace(',', ", ");
        for other in [twice, spaced, canonical.clone() + "\n"] {
            assert!(
                matches!(Manifest::from_bytes(other.as_bytes()), Err(InvalidManifest::NotCanonical)),
                "{other}"
            );
        }
        let shapes = [
            canonical.replace(":1,", ":2,"),
            canonical.replace("\"a\"", "\"../a\""),
            canonical.replace("bytes", "size"),
            String::new(),
        ];
        for other in shapes {
            assert!(
                matches!(Manifest::from_bytes(other.as_bytes()), Err(InvalidManifest::Shape(_))),
                "{other}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_manifest_reads_back_as_itself(files: BTreeMap<u8, u16>) {
            let files = files.iter().map(|(name, n)| (path(&format!("d{}/{name}", name % 3)), entry(u64::from(*n))));
            let manifest = Manifest::new(files.collect()).unwrap();
            prop_assert_eq!(Manifest::from_bytes(&manifest.to_bytes()).unwrap(), manifest);
        }

        /// Whatever a path parses from, joining it never leaves the directory.
        #[test]
        fn no_text_that_parses_leads_out(text in "[./a\\\\\0\n]{0,8}") {
            if let Ok(path) = text.parse::<WorkspacePath>() {
                let names: Vec<_> = std::path::Path::new(path.as_str()).components().collect();
                prop_assert!(names.iter().all(|c| matches!(c, std::path::Component::Normal(_))));
                prop_assert_eq!(names.len(), path.names().count());
            }
        }
    }
}
