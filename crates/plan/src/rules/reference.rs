//! `docs/offline-goals.md`, printed from the tables that the rules use.

use super::cursor::Table;
use super::{
    argv, clause, conditions, count, disk, entries, extent, fetch, hash, kinds, lacking, lines, list,
    machine, named, orders, place::Place, plan, read, run, search, state, whom, words,
};
use crate::Instruction;
use std::fmt::Write;

/// One kind of goal: what it does, and goals that are understood as they stand.
struct Kind {
    title: &'static str,
    says: &'static str,
    begins: &'static [&'static [&'static str]],
    examples: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        title: "List a folder",
        says: "Shows the entries of the folder itself; `recursively`, \"under\" and \"below\" show those below, too. In a plain listing \"files\" means \
               whatever lies in the folder, as with `ls`; \"only files\" leaves folders out, and so does a condition, an order, \
               a number, or a later step that works on the files. Hidden entries are shown only when asked for: with \"all files\", \
               \"every folder\" or \"everything\", with the words below, with `ls -a`, or by a name that begins with a dot; a pattern \
               or an ending (`*.log`, \"all .log files\") fits no hidden name, as in a shell. A folder behind the last of several \
               (\"find .csv files and .json files in data\") is meant for all of them. Without a folder the current one of \
               `octollm run` is meant, here and for counts and searches by name, age and size, unless the goal has spoken of another \
               before; `ls -l` and the words for details tell the permissions, the size and the last change of each. A listing of the files that hold a text is a \
               search, which looks into folders below and hidden files, too. Folders alone \
               are not put in order by size: \"Disk use\" says how much lies in each. \
               Where only the largest or newest, or those of an age or a size are shown, the answer says that there are \
               folders that it has not looked into.",
        begins: &[list::LIST, words::SHOW],
        examples: &[
            "List the files in /tmp directory",
            "list all files in ~/Documents including hidden ones, recursively",
            "show me the 5 largest files in /var/log",
            "list .log files in /var/log older than a week",
            "list files sorted by size",
            "What is in /tmp?",
        ],
    },
    Kind {
        title: "Find files",
        says: "Searches the folder and all folders below it, by name, age, size and text; hidden files too, \
               unless it says \"without hidden files\". `find FOLDER` with `-name` and `-type` finds the folder itself, too, \
               where it fits; with other conditions (`-size +1k -mtime -2`) the program itself is run. Names are known by their \
               text and by patterns (`*.csv *.json`), and not by kinds of characters (\"with spaces in their names\"): what is meant \
               stands in quotes. A pattern in quotes is refused where it may be a name (`'star*.txt'`).",
        begins: &[list::FIND],
        examples: &[
            "find all .log files in /var/log bigger than 10 MB",
            "find files named 'Cargo.toml' under ~/src",
            "find files in /tmp modified in the last 2 days",
            "find files in /etc containing 'localhost'",
            "find the 3 newest files in /var/log",
            "find files in ~/notes changed today",
            "find .py or .rs files in ~/src",
        ],
    },
    Kind {
        title: "Read files",
        says: "Shows the text of files, whole, the first or last lines, or lines by their numbers; of a line that a file \
               does not have, it is told how many there are. `head` and `tail` show 10 lines when no number is given. \
               A file that is named, fits a pattern or was found, and is not there or cannot be read, fails the goal, here and \
               wherever a goal works on files; the failure shows what the others gave. So does a pattern \
               (`read *.txt`) that fits nothing, as in a shell; a search that finds nothing says so. A pattern in the \
               place of names takes a link for the file that it leads to; searches and conditions go through no link. \
               They go no deeper than 128 folders and look at a million entries at most: beyond that a number, a digest or \
               a search for a text fails, and a listing says so. What lies below a folder and may not be read is told.",
        begins: &[read::READ, words::SHOW],
        examples: &[
            "read /etc/hosts",
            "show the first 5 lines of /etc/passwd",
            "show lines 3 to 7 of notes.txt",
            "what is the second line of notes.txt?",
            "tail -n 20 /var/log/syslog",
            "print notes.txt",
        ],
    },
    Kind {
        title: "Count",
        says: "Counts lines, words, bytes or characters in files or in a quoted text, and files or folders in a folder: \
               hidden ones, too, unless it says \"without hidden files\". A last line counts as one of the lines without a line \
               end, too; `wc -l` counts line ends alone, as it does in a shell. Words are those of GNU `wc` in a UTF-8 locale: \
               spaces that break no line part them, too, and what cannot be seen makes none. A file that is named twice counts \
               twice. How many lines or files hold a text is told as numbers, with the files that could not be searched. \
               Files in the folders below count when it says \"recursively\", \"under\" or \"below\"; else those of the folder \
               itself, and a number of files says that there are such folders. Links are in no number: of \"items\", \"entries\" and \
               \"everything\" none is told.",
        begins: &[&["count", "how many", "the number of", "wc -l", "wc -w", "wc -c", "wc -m"]],
        examples: &[
            "count the lines in /etc/passwd",
            "how many words and characters are in notes.txt?",
            "wc -l /etc/passwd",
            "how many .log files are in /var/log?",
            "count the words in the text 'to be or not to be'",
            "how many lines in notes.txt contain 'milk'?",
            "how many files in ~/notes contain 'milk'?",
        ],
    },
    Kind {
        title: "Search in text",
        says: "Shows the lines that hold a text; in a folder, those of all files below it. The text stands in quotes or after \"the \
               word\"; a single plain word may stand bare after \"search for\" and, of files, after \"find\", \"mention\", \"containing\" and \
               the like; elsewhere only one that is written as in a program (`TODO`, `max_retries`). A quoted text that looks like a regular expression (`'^GET'`, \
               `'404|500'`) is called \"the text\" or \"the regex\". Of a long line the part around the match is shown. The pattern of \
               `grep` is a basic regular expression, with `-E` an extended one, and means what it means there, with \
               `\\b`, `\\<`, `\\>`, `\\w`, `\\s`, `[[:alpha:]]` and the like; what points back (`\\1`) is refused. A line that \
               \"ends with\" a text may have a carriage return behind it, as in files from Windows. \"Count the matches\" behind \
               a search tells how many lines it has found. The lines of one file that do not hold a text are told by `grep -v` in \
               the locked room.",
        begins: &[search::SEARCH],
        examples: &[
            "search notes.txt for milk and count the matches",
            "show the lines of notes.txt without 'milk'",
            "search for 'timeout' in /var/log/syslog ignoring case",
            "search ~/src for TODO",
            "find lines matching the regex '^root:' in /etc/passwd",
            "search for the word error in all .log files in /var/log",
            "grep -i localhost /etc/hosts",
        ],
    },
    Kind {
        title: "Lines of a file",
        says: "All of a file's lines in order, turned around or numbered, by a standard program in the locked \
               room (`sort`, `tac`, `cat`). What follows (\"then show the first 3 lines\") is about those lines, as it is \
               about what was fetched or what a command has printed.",
        begins: &[&["sort", "reverse", "number the lines of", "show … sorted"]],
        examples: &[
            "sort names.txt in reverse",
            "show notes.txt with line numbers",
            "sort names.txt, then show the first 3 lines",
        ],
    },
    Kind {
        title: "The date and the folder",
        says: "The date and time of the machine, the folder that relative paths start from, and the first and last part of a path \
               as it is written. Programs run in a locked room, as \
               nobody: of users, processes, memory and free space on disks they see nothing, so that goals that ask for these are \
               refused.",
        begins: &[machine::DATE, machine::HERE],
        examples: &["what is the date?", "pwd", "what is the dirname of src/main.rs?"],
    },
    Kind {
        title: "Hash",
        says: "Digests of files, of what was fetched, or of a text in quotes that looks like no file; SHA-256 when none is \
               named.",
        begins: &[&["hash", "checksum"], hash::NOUNS],
        examples: &[
            "hash /etc/hosts",
            "compute the md5 checksum of /etc/passwd",
            "sha512sum /etc/hosts /etc/passwd",
        ],
    },
    Kind {
        title: "Disk use",
        says: "How many bytes lie in files and below folders, and how many these take on the disk, as `du` has it. In the sum of \
               several what has two names, or lies in two of them, counts once. \"The file sizes in\" a folder are those of each of \
               its files.",
        begins: &[disk::NOUNS, &["how big", "how large", "how much space", "du"]],
        examples: &[
            "show the disk usage of /var/log",
            "how much space does ~/Downloads take up?",
            "how big is /etc/hosts?",
        ],
    },
    Kind {
        title: "Compare two files",
        says: "Whether two files hold the same bytes, and where they first differ.",
        begins: &[&["compare", "diff", "are … identical", "is … the same as"]],
        examples: &[
            "compare a.txt with b.txt",
            "are /etc/hosts and /tmp/hosts identical?",
            "read a.txt and compare it with b.txt",
        ],
    },
    Kind {
        title: "Ask about a file",
        says: "Whether a file or a folder is there, how many bytes it has or what lies in it, and when it was last changed. \
               Where there is no such folder, nothing in it exists; of what is not there no time is told, and the goal fails.",
        begins: &[&["does … exist", "is … empty", "when was … modified", "how old is …"], state::TIME],
        examples: &[
            "does ~/notes/todo.txt exist?",
            "is notes.txt empty?",
            "when was notes.txt last modified?",
        ],
    },
    Kind {
        title: "Fetch a URL",
        says: "The body that a GET of an `http` or `https` URL gives. Only that host and port may be connected to.",
        begins: &[fetch::FETCH],
        examples: &["fetch https://example.org/", "download the page at http://example.org:8080/a"],
    },
    Kind {
        title: "Run a command",
        says: "Runs one program with its arguments in the locked room, without a shell. The command stands in quotes or \
               backticks; bare, it must begin with a program that is known by name, or a path. Characters that only a shell \
               understands (`| > < ; & $ * ?` and the like) are refused outside quotes. The command runs in the task's own folder, \
               which is empty at first, and sees nothing of the folder in which `octollm run` was started unless an argument names \
               it. Until an earlier command may have left something there, `ls`, `du`, `tree` and `grep -r` without a path look into the \
               folder in which `octollm run` was started, and `find` always does; another program that looks at its folder (`git`, …) or fails is followed by a \
               line that says so. A last word that says how it is run (\"quietly\", \"here\") is refused outside quotes. The files \
               that a command leaves there are the task's. An \
               argument that begins with `../`, or with the name of something in the folder in which `octollm run` was \
               started, means the file there and may be read, not changed; a word without a dot or slash, and that folder \
               itself (`ls .`), do so only for the programs below whose arguments are files, for the files of `grep` and for the \
               folders of `find`. Programs that remove, move, re-own or overwrite files (`rm`, `mv`, `chmod`, `tee`, `ln`, …) may only do \
               so with what an earlier command of the goal has made. A program is nobody in its room, so that the owners and groups \
               that it tells (`stat`, `ls -l`) are `nobody`, whoever they are. Programs have no network: `curl` and the like are refused \
               behind \"run\", and \"fetch\" gets a URL. \"Run\" may be left out before programs that tell something \
               (`grep -c x notes.txt`, `tail -n +2 notes.txt`, `sed -n 1,2p notes.txt`, `cargo --version`).",
        begins: &[run::RUN],
        examples: &["run `uname -a`", "execute echo hello", "run the command ls -la /tmp"],
    },
    Kind {
        title: "Several steps",
        says: "Clauses are joined by words, punctuation, lines or numbers. \"It\", \"them\" and \"the output\" point back to what the \
               clause before names, finds or gives, when that is one thing without doubt: behind two searches, two readings or two \
               fetches they are refused.",
        begins: &[clause::THEN, clause::AND],
        examples: &[
            "find all .log files in /var/log and count their lines",
            "read the file notes.txt and count its words",
            "fetch https://example.org/ and search for 'Example' in the result",
            "list the 5 largest files in /tmp then show the disk usage of each",
            "1. list /tmp 2. count the lines in /etc/hosts",
        ],
    },
];

