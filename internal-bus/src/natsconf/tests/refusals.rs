//! What is refused, and where: one configuration, one line of the table, every complaint in order.

use super::*;

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|line| format!("t.conf:{line}")).collect();
    assert_eq!(bad(text), expected, "{text}");
}

#[test]
fn unknown_and_unsupported_settings() {
    refused("nonsense: 1", &["1:1: unknown setting `nonsense`"]);
    refused(
        "\n  cluster { port: 6222 }",
        &[
            "2:3: `cluster` is not supported: this server is one machine; a cluster of nats-server belongs behind event-gateway",
        ],
    );
    refused(
        "websocket { port: 1, x: 1 }\nmqtt {}\ncluster {}\nresolver: URL(http://x)\nresolver_tls {}\nhttps: 1",
        &[
            "1:22: unknown setting `x` in `websocket`",
            "1:1: `websocket` needs a `tls` block, or `no_tls: true`",
            "2:1: `mqtt` is not supported",
            "3:1: `cluster` is not supported: this server is one machine; a cluster of nats-server belongs behind event-gateway",
            "4:1: a `resolver` other than MEMORY is not supported",
            "5:1: `resolver_tls` is not supported",
            "6:1: `https` is not supported",
        ],
    );
    refused("authorization { usr: a }", &["1:17: unknown setting `usr` in `authorization`"]);
    refused("tls { cert_file: c, key_file: k, x: 1 }", &["1:34: unknown setting `x` in `tls`"]);
    refused(
        "tls { cert_file: c, key_file: k, pinned_certs: [] }",
        &["1:34: `pinned_certs` in `tls` is not supported"],
    );
    refused("jetstream { tpm {} }", &["1:13: `tpm` in `jetstream` is not supported"]);
    refused("accounts { A { limits: {a: b} } }", &["1:16: `limits` in `accounts` is not supported"]);
}

#[test]
fn values_of_the_wrong_kind() {
    refused("port: '4222'", &["1:7: expected a whole number, found text; leave out the quotes"]);
    refused("port: abc", &["1:7: expected a whole number, found text"]);
    refused("port: [1]", &["1:7: expected a whole number, found a list"]);
    refused("port: 65536", &["1:7: expected a port from 1 to 65535, or -1 for any free one"]);
    refused("debug: 1", &["1:8: expected a boolean (true or false), found a whole number"]);
    refused("host: 5", &["1:7: expected text, found a whole number; put it in quotes"]);
    refused("listen: localhost", &["1:9: expected a port or `host:port`, an IPv6 host in brackets"]);
    refused("listen: true", &["1:9: expected a port or `host:port`, found a boolean"]);
    refused("server_name: 'a b'", &["1:14: a server name can't hold spaces"]);
    refused("max_payload: 3GB", &["1:14: expected a number from 0 to 2147483647, found 3221225472"]);
    refused("max_payload: -1", &["1:14: expected a number from 0 to 2147483647, found -1"]);
    refused("max_sub_tokens: 256", &["1:17: expected a number from 0 to 255, found 256"]);
    refused("ping_interval: soon", &["1:16: expected a duration such as \"300ms\", \"2s\" or \"1h30m\""]);
    refused("ping_interval: '-2s'", &["1:16: a duration can't be negative"]);
    refused("ping_interval: -2", &["1:16: a duration can't be negative"]);
    refused("lame_duck_duration: 60", &["1:21: expected a duration such as \"2s\", found a whole number"]);
    refused("lame_duck_duration: 29s", &["1:21: `lame_duck_duration` must be at least 30 seconds"]);
    refused("authorization: x", &["1:16: expected a map `{ … }`, found text"]);
    refused(
        "authorization { password: 123, user: a }",
        &["1:27: expected text, found a whole number; put it in quotes"],
    );
    refused("authorization { users: {} }", &["1:24: expected a list, found a map"]);
    refused("authorization { users: [x] }", &["1:25: expected a map `{ … }`, found text"]);
    refused("authorization { user: a, timeout: -1 }", &["1:35: a timeout can't be negative"]);
    refused("tls: true", &["1:6: expected a map `{ … }`, found a boolean"]);
    refused("jetstream: maybe", &["1:12: expected a boolean, `enabled`, `disabled` or a map"]);
    refused(
        "jetstream { max_mem: '1X' }",
        &["1:22: expected a size such as 10GB, or text such as \"10G\" (K, M, G or T)"],
    );
    refused("jetstream { cipher: rot13 }", &["1:21: expected `chacha` or `aes`"]);
    refused("jetstream { store_dir: a }\nstore_dir: b", &["2:1: the store's folder is given twice"]);
}

