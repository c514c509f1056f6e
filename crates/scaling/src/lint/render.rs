//! A report as text, JSON and SARIF. Pure: a report and its sources in, a string out.

use serde_json::{Value, json};

use crate::read::Sources;

use super::finding::{Finding, Report, Severity};
use super::fix::patch;
use super::rules::{Rule, rules};

/// For people: one finding a paragraph, the patch below it, a summary at the end.
pub fn text(sources: &Sources, report: &Report) -> String {
    let mut out = String::new();
    for error in &report.unreadable {
        out.push_str(&format!("unreadable  {error}\n\n"));
    }
    for finding in &report.findings {
        let place = sources.place(finding.span);
        let (severity, id) = (finding.rule.severity.word(), finding.rule.id);
        out.push_str(&format!("{place}: {severity}[{id}]: {}\n", finding.message));
        if let Some(fix) = &finding.fix {
            let patch = patch(sources, fix);
            out.push_str(match (fix.safe, patch.is_empty()) {
                (true, false) => "  fix (--fix writes it):\n",
                (true, true) => "  --fix corrects it; the line is too long to show\n",
                (false, false) => "  fix:\n",
                (false, true) => "",
            });
            for line in patch.lines().filter(|line| !line.starts_with("---") && !line.starts_with("+++")) {
                out.push_str(&format!("    {line}\n"));
            }
        }
        out.push('\n');
    }
    for (kind, count) in &report.unknown {
        out.push_str(&format!("not checked: {count} × {kind}\n"));
    }
    for silenced in &report.silenced {
        let place = sources.place(silenced.finding.span);
        out.push_str(&format!("silenced: {place} {}: {}\n", silenced.finding.rule.id, silenced.reason));
    }
    out.push_str(&summary(report));
    out.push('\n');
    out
}

/// `3 errors, 1 warning, 2 silenced`, or that there is nothing.
pub fn summary(report: &Report) -> String {
    let count = |severity: Severity| report.findings.iter().filter(|f| f.rule.severity == severity).count();
    let mut parts = Vec::new();
    let mut part = |count: usize, one: &str, many: &str| {
        if count > 0 {
            parts.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
    };
    part(report.unreadable.len(), "file unreadable", "files unreadable");
    part(count(Severity::Error), "error", "errors");
    part(count(Severity::Warning), "warning", "warnings");
    part(count(Severity::Info), "hint", "hints");
    part(report.silenced.len(), "silenced", "silenced");
    if parts.is_empty() { "no findings".to_owned() } else { parts.join(", ") }
}

/// One array of `{rule, severity, file, line, message, fix}`; `fix` is a unified diff or null.
pub fn json(sources: &Sources, report: &Report) -> String {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            let place = sources.place(finding.span);
            json!({
                "rule": finding.rule.id,
                "severity": finding.rule.severity.word(),
                "file": place.file,
                "line": place.line,
                "message": finding.message,
                "fix": finding.fix.as_ref().map(|fix| patch(sources, fix)).filter(|patch| !patch.is_empty()),
            })
        })
        .collect();
    pretty(&Value::Array(findings))
}

/// SARIF 2.1.0, for code hosts that show findings beside the lines.
pub fn sarif(sources: &Sources, report: &Report) -> String {
    let level = |severity: Severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let index_of = |rule: &Rule| rules().iter().position(|other| other.id == rule.id);
    let descriptions: Vec<Value> = rules()
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": {"text": rule.title},
                "fullDescription": {"text": rule.explain},
                "defaultConfiguration": {"level": level(rule.severity)},
            })
        })
        .collect();
    let region = |finding: &Finding| {
        let place = sources.place(finding.span);
        json!({"physicalLocation": {
            "artifactLocation": {"uri": place.file},
            "region": {"startLine": place.line, "startColumn": place.column},
        }})
    };
    let result = |finding: &Finding, suppressions: Vec<Value>| {
        let mut value = json!({
            "ruleId": finding.rule.id,
            "ruleIndex": index_of(finding.rule),
            "level": level(finding.rule.severity),
            "message": {"text": finding.message},
            "locations": [region(finding)],
        });
        if !suppressions.is_empty() {
            value["suppressions"] = Value::Array(suppressions);
        }
        value
    };
    let mut results: Vec<Value> = report.findings.iter().map(|finding| result(finding, Vec::new())).collect();
    for silenced in &report.silenced {
        let why = json!({"kind": "inSource", "justification": silenced.reason});
        results.push(result(&silenced.finding, vec![why]));
    }
    let notifications: Vec<Value> = report
        .unreadable
        .iter()
        .map(|error| json!({"level": "error", "message": {"text": error.to_string()}}))
        .collect();
    pretty(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "octollm scale lint", "rules": descriptions}},
            "invocations": [{
                "executionSuccessful": report.unreadable.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    }))
}

fn pretty(value: &Value) -> String {
    // A value made of strings, numbers and lists always has a text form.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// The reference of all rules in Markdown, as `docs/lint-rules.md` holds it.
pub fn reference() -> String {
    let mut out = String::from(
        "# Lint rules\n\nPrinted from the rules themselves; `octollm scale lint --explain RULE` adds an example before \
         and after. An annotation `octollm.dev/lint-ignore.<rule>: <why>` on the object silences a rule there.\n",
    );
    for rule in rules() {
        let explain = rule.explain.split_whitespace().collect::<Vec<_>>().join(" ");
        out.push_str(&format!(
            "\n## {}\n\n**{}**: {}.\n\n{explain}\n",
            rule.id,
            rule.severity.word(),
            rule.title
        ));
    }
    out
}

/// `scale lint --explain RULE`: what the rule is about, with its example before and after.
pub fn explain(rule: &Rule) -> String {
    let mut out =
        format!("{} ({})\n{}\n\n{}\n", rule.id, rule.severity.word(), rule.title, rule.explain.trim());
    for (title, text) in [("Fires on", rule.fixture.fires), ("Silent on", rule.fixture.silent)] {
        out.push_str(&format!("\n{title}:\n"));
        for line in text.trim_end().lines() {
            out.push_str(if line.is_empty() { "" } else { "    " });
            out.push_str(line);
            out.push('\n');
        }
    }
    out.push_str(&format!(
        "\nSilence it where it is meant, with the reason, on the object:\n    metadata:\n      annotations:\n        {}{}: <why>\n",
        super::silence::PREFIX,
        rule.id
    ));
    out
}
