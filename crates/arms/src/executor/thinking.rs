//! An instruction in words: a model chooses among the executor's own tools, within the step's
//! capability.

use super::{
    Executor, Found, finish,
    limits::{TIMEOUT, of_a_model_s_program, timeout},
    workspace::{Kept, Workspace},
};
use crate::{
    Undone, Work,
    think::{
        Bounds, Call, Journal, Part, Prompt, Reply, Talk, Toolbox, converse, goal, read_arguments, tool,
        values,
    },
};
use async_trait::async_trait;
use octollm_access::Capability;
use octollm_client::Completion;
use octollm_contract::model::Tool;
use octollm_plan::{InputName, InputValue, ToolCall, ToolName, draft};
use octollm_screen::text::neutralise;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What one instruction may take.
const BOUNDS: Bounds =
    Bounds { questions: 24, calls: 64, result_bytes: 24 << 10, repeats: 4, text_ends: true };

/// Carries out the instruction.
pub(super) async fn perform(
    executor: &Executor,
    instruction: &str,
    work: &Work,
) -> Result<Completion, Undone> {
    let capability = &work.grant.spec.capability;
    let (from, left_out) = Journal::begins_with(work);
    let programs = !capability.commands.is_empty() || capability.shell;
    let mut workspace = match from.is_some() || capability.writes_workspace || programs {
        true => Some(Workspace::enter_at(executor.scratch(), from, left_out, work).await?),
        false => None,
    };
    let done = carry_out(executor, instruction, workspace.as_mut(), work).await;
    if let Some(workspace) = workspace {
        workspace.remove().await;
    }
    done
}

async fn carry_out(
    executor: &Executor,
    instruction: &str,
    mut workspace: Option<&mut Workspace>,
    work: &Work,
) -> Result<Completion, Undone> {
    let capability = &work.grant.spec.capability;
    let offered = offered(executor, capability, workspace.is_some());
    let mut told = work.grant.brief.as_deref().map(goal).unwrap_or_default();
    told.extend(values(work).await?);
    told.push(Part::data("what this step may do", limits(capability, workspace.is_some()), 8 << 10));
    told.push(Part::essential("the instruction", instruction));
    told.push(Part::Words("Carry out the instruction.".to_owned()));
    let prompt = Prompt::new(work, include_str!("../think/prompts/executor.md"), told);
    let mut talk = Talk::begin(work, prompt).await?;
    let mut tools = Tools {
        executor,
        workspace: workspace.as_deref_mut(),
        inputs: super::whole_inputs(work).await?,
        offered,
        exit_code: None,
    };
    let text = converse(&mut talk, &mut tools, BOUNDS).await?;
    let exit_code = tools.exit_code;
    let committed = match workspace {
        Some(workspace) if capability.writes_workspace => Some(workspace.commit(work).await?),
        Some(_) | None => None,
    };
    let found = Found { text: neutralise(&text).into_owned(), exit_code, ..Found::default() };
    Ok(Completion::of(finish(found, &talk.made_by("executor"), committed, work).await?))
}

/// The tools that the capability leaves something to do for.
fn offered(executor: &Executor, capability: &Capability, workspace: bool) -> Vec<ToolName> {
    let reads = workspace || !capability.read_roots.is_empty();
    let lockable = executor.settings.kernel.can_lock().is_ok();
    let fits = |tool: &ToolName| match tool {
        ToolName::List | ToolName::Find | ToolName::ReadFile | ToolName::DiskUse | ToolName::Compare => reads,
        // These work on texts, too.
        ToolName::Count | ToolName::Search | ToolName::Hash => true,
        ToolName::WriteFile => capability.writes_workspace,
        ToolName::HttpFetch => !capability.hosts.is_empty(),
        ToolName::Shell => lockable && !capability.commands.is_empty(),
        ToolName::ShellString => lockable && capability.shell,
    };
    ToolName::ALL.iter().copied().filter(fits).collect()
}

fn limits(capability: &Capability, workspace: bool) -> String {
    let list = |texts: Vec<String>| if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") };
    format!(
        "reads: below {}\nthe task's workspace: {}\nhosts: {}\nprograms: {}\n",
        list(capability.read_roots.iter().cloned().collect()),
        match (workspace, capability.writes_workspace) {
            (true, true) => "relative paths; may be written",
            (true, false) => "relative paths; what is written there is not kept",
            (false, _) => "none",
        },
        list(capability.hosts.iter().map(|grant| grant.host.to_string()).collect()),
        list(capability.commands.iter().cloned().collect()),
    )
}

struct Tools<'a> {
    executor: &'a Executor,
    workspace: Option<&'a mut Workspace>,
    inputs: BTreeMap<InputName, InputValue>,
    offered: Vec<ToolName>,
    exit_code: Option<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finish {
    result: String,
}