#[test]
fn users_that_make_no_sense() {
    let key = "1:32: expected a public user nkey: `U` and 55 more characters, with a valid checksum";
    refused(
        "authorization { users: [{ nkey: UABC }] }",
        &[key].map(|line| line.replace("1:32", "1:33")).each_ref().map(String::as_str),
    );
    refused(
        "authorization { users: [{ password: p }] }",
        &["1:25: each of `users` needs a `user` or an `nkey`"],
    );
    refused(
        "authorization { users: [{user: a}, {user: a}] }",
        &["1:36: user `a` is defined twice, first at t.conf:1:25"],
    );
    refused(
        "authorization { users: [{user: a}] }\naccounts { A { users: [{user: a}] } }",
        &["2:24: user `a` is defined twice, first at t.conf:1:25"],
    );
    refused(
        "authorization { user: a, password: b, token: c }",
        &["1:1: `authorization` has both a single user and a token; use one of them"],
    );
    refused(
        "authorization { user: a, users: [] }",
        &["1:1: `authorization` has both a single user and a list of users; use one of them"],
    );
    refused(
        "authorization { token: a, users: [] }",
        &["1:1: `authorization` has both a token and a list of users; use one of them"],
    );
    refused(
        "authorization { token: a }\naccounts { A { users: [{user: a}] } }",
        &["2:24: users in `accounts` exclude a single user or token in `authorization`"],
    );
    refused("no_auth_user: x", &["1:15: `no_auth_user` names `x`, which is no configured user"]);
    refused("accounts { $G {} }", &["1:12: `$G` is the account that always exists; it can't be configured"]);
    refused("accounts [A, A]", &["1:14: account `A` is listed twice"]);
    refused("system_account: NOPE", &["1:1: there is no account `NOPE`"]);
}

#[test]
fn permissions_that_make_no_sense() {
    let within =
        |text: &str| format!("authorization {{ users: [{{ user: a, permissions {{\n{text}\n}} }}] }}");
    let table = [
        ("publish: 'a b'", "2:10: `a b` is not a subject"),
        ("publish: 'a..b'", "2:10: `a..b` is not a subject"),
        ("publish: 'a.>.b'", "2:10: `a.>.b` is not a subject"),
        ("publish: ['a', '']", "2:16: `` is not a subject"),
        ("subscribe: 'a q r'", "2:12: `a q r` is not a subject"),
        ("subscribe { deny: [1] }", "2:20: expected text, found a whole number; put it in quotes"),
        ("publish { alow: x }", "2:11: unknown setting `alow` in `permissions`"),
        ("pubish: x", "2:1: unknown setting `pubish` in `permissions`"),
        ("allow_responses: 5", "2:18: expected a boolean, or a map with `max` and `expires`"),
        ("allow_responses { expires: 5 }", "2:28: expected text, found a whole number; put it in quotes"),
        ("allow_responses { expires: x }", "2:28: expected a duration such as \"2s\", or \"-1s\" for ever"),
    ];
    for (text, expected) in table {
        refused(&within(text), &[expected]);
    }
    refused(
        "authorization { users: [{ user: a, clients: [CARRIER_PIGEON] }] }",
        &[
            "1:46: unknown connection type; known are STANDARD, WEBSOCKET, LEAFNODE, LEAFNODE_WS, MQTT, MQTT_WS, IN_PROCESS",
        ],
    );
}

#[test]
fn tls_that_makes_no_sense() {
    refused("tls { cert_file: c }", &["1:1: `tls` needs `key_file` as well"]);
    refused("tls { key_file: c }", &["1:1: `tls` needs `cert_file` as well"]);
    refused("tls {}", &["1:1: `tls` of a listener needs `cert_file` and `key_file`"]);
    refused(
        "tls { cert_file: c, key_file: k, certs: [{cert_file: c, key_file: k}] }",
        &["1:1: `tls` has both `cert_file` and `certs`; use one of them"],
    );
    refused(
        "tls { certs: [{cert_file: c}] }",
        &[
            "1:15: each of `certs` needs `cert_file` and `key_file`",
            "1:1: `tls` of a listener needs `cert_file` and `key_file`",
        ],
    );
    let with = |text: &str| format!("tls {{ cert_file: c, key_file: k\n{text} }}");
    refused(
        &with("min_version: '1.1'"),
        &["2:14: expected \"1.2\" or \"1.3\"; older versions of TLS are not spoken"],
    );
    refused(
        &with("handshake_first: x"),
        &["2:18: expected true, false, \"auto\" or a duration such as \"50ms\""],
    );
    refused(&with("cipher_suites: []"), &["2:16: `cipher_suites` must name at least one"]);
    refused(
        &with("verify: 'yes'"),
        &["2:9: expected a boolean (true or false), found text; leave out the quotes"],
    );
}

