//! What the settings mean.

use std::time::Duration;

use broker::{Compression, CompressionMode};
use wire::s2::Effort;

use super::*;

const USER_KEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

#[test]
fn listeners_and_names() {
    let conf = good(
        "listen: 127.0.0.1:-1\nserver_name: bus-1\nserver_tags: [a, 'b:c']\nhttp: localhost:8222\n\
         pid_file: /tmp/p\nports_file_dir: '/tmp'\nserver_metadata {Zone: eu}\nclient_advertise: 'h:1'\n\
         http_base_path: /x",
    );
    assert_eq!((conf.host.as_deref(), conf.port), (Some("127.0.0.1"), Some(Port::Any)));
    assert_eq!(conf.server_name.as_deref(), Some("bus-1"));
    assert_eq!(conf.server_tags, ["a", "b:c"]);
    assert_eq!((conf.http_host.as_deref(), conf.http_port), (Some("localhost"), Some(Port::Number(8222))));
    assert_eq!(conf.pid_file, Some("/tmp/p".into()));
    assert_eq!(conf.ports_file_dir, Some("/tmp".into()));
    assert_eq!(conf.server_metadata.get("Zone").map(String::as_str), Some("eu"));
    assert_eq!(conf.client_advertise.as_deref(), Some("h:1"));
    assert_eq!(conf.http_base_path.as_deref(), Some("/x"));

    let conf = good("net: ::1\nPORT: 4333\nhttp_port = -1\nserver_tags one");
    assert_eq!((conf.host.as_deref(), conf.port), (Some("::1"), Some(Port::Number(4333))));
    assert_eq!((conf.http_port, conf.server_tags), (Some(Port::Any), vec!["one".to_owned()]));
    assert_eq!(good("port: 0").port, None);
    assert_eq!(good("listen: 4333").port, Some(Port::Number(4333)));
    assert_eq!(good("listen: '[::1]:1'").host.as_deref(), Some("::1"));
    assert_eq!(good("monitor_port: 1").http_port, Some(Port::Number(1)));
}

#[test]
fn limits_and_times() {
    let conf = good(
        "max_payload: 2MB\nmax_pending: 32mb\nmax_connections: 10\nmax_subs: -1\nmax_control_line: 4k\n\
         max_sub_tokens: 8\nping_interval: '20s'\nping_max: 3\nwrite_deadline: 2s\nlame_duck_duration: 30s\n\
         lame_duck_grace_period: 1s",
    );
    assert_eq!((conf.max_payload, conf.max_pending), (Some(2 << 20), Some(32 << 20)));
    assert_eq!(conf.max_connections, Some(Limit::AtMost(10)));
    assert_eq!(conf.max_subscriptions, Some(Limit::Unlimited));
    assert_eq!((conf.max_control_line, conf.max_subscription_tokens), (Some(4000), Some(8)));
    assert_eq!((conf.ping_interval, conf.ping_max), (Some(Duration::from_secs(20)), Some(3)));
    assert_eq!(conf.write_deadline, Some(Duration::from_secs(2)));
    assert_eq!(conf.lame_duck_duration, Some(Duration::from_secs(30)));
    assert_eq!(conf.lame_duck_grace_period, Some(Duration::from_secs(1)));
    assert_eq!(good("max_conn: 0").max_connections, Some(Limit::Unlimited));
    assert_eq!(notices("ping_interval: 5"), ["t.conf:1:16: 5 is taken as seconds; better write \"5s\""]);
    assert_eq!(
        notices("max_payload: 16MB"),
        ["t.conf:1:1: a `max_payload` over 8388608 delays everything behind it"]
    );
}

#[test]
fn logging() {
    let conf = good(
        "debug: true\ntrace: on\nlogtime: no\nlogtime_utc: yes\nlogfile: '/l'\nlog_size_limit: 1mb\n\
         log_max_num: 3\nmax_traced_msg_len: 10",
    );
    assert_eq!((conf.debug, conf.trace, conf.trace_verbose), (Some(true), Some(true), None));
    assert_eq!((conf.logtime, conf.logtime_utc), (Some(false), Some(true)));
    assert_eq!(
        (conf.log_file, conf.log_size_limit, conf.log_max_num),
        (Some("/l".into()), Some(1 << 20), Some(3))
    );
    assert_eq!(conf.max_traced_msg_len, Some(10));
    assert_eq!(good("trace_verbose: true").trace, Some(true));
}

