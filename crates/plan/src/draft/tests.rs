//! Drafts that models write, and drafts that mean harm: each of those is refused with its
//! reason, in the draft itself or when the plan is checked.

use super::{DRAFT_BYTES_MAX, Draft, DraftFault};
use crate::{Instruction, Plan, ToolCall};
use octollm_access::Policy;
use octollm_contract::ArmName;
use proptest::prelude::*;
use serde_json::{Value, json};

const ARMS: &[ArmName] = &[ArmName::Executor, ArmName::Coder, ArmName::Judge];

fn policy() -> Policy {
    Policy {
        read_roots: ["/tmp".to_owned()].into(),
        commands: ["python3".to_owned()].into(),
        any_public_host: true,
        ..Policy::default()
    }
}

/// A step that passes, with some of its fields replaced.
fn step(name: &str, fields: Value) -> Value {
    let mut step = json!({ "name": name, "arm": "executor", "summary": "", "tool": list("/tmp") });
    for (key, value) in fields.as_object().unwrap() {
        step[key] = value.clone();
    }
    step
}

fn list(path: &str) -> Value {
    json!({ "tool": "list", "arguments": { "path": path } })
}

fn tool(tool: &str, arguments: Value) -> Value {
    step("a", json!({ "tool": { "tool": tool, "arguments": arguments } }))
}

fn drafted(steps: Value) -> Value {
    json!({ "kind": "plan", "steps": steps, "result": ["a"] })
}

/// A step that runs a program may have less time than it would: nine tenths of it are the program's.
#[test]
fn a_program_may_be_given_less_time() {
    let limit = |seconds: Value| {
        let argv = json!({ "argv": ["python3"], "timeout_seconds": seconds });
        read(&drafted(json!([tool("shell", argv)])))
    };
    for (seconds, millis) in [(json!(9), Some(10_000)), (json!(270), Some(300_000)), (Value::Null, None)] {
        let Ok(Draft::Plan(plan)) = limit(seconds.clone()) else { panic!("{seconds}") };
        assert_eq!(plan.steps[0].time_limit.map(|limit| limit.get()), millis, "{seconds}");
    }
    for seconds in [json!(0), json!(271), json!(-1), json!(1.5), json!("9")] {
        assert!(limit(seconds.clone()).is_err(), "{seconds}");
    }
    let elsewhere = json!({ "path": "/tmp", "timeout_seconds": 9 });
    assert!(read(&drafted(json!([tool("list", elsewhere)]))).is_err());
}

fn read(draft: &Value) -> Result<Draft, Vec<DraftFault>> {
    Draft::read(&draft.to_string(), ARMS)
}

fn plan(draft: &Value) -> Plan {
    match read(draft) {
        Ok(Draft::Plan(plan)) => plan,
        other => panic!("{other:?}"),
    }
}

/// Everything that is wrong with it, read and checked.
fn told(draft: &str) -> String {
    match Draft::read(draft, ARMS) {
        Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        Ok(Draft::Plan(plan)) => match plan.check(&policy()) {
            Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            Ok(plan) => panic!("it passed: {plan:?}"),
        },
        Ok(other) => panic!("it passed: {other:?}"),
    }
}

