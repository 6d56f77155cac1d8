use super::*;
use proptest::prelude::*;

const SECRET: &str = "a secret that is 32 bytes long!!";
const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"e1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

const VARIABLES: [&str; 29] = [
    "JWT_SECRET",
    "JWT_SECRET_PREVIOUS",
    "JWT_PUBLIC_KEYS",
    "JWT_JWKS_URL",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "JWT_USER_CLAIM",
    "ALLOWED_ORIGINS",
    "OPEN_KINDS",
    "PUBLIC_BASE_URL",
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_AUTH_TOKEN_NEXT",
    "TWILIO_API_BASE",
    "TWILIO_SIGNING_KEYS",
    "LINE_MESSAGES_PER_SECOND",
    "LOBBIES",
    "PING_INTERVAL_MS",
    "PING_TIMEOUT_MS",
    "MAX_PAYLOAD_BYTES",
    "CONNECT_TIMEOUT_MS",
    "UPGRADE_TIMEOUT_MS",
    "RECOVERY_WINDOW_MS",
    "HISTORY_MAX_MESSAGES",
    "HISTORY_MAX_AGE_DAYS",
    "RATE_EVENTS_PER_SECOND",
    "RATE_BURST",
    "EVENT_WEBHOOK_URL",
    "EVENT_WEBHOOK_SECRET",
];

