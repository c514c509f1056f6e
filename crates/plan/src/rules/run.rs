//! "Run `uname -a`", "execute echo hello", "run the command ls -la /tmp".
//!
//! Promises: what is not in quotes is a command only when it begins with a program that is
//! known by name or by path, and has no word of English grammar in it: "run a marathon", "run
//! tests" and "run date night ideas by me" are no commands.

use super::clause::{AND, Clause, THEN};
use super::cursor::Cursor;
use super::place::Place;
use super::token::{Kind, Token};
use super::words::SHOW;
use super::{argv, grep, named};

/// A command as the goal writes it, not yet cut into arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) line: String,
}

pub(super) const RUN: &[&str] = &["run", "execute", "invoke", "call"];
pub(super) const COMMAND: &[&str] = &[
    "the command",
    "command",
    "the program",
    "program",
    "the shell command",
    "shell command",
    "this command",
    "the following command",
    "a command",
    "the command line",
    "the following",
];

/// Programs whose names are no English words: what follows them is theirs.
pub(super) const PROGRAMS: &[&str] = &[
    "ls",
    "pwd",
    "echo",
    "printf",
    "expr",
    "uname",
    "whoami",
    "hostname",
    "df",
    "du",
    "ps",
    "wc",
    "grep",
    "egrep",
    "sed",
    "awk",
    "git",
    "cargo",
    "rustc",
    "rustfmt",
    "python",
    "python3",
    "pip",
    "pip3",
    "npm",
    "npx",
    "java",
    "javac",
    "gcc",
    "g++",
    "cc",
    "clang",
    "cmake",
    "curl",
    "wget",
    "ping",
    "uptime",
    "printenv",
    "realpath",
    "readlink",
    "dirname",
    "basename",
    "sha256sum",
    "sha512sum",
    "sha1sum",
    "md5sum",
    "lscpu",
    "lsblk",
    "lsof",
    "nproc",
    "tar",
    "gzip",
    "gunzip",
    "bzip2",
    "zcat",
    "unzip",
    "xxd",
    "hexdump",
    "od",
    "seq",
    "stat",
    "tac",
    "uniq",
    "diff",
    "cmp",
    "mkdir",
    "rmdir",
    "rm",
    "mv",
    "cp",
    "chmod",
    "chown",
    "ln",
    "unlink",
    "truncate",
    "shred",
    "dd",
    "systemctl",
    "journalctl",
    "dmesg",
    "ip",
    "ifconfig",
    "netstat",
    "ss",
    "dig",
    "nslookup",
    "psql",
    "sqlite3",
    "redis-cli",
    "docker",
    "kubectl",
    "pytest",
    "jq",
    "tr",
    "xargs",
    "whereis",
    "ldd",
    "strace",
    "bash",
    "sh",
    "zsh",
    "perl",
    "ruby",
    "php",
    "deno",
    "bun",
    "yarn",
    "pnpm",
    "mvn",
    "gradle",
    "terraform",
    "helm",
    "ssh",
    "scp",
    "rsync",
];

/// Programs whose names are English words too: alone, or followed by an option, a path or a number.
pub(super) const ENGLISH_PROGRAMS: &[&str] = &[
    "date", "file", "free", "find", "make", "sort", "cut", "who", "w", "sleep", "true", "false", "go",
    "node", "host", "id", "env", "cat", "head", "tail", "top", "which", "cal", "less", "more", "touch",
    "tree", "time", "yes", "arch", "groups", "last", "locale", "nl", "paste", "split", "sync", "tee",
    "users", "watch", "zip",
];

/// Words that belong to the sentence rather than to a command; with one of them outside quotes
/// nobody can say where the command ends.
pub(super) const SENTENCE: &[&str] = &[
    "please",
    "thanks",
    "me",
    "it",
    "them",
    "the",
    "that",
    "this",
    "or",
    "if",
    "unless",
    "until",
    "when",
    "with",
    "in",
    "on",
    "to",
    "from",
    "as",
    "of",
    "for",
    "a",
    "an",
    "my",
    "your",
    "because",
    "but",
    "so",
    "every",
    "again",
    "twice",
    "once",
    "by",
    "into",
    "not",
    "without",
    "using",
    "while",
    "before",
    "after",
    "should",
    "must",
    "times",
    "now",
    "right",
    "today",
    "tomorrow",
    "yesterday",
    "tonight",
    "later",
    "soon",
    "immediately",
    "hourly",
    "daily",
    "weekly",
    "always",
    "never",
    "quickly",
    "slowly",
    "carefully",
    "under",
    "inside",
    "within",
    "at",
    "over",
    "via",
    "through",
    "during",
    "since",
    "is",
    "are",
    "was",
    "i",
    "you",
    "we",
    "can",
    "could",
    "will",
    "would",
    "may",
    "only",
    "too",
    "do",
    "don't",
];

