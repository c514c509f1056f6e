//! What the planner's model is told, and a plan in words for people.

use crate::think::{Part, goal, lines};
use octollm_contract::{ArmName, Criterion};
use octollm_plan::{Brief, Plan, Planning};
use std::fmt::Write as _;

/// What a list of things that happened takes of the prompt, in bytes.
const EVIDENCE_BYTES: usize = 16 << 10;

pub(super) fn briefing(brief: &Brief, planning: &Planning, instruction: &str) -> Vec<Part> {
    let mut parts = goal(brief);
    parts.push(Part::essential("what is asked of the planner", instruction));
    if !brief.criteria.is_empty() {
        let criteria: Vec<String> = brief.criteria.iter().map(criterion).collect();
        parts.push(Part::data("the client's acceptance criteria", lines(&criteria), 8 << 10));
    }
    parts.push(Part::data("the policy", policy(planning), 8 << 10));
    parts.push(Part::data("the arms", arms(planning), 4 << 10));
    if !planning.session.is_empty() {
        let told = planning.session.iter();
        let told: Vec<String> =
            told.map(|task| format!("goal: {}\n  outcome: {}", task.goal, task.outcome)).collect();
        parts.push(Part::data("earlier tasks of the same session", lines(&told), EVIDENCE_BYTES));
    }
    if !planning.answers.is_empty() {
        let told = planning.answers.iter();
        let told: Vec<String> =
            told.map(|a| format!("you asked: {}\n  the client answered: {}", a.question, a.answer)).collect();
        parts.push(Part::data("questions and answers", lines(&told), EVIDENCE_BYTES));
    }
    if planning.revision > 0 {
        parts.push(Part::Words(format!(
            "This is revision {} of the plan: an earlier one failed. Write a plan for what is still to be done. \
             Steps that are done keep their results; name them in `needs`, `inputs` or `result` where you build on \
             them, and give none of your steps such a name. The workspace is as the last of them left it. {} more \
             revisions are possible.",
            planning.revision, planning.revisions_left
        )));
    }
    if !planning.done.is_empty() {
        let told = planning.done.iter();
        let told: Vec<String> = told
            .map(|done| {
                let wrote = if done.step.wrote { ", wrote to the workspace" } else { "" };
                let gives: Vec<String> =
                    done.step.yields.iter().map(|of| format!("{of:?}").to_lowercase()).collect();
                let what = format!("{} ({}{wrote}; gives {})", done.step.name, done.arm, gives.join(", "));
                format!("{what}: {}\n  it gave: {}", done.summary, done.text)
            })
            .collect();
        parts.push(Part::data("steps that are done", lines(&told), EVIDENCE_BYTES));
    }
    if !planning.failures.is_empty() {
        let told = planning.failures.iter();
        let told: Vec<String> = told
            .map(|f| format!("{} ({}): {}\n  what happened: {}", f.step, f.arm, f.summary, f.message))
            .collect();
        parts.push(Part::data("what failed or was refused", lines(&told), EVIDENCE_BYTES));
    }
    let questions = match planning.questions_left {
        0 => "You may ask no question.".to_owned(),
        left => format!("You may put {left} more to the client, one at a time."),
    };
    parts.push(Part::Words(format!("{questions} Now write the JSON object.")));
    parts
}

fn criterion(criterion: &Criterion) -> String {
    match criterion {
        Criterion::FreeText(text) => text.clone(),
        Criterion::Structured(rule) => serde_json::to_string(rule).unwrap_or_default(),
    }
}

fn policy(planning: &Planning) -> String {
    let policy = &planning.policy;
    let list = |texts: Vec<String>| if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") };
    let mut told = format!("reads: below {}\n", list(policy.read_roots.iter().cloned().collect()));
    let mut hosts: Vec<String> = policy.hosts.iter().map(|grant| grant.host.to_string()).collect();
    if policy.any_public_host {
        hosts.push("any public host".to_owned());
    }
    // Writing to a string cannot fail.
    let _ = writeln!(told, "hosts: {}", list(hosts));
    let mut commands: Vec<String> = policy.commands.iter().cloned().collect();
    if policy.any_command {
        commands.push("any program, in a locked room without network".to_owned());
    }
    let _ = writeln!(told, "commands: {}", list(commands));
    let _ = writeln!(told, "shell strings: {}", if policy.shell { "allowed" } else { "not allowed" });
    let _ = writeln!(told, "the workspace of the task: may be read and written");
    told
}

fn arms(planning: &Planning) -> String {
    let offers = planning.arms.iter().filter(|offer| offer.arm != ArmName::Planner);
    let line = |offer: &octollm_plan::ArmOffer| {
        let thinks =
            if offer.thinks { "takes an instruction in words" } else { "takes no instruction in words" };
        let tools = if offer.tools.is_empty() {
            String::new()
        } else {
            format!("; tools: {}", offer.tools.join(", "))
        };
        format!("- {}: {thinks}{tools}\n", offer.arm)
    };
    offers.map(line).collect()
}

/// The plan, a line a step.
pub(super) fn in_words(plan: &Plan) -> String {
    let line = |step: &octollm_plan::PlanStep| {
        let needs: Vec<&str> = step
            .needs
            .iter()
            .chain(step.inputs.values().map(|from| &from.step))
            .map(|name| name.as_str())
            .collect();
        let after = if needs.is_empty() { String::new() } else { format!(" (after {})", needs.join(", ")) };
        format!("{}: {}: {}{after}\n", step.name, step.arm, octollm_screen::text::neutralise(&step.summary))
    };
    plan.steps.iter().map(line).collect()
}
