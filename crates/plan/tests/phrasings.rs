//! What the rules planner understands and what it refuses, phrasing by phrasing.
//!
//! `understood.txt` holds goals, each followed by the tool calls that it becomes, indented;
//! `refused.txt` holds goals, each followed by the reason. `UPDATE_PHRASINGS=1` rewrites both
//! from the goals in them; a goal never changes sides by that.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail by panicking")]

use octollm_plan::rules::{Place, plan};
use octollm_plan::{Arg, Instruction, PlanStep, ToolCall};
use serde_json::Value;
use std::fmt::Write;

fn here() -> Place {
    let entries = ["src", "docs", "test"].map(str::to_owned).into();
    let folders = ["src", "docs"].map(str::to_owned).into();
    let (home, cwd) = (Some("/home/me".into()), Some("/home/me/work".into()));
    Place { home, cwd, entries, folders, ..Place::default() }
}

/// A call on one line: the tool and the arguments that are not the default.
fn compact(step: &PlanStep) -> String {
    let Instruction::Tool(call) = &step.instruction else { panic!("the rules plan tools only") };
    let call = serde_json::to_value(call).unwrap();
    let tool = call["tool"].as_str().unwrap().to_owned();
    let mut line = tool.clone();
    for (name, value) in call["arguments"].as_object().unwrap() {
        let is_default = match value {
            Value::Null => true,
            // A search sees hidden files where the call does not say otherwise.
            Value::Bool(false) => (tool.as_str(), name.as_str()) != ("find", "hidden"),
            Value::Object(inner) => inner.is_empty(),
            Value::String(text) => {
                matches!((name.as_str(), text.as_str()), ("kind", "any" | "sha256") | ("sort", "name"))
            }
            _ => false,
        };
        if is_default {
            continue;
        }
        let shown = match value {
            Value::String(text) => text.clone(),
            Value::Object(arg) if arg.contains_key("given") => arg["given"].to_string(),
            Value::Object(arg) if arg.contains_key("input") => {
                let from = step.inputs.values().next().unwrap();
                format!("{}.{:?}", from.step, from.output).to_lowercase()
            }
            other => other.to_string(),
        };
        write!(line, " {name}={shown}").unwrap();
    }
    for need in &step.needs {
        write!(line, " after={need}").unwrap();
    }
    line
}

/// What becomes of a goal, a line each: `Ok` with its calls, `Err` with the reason.
fn outcome(goal: &str) -> Result<Vec<String>, String> {
    let plan = plan(goal, &here()).map_err(|refusal| {
        let text = refusal.to_string();
        text.split(". Rephrase").next().unwrap_or_default().replace('\n', " ")
    })?;
    Ok(plan.steps.iter().map(compact).collect())
}

fn unescape(line: &str) -> String {
    line.replace("\\n", "\n").replace("\\u{200b}", "\u{200b}")
}

/// Checks one table, of goals that must all be understood or all be refused.
fn check(file: &str, understood: bool) {
    let path = format!("{}/tests/{file}", env!("CARGO_MANIFEST_DIR"));
    let written = std::fs::read_to_string(&path).unwrap();
    let goals: Vec<&str> =
        written.lines().filter(|line| !line.starts_with("    ") && !line.is_empty()).collect();
    assert!(goals.len() >= 100, "{file}: {} goals", goals.len());
    let mut table = String::new();
    let mut wrong = Vec::new();
    for goal in goals {
        let outcome = outcome(&unescape(goal));
        if outcome.is_ok() != understood {
            wrong.push(format!("{goal}\n    {outcome:?}"));
        }
        let lines = outcome.unwrap_or_else(|reason| vec![reason]);
        writeln!(table, "{goal}\n    {}", lines.join("\n    ")).unwrap();
    }
    assert!(wrong.is_empty(), "on the wrong side:\n{}", wrong.join("\n"));
    if std::env::var_os("UPDATE_PHRASINGS").is_some() {
        std::fs::write(&path, &table).unwrap();
        return;
    }
    let differing = table.lines().zip(written.lines()).find(|(is, was)| is != was);
    assert!(table == written, "{file} is not what the planner does, first at {differing:?}");
}

/// P10: each goal of the table becomes exactly these calls.
#[test]
fn these_goals_are_understood() {
    check("understood.txt", true);
}

/// P10: each goal of the table is refused whole.
#[test]
fn these_goals_are_refused() {
    check("refused.txt", false);
}

/// P10: where `my notes.md` lies, it is not read as somebody's `notes.md`.
#[test]
fn a_name_with_white_space_is_not_cut() {
    let beside = Place {
        entries: ["my notes.md", "notes.md", "the list.txt", "my src", "src"].map(str::to_owned).into(),
        ..here()
    };
    for goal in [
        "read my notes.md",
        "compare my notes.md and notes.md",
        "read the file named the list.txt",
        "count the files in my src",
        "how big is my src/main.rs",
    ] {
        let refusal = plan(goal, &beside).unwrap_err().to_string();
        assert!(refusal.contains("put it in quotes"), "{goal}: {refusal}");
    }
    for goal in ["read 'my notes.md'", "compare 'my notes.md' and notes.md", "count the files in src"] {
        assert!(plan(goal, &beside).is_ok(), "{goal}: {:?}", plan(goal, &beside));
    }
    assert!(plan("read my notes.md", &here()).is_ok());
}

