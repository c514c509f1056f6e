//! The shapes: how each begins, and what must follow.

use super::{
    ANCHORS, SecretKind,
    bodies::{self, Headers},
};
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
    /// At least so many of these characters, and all of them that follow, up to where another
    /// secret begins; with a digit among them where `digit` is set, so that words with dashes are
    /// not taken for keys.
    Run { of: Class, least: usize, digit: bool },
    /// Exactly so many of these characters, and then none, or another secret.
    Exactly { of: Class, count: usize },
    /// Two dots between three runs of base64url; the anchor is the first run's beginning.
    Jwt,
    /// Up to the line that ends the block, or to the text's end.
    Pem,
    /// The line that ends a block whose beginning is not there, and the lines before it.
    PemEnd,
    /// Digits stand before the anchor; behind its colon a run of at least so many is secret.
    BehindDigits { least: usize },
    /// `=` or `:`, with quotes and blanks, then a run of at least so many with a digit; only
    /// the run is secret.
    Assigned { least: usize },
    /// `=` or `:`, with quotes and blanks, then what is rather a password than a word.
    Password,
    /// Blanks, then a run of at least so many; only the run is secret.
    Header { least: usize },
    /// `user:password@`.
    UserInfo,
    /// `=` or `:`, with quotes and blanks, then `name=value` pairs of which the first has a long value with
    /// letters and digits; the pairs are secret.
    Cookies,
}

/// A set of characters.
#[derive(Clone, Copy)]
pub(super) enum Class {
    /// Capital letters and digits.
    Capital,
    /// Digits and a-f.
    Hex,
    Alnum,
    /// Letters, digits, `_` and `-`.
    Url,
    /// Letters, digits, and `-._~+/=`.
    Token,
}

