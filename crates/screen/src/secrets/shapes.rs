//! The shapes: how each begins, and what must follow.

use super::SecretKind;
use std::ops::Range;

/// A shape of secret.
pub(super) struct Shape {
    pub(super) kind: SecretKind,
    /// How it begins. Found in either case; `body` says whether the case counts.
    pub(super) anchor: &'static str,
    /// No letter or digit may stand before it.
    border: bool,
    body: Body,
}

/// What follows the anchor.
enum Body {
    /// At least so many of these characters, and all of them that follow; with a digit among
    /// them where `digit` is set, so that words with dashes are not taken for keys.
    Run { of: Class, least: usize, digit: bool },
    /// Exactly so many capital letters and digits, and then none, or another secret.
    Capitals(usize),
    /// Two dots between three runs of base64url; the anchor is the first run's beginning.
    Jwt,
    /// Up to the line that ends the block, or to the text's end.
    Pem,
    /// `=` or `:`, with quotes and blanks, then a run of at least so many with a digit; only
    /// the run is secret.
    Assigned { least: usize },
    /// Blanks, then a run of at least so many; only the run is secret.
    Header { least: usize },
    /// `user:password@`.
    UserInfo,
}

#[derive(Clone, Copy)]
enum Class {
    Alnum,
    /// Letters, digits, `_` and `-`.
    Url,
    /// Letters, digits, and `-._~+/=`.
    Token,
}

impl Class {
    fn has(self, b: u8) -> bool {
        b.is_ascii_alphanumeric()
            || match self {
                Class::Alnum => false,
                Class::Url => matches!(b, b'_' | b'-'),
                Class::Token => matches!(b, b'_' | b'-' | b'.' | b'~' | b'+' | b'/' | b'='),
            }
    }
}

const fn run(kind: SecretKind, anchor: &'static str, of: Class, least: usize) -> Shape {
    Shape { kind, anchor, border: false, body: Body::Run { of, least, digit: false } }
}

/// With a border before it and a digit in it: anchors short enough to stand in words.
const fn wary(kind: SecretKind, anchor: &'static str, of: Class, least: usize) -> Shape {
    Shape { kind, anchor, border: true, body: Body::Run { of, least, digit: true } }
}

const fn capitals(anchor: &'static str) -> Shape {
    Shape { kind: SecretKind::Aws, anchor, border: true, body: Body::Capitals(16) }
}

const fn named(kind: SecretKind, anchor: &'static str) -> Shape {
    Shape { kind, anchor, border: false, body: Body::Assigned { least: 16 } }
}

const fn header(anchor: &'static str) -> Shape {
    Shape { kind: SecretKind::Bearer, anchor, border: true, body: Body::Header { least: 16 } }
}

const fn other(kind: SecretKind, anchor: &'static str, border: bool, body: Body) -> Shape {
    Shape { kind, anchor, border, body }
}

use Class::{Alnum, Token, Url};
use SecretKind::{
    Anthropic, Aws, GitHub, GitLab, Google, Jwt, Named, OctoLlm, OpenAi, PrivateKey, Provider, Slack, Stripe,
    UrlPassword,
};

