//! The tools and their arguments: what a step may ask the executor to do.
//!
//! The arguments are typed and have a JSON Schema (through `utoipa`), so that a plan can be
//! checked before anything runs, whoever wrote it.

use crate::{
    InputName, ValueType,
    file_name::{self, FileName},
};
use octollm_contract::{Edition, Millis};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One call of one tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "tool", content = "arguments", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToolCall {
    /// The entries of a folder, by name.
    List {
        /// The folder.
        path: String,
        /// Entries whose names begin with a dot, too.
        #[serde(default)]
        hidden: bool,
        /// Folders below, too.
        #[serde(default)]
        recursive: bool,
        /// Only this kind of entry.
        #[serde(default)]
        kind: FindKind,
        /// The order; by name when absent.
        #[serde(default)]
        sort: SortBy,
        /// At most so many, the first in that order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// Tells the permissions, the size and the last change of each, too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        details: bool,
    },
    /// Files below a folder that fit every condition given.
    Find {
        /// The folder.
        path: String,
        /// A glob over the file name, such as `*.log`.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "file_name")]
        #[schema(value_type = Option<FileName>)]
        name: Option<String>,
        /// Only so many levels deep: 1 is the folder's own entries. Absent: all levels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_depth: Option<u32>,
        /// Entries whose names begin with a dot, and what is below such folders, too; so when absent.
        #[serde(default = "hidden_too", skip_serializing_if = "is_default_hidden")]
        #[schema(default = true)]
        hidden: bool,
        /// Only this kind of entry.
        #[serde(default)]
        kind: FindKind,
        /// Changed within this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        newer_than: Option<Millis>,
        /// Not changed within this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        older_than: Option<Millis>,
        /// Changed on these days of the calendar.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        changed: Option<ChangedOn>,
        /// Its size.
        #[serde(default)]
        size: SizeBound,
        /// The order; by path when absent.
        #[serde(default)]
        sort: SortBy,
        /// At most so many, the first in that order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// Tells the permissions, the size and the last change of each, too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        details: bool,
        /// A name that fits nothing fails the step: it stands for what must be there, as in `cat *.txt`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        required: bool,
        /// The folder itself, too, if it fits: what `find FOLDER` begins with.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        itself: bool,
        /// Where there is no such folder, nothing is found; without it the step fails.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        if_there: bool,
        /// Tells how many there are, and not their names.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        count: bool,
    },
    /// The text of files.
    ReadFile {
        /// The files.
        paths: Arg<Vec<String>>,
        /// Only the first so many lines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first_lines: Option<u32>,
        /// Only the last so many lines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_lines: Option<u32>,
        /// Not the lines before this one; the first is 1. With `first_lines`: 7 and 3 are lines 3 to 7.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_line: Option<u32>,
    },
    /// Writes a file of the task's workspace.
    WriteFile {
        /// Its path, relative to the workspace.
        path: String,
        /// Its text.
        content: Arg<String>,
    },
    /// Counts lines, words, bytes or characters of files or of a text, or files themselves.
    Count {
        /// What to count.
        what: CountWhat,
        /// Where: files, or folders for [`CountWhat::Files`] and [`CountWhat::Folders`]; with
        /// [`CountWhat::Files`] a path that is a file itself counts as one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paths: Option<Arg<Vec<String>>>,
        /// A text instead of paths.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Arg<String>>,
        /// With folders: a glob over the file name.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "file_name")]
        #[schema(value_type = Option<FileName>)]
        name: Option<String>,
        /// With folders: folders below, too.
        #[serde(default)]
        recursive: bool,
    },
    /// Lines that hold a text, in files or in the files below folders, or in a text.
    Search {
        /// What to look for.
        pattern: String,
        /// The pattern is a regular expression (syntax of the `regex` crate), not a plain text.
        #[serde(default)]
        regex: bool,
        /// Upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
        /// Where: files or folders.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paths: Option<Arg<Vec<String>>>,
        /// A text instead of paths.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Arg<String>>,
        /// With folders: a glob over the file name.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "file_name")]
        #[schema(value_type = Option<FileName>)]
        name: Option<String>,
        /// Tells how many lines there are, of each file that is named or has some, and not the lines.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        count: bool,
    },
    /// Digests of files or of a text.
    Hash {
        /// The function.
        #[serde(default)]
        kind: HashKind,
        /// The files.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paths: Option<Arg<Vec<String>>>,
        /// A text instead of files.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Arg<String>>,
    },
    /// How many bytes lie in files and below folders, and how many these take on the disk.
    DiskUse {
        /// The files and folders.
        paths: Arg<Vec<String>>,
    },
    /// Whether two files hold the same bytes, and where they first differ.
    Compare {
        /// One file.
        left: String,
        /// The other.
        right: String,
    },
    /// The body of a URL (GET).
    HttpFetch {
        /// An http or https URL.
        url: String,
    },
    /// Runs a program in the locked room.
    Shell {
        /// The program and its arguments; not a shell string.
        argv: Vec<String>,
        /// A text for its standard input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stdin: Option<Arg<String>>,
        /// Any exit code is a result; without it a code other than 0 fails the step, except for the 1 by which
        /// `grep`, `diff` and `cmp` answer. Set where
        /// a judge looks at the code (see [`Plan::judged_by`](crate::Plan::judged_by)).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        any_exit: bool,
    },
    /// Runs a string with `sh -c` in the locked room; needs the capability `shell`.
    ShellString {
        /// The string.
        script: String,
        /// See [`ToolCall::Shell`].
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        any_exit: bool,
    },
}

