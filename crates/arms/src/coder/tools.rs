//! The tools of a coder.

use crate::{
    Undone,
    executor::{
        Executor,
        limits::{TIMEOUT, of_a_model_s_program, timeout},
        workspace::{Kept, Workspace},
    },
    think::{Call, Reply, Run, Talk, Toolbox, read_arguments, tool},
};
use async_trait::async_trait;
use octollm_contract::model::Tool;
use octollm_plan::{Arg, FindKind, SortBy, ToolCall};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// A listing shows at most so many files.
const LISTED: u32 = 500;
/// A finish is put off so often, to have the model look at what it left.
const NUDGES_MAX: u32 = 1;
/// What is kept of the output of the last program, for the report.
const TAIL_BYTES: usize = 4000;

/// Whether programs may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MayRun {
    /// These, by name.
    These(Vec<String>),
    /// The step's capability names none.
    NotAllowed,
    /// This machine cannot lock a room.
    NoRoom,
}

impl MayRun {
    /// For the system prompt.
    pub(super) fn told(&self) -> String {
        let nothing = |why: &str| {
            format!("- You can run nothing here: {why}. Say in your summary that nothing was run or tested.")
        };
        match self {
            MayRun::These(names) => format!(
                "- `run` runs a program in a locked room: no network, no shell, only the workspace. You may run: {}. \
                 Write tests where the instruction wants something that can be tested, run them, and mend what fails.",
                names.join(", ")
            ),
            MayRun::NotAllowed => {
                nothing("the plan of this step names no program, or the policy of the task allows none")
            }
            MayRun::NoRoom => nothing("this machine cannot lock programs in"),
        }
    }
}

pub(super) struct Tools<'a> {
    executor: &'a Executor,
    workspace: &'a mut Workspace,
    may_run: MayRun,
}