#[test]
fn a_draft_becomes_a_plan_that_may_do_what_its_steps_need() {
    let draft = json!({ "kind": "plan", "result": ["code"], "steps": [
        { "name": "find", "arm": "executor", "summary": "", "tool": { "tool": "find", "arguments": { "path": "/tmp/logs", "name": "*.log" } } },
        { "name": "count", "arm": "executor", "summary": "", "tool": { "tool": "count", "arguments": { "what": "lines", "paths": { "input": "logs" } } },
          "inputs": [{ "name": "logs", "step": "find", "output": "paths" }] },
        { "name": "page", "arm": "executor", "summary": "", "tool": { "tool": "http_fetch", "arguments": { "url": "https://example.org:8443/a" } } },
        { "name": "code", "arm": "coder", "summary": "write", "instruction": "Write it.", "commands": ["python3"], "tool": null,
          "inputs": [{ "name": "lines", "step": "count" }], "needs": ["page"], "reads": null },
        { "name": "check", "arm": "judge", "summary": "", "needs": ["code"], "criteria": ["It is short.", { "type": "contains", "text": "def" }] }
    ] });
    let plan = plan(&draft);
    let capability = |place: usize| &plan.steps[place].capability;
    assert!(capability(1).read_roots.contains("/tmp/logs"), "what find may read, count may");
    assert_eq!(
        capability(2).hosts.iter().map(|g| g.host.to_string()).collect::<Vec<_>>(),
        ["example.org:8443"]
    );
    assert!(capability(3).writes_workspace && capability(3).commands.contains("python3"));
    assert_eq!(plan.steps[4].inputs.len(), 1);
    assert!(matches!(&plan.steps[4].instruction, Instruction::Judge { criteria } if criteria.len() == 2));
    assert_eq!(plan.clone().check(&policy()).map(|checked| checked.steps().len()), Ok(5));
    let fenced = format!("```json\n{draft}\n```\n");
    assert_eq!(Draft::read(&fenced, ARMS), Ok(Draft::Plan(plan)));
}

#[test]
fn a_question_and_a_refusal_are_read() {
    assert_eq!(
        read(&json!({ "kind": "question", "question": " Which? " })),
        Ok(Draft::Question("Which?".into()))
    );
    assert_eq!(read(&json!({ "kind": "refusal", "reason": "no" })), Ok(Draft::Refusal("no".into())));
}