impl Class {
    pub(super) fn has(self, b: u8) -> bool {
        match self {
            Class::Capital => b.is_ascii_uppercase() || b.is_ascii_digit(),
            Class::Hex => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
            Class::Alnum => b.is_ascii_alphanumeric(),
            Class::Url => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'),
            Class::Token => {
                b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'~' | b'+' | b'/' | b'=')
            }
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

/// Neither capitals nor digits may touch it; small letters, of which it has none, may.
const fn capitals(anchor: &'static str) -> Shape {
    Shape {
        kind: SecretKind::Aws,
        anchor,
        border: false,
        body: Body::Exactly { of: Class::Capital, count: 16 },
    }
}

/// Exactly so many, with a border before it: random letters need not have a digit among them.
const fn exactly(anchor: &'static str, of: Class, count: usize) -> Shape {
    Shape { kind: SecretKind::Provider, anchor, border: true, body: Body::Exactly { of, count } }
}

const fn named(kind: SecretKind, anchor: &'static str) -> Shape {
    Shape { kind, anchor, border: false, body: Body::Assigned { least: 16 } }
}

const fn password(anchor: &'static str) -> Shape {
    Shape { kind: SecretKind::Named, anchor, border: false, body: Body::Password }
}

const fn header(anchor: &'static str) -> Shape {
    Shape { kind: SecretKind::Bearer, anchor, border: true, body: Body::Header { least: 16 } }
}

const fn other(kind: SecretKind, anchor: &'static str, border: bool, body: Body) -> Shape {
    Shape { kind, anchor, border, body }
}

use Class::{Alnum, Hex, Token, Url};
use SecretKind::{
    Anthropic, Aws, GitHub, GitLab, Google, Jwt, Named, OctoLlm, OpenAi, PrivateKey, Provider, Slack, Stripe,
    UrlPassword,
};

/// Of two anchors of which one begins with the other, the longer stands first.
pub(super) const SHAPES: &[Shape] = &[
    wary(Anthropic, "sk-ant-", Url, 20),
    wary(Provider, "sk-or-", Url, 20),
    wary(OpenAi, "sk-", Url, 20),
    // So many random letters need not have a digit among them; a word of so many without a dash is none.
    other(OpenAi, "sk-", true, Body::Run { of: Alnum, least: 24, digit: false }),
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
    exactly("hf_", Alnum, 34),
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
    wary(Provider, "hvs.", Url, 20),
    wary(Provider, "hvb.", Url, 20),
    exactly("key-", Hex, 32),
    run(Provider, "ATATT3xFfGF0", Token, 40),
    run(Provider, "NRAK-", Alnum, 27),
    exactly("sbp_", Hex, 40),
    run(Provider, "sq0atp-", Url, 22),
    run(Provider, "sq0csp-", Url, 43),
    wary(Provider, "fm2_", Token, 40),
    password("secret_key"),
    password("secret-key"),
    password("secretkey"),
    exactly("secret_", Alnum, 43),
    wary(Provider, "glsa_", Url, 32),
    wary(Provider, "dp.pt.", Alnum, 40),
    exactly("pul-", Hex, 40),
    wary(Provider, "ntn_", Alnum, 40),
    other(Provider, ":AA", false, Body::BehindDigits { least: 31 }),
    // octo_<id>_<secret>: an id of at least one, a secret of at least 32.
    run(OctoLlm, "octo_", Url, 34),
    other(Jwt, "eyJ", true, Body::Jwt),
    run(PrivateKey, "AGE-SECRET-KEY-1", Class::Capital, 50),
    other(PrivateKey, "-----BEGIN ", false, Body::Pem),
    other(PrivateKey, "-----END ", false, Body::PemEnd),
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
    header("authorization: bot"),
    other(Named, "cookie", true, Body::Cookies),
    other(UrlPassword, "://", false, Body::UserInfo),
    password("password"),
    password("passphrase"),
    password("passwd"),
    password("pwd"),
    password("secret"),
    password("token"),
    other(Provider, "SK", true, Body::Exactly { of: Hex, count: 32 }),
];

/// Where a digit is asked for, it stands among the first so many characters.
const DIGIT_WITHIN: usize = 128;

impl Shape {
    /// What of the text is secret, if the text at `at` has this shape.
    pub(super) fn at(&self, text: &str, at: usize, edge: usize, headers: &Headers) -> Option<Range<usize>> {
        let start = self.begins(text, at, edge, headers)?;
        let bytes = text.as_bytes();
        let body = at + self.anchor.len();
        let end = match self.body {
            Body::Run { of, least, .. } => run_end(text, body, of, least, headers),
            Body::Exactly { count, .. } => body + count,
            Body::Jwt => bodies::jwt(bytes, at)?,
            Body::Pem => bodies::pem(text, body),
            Body::PemEnd => bodies::label_end(bytes, body),
            Body::BehindDigits { least } => run_end(text, body, Url, least, headers),
            Body::Assigned { least } | Body::Header { least } => run_end(text, start, Token, least, headers),
            Body::Password => bodies::password_end(bytes, start),
            Body::UserInfo => bodies::user_info(bytes, start)?,
            Body::Cookies => bodies::cookies_end(bytes, start),
        };
        Some(start..end)
    }

    /// Where the secret begins, if the text at `at` has this shape. Only the beginning of a run is
    /// looked at: otherwise many anchors in one long run would each walk all of it.
    fn begins(&self, text: &str, at: usize, edge: usize, headers: &Headers) -> Option<usize> {
        let bytes = text.as_bytes();
        let end = at.checked_add(self.anchor.len()).filter(|end| *end <= bytes.len())?;
        let anchor = &bytes[at..end];
        let same = match self.body {
            Body::Assigned { .. } | Body::Header { .. } | Body::Password | Body::Cookies => {
                anchor.eq_ignore_ascii_case(self.anchor.as_bytes())
            }
            Body::Run { .. }
            | Body::Exactly { .. }
            | Body::Jwt
            | Body::Pem
            | Body::PemEnd
            | Body::BehindDigits { .. }
            | Body::UserInfo => anchor == self.anchor.as_bytes(),
        };
        if !same || (self.border && at > edge && !border_before(bytes, at)) {
            return None;
        }
        let run = |from: usize, of: Class| {
            let window = &bytes[..bytes.len().min(from + DIGIT_WITHIN)];
            &window[from..from + bodies::length(window, from, of)]
        };
        match self.body {
            Body::Run { of, least, digit } => {
                let run = run(end, of);
                let fits = run.len() >= least && (!digit || run.iter().any(u8::is_ascii_digit));
                fits.then_some(at)
            }
            Body::Exactly { of, count } => {
                let fits = bytes.get(end..end + count).is_some_and(|body| body.iter().all(|b| of.has(*b)));
                let goes_on = |b: &u8| match of {
                    Class::Capital => of.has(*b),
                    Class::Hex | Class::Alnum | Class::Url | Class::Token => b.is_ascii_alphanumeric(),
                };
                let begins = self.border || at <= edge || !goes_on(&bytes[at - 1]);
                let ends = || !bytes.get(end + count).is_some_and(goes_on);
                (fits && begins && (ends() || another_begins(text, end + count, headers))).then_some(at)
            }
            // Inside a run that could itself be a part of a token no token begins.
            Body::Jwt if at > edge && at > 0 && matches!(bytes[at - 1], b'-' | b'_') => None,
            Body::Jwt => headers.begins_token(bytes, at).then_some(at),
            Body::Pem => bodies::is_private(text, end).then_some(at),
            Body::PemEnd if bodies::is_private(text, end) => bodies::key_before(bytes, at, edge),
            Body::PemEnd => None,
            Body::BehindDigits { least } => {
                let digits = bytes[edge..at].iter().rev().take(6).take_while(|b| b.is_ascii_digit()).count();
                let known = digits == 6 || digits == at - edge;
                (known && run(end, Url).len() >= least).then_some(at + 1)
            }
            Body::Assigned { least } => {
                let value = bodies::value(bytes, end)?;
                let run = run(value, Token);
                (run.len() >= least && run.iter().any(u8::is_ascii_digit)).then_some(value)
            }
            Body::Password => {
                let value = bodies::value(bytes, end)?;
                // What says more of itself than its name does is found by its own shape.
                let named = || {
                    !SHAPES.iter().any(|shape| {
                        shape.is_of_itself() && shape.begins(text, value, value, headers).is_some()
                    })
                };
                (bodies::is_password(bytes, end, value) && named()).then_some(value)
            }
            Body::Header { least } => {
                let blanks = bytes[end..].iter().take(4).take_while(|b| matches!(b, b' ' | b'\t')).count();
                let value = end + blanks;
                (blanks > 0 && run(value, Token).len() >= least).then_some(value)
            }
            Body::UserInfo => bodies::user_info(bytes, end).map(|_| end),
            Body::Cookies => bodies::value(bytes, end).filter(|value| bodies::are_cookies(bytes, *value)),
        }
    }

    /// Whether the secret begins with the anchor: no name or sign stands before it.
    fn is_of_itself(&self) -> bool {
        match self.body {
            Body::Run { .. } | Body::Exactly { .. } | Body::Jwt => true,
            Body::Pem
            | Body::PemEnd
            | Body::BehindDigits { .. }
            | Body::Assigned { .. }
            | Body::Password
            | Body::Header { .. }
            | Body::UserInfo
            | Body::Cookies => false,
        }
    }
}

/// Where the run that begins at `from` and has at least `least` characters ends: behind its last
/// character, or where another secret begins inside it. It walks no further than that, so that a
/// chain of secrets is walked once and not once for each link.
fn run_end(text: &str, from: usize, of: Class, least: usize, headers: &Headers) -> usize {
    let bytes = text.as_bytes();
    let mut end = from + least;
    loop {
        let anchor = ANCHORS.find(aho_corasick::Input::new(text).range(end..));
        let stop = anchor.map_or(bytes.len(), |anchor| anchor.start());
        end += bodies::length(&bytes[..stop], end, of);
        let Some(anchor) = anchor.filter(|_| end == stop && of.has(bytes[end])) else {
            return end;
        };
        let begins = |shape: &Shape| shape.begins(text, end, end, headers).is_some();
        if SHAPES[anchor.pattern().as_usize()..].iter().any(begins) {
            return end;
        }
        end += 1;
    }
}

/// Whether a secret begins right here, so that one that ends here is not a part of something
/// longer. One that would itself need an end is taken at its word: a chain of them is looked
/// at once for each link, not once for each pair.
fn another_begins(text: &str, at: usize, headers: &Headers) -> bool {
    let bytes = text.as_bytes();
    SHAPES.iter().filter(|shape| shape.is_of_itself()).any(|shape| {
        let Body::Exactly { of, count } = shape.body else {
            return shape.begins(text, at, at, headers).is_some();
        };
        let end = at + shape.anchor.len();
        bytes[at..].starts_with(shape.anchor.as_bytes())
            && bytes.get(end..end + count).is_some_and(|body| body.iter().all(|b| of.has(*b)))
    })
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
