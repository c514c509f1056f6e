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
pub(super) fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// `find` without a folder looks into its own, which is the user's and must be named for it.
pub(super) fn name_the_folder_of_find(argv: &mut Vec<String>) {
    if name(&argv[0]) != "find" {
        return;
    }
    let follows = argv.iter().skip(1).take_while(|word| matches!(word.as_str(), "-H" | "-L" | "-P")).count();
    if argv.get(1 + follows).is_none_or(|word| word.starts_with(['-', '(', '!'])) {
        argv.insert(1 + follows, ".".to_owned());
    }
}

/// What a program works on that is given no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pathless {
    /// Its own folder: `du -sh`, `ls -i`, `grep -rl TODO`.
    Folder,
    /// What it is sent, which is nothing: `wc -l`, `grep -c TODO`.
    Nothing,
}

/// What a program works on because no path is given; none where one is, or where it needs none.
pub(super) fn pathless(argv: &[String]) -> Option<Pathless> {
    let told =
        |word: &String| matches!(word.as_str(), "--help" | "--version") || word.starts_with("--files0-from");
    if argv.iter().any(told) {
        return None;
    }
    let program = name(&argv[0]);
    if matches!(program, "grep" | "egrep") {
        let letters =
            |word: &str| word.starts_with('-') && !word.starts_with("--") && word.contains(['r', 'R']);
        let below = |word: &String| {
            letters(word) || matches!(word.as_str(), "--recursive" | "--dereference-recursive")
        };
        let operands = argv.iter().skip(1).filter(|word| !word.starts_with('-')).count();
        let files = (1..argv.len()).any(|at| takes(argv, at) == Takes::File);
        return match argv.iter().any(below) {
            _ if files || operands == 0 => None,
            true => Some(Pathless::Folder),
            false => Some(Pathless::Nothing),
        };
    }
    let (letters, names, works_on): (&str, &[&str], _) = match program {
        "ls" => ("wIT", &["--width", "--ignore", "--hide", "--sort", "--time", "--format"], Pathless::Folder),
        "du" => ("dBtX", &["--max-depth", "--exclude", "--threshold", "--exclude-from"], Pathless::Folder),
        "tree" => ("LPIoHT", &[], Pathless::Folder),
        "head" => ("nc", &["--lines", "--bytes"], Pathless::Nothing),
        "tail" => ("ncs", &["--lines", "--bytes", "--pid", "--sleep-interval"], Pathless::Nothing),
        "sort" => ("ktoST", &["--key", "--field-separator", "--output"], Pathless::Nothing),
        "uniq" => ("fsw", &["--skip-fields", "--skip-chars", "--check-chars"], Pathless::Nothing),
        "nl" => ("bdfhilnsvw", &[], Pathless::Nothing),
        "wc" | "cat" | "tac" | "md5sum" | "sha1sum" | "sha256sum" | "sha512sum" => {
            ("", &[], Pathless::Nothing)
        }
        _ => return None,
    };
    (!has_operand(argv, letters, names)).then_some(works_on)
}

/// Whether an argument is no option and no value of one; `letters` and `names` are those of the options whose value is
/// the next argument.
fn has_operand(argv: &[String], letters: &str, names: &[&str]) -> bool {
    let (mut value, mut end) = (false, false);
    for word in argv.iter().skip(1) {
        let option = word.starts_with('-') && word.len() > 1;
        if end || !(value || option) {
            return true;
        }
        end = !value && word == "--";
        let short = word.strip_prefix('-').filter(|short| !short.starts_with('-'));
        let valued = short.is_some_and(|short| short.ends_with(|c| letters.contains(c)));
        value = !value && (valued || names.contains(&word.as_str()));
    }
    false
}

/// A pattern of a whole path that counts on the folder of `find` being called `.`: none fits.
pub(super) fn pattern_of_here(argv: &[String]) -> Option<&str> {
    if name(&argv[0]) != "find" {
        return None;
    }
    let whole = |word: &str| matches!(word, "-path" | "-wholename" | "-ipath" | "-iwholename");
    argv.windows(2).find(|two| whole(&two[0]) && two[1].starts_with("./")).map(|two| two[1].as_str())
}

/// What an argument of a program is, as far as the program tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// A file or a folder, whatever it looks like.
    File,
    /// Nothing of the kind: an option, what is looked for, a condition.
    NoFile,
    /// It may be one if it looks like it.
    Perhaps,
}