/// P8: what is wrong with each draft is said, so that a model can repair it.
#[test]
fn hostile_drafts_are_refused_with_their_reason() {
    let giant = "x".repeat(64 << 10);
    let many: Vec<Value> = (0..10_000).map(|n| json!({ "name": n.to_string(), "arm": "judge" })).collect();
    let needing = |needs: Vec<String>| step("a", json!({ "needs": needs }));
    let cases: Vec<(Value, &str)> = vec![
        (drafted(json!([])), "steps: there are 0"),
        (drafted(Value::Array(many)), "steps: there are 10000; a plan has 1 to 64"),
        (
            drafted(json!([step("a", json!({"needs": ["b"]})), step("b", json!({"needs": ["a"]}))])),
            "the steps a, b wait for each other",
        ),
        (drafted(json!([step("a", json!({"needs": ["a"]}))])), "the steps a wait for each other"),
        (
            drafted(json!([step("a", json!({"arm": "hacker"}))])),
            "there is no arm \"hacker\" here; the arms are executor, coder, judge",
        ),
        (drafted(json!([step("a", json!({"arm": "guardian"}))])), "there is no arm \"guardian\""),
        (drafted(json!([step("a", json!({"arm": "planner"}))])), "a plan has no steps for the planner"),
        (drafted(json!([step("a", json!({})), step("a", json!({}))])), "two steps are called a"),
        (drafted(json!([needing(vec!["task_0193/other".into()])])), "needs: a step's name is 1 to 40"),
        (drafted(json!([needing(vec!["elsewhere".into()])])), "refers to elsewhere, which is not a step"),
        (
            drafted(json!([step(
                "a",
                json!({"inputs": [{"name": "x", "step": "other", "output": "text"}]})
            )])),
            "refers to other",
        ),
        (
            drafted(json!([step(
                "a",
                json!({"inputs": [{"name": "x", "step": "a"}, {"name": "x", "step": "a"}]})
            )])),
            "two inputs are called x",
        ),
        (drafted(json!([needing(vec!["b".into(); 65])])), "needs has 65 entries"),
        (drafted(json!([step("../a", json!({}))])), "a step's name is 1 to 40"),
        (drafted(json!([step(&giant, json!({}))])), "a step's name is 1 to 40"),
        (drafted(json!([step("a\0b", json!({}))])), "a step's name is 1 to 40"),
        (drafted(json!([step("a", json!({"summary": giant}))])), "its summary is over 500 bytes"),
        (drafted(json!([step("a", json!({"tool": null, "instruction": giant}))])), "its instruction is over"),
        (drafted(json!([step("a", json!({"tool": null, "instruction": "a\0"}))])), "holds a NUL"),
        (drafted(json!([step("a", json!({"instruction": "too"}))])), "either a `tool` or an `instruction`"),
        (drafted(json!([step("a", json!({"tool": null}))])), "either a `tool` or an `instruction`"),
        (drafted(json!([step("a", json!({"sudo": true}))])), "unknown field `sudo`"),
        (drafted(json!([step("a", json!({"reads": ["/etc"]}))])), "reading /etc is not allowed"),
        (drafted(json!([step("a", json!({"reads": ["/tmp/../etc"]}))])), "has \"..\" in it"),
        (drafted(json!([step("a", json!({"reads": ["tmp"]}))])), "is not absolute"),
        (drafted(json!([step("a", json!({"reads": ["/tmp/\u{0}"]}))])), "holds a control character"),
        (drafted(json!([step("a", json!({"hosts": ["http://x/"]}))])), "is not a host"),
        (drafted(json!([step("a", json!({"commands": ["rm"]}))])), "running rm is not allowed"),
        (
            drafted(json!([step("a", json!({"commands": ["python3; rm -rf /"]}))])),
            "is not the name of one program",
        ),
        (drafted(json!([step("a", json!({"commands": ["$(id)"]}))])), "is not the name of one program"),
        (drafted(json!([step("a", json!({"commands": ["../../bin/sh"]}))])), "has \"..\" in it"),
        (drafted(json!([tool("list", json!({"path": "/etc"}))])), "reading /etc is not allowed"),
        (drafted(json!([tool("list", json!({"path": "/tmp/../etc"}))])), "has \"..\" in it"),
        (drafted(json!([tool("list", json!({"path": 7}))])), "list: invalid type"),
        (drafted(json!([tool("list", json!({"path": "/tmp", "rm": 1}))])), "list: unknown field `rm`"),
        (drafted(json!([tool("format_disk", json!({}))])), "there is no tool \"format_disk\""),
        (drafted(json!([tool("read_file", json!({"paths": []}))])), "0 paths are given"),
        (drafted(json!([tool("read_file", json!({"paths": ["/tmp/a\nb"]}))])), "control character"),
        (
            drafted(json!([tool("write_file", json!({"path": "/etc/x", "content": ""}))])),
            "relative to the workspace",
        ),
        (drafted(json!([tool("write_file", json!({"path": "../x", "content": ""}))])), "has \"..\" in it"),
        (drafted(json!([tool("http_fetch", json!({"url": "file:///etc/passwd"}))])), "only http and https"),
        (
            drafted(json!([tool("http_fetch", json!({"url": "http://me:pw@example.org/"}))])),
            "a user or a password",
        ),
        (drafted(json!([tool("shell", json!({"argv": []}))])), "argv names no program"),
        (drafted(json!([tool("shell", json!({"argv": ["sh -c id"]}))])), "is not the name of one program"),
        (drafted(json!([tool("shell", json!({"argv": ["python3", "a\0"]}))])), "without NUL"),
        (drafted(json!([tool("shell", json!({"argv": ["curl"]}))])), "running curl is not allowed"),
        (
            drafted(json!([tool("shell_string", json!({"script": "id"}))])),
            "handing a string to the shell is not allowed",
        ),
        (
            drafted(json!([tool("hash", json!({"paths": ["/tmp/a"], "text": "b"}))])),
            "exactly one of paths and text",
        ),
        (
            drafted(json!([tool("count", json!({"what": "lines", "text": {"input": "nowhere"}}))])),
            "takes an input \"nowhere\"",
        ),
        (drafted(json!([step("a", json!({"arm": "judge"}))])), "a judge step has `criteria`"),
        (
            drafted(json!([step("a", json!({"arm": "judge", "tool": null, "criteria": ["x"]}))])),
            "names in `needs`",
        ),
        (
            drafted(json!([step(
                "a",
                json!({"arm": "judge", "tool": null, "criteria": [" "], "needs": ["a"]})
            )])),
            "a criterion is empty",
        ),
        (drafted(json!([step("a", json!({"criteria": ["x"]}))])), "only a judge step has `criteria`"),
        (
            drafted(json!([
                step("a", json!({"arm": "coder", "tool": null, "instruction": "x"})),
                step("b", json!({"arm": "coder", "tool": null, "instruction": "x"}))
            ])),
            "a and b may both change the workspace",
        ),
        (
            json!({ "kind": "plan", "steps": [step("a", json!({}))], "result": [] }),
            "must name at least one step",
        ),
        (json!({ "kind": "plan", "steps": [step("a", json!({}))], "result": ["b"] }), "result refers to b"),
        (json!({ "kind": "plan", "steps": [step("a", json!({}))], "result": ["a", "a"] }), "each once"),
        (json!({ "kind": "coup" }), "unknown variant `coup`"),
        (json!({ "kind": "question", "question": " " }), "question: it is empty"),
        (json!({ "kind": "refusal", "reason": giant }), "reason: it is over"),
        (json!(["a"]), "not the JSON object"),
    ];
    for (draft, reason) in &cases {
        let told = told(&draft.to_string());
        assert!(told.contains(reason), "{reason:?} is not in {told:?}");
        assert!(told.len() < 4000, "a message is bounded: {}", told.len());
    }
    for (text, reason) in [
        ("", "EOF"),
        ("Sure! Here is the plan:", "expected value"),
        ("{\"kind\":\"plan\",\"steps\":[", "EOF"),
        ("{\"kind\":\"refusal\",\"reason\":\"a\"} and more", "trailing characters"),
        ("{\"kind\":\"refusal\",\"reason\":\"\u{fffd}\\ud800\"}", "hex escape"),
        (&format!("{{\"steps\":{}", "[".repeat(100_000)), "recursion limit"),
        (&" ".repeat(DRAFT_BYTES_MAX + 1), "at most 524288 are read"),
    ] {
        let told = told(text);
        assert!(told.contains(reason), "{reason:?} is not in {told:?}");
    }
}

