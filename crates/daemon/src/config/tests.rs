//! Tables of configurations and what is said about them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
struct Config {
    service: Service,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Log>,
    routes: Vec<Route>,
    limits: BTreeMap<String, u32>,
    bindings: Vec<Binding>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default)]
struct Service {
    host: String,
    port: u16,
    backlog: i64,
    ratio: f64,
    plaintext: bool,
    max_payload: Size,
    timeout: Period,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            host: "0.0.0.0".to_owned(),
            port: 4222,
            backlog: 0,
            ratio: 0.5,
            plaintext: false,
            max_payload: Size::mib(1),
            timeout: Period::secs(2),
        }
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Log {
    format: Format,
    level: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Route {
    subject: String,
    direction: Direction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Inward,
    Outward,
    Both,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Binding {
    role: String,
    when: BTreeMap<String, Condition>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Condition {
    Contains(String),
    Range { low: i32, high: i32 },
    Present,
}

fn document(text: &str, env: &[(&str, &str)]) -> Result<Document, ConfigErrors> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Document::parse("g.toml", text, env)
}

fn decode(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    document(text, env).and_then(|document| document.decode()).map_err(|errors| errors.to_string())
}

/// Name, text, and a part of each line told about it, in order.
const WRONG: &[(&str, &str, &[&str])] = &[
    ("syntax alone", "[service]\nport = \n[nonsense]\nx = 1\n", &["g.toml:2:8: "]),
    ("duplicate key", "[service]\nport = 1\nport = 2\n", &["g.toml:3:1: duplicate key"]),
    (
        "unknown section",
        "[servise]\nport = 1\n",
        &["g.toml:1:2: servise: unknown key; did you mean `service`?"],
    ),
    (
        "unknown key, far from any",
        "[log]\nformat = 'text'\nlevel = 'info'\ncolour = true\n",
        &["g.toml:4:1: log.colour: unknown key; expected one of `format`, `level`, `file`"],
    ),
    (
        "every unknown key",
        "a1 = 1\n[service]\nprot = 1\n\n[[routes]]\nsubject = 'a'\ndirection = 'both'\nfrom = 'b'\n",
        &[
            "g.toml:1:1: a1: unknown key; expected one of ",
            "g.toml:3:1: service.prot: unknown key; did you mean `port`?",
            "g.toml:8:1: routes[0].from: unknown key; expected one of `subject`, `direction`, `to`",
        ],
    ),
    (
        "type: integer",
        "[service]\n  port = 'http'\n",
        &["g.toml:2:3: service.port: expected an integer from 0 to 65535, found a string"],
    ),
    (
        "range",
        "[service]\nport = 70_000\n",
        &["g.toml:2:1: service.port: expected an integer from 0 to 65535, found 70000"],
    ),
    (
        "type: boolean",
        "service.plaintext = 1\n",
        &["g.toml:1:9: service.plaintext: expected true or false, found an integer"],
    ),
    (
        "type: string",
        "[service]\nhost = 4\n",
        &["g.toml:2:1: service.host: expected a string, found an integer"],
    ),
    (
        "type: date",
        "[service]\nhost = 2026-01-01\n",
        &["g.toml:2:1: service.host: expected a string, found a date"],
    ),
    (
        "type: number",
        "[service]\nratio = 'x'\n",
        &["g.toml:2:1: service.ratio: expected a number, found a string"],
    ),
    ("type: table", "service = 4\n", &["g.toml:1:1: service: expected a table, found an integer"]),
    ("type: array", "routes = 'a'\n", &["g.toml:1:1: routes: expected an array, found a string"]),
    (
        "size",
        "[service]\nmax_payload = '1 Mb'\n",
        &["g.toml:2:1: service.max_payload: expected a size such as \"64 KiB\""],
    ),
    ("size, type", "[service]\nmax_payload = true\n", &["found a boolean"]),
    (
        "period",
        "[service]\ntimeout = 5\n",
        &["g.toml:2:1: service.timeout: expected a duration with its unit such as"],
    ),
    (
        "choice",
        "[log]\nformat = 'xml'\nlevel = 'info'\n",
        &["g.toml:2:1: log.format: expected one of `text`, `json`, found `xml`"],
    ),
    (
        "choice, type",
        "[log]\nformat = 5\nlevel = ''\n",
        &["g.toml:2:1: log.format: expected one of `text`, `json`, found an integer"],
    ),
    ("missing key", "\n[log]\nformat = 'text'\n", &["g.toml:2:2: log.level: required key is missing"]),
    (
        "missing in an array of tables",
        "[[routes]]\nsubject = 'a'\ndirection = 'both'\n[[routes]]\nsubject = 'b'\n",
        &["g.toml:4:1: routes[1].direction: required key is missing"],
    ),
    (
        "several errors in a table",
        "[service]\nport = 'a'\nhost = 4\n[log]\nformat = 'xml'\nlevel = 4\n[[routes]]\nsubject = 1\n",
        &[
            "g.toml:2:1: service.port: ",
            "g.toml:3:1: service.host: ",
            "g.toml:5:1: log.format: ",
            "g.toml:6:1: log.level: ",
            "g.toml:8:1: routes[0].subject: ",
        ],
    ),
    (
        "what follows from an error is not told",
        "[log]\nformat = 'text'\nlevel = 4\n",
        &["g.toml:3:1: log.level: expected a string, found an integer"],
    ),
    (
        "free keys",
        "[limits]\na = 1\nb = 'x'\n",
        &["g.toml:3:1: limits.b: expected an integer from 0 to 4294967295, found a string"],
    ),
    (
        "condition",
        "[[bindings]]\nrole = 'r'\nwhen = { 'claims.groups' = { contians = 'p' } }\n",
        &[
            "g.toml:3:10: bindings[0].when.\"claims.groups\": expected one of `contains`, `range`, `present`, found `contians`",
        ],
    ),
    (
        "two conditions",
        "[[bindings]]\nrole = 'r'\nwhen = { x = { contains = 'p', range = 1 } }\n",
        &[
            "g.toml:3:10: bindings[0].when.x: expected a table with exactly one of `contains`, `range`, `present`",
        ],
    ),
    (
        "inside a condition",
        "[[bindings]]\nrole = 'r'\nwhen = { x = { range = { low = 'a', high = 2 } } }\n",
        &[
            "g.toml:3:26: bindings[0].when.x.range.low: expected an integer from -2147483648 to 2147483647, found a string",
        ],
    ),
    ("columns are characters", "limits = { 'ä' = 1, b = 'x' }\n", &["g.toml:1:21: limits.b: "]),
    ("beyond 64 bits", "[service]\nbacklog = 99999999999999999999\n", &["g.toml:2:11: "]),
];

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (name, text, expected) in WRONG {
        let told = decode(text, &[]).expect_err(name);
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{name}:\n{told}");
        for (line, part) in lines.iter().zip(*expected) {
            assert!(line.contains(part), "{name}:\n  told     {line}\n  expected {part}");
        }
    }
}

#[test]
fn a_full_file_is_read() {
    let text = "limits = { a = 0xff, b = 1_000 }\n[service]\nport = 1\nmax_payload = '64 KiB'\ntimeout = '150ms'\nratio = 2\n\
                [log]\nformat = 'json'\nlevel = 'debug'\nfile = 'x.log'\n[[routes]]\nsubject = 'orders.>'\ndirection = 'inward'\n\
                [[bindings]]\nrole = 'r'\nwhen = { 'claims.g' = { contains = 'p' }, x = 'present', y = { range = { low = 1, high = 2 } } }\n";
    let config = decode(text, &[]).unwrap();
    assert_eq!(config.limits, BTreeMap::from([("a".to_owned(), 255), ("b".to_owned(), 1_000)]));
    assert_eq!(config.service.max_payload, Size::kib(64));
    assert_eq!(config.service.timeout, Period::millis(150));
    assert_eq!(config.log.as_ref().unwrap().format, Format::Json);
    assert_eq!(config.routes[0].direction, Direction::Inward);
    assert_eq!(config.bindings[0].when["claims.g"], Condition::Contains("p".to_owned()));
    assert_eq!(config.bindings[0].when["x"], Condition::Present);
    assert_eq!(config.bindings[0].when["y"], Condition::Range { low: 1, high: 2 });
    let printed = render(&config).unwrap();
    assert_eq!(decode(&printed, &[]).unwrap(), config, "{printed}");
}

#[test]
fn the_environment_overrides() {
    let text = "[service]\nport = 1\n[[routes]]\nsubject = 'a'\ndirection = 'both'\n";
    let config = decode(
        text,
        &[
            ("GATEHOUSE_SERVICE__PORT", "99"),
            ("GATEHOUSE_SERVICE__HOST", "4222"),
            ("GATEHOUSE_SERVICE__MAX_PAYLOAD", "2 MiB"),
            ("GATEHOUSE_LOG__LEVEL", "info,broker=debug"),
            ("GATEHOUSE_LOG__FORMAT", "json"),
            ("GATEHOUSE_ROUTES__0__SUBJECT", "b"),
            ("GATEHOUSE_ROUTES__1__SUBJECT", "c"),
            ("GATEHOUSE_ROUTES__1__DIRECTION", "inward"),
            ("GATEHOUSE_BINDINGS__0__ROLE", "r"),
            ("GATEHOUSE_BINDINGS__0__WHEN", "{ x = { contains = 'p' } }"),
            ("GATEHOUSE_LIMITS__A", "3"),
            ("HOME", "/"),
        ],
    )
    .unwrap();
    assert_eq!((config.service.port, config.service.host.as_str()), (99, "4222"));
    assert_eq!(config.service.max_payload, Size::mib(2));
    assert_eq!(config.log.unwrap().level, "info,broker=debug");
    assert_eq!(config.routes.iter().map(|route| route.subject.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(config.bindings[0].when["x"], Condition::Contains("p".to_owned()));
    assert_eq!(config.limits["a"], 3);
}

#[test]
fn a_wrong_override_is_told_by_its_name() {
    let table: &[(&str, &str, &str)] = &[
        (
            "GATEHOUSE_SERVICE__PROT",
            "1",
            "GATEHOUSE_SERVICE__PROT: service.prot: unknown key; did you mean `port`?",
        ),
        (
            "GATEHOUSE_SERVISE__PORT",
            "1",
            "GATEHOUSE_SERVISE__PORT: servise: unknown key; did you mean `service`?",
        ),
        (
            "GATEHOUSE_SERVICE__PORT",
            "secret",
            "GATEHOUSE_SERVICE__PORT: service.port: expected an integer from 0 to 65535, found a string",
        ),
        (
            "GATEHOUSE_SERVICE__PORT__X",
            "1",
            "GATEHOUSE_SERVICE__PORT__X: service.port: expected a table to set `x` in, found an integer",
        ),
        (
            "GATEHOUSE_ROUTES__7__SUBJECT",
            "1",
            "GATEHOUSE_ROUTES__7__SUBJECT: routes: expected a position from 0 to 0 in this array, found `7`",
        ),
        (
            "GATEHOUSE_ROUTES__0__SUBJECT",
            "a",
            "GATEHOUSE_ROUTES__0__SUBJECT: routes[0].direction: required key is missing",
        ),
        (
            "GATEHOUSE_SERVICE____PORT",
            "1",
            "GATEHOUSE_SERVICE____PORT: expected names joined by two underscores",
        ),
    ];
    for (name, value, expected) in table {
        let told = decode("[service]\nport = 1\n", &[(name, value)]).expect_err(name);
        assert!(told.starts_with(expected) && told.lines().count() == 1, "{name}: {told}");
    }
}

#[test]
fn checks_beyond_types_have_lines_too() {
    let text = "[service]\nport = 1\n\n[[routes]]\nsubject = 'a b'\ndirection = 'both'\n";
    let told = document(text, &[("GATEHOUSE_SERVICE__HOST", "x")])
        .unwrap()
        .decode_checked(|config: &Config, problems| {
            assert_eq!(config.routes.len(), 1);
            problems.at("service.host", "expected an address");
            problems.at("routes[0].subject", "expected a subject without spaces");
            problems.at("service.timeout", "expected more\nthan that");
            problems.at("log.level", "expected a level");
        })
        .unwrap_err();
    let lines: Vec<_> = told.to_string().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "g.toml:1:2: service.timeout: expected more than that",
            "g.toml:5:1: routes[0].subject: expected a subject without spaces",
            "GATEHOUSE_SERVICE__HOST: service.host: expected an address",
            "g.toml: log.level: expected a level",
        ]
    );
}

#[test]
fn a_file_that_is_none_gives_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.toml");
    let told = load::<Config>(&path, std::iter::empty()).unwrap_err().to_string();
    assert!(told.starts_with(&format!("{}: cannot read: ", path.display())), "{told}");
    assert_eq!(told.lines().count(), 1);

    std::fs::write(&path, [0xff, 0xfe, 0]).unwrap();
    let told = load::<Config>(&path, std::iter::empty()).unwrap_err().to_string();
    assert_eq!(told, format!("{}: not UTF-8 text", path.display()));

    std::fs::write(&path, "[service]\nport = 5\n").unwrap();
    let config: Config = load_checked(&path, std::iter::empty(), |_, _| {}).unwrap();
    assert_eq!(config.service.port, 5);
    let told = load::<Config>(folder.path(), std::iter::empty()).unwrap_err().to_string();
    assert!(told.contains("cannot read: "), "{told}");
}

#[test]
fn many_errors_end() {
    use std::fmt::Write as _;
    let mut text = String::from("[limits]\n");
    for n in 0..500 {
        writeln!(text, "k{n} = 'x'").unwrap();
    }
    let told = decode(&text, &[]).unwrap_err();
    assert!((1..=65).contains(&told.lines().count()), "{}", told.lines().count());
}
