//! What a drafted step may do: what it asks for, and what its own tool call cannot do without.

use super::{LIST_MAX, call::plain_path, shortened};
use crate::{Arg, Instruction, PlanStep, ToolCall, ValueType};
use octollm_access::{Capability, NetworkGrant};
use octollm_contract::ArmName;
use std::collections::BTreeSet;

/// What a draft says of it.
pub(super) struct Asked {
    pub(super) reads: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) commands: Vec<String>,
    pub(super) writes: bool,
}

pub(super) fn of(
    asked: Asked,
    instruction: Option<&Instruction>,
    arm: Option<ArmName>,
) -> Result<Capability, Vec<String>> {
    let mut faults = Vec::new();
    for (list, what) in [(&asked.reads, "reads"), (&asked.hosts, "hosts"), (&asked.commands, "commands")] {
        if list.len() > LIST_MAX {
            faults.push(format!("{what} has {} entries; at most {LIST_MAX} are read", list.len()));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut capability = Capability { writes_workspace: asked.writes, ..Capability::default() };
    for path in asked.reads {
        match plain_path(&path) {
            Ok(()) if path.starts_with('/') => drop(capability.read_roots.insert(path)),
            Ok(()) => faults.push(format!("reads: {:?} is not absolute", shortened(&path))),
            Err(why) => faults.push(format!("reads: {why}")),
        }
    }
    for host in asked.hosts {
        match host.parse() {
            Ok(host) => drop(capability.hosts.insert(NetworkGrant { host, private: false })),
            Err(error) => faults.push(format!("hosts: {error}")),
        }
    }
    for command in asked.commands {
        match program(&command) {
            Ok(()) => drop(capability.commands.insert(command)),
            Err(why) => faults.push(format!("commands: {why}")),
        }
    }
    match instruction {
        Some(Instruction::Tool(call)) => {
            of_call(call, &mut capability).unwrap_or_else(|why| faults.push(why))
        }
        // A coder that may not write could do nothing.
        Some(Instruction::Think(_)) if arm == Some(ArmName::Coder) => capability.writes_workspace = true,
        Some(Instruction::Think(_) | Instruction::Judge { .. }) | None => {}
    }
    if faults.is_empty() { Ok(capability) } else { Err(faults) }
}

/// The name or path of one program, not a line for a shell.
pub(super) fn program(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-' | '/');
    if name.is_empty() || name.len() > 200 || !name.chars().all(fits) || name.starts_with('-') {
        return Err(format!("{:?} is not the name of one program", shortened(name)));
    }
    plain_path(name)
}

fn of_call(call: &ToolCall, capability: &mut Capability) -> Result<(), String> {
    let mut reads = |path: &String| {
        if path.starts_with('/') {
            capability.read_roots.insert(path.clone());
        }
    };
    let given = |paths: &Arg<Vec<String>>| match paths {
        Arg::Given(paths) => paths.clone(),
        Arg::Input(_) => Vec::new(),
    };
    match call {
        ToolCall::List { path, .. } | ToolCall::Find { path, .. } => reads(path),
        ToolCall::ReadFile { paths, .. } | ToolCall::DiskUse { paths } => given(paths).iter().for_each(reads),
        ToolCall::Count { paths, .. } | ToolCall::Search { paths, .. } | ToolCall::Hash { paths, .. } => {
            paths.as_ref().map(given).unwrap_or_default().iter().for_each(reads)
        }
        ToolCall::Compare { left, right } => [left, right].into_iter().for_each(reads),
        ToolCall::WriteFile { .. } => capability.writes_workspace = true,
        ToolCall::HttpFetch { url } => {
            let grant = |host| NetworkGrant { host, private: false };
            capability.hosts.insert(grant(host_of(url)?));
        }
        ToolCall::Shell { argv, .. } => capability.commands.extend(argv.first().cloned()),
        ToolCall::ShellString { .. } => capability.shell = true,
    }
    Ok(())
}

/// The host, and the port where the URL names one.
fn host_of(url: &str) -> Result<octollm_access::HostPort, String> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    if authority.contains('@') {
        return Err("a URL with a user or a password is not fetched".into());
    }
    authority.parse().map_err(|error| format!("{error}"))
}

/// A step that works on the paths that another one found may read where that one may.
pub(super) fn inherit_read_roots(steps: &mut [PlanStep]) {
    // Each round passes roots one step on; a chain is no longer than the plan.
    for _ in 0..steps.len() {
        let mut more: Vec<(usize, BTreeSet<String>)> = Vec::new();
        for (place, step) in steps.iter().enumerate() {
            let from = step.inputs.values().filter(|from| from.output == ValueType::Paths);
            let makers = from.filter_map(|from| steps.iter().find(|other| other.name == from.step));
            let roots: BTreeSet<String> = makers
                .flat_map(|maker| maker.capability.read_roots.difference(&step.capability.read_roots))
                .cloned()
                .collect();
            if !roots.is_empty() {
                more.push((place, roots));
            }
        }
        if more.is_empty() {
            return;
        }
        for (place, roots) in more {
            steps[place].capability.read_roots.extend(roots);
        }
    }
}