/// The reference of the goals that are understood without a model, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Goals that need no model\n\n\
         Printed from the grammar's own tables by the tests of `octollm-plan` (`UPDATE_DOCS=1 cargo test -p octollm-plan`); \
         do not edit.\n\n\
         Without a model, OctoLLM plans the goals below by rules. It never guesses: every word of a goal must belong to a phrase \
         of this page, or the whole goal is refused, nothing of it is done, and the refusal names the words. Upper and lower case \
         are the same except in paths, names and texts. Other goals need a model: \
         `OCTOLLM_MODEL_URL` names an OpenAI-compatible server (docs/models.md).\n\n\
         Examples show the tool calls that a goal becomes, for a home folder `/home/me` and a working folder `/home/me/work`.\n",
    );
    let here = Place { home: Some("/home/me".into()), cwd: Some("/home/me/work".into()), ..Place::default() };
    for kind in KINDS {
        put(&mut page, format_args!("\n## {}\n\n{}\n\nWords: ", kind.title, kind.says));
        let words: Vec<&str> = kind.begins.iter().flat_map(|table| table.iter().copied()).collect();
        put(&mut page, format_args!("{}.\n", quoted(words)));
        for example in kind.examples {
            put(&mut page, format_args!("\n- {example}\n"));
            for call in calls(example, &here) {
                put(&mut page, format_args!("  - `{call}`\n"));
            }
        }
    }
    conditions(&mut page);
    paths(&mut page);
    wrapped(&page)
}

