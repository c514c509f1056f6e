//! Problems: what a refused request gets back (RFC 9457).

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// The body of every refusal, as `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where the kind of problem is explained: `/problems/<slug>` on the same server.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words; the same for every problem of the kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
    /// The field at fault, as a path such as `budget.max_retries`, or the header or parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl Problem {
    /// Which kind this is, if this version knows it.
    #[must_use]
    pub fn known_kind(&self) -> Option<ProblemKind> {
        let slug = self.kind.rsplit('/').next()?;
        ProblemKind::ALL.iter().copied().find(|k| k.slug() == slug)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $slug:literal, $title:literal, $page:literal;)+) => {
        /// The kinds of problem. Each has a page: cause, what was not lost, remedy.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemKind { $($(#[$doc])* $variant),+ }

        impl ProblemKind {
            /// Every kind there is.
            pub const ALL: &'static [ProblemKind] = &[$(ProblemKind::$variant),+];

            /// The last segment of the problem's `type`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(ProblemKind::$variant => $slug),+ }
            }

            /// The problem's `title`.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(ProblemKind::$variant => $title),+ }
            }

            /// The text of the page that the problem's `type` leads to.
            #[must_use]
            pub const fn page(self) -> &'static str {
                match self { $(ProblemKind::$variant => $page),+ }
            }
        }
    };
}

kinds! {
    /// The body, a header or a parameter is not what the API takes.
    InvalidRequest = "invalid-request", "The request is not valid",
        "A field, header or parameter is missing, unknown, of the wrong type or out of its range. Nothing was stored. `field` names the place and `detail` says what is taken there; correct it and send again.";
    /// A field asks for something that nothing honours yet.
    NotHonoured = "not-honoured", "A field asks for something that is not honoured yet",
        "The field is part of the API, but this server has nothing that would honour it, and accepting it would be a promise it cannot keep. Nothing was stored. Leave the field out.";
    /// A key's policy grants something that cannot be granted.
    InvalidPolicy = "invalid-policy", "The policy cannot be honoured",
        "An entry of the policy grants nothing that there can be: a path that is not absolute, a command with its arguments, an entry that is there twice. No key was made. `field` names the entry and `detail` says what is taken there.";
    /// The goal needs a model and none is configured.
    NeedsModel = "needs-model", "The goal needs a model",
        "Without a model only the goals of docs/offline-goals.md are understood, and this one is not among them. Nothing was stored. `detail` says which words were not understood and what can be done.";
    /// The plan asks for more than the key's policy grants.
    BeyondPolicy = "beyond-policy", "The key's policy does not allow this",
        "The goal needs a path, host or command that the key was not granted. Nothing was stored. Ask for a key whose policy grants it (`octollm keys create --help`).";
    /// No key, or one that is unknown or revoked.
    Unauthenticated = "unauthenticated", "A valid key is needed",
        "The request carries no key, or one that is malformed, unknown or revoked. Nothing was stored. Send `Authorization: Bearer octo_<id>_<secret>`.";
    /// The key is valid and may not do this.
    Forbidden = "forbidden", "The key may not do this",
        "The key is valid but lacks the role or scope that the OpenAPI document names for this route. Nothing was changed.";
    /// There is no such thing, or it belongs to another tenant.
    NotFound = "not-found", "There is nothing here",
        "The path, task, step or artefact does not exist, or it belongs to another tenant; the two look the same on purpose.";
    /// The route exists with other methods.
    MethodNotAllowed = "method-not-allowed", "The route does not take this method",
        "The path exists, but not with this method; the OpenAPI document at /openapi.json lists what it takes.";
    /// The same idempotency key came with another body.
    KeyReused = "idempotency-key-reused", "The idempotency key belongs to another request",
        "A task was accepted under this Idempotency-Key with a different body. That task is untouched. Use a new key for a new task.";
    /// The task or step is in a state that does not allow this.
    Conflict = "conflict", "The state does not allow this",
        "The task has ended, is not waiting for input, or is otherwise in a state in which the request makes no sense. Nothing was changed; read the task to see its state.";
    /// The lease has moved on.
    LeaseLost = "lease-lost", "The lease is no longer held",
        "The step's lease expired, was revoked or belongs to another worker now. The report was refused and changed nothing; drop the work.";
    /// The body is over the limit.
    TooLarge = "too-large", "The request is too large",
        "The body or a field in it is over the limit that `detail` names. Nothing was stored.";
    /// The body is not plain JSON by its headers.
    UnsupportedMediaType = "unsupported-media-type", "The body's type or encoding is not taken",
        "The Content-Type is not application/json, or the Content-Encoding is not identity. Nothing was stored. `field` names the header; send plain JSON.";
    /// More work is open than the server takes.
    Overloaded = "overloaded", "The server is at its limit",
        "More requests or tasks are open than the server takes at once. Nothing was stored, and accepted tasks go on. Repeat after the time in Retry-After.";
    /// The store cannot be reached or the server is draining.
    Unavailable = "unavailable", "The server cannot do this now",
        "The store cannot be reached or written, or the server is shutting down. Nothing was stored. Repeat after the time in Retry-After, with the same Idempotency-Key.";
    /// A commit whose fate is not known.
    Unconfirmed = "unconfirmed", "The outcome is not known",
        "The connection to the store broke while the change was being committed: it may or may not have happened. Repeat with the same Idempotency-Key; both ways lead to one task.";
    /// A defect of the server.
    Internal = "internal", "The server failed",
        "A defect of the server. What was accepted before is safe. The server's log holds the cause under the request's id.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_slug_and_is_found_by_its_type() {
        for kind in ProblemKind::ALL {
            let problem = Problem {
                kind: format!("/problems/{}", kind.slug()),
                title: kind.title().into(),
                status: 400,
                detail: String::new(),
                field: None,
            };
            assert_eq!(problem.known_kind(), Some(*kind));
        }
    }
}
