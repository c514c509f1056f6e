//! What a path means: absolute, without `.` and `..`, from the words of a goal.
//!
//! Must not know: the file system. A link is not followed and nothing is looked up.

use super::{NotUnderstood, argv::Takes};
use octollm_contract::Edition;
use std::collections::BTreeSet;

/// The longest path that Linux takes, in bytes.
const MAX_PATH_BYTES: usize = 4096;

/// What `~` and relative paths mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The home folder, absolute. Absent: `~` is refused.
    pub home: Option<String>,
    /// The folder that relative paths start from, absolute. Absent (in `serve`, where the
    /// client's folder is not the server's): relative paths are refused.
    pub cwd: Option<String>,
    /// The names of what lies in `cwd`, as far as they are known: what an argument of a command
    /// is told by to be a file there. Empty: no relative argument is taken for one. Of the [paths](super::paths)
    /// of a goal those that are there, as it writes them.
    pub entries: BTreeSet<String>,
    /// Those of them that are folders.
    pub folders: BTreeSet<String>,
    /// What those can read who will read the plan. What a goal leaves to the planner is written for them.
    pub readers: Edition,
}

impl Place {
    /// Whether an argument of a command names something in the folder that relative paths start
    /// from. A word without a dot or slash, and that folder itself, do only where the program
    /// takes a file: the `test` of `cargo test` is none, whatever lies there. What `grep` looks for never does.
    pub(super) fn holds(&self, argument: &str, takes: Takes) -> bool {
        if argument.starts_with('-') || self.cwd.is_none() || takes == Takes::NoFile {
            return false;
        }
        let takes_file = takes == Takes::File;
        if matches!(argument, "." | "./" | ".." | "../") {
            return takes_file;
        }
        let within = argument.strip_prefix("./").unwrap_or(argument);
        let first = within.split('/').next().unwrap_or(within);
        within.starts_with("../")
            || (self.entries.contains(first) && (takes_file || argument.contains(['.', '/'])))
    }

    /// Whether a relative path begins with the name of something that is known to lie here.
    pub(super) fn knows(&self, path: &str) -> bool {
        self.cwd.is_some() && path.split('/').next().is_some_and(|first| self.entries.contains(first))
    }

    /// Whether what lies here under this name, or at this path of the goal, is a folder, if that is known.
    pub(super) fn is_folder(&self, name: &str) -> Option<bool> {
        (self.cwd.is_some() && self.entries.contains(name)).then(|| self.folders.contains(name))
    }

    /// The absolute path that `path` means here.
    pub(super) fn resolve(&self, path: &str) -> Result<String, NotUnderstood> {
        let shown = || path.chars().take(200).collect::<String>();
        if path.len() > MAX_PATH_BYTES {
            return Err(NotUnderstood::BadPath { path: shown(), why: "it is longer than any path may be" });
        }
        // What is so called is no variable.
        if path.split('/').any(|part| part.starts_with('$')) && !self.entries.contains(path) {
            return Err(NotUnderstood::BadPath {
                path: shown(),
                why: "variables are not looked up: write the whole path, or ~ for the home folder",
            });
        }
        let whole = if path.starts_with('/') {
            path.to_owned()
        } else if path == "~" || path.starts_with("~/") {
            let home = self.home.as_ref().ok_or_else(|| NotUnderstood::NoHome { path: shown() })?;
            format!("{home}/{}", &path[1..])
        } else if path.starts_with('~') {
            return Err(NotUnderstood::BadPath {
                path: shown(),
                why: "another user's home is not looked up",
            });
        } else {
            let cwd = self.cwd.as_ref().ok_or_else(|| NotUnderstood::RelativePath { path: shown() })?;
            format!("{cwd}/{path}")
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in whole.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.pop().is_none() => return Err(NotUnderstood::PathEscapes { path: shown() }),
                ".." => {}
                name => parts.push(name),
            }
        }
        Ok(format!("/{}", parts.join("/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_absolute_and_plain_or_is_refused() {
        let here =
            Place { home: Some("/home/me".into()), cwd: Some("/home/me/work/".into()), ..Place::default() };
        let resolved = |path: &str| here.resolve(path).unwrap();
        assert_eq!(resolved("/tmp//a/./b/../c/"), "/tmp/a/c");
        assert_eq!(resolved("/"), "/");
        assert_eq!(resolved("~"), "/home/me");
        assert_eq!(resolved("~/x y"), "/home/me/x y");
        assert_eq!(resolved("src/main.rs"), "/home/me/work/src/main.rs");
        assert_eq!(resolved("../.."), "/home");
        assert!(matches!(here.resolve("../../../../x"), Err(NotUnderstood::PathEscapes { .. })));
        assert!(matches!(here.resolve("/../etc"), Err(NotUnderstood::PathEscapes { .. })));
        assert!(matches!(here.resolve("~bob/x"), Err(NotUnderstood::BadPath { .. })));
        assert!(matches!(here.resolve("$HOME/x"), Err(NotUnderstood::BadPath { .. })));
        assert_eq!(resolved("a$b.txt"), "/home/me/work/a$b.txt");
        let called_so = Place { entries: ["$x".to_owned()].into(), ..here.clone() };
        assert_eq!(called_so.resolve("$x").unwrap(), "/home/me/work/$x");
        let nowhere = Place::default();
        assert!(matches!(nowhere.resolve("x.txt"), Err(NotUnderstood::RelativePath { .. })));
        assert!(matches!(nowhere.resolve("~/x"), Err(NotUnderstood::NoHome { .. })));
    }

    #[test]
    fn a_path_of_the_goal_is_what_lies_there() {
        let entries = ["sub", "sub/deep", "sub/a", "/srv/x"].map(str::to_owned).into();
        let folders = ["sub", "sub/deep"].map(str::to_owned).into();
        let here = Place { cwd: Some("/home/me/work".into()), entries, folders, ..Place::default() };
        let is = |path| here.is_folder(path);
        assert_eq!(
            [is("sub/deep"), is("sub/a"), is("/srv/x"), is("sub/other")],
            [Some(true), Some(false), Some(false), None]
        );
    }

    #[test]
    fn an_argument_is_a_file_when_one_of_its_name_lies_there() {
        let entries = ["notes.txt", "src", "test", "Makefile"].map(str::to_owned).into();
        let here = Place { cwd: Some("/home/me/work".into()), entries, ..Place::default() };
        for (argument, takes, holds) in [
            ("notes.txt", Takes::Perhaps, true),
            ("./notes.txt", Takes::Perhaps, true),
            ("src/main.rs", Takes::Perhaps, true),
            ("../beside", Takes::Perhaps, true),
            ("other.txt", Takes::File, false),
            ("test", Takes::Perhaps, false),
            ("test", Takes::File, true),
            ("Makefile", Takes::File, true),
            ("-notes.txt", Takes::File, false),
            (".", Takes::File, true),
            (".", Takes::Perhaps, false),
            ("..", Takes::File, true),
        ] {
            assert_eq!(here.holds(argument, takes), holds, "{argument}");
        }
        assert!(!Place { cwd: None, ..here }.holds("notes.txt", Takes::File), "a server has no such folder");
    }
}