/// The tool calls of a goal, as JSON; none when it is refused, which a test forbids.
fn calls(goal: &str, here: &Place) -> Vec<String> {
    let steps = plan(goal, here).map(|plan| plan.steps).unwrap_or_default();
    let call = |step: crate::PlanStep| match step.instruction {
        Instruction::Tool(call) => serde_json::to_string(&call).unwrap_or_default(),
        Instruction::Judge { .. } | Instruction::Think(_) => String::new(),
    };
    steps.into_iter().map(call).collect()
}

fn conditions(page: &mut String) {
    page.push_str("\n## Conditions on files and folders\n\n");
    page.push_str(
        "Each kind at most once, a size once for each end. A length of time counts back from the start of the step; a \
         file's age is that of its last change.\n\n",
    );
    row(page, "Nouns", entries::NOUNS);
    row(page, "Kinds, by the ending of the name", kinds::KINDS);
    row(page, "Names", conditions::NAMES);
    row(page, "Only", extent::ONLY);
    row(page, "Order and number, before the noun (`5 largest`)", orders::ORDERS);
    row(page, "Order, behind", orders::SORTED);
    list(page, "The names from Z to A, in a listing that nothing else works on", orders::TURNED);
    row(page, "Size", conditions::SIZES);
    row(page, "Age", conditions::AGES);
    row(page, "Age, with `old` or `ago` behind", conditions::AGES_OLD);
    list(page, "Changed", conditions::CHANGED);
    row(
        page,
        "Changed on days of the calendar, which are those of the machine that runs the step",
        conditions::DAYS,
    );
    list(page, "Changed within", conditions::WITHIN_LAST);
    list(page, "Unchanged for", conditions::UNCHANGED);
    row(page, "Text in files, in quotes", search::HOLDING);
    list(page, "Text that lines do not hold", lacking::LACKING);
    row(page, "Text at the beginning or the end of lines", search::EDGES);
    row(page, "Folders below", extent::RECURSION);
    row(page, "Hidden entries", extent::HIDDEN);
    list(page, "Details", extent::DETAILS);
    row(page, "Order of a file's lines", lines::HOW);
    row(page, "Upper and lower case in a search", search::CASE);
    row(page, "What is counted", count::THINGS);
    row(page, "Digests", hash::FUNCTIONS);
    row(page, "A text is announced by", search::TEXT);
    page.push_str("- Units of size, in bytes:");
    for (unit, bytes) in words::SIZE_UNITS {
        put(page, format_args!(" {unit} = {bytes};"));
    }
    page.push_str("\n- Units of time, in seconds:");
    for (unit, millis) in words::TIME_UNITS {
        put(page, format_args!(" {unit} = {};", millis / 1000));
    }
    page.push('\n');
}