/// Of two anchors of which one begins with the other, the longer stands first.
pub(super) const SHAPES: &[Shape] = &[
    wary(Anthropic, "sk-ant-", Url, 20),
    wary(Provider, "sk-or-", Url, 20),
    wary(OpenAi, "sk-", Url, 20),
    capitals("AKIA"),
    capitals("ASIA"),
    capitals("ABIA"),
    capitals("ACCA"),
    named(Aws, "aws_secret_access_key"),
    named(Aws, "aws_session_token"),
    named(Aws, "secretAccessKey"),
    run(GitHub, "github_pat_", Url, 22),
    run(GitHub, "ghp_", Alnum, 30),
    run(GitHub, "gho_", Alnum, 30),
    run(GitHub, "ghu_", Alnum, 30),
    run(GitHub, "ghs_", Alnum, 30),
    run(GitHub, "ghr_", Alnum, 30),
    run(GitLab, "glpat-", Url, 20),
    run(GitLab, "gldt-", Url, 20),
    run(GitLab, "glrt-", Url, 20),
    run(GitLab, "glptt-", Url, 20),
    run(GitLab, "glcbt-", Url, 20),
    run(Slack, "xoxb-", Url, 10),
    run(Slack, "xoxp-", Url, 10),
    run(Slack, "xoxa-", Url, 10),
    run(Slack, "xoxr-", Url, 10),
    run(Slack, "xoxs-", Url, 10),
    run(Slack, "xoxe-", Url, 10),
    run(Slack, "xapp-", Url, 10),
    run(Slack, "hooks.slack.com/services/", Token, 20),
    run(Google, "AIza", Url, 35),
    run(Google, "GOCSPX-", Url, 20),
    wary(Google, "ya29.", Token, 20),
    run(Stripe, "sk_live_", Alnum, 16),
    run(Stripe, "sk_test_", Alnum, 16),
    run(Stripe, "rk_live_", Alnum, 16),
    run(Stripe, "rk_test_", Alnum, 16),
    run(Stripe, "whsec_", Token, 20),
    wary(Provider, "hf_", Alnum, 30),
    wary(Provider, "gsk_", Alnum, 20),
    wary(Provider, "xai-", Alnum, 20),
    wary(Provider, "pplx-", Alnum, 20),
    wary(Provider, "nvapi-", Url, 20),
    wary(Provider, "r8_", Alnum, 30),
    wary(Provider, "npm_", Alnum, 30),
    wary(Provider, "pypi-", Url, 40),
    wary(Provider, "dckr_pat_", Url, 20),
    wary(Provider, "dop_v1_", Alnum, 40),
    wary(Provider, "dapi", Alnum, 32),
    wary(Provider, "lin_api_", Alnum, 30),
    wary(Provider, "shpat_", Alnum, 30),
    wary(Provider, "SG.", Token, 40),
    // octo_<id>_<secret>: an id of at least one, a secret of at least 32.
    run(OctoLlm, "octo_", Url, 34),
    other(Jwt, "eyJ", true, Body::Jwt),
    other(PrivateKey, "-----BEGIN ", false, Body::Pem),
    named(Named, "x-api-key"),
    named(Named, "x-goog-api-key"),
    named(Named, "api_key"),
    named(Named, "api-key"),
    named(Named, "apikey"),
    named(Named, "access_token"),
    named(Named, "client_secret"),
    named(Named, "AccountKey"),
    header("bearer"),
    header("authorization: basic"),
    other(UrlPassword, "://", false, Body::UserInfo),
];

/// Where a digit is asked for, it stands among the first so many characters.
const DIGIT_WITHIN: usize = 128;

impl Shape {
    /// What of the text is secret, if the text at `at` has this shape.
    pub(super) fn at(&self, text: &str, at: usize, edge: usize) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        let end = at.checked_add(self.anchor.len()).filter(|end| *end <= bytes.len())?;
        let begins = &bytes[at..end];
        let same = match self.body {
            Body::Assigned { .. } | Body::Header { .. } => {
                begins.eq_ignore_ascii_case(self.anchor.as_bytes())
            }
            Body::Run { .. } | Body::Capitals(_) | Body::Jwt | Body::Pem | Body::UserInfo => {
                begins == self.anchor.as_bytes()
            }
        };
        if !same || (self.border && at > edge && !border_before(bytes, at)) {
            return None;
        }
        // Only the beginning of a run is looked at before it is known to be a secret: otherwise
        // many anchors in one long run would each walk all of it.
        let has_digit = |run: &[u8]| run.iter().take(DIGIT_WITHIN).any(u8::is_ascii_digit);
        match self.body {
            Body::Run { of, least, digit } => {
                let start = &bytes[end..end + length(&bytes[..bytes.len().min(end + DIGIT_WITHIN)], end, of)];
                let fits = start.len() >= least && (!digit || has_digit(start));
                fits.then(|| at..end + length(bytes, end, of))
            }
            Body::Capitals(count) => {
                let fits = bytes.get(end..end + count).is_some_and(|body| body.iter().all(capital));
                let ends = || !bytes.get(end + count).is_some_and(u8::is_ascii_alphanumeric);
                (fits && (ends() || another_begins(text, end + count))).then_some(at..end + count)
            }
            // Inside a run that could itself be a part of a token no token begins.
            Body::Jwt if at > edge && at > 0 && matches!(bytes[at - 1], b'-' | b'_') => None,
            Body::Jwt => jwt(bytes, at).map(|end| at..end),
            Body::Pem => pem(text, end).map(|end| at..end),
            Body::Assigned { least } => {
                let value = value(bytes, end)?;
                let window = &bytes[..bytes.len().min(value + DIGIT_WITHIN)];
                let start = &bytes[value..value + length(window, value, Token)];
                let fits = start.len() >= least && has_digit(start);
                fits.then(|| value..value + length(bytes, value, Token))
            }
            Body::Header { least } => {
                let blanks = bytes[end..].iter().take(4).take_while(|b| matches!(b, b' ' | b'\t')).count();
                let value = end + blanks;
                let length = length(bytes, value, Token);
                (blanks > 0 && length >= least).then_some(value..value + length)
            }
            Body::UserInfo => user_info(bytes, end),
        }
    }
}