#[test]
fn leafnodes_that_make_no_sense() {
    let remote = |text: &str| format!("leafnodes {{ remotes [{{\n{text}\n}}] }}");
    refused(&remote("account: '$G'"), &["1:22: each of `remotes` needs a `url`"]);
    refused(&remote("url: 'hub:7422'"), &["2:6: expected a URL such as nats://host:7422"]);
    refused(&remote("url: 'ws://hub'"), &["2:6: leafnode connections over WebSocket are not supported"]);
    refused(&remote("url: 'nats://h', account: A"), &["1:22: there is no account `A`"]);
    refused(
        &remote("url: 'nats://h', compression: zip"),
        &["2:31: expected off, accept, s2_auto, s2_fast, s2_better or s2_best"],
    );
    refused(
        "leafnodes { authorization { user: a, users: [{user: b}] } }",
        &["1:13: `authorization` has both a single user and a list of users; use one of them"],
    );
    refused(
        "leafnodes { authorization { users: [{user: b}, {user: b, account: X}] } }",
        &["1:48: user `b` is listed twice"],
    );
    refused("leafnodes { authorization { account: X } }", &["1:1: there is no account `X`"]);
}

#[test]
fn sizes_and_times_must_fit_together() {
    refused("max_pending: 1kb", &["1:1: `max_payload` (1048576) can't be greater than `max_pending` (1024)"]);
    refused(
        "max_payload: 65MB",
        &["1:1: `max_payload` (68157440) can't be greater than `max_pending` (67108864)"],
    );
    refused(
        "lame_duck_duration: 30s\nlame_duck_grace_period: 30s",
        &["2:1: `lame_duck_grace_period` must be shorter than `lame_duck_duration`"],
    );
}

#[test]
fn everything_wrong_is_reported_at_once_and_no_secret_is_repeated() {
    let text = "port: x\nauthorization { password: 987654, token: [hunter2] }\nleafnodes { remotes: [{url: 'nats://u:hunter2@h:x'}] }";
    let lines = bad(text);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("hunter2") && !line.contains("987654")), "{lines:?}");
}

#[test]
fn imports_of_what_is_not_exported_to_them() {
    let conf = |exports: &str, imports: &str| {
        format!("accounts {{\n A {{ exports: [{exports}] }}\n B {{ imports: [{imports}] }}\n}}")
    };
    let cases = [
        ("{stream: a}", "{stream: {account: C, subject: a}}", "there is no account `C`"),
        ("{stream: a.b}", "{stream: {account: A, subject: a.*}}", "`A` does not export `a.*`"),
        ("{stream: a}", "{service: {account: A, subject: a}}", "`A` does not export `a`"),
        ("{stream: a, accounts: [C]}", "{stream: {account: A, subject: a}}", "`A` does not export `a`"),
        (
            "{service: 'a.*', account_token_position: 2}",
            "{service: {account: A, subject: a.C}}",
            "`A` does not export `a.C`",
        ),
        (
            "{service: 'a.*'}",
            "{service: {account: A, subject: 'a.*'}, to: b}",
            "every wildcard of `a.*` once",
        ),
        ("{stream: 'a.*'}", "{stream: {account: A, subject: 'a.*'}, to: 'b.$2'}", "uses capture 2"),
        ("{stream: a}", "{stream: {account: A, subject: a}, to: b, prefix: c}", "either `to` or `prefix`"),
        ("{service: a}", "{service: {account: A, subject: a}, prefix: c}", "a service has no `prefix`"),
        ("{stream: a}", "{}", "needs a `stream` or a `service`"),
        ("{stream: a}", "{stream: {account: A}}", "expected an `account` and a `subject`"),
        ("{stream: 'a..b'}", "", "`a..b` is not a subject"),
        ("{stream: a, response: stream}", "", "only a `service` has responses"),
        ("{service: a, response: two}", "", "expected `single`, `stream` or `chunked`"),
        ("{accounts: [B]}", "", "each of `exports` needs a `stream` or a `service`"),
    ];
    for (exports, imports, what) in cases {
        let complaints = bad(&conf(exports, imports));
        assert!(
            complaints.iter().any(|complaint| complaint.contains(what)),
            "{exports} {imports}: {complaints:?}"
        );
    }
    let circle = "accounts {\n A { exports: [{stream: a}], imports: [{stream: {account: B, subject: a}}] }\n\
                  B { exports: [{stream: a}], imports: [{stream: {account: A, subject: a}}] }\n}";
    assert!(bad(circle).iter().all(|complaint| complaint.contains("leads back to the account")));
}