fn paths(page: &mut String) {
    page.push_str("\n## Paths, pointing back, politeness\n\n");
    page.push_str(
        "A path is a word with a slash, one that begins with `~`, `.` or `..`; a bare name counts as a file when it has one of the \
         endings below, and any name counts in quotes behind \"the file\" or \"the folder\", and bare behind \
         \"the file named\"; `octollm run` knows what lies in the current folder by its name, bare or in quotes (not `a` and `i`), and whether a path \
         that the goal names is a file or a folder. A comma without \
         a space belongs to the name where a file is called so, or where no file ends before it (`a,b.txt`). The name at a \
         path's end may have a `*` where files are meant and it stands in no quotes (`src/*.rs`, `src/**/*.rs`); in quotes `*` \
         and `?` are characters of the name. Spaces are escaped with a \
         backslash or stand in quotes (`'`, `\"`, `` ` ``). Relative paths start from the folder in which `octollm run` was started; \
         `octollm serve` refuses them. Paths with slashes that end in no such ending (`client/server`) are written `./client/server` \
         when they are read, hashed or compared, and everywhere when nothing of the first name lies in the current folder.\n\n",
    );
    list(page, "Endings of file names", named::ENDINGS);
    row(page, "Pointing back", whom::EARLIER);
    list(page, "The folder that was spoken of, behind \"in\"", entries::THERE);
    row(page, "Owning", whom::OWNERS);
    list(page, "Before a clause", words::POLITE);
    list(page, "Behind the last", words::POLITE_END);
    list(page, "Programs that may be run bare", run::PROGRAMS);
    list(
        page,
        "Programs that may be run bare when alone or followed by an option, a path or a number",
        run::ENGLISH_PROGRAMS,
    );
    list(
        page,
        "Programs that need no \"run\" where what follows has an argument such as an option or a path",
        run::TELLING,
    );
    list(
        page,
        "Programs that need none where an option, a path or a quoted text follows",
        run::TELLING_ENGLISH,
    );
    list(page, "Programs whose arguments are files", argv::FILE_PROGRAMS);
    list(page, "Programs whose arguments are texts, as they are written", argv::TEXT_PROGRAMS);
}

