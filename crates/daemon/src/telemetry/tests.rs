//! What lands in a log file, in each shape.

use std::fs;
use std::path::Path;

use tracing::subscriber::with_default;

use super::*;

/// Logs a few events to a file in `folder` and gives back what is in it.
fn logged(folder: &Path, format: LogFormat, level: &str, events: impl FnOnce(&LogControl)) -> String {
    let path = folder.join("test.log");
    let config = LogConfig { format, level: level.parse().unwrap(), file: Some(path.clone()) };
    let (subscriber, guard) = build(&config).unwrap();
    with_default(subscriber, || events(&guard.control()));
    drop(guard);
    fs::read_to_string(path).unwrap()
}

fn some_events(_: &LogControl) {
    let span = tracing::info_span!("conn", id = 7, identity = "billing");
    let _entered = span.enter();
    tracing::debug!("not asked for");
    tracing::info!(port = 4222, peer = "a b", user = %"x\n[INF] forged", "Listening for client connections");
    log_fatal("cannot go on");
}

#[test]
fn nats_lines() {
    let folder = tempfile::tempdir().unwrap();
    let text = logged(folder.path(), LogFormat::Nats, "info", some_events);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with(&format!("[{}] 20", std::process::id())), "{text}");
    assert!(
        lines[0].ends_with(
            r#" [INF] Listening for client connections port=4222 peer="a b" user=x\n[INF] forged id=7 identity="billing""#
        ),
        "{text}"
    );
    assert!(lines[1].contains(" [FTL] cannot go on "), "{text}");
}

#[test]
fn json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let text = logged(folder.path(), LogFormat::Json, "info", some_events);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["message"], "Listening for client connections");
    assert_eq!(lines[0]["port"], 4222);
    assert_eq!(lines[0]["spans"][0]["identity"], "billing");
    assert_eq!(lines[1]["level"], "ERROR");
}

#[test]
fn text_lines_and_a_change_of_level() {
    let folder = tempfile::tempdir().unwrap();
    let text = logged(folder.path(), LogFormat::Text, "error", |control| {
        some_events(control);
        control.set_level(&"debug".parse().unwrap()).unwrap();
        some_events(control);
        assert_eq!(control.dropped_lines(), 0);
    });
    assert_eq!(text.matches("ERROR").count(), 2, "{text}");
    assert_eq!(text.matches("DEBUG").count(), 1, "{text}");
    assert!(text.contains("conn{id=7 identity=\"billing\"}"), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn a_moved_file_is_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.log");
    let text = logged(folder.path(), LogFormat::Nats, "info", |control| {
        fs::rename(folder.path().join("test.log"), &old).unwrap();
        control.reopen().unwrap();
        tracing::info!("after");
    });
    assert!(text.ends_with("[INF] after\n"), "{text}");
    assert!(!fs::read_to_string(&old).unwrap().contains("after"));
}

#[test]
fn a_folder_is_no_log_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig { file: Some(folder.path().to_owned()), ..LogConfig::default() };
    let told = build(&config).map(|_| ()).unwrap_err().to_string();
    assert!(told.starts_with(&format!("log file {}: ", folder.path().display())), "{told}");
}

#[test]
fn panics_are_counted_and_logged_without_payload() {
    let folder = tempfile::tempdir().unwrap();
    // The hook is the process's: this is the only test of the crate that installs one.
    let before = std::panic::take_hook();
    install_panic_hook();
    let text = logged(folder.path(), LogFormat::Nats, "info", |_| {
        let count = panic_count();
        std::panic::catch_unwind(|| panic!("{}", "long ".repeat(100))).unwrap_err();
        std::panic::catch_unwind(|| std::panic::panic_any(17_u8)).unwrap_err();
        assert!(panic_count() >= count + 2);
    });
    std::panic::set_hook(before);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("[ERR] panic reason=\"long long ") && lines[0].len() < 500, "{text}");
    assert!(lines[0].contains("telemetry/tests.rs:"), "{text}");
    assert!(lines[1].contains("reason=\"no message\""), "{text}");
}

#[test]
fn the_section_reads_from_toml() {
    let config: LogConfig =
        toml::from_str("format = 'nats'\nlevel = 'info,broker=debug'\nfile = 'a.log'").unwrap();
    assert_eq!((config.format, config.level.as_str()), (LogFormat::Nats, "info,broker=debug"));
    assert_eq!(config.file, Some(PathBuf::from("a.log")));
    let told = toml::from_str::<LogConfig>("level = 'inof'").unwrap_err();
    assert!(told.message().starts_with("expected a level"), "{told}");
}