/// Whatever a model may ask for in the schema can be read.
#[test]
fn the_schema_names_what_is_read() {
    let schema = super::schema(ARMS);
    let step = &schema["properties"]["steps"]["items"]["properties"];
    assert_eq!(step["arm"]["enum"], json!(["executor", "coder", "judge"]));
    let fields: Vec<&str> = step.as_object().unwrap().keys().map(String::as_str).collect();
    for field in fields {
        let step = step_of(field);
        assert!(serde_json::from_value::<super::wire::WireStep>(step).is_ok(), "{field}");
    }
}

fn step_of(field: &str) -> Value {
    let mut step = json!({ "name": "a", "arm": "judge", "summary": "" });
    if step.get(field).is_none() {
        step[field] = Value::Null;
    }
    step
}

/// In a plan a brace of a plain name is a character; a model means a choice, as a shell does.
#[test]
fn a_name_with_a_choice_is_taken_for_one() {
    for (written, wanted) in [("*.{py,rs}", "*.{py,rs}"), (r"a\{b,c}", r"a\{b,c}"), ("a{b}", r"a\{b}")] {
        let found = plan(&drafted(json!([tool("find", json!({ "path": "/tmp", "name": written }))])));
        let Instruction::Tool(ToolCall::Find { name: Some(name), .. }) = &found.steps[0].instruction else {
            panic!("{found:?}")
        };
        assert_eq!(name, wanted);
    }
}

#[test]
fn one_path_is_taken_for_a_list_of_one() {
    let call = super::read_call("read_file", json!({ "paths": "/tmp/a" }).as_object().unwrap().clone());
    assert!(matches!(call, Ok(ToolCall::ReadFile { .. })), "{call:?}");
}

proptest! {
    /// No text makes it panic; what is read as a plan has names of the right form only.
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), cut in any::<prop::sample::Index>()) {
        let _ = Draft::read(&text, ARMS);
        let whole = drafted(json!([step("a", json!({ "instruction": text }))])).to_string();
        let at = whole.floor_char_boundary(cut.index(whole.len() + 1));
        let _ = Draft::read(&whole[..at], ARMS);
    }
}