/// What the argument at this place is.
pub(super) fn takes(argv: &[String], at: usize) -> Takes {
    match argv.first().map_or("", |program| name(program)) {
        // Its folders stand before its conditions.
        "find" => {
            let follows = |argument: &str| matches!(argument, "-H" | "-L" | "-P");
            let condition = |argument: &String| argument.starts_with(['-', '(', '!']) && !follows(argument);
            let conditions = argv.iter().take(at + 1).skip(1).any(condition);
            let of_a_file =
                |before: &String| matches!(before.as_str(), "-newer" | "-anewer" | "-cnewer" | "-samefile");
            let compared = argv.get(at - 1).is_some_and(of_a_file);
            if (conditions && !compared) || follows(&argv[at]) { Takes::NoFile } else { Takes::File }
        }
        "grep" | "egrep" => of_grep(argv, at),
        program if TEXT_PROGRAMS.contains(&program) => Takes::NoFile,
        program if FILE_PROGRAMS.contains(&program) => Takes::File,
        _ => Takes::Perhaps,
    }
}

/// What is looked for stands before the files, unless an option says it; an option's value is its own.
fn of_grep(argv: &[String], at: usize) -> Takes {
    // Behind `--` there are no options.
    let end = argv.iter().position(|argument| argument == "--").unwrap_or(argv.len());
    let mut looked_for = argv[..end].iter().skip(1).any(|argument| GrepOption::of(argument).says_pattern());
    let mut value = None;
    for (place, argument) in argv.iter().enumerate().skip(1) {
        let option = if place > end { GrepOption::None } else { GrepOption::of(argument) };
        let takes = match (value.take(), option) {
            (Some(takes), _) => takes,
            (None, GrepOption::None) if looked_for => Takes::File,
            (None, GrepOption::None) => {
                looked_for = true;
                Takes::NoFile
            }
            (None, GrepOption::Pattern { whole: false } | GrepOption::Other { value: true }) => {
                value = Some(Takes::NoFile);
                Takes::NoFile
            }
            (None, GrepOption::File { whole: false }) => {
                value = Some(Takes::File);
                Takes::NoFile
            }
            (None, GrepOption::Pattern { .. } | GrepOption::File { .. } | GrepOption::Other { .. }) => {
                Takes::NoFile
            }
        };
        if place == at {
            return takes;
        }
    }
    Takes::Perhaps
}

/// An argument of `grep` (GNU grep 3.8, "Command-line Options").
#[derive(Clone, Copy)]
enum GrepOption {
    /// It is none.
    None,
    /// It says what is looked for; `whole`: it holds it, else the next argument does.
    Pattern { whole: bool },
    /// It names a file of what is looked for.
    File { whole: bool },
    /// Another one, whose value is the next argument if it has one there.
    Other { value: bool },
}

impl GrepOption {
    fn of(argument: &str) -> Self {
        if let Some(long) = argument.strip_prefix("--") {
            let (name, whole) = long.split_once('=').map_or((long, false), |(name, _)| (name, true));
            return match name {
                "regexp" => GrepOption::Pattern { whole },
                "file" => GrepOption::File { whole },
                "after-context" | "before-context" | "context" | "max-count" | "include" | "exclude"
                | "exclude-dir" | "label" => GrepOption::Other { value: !whole },
                _ => GrepOption::Other { value: false },
            };
        }
        let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            return GrepOption::None;
        };
        // The first letter that takes a value has the rest of them, or the next argument.
        let Some((at, letter)) = letters
            .char_indices()
            .find(|(_, letter)| matches!(letter, 'e' | 'f' | 'A' | 'B' | 'C' | 'm' | 'd' | 'D'))
        else {
            return GrepOption::Other { value: false };
        };
        let whole = at + 1 < letters.len();
        match letter {
            'e' => GrepOption::Pattern { whole },
            'f' => GrepOption::File { whole },
            _ => GrepOption::Other { value: !whole },
        }
    }

    fn says_pattern(self) -> bool {
        matches!(self, GrepOption::Pattern { .. } | GrepOption::File { .. })
    }
}

/// Whether a command is there to change the files that it is given, and is given one.
pub(super) fn changes_files(argv: &[String]) -> bool {
    // `rm --help`
    let mut given = argv.iter().skip(1).filter(|word| !word.starts_with('-') && *word != "/dev/null");
    match argv.first().map_or("", |program| name(program)) {
        "dd" => given.any(|word| output_of_dd(word).is_some_and(|file| file != "/dev/null")),
        "find" => argv.iter().any(|word| word == "-delete"),
        "sed" => argv.iter().skip(1).any(|word| word.starts_with("-i") || word.starts_with("--in-place")),
        program => CHANGING_PROGRAMS.contains(&program) && given.next().is_some(),
    }
}

