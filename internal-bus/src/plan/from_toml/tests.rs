//! Every mistake and where it is reported.

use std::path::Path;

use daemon::config::Document;

use super::*;

const SOUND: &str = r#"
[service]
host = "127.0.0.1"

[leafnodes]
host = "127.0.0.1"
peers = ["event-gateway"]

[[leafnodes.remotes]]
urls = ["nats-leaf://gateway.example.com"]
"#;

/// The messages for the sound configuration with `from` replaced by `to`; files named in it do not exist.
fn told(from: &str, to: &str) -> Vec<String> {
    assert!(SOUND.contains(from), "{from}");
    let text = SOUND.replacen(from, to, 1);
    let document = Document::parse("bus.toml", &text, std::iter::empty()).unwrap();
    let path = Path::new("/nowhere/bus.toml");
    let checked = document.decode_checked::<Config>(|config, problems| drop(make(path, config, problems)));
    let errors = checked.err().map(|errors| errors.errors().iter().map(ToString::to_string).collect());
    errors.unwrap_or_default()
}

/// A name, what to replace by what, and the message that must be among those told.
const MISTAKES: [(&str, &str, &str, &str); 9] = [
    (
        "a certificate that is not there",
        "[leafnodes]",
        "[tls]\ncert_path = \"a.crt\"\nkey_path = \"a.key\"\nroot_ca_path = \"ca.crt\"\n[leafnodes]",
        "bus.toml:5:2: tls: /nowhere/ca.crt: No such file or directory (os error 2)",
    ),
    (
        "a link's certificate that is not there",
        "peers",
        "tls = { cert_path = \"a.crt\", key_path = \"a.key\", root_ca_path = \"ca.crt\" }\npeers",
        "bus.toml:7:1: leafnodes.tls: /nowhere/ca.crt: No such file or directory (os error 2)",
    ),
    (
        "a dialled link without certificates",
        "nats-leaf://",
        "tls://",
        "bus.toml:10:9: leafnodes.remotes[0].urls[0]: a tls:// URL needs `tls` with certificate, key and CA in \
         [leafnodes.remotes[0]]",
    ),
    (
        "a dialled link that waits",
        "urls",
        "listen = { peers = [\"event-gateway\"] }\nurls",
        "bus.toml:10:1: leafnodes.remotes[0].listen: the bus waits for links in [leafnodes]; here it dials",
    ),
    (
        "a dialled link that holds",
        "urls",
        "hold = \"1s\"\nurls",
        "bus.toml:10:1: leafnodes.remotes[0].hold: belongs to the gateway's [link]: it is there that publishers wait",
    ),
    (
        "a dialled link to nowhere",
        "urls = [\"nats-leaf://gateway.example.com\"]",
        "",
        "bus.toml:9:1: leafnodes.remotes[0]: expected `urls`, where to dial",
    ),
    (
        "links in clear from everywhere",
        "host = \"127.0.0.1\"\npeers",
        "host = \"0.0.0.0\"\nplaintext = true\npeers",
        "bus.toml:7:1: leafnodes.plaintext: without TLS only a loopback address is listened on (host = \"127.0.0.1\"), \
         unless `allow_remote_plaintext = true` in [service]",
    ),
    (
        "connections limited under another name",
        "[leafnodes]",
        "[limits]\nmax_connections = 5\n[leafnodes]",
        "bus.toml:6:1: limits.max_connections: expected `listener_limit` in [service] instead",
    ),
    (
        "messages limited under another name",
        "[leafnodes]",
        "[limits]\nmax_queued_messages = 5\n[leafnodes]",
        "bus.toml:6:1: limits.max_queued_messages: expected `event_limit` in [service] instead",
    ),
];

#[test]
fn every_mistake_at_its_place() {
    let wrong: Vec<_> = MISTAKES
        .into_iter()
        .filter_map(|(name, from, to, expected)| {
            let told = told(from, to);
            (!told.iter().any(|line| line == expected)).then(|| format!("{name}: {}", told.join(" | ")))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn paths_are_relative_to_the_file() {
    let text = "[service]\nplaintext = true\nhost = \"127.0.0.1\"\npid_file = \"bus.pid\"\n[log]\nfile = \"bus.log\"\n";
    let document = Document::parse("bus.toml", text, std::iter::empty()).unwrap();
    let mut plan = None;
    document
        .decode_checked::<Config>(|config, problems| {
            plan = make(Path::new("/etc/gatehouse/bus.toml"), config, problems);
        })
        .unwrap();
    let plan = plan.unwrap();
    assert_eq!(plan.pid_file.as_deref(), Some(Path::new("/etc/gatehouse/bus.pid")));
    assert_eq!(plan.log.file.as_deref(), Some(Path::new("/etc/gatehouse/bus.log")));
}
