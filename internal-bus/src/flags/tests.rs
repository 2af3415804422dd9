//! The command line in tables.

use super::*;
use crate::natsconf::NatsConf;

fn read(line: &[&str]) -> Result<Flags, FlagError> {
    parse(line.iter().map(OsString::from))
}

#[track_caller]
fn good(line: &[&str]) -> Flags {
    match read(line) {
        Ok(flags) => flags,
        Err(error) => panic!("{line:?}: {error}"),
    }
}

fn with(change: impl FnOnce(&mut Flags)) -> Flags {
    let mut flags = Flags::default();
    change(&mut flags);
    flags
}

#[test]
fn every_spelling_sets_the_same() {
    let four = |short: &str, value: &str| {
        [
            vec![format!("-{short}"), value.to_owned()],
            vec![format!("--{short}"), value.to_owned()],
            vec![format!("-{short}={value}")],
            vec![format!("--{short}={value}")],
        ]
    };
    let table: [(&[&str], &str, Flags); 16] = [
        (&["c", "config"], "a.toml", with(|f| f.config = Some(ConfigFile::Toml("a.toml".into())))),
        (
            &["c", "config"],
            "/etc/nats.conf",
            with(|f| f.config = Some(ConfigFile::Nats("/etc/nats.conf".into()))),
        ),
        (&["a", "addr", "net"], "h", with(|f| f.host = Some("h".into()))),
        (&["p", "port"], "4333", with(|f| f.port = Some(Port::Number(4333)))),
        (&["p", "port"], "-1", with(|f| f.port = Some(Port::Any))),
        (&["n", "name", "server_name"], "s", with(|f| f.server_name = Some("s".into()))),
        (&["m", "http_port"], "8222", with(|f| f.http_port = Some(Port::Number(8222)))),
        (&["l", "log"], "/l", with(|f| f.log_file = Some("/l".into()))),
        (&["P", "pid"], "/p", with(|f| f.pid_file = Some("/p".into()))),
        (&["ports_file_dir"], "/d", with(|f| f.ports_file_dir = Some("/d".into()))),
        (&["sd", "store_dir"], "/s", with(|f| f.store_dir = Some("/s".into()))),
        (&["user"], "u", with(|f| f.user = Some("u".into()))),
        (&["auth"], "a=b=", with(|f| f.token = Some(Secret::new("a=b=")))),
        (&["client_advertise"], "h:1", with(|f| f.client_advertise = Some("h:1".into()))),
        (&["log_size_limit"], "10", with(|f| f.log_size_limit = Some(10))),
        (&["max_traced_msg_len"], "10", with(|f| f.max_traced_msg_len = Some(10))),
    ];
    for (names, value, expected) in table {
        for line in names.iter().flat_map(|name| four(name, value)) {
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            assert_eq!(good(&line), expected, "{line:?}");
        }
    }
}

#[test]
fn switches() {
    let table: [(&[&str], Flags); 12] = [
        (&["-js"], with(|f| f.jetstream = Some(true))),
        (&["--jetstream=false"], with(|f| f.jetstream = Some(false))),
        (&["-D"], with(|f| f.debug = Some(true))),
        (&["--trace"], with(|f| f.trace = Some(true))),
        (&["-DV"], with(|f| (f.debug, f.trace) = (Some(true), Some(true)))),
        (&["-DV=false"], with(|f| (f.debug, f.trace) = (Some(false), Some(false)))),
        (&["-VV"], with(|f| (f.trace, f.trace_verbose) = (Some(true), Some(true)))),
        (&["-T=0", "-logtime_utc"], with(|f| (f.logtime, f.logtime_utc) = (Some(false), Some(true)))),
        (&["--ignore-unsupported"], with(|f| f.ignore_unsupported = true)),
        (
            &["-c", "x", "-t"],
            with(|f| {
                f.config = Some(ConfigFile::Nats("x".into()));
                f.action = Action::TestConfig;
            }),
        ),
        (
            &["--user", "u", "--pass", "p"],
            with(|f| {
                f.user = Some("u".into());
                f.password = Some(Secret::new("p"));
            }),
        ),
        (
            &["--port", "1", "--", "version"],
            with(|f| {
                f.port = Some(Port::Number(1));
                f.action = Action::Version;
            }),
        ),
    ];
    for (line, expected) in table {
        assert_eq!(good(line), expected, "{line:?}");
    }
    let flags = good(&["-DVV"]);
    assert_eq!((flags.debug, flags.trace, flags.trace_verbose), (Some(true), Some(true), Some(true)));
}

#[test]
fn what_to_do() {
    assert_eq!(good(&[]).action, Action::Run);
    for line in
        [&["-h"][..], &["--help"], &["-help"], &["help"], &["-help_tls"], &["-v", "-h"], &["-h", "-v"]]
    {
        assert_eq!(good(line).action, Action::Help, "{line:?}");
    }
    for line in [&["-v"][..], &["--version"], &["VERSION"], &["-p", "1", "version"]] {
        assert_eq!(good(line).action, Action::Version, "{line:?}");
    }
    let signal = |line: &[&str]| match good(line).action {
        Action::Signal(request) => (request.signal, request.receiver),
        other => panic!("{other:?}"),
    };
    assert_eq!(signal(&["--signal", "ldm=123"]), (ControlSignal::LameDuck, Some("123".into())));
    assert_eq!(signal(&["--signal=reload"]), (ControlSignal::Reload, None));
    assert_eq!(signal(&["-sl=stop=/run/x.pid"]), (ControlSignal::Stop, Some("/run/x.pid".into())));
}

