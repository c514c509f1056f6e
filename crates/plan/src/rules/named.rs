//! Paths as people name them: bare, quoted, with "the file" before or "directory" behind.
//!
//! Promises: a word is taken for a path only when it looks like one or is called one. "Compare
//! Rust and Go" names no files; "read README.md" does.

use super::cursor::Cursor;
use super::place::Place;
use super::token::{Kind, Token, is_url};
use super::{run, whom, words};

/// A path as the goal names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) path: String,
    pub(super) called: Called,
}

/// What the goal calls the thing at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    File,
    Folder,
    Nothing,
}

pub(super) const FILE: &[&str] = &["file", "text file", "log file", "script", "document"];
pub(super) const FILES: &[&str] = &["files", "text files", "log files", "scripts", "documents"];
pub(super) const FOLDER: &[&str] = &["folder", "directory", "dir"];
const FOLDERS: &[&str] = &["folders", "directories", "dirs"];
const CALLED: &[&str] = &["named", "called", "at", "at path", "located at"];

/// Folders that have a name in words.
const KNOWN_FOLDERS: &[(&str, &str)] = &[
    ("my home directory", "~"),
    ("my home folder", "~"),
    ("the home directory", "~"),
    ("the home folder", "~"),
    ("home directory", "~"),
    ("home folder", "~"),
    ("my home", "~"),
    ("the current directory", "."),
    ("the current folder", "."),
    ("current directory", "."),
    ("current folder", "."),
    ("this directory", "."),
    ("this folder", "."),
    ("the current working directory", "."),
    ("the working directory", "."),
    ("my current directory", "."),
    ("the parent directory", ".."),
    ("the parent folder", ".."),
    ("parent directory", ".."),
];

/// Files that are named by a bare word everywhere.
const KNOWN_FILES: &[&str] = &[
    "README",
    "LICENSE",
    "LICENCE",
    "COPYING",
    "CHANGELOG",
    "AUTHORS",
    "CONTRIBUTING",
    "CODEOWNERS",
    "Makefile",
    "Dockerfile",
    "Gemfile",
    "Rakefile",
    "Procfile",
    "Vagrantfile",
    "Jenkinsfile",
];

/// Endings by which a bare word is known to be a file's name. Endings that are also those of
/// products and sites (.js, .net, .io) are left out: `./node.js` or "the file node.js" is clear.
pub(super) const ENDINGS: &[&str] = &[
    "txt", "md", "log", "csv", "tsv", "json", "jsonl", "yaml", "yml", "toml", "xml", "html", "htm", "css",
    "ini", "conf", "cfg", "rs", "py", "c", "h", "cpp", "hpp", "go", "java", "rb", "sh", "sql", "ts", "tsx",
    "jsx", "lock", "tar", "gz", "tgz", "zip", "bz2", "xz", "zst", "pdf", "png", "jpg", "jpeg", "gif", "svg",
    "bin", "dat", "bak", "tmp", "iso", "db", "sqlite", "env", "pem", "out", "err", "diff", "patch", "rst",
    "tex", "doc", "docx", "xlsx", "odt", "ods", "xls", "ppt", "pptx", "img", "webp", "mp3", "wav", "mp4",
    "mov", "mkv", "avi", "jar", "deb", "rpm", "php", "kt", "swift", "lua", "ipynb", "proto", "service",
];

/// Folders and files of every Linux machine whose names do not say which they are.
const SYSTEM_FOLDERS: &[&str] = &[
    "/",
    "/tmp",
    "/var",
    "/etc",
    "/home",
    "/usr",
    "/opt",
    "/root",
    "/srv",
    "/mnt",
    "/media",
    "/bin",
    "/lib",
    "/sbin",
    "/boot",
    "/dev",
    "/proc",
    "/sys",
    "/run",
    "/var/log",
    "/var/tmp",
    "/var/lib",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/share",
    "/usr/local/bin",
];
const SYSTEM_FILES: &[&str] = &[
    "/etc/hosts",
    "/etc/passwd",
    "/etc/group",
    "/etc/hostname",
    "/etc/os-release",
    "/etc/fstab",
    "/etc/issue",
    "/etc/shells",
    "/etc/services",
    "/etc/protocols",
    "/etc/timezone",
    "/etc/environment",
    "/etc/profile",
    "/etc/motd",
    "/etc/crontab",
    "/etc/networks",
    "/etc/debian_version",
    "/var/log/syslog",
    "/var/log/messages",
    "/var/log/dmesg",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/version",
    "/proc/uptime",
    "/proc/loadavg",
];