/// Whether a secret begins right here, so that one that ends here is not a part of something
/// longer. One that would itself need an end is taken at its word: a chain of them is looked
/// at once for each link, not once for each pair.
fn another_begins(text: &str, at: usize) -> bool {
    SHAPES.iter().any(|shape| match shape.body {
        Body::Capitals(count) => {
            let bytes = text.as_bytes();
            let end = at + shape.anchor.len();
            text[at..].starts_with(shape.anchor)
                && bytes.get(end..end + count).is_some_and(|body| body.iter().all(capital))
        }
        Body::Run { .. } | Body::Jwt => shape.at(text, at, at).is_some(),
        // Their first character is none that could go on a run, or the name is no secret.
        Body::Pem | Body::Assigned { .. } | Body::Header { .. } | Body::UserInfo => false,
    })
}

fn capital(b: &u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}

/// A letter or digit before is no border; an escaped line end or tab (`\n` as two characters,
/// in JSON inside a text) is one.
fn border_before(bytes: &[u8], at: usize) -> bool {
    match &bytes[..at] {
        [.., b'\\', b'n' | b't' | b'r'] => true,
        [.., before] => !before.is_ascii_alphanumeric(),
        [] => true,
    }
}

fn length(bytes: &[u8], from: usize, of: Class) -> usize {
    bytes[from.min(bytes.len())..].iter().take_while(|b| of.has(**b)).count()
}

/// The end of a token that begins at `at`: header, payload and signature. The signature may be
/// missing, its dot not.
fn jwt(bytes: &[u8], at: usize) -> Option<usize> {
    let dot = |at: usize| (bytes.get(at) == Some(&b'.')).then_some(at + 1);
    let header = length(bytes, at, Url);
    let payload_at = dot(at + header).filter(|_| header >= 10)?;
    let payload = length(bytes, payload_at, Url);
    let signature_at = dot(payload_at + payload).filter(|_| payload >= 10)?;
    Some(signature_at + length(bytes, signature_at, Url))
}

/// The end of the block whose label begins at `from`.
fn pem(text: &str, from: usize) -> Option<usize> {
    const LABEL_MAX: usize = 64;
    let label_end = text.as_bytes()[from..].iter().take(LABEL_MAX).position(|b| *b == b'-')? + from;
    let label = text.get(from..label_end)?;
    // What is masked in a label makes it shorter, and must not make it a label.
    if !label.contains("PRIVATE KEY") || !label.bytes().all(|b| capital(&b) || b == b' ') {
        return None;
    }
    // A block that is cut off is secret to its end.
    let Some(end) = text[label_end..].find("-----END ").map(|at| at + label_end + "-----END ".len()) else {
        return Some(text.len());
    };
    let close = text.as_bytes()[end..].iter().take(LABEL_MAX).position(|b| *b == b'-');
    let dashes = |at: usize| text.as_bytes()[at..].iter().take(5).take_while(|b| **b == b'-').count();
    Some(close.map_or(end, |at| end + at + dashes(end + at)))
}

/// Where the value of `name = "value"`, `name: value` or `"name":"value"` begins.
fn value(bytes: &[u8], from: usize) -> Option<usize> {
    const BETWEEN_MAX: usize = 12;
    let between = |b: &&u8| matches!(b, b' ' | b'\t' | b'"' | b'\'' | b'\\' | b'=' | b':' | b'>' | b'`');
    let gap = bytes[from..].iter().take(BETWEEN_MAX).take_while(between).count();
    let assigns = bytes[from..from + gap].iter().any(|b| matches!(b, b'=' | b':'));
    assigns.then_some(from + gap)
}

/// The user and password of a URL whose authority begins at `from`.
fn user_info(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    const PART_MAX: usize = 512;
    let part = |at: usize| {
        let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'/' | b'@' | b'"' | b'\'' | b'<' | b'>');
        let rest = bytes[at..].iter().take(PART_MAX);
        rest.take_while(|b| !ends(b)).count()
    };
    let length = part(from);
    let colon = bytes[from..from + length].iter().position(|b| *b == b':')?;
    let has_password = colon + 1 < length && bytes.get(from + length) == Some(&b'@');
    has_password.then_some(from..from + length)
}