fn read(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::read(|name| {
        vars.iter()
            .find(|(set, _)| *set == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn with_nothing_set_every_default_is_the_contract_s() {
    for vars in [vec![], VARIABLES.map(|name| (name, "")).to_vec()] {
        let config = read(&vars).unwrap();
        assert_eq!(config.missing(), ["JWT_SECRET"]);
        assert_eq!(config.auth.user_claim, "sub");
        assert!(config.allowed_origins.is_empty() && config.open_kinds.is_empty());
        assert!(config.twilio.auth_token.is_none() && config.event_webhook.is_none());
        assert!(config.twilio.signing_keys.is_empty());
        let numbers = [
            u64::from(config.line_messages_per_second),
            u64::from(config.lobbies),
            config.ping_interval_ms,
            config.ping_timeout_ms,
            config.max_payload_bytes as u64,
            config.connect_timeout_ms,
            config.upgrade_timeout_ms,
            config.recovery_window_ms,
            config.history.max_messages,
            config.history.max_age_days,
            u64::from(config.rate.events_per_second),
            u64::from(config.rate.burst),
        ];
        let contract = [
            10, 1, 25_000, 20_000, 1_000_000, 45_000, 10_000, 120_000, 10_000, 90, 50, 100,
        ];
        assert_eq!(numbers, contract);
    }
}

#[test]
fn a_key_of_any_kind_is_enough() {
    let keys = format!("[{EC}]");
    for (name, value) in [
        ("JWT_SECRET", SECRET),
        ("JWT_SECRET_PREVIOUS", SECRET),
        ("JWT_PUBLIC_KEYS", keys.as_str()),
        ("JWT_JWKS_URL", "https://id.example/jwks"),
    ] {
        assert!(
            read(&[(name, value)]).unwrap().missing().is_empty(),
            "{name}"
        );
    }
    assert_eq!(
        read(&[("JWT_PUBLIC_KEYS", "[]")]).unwrap().missing(),
        ["JWT_SECRET"]
    );
}

#[test]
fn a_bad_value_is_refused_by_the_variable_s_name() {
    let long_kind = "k".repeat(33);
    let many_keys = format!("[{}]", vec![EC; MAX_PUBLIC_KEYS + 1].join(","));
    let oct = r#"[{"kty":"oct","k":"AAAA"}]"#;
    let key = |n: usize| format!(r#""k{n}":"s""#);
    let keys = |count| format!("{{{}}}", (0..count).map(key).collect::<Vec<_>>().join(","));
    let many_signing_keys = keys(MAX_SIGNING_KEYS + 1);
    assert!(read(&[("TWILIO_SIGNING_KEYS", &keys(MAX_SIGNING_KEYS))]).is_ok());
    let sid_31 = format!("AC{}", "0".repeat(31));
    let sid_g = format!("AC{}g", "0".repeat(31));
    let sid_lower = format!("ac{}", "0".repeat(32));
    for (name, value) in [
        ("JWT_SECRET", "31 bytes of secret are too few."),
        ("JWT_SECRET_PREVIOUS", "short"),
        ("JWT_PUBLIC_KEYS", "{}"),
        ("JWT_PUBLIC_KEYS", "[1]"),
        ("JWT_PUBLIC_KEYS", "nonsense"),
        ("JWT_PUBLIC_KEYS", oct),
        ("JWT_PUBLIC_KEYS", &many_keys),
        ("JWT_JWKS_URL", "id.example/jwks"),
        ("JWT_JWKS_URL", "ftp://id.example/jwks"),
        ("JWT_JWKS_URL", "http://id.example/jwks"),
        ("JWT_JWKS_URL", "http://10.0.0.1/jwks"),
        ("JWT_JWKS_URL", "http://localhost.id.example/jwks"),
        ("JWT_JWKS_URL", "http://127.0.0.1.id.example/jwks"),
        ("JWT_JWKS_URL", "https://u:p@id.example/jwks"),
        ("ALLOWED_ORIGINS", "https://a.example/"),
        ("ALLOWED_ORIGINS", "https://a.example,b.example"),
        ("ALLOWED_ORIGINS", "https://*.example"),
        ("ALLOWED_ORIGINS", "null"),
        ("OPEN_KINDS", "Ticket"),
        ("OPEN_KINDS", "ticket,job:*"),
        ("OPEN_KINDS", "ticket,user"),
        ("OPEN_KINDS", "all"),
        ("OPEN_KINDS", &long_kind),
        ("PUBLIC_BASE_URL", "https:dialtone.example"),
        ("PUBLIC_BASE_URL", "https:///dialtone.example"),
        ("PUBLIC_BASE_URL", "https://dialtone.example/a b"),
        ("PUBLIC_BASE_URL", "https://dialtone.example/?a"),
        ("PUBLIC_BASE_URL", "https://dialtone.example/#a"),
        ("PUBLIC_BASE_URL", "https://u:p@dialtone.example"),
        ("PUBLIC_BASE_URL", "https://"),
        ("TWILIO_ACCOUNT_SID", &sid_31),
        ("TWILIO_ACCOUNT_SID", &sid_g),
        ("TWILIO_ACCOUNT_SID", &sid_lower),
        ("TWILIO_AUTH_TOKEN", "abc\n"),
        ("TWILIO_AUTH_TOKEN_NEXT", "a b"),
        ("TWILIO_API_BASE", "wss://api.twilio.com"),
        ("TWILIO_SIGNING_KEYS", "nonsense"),
        ("TWILIO_SIGNING_KEYS", r#"["secret-secret"]"#),
        ("TWILIO_SIGNING_KEYS", r#"{"key-id":7}"#),
        ("TWILIO_SIGNING_KEYS", r#"{"":"secret-secret"}"#),
        ("TWILIO_SIGNING_KEYS", r#"{"key id":"secret-secret"}"#),
        ("TWILIO_SIGNING_KEYS", r#"{"key,id":"secret-secret"}"#),
        ("TWILIO_SIGNING_KEYS", r#"{"key-id":""}"#),
        ("TWILIO_SIGNING_KEYS", r#"{"key-id":"secret secret"}"#),
        ("TWILIO_SIGNING_KEYS", &many_signing_keys),
        ("LINE_MESSAGES_PER_SECOND", "0"),
        ("LINE_MESSAGES_PER_SECOND", "1001"),
        ("LOBBIES", "0"),
        ("LOBBIES", "10001"),
        ("LOBBIES", "1.5"),
        ("LOBBIES", "many"),
        ("PING_INTERVAL_MS", "0"),
        ("PING_INTERVAL_MS", "-1"),
        ("PING_INTERVAL_MS", "2147483648"),
        // Alone it would do; with the default interval of 25 s it is one too many.
        ("PING_TIMEOUT_MS", "2147458648"),
        ("MAX_PAYLOAD_BYTES", "0"),
        ("MAX_PAYLOAD_BYTES", "33554433"),
        ("CONNECT_TIMEOUT_MS", "0"),
        ("UPGRADE_TIMEOUT_MS", "99999999999999999999"),
        ("RECOVERY_WINDOW_MS", "off"),
        ("HISTORY_MAX_MESSAGES", "0"),
        ("HISTORY_MAX_AGE_DAYS", "0"),
        ("RATE_EVENTS_PER_SECOND", "0"),
        ("RATE_BURST", "1e3"),
        ("EVENT_WEBHOOK_URL", "/notify"),
    ] {
        let error = read(&[(name, value)]).expect_err(&format!("{name}={value}"));
        assert_eq!(error.variable, name, "{name}={value}");
        let sentence = error.to_string();
        assert!(sentence.starts_with(name), "{sentence}");
        assert!(
            value.len() < 9 || !sentence.contains(value),
            "{sentence} repeats the value"
        );
    }
}

#[test]
fn good_values_are_kept_and_normalised() {
    let sid = format!("AC{}", "0aF1".repeat(8));
    let config = read(&[
        ("JWT_SECRET", SECRET),
        ("JWT_USER_CLAIM", "userId"),
        (
            "ALLOWED_ORIGINS",
            " https://A.example:443 , http://localhost:5173,, * ",
        ),
        ("OPEN_KINDS", "ticket, job,brand"),
        ("PUBLIC_BASE_URL", "https://Dialtone.example:443/app/"),
        ("TWILIO_ACCOUNT_SID", &sid),
        ("TWILIO_API_BASE", "http://127.0.0.1:4010/"),
        ("LOBBIES", " 10000 "),
        ("PING_TIMEOUT_MS", "2147458647"),
        ("MAX_PAYLOAD_BYTES", "33554432"),
        ("RECOVERY_WINDOW_MS", "0"),
        ("EVENT_WEBHOOK_URL", "https://hooks.example/x?y=1"),
    ])
    .unwrap();
    assert_eq!(
        config.allowed_origins,
        ["https://a.example", "http://localhost:5173", "*"]
    );
    assert_eq!(config.open_kinds, ["ticket", "job", "brand"]);
    assert_eq!(
        config.public_base_url.as_deref(),
        Some("https://Dialtone.example:443/app")
    );
    assert_eq!(
        config.twilio.api_base.as_deref(),
        Some("http://127.0.0.1:4010")
    );
    assert_eq!(config.twilio.account_sid, Some(sid));
    assert_eq!(config.auth.user_claim, "userId");
    assert_eq!(
        (
            config.lobbies,
            config.max_payload_bytes,
            config.recovery_window_ms
        ),
        (10_000, 33_554_432, 0)
    );
    assert_eq!(
        config.event_webhook.unwrap().url,
        "https://hooks.example/x?y=1"
    );
}

#[test]
fn a_key_set_comes_over_https_or_from_this_machine() {
    for url in [
        "https://id.example/jwks?tenant=1",
        "http://localhost:4010/jwks",
        "http://id.localhost/jwks",
        "http://127.0.0.1:4010/jwks",
        "http://127.1/jwks",
        "http://[::1]:4010/jwks",
    ] {
        let config = read(&[("JWT_JWKS_URL", url)]).unwrap();
        assert_eq!(config.auth.jwks_url.as_deref(), Some(url));
    }
}

#[test]
fn secrets_are_kept_to_the_byte_and_never_printed() {
    let secret = format!(" {SECRET}\n");
    let config = read(&[
        ("JWT_SECRET", &secret),
        ("JWT_SECRET_PREVIOUS", &secret),
        ("TWILIO_AUTH_TOKEN", "twilio-token-1"),
        ("TWILIO_AUTH_TOKEN_NEXT", "twilio-token-2"),
        ("TWILIO_SIGNING_KEYS", r#"{"k1":"signing-secret","k2":"x"}"#),
        ("EVENT_WEBHOOK_URL", "https://hooks.example"),
        ("EVENT_WEBHOOK_SECRET", "webhook-secret"),
    ])
    .unwrap();
    assert_eq!(config.auth.secret.as_deref(), Some(secret.as_str()));
    assert_eq!(
        config.twilio.auth_token,
        Some(Secret::new("twilio-token-1"))
    );
    assert_ne!(config.twilio.auth_token, config.twilio.auth_token_next);
    let keys = &config.twilio.signing_keys;
    assert_eq!(keys.keys().collect::<Vec<_>>(), ["k1", "k2"]);
    assert_eq!(keys["k1"], Secret::new("signing-secret"));
    let printed = format!("{config:?}");
    for part in [SECRET, "twilio-token", "signing-secret", "webhook-secret"] {
        assert!(!printed.contains(part), "{part} is printed");
    }
}

#[test]
fn twilios_api_is_asked_with_the_account_and_its_token() {
    let sid = format!("AC{}", "0".repeat(32));
    for (vars, expected) in [
        (vec![], None),
        (vec![("TWILIO_ACCOUNT_SID", &*sid)], None),
        (vec![("TWILIO_AUTH_TOKEN", "t")], None),
        (
            vec![
                ("TWILIO_ACCOUNT_SID", &*sid),
                ("TWILIO_AUTH_TOKEN_NEXT", "t"),
            ],
            None,
        ),
        (
            vec![("TWILIO_ACCOUNT_SID", &*sid), ("TWILIO_AUTH_TOKEN", "t")],
            Some("Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDp0"),
        ),
    ] {
        let twilio = read(&vars).unwrap().twilio;
        assert_eq!(twilio.authorization().as_deref(), expected, "{vars:?}");
        assert_eq!(twilio.credentials().is_some(), expected.is_some());
    }
}

proptest! {
    #[test]
    fn no_value_panics(name in 0..VARIABLES.len(), value in any::<String>(), number in any::<u64>()) {
        let name = VARIABLES[name];
        let _ = read(&[(name, &value)]);
        let _ = read(&[(name, &number.to_string())]);
        let _ = read(&[(name, &format!("https://{value}"))]);
        let _ = read(&[(name, &format!("[{{\"kty\":{value:?}}}]"))]);
        let _ = read(&[(name, &format!("{{{value:?}:{value:?}}}"))]);
    }
}
