//! An independent checker of a task's history. It knows the promises and the events, not the
//! state machine.

use serde_json::Value;
use std::collections::BTreeMap;

/// Everything that is wrong with the history of a task that has ended.
pub(crate) fn faults(task: &Value, events: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    let names: Vec<&str> = events.iter().filter_map(|e| e["event"].as_str()).collect();
    let numbers: Vec<u64> = events.iter().filter_map(|e| e["id"].as_u64()).collect();
    if numbers != (1..=events.len() as u64).collect::<Vec<_>>() {
        faults.push(format!("events are not numbered without gaps: {numbers:?}"));
    }
    if names.first() != Some(&"task.accepted") {
        faults.push("the history does not begin with the accept".into());
    }
    let ends =
        names.iter().filter(|n| matches!(**n, "task.completed" | "task.failed" | "task.cancelled")).count();
    if ends != 1 {
        faults.push(format!("the task ended {ends} times (P2)"));
    }
    let status = task["status"].as_str().unwrap_or_default();
    if names.last().copied() != Some(&*format!("task.{status}")) {
        faults.push(format!("the last event is {:?}, the status is {status}", names.last()));
    }
    let mut open: BTreeMap<String, u64> = BTreeMap::new();
    let mut done: BTreeMap<String, u64> = BTreeMap::new();
    for event in events {
        let step = event["step_id"].as_str().unwrap_or_default().to_owned();
        match event["event"].as_str().unwrap_or_default() {
            "step.started" => {
                if done.contains_key(&step) {
                    faults.push(format!("{step} was handed out after it was done (P2)"));
                }
                *open.entry(step.clone()).or_default() += 1;
                if open[&step] != 1 {
                    faults.push(format!("{step} was handed out while it was leased (P2)"));
                }
            }
            "step.completed" => {
                *done.entry(step.clone()).or_default() += 1;
                if done[&step] != 1 {
                    faults.push(format!("{step} has {} results (P2)", done[&step]));
                }
                if open.insert(step.clone(), 0) != Some(1) {
                    faults.push(format!("{step} has a result without a lease (P2)"));
                }
            }
            "step.lapsed" | "step.released" | "step.retrying" | "step.failed" | "step.cancelled" => {
                open.insert(step, 0);
            }
            _ => {}
        }
    }
    if open.values().any(|n| *n > 0) {
        faults.push("the task ended while a lease was alive".into());
    }
    let moments: Vec<&str> = events.iter().filter_map(|e| e["at"].as_str()).collect();
    if moments.windows(2).any(|pair| pair[0] > pair[1]) {
        faults.push(format!("events go back in time: {moments:?}"));
    }
    if status == "completed" {
        let steps = task["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        // What an earlier plan left undone is why there is another.
        let plan = |step: &serde_json::Value| step["plan_version"].as_u64();
        let last = steps.iter().map(plan).max().flatten();
        let undone = steps.iter().filter(|s| plan(s) == last && s["status"] != "done").count();
        if undone > 0 || steps.is_empty() {
            faults.push(format!("{undone} of {} steps are not done in a completed task", steps.len()));
        }
        if task["result"]["text"].as_str().is_none_or(str::is_empty) {
            faults.push("a completed task has no result".into());
        }
    }
    faults
}

#[test]
fn a_history_with_two_ends_or_two_results_is_found() {
    let event = |id: u64, name: &str, step: &str| serde_json::json!({"id": id, "event": name, "step_id": step, "at": "2026-01-01T00:00:00.000Z"});
    let sound = vec![
        event(1, "task.accepted", ""),
        event(2, "step.started", "s"),
        event(3, "step.completed", "s"),
        event(4, "task.completed", ""),
    ];
    let task =
        serde_json::json!({"status": "completed", "steps": [{"status": "done"}], "result": {"text": "x"}});
    assert_eq!(faults(&task, &sound), Vec::<String>::new());
    let mut revised = task.clone();
    revised["steps"] = serde_json::json!([
        {"status": "failed", "plan_version": 1}, {"status": "done", "plan_version": 2}
    ]);
    assert_eq!(faults(&revised, &sound), Vec::<String>::new());
    revised["steps"][1]["status"] = "failed".into();
    assert!(faults(&revised, &sound).iter().any(|f| f.contains("1 of 2 steps")));
    let mut twice = sound.clone();
    twice.insert(3, event(4, "step.completed", "s"));
    twice[4] = event(5, "task.completed", "");
    assert!(faults(&task, &twice).iter().any(|f| f.contains("2 results")));
    let mut ended = sound;
    ended.push(event(5, "task.completed", ""));
    assert!(faults(&task, &ended).iter().any(|f| f.contains("ended 2 times")));
}
