use super::*;

const SAMPLE: &str = include_str!("../../systemd/clonewatch.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, "clonewatch.toml", &Environment::default()).map_err(|e| e.to_string())
}

fn full() -> Config {
    let text = format!(
        "default_policy = 'desk'
        [server]\ntcp = '0.0.0.0:8750'\n[server.tls]\ncertificate = '/a.pem'\nkey = '/b.pem'\nclient_ca = '/c.pem'
        [live.twilio]\npublic_url = 'wss://s.example/v1/live/twilio'\nauth_token = 'dHdpbGlv'
        [live.genesys]\napi_key = 'k'\nclient_secret = 'Z2VuZXN5cy1nZW5lc3lzLWdlbmVzeXM='
        [model]\ndir = '/m'\n[retention]\nflagged_audio_days = 30
        [policies.desk]\nspoof_below = -3.5\nignore_silent_channels = true\n[policies.desk.insert]\nmin_windows = 4
        [policies.desk.actions]\ninconclusive = 'accept'
        [[tokens]]\nname = 'pbx'\nhash = 'sha256:{}'\nscopes = ['submit']\npolicy = 'desk'
        [[watch]]\nname = 'intake'\ndir = '/srv/intake'\noutput_dir = '/srv/out'
        [[webhooks]]\nname = 'fraud'\nurl = 'https://fraud.example/hook'\nsecret = 'whsec_c2VjcmV0'\ndecisions = ['spoof']
        [[live.rtp]]\nname = 'fork'\nlisten = '0.0.0.0:4000'\ncalls = 'pair'\nallow = ['10.0.0.0/8']\npolicy = 'desk'
        payloads = {{ 111 = 'opus/48000/2' }}
        [live.siprec]\nlisten = '10.0.0.5:5070'\nmedia_address = '10.0.0.6'\nallow = ['10.0.0.0/8']\npolicy = 'desk'
        [syslog]\ntransport = 'udp'\naddress = '127.0.0.1:514'\n",
        "ab".repeat(32)
    );
    parse(&text).unwrap()
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    for config in [Config::default(), full(), parse(SAMPLE).unwrap()] {
        let printed = config.print(Secrets::Shown).unwrap();
        assert_eq!(parse(&printed).unwrap(), config, "{printed}");
    }
    for secret in ["c2VjcmV0", "dHdpbGlv", "Z2VuZXN5cy1n"] {
        assert!(!full().print(Secrets::Masked).unwrap().contains(secret));
        assert!(!format!("{:?}", full()).contains(secret));
    }
}

#[test]
fn the_sample_file_shows_every_key_with_its_default() {
    assert_eq!(parse(SAMPLE).unwrap(), Config::default());
    // With its examples switched on, it is still a valid file, and shows whatever `full` uses.
    let switched_on: String =
        SAMPLE.lines().map(|line| format!("{}\n", line.strip_prefix("#: ").unwrap_or(line))).collect();
    let config = parse(&switched_on).unwrap();
    let keys = |config: &Config| keys_of(&toml::from_str(&config.print(Secrets::Shown).unwrap()).unwrap(), "");
    let (shown, all) = (keys(&config), keys(&full()));
    let missing: Vec<_> = all.iter().filter(|key| !shown.contains(*key) && !key.starts_with("policies")).collect();
    assert!(missing.is_empty(), "not in systemd/clonewatch.toml: {missing:?}");
}

fn keys_of(table: &toml::Table, prefix: &str) -> std::collections::BTreeSet<String> {
    let deeper = |(key, value): (&String, &toml::Value)| {
        let key = format!("{prefix}{key}");
        match value {
            toml::Value::Table(inner) => keys_of(inner, &format!("{key}.")),
            toml::Value::Array(items) if items.iter().all(toml::Value::is_table) => items
                .iter()
                .filter_map(toml::Value::as_table)
                .flat_map(|inner| keys_of(inner, &format!("{key}.")))
                .collect(),
            _ => [key].into(),
        }
    };
    table.iter().flat_map(deeper).collect()
}