/// P10: a comma without a space belongs to the name where one is called so, the longest first, and parts paths
/// otherwise.
#[test]
fn a_comma_belongs_to_the_name_that_lies_there() {
    let names = ["src", "docs", "a", "b", "c.txt", "a,b", "a,b,c.txt", "x.md,y.md", "x.md", "y.md"];
    let beside = Place { entries: names.map(str::to_owned).into(), ..here() };
    for (goal, paths) in [
        ("count the lines in src/a.rs,src/b.rs", vec!["src/a.rs", "src/b.rs"]),
        ("count the lines in src/a.rs,b.txt", vec!["src/a.rs", "b.txt"]),
        ("count the lines in src/a,b.txt", vec!["src/a,b.txt"]),
        ("count the lines in x.md,docs/b.txt", vec!["x.md", "docs/b.txt"]),
        ("count the lines in a,b,c.txt", vec!["a,b,c.txt"]),
        ("count the lines in a,b", vec!["a,b"]),
        ("count the lines in x.md,y.md", vec!["x.md,y.md"]),
        ("count the lines in y.md,x.md", vec!["y.md", "x.md"]),
        ("count the lines in c.txt,a,b", vec!["c.txt", "a,b"]),
        ("count the lines in p,q,r.txt", vec!["p,q,r.txt"]),
    ] {
        let steps = plan(goal, &beside).unwrap().steps;
        let Instruction::Tool(ToolCall::Count { paths: Some(Arg::Given(found)), .. }) = &steps[0].instruction
        else {
            panic!("{goal}: {steps:?}")
        };
        let paths: Vec<String> = paths.iter().map(|path| format!("/home/me/work/{path}")).collect();
        assert_eq!(found, &paths, "{goal}");
    }
    let listed = plan("list src/a,docs/b", &beside);
    assert!(listed.as_ref().is_ok_and(|plan| plan.steps.len() == 2), "{listed:?}");
}

/// P10: what lies in the folder is known by its bare name, and nothing else is.
#[test]
fn a_bare_word_is_a_path_only_where_it_lies() {
    let elsewhere = Place { entries: ["lib".to_owned()].into(), ..here() };
    for goal in
        ["list src", "grep -rn TODO src", "how big is src?", "count the files in src", "list src/plan"]
    {
        assert!(plan(goal, &here()).is_ok(), "{goal}: {:?}", plan(goal, &here()));
        assert!(plan(goal, &elsewhere).is_err(), "{goal}: {:?}", plan(goal, &elsewhere));
    }
    let refusal = plan("search for TODO in src", &elsewhere).unwrap_err().to_string();
    assert!(refusal.contains("write ./src"), "{refusal}");
}

/// What a refusal says to write is understood where it is said: a server has no folder for `./src`.
#[test]
fn the_advice_of_a_refusal_is_one_that_works_there() {
    let refused = |place: &Place| plan("list the files in sub", place).unwrap_err().to_string();
    assert!(refused(&here()).contains("write ./sub, or its whole path"), "{}", refused(&here()));
    let server = refused(&Place::default());
    assert!(
        server.contains("write its whole path, beginning with /") && !server.contains("./sub"),
        "{server}"
    );
    assert!(plan("list the files in ./sub", &here()).is_ok());
    assert!(plan("list the files in /sub", &Place::default()).is_ok());
}

/// P6: a plan passes the check under the policy that grants exactly what it asks, and no step
/// asks for more than the paths, the host and the program of its goal.
#[test]
fn every_understood_goal_passes_the_check_under_its_own_policy() {
    let written =
        std::fs::read_to_string(format!("{}/tests/understood.txt", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for goal in written.lines().filter(|line| !line.starts_with("    ")) {
        let plan = plan(&unescape(goal), &here()).unwrap();
        let checked = plan.clone().check(&plan.exactly());
        assert!(checked.is_ok(), "{goal}: {checked:?}");
    }
}

/// A path with a slash that the goal names is known to be a file or a folder where that was looked up.
#[test]
fn what_lies_at_a_path_of_the_goal_decides_whether_it_is_read_or_listed() {
    assert_eq!(
        octollm_plan::rules::paths("what's in 'sub/my dir', a/b or https://x.org/?"),
        ["sub/my dir", "a/b"]
    );
    let entries = ["sub", "sub/deep", "sub/notes"].map(str::to_owned).into();
    let folders = ["sub", "sub/deep"].map(str::to_owned).into();
    let looked_up = Place { entries, folders, ..here() };
    for (goal, call) in [
        ("what is inside sub/deep?", "list path=/home/me/work/sub/deep"),
        ("what's in sub/deep", "list path=/home/me/work/sub/deep"),
        ("what's in sub/notes", "read_file paths=[\"/home/me/work/sub/notes\"]"),
    ] {
        let steps = plan(goal, &looked_up).unwrap().steps;
        assert_eq!(steps.iter().map(compact).collect::<Vec<_>>(), [call], "{goal}");
    }
    assert!(plan("what is in sub/other", &looked_up).is_err(), "nobody has looked");
}