#[test]
fn a_signal_finds_its_process() {
    let id = |receiver: Option<&str>| {
        let receiver = receiver.map(ToOwned::to_owned);
        SignalRequest { signal: ControlSignal::Term, receiver }.process_id()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let path = file.to_str().unwrap();
    assert_eq!(id(None), Ok(None));
    assert_eq!(id(Some("12")), Ok(Some(12)));
    std::fs::write(&file, "4321\n").unwrap();
    assert_eq!(id(Some(path)), Ok(Some(4321)));
    std::fs::write(&file, "-1").unwrap();
    assert_eq!(id(Some(path)), Err(format!("{path} holds no process id")));
    for bad in ["0", "-5", "x", "/nowhere/pid"] {
        assert_eq!(id(Some(bad)), Err(format!("`{bad}` is neither a process id nor a readable pid file")));
    }
}

#[test]
fn clusters_and_syslog_are_noticed_and_ignored() {
    let flags = good(&[
        "--cluster_name",
        "c",
        "--cluster=nats://h:1",
        "--routes",
        "nats://u:hunter2@h:2",
        "-s",
        "-s=false",
        "--profile",
        "1",
    ]);
    assert_eq!(
        flags.notices,
        [
            "clustering is not supported: the options that ask for it are ignored",
            "logging to syslog is not supported: the options that ask for it are ignored",
            "profiling over HTTP is not supported: the options that ask for it are ignored",
        ]
    );
    assert!(good(&["--no_advertise=false"]).notices.is_empty());
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let table: [(&[&str], &str); 18] = [
        (&["--nonsense"], "unknown option `--nonsense`; see --help"),
        (&["-d"], "unknown option `-d`; see --help"),
        (&["---p", "1"], "unknown option `---p`; see --help"),
        (&["--=x"], "unknown option `--`; see --help"),
        (&["4222"], "unexpected argument `4222`; options start with a dash, see --help"),
        (&["-js", "true"], "unexpected argument `true`; options start with a dash, see --help"),
        (&["-"], "unexpected argument `-`; options start with a dash, see --help"),
        (&["version", "-p"], "unexpected argument `-p`; options start with a dash, see --help"),
        (&["-p"], "option `-p` needs a value: a port, or -1 for any free one"),
        (&["--port", "x"], "option `--port`: expected a port, or -1 for any free one, found `x`"),
        (&["--port=70000"], "option `--port`: expected a port from 1 to 65535, or -1 for any free one"),
        (&["-js=maybe"], "option `-js`: expected true or false, found `maybe`"),
        (&["-c="], "option `-c`: the name is empty"),
        (&["-n", "a b"], "option `-n`: a server name can't hold spaces"),
        (
            &["--signal", "dance"],
            "option `--signal`: expected ldm, stop, quit, term, reopen or reload, found `dance`",
        ),
        (&["-t"], "option `-t` tests a configuration file: name it with `--config`"),
        (&["--tls"], "TLS needs both `--tlscert` and `--tlskey`"),
        (&["--user", "u", "--auth", "t"], "use either `--auth` or `--user` and `--pass`"),
    ];
    for (line, expected) in table {
        assert_eq!(read(line).unwrap_err().to_string(), expected, "{line:?}");
    }
}

#[test]
fn options_come_before_the_configuration() {
    let text =
        "port: 1\nhost: h\nauthorization { token: t }\ntls { cert_file: c, key_file: k }\nstore_dir: '/a'";
    let (conf, _) = crate::natsconf::parse_text("t.conf", text, &|_| None, false).unwrap();
    let applied = |line: &[&str]| {
        let mut conf = conf.clone();
        good(line).apply_to(&mut conf);
        conf
    };
    assert_eq!(applied(&[]), conf);
    let changed = applied(&["-p", "-1", "-js", "-m", "2", "--user", "u", "--pass", "p", "-DV"]);
    assert_eq!((changed.port, changed.host.as_deref()), (Some(Port::Any), Some("h")));
    assert_eq!(
        (changed.http_port, changed.debug, changed.trace),
        (Some(Port::Number(2)), Some(true), Some(true))
    );
    let auth = changed.authorization.unwrap();
    assert_eq!((auth.user.as_deref(), auth.token), (Some("u"), None));
    let jetstream = changed.jetstream.unwrap();
    assert_eq!((jetstream.enabled, jetstream.store_dir), (true, Some("/a".into())));
    assert_eq!(applied(&["-tls=false"]).tls, None);
    let tls = applied(&["--tlsverify", "--tlscert", "x", "--tlskey", "y", "--tlscacert", "z"]).tls.unwrap();
    assert_eq!((tls.verify, tls.ca_file), (true, Some("z".into())));
    let mut empty = NatsConf::default();
    good(&["--auth", "t", "-sd", "/s"]).apply_to(&mut empty);
    assert_eq!(empty.authorization.unwrap().token.as_ref().map(Secret::expose), Some("t"));
    assert_eq!(empty.jetstream.map(|js| js.enabled), Some(false));
}

#[test]
fn the_help_names_every_option_and_fits_the_terminal() {
    for option in OPTIONS {
        for name in option.names.iter().filter(|name| !["ignore_unsupported", "help_tls"].contains(name)) {
            assert!(
                help_text()
                    .split([' ', ',', '=', '\n', '(', ')', '['])
                    .any(|word| word.trim_start_matches('-') == *name),
                "{name}"
            );
        }
    }
    assert!(help_text().lines().all(|line| line.chars().count() <= 100));
}

proptest::proptest! {
    #[test]
    fn no_command_line_panics(line in proptest::collection::vec("(-{0,3}(p|port|c|js|tls|signal|DV|x)=?)?(1|-1|ldm|=|é| )?", 0..6)) {
        if let Err(error) = parse(line.into_iter().map(OsString::from)) {
            proptest::prop_assert!(!error.to_string().contains('\n'));
        }
    }
}
