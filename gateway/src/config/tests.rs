//! Every mistake and where it is reported; the reference file.

use std::path::Path;

use daemon::config::{ConfigErrors, Document};

use super::*;

/// A configuration without a mistake; tests replace or add lines.
const SOUND: &str = r#"
[service]
host = "127.0.0.1"

[[frontend_tls]]
server_name = "events.example.com"
cert_path = "certs/events.crt"
key_path = "certs/events.key"

[[issuers]]
issuer = "https://login.example.com"
audience = ["events"]
algorithms = ["ES256"]
jwks_file = "jwks.json"

[[roles]]
name = "partner"
publish = { allow = ["orders.{{claims.tenant}}.>"] }

[[bindings]]
role = "partner"
issuer = "https://login.example.com"
when = { "claims.groups" = { contains = "partners" } }

[[routes]]
subject = "orders.>"
direction = "inward"

[link]
urls = ["tls://bus.internal:7422"]
tls = { cert_path = "a.crt", key_path = "a.key", root_ca_path = "ca.crt" }
"#;

fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    let path = Path::new("/etc/gatehouse/gateway.toml");
    loaded(&Document::parse("gateway.toml", text, std::iter::empty())?, path, Depth::Text)
}

/// The messages for the sound configuration with `from` replaced by `to`.
fn told(from: &str, to: &str) -> Vec<String> {
    assert!(SOUND.contains(from), "{from}");
    match parse(&SOUND.replacen(from, to, 1)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.errors().iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_sound_configuration() {
    let loaded = parse(SOUND).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let config = &loaded.config;
    assert_eq!(config.address().to_string(), "127.0.0.1:4222");
    assert_eq!(config.frontend_tls[0].cert_path, Path::new("/etc/gatehouse/certs/events.crt"));
    assert_eq!(config.issuers[0].jwks_file.as_deref(), Some(Path::new("/etc/gatehouse/jwks.json")));
    assert_eq!(config.link.tls.as_ref().unwrap().root_ca_path, Path::new("/etc/gatehouse/ca.crt"));
    assert_eq!(
        config.service.health_check_credentials_file,
        Path::new("/etc/gatehouse/data/health-check.token")
    );
    let subjects: Vec<_> = config.route_rules().into_iter().map(|rule| rule.subject).collect();
    assert_eq!(subjects, ["orders.>", PROBE_SUBJECT]);
}

/// Name, what is replaced, by what, and the one message expected.
type Mistake = (&'static str, &'static str, &'static str, &'static str);

const MISTAKES: [Mistake; 34] = [
    (
        "unknown key",
        "host = ",
        "hots = ",
        "gateway.toml:3:1: service.hots: unknown key; did you mean `host`?",
    ),
    (
        "plaintext for others",
        "host = \"127.0.0.1\"",
        "disable_frontend_tls = true",
        "gateway.toml:3:1: service.disable_frontend_tls: without TLS only a loopback address is listened on (host = \
         \"127.0.0.1\"); a proxy on another machine needs `allow_remote_plaintext = true`",
    ),
    (
        "token longer than the line",
        "[service]",
        "[service]\nmax_token_bytes = \"32 KiB\"",
        "gateway.toml:3:1: service.max_token_bytes: expected at most 31744 bytes: a token travels in a CONNECT line \
         (limits.max_connect_line, 32768 bytes)",
    ),
    (
        "half a pair",
        "[service]",
        "[service]\nhealth_check_cert_path = \"a\"",
        "gateway.toml:3:1: service.health_check_cert_path: `health_check_cert_path` and `health_check_key_path` go \
         together",
    ),
    (
        "handshake",
        "[service]",
        "[service]\nhandshake_first = \"soon\"",
        "gateway.toml:3:1: service.handshake_first: expected a duration with its unit such as \"150ms\", \"2s\", \
         \"5m\", \"1h30m\" or \"2d\" (ns, us, ms, s, m, h, d)",
    ),
    (
        "server name",
        "events.example.com",
        "events example",
        "gateway.toml:6:1: frontend_tls[0].server_name: \"events example\" is not a host name: expected letters, \
         digits, '-' and '.', perhaps with '*.' in front",
    ),
    (
        "certificates without CA",
        "[[issuers]]",
        "[client_certificates]\nmode = \"optional\"\n[[issuers]]",
        "gateway.toml:10:2: client_certificates.ca_path: needed to verify the certificates of clients",
    ),
    (
        "mode",
        "[[issuers]]",
        "[client_certificates]\nmode = \"maybe\"\n[[issuers]]",
        "gateway.toml:11:1: client_certificates.mode: expected one of `none`, `optional`, `required`, found `maybe`",
    ),
    (
        "no audience",
        "audience = [\"events\"]",
        "audience = []",
        "gateway.toml:12:1: issuers[0].audience: expected at least one audience, none of them empty",
    ),
    (
        "audience left out",
        "audience = [\"events\"]\n",
        "",
        "gateway.toml:10:1: issuers[0].audience: required key is missing",
    ),
    (
        "algorithm none",
        "\"ES256\"",
        "\"none\"",
        "gateway.toml:13:15: issuers[0].algorithms[0]: expected one of RS256, RS384, RS512, PS256, PS384, PS512, \
         ES256, ES384, EdDSA, and with `secret_file` HS256, HS384, HS512",
    ),
    (
        "algorithm of another family",
        "\"ES256\"",
        "\"ES256\", \"HS256\"",
        "gateway.toml:13:24: issuers[0].algorithms[1]: HS256, HS384 and HS512 go with `secret_file`, all others with \
         public keys",
    ),
    (
        "no keys",
        "jwks_file = \"jwks.json\"\n",
        "",
        "gateway.toml:10:1: issuers[0]: expected exactly one of `discovery = true`, `jwks_url`, `jwks_file`, `pem_files` and \
         `secret_file`",
    ),
    (
        "two sources of keys",
        "jwks_file",
        "pem_files = [\"a.pem\"]\njwks_file",
        "gateway.toml:14:1: issuers[0].pem_files: exactly one source of keys is expected, `jwks_file` is given too",
    ),
    (
        "keys from a URL in clear",
        "jwks_file = \"jwks.json\"",
        "jwks_url = \"http://login.example.com/keys\"",
        "gateway.toml:14:1: issuers[0].jwks_url: only https is called",
    ),
    (
        "discovery below a name that is no URL",
        "[[roles]]",
        "[[issuers]]\nissuer = \"login\"\naudience = [\"a\"]\nalgorithms = [\"ES256\"]\ndiscovery = true\n[[roles]]",
        "gateway.toml:17:1: issuers[1].issuer: with `discovery`: expected a URL such as \
         https://login.example.com/keys",
    ),
    (
        "bounds of fetching without fetching",
        "jwks_file = \"jwks.json\"",
        "jwks_file = \"jwks.json\"\nfetch = { timeout = \"1s\" }",
        "gateway.toml:15:1: issuers[0].fetch: has no effect without `discovery` or `jwks_url`",
    ),
    (
        "bounds of fetching that make no sense",
        "jwks_file = \"jwks.json\"",
        "discovery = true\nfetch = { timeout = \"0s\" }",
        "gateway.toml:15:11: issuers[0].fetch.timeout: expected more than no time",
    ),
    (
        "introspection by nobody",
        "[[roles]]",
        "[introspection]\nendpoint = \"https://a.example/i\"\nissuer = \"https://a.example\"\n[[roles]]",
        "gateway.toml:16:2: introspection: expected one proof of who asks: `client_id` with `client_secret_file`, \
         `token_file`, or a certificate (`call.cert_path` and `call.key_path`)",
    ),
    (
        "a webhook without a question",
        "[[roles]]",
        "[auth]\naction = \"a\"\n[[roles]]",
        "gateway.toml:16:2: auth: expected `authn_endpoint`, `authz_endpoint` or both",
    ),
    (
        "an issuer with the name of what is none",
        "issuer = \"https://login.example.com\"\n",
        "issuer = \"gatehouse:tokens\"\n",
        "gateway.toml:11:1: issuers[0].issuer: this name stands for tokens that are no JWTs",
    ),
    (
        "an issuer twice",
        "[[roles]]",
        "[[issuers]]\nissuer = \"https://login.example.com\"\naudience = [\"a\"]\nalgorithms = [\"ES256\"]\njwks_file \
         = \"x\"\n[[roles]]",
        "gateway.toml:17:1: issuers[1].issuer: this issuer is configured twice",
    ),
    (
        "template",
        "{{claims.tenant}}",
        "{{claim.tenant}}",
        "gateway.toml:18:22: roles[0].publish.allow[0]: `orders.{{claim.tenant}}.>`: `claim.tenant` names no fact; expected claims.<name> or \
         certificate.<identity|uri|dns|email|cn|issuer|serial|spki_sha256>",
    ),
    (
        "binding",
        "role = \"partner\"",
        "role = \"partners\"",
        "gateway.toml:20:1: bindings[0]: there is no role `partners`",
    ),
    (
        "route's subject",
        "subject = \"orders.>\"",
        "subject = \"orders..x\"",
        "gateway.toml:26:1: routes[0].subject: expected a subject pattern such as `orders.*.created` or `orders.>`",
    ),
    (
        "route's direction",
        "\"inward\"",
        "\"in\"",
        "gateway.toml:27:1: routes[0].direction: expected one of `inward`, `outward`, `both`, found `in`",
    ),
    (
        "route that can't be reversed",
        "subject = \"orders.>\"\ndirection = \"inward\"",
        "subject = \"a.*.*\"\ndirection = \"both\"\nto = \"b.{1}\"",
        "gateway.toml:28:1: routes[0].to: a route in both directions must be reversible: use every wildcard of \
         `subject` exactly once",
    ),
    (
        "no link",
        "urls = [\"tls://bus.internal:7422\"]",
        "",
        "gateway.toml:29:2: link: expected `urls` to dial, or `listen` to wait for the bus to dial",
    ),
    (
        "dialling and waiting",
        "urls",
        "listen = { peers = [\"internal-bus\"] }\nurls",
        "gateway.toml:30:1: link.listen: goes instead of `urls`, not with it",
    ),
    (
        "waiting for nobody",
        "urls = [\"tls://bus.internal:7422\"]",
        "listen = {}",
        "gateway.toml:30:1: link.listen.peers: nobody may link: expected the certificate names that may",
    ),
    (
        "a listening link that dials",
        "urls = [\"tls://bus.internal:7422\"]",
        "listen = { peers = [\"internal-bus\"], remotes = [{ urls = [\"nats-leaf://bus\"] }] }",
        "gateway.toml:30:38: link.listen.remotes: this link waits to be dialled: to dial, use `urls` in [link]",
    ),
    (
        "a listening link that is switched off",
        "urls = [\"tls://bus.internal:7422\"]",
        "listen = { peers = [\"internal-bus\"], disabled = true }",
        "gateway.toml:30:38: link.listen.disabled: without it there is no link: expected `urls` in [link] instead of `listen`",
    ),
    (
        "link URL",
        "\"tls://bus.internal:7422\"",
        "\"https://bus\"",
        "gateway.toml:30:9: link.urls[0]: \"https://bus\" is no link URL: expected tls://host:port or \
         nats-leaf://host:port, with user:password@ before the host if needed",
    ),
    (
        "link without certificates",
        "tls = { cert_path = \"a.crt\", key_path = \"a.key\", root_ca_path = \"ca.crt\" }",
        "",
        "gateway.toml:30:9: link.urls[0]: a tls:// URL needs `tls` with certificate, key and CA in [link]",
    ),
];

#[test]
fn every_mistake_at_its_place() {
    let wrong: Vec<_> = MISTAKES
        .into_iter()
        .filter_map(|(name, from, to, expected)| {
            let told = told(from, to);
            (told != [expected]).then(|| format!("{name}: {}", told.join(" | ")))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_at_once() {
    let text =
        SOUND.replace("ES256", "none").replace("orders.>\"\n", "a..b\"\n").replace("tls://", "http://");
    let errors = parse(&text).unwrap_err();
    let keys: Vec<_> = errors.errors().iter().map(|error| error.key().to_string()).collect();
    assert_eq!(keys, ["issuers[0].algorithms[0]", "routes[0].subject", "link.urls[0]"]);
}

#[test]
fn no_secret_is_repeated() {
    let messages = told("tls://bus.internal:7422", "nats-leaf://user:hunter2@:x");
    assert!(!messages.is_empty() && !messages.concat().contains("hunter2"), "{messages:?}");
}

#[test]
fn without_tls_on_loopback() {
    let text = SOUND.replace("[[frontend_tls]]", "disable_frontend_tls = true\n[[frontend_tls]]");
    let loaded = parse(&text).unwrap();
    assert!(loaded.config.server_tls().is_none());
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
}

#[test]
fn without_certificates_there_is_no_door() {
    let begin = SOUND.find("[[frontend_tls]]").unwrap();
    let end = SOUND.find("[[issuers]]").unwrap();
    let errors = parse(&format!("{}{}", &SOUND[..begin], &SOUND[end..])).unwrap_err();
    let message = errors.errors()[0].message();
    assert!(message.starts_with("at least one is needed"), "{message}");
}

#[test]
fn a_gateway_that_waits_for_the_bus() {
    let text = SOUND.replace(
        "urls = [\"tls://bus.internal:7422\"]",
        "listen = { host = \"127.0.0.1\", port = 0, peers = [\"internal-bus\"] }",
    );
    let loaded = parse(&text).unwrap();
    assert_eq!(loaded.config.link.listen.unwrap().peers, ["internal-bus"]);
}

#[test]
fn missing_files_are_told_with_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, SOUND).unwrap();
    let errors = load(&path, Depth::Files).unwrap_err();
    let keys: Vec<_> = errors.errors().iter().map(|error| error.key().to_string()).collect();
    assert_eq!(keys, ["frontend_tls[0]", "issuers[0]", "link.tls"]);
    let told = errors.to_string();
    assert!(told.contains(&folder.path().join("certs/events.crt").display().to_string()), "{told}");
}

#[test]
fn what_is_probably_not_meant() {
    for (from, to, expected) in [
        ("subject = \"orders.>\"", "subject = \">\"", "the route `>` lets everything cross"),
        ("tls://bus", "nats-leaf://bus", ""),
        (
            "role = \"partner\"\nissuer = \"https://login.example.com\"",
            "role = \"partner\"\nissuer = \"x\"",
            "no issuer `x`",
        ),
    ] {
        let loaded = parse(&SOUND.replacen(from, to, 1)).unwrap();
        assert!(
            loaded.warnings.iter().any(|warning| warning.contains(expected)) || expected.is_empty(),
            "{to}"
        );
    }
    let bare =
        "[service]\nhost = \"127.0.0.1\"\ndisable_frontend_tls = true\n[link]\nurls = [\"nats-leaf://a\"]\n";
    assert_eq!(parse(bare).unwrap().warnings.len(), 5);
}

/// The reference file decodes, says the defaults, and names every key.
mod reference {
    use super::*;

    fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/gateway.toml")
    }

    /// The file with every commented-out key in force.
    fn uncommented() -> String {
        let text = std::fs::read_to_string(path()).unwrap();
        let line = |line: &str| match line.strip_prefix("#~ ") {
            Some(key) => format!("{key}\n"),
            None => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn it_is_sound() {
        let loaded = load(&path(), Depth::Text).unwrap();
        assert_eq!(loaded.warnings, Vec::<String>::new());
        assert_eq!(loaded.config.service.port, DEFAULT_PORT);
    }

    #[test]
    fn what_it_calls_defaults_are_the_defaults() {
        let mut service = parse(&uncommented()).unwrap().config.service;
        // These have no value to be a default: the file shows examples.
        service.health_check_cert_path = None;
        service.health_check_key_path = None;
        service.ports_file = None;
        service.pid_file = None;
        service.connect_urls = Vec::new();
        service.proxy_protocol = Service::default().proxy_protocol;
        service.health_check_credentials_file = Service::default().health_check_credentials_file;
        assert_eq!(service, Service::default());
        let mut fetch = parse(&uncommented()).unwrap().config.issuers[1].fetching();
        let files = [&mut fetch.ca_path, &mut fetch.cert_path, &mut fetch.key_path, &mut fetch.token_file];
        files.into_iter().for_each(|file| *file = None);
        assert_eq!(fetch, Fetch::default());
        let config = parse(&uncommented()).unwrap().config;
        let mut call = config.introspection.unwrap().call;
        let files = [&mut call.ca_path, &mut call.cert_path, &mut call.key_path];
        files.into_iter().for_each(|file| *file = None);
        assert_eq!(call, Calls::default());
        let auth = AuthConfig { authz_endpoint: None, ..config.auth.unwrap() };
        assert_eq!(auth, AuthConfig::default());
        let config = parse(&uncommented()).unwrap().config;
        let audit = AuditConfig { file: None, head_file: None, ..config.audit };
        assert_eq!(audit, AuditConfig::default());
        assert_eq!(
            RevocationConfig { store: None, file: None, share_key_file: None, ..config.revocation },
            RevocationConfig::default()
        );
        let clients = ClientCertificates { ca_path: None, crl_path: None, ..config.client_certificates };
        assert_eq!(clients, ClientCertificates::default());
        let limits = parse(&uncommented()).unwrap().config.limits;
        assert_eq!(format!("{:?}", limits.to_broker()), format!("{:?}", broker::Limits::default()));
    }

    #[test]
    fn it_names_every_key() {
        let text = uncommented();
        let service = serde_json::to_value(Service {
            health_check_cert_path: Some("x".into()),
            health_check_key_path: Some("x".into()),
            ports_file: Some("x".into()),
            pid_file: Some("x".into()),
            ..Service::default()
        });
        let clients = serde_json::to_value(ClientCertificates::default());
        let limits = serde_json::to_value(Limits::default());
        let file = || Some("x".into());
        let fetch = Fetch {
            ca_path: file(),
            cert_path: file(),
            key_path: file(),
            token_file: file(),
            ..Fetch::default()
        };
        let call = Calls { ca_path: file(), cert_path: file(), key_path: file(), ..Calls::default() };
        let introspection = IntrospectionConfig {
            endpoint: String::new(),
            issuer: String::new(),
            audience: Vec::new(),
            client_id: Some(String::new()),
            client_secret_file: file(),
            token_file: file(),
            call: call.clone(),
        };
        let audit = AuditConfig { file: file(), head_file: file(), ..AuditConfig::default() };
        let revocation = RevocationConfig { store: file(), file: file(), ..RevocationConfig::default() };
        let own = [serde_json::to_value(audit), serde_json::to_value(revocation)];
        let admin = serde_json::to_value(Admin::default());
        let fetch = serde_json::to_value(fetch);
        let call = serde_json::to_value(call);
        let sections = [service, clients, limits, fetch, call, admin, serde_json::to_value(introspection)];
        for section in sections.into_iter().chain(own) {
            for key in section.unwrap().as_object().unwrap().keys() {
                let known = text.lines().any(|line| {
                    let line = line.strip_prefix("#   ").or(line.strip_prefix('[')).unwrap_or(line);
                    let name = line.split([' ', ']']).next().unwrap_or_default();
                    name.rsplit('.').next() == Some(key)
                });
                assert!(known, "{key} is not in config/gateway.toml");
            }
        }
    }
}
