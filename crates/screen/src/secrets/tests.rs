//! Every listed shape is masked, wherever it stands; what only looks a little like one is not.

use super::{SecretKind, mask};
use proptest::prelude::*;

/// One secret of every shape. They are made here, so that no file holds a key as one text.
fn samples() -> Vec<(SecretKind, String)> {
    use SecretKind::*;
    let mixed = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6";
    let upper = "A1B2C3D4E5F6G7H8";
    let hex = "0123456789abcdef".repeat(2);
    vec![
        (OpenAi, format!("sk-{mixed}")),
        (OpenAi, format!("sk-proj-{mixed}_-{mixed}")),
        (OpenAi, format!("sk-{hex}")),
        (OpenAi, format!("sk-{}", "qWertZuioPasDfghJklYxcvBnm".get(..24).unwrap())),
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
        (Provider, format!("hf_{}", &"qWertZuioPasDfghJklYxcvBnmQweRtzUioP"[..34])),
        (Provider, format!("key-{hex}")),
        (Provider, format!("ATATT3xFfGF0{mixed}_-{mixed}=1A2B3C4D")),
        (Provider, format!("NRAK-{}", "ABCDEFGHIJKLMNOPQRSTUVWXYZABC".get(..27).unwrap())),
        (Provider, format!("sbp_{hex}{}", &hex[..8])),
        (Provider, format!("sq0atp-{}", &mixed[..22])),
        (Provider, format!("sq0csp-{}", &mixed[..43])),
        (Provider, format!("fm2_lJPECAAA/+{mixed}==")),
        (Provider, format!("secret_{}", &mixed[..43])),
        (Provider, format!("ntn_{}", &mixed[..46])),
        (
            PrivateKey,
            format!("AGE-SECRET-KEY-1{}", "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".repeat(2).get(..58).unwrap()),
        ),
        (Provider, format!("npm_{}", &mixed[..36])),
        (Provider, format!("glsa_{}_0a1b2c3d", &mixed[..32])),
        (Provider, format!("dp.pt.{}", &mixed[..43])),
        (Provider, format!("pul-{hex}{}", &hex[..8])),
        (Provider, format!("hvs.{}", &mixed[..24])),
        (Provider, format!("hvb.{mixed}_-{mixed}")),
        (Provider, format!("SK{}", "0123456789abcdef".repeat(2))),
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
        (Bearer, "Authorization: Bot ", format!("MTIz{}.GaBcDe.{mixed}", &mixed[..20]), "\n"),
        (Provider, "FlyV1 ", format!("fm2_{mixed}{mixed}"), ",next"),
        (Named, "Cookie: ", format!("a.sid=s%3A{mixed}; csrf=x1; theme=dark"), "\r\n"),
        (Named, "Set-Cookie: ", format!("sid={mixed}; Path=/"), "; HttpOnly"),
        (Named, r#""cookie": ""#, format!("sid={mixed}"), r#"""#),
        (Named, "passphrase: ", "Sup3rS3cret!".to_owned(), "\n"),
        (Named, "X-Api-Key: ", mixed.to_owned(), "\n"),
        (Named, r#"\"api_key\": \""#, mixed.to_owned(), r#"\""#),
        (Named, "DB_PASSWORD=", "hunter22".to_owned(), "\n"),
        (Named, "password = ", "Sup3rS3cret!".to_owned(), "\n"),
        (Named, "password: ", "P@ssw0rd-2024x".to_owned(), "\n"),
        (Named, "secret: ", "v92ZUQWCrXEJzH!9".to_owned(), "\n"),
        (Named, "token:", "hunter22*".to_owned(), "\n"),
        (Named, "SECRET_KEY = '", mixed.to_owned(), "'"),
        (Named, "app-secret-key: ", mixed.to_owned(), "\n"),
        (Named, r#"{"password": ""#, "c0rrect!Horse".to_owned(), r#""}"#),
        (Named, r#"\"passwd\": \""#, "hunter22".to_owned(), r#"\""#),
        (Named, "app_secret: '", "a1b2c3d4e5".to_owned(), "'"),
        (Named, "?token=", "a1b2c3d4e5".to_owned(), " "),
        (Named, "token: ", "550e8400-e29b-41d4-a716-446655440000".to_owned(), "\n"),
        (Provider, "https://api.telegram.org/bot123456789:", format!("AA{}", &mixed[..33]), "/getMe"),
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
        "sk-learn and sk-some-very-long-name-of-a-class, sk-internationalization, sk-learn-something",
        "AKIA is a prefix; AKIA1234 is too short; AKIAA1B2C3D4E5F6G7H89 too long",
        "api_key = os.environ[\"OPENAI_API_KEY\"]",
        "the bearer of good news",
        "Bearer $TOKEN",
        "https://example.org:8080/a@b and http://user@example.org/",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "eyJ is how a token begins; eyJhbGci.eyJzdWI.x is too short",
        "octo_short",
        "password = os.environ[\"X1234567\"] or get_password2() or settings.PASSWORD_1",
        "secret: see chapter 3, and Secret: chapter-12 of RFC-7519",
        "token count: 12345678, max_tokens: 4096, token: 1234567890, \"token\": \"12345678\"",
        "PWD=/home/user1/work1 and OLDPWD=~/work12345",
        "password=$PASSWORD1 password: \"${PASSWORD1}\" token={{ token12345 }} pwd: <password1>",
        "let token: Uint8Array = base64_of(x1); const secret: Argon2Hash = Argon2Hash::new2;",
        "token = self.token1, secret: my-tls-cert-2, token=base64_text",
        "password: 'the 2nd one of the 3 that I2 have'",
        "SKIP and SK0123456789abcdef, SK0123456789abcdef0123456789abcdef0 too long",
        "at 12:AA and 123456:AAshort",
        "ends with -----END PRIVATE KEY-----",
        "abc\n-----END CERTIFICATE-----",
        "hf_model_config.json, hf_hub_download(), hf_TransformersTokenizerFastConfiguration",
        "key-value, key-0123456789abcdef, key-0123456789abcdef0123456789abcdef0123 is a longer digest",
        "secret_santa_list and secret_of_the_old_clock, secret_key_base",
        "NRAK-1, sbp_local, fm2_radio, ntn_news, AGE-SECRET-KEY-1 is how one begins, ATATT3xFfGF0 too",
        "cookie: chocolate-chip-cookie-number-12, tough-cookie: 4.1.3, cookies = 12345678901234567890",
        "Cookie: theme=dark; cookie = name=\"x\"; Set-Cookie: sid=${SESSION_COOKIE_VALUE_1}",
        "passphrase: correct horse battery staple",
        "token: ada.lovelace1@example.org, secret: see https://example.org/a?b=1&c=2, password: required!",
        "token: &token_1 token: &self.tokens.v1 password: *default_password_1 ?token=required&page=2&x=1",
        "secret_key = settings.SECRET_KEY_1, pul-0123, glsa_short, dp.pt.short",
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
fn the_end_of_a_private_key_is_masked_back_to_what_is_no_key() {
    let (line, last) = ("a1B2c3D4e5F6g7H8".repeat(4), "QUJD+/==");
    let end = "-----END RSA PRIVATE KEY-----";
    for (text, masked) in [
        (format!("{line}\n{line}\n{last}\n{end}\nok"), "[masked private_key]\nok"),
        (format!("c3D4\r\n{line}\r\n{last}\r\n{end}"), "[masked private_key]"),
        (format!("the tail is\nHello\n{line}\n{last}\n{end}"), "the tail is\nHello\n[masked private_key]"),
        (format!("key: |\n  {line}\n  {last}\n  {end}"), "key: |\n  [masked private_key]"),
        (format!("\"x: {line}\\n{last}\\n{end}\\n\""), "\"x: [masked private_key]\\n\""),
        (format!("ghp_{}-{line}\n{end}", &line[..36]), "[masked github]-[masked private_key]"),
    ] {
        assert_eq!(mask(&text).text, masked, "{text}");
    }
}

/// A run ends where another secret begins inside it, whatever it is.
#[test]
fn secrets_that_touch_are_two_of_every_shape() {
    let run = "a1B2c3D4e5F6".repeat(3);
    for first in ["ghp_", "sk-", "AIza", "glpat-", "whsec_", "octo_", "api_key=", "bearer ", "123456:AA"] {
        let first = format!("{first}{run}");
        let alone = mask(&first).text.into_owned();
        for (kind, second) in samples() {
            let masked = mask(&format!("{first}{second}")).text.into_owned();
            let two = format!("{alone}[masked {}]", kind.as_str());
            assert_eq!(masked, two, "{first}{second}");
        }
        for named in ["api_key: \"", "password = \"", "Bearer "] {
            let masked = mask(&format!("{first}{named}{run}")).text.into_owned();
            assert!(!masked.contains(&run) && masked.ends_with(']'), "{masked}");
        }
    }
}

#[test]
fn secrets_that_touch_are_two() {
    let aws = "AKIAA1B2C3D4E5F6G7H8";
    let github = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    assert_eq!(mask(&format!("{aws}{github}")).text, "[masked aws][masked github]");
    assert_eq!(mask(&format!("{aws}{aws}{aws}")).text, "[masked aws]".repeat(3));
    // Small letters are no part of it.
    assert_eq!(mask(&format!("abc{aws}extra")).text, "abc[masked aws]extra");
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
        "-AKIAA1B2C3D4E5F6G7H8eyJ",
        "ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "sk-aaaaaaaaaaaaaaaaaaa1",
        "whsec_aaaaaaaaaaaaaaaaaaaaeyJ.eyJaaaaaaaaaa",
        "token=",
        "token=a1a1a1a1",
        "aaaa\n-----END PRIVATE KEY-----",
        "\n-----END PRIVATE KEY-----",
        "-----END PRIVATE KEY",
        "123456:AA",
        "cookie:",
        "cookie:a=a1a1a1a1a1a1a1a1;",
        "key-",
    ];
    for (first, part) in parts.iter().flat_map(|part| [("", part), ("sk-a1a1a1a1a1a1a1a1a1a1a1", part)]) {
        let text = format!("{first}{}", part.repeat((512 << 10) / part.len()));
        assert!(mask(&text).text.len() <= 3 * text.len(), "{part}");
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
        Just("-----END ".to_owned()),
        Just("123456:AA".to_owned()),
        "[a-z0-9]{6,12}",
        "[ =:\"'\\\\n]{1,3}",
        Just(" PRIVATE KEY-----".to_owned()),
        Just(" ".to_owned()),
        any::<String>(),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// What hides a secret from the eye and from its shape does not hide it from the mask, and what is no
/// secret stays as it was written.
#[test]
fn a_secret_with_hidden_characters_inside_is_masked_and_the_rest_stays() {
    for (kind, secret) in samples() {
        let half = secret.len() / 2;
        for hidden in ["\u{200b}", "\u{202e}", "\u{1b}[0m", "\u{0}"] {
            let cut = format!("{}{hidden}{}", &secret[..half], &secret[half..]);
            let text = format!("caf\u{ad}é \u{202e}می\u{200c}خواهم {cut} \u{feff}ok\r\n");
            let masked = mask(&text);
            let kind = kind.as_str();
            let wanted = format!("caf\u{ad}é \u{202e}می\u{200c}خواهم [masked {kind}] \u{feff}ok\r\n");
            assert_eq!(masked.text, wanted, "{cut:?}");
            assert_eq!(masked.found.values().sum::<u32>(), 1);
        }
    }
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
