//! Whatever the input, the answer is a configuration or an error with a place inside the input; never a panic.

use proptest::prelude::*;

use super::*;

/// Uses most of the language and most of the settings.
const RICH: &str = r#"
# comment
PORT: 4333, HOST = "127.0.0.1"
listen: 127.0.0.1:-1 // more
server_name: n1; max_payload: 1MB
ping_interval: "20s"
authorization {
  timeout: 1.5
  default_permissions { publish { deny: [a, 'b.>'] } }
  users [
    { user: a, password: $2a$11$abc }, {user "b", pass 'c'
      permissions: { subscribe: ["x q", y.*], allow_responses: { max: 5, expires: "1m" } } }
  ]
}
accounts { A { users = [{user: c}] }, "$SYS" { users: [{user: d}] } }
tls { cert_file: c, key_file: (
k
)
  verify: true }
leafnodes { port: 7422, remotes [ { url: "nats://u:p@h:1", account: A } ] }
jetstream { store_dir: "/s\x41\t", max_file: -1, created: 2016-05-04T18:53:41Z }
http_port: $PORT
"#;

fn survives(text: &str) {
    for ignore_unsupported in [false, true] {
        let environment = |name: &str| (name.len() < 3).then(|| format!("[{name}, $X{name}]"));
        if let Err(errors) = parse_text("t.conf", text, &environment, ignore_unsupported) {
            assert!(!errors.is_empty());
            let lines = u32::try_from(text.split('\n').count()).unwrap();
            for error in errors {
                assert!(error.at.line <= lines, "{error} in a text of {lines} lines");
                assert!(!error.what.is_empty());
            }
        }
    }
}

#[test]
fn the_rich_configuration_is_read() {
    assert_eq!(bad(RICH), ["t.conf:21:50: unknown setting `created` in `jetstream`"]);
    survives(RICH);
}

#[test]
fn every_beginning_of_a_configuration() {
    for end in 0..RICH.len() {
        survives(&RICH[..end]);
        survives(&RICH[end..]);
    }
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn any_text_of_the_languages_own_characters(text in r#"([a-c]|include|users|user|port|[ \t\n\r{}\[\](),;:=#/"'\\$.0-9kmsxTZ-]){0,80}"#) {
        survives(&text);
    }

    #[test]
    fn configurations_with_mistakes(changes in prop::collection::vec((0..RICH.len(), any::<char>(), 0..3_u8), 1..6)) {
        let mut text: Vec<char> = RICH.chars().collect();
        for (at, c, what) in changes {
            let at = at.min(text.len() - 1);
            match what {
                0 => text[at] = c,
                1 => text.insert(at, c),
                _ => { text.remove(at); }
            }
        }
        survives(&text.into_iter().collect::<String>());
    }

    #[test]
    fn lines_in_any_order(order in Just((0..RICH.lines().count()).collect::<Vec<_>>()).prop_shuffle()) {
        let lines: Vec<&str> = RICH.lines().collect();
        survives(&order.into_iter().map(|at| lines[at]).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn any_bytes_in_a_file(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        if let Err(errors) = parse_file(file.path(), true) {
            prop_assert!(!errors.is_empty());
        }
    }
}