/// Say how or where something is run, as the last word of a command; in quotes they are its arguments.
const MANNERS: &[&str] = &[
    "quietly",
    "silently",
    "verbosely",
    "normally",
    "locally",
    "remotely",
    "globally",
    "manually",
    "automatically",
    "properly",
    "correctly",
    "safely",
    "securely",
    "gently",
    "briefly",
    "simply",
    "repeatedly",
    "regularly",
    "periodically",
    "continuously",
    "constantly",
    "forever",
    "indefinitely",
    "here",
    "there",
    "yourself",
    "myself",
    "first",
    "last",
    "instead",
    "anyway",
    "thrice",
];

/// "show the output of `date -u`": what stands in quotes there is a command.
fn output_of(c: &mut Cursor<'_>) -> Option<Clause> {
    c.need(SHOW)?;
    c.accept(&["the"]);
    c.need(&["output of", "output of running", "result of running"])?;
    c.accept(COMMAND);
    let quoted = c.take(|t| t.kind == Kind::Quoted && !t.text.trim().is_empty())?;
    c.accept(&["command", "program"]);
    Some(Clause::Run(Command { line: quoted.text.clone() }))
}

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    if let Some(clause) = c.attempt(output_of) {
        return Some(clause);
    }
    c.need(RUN)?;
    let behind = c.attempt(|c| {
        c.need(&["the"])?;
        let quoted = c.take(|t| t.kind == Kind::Quoted && !t.text.trim().is_empty())?;
        c.need(&["command", "program"])?;
        Some(Clause::Run(Command { line: quoted.text.clone() }))
    });
    if behind.is_some() {
        return behind;
    }
    let called = c.accept(COMMAND);
    if c.take(|t| t.text == ":").is_some() {
        while c.punctuation(Kind::Newline) {}
    }
    if let Some(quoted) = c.take(|t| t.kind == Kind::Quoted && !t.text.trim().is_empty()) {
        c.accept(&["command", "program"]);
        return Some(Clause::Run(Command { line: quoted.text.clone() }));
    }
    bare(c, called).map(|line| Clause::Run(Command { line }))
}

/// Programs that tell something of a text or of files: `sed -n 1,2p notes.txt` is a command also without "run".
/// What shows what a goal cannot do stands here, too. With other names that are no English words only what looks
/// like an argument follows.
pub(super) const TELLING: &[&str] = &[
    "ls",
    "wc",
    "sed",
    "awk",
    "realpath",
    "readlink",
    "dirname",
    "basename",
    "sha256sum",
    "sha512sum",
    "sha1sum",
    "md5sum",
    "zcat",
    "xxd",
    "hexdump",
    "od",
    "seq",
    "stat",
    "tac",
    "uniq",
    "diff",
    "cmp",
    "jq",
    "du",
    "rmdir",
    "rm",
    "mv",
    "chmod",
    "chown",
    "unlink",
    "truncate",
    "shred",
];
/// The same of those that are English words, too, or begin what is none ("echo chamber"): a path, an option or a
/// quoted text must follow.
pub(super) const TELLING_ENGLISH: &[&str] =
    &["sort", "cut", "file", "find", "nl", "cat", "head", "tail", "echo", "printf"];
/// Tell something without any argument.
const ALONE: &[&str] = &["uname", "hostname", "nproc"];
/// What these make is the task's, and whoever leaves out "run" may want it here.
const MAKING: &[&str] = &["mkdir", "cp", "tar", "gzip", "gunzip", "bzip2", "unzip"];
/// What these are told to do; behind another word they are somebody's subject.
const SUBCOMMANDS: &[(&str, &[&str])] = &[
    (
        "git",
        &[
            "add", "blame", "branch", "checkout", "clone", "commit", "diff", "fetch", "init", "log", "merge",
            "pull", "push", "rebase", "reset", "show", "stash", "status", "switch", "tag",
        ],
    ),
    ("cargo", &["add", "bench", "build", "check", "clippy", "doc", "fmt", "init", "new", "run", "test"]),
    ("npm", &["ci", "init", "install", "run", "start", "test"]),
    ("docker", &["build", "exec", "images", "logs", "ps", "pull", "push", "run", "stop"]),
    ("kubectl", &["apply", "delete", "describe", "get", "logs"]),
    ("systemctl", &["restart", "start", "status", "stop"]),
    ("pip", &["install", "list"]),
    ("pip3", &["install", "list"]),
];
const SAY_RUN: &str = "say \"run\" in front of it, or \"run `…`\", if it is a command; \
                       it works in an empty folder of the task's own";