#[test]
fn one_user_or_token_for_everybody() {
    let auth = good("authorization { user: a, password: b, timeout: 0.5 }").authorization.unwrap();
    assert_eq!(auth.user.as_deref(), Some("a"));
    assert_eq!(auth.password.as_ref().map(Secret::expose), Some("b"));
    assert_eq!(auth.timeout, Some(Duration::from_millis(500)));
    let auth = good("authorization { token: $2a$11$PWIFAL8RsWyGI3jVZtO9Nu8 }").authorization.unwrap();
    assert!(auth.token.as_ref().is_some_and(Secret::is_bcrypt_hash));
    let auth = good("authorization { token: 's3cr3t', timeout: '3s' }").authorization.unwrap();
    assert!(auth.token.as_ref().is_some_and(|token| !token.is_bcrypt_hash()));
    assert!(!format!("{auth:?}").contains("s3cr3t"));
    assert_eq!(
        notices("authorization {}"),
        ["t.conf:1:1: `authorization` names nobody: without users elsewhere, everybody may connect"]
    );
    assert_eq!(
        notices("authorization { user: a, password: b, timeout: 2m }"),
        ["t.conf:1:48: a timeout of 2000000 seconds is very long; without quotes `1m` is a million seconds"]
    );
}

#[test]
fn users_with_permissions() {
    let conf = good(&format!(
        "ADMIN {{ publish: '>', subscribe: ['>'] }}\n\
         authorization {{\n\
           default_permissions {{ subscribe {{ allow: 'pub.>', deny: ['pub.x', 'pub.y q'] }} }}\n\
           users = [\n\
             {{ user: a, password: p, permissions: $ADMIN }}\n\
             {{ username: b, pass: p, permission {{ allow_responses: true }} }}\n\
             {{ nkey: {USER_KEY}, permissions {{ pub: 'x.*', allow_responses {{ max: 5, expires: '1m' }} }},\n\
                allowed_connection_types: [standard, 'WEBSOCKET'] }}\n\
             {{ user: c }}\n\
           ]\n\
         }}\nno_auth_user: c"
    ));
    let users = &conf.authorization.unwrap().users;
    let rights = |at: usize| users[at].permissions.clone().unwrap();
    let rules = |allow: &[&str]| SubjectRules {
        allow: Some(allow.iter().map(ToString::to_string).collect()),
        deny: Vec::new(),
    };
    assert_eq!(rights(0).publish, Some(rules(&[">"])));
    assert_eq!(rights(0).subscribe, Some(rules(&[">"])));
    assert_eq!(rights(1).publish, Some(rules(&[])));
    assert_eq!(rights(1).allow_responses, Some(AllowResponses::default()));
    assert_eq!(users[2].login, Login::Nkey(USER_KEY.to_owned()));
    assert_eq!(rights(2).publish, Some(rules(&["x.*"])));
    let bounds = AllowResponses { max: Some(5), expires: Some(Duration::from_secs(60)) };
    assert_eq!(rights(2).allow_responses, Some(bounds));
    let types = vec![ConnectionType::Standard, ConnectionType::Websocket];
    assert_eq!(users[2].allowed_connection_types, Some(types));
    let default = rights(3).subscribe.unwrap();
    assert_eq!(default.allow, Some(vec!["pub.>".to_owned()]));
    assert_eq!(default.deny, ["pub.x", "pub.y q"]);
    assert_eq!((conf.no_auth_user.as_deref(), users[3].at.line), (Some("c"), 9));
}

#[test]
fn empty_and_boundless_permissions() {
    let rights = |text: &str| {
        let conf = good(&format!("authorization {{ users: [{{ user: a, permissions {{ {text} }} }}] }}"));
        conf.authorization.unwrap().users.remove(0).permissions.unwrap()
    };
    assert_eq!(rights("publish {}").publish, None);
    assert_eq!(rights("publish []").publish, None);
    assert_eq!(rights("allow_responses: false"), Permissions::default());
    let forever = AllowResponses { max: None, expires: None };
    assert_eq!(rights("allow_responses { max: -1, ttl: '-1s' }").allow_responses, Some(forever));
    assert_eq!(
        notices("authorization { users: [{ user: a, permissions { publish [] } }] }"),
        ["t.conf:1:58: an empty list restricts nothing; to allow nothing, deny \">\""]
    );
}

#[test]
fn accounts_with_users() {
    let conf = good(
        "P { publish: a }\naccounts {\n A { users: [{user: a, password: x}], jetstream: enabled, imports: [] }\n\
          B { default_permissions: $P, users: [{user: b}], jetstream { max_mem: 1kb, max_store: -1 } }\n\
          $SYS { users: [{user: s, pass: s}] }\n}\nsystem_account: $SYS2\n"
            .replace("$SYS2", "'$SYS'")
            .as_str(),
    );
    let [a, b, sys] = conf.accounts.as_slice() else { panic!("{:?}", conf.accounts) };
    assert_eq!((a.name.as_str(), b.name.as_str(), sys.name.as_str()), ("A", "B", "$SYS"));
    assert_eq!(a.jetstream, Some(AccountJetStream::default()));
    let limits = b.jetstream.as_ref().unwrap();
    assert_eq!((limits.max_memory, limits.max_store), (Some(1024), None));
    assert!(b.users[0].permissions.is_some() && a.users[0].permissions.is_none());
    assert_eq!(good("accounts [X, Y]").accounts.len(), 2);
}

