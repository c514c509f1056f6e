//! Which status goes with which kind of problem. Nothing else in the project knows a number.

use octollm_contract::{Problem, ProblemKind};

/// The status of every problem of a kind.
#[must_use]
pub(crate) const fn status(kind: ProblemKind) -> u16 {
    match kind {
        ProblemKind::InvalidRequest => 400,
        ProblemKind::Unauthenticated => 401,
        ProblemKind::Forbidden | ProblemKind::BeyondPolicy => 403,
        ProblemKind::NotFound => 404,
        ProblemKind::MethodNotAllowed => 405,
        ProblemKind::Conflict | ProblemKind::KeyReused | ProblemKind::LeaseLost => 409,
        ProblemKind::TooLarge => 413,
        ProblemKind::UnsupportedMediaType => 415,
        ProblemKind::InvalidPolicy | ProblemKind::NeedsModel | ProblemKind::NotHonoured => 422,
        ProblemKind::Internal => 500,
        ProblemKind::Overloaded | ProblemKind::Unavailable | ProblemKind::Unconfirmed => 503,
    }
}

/// A problem of a kind; `field` names what is at fault, if a field is.
pub(crate) fn problem<'a>(
    kind: ProblemKind,
    detail: impl Into<String>,
    field: impl Into<Option<&'a str>>,
) -> Problem {
    Problem {
        kind: format!("/problems/{}", kind.slug()),
        title: kind.title().to_owned(),
        status: status(kind),
        detail: detail.into(),
        field: field.into().map(str::to_owned),
    }
}