/// A command as a goal's first words, without "run".
pub(super) fn without_verb(c: &mut Cursor<'_>) -> Option<Clause> {
    c.last_resort(told_by_its_name)
}

fn told_by_its_name(c: &mut Cursor<'_>) -> Option<Clause> {
    let program = c.peek().filter(|t| t.kind == Kind::Word && is_program(&t.text))?.text.as_str();
    let from = c.at();
    let mut all = c.clone();
    let line = bare(&mut all, true)?;
    // A dash that a text program has made of `-`; and what never ends.
    if line.contains(['–', '—']) || (program == "tail" && follows(&line)) {
        return None;
    }
    let arguments = all.at() > from + 1;
    // `pwd -P`
    if program == "pwd" && arguments {
        *c = all;
        return Some(Clause::Unclear("say \"pwd\": a command's own folder is one of the task's"));
    }
    let telling = match program {
        // With options that are known here it is no command.
        "grep" | "egrep" => {
            let words = || line.split(' ').skip(1);
            let option = |word: &str| word.starts_with('-') && word.len() > 1;
            // `grep TODO -r src`
            let behind = words().skip_while(|word| option(word)).any(option);
            behind || words().any(|word| option(word) && !grep::is_option(word))
        }
        _ => TELLING.contains(&program) && (points(c.clone(), all.at()) || changes_files(&line)),
    };
    if (telling && arguments) || (ALONE.contains(&program) && !arguments) {
        *c = all;
        return Some(Clause::Run(Command { line }));
    }
    let mut plainly = c.clone();
    plainly.bump();
    let place = c.place();
    // `find . -type f`: what stands behind an option is its value.
    let mut option = false;
    while plainly.glued_comma()
        || delimiter(&mut plainly, program)
        || negation(&mut plainly, program)
        || plainly
            .take(|t| is_argument(t, true, place) || (option && is_argument(t, false, place)))
            .is_some_and(|t| {
                option = program == "find" && t.text.starts_with('-');
                true
            })
    {}
    let known = PROGRAMS.contains(&program) && !MAKING.contains(&program);
    let plain = arguments && plainly.at() == all.at();
    // "find 'helper.py'" looks for a name or a text: one that is no path is left to whoever asks.
    if program == "find" && c.all_quoted(from + 1, all.at()) {
        *c = all;
        return Some(Clause::Unclear("say \"find the file named '…'\" or \"search for '…' in …\""));
    }
    // `date +%Y`
    let formatted = program == "date"
        && line.split_whitespace().nth(1).is_some_and(|word| {
            let word = word.trim_start_matches(['\'', '"']);
            word.starts_with(['+', '-']) && word.len() > 1
        });
    if plain && formatted {
        *c = all;
        return Some(Clause::Run(Command { line }));
    }
    if plain && (known || TELLING_ENGLISH.contains(&program)) && !matches!(program, "grep" | "egrep") {
        *c = all;
        return Some(Clause::Run(Command { line }));
    }
    // "git status" may be one, and "python tutorial" is none.
    let second = line.split_whitespace().nth(1).unwrap_or_default();
    let subcommand = SUBCOMMANDS.iter().any(|(of, known)| *of == program && known.contains(&second));
    if !subcommand && !MAKING.contains(&program) && !matches!(program, "echo" | "printf") {
        return None;
    }
    *c = all;
    Some(Clause::Unclear(SAY_RUN))
}

/// `tail -f`
fn follows(line: &str) -> bool {
    let letter = |word: &str| word.starts_with('-') && !word.starts_with("--") && word.contains(['f', 'F']);
    line.split(' ').any(|word| letter(word) || word.starts_with("--follow"))
}

/// Whether one of the words behind a program, up to `end`, can only be its argument: "awk basics" and "dirname church"
/// have none.
fn points(mut c: Cursor<'_>, end: usize) -> bool {
    c.bump();
    let place = c.place();
    while let Some(token) = c.take(|_| true).filter(|_| c.at() <= end) {
        if is_argument(token, true, place) || place.knows(&token.text) {
            return true;
        }
    }
    false
}