#[test]
fn faults_name_file_line_key_value_and_what_was_expected() {
    let token = format!("[[tokens]]\nname = 'a'\nhash = 'sha256:{}'\nscopes = ['read']\n", "ab".repeat(32));
    for (text, words) in [
        ("\n[server]\ndrain_sec = 3", &["clonewatch.toml:3: drain_sec = 3 – unknown field `drain_sec`"][..]),
        ("[servers]", &["clonewatch.toml:1: [servers] – unknown field `servers`"]),
        ("[server]\ndrain_secs = 'x'", &["clonewatch.toml:2: drain_secs = 'x' – invalid type"]),
        ("[server]\n\nheader_timeout_secs = 0", &["clonewatch.toml:3: server.header_timeout_secs: 0 – must be 1-300"]),
        (
            "[server]\ntcp = '0.0.0.0:1'\nmax_wait_secs = 601",
            &[
                "clonewatch.toml:2: server.tcp: 0.0.0.0:1 – must be a loopback",
                ":3: server.max_wait_secs: 601",
                "tokens: none",
            ],
        ),
        ("default_policy = 'x'", &["clonewatch.toml:1: default_policy: x – must be `default` or the NAME"]),
        ("[policies.default]", &["policies.default: default – must be another name"]),
        ("[policies.desk]\nspoof = 1", &["clonewatch.toml:2: spoof = 1 – unknown field"]),
        ("[[tokens]]\nname = 'a'\nhash = 'x'\nscopes = []", &["clonewatch.toml:3: hash = 'x' – must be `sha256:`"]),
        (
            &format!("{token}{token}"),
            &["tokens[1].name: a – must be a name that no other token has", "clonewatch.toml:6"],
        ),
        (
            "[[webhooks]]\nname = 'a b'\nurl = 'ftp://x'\nsecret = '********'",
            &[
                ":2: webhooks[0].name: a b",
                ":3: webhooks[0].url",
                ":4: webhooks[0].secret: ******** – must be the secret itself",
            ],
        ),
        ("[[watch]]\nname = 'a'\ndir = 'rel'", &[":3: watch[0].dir: rel – must be an absolute path"]),
        ("[syslog]\ntransport = 'tcp'", &["syslog.address: missing"]),
        (
            "[live.twilio]\npublic_url = 'https://x'\n[live.genesys]\napi_key = ''\nclient_secret = 'c2hvcnQ='",
            &[
                ":2: live.twilio.public_url: https://x – must be wss://",
                "live.twilio.auth_token: missing – must be here, in CLONEWATCH_TWILIO_AUTH_TOKEN or the credential",
                ":4: live.genesys.api_key: \"\"",
                ":5: live.genesys.client_secret: (not shown) – must be base64 of 16",
            ],
        ),
        (
            "[[live.rtp]]\nname = 'a'\nlisten = '0.0.0.0:4000'\npayloads = { 200 = 'opus' }",
            &[
                "live.rtp[0].allow: none – must be the networks",
                "payloads.200: 200 – must be a payload type",
                "payloads.200: opus",
            ],
        ),
        (
            "[live.siprec]\nlisten = '0.0.0.0:5070'\nmedia_ports = [20, 10]\npolicy = 'x'",
            &[
                "live.siprec.allow: none – must be the networks",
                "live.siprec.media_address: none",
                ":3: live.siprec.media_ports: 20-10",
                ":4: live.siprec.policy: x",
            ],
        ),
        ("[queue]\nmax_bytes = 2000\nmax_upload_bytes = 3000", &[":3: queue.max_upload_bytes: 3000 – must be at most"]),
    ] {
        let message = parse(text).unwrap_err();
        for word in words {
            assert!(message.contains(word), "{text}\n→ {message}\nlacks {word}");
        }
    }
    let message = parse("[[webhooks]]\nname = 'a'\nurl = 'https://x'\nsecret = 'whsec_c2VjcmV0' 5").unwrap_err();
    assert!(!message.contains("c2VjcmV0"), "{message}");
    let message = parse("[live.twilio]\npublic_url = 'wss://x'\nauth_token = 'dHdpbGlv' 5").unwrap_err();
    assert!(message.contains(":3: auth_token = …") && !message.contains("dHdpbGlv"), "{message}");
}

#[test]
fn secrets_come_from_the_environment_before_credentials_before_the_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("webhook-fraud-desk"), "whsec_Y3JlZA==\n").unwrap();
    let text = "[[webhooks]]\nname = 'fraud-desk'\nurl = 'https://x'\nsecret = 'whsec_ZmlsZQ=='";
    let mut environment = Environment::default();
    let secret = |environment: &Environment| {
        let config = Config::parse(text, "f", environment).unwrap();
        config.webhooks[0].secret.as_ref().unwrap().expose().to_owned()
    };
    assert_eq!(secret(&environment), "whsec_ZmlsZQ==");
    environment.credentials_dir = Some(dir.path().to_owned());
    assert_eq!(secret(&environment), "whsec_Y3JlZA==");
    // As a whole folder of credentials is laid out.
    std::fs::rename(dir.path().join("webhook-fraud-desk"), dir.path().join("secret_webhook-fraud-desk")).unwrap();
    assert_eq!(secret(&environment), "whsec_Y3JlZA==");
    environment.variables.insert("CLONEWATCH_WEBHOOK_FRAUD_DESK".into(), Secret::new("whsec_ZW52"));
    assert_eq!(secret(&environment), "whsec_ZW52");
}
