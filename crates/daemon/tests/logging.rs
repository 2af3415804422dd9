//! Logging as a process starts it: once, for all threads. Alone in its file because it sets the process's logger.

use std::fs;

use daemon::telemetry::{LogConfig, LogFormat, TelemetryError, init_logging};

#[test]
fn it_starts_once_and_writes_what_every_thread_logs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus.log");
    let config = LogConfig { format: LogFormat::Nats, file: Some(path.clone()), ..LogConfig::default() };
    let guard = init_logging(&config).unwrap();
    std::thread::spawn(|| tracing::info!("Server is ready")).join().unwrap();
    tracing::debug!("below the level");
    assert!(matches!(init_logging(&config), Err(TelemetryError::AlreadySet)));
    guard.control().reopen().unwrap();
    drop(guard);
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with("[INF] Server is ready\n") && text.lines().count() == 1, "{text}");
}
