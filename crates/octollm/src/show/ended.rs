//! How the program ended when it could not do what was asked, for people and for programs.
//!
//! Promises: whoever asked for JSON gets one line on standard output,
//! `{"error": {"reason": …, "message": …}}`, whose fields mean what they mean in the `error` of a task. People
//! get the same words on standard error, always.

use super::{line, note};
use crate::{config::ConfigError, verbs::Usage};
use octollm_client::http::ClientError;
use serde::Serialize;
use serde_json::{Value, json};

/// What happened; programs read it by these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// The command line cannot be meant; exit code 2.
    Usage,
    /// A setting is wrong or missing; exit code 2.
    Configuration,
    /// The goal or the request is refused; of a server's refusal its `problem` stands beside.
    Refused,
    /// No server answers at the address; what was asked may have happened.
    Unreachable,
    /// A planner asked, and nobody could answer.
    Unanswered,
    /// Anything else, such as a file that cannot be written.
    Failed,
}

/// Tells what went wrong.
pub(crate) fn failure(error: &anyhow::Error, json: bool) {
    note(&format!("error: {}", told(error)));
    if json {
        line(&failed(error).to_string());
    }
}

/// Tells why nothing came of it, in words of our own.
pub(crate) fn ended(reason: Reason, message: &str, json: bool) {
    note(&if reason == Reason::Refused { format!("refused: {message}") } else { message.to_owned() });
    if json {
        line(&ending(reason, message));
    }
}

/// The line for programs alone.
pub(crate) fn ending(reason: Reason, message: &str) -> String {
    of(reason, message).to_string()
}

/// Tells of a command line that was not understood; `said` is the parser's word on it.
pub(crate) fn misread(said: &str) {
    line(&of(Reason::Usage, said.trim_end().trim_start_matches("error: ")).to_string());
}

fn of(reason: Reason, message: &str) -> Value {
    json!({"error": {"reason": reason, "message": message}})
}

/// An error with all its causes, nothing twice, and what to do.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str("\n  because: ");
            text.push_str(&cause);
        }
    }
    if let Some(ClientError::Unreachable(_)) = error.downcast_ref() {
        text.push_str("\nSee that it runs, and that --url (OCTOLLM_URL) names it.");
    }
    text
}

fn failed(error: &anyhow::Error) -> Value {
    let message = told(error);
    if error.is::<Usage>() {
        return of(Reason::Usage, &message);
    }
    if error.is::<ConfigError>() {
        return of(Reason::Configuration, &message);
    }
    match error.downcast_ref() {
        Some(ClientError::Problem { problem, retry_after }) => {
            let mut line = of(Reason::Refused, &message);
            line["error"]["problem"] = json!(problem);
            if let Some(after) = retry_after {
                line["error"]["retry_after_seconds"] = json!(after.get().div_ceil(1000));
            }
            line
        }
        Some(
            ClientError::Unreachable(_)
            | ClientError::OtherScheme { .. }
            | ClientError::TurnedAway(_)
            | ClientError::NoneShown(_),
        ) => of(Reason::Unreachable, &message),
        Some(ClientError::Unreadable { .. }) | None => of(Reason::Failed, &message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;
    use octollm_contract::{Millis, Problem};

    /// P8: a program that called the program reads the problem, its field and when to repeat.
    #[test]
    fn a_servers_refusal_keeps_its_problem_whatever_stands_around_it() {
        let problem = Problem {
            kind: "/problems/overloaded".into(),
            title: "The server is at its limit".into(),
            status: 503,
            detail: "too much".into(),
            field: Some("goal".into()),
        };
        let refused = ClientError::Problem { problem, retry_after: Some(Millis::new(1_001)) };
        let error = Err::<(), _>(refused).context("the task's end cannot be read").unwrap_err();
        let message = "the task's end cannot be read\n  because: The server is at its limit: too much";
        let problem = json!({
            "type": "/problems/overloaded", "title": "The server is at its limit", "status": 503,
            "detail": "too much", "field": "goal",
        });
        let wanted = json!({
            "reason": "refused", "message": message, "problem": problem, "retry_after_seconds": 2,
        });
        assert_eq!(failed(&error), json!({"error": wanted}));
    }

    #[test]
    fn a_reason_goes_with_its_exit_code() {
        let reason = |error: anyhow::Error| failed(&error)["error"]["reason"].clone();
        assert_eq!(reason(Usage("no key".into()).into()), "usage");
        let unset = ConfigError::Unknown { origin: "a file".into(), name: "lisen".into(), nearest: None };
        assert_eq!(reason(unset.into()), "configuration");
        assert_eq!(reason(std::io::Error::other("full").into()), "failed");
    }
}