/// Whether an absolute or relative path is a folder, by its looks: its end, a name in words, the
/// well-known ones. `None` when it may be either.
pub(super) fn looks(named: &Named) -> Option<Called> {
    let path = named.path.as_str();
    let trimmed = path.trim_end_matches('/');
    let name = trimmed.rsplit('/').next().unwrap_or(trimmed);
    match named.called {
        Called::File | Called::Folder => Some(named.called),
        Called::Nothing if path.ends_with('/') || matches!(name, "" | "." | ".." | "~") => {
            Some(Called::Folder)
        }
        Called::Nothing if SYSTEM_FOLDERS.contains(&path) => Some(Called::Folder),
        Called::Nothing
            if SYSTEM_FILES.contains(&path) || has_ending(name) || KNOWN_FILES.contains(&name) =>
        {
            Some(Called::File)
        }
        Called::Nothing => None,
    }
}

fn has_ending(name: &str) -> bool {
    let ending = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
    ending.is_some_and(|(_, ending)| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
}

/// A word that is a path by its form: it has a slash or begins with `~`, or it is `.` or `..`.
fn has_path_form(token: &Token) -> bool {
    let text = token.text.as_str();
    let formed = text.contains('/') || text.starts_with('~') || text == "." || text == "..";
    // "1/3" and "24/7" are no paths.
    let numbers = text.bytes().all(|b| b.is_ascii_digit() || b == b'/') && !text.starts_with('/');
    formed && !numbers && !is_url(text) && !is_pattern(token)
}

/// Whether a path is known to be a folder: by its end (`src/`), as one of every machine, or because one lies there.
pub(super) fn is_folder(path: &str, place: &Place) -> bool {
    let named = Named { path: path.to_owned(), called: Called::Nothing };
    let within = path.strip_prefix("./").unwrap_or(path);
    match place.is_folder(path).or_else(|| place.is_folder(within)) {
        Some(folder) => folder,
        None => !path.is_empty() && looks(&named) == Some(Called::Folder),
    }
}

/// `*.log`: in quotes its characters stand for themselves.
fn is_pattern(token: &Token) -> bool {
    token.kind != Kind::Quoted && token.text.contains(['*', '?'])
}

/// Of a path with slashes in it that does not begin as one (`src/main.rs`, but also `TCP/IP`):
/// whether it is a path for certain.
pub(super) fn is_certain(text: &str) -> bool {
    let begins = text.starts_with(['/', '~', '.', '$']) || text.ends_with('/');
    begins || has_ending(text.rsplit('/').next().unwrap_or(text))
}

/// A word that is more likely the goal's own than the name of what lies in the folder.
pub(super) fn is_grammar(token: &Token) -> bool {
    let word = token.lower.as_str();
    let letter = matches!(word, "a" | "i" | "" | "&" | "-");
    letter || words::IN.contains(&word) || run::SENTENCE.contains(&word) || whom::is_earlier(word)
}

fn is_name(token: &Token) -> bool {
    let dotted = token.text.trim_matches('.').contains('.') || token.text.starts_with('.');
    dotted || token.text.contains('_') || KNOWN_FILES.contains(&token.text.as_str())
}

pub(super) fn is_bare_file(token: &Token) -> bool {
    !token.text.contains('/')
        && !token.text.contains(['*', '?'])
        && (has_ending(&token.text) || KNOWN_FILES.contains(&token.text.as_str()))
}

/// `'a*.txt'`, `'why?.md'`
fn is_quoted_file(token: &Token) -> bool {
    token.kind == Kind::Quoted && !token.text.contains('/') && has_ending(&token.text)
}

/// A file: it must look like one or be called one.
pub(super) fn file(c: &mut Cursor<'_>) -> Option<Named> {
    c.attempt(|c| {
        c.accept(&["the", "my", "this"]);
        if let Some(path) = c.attempt(|c| marked(c, FILE)) {
            return Some(Named { path, called: Called::File });
        }
        let place = c.place();
        let token = c.take(|t| match t.kind {
            Kind::Word | Kind::Quoted => {
                let certain = is_certain(&t.text) || place.knows(&t.text);
                // "notes" is one where it lies.
                let lies_here = place.is_folder(&t.text) == Some(false) && !is_grammar(t) && !is_pattern(t);
                !t.text.contains('\n')
                    && !is_folder(&t.text, place)
                    && ((has_path_form(t) && certain) || is_bare_file(t) || is_quoted_file(t) || lies_here)
            }
            Kind::Comma | Kind::Semicolon | Kind::Stop | Kind::Newline => false,
        })?;
        if c.clone().accept(FOLDER) {
            return None;
        }
        let called = if c.accept(FILE) { Called::File } else { Called::Nothing };
        Some(Named { path: token.text.clone(), called })
    })
}

/// A folder.
pub(super) fn folder(c: &mut Cursor<'_>) -> Option<Named> {
    c.attempt(|c| {
        if let Some(path) = c.choose(KNOWN_FOLDERS) {
            return Some(Named { path: path.to_owned(), called: Called::Folder });
        }
        c.accept(&["the", "my", "this"]);
        if let Some(path) = c.attempt(|c| marked(c, FOLDER)) {
            return Some(Named { path, called: Called::Folder });
        }
        let place = c.place();
        // "and/or" is a path only where an "and" lies.
        let formed = |t: &Token| {
            has_path_form(t) && (is_certain(&t.text) || place.entries.is_empty() || place.knows(&t.text))
        };
        // "src" is one where it lies.
        let lies_here = |t: &Token| {
            let bare = t.kind == Kind::Word && !is_grammar(t);
            !t.text.contains('/') && place.knows(&t.text) && (bare || t.kind == Kind::Quoted)
        };
        let token = c.take(|t| {
            let fits = formed(t) || lies_here(t) || t.kind == Kind::Quoted;
            matches!(t.kind, Kind::Word | Kind::Quoted)
                && fits
                && !t.text.contains('\n')
                && !t.text.is_empty()
        })?;
        let behind = c.accept(FOLDER);
        if !formed(token) && !lies_here(token) && !behind {
            return None;
        }
        Some(Named {
            path: token.text.clone(),
            called: if behind { Called::Folder } else { Called::Nothing },
        })
    })
}

/// A file or a folder.
pub(super) fn either(c: &mut Cursor<'_>) -> Option<Named> {
    file(c).or_else(|| folder(c))
}

/// "the file X", "the folder called X": what follows is a path even if it does not look so.
fn marked(c: &mut Cursor<'_>, marker: &[&str]) -> Option<String> {
    c.need(marker)?;
    let called = c.accept(CALLED);
    super::entries::colon(c);
    let place = c.place();
    let token = c.take(|t| match t.kind {
        Kind::Word => {
            let free = !is_url(&t.text) && !t.text.contains(['*', '?']);
            // "the folder src" is one where it lies.
            let lies_here = || place.knows(&t.text) && !is_grammar(t);
            free && (called
                || lies_here()
                || t.text.contains('/')
                || t.text.starts_with('~')
                || is_name(t)
                || t.text == ".")
        }
        Kind::Quoted => !t.text.is_empty() && !t.text.contains('\n') && !is_url(&t.text),
        Kind::Comma | Kind::Semicolon | Kind::Stop | Kind::Newline => false,
    })?;
    Some(token.text.clone())
}

/// One or more of what `one` reads: `A`, `A B`, `A and B`, `A, B and C`, "the files A and B".
pub(super) fn several(c: &mut Cursor<'_>, one: fn(&mut Cursor<'_>) -> Option<Named>) -> Option<Vec<Named>> {
    let called = c.attempt(|c| {
        c.accept(&["the", "these", "both", "both the"]);
        let called = if c.accept(FILES) { Called::File } else { c.need(FOLDERS).map(|()| Called::Folder)? };
        // Only when a path follows: "the files in /tmp" names none.
        let mut look = c.clone();
        member(&mut look, called, one)?;
        Some(called)
    });
    let called = called.unwrap_or(Called::Nothing);
    let mut all = vec![member(c, called, one)?];
    while let Some(next) = c.attempt(|c| {
        // Without a joint, as on a command line: `cat a.txt b.txt`.
        if joined(c).is_some() {
            c.accept(&["in", "from", "of"]);
        }
        member(c, called, one)
    }) {
        all.push(next);
    }
    Some(all)
}

/// A file in a list that began with "the files": any name will do.
pub(super) fn called_file(c: &mut Cursor<'_>) -> Option<Named> {
    member(c, Called::File, file).map(|named| Named { called: Called::File, ..named })
}

fn member(c: &mut Cursor<'_>, called: Called, one: fn(&mut Cursor<'_>) -> Option<Named>) -> Option<Named> {
    if let Some(named) = one(c) {
        return Some(named);
    }
    if called == Called::Nothing {
        return None;
    }
    let named =
        |t: &Token| t.kind == Kind::Quoted || (t.kind == Kind::Word && is_name(t) && !is_url(&t.text));
    let token = c.take(|t| named(t) && !t.text.is_empty() && !t.text.contains(['\n', '*']))?;
    Some(Named { path: token.text.clone(), called })
}

/// `and`, `,`, `, and`, `&` between things of one list.
pub(super) fn joined(c: &mut Cursor<'_>) -> Option<()> {
    let comma = c.punctuation(Kind::Comma);
    let and = c.accept(&["and", "&", "and also", "as well as"]);
    (comma || and).then_some(())
}
