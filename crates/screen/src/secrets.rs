//! Secrets of the shapes that common providers give theirs, found and masked.
//!
//! One automaton finds the places where a shape may begin; a short check decides. It knows
//! shapes, not secrets: a password that looks like a word passes, and a text that is no secret
//! but has the shape of one is masked. A secret with hidden characters inside is found as
//! [`crate::text::neutralise`] would show it, and masked with them; the rest of a text stays as it came.

mod bodies;
mod shapes;
#[cfg(test)]
mod tests;

use crate::text::SeenThrough;
use aho_corasick::{AhoCorasick, MatchKind};
use bodies::Headers;
use shapes::{SHAPES, Shape};
use std::{borrow::Cow, collections::BTreeMap, ops::Range, sync::LazyLock};

/// Whose secret it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretKind {
    /// OpenAI, and those who took over its shape (`sk-…`).
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Amazon: the id of an access key, or the secret behind a name that says so.
    Aws,
    /// GitHub.
    GitHub,
    /// GitLab.
    GitLab,
    /// Slack.
    Slack,
    /// Google.
    Google,
    /// Stripe.
    Stripe,
    /// Another provider of models, packages or servers.
    Provider,
    /// A key of this system.
    OctoLlm,
    /// A signed JSON web token.
    Jwt,
    /// A private key in PEM.
    PrivateKey,
    /// The value of an authorization header.
    Bearer,
    /// A value behind a name that says that it is a key.
    Named,
    /// The user and password of a URL.
    UrlPassword,
}

impl SecretKind {
    /// The word that stands in the mask, and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SecretKind::OpenAi => "openai",
            SecretKind::Anthropic => "anthropic",
            SecretKind::Aws => "aws",
            SecretKind::GitHub => "github",
            SecretKind::GitLab => "gitlab",
            SecretKind::Slack => "slack",
            SecretKind::Google => "google",
            SecretKind::Stripe => "stripe",
            SecretKind::Provider => "provider",
            SecretKind::OctoLlm => "octollm",
            SecretKind::Jwt => "jwt",
            SecretKind::PrivateKey => "private_key",
            SecretKind::Bearer => "bearer",
            SecretKind::Named => "named",
            SecretKind::UrlPassword => "url_password",
        }
    }
}

/// A text without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked<'t> {
    /// The text, with `[masked KIND]` where a secret was.
    pub text: Cow<'t, str>,
    /// How many of each kind there were; none when the text is as it came.
    pub found: BTreeMap<SecretKind, u32>,
}

/// Masks every secret of a known shape, also one that hidden characters cut into pieces. Nothing else of
/// the text is changed.
#[must_use]
pub fn mask(text: &str) -> Masked<'_> {
    let mut places = secrets(text);
    if let Some(through) = SeenThrough::of(text) {
        places.extend(secrets(&through.text).into_iter().map(|(kind, at)| (kind, through.stood(at))));
        places.sort_by_key(|(_, at)| at.start);
        // What looks like one without the hidden characters may be the half of one with them.
        places.dedup_by(|(_, next), (_, at)| {
            let overlap = next.start < at.end;
            at.end = if overlap { at.end.max(next.end) } else { at.end };
            overlap
        });
    }
    without(text, places)
}

/// Where the secrets are, in order.
fn secrets(text: &str) -> Vec<(SecretKind, Range<usize>)> {
    let mut found = Vec::new();
    let mut kept = 0;
    let mut from = 0;
    let headers = Headers::default();
    while let Some((kind, secret)) = next(text, &mut from, kept, &headers) {
        kept = secret.end;
        from = secret.end;
        found.push((kind, secret));
    }
    found
}

/// The text with a mask in place of each secret.
fn without(text: &str, secrets: Vec<(SecretKind, Range<usize>)>) -> Masked<'_> {
    let mut found = BTreeMap::new();
    if secrets.is_empty() {
        return Masked { text: Cow::Borrowed(text), found };
    }
    let mut clean = String::new();
    let mut kept = 0;
    for (kind, secret) in secrets {
        clean.push_str(&text[kept..secret.start]);
        clean.push_str("[masked ");
        clean.push_str(kind.as_str());
        clean.push(']');
        *found.entry(kind).or_insert(0) += 1;
        kept = secret.end;
    }
    clean.push_str(&text[kept..]);
    Masked { text: Cow::Owned(clean), found }
}

static ANCHORS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostFirst)
        .build(SHAPES.iter().map(|shape| shape.anchor))
        .expect("a short list of short words makes an automaton")
});

/// The next secret at or after `from`. `edge` is where the last one ended, which is a border for
/// the next: what is masked no longer stands there.
fn next(text: &str, from: &mut usize, edge: usize, headers: &Headers) -> Option<(SecretKind, Range<usize>)> {
    while let Some(anchor) = ANCHORS.find(aho_corasick::Input::new(text).range(*from..)) {
        let at = anchor.start();
        // Several shapes may begin alike; the first that fits counts. None before the one that
        // was found begins here.
        let fits = |shape: &Shape| shape.at(text, at, edge, headers).map(|secret| (shape.kind, secret));
        if let Some(hit) = SHAPES[anchor.pattern().as_usize()..].iter().find_map(fits) {
            return Some(hit);
        }
        *from = at + 1;
    }
    None
}