fn row<T>(page: &mut String, title: &str, table: &Table<T>) {
    list(page, title, &table.iter().map(|(phrase, _)| *phrase).collect::<Vec<_>>());
}

fn list(page: &mut String, title: &str, phrases: &[&str]) {
    put(page, format_args!("- {title}: {}.\n", quoted(phrases.to_vec())));
}

/// The page with its long lines broken at spaces, but for the tool calls, which are code.
fn wrapped(page: &str) -> String {
    let mut out = String::with_capacity(page.len() + page.len() / 64);
    for line in page.lines() {
        let code = line.starts_with("  - `");
        let indent = if line.starts_with("- ") { "  " } else { "" };
        let mut width = 0;
        for (at, word) in line.split(' ').enumerate() {
            let length = word.chars().count();
            if at > 0 && !code && width + 1 + length > WIDTH {
                out.push('\n');
                out.push_str(indent);
                width = indent.len();
            } else if at > 0 {
                out.push(' ');
                width += 1;
            }
            out.push_str(word);
            width += length;
        }
        out.push('\n');
    }
    out
}

/// The longest line, in characters.
const WIDTH: usize = 120;

fn quoted(phrases: Vec<&str>) -> String {
    phrases.iter().map(|phrase| format!("*{phrase}*")).collect::<Vec<_>>().join(", ")
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_understood() {
        let here =
            Place { home: Some("/home/me".into()), cwd: Some("/home/me/work".into()), ..Place::default() };
        for example in KINDS.iter().flat_map(|kind| kind.examples) {
            assert!(plan(example, &here).is_ok(), "{example}: {:?}", plan(example, &here));
        }
    }

    #[test]
    fn the_page_is_what_the_grammar_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/offline-goals.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == reference(),
            "docs/offline-goals.md is stale: UPDATE_DOCS=1 cargo test -p octollm-plan"
        );
    }
}