#[async_trait]
impl Toolbox for Tools<'_> {
    fn tools(&self) -> Vec<Tool> {
        let finish = json!({ "result": { "type": "string" } });
        let finish = tool("finish", "The instruction is carried out; the whole result.", finish, &["result"]);
        self.offered.iter().map(|tool| described(*tool)).chain([finish]).collect()
    }

    fn changes_the_world(&self, call: &Call) -> bool {
        let program = call.name == ToolName::Shell.as_str() || call.name == ToolName::ShellString.as_str();
        // A program with a network can do what cannot be undone.
        program && self.reaches_the_network()
    }

    async fn call(&mut self, call: Call, talk: &mut Talk<'_>) -> Result<Reply, Undone> {
        if call.name == "finish" {
            return Ok(match read_arguments(call.arguments) {
                Ok(Finish { result }) if result.trim().is_empty() => {
                    Reply::Refused("the result is empty".into())
                }
                Ok(Finish { result }) => Reply::Finished(result),
                Err(reply) => reply,
            });
        }
        let mut arguments = call.arguments;
        let is_program = matches!(call.name.as_str(), "shell" | "shell_string");
        let asked = arguments.remove(TIMEOUT).filter(|_| is_program);
        let wall = match asked.map(serde_json::from_value).transpose() {
            Ok(asked) => of_a_model_s_program(talk.work.grant.time_limit, asked),
            Err(error) => return Ok(Reply::Refused(format!("{TIMEOUT}: {error}"))),
        };
        let made = match draft::read_call(&call.name, arguments) {
            Ok(made) => any_exit(made),
            Err(why) => return Ok(Reply::Refused(why)),
        };
        let changes = matches!(made.name(), ToolName::WriteFile | ToolName::Shell | ToolName::ShellString);
        let workspace = self.workspace.as_deref();
        let found = self.executor.run_tool(made, self.inputs.clone(), workspace, wall, talk.work).await;
        let found = match found {
            Ok(found) => found,
            Err(undone) => return Reply::of_failure(undone),
        };
        self.exit_code = found.exit_code.or(self.exit_code);
        let mut text = found.text;
        if let Some(workspace) = self.workspace.as_deref_mut().filter(|_| changes) {
            match workspace.keep(talk.work).await? {
                Kept::Kept => talk.journal.keep_workspace(workspace),
                Kept::PutBack(why) => text = format!("{why}\n{text}"),
            }
        }
        Ok(Reply::Result { label: format!("the result of {}", call.name), text })
    }
}

impl Tools<'_> {
    /// Whether a room of this step has a network: it was granted hosts. Rooms have none today, so
    /// this errs on the careful side.
    fn reaches_the_network(&self) -> bool {
        self.offered.contains(&ToolName::HttpFetch)
    }
}

/// A program that ends badly has told the model something; it does not end the step.
fn any_exit(call: ToolCall) -> ToolCall {
    match call {
        ToolCall::Shell { argv, stdin, any_exit: _ } => ToolCall::Shell { argv, stdin, any_exit: true },
        ToolCall::ShellString { script, any_exit: _ } => ToolCall::ShellString { script, any_exit: true },
        other => other,
    }
}

/// A tool as a model sees it: plain arguments, as [`draft::read_call`] reads them.
fn described(name: ToolName) -> Tool {
    let text = json!({ "type": "string" });
    let number = json!({ "type": "integer" });
    let flag = json!({ "type": "boolean" });
    let paths = json!({ "type": "array", "items": text });
    let kind = json!({ "enum": ["any", "file", "folder"] });
    let sort = json!({ "enum": ["name", "largest", "smallest", "newest", "oldest"] });
    let (description, properties, required): (&str, Value, &[&str]) = match name {
        ToolName::List => (
            "The entries of a folder.",
            json!({ "path": text, "hidden": flag, "recursive": flag, "kind": kind, "sort": sort, "limit": number }),
            &["path"],
        ),
        ToolName::Find => (
            "Files below a folder. `name` is a glob such as *.log; ages are milliseconds; `hidden` is true when absent.",
            json!({
                "path": text, "name": text, "max_depth": number, "hidden": flag, "kind": kind, "newer_than": number,
                "older_than": number, "sort": sort, "limit": number,
                "size": { "type": "object", "properties": { "at_least": number, "at_most": number } }
            }),
            &["path"],
        ),
        ToolName::ReadFile => (
            "The text of files.",
            json!({ "paths": paths, "first_lines": number, "last_lines": number }),
            &["paths"],
        ),
        ToolName::WriteFile => (
            "Writes a file of the workspace.",
            json!({ "path": text, "content": text }),
            &["path", "content"],
        ),
        ToolName::Count => (
            "Counts in files or folders (paths), or in a text.",
            json!({
                "what": { "enum": ["lines", "line_ends", "words", "bytes", "characters", "files", "folders"] },
                "paths": paths, "text": text, "name": text, "recursive": flag
            }),
            &["what"],
        ),
        ToolName::Search => (
            "Lines that hold a text or match a regular expression, in files and folders (paths), or in a text.",
            json!({ "pattern": text, "regex": flag, "ignore_case": flag, "paths": paths, "text": text, "name": text }),
            &["pattern"],
        ),
        ToolName::Hash => (
            "Digests of files, or of a text.",
            json!({ "kind": { "enum": ["sha256", "sha512", "sha1", "md5"] }, "paths": paths, "text": text }),
            &[],
        ),
        ToolName::DiskUse => {
            ("How many bytes files and folders take.", json!({ "paths": paths }), &["paths"])
        }
        ToolName::Compare => {
            ("Whether two files are the same.", json!({ "left": text, "right": text }), &["left", "right"])
        }
        ToolName::HttpFetch => ("The body of a URL.", json!({ "url": text }), &["url"]),
        ToolName::Shell => (
            "Runs a program in a locked room: its name and its arguments. No shell looks at them.",
            json!({ "argv": paths, "stdin": text, TIMEOUT: timeout() }),
            &["argv"],
        ),
        ToolName::ShellString => (
            "Runs a string with sh -c in a locked room.",
            json!({ "script": text, TIMEOUT: timeout() }),
            &["script"],
        ),
    };
    tool(name.as_str(), description, properties, required)
}