impl<'a> Tools<'a> {
    pub(super) fn new(executor: &'a Executor, workspace: &'a mut Workspace, may_run: MayRun) -> Self {
        Tools { executor, workspace, may_run }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    path: String,
    #[serde(default)]
    from_line: Option<usize>,
    #[serde(default)]
    lines: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Write {
    path: String,
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    path: String,
    old: String,
    new: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    pattern: String,
    #[serde(default)]
    regex: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    argv: Vec<String>,
    #[serde(default)]
    stdin: Option<String>,
    #[serde(default)]
    timeout_seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finish {
    summary: String,
}

#[async_trait]
impl Toolbox for Tools<'_> {
    fn tools(&self) -> Vec<Tool> {
        let path = json!({ "type": "string", "description": "relative to the workspace" });
        let text = json!({ "type": "string" });
        let number = json!({ "type": "integer" });
        let mut tools = vec![
            tool("list", "The files of the workspace.", json!({}), &[]),
            tool(
                "read",
                "The text of a file, or so many lines of it from a line on (the first is 1).",
                json!({ "path": path, "from_line": number, "lines": number }),
                &["path"],
            ),
            tool(
                "search",
                "The lines of all files that hold a text, or match a regular expression.",
                json!({ "pattern": text, "regex": { "type": "boolean" } }),
                &["pattern"],
            ),
            tool(
                "write",
                "Makes or replaces a file.",
                json!({ "path": path, "content": text }),
                &["path", "content"],
            ),
            tool(
                "edit",
                "Replaces a text that occurs exactly once in a file by another.",
                json!({ "path": path, "old": text, "new": text }),
                &["path", "old", "new"],
            ),
        ];
        if let MayRun::These(_) = self.may_run {
            tools.push(tool(
                "run",
                "Runs a program in the workspace: its name and its arguments. No shell looks at them.",
                json!({ "argv": { "type": "array", "items": text }, "stdin": text, TIMEOUT: timeout() }),
                &["argv"],
            ));
        }
        tools.push(tool("finish", "All is done; a short summary.", json!({ "summary": text }), &["summary"]));
        tools
    }

    fn changes_the_world(&self, _: &Call) -> bool {
        // The room has no network, and the workspace of a later attempt is the one last kept.
        false
    }

    async fn call(&mut self, call: Call, talk: &mut Talk<'_>) -> Result<Reply, Undone> {
        let Call { name, arguments } = call;
        let made = match name.as_str() {
            "list" => Ok(self.list(talk).await),
            "read" => match read_arguments(arguments) {
                Ok(read) => Ok(self.read(read, talk).await),
                Err(reply) => Err(reply),
            },
            "search" => match read_arguments(arguments) {
                Ok(search) => Ok(self.search(search, talk).await),
                Err(reply) => Err(reply),
            },
            "write" => match read_arguments(arguments) {
                Ok(Write { path, content }) => Ok(self.write(path, content, talk).await),
                Err(reply) => Err(reply),
            },
            "edit" => match read_arguments(arguments) {
                Ok(edit) => Ok(self.edit(edit, talk).await),
                Err(reply) => Err(reply),
            },
            "run" => match read_arguments(arguments) {
                Ok(command) => Ok(self.run(command, talk).await),
                Err(reply) => Err(reply),
            },
            "finish" => read_arguments(arguments).map(|Finish { summary }| Ok(self.finish(summary, talk))),
            _ => Err(Reply::Refused("there is no such tool".into())),
        };
        made.unwrap_or_else(Ok)
    }
}

/// A path that can lie in the workspace. What it leads to is looked at when it is opened.
fn inside(path: &str) -> Result<(), Reply> {
    match path.parse::<octollm_artefacts::WorkspacePath>() {
        Ok(_) => Ok(()),
        Err(error) => Err(Reply::Refused(format!("a path relative to the workspace is wanted: {error}"))),
    }
}

impl Tools<'_> {
    async fn tool(&mut self, label: &str, call: ToolCall, talk: &Talk<'_>) -> Result<Reply, Undone> {
        let workspace = Some(&*self.workspace);
        let wall = of_a_model_s_program(talk.work.grant.time_limit, None);
        let found = self.executor.run_tool(call, BTreeMap::new(), workspace, wall, talk.work).await;
        match found {
            Ok(found) => Ok(Reply::Result { label: label.to_owned(), text: found.text }),
            Err(undone) => Reply::of_failure(undone),
        }
    }

    async fn list(&mut self, talk: &Talk<'_>) -> Result<Reply, Undone> {
        let list = ToolCall::List {
            path: ".".into(),
            hidden: true,
            recursive: true,
            kind: FindKind::File,
            sort: SortBy::Name,
            limit: Some(LISTED),
            details: false,
        };
        self.tool("the files of the workspace", list, talk).await
    }

    async fn read(&mut self, read: Read, talk: &Talk<'_>) -> Result<Reply, Undone> {
        let Read { path, from_line, lines } = read;
        if let Err(reply) = inside(&path) {
            return Ok(reply);
        }
        let label = format!("the file {path}");
        let call = ToolCall::ReadFile {
            paths: Arg::Given(vec![path]),
            first_lines: None,
            last_lines: None,
            from_line: None,
        };
        Ok(match self.tool(&label, call, talk).await? {
            Reply::Result { label, text } if from_line.is_some() || lines.is_some() => {
                let skipped = from_line.unwrap_or(1).saturating_sub(1);
                let wanted = text.lines().skip(skipped).take(lines.unwrap_or(usize::MAX));
                Reply::Result { label, text: wanted.map(|line| format!("{line}\n")).collect() }
            }
            reply => reply,
        })
    }

    async fn search(&mut self, search: Search, talk: &Talk<'_>) -> Result<Reply, Undone> {
        let Search { pattern, regex } = search;
        let paths = Some(Arg::Given(vec![".".into()]));
        let call = ToolCall::Search {
            pattern,
            regex,
            ignore_case: false,
            paths,
            text: None,
            name: None,
            count: false,
        };
        self.tool("the lines that were found", call, talk).await
    }

    async fn write(&mut self, path: String, content: String, talk: &mut Talk<'_>) -> Result<Reply, Undone> {
        if let Err(reply) = inside(&path) {
            return Ok(reply);
        }
        let label = format!("writing {path}");
        let call = ToolCall::WriteFile { path, content: Arg::Given(content) };
        let reply = self.tool(&label, call, talk).await?;
        if let Reply::Result { .. } = &reply {
            if let Some(why) = self.keep(talk).await? {
                return Ok(Reply::Refused(why));
            }
            talk.journal.runs.iter_mut().for_each(|run| run.outdated = true);
        }
        Ok(reply)
    }

    async fn edit(&mut self, edit: Edit, talk: &mut Talk<'_>) -> Result<Reply, Undone> {
        let Edit { path, old, new } = edit;
        if let Err(reply) = inside(&path) {
            return Ok(reply);
        }
        let text = match self.workspace.text(&path) {
            Ok(text) => text,
            Err(undone) => return Reply::of_failure(undone),
        };
        let refused = |why: String| Ok(Reply::Refused(why));
        match text.matches(old.as_str()).count() {
            _ if old.is_empty() => refused("`old` is empty".into()),
            0 => refused("`old` does not occur in the file; read it and copy exactly".into()),
            1 => self.write(path, text.replacen(&old, &new, 1), talk).await,
            more => refused(format!(
                "`old` occurs {more} times in the file; give more around the place that you mean"
            )),
        }
    }

    async fn run(&mut self, command: Command, talk: &mut Talk<'_>) -> Result<Reply, Undone> {
        let Command { argv, stdin, timeout_seconds } = command;
        if argv.is_empty() || argv.iter().any(|arg| arg.contains('\0')) || argv.len() > 256 {
            return Ok(Reply::Refused("argv has 1 to 256 entries without NUL".into()));
        }
        if let MayRun::These(names) = &self.may_run
            && !names.contains(&argv[0])
        {
            let may = names.join(", ");
            return Ok(Reply::Refused(format!(
                "the step has no capability to run {:?}; it may run {may}",
                argv[0]
            )));
        }
        let wall = of_a_model_s_program(talk.work.grant.time_limit, timeout_seconds);
        let call = ToolCall::Shell { argv: argv.clone(), stdin: stdin.map(Arg::Given), any_exit: true };
        let workspace = Some(&*self.workspace);
        let found = self.executor.run_tool(call, BTreeMap::new(), workspace, wall, talk.work).await;
        let (said, exit_code, mut reply) = match found {
            Ok(found) => {
                let mut text = found.text;
                if found.exit_code == Some(0) {
                    text.push_str("\n(exit code 0)\n");
                }
                (
                    text.clone(),
                    found.exit_code,
                    Reply::Result { label: format!("the output of {}", argv[0]), text },
                )
            }
            Err(undone @ (Undone::Later { .. } | Undone::Stopped)) => return Err(undone),
            Err(Undone::Failed { message, .. }) => (message.clone(), None, Reply::Refused(message)),
        };
        // Only the last output is told in the report.
        talk.journal.runs.iter_mut().for_each(|run| run.tail.clear());
        let argv = argv.iter().take(16).map(|arg| arg.chars().take(120).collect()).collect();
        let from = said.ceil_char_boundary(said.len().saturating_sub(TAIL_BYTES));
        // What ran is not what is there any more when its files were too much to be kept.
        let put_back = self.keep(talk).await?;
        let outdated = put_back.is_some();
        talk.journal.runs.push(Run { argv, exit_code, outdated, tail: said[from..].to_owned() });
        if let (Some(why), Reply::Result { text, .. } | Reply::Refused(text)) = (put_back, &mut reply) {
            *text = format!("{why}\n{text}");
        }
        Ok(reply)
    }

    /// Keeps the workspace as it is now: the next checkpoint names it. What is too much is put back,
    /// with the reason.
    async fn keep(&mut self, talk: &mut Talk<'_>) -> Result<Option<String>, Undone> {
        match self.workspace.keep(talk.work).await? {
            Kept::Kept => {
                talk.journal.keep_workspace(self.workspace);
                Ok(None)
            }
            Kept::PutBack(why) => Ok(Some(why)),
        }
    }

    fn finish(&self, summary: String, talk: &mut Talk<'_>) -> Reply {
        match self.unfinished(talk) {
            Some(why) if talk.journal.nudges < NUDGES_MAX => {
                // A later attempt does not send it back again: the journal is saved with the answer.
                talk.journal.nudges += 1;
                Reply::Refused(why)
            }
            Some(_) | None => Reply::Finished(summary),
        }
    }

    /// What a model should look at before it is done.
    fn unfinished(&self, talk: &Talk<'_>) -> Option<String> {
        let MayRun::These(names) = &self.may_run else { return None };
        match talk.journal.runs.last() {
            None if talk.journal.workspace.is_some() => Some(format!(
                "you have run nothing yet. Run the tests (you may run: {}), or call finish again if there is \
                 nothing to run",
                names.join(", ")
            )),
            None => None,
            Some(run) if run.exit_code != Some(0) => Some(
                "the last program did not end well. Mend it and run it again, or call finish again and say \
                 what fails"
                    .into(),
            ),
            Some(run) if run.outdated => Some(
                "files were changed after the last run. Run the tests again, or call finish again".into(),
            ),
            Some(_) => None,
        }
    }
}