/// The file that `dd of=FILE` writes.
pub(super) fn output_of_dd(word: &str) -> Option<&str> {
    word.strip_prefix("of=")
}

/// Whether a program that changes files makes those that are not there: `dd of=new` needs nothing of before.
pub(super) fn makes_files(program: &str) -> bool {
    matches!(name(program), "dd" | "tee" | "truncate" | "ln")
}

const CHANGING_PROGRAMS: &[&str] =
    &["rm", "rmdir", "mv", "chmod", "chown", "truncate", "unlink", "shred", "ln", "tee"];

/// Whether a command can do nothing without a network.
pub(super) fn needs_network(argv: &[String]) -> bool {
    let asks = argv.iter().skip(1).all(|argument| argument.starts_with('-'));
    argv.first().is_some_and(|program| NETWORK_PROGRAMS.contains(&name(program))) && !asks
}

const NETWORK_PROGRAMS: &[&str] =
    &["curl", "wget", "ping", "ssh", "scp", "dig", "nslookup", "host", "telnet", "nc", "traceroute"];

/// Programs whose arguments are texts, which they open no file by: `echo a.txt` says `a.txt`, and `dirname sub/a.txt`
/// says `sub`.
pub(super) const TEXT_PROGRAMS: &[&str] =
    &["echo", "printf", "expr", "basename", "dirname", "seq", "sleep", "yes", "factor", "numfmt"];

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
    "unlink",
    "shred",
    "mv",
    "cp",
    "ln",
    "truncate",
    "tee",
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

    /// P10: what is looked for stays as it was written, whatever lies here.
    #[test]
    fn an_argument_is_a_file_where_the_program_takes_one() {
        for (command, files) in [
            ("grep Cargo.toml README.md", vec![2]),
            ("grep -m 1 test notes.txt", vec![4]),
            ("grep -A 2 -rn test src", vec![5]),
            ("grep -rne test src lib", vec![3, 4]),
            ("grep src -e test", vec![1]),
            ("grep -etest src", vec![2]),
            ("grep --regexp=test src", vec![2]),
            ("grep --include '*.rs' -r test src", vec![5]),
            ("grep -f words.txt src", vec![2, 3]),
            ("egrep -C2 test src", vec![3]),
            ("find src lib -name notes.txt", vec![1, 2]),
            ("find src ( -newer notes.txt )", vec![1, 4]),
            ("find -L src -newer notes.txt -name test", vec![2, 4]),
            ("grep -- -e notes.txt", vec![3]),
            ("wc -l notes.txt", vec![1, 2]),
        ] {
            let argv: Vec<String> =
                command.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect();
            let taken: Vec<usize> = (1..argv.len()).filter(|at| takes(&argv, *at) == Takes::File).collect();
            assert_eq!(taken, files, "{command}");
        }
        let echo = ["echo", "notes.txt", "/etc/hosts"].map(str::to_owned);
        assert_eq!([1, 2].map(|at| takes(&echo, at)), [Takes::NoFile; 2]);
        let cargo = ["cargo", "test"].map(str::to_owned);
        assert_eq!(takes(&cargo, 1), Takes::Perhaps);
    }

    /// P10: an empty folder and an empty input give no answer.
    #[test]
    fn a_program_without_a_path_is_told_what_it_works_on() {
        for (command, works_on) in [
            ("ls", Some(Pathless::Folder)),
            ("ls -w 80 --sort size", Some(Pathless::Folder)),
            ("ls -w 80 src", None),
            ("ls -- -x", None),
            ("du -hd 1", Some(Pathless::Folder)),
            ("du --max-depth 1", Some(Pathless::Folder)),
            ("du --max-depth=1 src", None),
            ("du --files0-from=a", None),
            ("tree --version", None),
            ("grep -rl TODO", Some(Pathless::Folder)),
            ("grep --recursive TODO", Some(Pathless::Folder)),
            ("grep -rl TODO src", None),
            ("grep -c TODO", Some(Pathless::Nothing)),
            ("grep -V", None),
            ("wc -l", Some(Pathless::Nothing)),
            ("wc -l -", None),
            ("stat", None),
        ] {
            let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(pathless(&argv), works_on, "{command}");
        }
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
