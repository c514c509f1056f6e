//! "Python files", ".py or .rs files", "*.log": what the names of files end in.

use super::conditions::{is_ending, is_glob};
use super::cursor::{Cursor, Table};
use super::token::Kind;

/// Kinds of files that are told by the ending of their names.
pub(super) const KINDS: &Table<&str> = &[
    ("python", "py"),
    ("rust", "rs"),
    ("markdown", "md"),
    ("javascript", "js"),
    ("typescript", "ts"),
    ("java", "java"),
    ("ruby", "rb"),
    ("log", "log"),
    ("txt", "txt"),
    ("csv", "csv"),
    ("json", "json"),
    ("toml", "toml"),
    ("yaml", "yaml"),
    ("yml", "yml"),
    ("xml", "xml"),
    ("html", "html"),
    ("css", "css"),
    ("pdf", "pdf"),
    ("png", "png"),
    ("jpg", "jpg"),
    ("gif", "gif"),
    ("svg", "svg"),
    ("zip", "zip"),
    ("sql", "sql"),
    ("md", "md"),
    ("js", "js"),
    ("py", "py"),
    ("rs", "rs"),
];

/// The pattern of the names, before the noun.
pub(super) fn name(c: &mut Cursor<'_>) -> Option<String> {
    if let Some(endings) = c.attempt(several_endings) {
        return Some(format!("*.{{{}}}", endings.join(",")));
    }
    let kind = c.attempt(|c| c.choose(KINDS).filter(|_| before_files(c)));
    if let Some(ending) = kind {
        return Some(format!("*.{ending}"));
    }
    let ending = c.attempt(|c| {
        let token = c.take(|t| matches!(t.kind, Kind::Word | Kind::Quoted) && is_ending(&t.text))?;
        before_files(c).then(|| format!("*{}", token.text))
    });
    ending.or_else(|| {
        let glob = c.take(|t| matches!(t.kind, Kind::Word | Kind::Quoted) && is_glob(&t.text))?;
        Some(glob.text.clone())
    })
}

fn before_files(c: &Cursor<'_>) -> bool {
    c.peek().is_some_and(|t| matches!(t.lower.as_str(), "file" | "files"))
}

/// ".py or .rs files", "python and rust files", "*.py and *.rs", `*.py *.rs`.
fn several_endings(c: &mut Cursor<'_>) -> Option<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    let mut patterns = true;
    loop {
        let ending = match c.choose(KINDS) {
            Some(ending) => {
                patterns = false;
                ending.to_owned()
            }
            None => {
                let token = c.word(|t| is_ending(t.text.strip_prefix('*').unwrap_or(&t.text)))?;
                patterns &= token.text.starts_with('*');
                token.text.trim_start_matches(['*', '.']).to_owned()
            }
        };
        all.push(ending);
        let comma = c.punctuation(Kind::Comma);
        // `*.csv *.json`, as on a command line.
        let beside =
            || patterns && c.peek().is_some_and(|t| t.kind == Kind::Word && t.text.starts_with("*."));
        if !comma && !beside() && !c.accept(&["or", "and", "and/or", "and all"]) {
            break;
        }
        if comma {
            c.accept(&["or", "and", "and/or", "and all"]);
        }
    }
    (all.len() > 1 && (before_files(c) || patterns)).then_some(all)
}
