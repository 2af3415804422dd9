//! The language: what a text means, before the settings are looked at.

use std::fmt::Write as _;

use super::super::parser::{read_file, read_text};
use super::super::value::{Kind, Map, Value};
use super::*;

/// A value in one line, so that tables can be compared.
fn show(value: &Value) -> String {
    match &value.kind {
        Kind::Text(text) => format!("{text:?}"),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => format!("{number:?}f"),
        Kind::Boolean(truth) => truth.to_string(),
        Kind::DateTime(text) => format!("@{text}"),
        Kind::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Kind::Map(map) => format!("{{{}}}", show_map(map)),
    }
}

fn show_map(map: &Map) -> String {
    let mut out = String::new();
    for entry in map.entries() {
        let gap = if out.is_empty() { "" } else { " " };
        write!(out, "{gap}{}={}", entry.key, show(&entry.value)).unwrap();
    }
    out
}

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "HOST" => "example.com",
        "PORT" => "4333",
        "SIZE" => "2kb",
        "QUOTED" => "'a b; c'",
        "LIST" => "[1, two]",
        "INDIRECT" => "$PORT",
        "LOOP" => "$LOOP",
        "EMPTY" => "",
        "SPACED" => "a b",
        "BROKEN" => "'abc",
        "HASH" => "$2a$11$abcdef",
        _ => return None,
    };
    Some(value.to_owned())
}

#[track_caller]
fn check(text: &str, expected: &str) {
    match read_text("t.conf", text, &environment) {
        Ok(map) => assert_eq!(show_map(&map), expected, "{text:?}"),
        Err(error) => panic!("refused: {error}\n{text}"),
    }
}