fn hidden_too() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_default_hidden(hidden: &bool) -> bool {
    *hidden
}

/// An argument: given in the plan, or an input of the step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arg<T> {
    /// The value itself.
    Given(T),
    /// The step's input of this name.
    Input(InputName),
}

/// The tools, without arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolName {
    /// See [`ToolCall::List`].
    List,
    /// See [`ToolCall::Find`].
    Find,
    /// See [`ToolCall::ReadFile`].
    ReadFile,
    /// See [`ToolCall::WriteFile`].
    WriteFile,
    /// See [`ToolCall::Count`].
    Count,
    /// See [`ToolCall::Search`].
    Search,
    /// See [`ToolCall::Hash`].
    Hash,
    /// See [`ToolCall::DiskUse`].
    DiskUse,
    /// See [`ToolCall::Compare`].
    Compare,
    /// See [`ToolCall::HttpFetch`].
    HttpFetch,
    /// See [`ToolCall::Shell`].
    Shell,
    /// See [`ToolCall::ShellString`].
    ShellString,
}

impl ToolName {
    /// Every tool.
    pub const ALL: &'static [ToolName] = &[
        ToolName::List,
        ToolName::Find,
        ToolName::ReadFile,
        ToolName::WriteFile,
        ToolName::Count,
        ToolName::Search,
        ToolName::Hash,
        ToolName::DiskUse,
        ToolName::Compare,
        ToolName::HttpFetch,
        ToolName::Shell,
        ToolName::ShellString,
    ];

    /// The name as plans and `GET /arms` write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ToolName::List => "list",
            ToolName::Find => "find",
            ToolName::ReadFile => "read_file",
            ToolName::WriteFile => "write_file",
            ToolName::Count => "count",
            ToolName::Search => "search",
            ToolName::Hash => "hash",
            ToolName::DiskUse => "disk_use",
            ToolName::Compare => "compare",
            ToolName::HttpFetch => "http_fetch",
            ToolName::Shell => "shell",
            ToolName::ShellString => "shell_string",
        }
    }
}

/// Kinds of entries in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindKind {
    /// Any.
    #[default]
    Any,
    /// Regular files.
    File,
    /// Folders.
    Folder,
}

/// Orders of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// By path, A to Z.
    #[default]
    Name,
    /// Largest first.
    Largest,
    /// Smallest first.
    Smallest,
    /// Last changed first.
    Newest,
    /// Longest unchanged first.
    Oldest,
}

/// Days of the calendar, as they are when the step runs: by the clock and in the time zone of the
/// machine that runs it, from midnight to midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangedOn {
    /// The day on which the step runs.
    Today,
    /// The day before it.
    Yesterday,
    /// Either.
    SinceYesterday,
    /// Any earlier day than that on which the step runs.
    BeforeToday,
}

/// Bounds on a size in bytes; both ends count as inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SizeBound {
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
}

/// What can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountWhat {
    /// Line ends, and a last line without one.
    Lines,
    /// Line ends alone, as `wc -l` counts them.
    LineEnds,
    /// Runs of characters without white space.
    Words,
    /// Bytes.
    Bytes,
    /// Unicode scalar values.
    Characters,
    /// Files in a folder.
    Files,
    /// Folders in a folder.
    Folders,
}

/// Digests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashKind {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
    /// SHA-1; for comparing with what others published, not for security.
    Sha1,
    /// MD5; for comparing with what others published, not for security.
    Md5,
}