/// Such a command is refused with the reason.
fn changes_files(line: &str) -> bool {
    argv::split(line).is_ok_and(|argv| argv::changes_files(&argv))
}

/// An unquoted command, up to the next joint between clauses.
fn bare(c: &mut Cursor<'_>, called: bool) -> Option<String> {
    let from = c.at();
    let program = c.word(|t| is_program(&t.text) || is_path(&t.text))?;
    let english = ENGLISH_PROGRAMS.contains(&program.text.as_str()) && !called;
    let (mut first, mut adverb) = (true, None);
    let (mut pattern, mut optional) = (matches!(program.text.as_str(), "grep" | "egrep"), false);
    loop {
        let mut ahead = c.clone();
        if ahead.accept(THEN) || ahead.accept(AND.get(..3).unwrap_or_default()) {
            break;
        }
        // "run seq 3; run seq 2" are two.
        if ahead.punctuation(Kind::Semicolon) && ahead.accept(RUN) {
            break;
        }
        if c.glued_comma() || delimiter(c, &program.text) || negation(c, &program.text) {
            continue;
        }
        let place = c.place();
        // What `grep` looks for may be any word: `grep -c a notes.txt`.
        let looked_for = |t: &Token| pattern && optional && t.kind == Kind::Word;
        let before = c.clone();
        let Some(token) = c.take(|t| is_argument(t, english && first, place) || looked_for(t)) else { break };
        // "run ./build.sh quietly": how it is run, and no argument.
        // "run echo hello there" says it.
        let said = argv::TEXT_PROGRAMS.contains(&program.text.as_str()) && !token.lower.ends_with("ly");
        let manner = token.kind == Kind::Word && MANNERS.contains(&token.lower.as_str()) && !said;
        adverb = (manner && place.is_folder(&token.text).is_none()).then_some(before);
        let option = token.text.starts_with('-');
        first = first && option;
        (pattern, optional) = (pattern && option, optional || option);
    }
    if let Some(before) = adverb {
        *c = before;
    }
    let line = c.since(from).trim().to_owned();
    (!line.is_empty()).then_some(line)
}

/// The comma of `cut -d, -f1 a.csv`, which ends an option and no clause.
fn delimiter(c: &mut Cursor<'_>, program: &str) -> bool {
    const DELIMITED: &[(&str, &str)] =
        &[("cut", "-d"), ("paste", "-d"), ("sort", "-t"), ("join", "-t"), ("awk", "-F"), ("seq", "-s")];
    DELIMITED.iter().any(|(of, option)| *of == program && c.option_with_comma(option))
}

/// The `!` of `find notes ! -name '*.md'`.
fn negation(c: &mut Cursor<'_>, program: &str) -> bool {
    let negated = |c: &mut Cursor<'_>| {
        c.take(|t| t.kind == Kind::Stop && t.text == "!")?;
        c.peek().filter(|t| t.kind == Kind::Word && t.text.starts_with('-')).map(|_| ())
    };
    program == "find" && c.attempt(negated).is_some()
}

fn is_program(text: &str) -> bool {
    PROGRAMS.contains(&text) || ENGLISH_PROGRAMS.contains(&text)
}

/// `/usr/bin/env`, `./build.sh`, `~/bin/x`
fn is_path(text: &str) -> bool {
    text.starts_with("./") || text.starts_with("../") || (text.starts_with('/') && text.len() > 1)
}

fn is_argument(token: &Token, must_be_plain: bool, place: &Place) -> bool {
    match token.kind {
        Kind::Quoted | Kind::Semicolon => true,
        Kind::Word => {
            let plain = token.text.starts_with(['-', '+', '/', '.', '~'])
                || token.text.starts_with(|f: char| f.is_ascii_digit())
                || named::is_bare_file(token)
                || (place.is_folder(&token.text).is_some() && !named::is_grammar(token))
                || (token.text.contains('/') && (named::is_certain(&token.text) || place.knows(&token.text)));
            (plain || !must_be_plain || is_operator(&token.text)) && !SENTENCE.contains(&token.lower.as_str())
        }
        Kind::Comma | Kind::Stop | Kind::Newline => false,
    }
}

/// What a shell would act on: it belongs to the command, whose cutting then refuses it.
fn is_operator(text: &str) -> bool {
    text.starts_with(['|', '>', '<', '&', '$', '('])
}