#[test]
fn tls_for_clients() {
    let tls = good(
        "tls { cert_file: c.pem, key_file: 'k.pem', ca_file: ca.pem, verify_and_map: true, timeout: 3,\n\
         handshake_first: auto, min_version: '1.3', cipher_suites: ['X'], curve_preferences: [Y] }\n\
         allow_non_tls: true",
    );
    assert_eq!(tls.allow_non_tls, Some(true));
    let tls = tls.tls.unwrap();
    let pair = CertificatePair { cert_file: "c.pem".into(), key_file: "k.pem".into() };
    assert_eq!(tls.certificates, [pair]);
    assert_eq!(tls.ca_file, Some("ca.pem".into()));
    assert!(tls.verify && tls.verify_and_map && !tls.insecure);
    assert_eq!((tls.timeout, tls.min_version), (Some(Duration::from_secs(3)), Some(TlsVersion::V1_3)));
    assert_eq!(tls.handshake_first, HandshakeFirst::WithFallback(Duration::from_millis(50)));
    let order = |text: &str| {
        let text = format!("tls {{ certs: [{{cert_file: c, key_file: k}}], handshake_first: {text} }}");
        good(&text).tls.unwrap().handshake_first
    };
    assert_eq!(order("true"), HandshakeFirst::Always);
    assert_eq!(order("'off'"), HandshakeFirst::Never);
    assert_eq!(order("300ms"), HandshakeFirst::WithFallback(Duration::from_millis(300)));
    assert_eq!(
        notices("tls { cert_file: c, key_file: k, cipher_suites: [A] }"),
        ["t.conf:1:34: `cipher_suites` has no effect here: the TLS library's own choice is used"]
    );
}

#[test]
fn leafnodes_both_ways() {
    let conf = good(
        "accounts { A {} }\nleafnodes {\n listen: 0.0.0.0:7422\n no_advertise: true\n min_version: 2.8.0\n\
          tls { cert_file: c, key_file: k }\n compression: off\n reconnect: '2s'\n\
          authorization { timeout: 1, users [{ user: l, password: p, account: A }] }\n\
          remotes [\n\
           { url: 'nats://u:p@hub:1', account: A, deny_imports: ['x.>'], deny_exports: y, hub: true,\n\
             tls { ca_file: ca } }\n\
           { urls: ['tls://a', 'tls://b'], dont_randomize: true, compression: s2_auto }\n ]\n}",
    );
    let leaf = conf.leafnodes.unwrap();
    assert_eq!((leaf.host.as_deref(), leaf.port), (Some("0.0.0.0"), Some(Port::Number(7422))));
    assert!(leaf.no_advertise && leaf.tls.is_some());
    assert_eq!(
        (leaf.min_version.as_deref(), leaf.reconnect_interval),
        (Some("2.8.0"), Some(Duration::from_secs(2)))
    );
    let user = &leaf.authorization.as_ref().unwrap().users[0];
    assert_eq!((user.name.as_str(), user.account.as_deref()), ("l", Some("A")));
    let [hub, pair] = leaf.remotes.as_slice() else { panic!("{:?}", leaf.remotes) };
    assert_eq!((hub.urls[0].host.as_str(), hub.urls[0].port), ("hub", 1));
    assert_eq!(
        (hub.deny_imports.as_slice(), hub.deny_exports.as_slice()),
        (&["x.>".to_owned()][..], &["y".to_owned()][..])
    );
    assert!(hub.hub && hub.tls.as_ref().is_some_and(|tls| tls.certificates.is_empty()));
    assert!(pair.urls.iter().all(|url| url.tls && url.port == DEFAULT_LEAF_PORT) && pair.no_randomize);
    assert_eq!(good("leafnodes { port: -1, host: h }").leafnodes.unwrap().port, Some(Port::Any));
    assert_eq!(leaf.compression.mode, CompressionMode::Off);
    assert_eq!((&pair.compression, &hub.compression), (&Compression::default(), &Compression::default()));
    let read = |text: &str| good(&format!("leafnodes {{ port: 1, compression: {text} }}")).leafnodes.unwrap();
    for (text, mode) in [
        ("true", CompressionMode::Auto),
        ("false", CompressionMode::Off),
        ("Accept", CompressionMode::Accept),
        ("s2_fast", CompressionMode::Always(Effort::Fast)),
        ("{ mode: s2_better }", CompressionMode::Always(Effort::Better)),
    ] {
        assert_eq!(read(text).compression, Compression::of(mode));
    }
    assert_eq!(
        read("{ mode: auto, rtt_thresholds: [0s, 5ms, '1s'] }").compression.rtt_thresholds,
        [0, 5, 1000].map(Duration::from_millis)
    );
}