impl ToolCall {
    /// What is wrong with the lines that [`ToolCall::ReadFile`] asks for.
    #[must_use]
    pub fn fault_of_lines(&self) -> Option<&'static str> {
        let ToolCall::ReadFile { first_lines, last_lines, from_line, .. } = self else { return None };
        match (*from_line, *first_lines, *last_lines) {
            (Some(0), ..) => Some("from_line counts from 1"),
            (Some(_), _, Some(_)) => Some("from_line and last_lines do not go together"),
            (Some(from), Some(to), None) if to < from => Some(
                "first_lines is the number of the last line that is wanted where from_line is given, and is less",
            ),
            _ => None,
        }
    }

    /// Which tool is called.
    #[must_use]
    pub fn name(&self) -> ToolName {
        match self {
            ToolCall::List { .. } => ToolName::List,
            ToolCall::Find { .. } => ToolName::Find,
            ToolCall::ReadFile { .. } => ToolName::ReadFile,
            ToolCall::WriteFile { .. } => ToolName::WriteFile,
            ToolCall::Count { .. } => ToolName::Count,
            ToolCall::Search { .. } => ToolName::Search,
            ToolCall::Hash { .. } => ToolName::Hash,
            ToolCall::DiskUse { .. } => ToolName::DiskUse,
            ToolCall::Compare { .. } => ToolName::Compare,
            ToolCall::HttpFetch { .. } => ToolName::HttpFetch,
            ToolCall::Shell { .. } => ToolName::Shell,
            ToolCall::ShellString { .. } => ToolName::ShellString,
        }
    }

    /// The edition of plans since which the call, as it is written, can be read. Whoever adds a tool, an
    /// argument or a value writes the old meaning in the old way, and names the new one here.
    #[must_use]
    pub fn since(&self) -> Edition {
        match self {
            ToolCall::Find { hidden: false, .. }
            | ToolCall::Find { required: true, .. }
            | ToolCall::Find { itself: true, .. }
            | ToolCall::Find { if_there: true, .. }
            | ToolCall::Find { count: true, .. }
            | ToolCall::ReadFile { from_line: Some(_), .. }
            | ToolCall::Search { count: true, .. }
            | ToolCall::List { details: true, .. }
            | ToolCall::Find { details: true, .. }
            | ToolCall::Count { what: CountWhat::LineEnds, .. } => Edition::Second,
            ToolCall::Find { name: Some(name), .. }
            | ToolCall::Count { name: Some(name), .. }
            | ToolCall::Search { name: Some(name), .. }
                if file_name::is_choice(name) =>
            {
                Edition::Second
            }
            ToolCall::Find { .. }
            | ToolCall::Count { .. }
            | ToolCall::List { .. }
            | ToolCall::ReadFile { .. }
            | ToolCall::WriteFile { .. }
            | ToolCall::Search { .. }
            | ToolCall::Hash { .. }
            | ToolCall::DiskUse { .. }
            | ToolCall::Compare { .. }
            | ToolCall::HttpFetch { .. }
            | ToolCall::Shell { .. }
            | ToolCall::ShellString { .. } => Edition::First,
        }
    }

    /// The types of values that the call gives to later steps.
    #[must_use]
    pub fn yields(&self) -> &'static [ValueType] {
        use ValueType::{Data, Number, Paths, Text, Whole};
        match self {
            ToolCall::List { .. } | ToolCall::Find { .. } | ToolCall::Search { .. } => {
                &[Text, Paths, Number, Data, Whole]
            }
            ToolCall::Count { .. } | ToolCall::DiskUse { .. } => &[Text, Number, Data, Whole],
            ToolCall::ReadFile { .. }
            | ToolCall::WriteFile { .. }
            | ToolCall::Hash { .. }
            | ToolCall::Compare { .. }
            | ToolCall::HttpFetch { .. }
            | ToolCall::Shell { .. }
            | ToolCall::ShellString { .. } => &[Text, Data, Whole],
        }
    }

    /// The inputs that the call uses, each with the type it must have.
    #[must_use]
    pub fn uses(&self) -> Vec<(&InputName, ValueType)> {
        fn of<T>(arg: &Arg<T>, wanted: ValueType) -> Option<(&InputName, ValueType)> {
            match arg {
                Arg::Given(_) => None,
                Arg::Input(name) => Some((name, wanted)),
            }
        }
        let mut uses = Vec::new();
        match self {
            ToolCall::List { .. }
            | ToolCall::Find { .. }
            | ToolCall::Compare { .. }
            | ToolCall::HttpFetch { .. }
            | ToolCall::ShellString { .. } => {}
            ToolCall::ReadFile { paths, .. } | ToolCall::DiskUse { paths } => {
                uses.extend(of(paths, ValueType::Paths))
            }
            ToolCall::WriteFile { content, .. } => uses.extend(of(content, ValueType::Text)),
            ToolCall::Count { paths, text, .. }
            | ToolCall::Search { paths, text, .. }
            | ToolCall::Hash { paths, text, .. } => {
                uses.extend(paths.as_ref().and_then(|arg| of(arg, ValueType::Paths)));
                uses.extend(text.as_ref().and_then(|arg| of(arg, ValueType::Text)));
            }
            ToolCall::Shell { stdin, .. } => {
                uses.extend(stdin.as_ref().and_then(|arg| of(arg, ValueType::Text)))
            }
        }
        uses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_called_the_same_everywhere() {
        for tool in ToolName::ALL {
            assert_eq!(serde_json::to_value(tool).unwrap(), tool.as_str());
        }
    }
}
