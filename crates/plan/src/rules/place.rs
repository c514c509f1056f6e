//! What a path means: absolute, without `.` and `..`, from the words of a goal.
//!
//! Must not know: the file system. A link is not followed and nothing is looked up.

use super::NotUnderstood;

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
}

impl Place {
    /// The absolute path that `path` means here.
    pub(super) fn resolve(&self, path: &str) -> Result<String, NotUnderstood> {
        let shown = || path.chars().take(200).collect::<String>();
        if path.len() > MAX_PATH_BYTES {
            return Err(NotUnderstood::BadPath { path: shown(), why: "it is longer than any path may be" });
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
        let here = Place { home: Some("/home/me".into()), cwd: Some("/home/me/work/".into()) };
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
        let nowhere = Place::default();
        assert!(matches!(nowhere.resolve("x.txt"), Err(NotUnderstood::RelativePath { .. })));
        assert!(matches!(nowhere.resolve("~/x"), Err(NotUnderstood::NoHome { .. })));
    }
}