#[test]
fn streams() {
    let js = |text: &str| good(text).jetstream.unwrap();
    assert!(js("jetstream: true").enabled && js("jetstream enabled").enabled && js("jetstream {}").enabled);
    assert!(!js("jetstream: disabled").enabled && !js("jetstream {enabled: false}").enabled);
    let all = js(
        "jetstream { store_dir: '/s', max_file_store: 10GB, max_mem_store: '1G', domain: d, strict: false,\n\
                  sync_interval: always, key: k, cipher: aes,\n\
                  limits { max_request_batch: 5, duplicate_window: '1m', batch { max_msgs: 7 } } }",
    );
    assert_eq!(all.store_dir, Some("/s".into()));
    assert_eq!((all.max_file, all.max_memory), (Some(10 << 30), Some(1 << 30)));
    assert_eq!((all.domain.as_deref(), all.strict), (Some("d"), Some(false)));
    assert_eq!((all.sync, all.cipher), (Some(SyncPolicy::Always), Some(Cipher::Aes)));
    assert_eq!(all.encryption_key.as_ref().map(Secret::expose), Some("k"));
    assert_eq!((all.limits.max_request_batch, all.limits.max_batch_messages), (Some(5), Some(7)));
    assert_eq!(all.limits.duplicate_window, Some(Duration::from_secs(60)));
    let apart = js("store_dir: '/top'");
    assert_eq!((apart.enabled, apart.store_dir), (false, Some("/top".into())));
    assert_eq!(js("jetstream { sync: '5s' }").sync, Some(SyncPolicy::Every(Duration::from_secs(5))));
}

#[test]
fn what_is_switched_off_may_be_unsupported() {
    assert!(notices("syslog: false\nproxy_protocol: off\nocsp: no\nno_sublist_cache: false").is_empty());
}

#[test]
fn unsupported_settings_can_be_ignored() {
    let text = "port: 4333\ncluster { name: c }\nnonsense: 1\naccounts { A { limits: {a: b} } }";
    let (conf, notices) = parse_text("t.conf", text, &|_| None, true).unwrap();
    assert_eq!(conf.port, Some(Port::Number(4333)));
    let lines: Vec<String> = notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "t.conf:2:1: `cluster` is not supported: this server is one machine; a cluster of nats-server belongs behind event-gateway; ignored",
            "t.conf:3:1: unknown setting `nonsense`; ignored",
            "t.conf:4:16: `limits` in `accounts` is not supported; ignored",
        ]
    );
    assert!(notices.iter().all(|notice| notice.kind == NoticeKind::Unsupported));
    // With an operator, accounts are not listed here.
    assert!(parse_text("t.conf", "operator: o\nsystem_account: AKEY", &|_| None, true).is_ok());
    // What is wrong stays wrong.
    assert!(parse_text("t.conf", "port: x", &|_| None, true).is_err());
}

#[test]
fn an_empty_configuration_is_valid_and_worth_a_remark() {
    assert_eq!(good(""), NatsConf::default());
    assert_eq!(notices("# nothing"), ["t.conf: the configuration is empty: only defaults hold"]);
}

#[test]
fn variables_are_no_unknown_settings() {
    let conf = good("MY_PORT: 4333\nport: $MY_PORT\nauthorization { U: x, user: $U, password: $U }");
    assert_eq!(conf.port, Some(Port::Number(4333)));
}

#[test]
fn accounts_share_streams_and_services() {
    let conf = good(
        "accounts {\n A { exports: [{stream: 'a.*', accounts: [B]}, {service: s.>, response: stream, threshold: 5s}] }\n\
         B { imports: [{stream: {account: A, subject: 'a.*'}, prefix: from}, \n\
           {service: {account: A, subject: s.x}, to: ask, share: true}] }\n}",
    );
    let export = &conf.accounts[0].exports[1];
    assert_eq!((export.many_responses, export.threshold), (true, Some(Duration::from_secs(5))));
    assert_eq!(conf.accounts[0].exports[0].accounts.as_deref(), Some(&["B".to_owned()][..]));
    let imports = &conf.accounts[1].imports;
    let seen: Vec<_> = imports.iter().map(|i| (i.kind, i.subject.as_str(), i.to.as_str(), i.share)).collect();
    assert_eq!(seen, [(Shared::Stream, "a.*", "from.a.*", false), (Shared::Service, "s.x", "ask", true)]);
}
