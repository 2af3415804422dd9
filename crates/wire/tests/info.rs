//! The JSON of INFO and CONNECT: defaults, tolerance, refusals, secrets.

use wire::info::{
    ConnectOptions, Extension, InterestSum, LeafConnect, LeafInfo, ServerInfo, SubjectPermission,
};
use wire::{Limits, Step};
use wire::{ParseError, Verb, client, leaf};

#[test]
fn bare_connect_has_the_defaults_of_nats_server() {
    let options = ConnectOptions::parse(b"{}").unwrap();
    assert_eq!(options, ConnectOptions::default());
    assert!(options.verbose && options.pedantic && options.echo);
    assert!(!options.headers && !options.no_responders && !options.tls_required);
    assert_eq!(options.protocol, 0);
}

#[test]
fn connect_of_a_real_client() {
    let options = ConnectOptions::parse(
        br#"{"verbose":false,"pedantic":false,"tls_required":true,"name":"worker","lang":"go","version":"1.47.0",
            "protocol":1,"echo":false,"headers":true,"no_responders":true,"user":"u","pass":"p","something_new":{"a":[1]}}"#,
    )
    .unwrap();
    assert!(!options.verbose && !options.pedantic && !options.echo);
    assert!(options.headers && options.no_responders && options.tls_required);
    assert_eq!(options.protocol, 1);
    assert_eq!((options.name.as_deref(), options.lang.as_deref()), (Some("worker"), Some("go")));
    assert_eq!((options.user.as_deref(), options.pass.as_deref()), (Some("u"), Some("p")));
}

#[test]
fn null_and_empty_mean_unset() {
    let options = ConnectOptions::parse(
        br#"{"verbose":null,"headers":null,"protocol":null,"user":null,"pass":"","jwt":""}"#,
    );
    assert_eq!(options.unwrap(), ConnectOptions::default());
    let connect = LeafConnect::parse(br#"{"deny_pub":null,"name":"","headers":null,"gatehouse":null}"#);
    assert_eq!(connect.unwrap(), LeafConnect::default());
    let info = LeafInfo::parse(br#"{"leafnode_urls":null,"import":{"allow":null}}"#).unwrap();
    assert_eq!(info.import, Some(SubjectPermission::default()));
}

#[test]
fn errors_name_a_place_and_no_value() {
    let cases: [&[u8]; 9] = [
        b"",
        b"[]",
        b"null",
        b"{\"pass\":5}",
        b"{\"verbose\":\"hunter2\"}",
        b"{\"user\":\"a\",\"user\":\"b\"}",
        b"{\"pass\":\"hunter2\"",
        b"{} {}",
        b"{\"pass\":\"\xff\"}",
    ];
    for json in cases {
        let error = ConnectOptions::parse(json).unwrap_err();
        assert!(matches!(error, ParseError::InvalidJson { verb: Verb::Connect, .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
    let deep = "[".repeat(4000);
    assert!(ConnectOptions::parse(format!("{{\"x\":{deep}").as_bytes()).is_err());
}

#[test]
fn debug_output_has_no_secrets() {
    let json = br#"{"user":"tok-secret","pass":"pw-secret","auth_token":"at-secret","jwt":"jwt-secret","sig":"sig-secret","nkey":"UABC"}"#;
    for debug in [
        format!("{:?}", ConnectOptions::parse(json).unwrap()),
        format!("{:?}", LeafConnect::parse(json).unwrap()),
    ] {
        assert!(!debug.contains("secret"), "{debug}");
        assert!(debug.contains("UABC") && debug.contains("redacted"), "{debug}");
    }
}

#[test]
fn server_info_leaves_out_what_is_unset() {
    let info = ServerInfo {
        server_id: "ID".into(),
        version: "2.14.5".into(),
        port: 4222,
        headers: true,
        ..Default::default()
    };
    assert_eq!(
        String::from_utf8(info.to_line()).unwrap(),
        "INFO {\"server_id\":\"ID\",\"server_name\":\"\",\"version\":\"2.14.5\",\"proto\":0,\"host\":\"\",\
         \"port\":4222,\"headers\":true,\"max_payload\":0}\r\n"
    );
}

/// The text of an INFO or CONNECT line goes through the parser and back into the value.
#[test]
fn lines_are_read_back() {
    let info = ServerInfo {
        connect_urls: vec!["a:1".into(), "b:2".into()],
        auth_required: true,
        nonce: Some("line\nbreak".into()),
        gatehouse: Some("0.1.0".into()),
        client_id: Some(u64::MAX),
        ldm: true,
        ..Default::default()
    };
    let line = info.to_line();
    let Ok(Step::Frame(client::Op::Info(json), len)) = client::parse(&line, &Limits::default()) else {
        panic!("no INFO")
    };
    assert_eq!((ServerInfo::parse(json), len), (Ok(info), line.len()));

    let options =
        ConnectOptions { pass: Some("p\"\r\n".into()), echo: false, protocol: 1, ..Default::default() };
    let line = options.to_line();
    let Ok(Step::Frame(client::Op::Connect(json), _)) = client::parse(&line, &Limits::default()) else {
        panic!("no CONNECT")
    };
    assert_eq!(ConnectOptions::parse(json), Ok(options));

    let extension = Extension {
        version: "0.1.0".into(),
        epoch: Some(7),
        features: vec![Extension::INTEREST.into()],
        interest: Some(InterestSum { epoch: 2, count: 5, sum: "0badcafe".into() }),
        retelling: Some(3),
        retell: true,
        account: Some("ACC".into()),
        sums: true,
    };
    let info = LeafInfo {
        import: Some(SubjectPermission { allow: vec!["a.>".into()], deny: vec![] }),
        leafnode_urls: vec!["h:7422".into()],
        info_on_connect: true,
        gatehouse: Some(extension.clone()),
        ..Default::default()
    };
    let line = info.to_line();
    let Ok(Step::Frame(leaf::Op::Info(json), _)) = leaf::parse(&line, &Limits::default()) else {
        panic!("no INFO")
    };
    assert_eq!(LeafInfo::parse(json), Ok(info));

    let connect = LeafConnect {
        server_id: Some("S".into()),
        deny_pub: vec!["x.>".into()],
        headers: true,
        gatehouse: Some(extension),
        ..Default::default()
    };
    let line = connect.to_line();
    let Ok(Step::Frame(leaf::Op::Connect(json), _)) = leaf::parse(&line, &Limits::default()) else {
        panic!("no CONNECT")
    };
    assert_eq!(LeafConnect::parse(json), Ok(connect));
}

/// As a stock hub of 2.14 sends it first, with keys we do not know.
#[test]
fn leaf_info_of_a_stock_hub() {
    let info = LeafInfo::parse(
        br#"{"server_id":"NA","server_name":"hub","version":"2.14.5","proto":3,"git_commit":"abc","go":"go1.26.1",
        "host":"0.0.0.0","port":7422,"headers":true,"auth_required":true,"max_payload":1048576,"jetstream":true,
        "client_id":5,"nonce":"n0nce","cluster":"hub","domain":"core","compression":"s2_auto","info_on_connect":true,
        "leafnode_urls":["10.0.0.1:7422"],"api_lvl":2,"lnocu":true,"xkey":"XA"}"#,
    )
    .unwrap();
    assert_eq!((info.proto, info.client_id, info.info_on_connect), (3, Some(5), true));
    assert_eq!(info.leafnode_urls, ["10.0.0.1:7422"]);
    assert_eq!((info.domain.as_deref(), info.compression.as_deref()), (Some("core"), Some("s2_auto")));
    assert_eq!(info.gatehouse, None);
}