#[test]
fn values_of_every_kind() {
    let table = [
        ("", ""),
        ("# only a comment", ""),
        ("a: 1", "a=1"),
        ("a = 1", "a=1"),
        ("a 1", "a=1"),
        ("a:1", "a=1"),
        ("\u{feff}a 1", "a=1"),
        ("a: -1", "a=-1"),
        ("a: 9223372036854775807", "a=9223372036854775807"),
        ("a: 1.5", "a=1.5f"),
        ("a: -1.5", "a=-1.5f"),
        ("a: true; b: YES; c: On; d: false; e: no; f: OFF", "a=true b=true c=true d=false e=false f=false"),
        ("a: 2016-05-04T18:53:41Z", "a=@2016-05-04T18:53:41Z"),
        ("a: word", "a=\"word\""),
        ("a: nats://u:p@h:1/x#y", "a=\"nats://u:p@h:1/x#y\""),
        ("a: 'single \\n $HOST'", "a=\"single \\\\n $HOST\""),
        (r#"a: "x\ty\nz\r\"\\\x41\xc3\xa9""#, "a=\"x\\ty\\nz\\r\\\"\\\\Aé\""),
        ("a: \"two\nlines\"", "a=\"two\\nlines\""),
        (r"a: x\ty\x41", "a=\"x\\tyA\""),
        ("a: \"$HOST\"", "a=\"$HOST\""),
        ("a: ''", "a=\"\""),
        ("a: []", "a=[]"),
        ("a: {}", "a={}"),
        ("a {}", "a={}"),
        ("a\n{\n}", "a={}"),
        ("include: x", "include=\"x\""),
    ];
    for (text, expected) in table {
        check(text, expected);
    }
}

#[test]
fn numbers_with_suffixes_and_words_that_begin_with_a_digit() {
    let table = [
        ("1k", "1000"),
        ("1kb", "1024"),
        ("1K", "1000"),
        ("1Ki", "1024"),
        ("1KiB", "1024"),
        ("2m", "2000000"),
        ("2MB", "2097152"),
        ("3g", "3000000000"),
        ("3gib", "3221225472"),
        ("1t", "1000000000000"),
        ("1TB", "1099511627776"),
        ("1pb", "1125899906842624"),
        ("1eb", "1152921504606846976"),
        ("-2k", "-2000"),
        ("10s", "\"10s\""),
        ("5ms", "\"5ms\""),
        ("1h30m", "\"1h30m\""),
        ("1m30s", "\"1m30s\""),
        ("1e5", "\"1e5\""),
        ("1kb2", "\"1kb2\""),
        ("127.0.0.1", "\"127.0.0.1\""),
        ("127.0.0.1:4222", "\"127.0.0.1:4222\""),
        ("0.0.0.0:-1", "\"0.0.0.0:-1\""),
        ("4222/tcp", "\"4222/tcp\""),
        ("5#x", "\"5#x\""),
        ("1a-b", "\"1a-b\""),
    ];
    for (word, expected) in table {
        check(&format!("a: {word}"), &format!("a={expected}"));
        check(&format!("a: [{word}]"), &format!("a=[{expected}]"));
        check(&format!("m {{a: {word}}}"), &format!("m={{a={expected}}}"));
    }
}

#[test]
fn maps_and_lists_take_many_forms() {
    let table = [
        ("a {b: 1, c: 2}", "a={b=1 c=2}"),
        ("a {b 1; c 2;}", "a={b=1 c=2}"),
        ("a {\n b = 1 # x\n // y\n c = 2\n}", "a={b=1 c=2}"),
        ("a {b:\n 1\n}", "a={b=1}"),
        ("a [1, 2]", "a=[1 2]"),
        ("a [\n1 # one\n2 // two\n 'three'\n]", "a=[1 2 \"three\"]"),
        ("a [1,2,]", "a=[1 2]"),
        ("a [{b: 1}, {b: 2}]", "a=[{b=1} {b=2}]"),
        ("a [{b: 1}\n{b: 2}\n]", "a=[{b=1} {b=2}]"),
        ("a [x,y]\nb [[1],[2]]", "a=[\"x\" \"y\"] b=[[1] [2]]"),
        ("{\"a\": 1, \"b\": [true, null], 'c d': {}}", "a=1 b=[true \"null\"] c d={}"),
        ("{ a: 1\n b: 2 }\nc: 3", "a=1 b=2 c=3"),
        ("a: 1, b: 2; c: 3", "a=1 b=2 c=3"),
        ("a: 1\r\nb: 2\r\n", "a=1 b=2"),
        ("a: 1 }", "a=1"),
        ("a: 1\n}\n # end", "a=1"),
        ("a {b: 1}, c: 2", "a={b=1} c=2"),
    ];
    for (text, expected) in table {
        check(text, expected);
    }
}

#[test]
fn of_a_key_given_twice_the_last_counts() {
    check("a: 1\nb: 2\na: 3", "a=3 b=2");
    check("a: 1\nA: 2", "a=1 A=2");
    check("m {x: 1, x: 2}", "m={x=2}");
}

#[test]
fn text_in_parentheses_ends_with_a_parenthesis_on_its_own_line() {
    check("a: (\none (1)\n) two\n)\nb: 1", "a=\"\\none (1)\\n) two\\n\" b=1");
    check("a: (\r\nx\r\n)\r\nb: 1", "a=\"\\r\\nx\\r\\n\" b=1");
    check("a: (\nx\n)", "a=\"\\nx\\n\"");
    check("m {\na (\nx\n)\n}", "m={a=\"\\nx\\n\"}");
}

#[test]
fn variables_are_looked_up_outward_then_in_the_environment() {
    let table = [
        ("x: 5\na: $x", "x=5 a=5"),
        ("x: 5\nm { x: 6, a: $x }\nb: $x", "x=5 m={x=6 a=6} b=5"),
        ("x: 5\nm { l: [$x, {y: $x}] }", "x=5 m={l=[5 {y=5}]}"),
        ("x {y: 1}\na $x", "x={y=1} a={y=1}"),
        ("HOST: inner\na: $HOST", "HOST=\"inner\" a=\"inner\""),
        ("a: $HOST", "a=\"example.com\""),
        ("a: $PORT", "a=4333"),
        ("a: $SIZE", "a=2048"),
        ("a: $QUOTED", "a=\"a b; c\""),
        ("a: $LIST", "a=[1 \"two\"]"),
        ("a: $INDIRECT", "a=4333"),
        ("a: $HASH", "a=\"$2a$11$abcdef\""),
        ("a: $2a$11$abc", "a=\"$2a$11$abc\""),
        ("a: $2y$05$abc", "a=\"$2y$05$abc\""),
    ];
    for (text, expected) in table {
        check(text, expected);
    }
}

#[test]
fn what_violates_the_language_is_reported_where_it_stands() {
    let table = [
        ("a", "1:2: `a` has no value; found the end of the file"),
        ("a:", "1:3: `a` has no value; found the end of the file"),
        ("a:\n 1", "1:3: the value of `a` must start on the line of its key"),
        (": 1", "1:1: expected a key, found `:`"),
        ("\"\": 1", "1:1: a key can't be empty"),
        ("a: 1 2", "1:6: expected a new line after the value, found `2`"),
        ("a: x y", "1:6: expected a new line after the value, found `y`"),
        ("a: 'x", "1:4: this quote is never closed"),
        ("\n a: \"x", "2:5: this quote is never closed"),
        ("a: \"x\\", "1:4: this quote is never closed"),
        ("'a: 1", "1:1: this quote is never closed"),
        ("a: \"\\q\"", "1:4: unknown escape; known are \\t \\n \\r \\\" \\\\ and \\xHH"),
        ("a: \"\\x4\"", "1:4: `\\x` needs two hexadecimal digits"),
        ("a: \"\\xff\"", "1:4: the `\\x` escapes do not make valid UTF-8"),
        ("a: don't", "1:4: a quote inside unquoted text; put the whole text in double quotes"),
        ("a: .5", "1:4: a number starts with a digit; put text in quotes"),
        ("a: -x", "1:4: expected a number after `-`; put text in quotes"),
        ("a: 1.", "1:4: a digit must follow the point of a number; put text in quotes"),
        ("a: 1.5s", "1:4: this is not a number; put text in quotes"),
        ("a: 1kbb", "1:4: this is not a number; put text in quotes"),
        ("a: 10.0.0.0/8", "1:4: this is not a number; put text in quotes"),
        ("a: 9223372036854775808", "1:4: this number is too big"),
        ("a: 10eb", "1:4: this number is too big"),
        ("a: 2016-05-04", "1:4: expected a date such as 2006-01-02T15:04:05Z; put text in quotes"),
        ("a: 12-3", "1:4: expected a date such as 2006-01-02T15:04:05Z; put text in quotes"),
        ("a: 2016-13-04T18:53:41Z", "1:4: there is no such date or time"),
        ("a {", "1:4: the `{` before this is never closed"),
        ("a {b: 1", "1:4: the `{` before this is never closed"),
        ("{ a: 1\n", "1:2: the `{` before this is never closed"),
        ("a [1", "1:4: the `[` before this is never closed"),
        ("a: (\nx", "1:4: this `(` needs a `)` on a line of its own"),
        ("a [1 2]", "1:6: expected `,`, a new line or `]` in a list, found `2`"),
        ("a [,1]", "1:4: expected a value or `]`, found `,`"),
        ("a {b: }", "1:7: `b` has no value; found `}`"),
        ("a {b: , c: 1}", "1:7: `b` has no value; found `,`"),
        ("a {b: 1 c: 2}", "1:9: expected a new line, `,` or `}` after the value, found `c`"),
        ("a{b: 1}", "1:1: `{` inside a key; put a space before it, or quote the key"),
        ("a: 1\n}\nb: 2", "2:1: this `}` closes nothing"),
        ("}\n}", "1:1: this `}` closes nothing"),
        ("é: $nope", "1:4: variable `nope` is defined neither above nor in the environment"),
        ("a: $b\nb: 1", "1:4: variable `b` is defined neither above nor in the environment"),
        ("m {x: 1}\na: $x", "2:4: variable `x` is defined neither above nor in the environment"),
        ("a: $", "1:4: `$` must be followed by the name of a variable"),
        (
            "a: $LOOP",
            "1:4: environment variable `LOOP` is not a value: environment variable `LOOP` refers to itself",
        ),
        ("a: $EMPTY", "1:4: environment variable `EMPTY` is not a value: it is empty"),
        (
            "a: $SPACED",
            "1:4: environment variable `SPACED` is not a value: unexpected `b` after it; put text in quotes",
        ),
        ("a: $BROKEN", "1:4: environment variable `BROKEN` is not a value: this quote is never closed"),
        ("a: x\0y", "1:5: a NUL character; is this a text file?"),
        ("m { include }", "1:13: `include` needs the name of a file"),
        ("include\n", "1:8: `include` needs the name of a file"),
    ];
    for (text, expected) in table {
        match read_text("t.conf", text, &environment) {
            Ok(map) => panic!("accepted {text:?}: {}", show_map(&map)),
            Err(error) => assert_eq!(error.to_string(), format!("t.conf:{expected}"), "{text:?}"),
        }
    }
}

#[test]
fn nothing_grows_without_bound() {
    let deep = format!("a {}1{}", "[".repeat(100), "]".repeat(100));
    let error = read_text("t.conf", &deep, &environment).unwrap_err();
    assert_eq!(error.to_string(), "t.conf:1:67: maps and lists are nested more than 64 deep");

    let mut doubling = "v0: [x, x]\n".to_owned();
    for level in 1..40 {
        let below = level - 1;
        writeln!(doubling, "v{level}: [$v{below}, $v{below}]").unwrap();
    }
    let error = read_text("t.conf", &doubling, &environment).unwrap_err();
    assert!(error.to_string().ends_with("the configuration has more than 131072 values"), "{error}");

    let mut long = format!("v: {}\nl: [\n", "x".repeat(500_000));
    long.push_str(&"$v\n".repeat(40));
    let error = read_text("t.conf", &long, &environment).unwrap_err();
    assert!(
        error.to_string().ends_with("the configuration holds more than 16777216 bytes of text"),
        "{error}"
    );
}

#[test]
fn files_include_others_relative_to_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    write("main.conf", "a: 1\ninclude sub/one.conf\nm {\n include 'sub/two.conf'; z: $two\n}\nb: $one\n");
    write("sub/one.conf", "a: 2\none: uno\ninclude \"two.conf\"");
    write("sub/two.conf", "two: due");
    let map = read_file(&folder.path().join("main.conf"), &environment).unwrap();
    assert_eq!(show_map(&map), r#"a=2 one="uno" two="due" m={two="due" z="due"} b="uno""#);
    let place = &map.entries().iter().find(|entry| entry.key == "one").unwrap().at;
    assert!(place.to_string().ends_with("sub/one.conf:2:1"), "{place}");
}

#[test]
fn includes_that_fail_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    let refused = |name: &str| {
        let error = read_file(&folder.path().join(name), &environment).unwrap_err().to_string();
        error.replace(&format!("{}/", folder.path().display()), "")
    };
    write("self.conf", b"a: 1\n include ./self.conf");
    assert_eq!(refused("self.conf"), "self.conf:2:2: ./self.conf includes itself");
    write("missing.conf", b"include nope.conf");
    assert!(refused("missing.conf").starts_with("missing.conf:1:1: can't read nope.conf: "));
    write("outer.conf", b"include inner.conf");
    write("inner.conf", b"a: 1\nb: [");
    assert_eq!(refused("outer.conf"), "inner.conf:2:5: the `[` before this is never closed");
    write("latin.conf", b"a: 1\nb: caf\xe9");
    assert_eq!(refused("latin.conf"), "latin.conf:2:7: this is not UTF-8 text");
    write("long.conf", &vec![b'#'; limits::FILE_BYTES + 1]);
    assert_eq!(refused("long.conf"), "long.conf: long.conf is longer than 1048576 bytes");
    for level in 0..limits::INCLUDE_DEPTH {
        write(&format!("l{level}.conf"), format!("include l{}.conf", level + 1).as_bytes());
    }
    write(&format!("l{}.conf", limits::INCLUDE_DEPTH), b"a: 1");
    assert_eq!(refused("l0.conf"), "l9.conf:1:1: includes are nested more than 10 deep");
    assert!(read_file(&folder.path().join("l1.conf"), &environment).is_ok());
}
