//! A tool call as a model writes it: plain arguments where a plan has [`crate::Arg`].

use super::{LIST_MAX, shortened, shortened_to};
use crate::{ToolCall, ToolName, file_name::is_choice};
use serde_json::{Map, Value, json};

/// A text of an argument that names something has at most this many bytes.
const NAMING_BYTES_MAX: usize = 4096;

/// The call of the tool of this name with these arguments; the error is for the model.
///
/// Arguments that may come from a step's inputs (`paths`, `text`, `content`, `stdin`) are given
/// plainly, or as `{"input": NAME}`.
pub fn read(tool: &str, mut arguments: Map<String, Value>) -> Result<ToolCall, String> {
    let Some(name) = ToolName::ALL.iter().find(|name| name.as_str() == tool) else {
        let known: Vec<&str> = ToolName::ALL.iter().map(|name| name.as_str()).collect();
        return Err(format!("there is no tool {:?}; the tools are {}", shortened(tool), known.join(", ")));
    };
    for argument in ["paths", "text", "content", "stdin"] {
        if let Some(value) = arguments.get_mut(argument) {
            let plain = value.take();
            *value = match plain {
                Value::Object(object) if object.contains_key("input") || object.contains_key("given") => {
                    Value::Object(object)
                }
                // One path where a list of paths is meant.
                Value::String(path) if argument == "paths" => json!({ "given": [path] }),
                Value::Null => Value::Null,
                given => json!({ "given": given }),
            };
        }
    }
    // A model means what a shell does by braces.
    if let Some(Value::String(pattern)) = arguments.get("name")
        && is_choice(pattern)
        && pattern.contains(',')
    {
        let choice = json!({ "one_of": pattern });
        arguments.insert("name".into(), choice);
    }
    arguments.retain(|_, value| !value.is_null());
    let call: ToolCall = serde_json::from_value(json!({ "tool": name.as_str(), "arguments": arguments }))
        .map_err(|error| format!("{}: {}", name.as_str(), shortened_to(&error.to_string(), 200)))?;
    plausible(&call).map_err(|why| format!("{}: {why}", name.as_str()))?;
    Ok(call)
}

/// Refuses at once what no arm would do: it would only fail later, and cost a step.
fn plausible(call: &ToolCall) -> Result<(), String> {
    use crate::Arg;
    let given = |paths: &Arg<Vec<String>>| match paths {
        Arg::Given(paths) => several(paths),
        Arg::Input(_) => Ok(()),
    };
    match call {
        ToolCall::List { path, .. } | ToolCall::Find { path, .. } => plain_path(path),
        ToolCall::ReadFile { paths, .. } | ToolCall::DiskUse { paths } => given(paths),
        ToolCall::Count { paths, .. } | ToolCall::Search { paths, .. } | ToolCall::Hash { paths, .. } => {
            paths.as_ref().map_or(Ok(()), given)
        }
        ToolCall::Compare { left, right } => plain_path(left).and(plain_path(right)),
        ToolCall::WriteFile { path, .. } => workspace_path(path),
        ToolCall::HttpFetch { url } => plain_text("the URL", url).and_then(|()| {
            let http = url.starts_with("http://") || url.starts_with("https://");
            if http { Ok(()) } else { Err("only http and https URLs are fetched".into()) }
        }),
        ToolCall::Shell { argv, .. } => {
            let program = argv.first().ok_or("argv names no program")?;
            super::capability::program(program)?;
            if argv.len() > 256 || argv.iter().any(|arg| arg.contains('\0') || arg.len() > 32 << 10) {
                return Err("argv has at most 256 entries of 32 KiB, without NUL".into());
            }
            Ok(())
        }
        ToolCall::ShellString { script, .. } if script.contains('\0') || script.len() > 64 << 10 => {
            Err("a script has at most 64 KiB, without NUL".into())
        }
        ToolCall::ShellString { .. } => Ok(()),
    }
}

fn several(paths: &[String]) -> Result<(), String> {
    if paths.is_empty() || paths.len() > 16 * LIST_MAX {
        return Err(format!("{} paths are given; 1 to {} are taken", paths.len(), 16 * LIST_MAX));
    }
    paths.iter().try_for_each(|path| plain_path(path))
}

fn plain_text(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > NAMING_BYTES_MAX {
        return Err(format!("{what} has {} bytes; 1 to {NAMING_BYTES_MAX} are taken", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{what} {:?} holds a control character", shortened(text)));
    }
    Ok(())
}

/// A path without `..` and control characters; absolute, or relative to the workspace.
pub(super) fn plain_path(path: &str) -> Result<(), String> {
    plain_text("the path", path)?;
    if path.split('/').any(|part| part == "..") {
        return Err(format!("the path {:?} has \"..\" in it", shortened(path)));
    }
    Ok(())
}

fn workspace_path(path: &str) -> Result<(), String> {
    plain_path(path)?;
    if path.starts_with('/') || path.ends_with('/') {
        return Err(format!("{:?} is not the path of a file relative to the workspace", shortened(path)));
    }
    Ok(())
}
