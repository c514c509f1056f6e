//! What tasks came to and cost, as tables.

use octollm_contract::{
    Day, MicroUsd, Timestamp,
    api::{ArmsUsage, CallsSettled, TasksEnded, UsagePage},
};
use std::fmt::Write as _;

/// What tasks came to, a line for each day and tenant, and their sum.
pub(crate) fn usage_by_day(page: &UsagePage) -> String {
    let mut rows =
        Rows::of(&["day", "tenant", "completed", "failed", "cancelled", "calls", "tokens", "US dollars"]);
    let (mut tasks, mut calls) = (TasksEnded::default(), Sum::default());
    for day in &page.days {
        rows.add([day.day.to_string(), day.tenant.to_string()], counts(day.tasks), &Sum::of(&day.calls));
        tasks.completed += day.tasks.completed;
        tasks.failed += day.tasks.failed;
        tasks.cancelled += day.tasks.cancelled;
        calls.add(&day.calls);
    }
    if page.days.len() > 1 {
        rows.add(["all".to_owned(), String::new()], counts(tasks), &calls);
    }
    shown(page.from, page.to, page.as_of, &rows)
}

/// How the steps of each arm ended.
pub(crate) fn usage_by_arm(usage: &ArmsUsage) -> String {
    let mut rows = Rows::of(&[
        "arm",
        "",
        "done",
        "failed",
        "cancelled",
        "attempts",
        "mean s",
        "worst s",
        "calls",
        "tokens",
        "US dollars",
    ]);
    for arm in &usage.arms {
        let seconds = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.1}"));
        let counts = [arm.done, arm.failed, arm.cancelled, arm.attempts].map(|count| count.to_string());
        let times = [seconds(arm.mean_seconds), seconds(arm.worst_seconds)];
        let numbers = counts.into_iter().chain(times).collect();
        rows.add([arm.name.to_string(), String::new()], numbers, &Sum::of(&arm.calls));
    }
    shown(usage.from, usage.to, usage.as_of, &rows)
}

fn shown(from: Day, to: Day, as_of: Timestamp, rows: &Rows) -> String {
    let days = format!("{from} to {to}, counted up to {as_of}");
    if rows.0.len() > 1 { format!("{days}\n{}", rows.text()) } else { format!("{days}: nothing ended\n") }
}

fn counts(tasks: TasksEnded) -> Vec<String> {
    [tasks.completed, tasks.failed, tasks.cancelled].map(|count| count.to_string()).into()
}

/// Calls of several lines together. What nobody knows the price of is counted apart, never as 0 (P5).
#[derive(Default)]
struct Sum {
    settled: u64,
    unpriced: u64,
    known: MicroUsd,
    tokens: u64,
}

impl Sum {
    fn of(calls: &CallsSettled) -> Self {
        let mut sum = Sum::default();
        sum.add(calls);
        sum
    }

    fn add(&mut self, calls: &CallsSettled) {
        self.settled += calls.settled;
        self.unpriced += calls.unpriced;
        // More than there is money for is not reached by adding what was paid.
        self.known = self.known.checked_add(calls.known_cost_usd).unwrap_or(self.known);
        self.tokens += calls.tokens;
    }

    fn cost(&self) -> String {
        match self.unpriced {
            0 => self.known.to_string(),
            1 => format!("{} and 1 call of unknown price", self.known),
            calls => format!("{} and {calls} calls of unknown price", self.known),
        }
    }
}

/// A table: two columns of words, then numbers, then what it cost.
struct Rows(Vec<Vec<String>>);

const WORDS: usize = 2;

impl Rows {
    fn of(head: &[&str]) -> Self {
        Rows(vec![head.iter().map(|name| (*name).to_owned()).collect()])
    }

    fn add(&mut self, words: [String; WORDS], numbers: Vec<String>, calls: &Sum) {
        let paid = [calls.settled.to_string(), calls.tokens.to_string(), calls.cost()];
        self.0.push(words.into_iter().chain(numbers).chain(paid).collect());
    }

    fn text(&self) -> String {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.0 {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let _infallible = match column {
                    _ if *width == 0 => Ok(()),
                    // The last column may hold words, too.
                    column if column < WORDS || column + 1 == columns => write!(line, "{cell:<width$}  "),
                    _ => write!(line, "{cell:>width$}  "),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn calls(settled: u64, unpriced: u64, known: &str, tokens: u64) -> Value {
        let cost = if unpriced == 0 { json!(known) } else { Value::Null };
        json!({
            "settled": settled, "unpriced": unpriced, "cost_usd": cost, "known_cost_usd": known, "tokens": tokens,
        })
    }

    fn page(days: &Value) -> String {
        let page = json!({
            "from": "2026-11-01", "to": "2026-11-30", "as_of": "2026-11-30T12:00:00Z", "days": days,
        });
        usage_by_day(&serde_json::from_value(page).unwrap())
    }

    /// P5: an unknown price is no 0, neither in its line nor in the sum.
    #[test]
    fn days_are_lines_with_their_sum() {
        let shown = page(&json!([
            {
                "day": "2026-11-25", "tenant": "ant", "calls": calls(1200, 0, "12.50", 2_000_000),
                "tasks": { "completed": 990, "failed": 7, "cancelled": 3 },
            },
            {
                "day": "2026-11-26", "tenant": "a-long-name", "calls": calls(3, 1, "0.25", 90),
                "tasks": { "completed": 1, "failed": 0, "cancelled": 0 },
            },
        ]));
        insta::assert_snapshot!(shown, @"
        2026-11-01 to 2026-11-30, counted up to 2026-11-30T12:00:00.000Z
        day         tenant       completed  failed  cancelled  calls   tokens  US dollars
        2026-11-25  ant                990       7          3   1200  2000000  12.50
        2026-11-26  a-long-name          1       0          0      3       90  0.25 and 1 call of unknown price
        all                            991       7          3   1203  2000090  12.75 and 1 call of unknown price
        ");
        let nothing = page(&json!([]));
        insta::assert_snapshot!(nothing, @"2026-11-01 to 2026-11-30, counted up to 2026-11-30T12:00:00.000Z: nothing ended");
    }

    #[test]
    fn arms_are_lines_and_what_nobody_timed_is_no_0() {
        let usage = json!({
            "from": "2026-11-01", "to": "2026-11-30", "as_of": "2026-11-30T12:00:00Z",
            "arms": [
                {
                    "name": "coder", "done": 12, "failed": 1, "cancelled": 0, "attempts": 15,
                    "mean_seconds": 12.34, "worst_seconds": 120.0, "calls": calls(40, 2, "1.00", 51_000),
                },
                { "name": "judge", "done": 0, "failed": 1, "cancelled": 0, "attempts": 3, "calls": calls(0, 0, "0.00", 0) },
            ],
        });
        let shown = usage_by_arm(&serde_json::from_value(usage).unwrap());
        insta::assert_snapshot!(shown, @"
        2026-11-01 to 2026-11-30, counted up to 2026-11-30T12:00:00.000Z
        arm    done  failed  cancelled  attempts  mean s  worst s  calls  tokens  US dollars
        coder    12       1          0        15    12.3    120.0     40   51000  1.00 and 2 calls of unknown price
        judge     0       1          0         3       -        -      0       0  0.00
        ");
    }
}
