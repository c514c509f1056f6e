//! A command line cut into a program and its arguments, with a shell's quoting and nothing
//! else of a shell: whatever only a shell gives a meaning is refused, not passed on.

use super::NotUnderstood;
use super::refusal::cut;

/// Cuts `command` as POSIX `sh` would cut it into words (section 2.2 of the Shell Command
/// Language), or refuses it.
pub(super) fn split(command: &str) -> Result<Vec<String>, NotUnderstood> {
    let bad = |why: &'static str| NotUnderstood::BadCommand { command: cut(command, 120), why };
    let shell = |found: char| NotUnderstood::ShellSyntax { command: cut(command, 120), found };
    let mut words: Vec<String> = Vec::new();
    // The word being read; `None` between words.
    let mut word: Option<String> = None;
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\r' => return Err(shell(c)),
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let text = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(|| bad("a quote in it is never closed"))? {
                        '\'' => break,
                        inner => text.push(inner),
                    }
                }
            }
            '"' => {
                let text = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(|| bad("a quote in it is never closed"))? {
                        '"' => break,
                        found @ ('$' | '`') => return Err(shell(found)),
                        '\\' if chars.peek().is_some_and(|n| matches!(n, '"' | '\\' | '$' | '`')) => {
                            text.extend(chars.next())
                        }
                        inner => text.push(inner),
                    }
                }
            }
            '\\' => {
                let escaped = chars.next().ok_or_else(|| bad("it ends with a backslash"))?;
                word.get_or_insert_default().push(escaped);
            }
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '[' | ']' | '{' | '}' => {
                return Err(shell(c));
            }
            // Only at the beginning of a word: a home folder, a comment.
            '~' | '#' if word.is_none() => return Err(shell(c)),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    match words.first() {
        None => Err(bad("it names no program")),
        Some(program) if program.is_empty() => Err(bad("it names no program")),
        // `NAME=value program` sets a variable in a shell.
        Some(program) if program.contains('=') => Err(shell('=')),
        Some(_) => Ok(words),
    }
}

/// A program's own name.
fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Whether the argument at this place names a file or a folder, whatever it looks like.
pub(super) fn takes_file(argv: &[String], at: usize) -> bool {
    let is_option = |argument: &String| argument.starts_with(['-', '(', '!']);
    let mut before = argv.iter().take(at).skip(1);
    match argv.first().map_or("", |program| name(program)) {
        // Its folders stand before its conditions.
        "find" => !before.any(is_option),
        // What is looked for stands before the files.
        "grep" | "egrep" => {
            let patterns = ["-e", "-f"];
            !argv.iter().any(|argument| patterns.contains(&argument.as_str()))
                && before.any(|argument| !is_option(argument))
        }
        program => FILE_PROGRAMS.contains(&program),
    }
}

/// Whether a program is there to change the files that it is given.
pub(super) fn changes_files(program: &str) -> bool {
    CHANGING_PROGRAMS.contains(&name(program))
}

const CHANGING_PROGRAMS: &[&str] = &["rm", "rmdir", "mv", "chmod", "chown"];

/// Programs whose arguments are files.
pub(super) const FILE_PROGRAMS: &[&str] = &[
    "cat",
    "tac",
    "nl",
    "head",
    "tail",
    "wc",
    "sort",
    "uniq",
    "ls",
    "du",
    "stat",
    "file",
    "od",
    "xxd",
    "hexdump",
    "diff",
    "cmp",
    "md5sum",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "zcat",
    "realpath",
    "readlink",
    "less",
    "more",
    "tree",
    "rm",
    "rmdir",
    "mv",
    "cp",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_a_shell_cuts_them() {
        let argv = |command: &str| split(command).unwrap().join("|");
        assert_eq!(argv("ls  -la /tmp"), "ls|-la|/tmp");
        assert_eq!(argv(r#"echo 'a b'"c d" e\ f "" '$x'"#), r"echo|a bc d|e f||$x");
        assert_eq!(argv(r#"echo "a\"b\n" 'x|y' a#b a~"#), r#"echo|a"b\n|x|y|a#b|a~"#);
    }

    #[test]
    fn what_only_a_shell_understands_is_refused() {
        for (command, found) in [
            ("ls | wc", '|'),
            ("ls > x", '>'),
            ("cat < x", '<'),
            ("a; b", ';'),
            ("a && b", '&'),
            ("echo $HOME", '$'),
            ("echo $(id)", '$'),
            ("echo `id`", '`'),
            ("(ls)", '('),
            ("ls *.rs", '*'),
            ("ls a?", '?'),
            ("ls [a]", '['),
            ("echo {a,b}", '{'),
            ("ls ~", '~'),
            ("ls # x", '#'),
            (r#"echo "$x""#, '$'),
            ("A=1 env", '='),
            ("ls\nid", '\n'),
        ] {
            assert!(
                matches!(split(command), Err(NotUnderstood::ShellSyntax { found: f, .. }) if f == found),
                "{command}"
            );
        }
        for command in ["", "  ", "''", "echo 'x", "echo \"x", "echo \\"] {
            assert!(matches!(split(command), Err(NotUnderstood::BadCommand { .. })), "{command}");
        }
    }
}
