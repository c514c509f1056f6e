//! Every listed shape is masked, wherever it stands; what only looks a little like one is not.

use super::{SecretKind, mask};
use proptest::prelude::*;

/// One secret of every shape. They are made here, so that no file holds a key as one text.
fn samples() -> Vec<(SecretKind, String)> {
    use SecretKind::*;
    let mixed = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6";
    let upper = "A1B2C3D4E5F6G7H8";
    vec![
        (OpenAi, format!("sk-{mixed}")),
        (OpenAi, format!("sk-proj-{mixed}_-{mixed}")),
        (Anthropic, format!("sk-ant-api03-{mixed}")),
        (Provider, format!("sk-or-v1-{mixed}")),
        (Aws, format!("AKIA{upper}")),
        (Aws, format!("ASIA{upper}")),
        (GitHub, format!("ghp_{}", &mixed[..36])),
        (GitHub, format!("gho_{}", &mixed[..36])),
        (GitHub, format!("github_pat_{}_{mixed}", &mixed[..22])),
        (GitLab, format!("glpat-{}", &mixed[..20])),
        (Slack, format!("xoxb-{}-{}", &mixed[..12], &mixed[..24])),
        (Slack, format!("hooks.slack.com/services/T0/B0/{}", &mixed[..24])),
        (Google, format!("AIza{}", &mixed[..35])),
        (Google, format!("ya29.{mixed}")),
        (Stripe, format!("sk_live_{}", &mixed[..24])),
        (Stripe, format!("rk_live_{}", &mixed[..24])),
        (Provider, format!("hf_{}", &mixed[..34])),
        (Provider, format!("npm_{}", &mixed[..36])),
        (OctoLlm, format!("octo_{}_{}", &"0a1b2c3d4e"[..10], "0123456789abcdef".repeat(4))),
        (Jwt, format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{}", &mixed[..43])),
        (Jwt, "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.".to_owned()),
        (PrivateKey, format!("-----BEGIN {}-----\n{mixed}\n-----END {0}-----", "RSA PRIVATE KEY")),
        (PrivateKey, format!("-----BEGIN {}-----\n{mixed}\n-----END {0}-----", "PRIVATE KEY")),
    ]
}

/// A secret behind a name, a header or a scheme: the name stays.
fn in_place() -> Vec<(SecretKind, &'static str, String, &'static str)> {
    use SecretKind::*;
    let mixed = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0";
    vec![
        (Aws, "aws_secret_access_key = ", mixed.to_owned(), "\n"),
        (Aws, r#"{"SecretAccessKey": ""#, format!("{}/+", &mixed[..38]), r#""}"#),
        (Bearer, "Authorization: Bearer ", mixed.to_owned(), "\r\n"),
        (Bearer, "authorization: basic ", format!("{}==", &mixed[..30]), "\n"),
        (Named, "X-Api-Key: ", mixed.to_owned(), "\n"),
        (Named, r#"\"api_key\": \""#, mixed.to_owned(), r#"\""#),
        (UrlPassword, "postgres://", "me:hunter2!".to_owned(), "@db.example:5432/x"),
    ]
}

#[test]
fn every_shape_is_masked_and_counted() {
    for (kind, secret) in samples() {
        for (before, after) in [("", ""), ("key=", "\n"), ("\"", "\","), ("…", " ü"), ("\\n", "\\n")] {
            let masked = mask(&format!("{before}{secret}{after}")).text.into_owned();
            let kinds = mask(&format!("{before}{secret}{after}")).found;
            assert!(!masked.contains(&secret[..secret.len().min(24)]), "{masked}");
            assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [(kind, 1)], "{before}{secret}{after}");
        }
    }
    for (kind, before, secret, after) in in_place() {
        let text = format!("{before}{secret}{after}");
        let masked = mask(&text);
        assert_eq!(masked.text, format!("{before}[masked {}]{after}", kind.as_str()));
        assert_eq!(masked.found.into_iter().collect::<Vec<_>>(), [(kind, 1)]);
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "the task-list-of-something-long-and-dashed",
        "sk-learn and sk-some-very-long-name-of-a-class",
        "AKIA is a prefix; AKIA1234 is too short; AKIAA1B2C3D4E5F6G7H89 too long",
        "api_key = os.environ[\"OPENAI_API_KEY\"]",
        "the bearer of good news",
        "Bearer $TOKEN",
        "https://example.org:8080/a@b and http://user@example.org/",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "eyJ is how a token begins; eyJhbGci.eyJzdWI.x is too short",
        "octo_short",
        "",
    ] {
        assert_eq!(mask(text).text, text);
    }
}

#[test]
fn a_private_key_that_is_cut_off_is_masked_to_its_end() {
    let masked = mask("a\n-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE");
    assert_eq!(masked.text, "a\n[masked private_key]");
}

#[test]
fn secrets_that_touch_are_two() {
    let aws = "AKIAA1B2C3D4E5F6G7H8";
    let github = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    assert_eq!(mask(&format!("{aws}{github}")).text, "[masked aws][masked github]");
    assert_eq!(mask(&format!("{aws}{aws}{aws}")).text, "[masked aws]".repeat(3));
    // The last is a part of something longer, and stays.
    assert_eq!(mask(&format!("{aws}{aws}9")).text, format!("[masked aws]{aws}9"));
}

/// Anchors without bodies, side by side, are the worst a text can do. More than one pass over
/// so many anchors would not end in the patience of whoever runs this.
#[test]
fn hostile_text_takes_one_pass() {
    let parts = [
        "sk-",
        "AKIA",
        "-eyJ",
        "eyJaaaaaaaaaa.",
        "://a:",
        "api_key=",
        "-----BEGIN PRIVATE KEY",
        "bearer ",
        "AKIAA1B2C3D4E5F6G7H8",
    ];
    for part in parts {
        let text = part.repeat((512 << 10) / part.len());
        assert!(mask(&text).text.len() <= text.len() + 64, "{part}");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let secrets: Vec<String> = samples().into_iter().map(|(_, secret)| secret).collect();
    let placed: Vec<String> = in_place().into_iter().map(|(_, a, b, c)| format!("{a}{b}{c}")).collect();
    let anchors: Vec<&str> = super::SHAPES.iter().map(|shape| shape.anchor).collect();
    let part = prop_oneof![
        proptest::sample::select(secrets),
        proptest::sample::select(placed),
        proptest::sample::select(anchors).prop_map(str::to_owned),
        "[A-Z0-9]{1,20}",
        "[a-zA-Z0-9_.=/+-]{1,40}",
        Just("@".to_owned()),
        Just("AKIAA1B2C3D4E5F6G7H8".to_owned()),
        Just("-----BEGIN ".to_owned()),
        Just(" PRIVATE KEY-----".to_owned()),
        Just(" ".to_owned()),
        any::<String>(),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    /// No text makes it panic, and what is masked once is masked for good.
    #[test]
    fn twice_is_once(text in any_text()) {
        let once = mask(&text).text.into_owned();
        let twice = mask(&once);
        prop_assert_eq!(&twice.text, &once);
        prop_assert!(twice.found.is_empty());
    }

    /// A secret with a border on both sides never survives, whatever stands around it.
    #[test]
    fn no_listed_secret_survives(
        before in any_text(),
        which in any::<prop::sample::Index>(),
        after in any_text(),
    ) {
        let all = samples();
        let (_, secret) = &all[which.index(all.len())];
        let masked = mask(&format!("{before} {secret} {after}")).text.into_owned();
        let others = format!("{before}{after}");
        prop_assert!(!masked.contains(secret.as_str()) || others.contains(secret.as_str()), "{}", masked);
    }
}
