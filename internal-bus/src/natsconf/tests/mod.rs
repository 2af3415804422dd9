//! Tests of the language, of the settings, and of what is refused and where.

mod language;
mod refusals;
mod robust;
mod settings;

use super::*;

/// Reads a text with an empty environment.
fn read(text: &str) -> Outcome {
    parse_text("t.conf", text, &|_| None, false)
}

/// Reads a text that must be accepted.
#[track_caller]
fn good(text: &str) -> NatsConf {
    match read(text) {
        Ok((conf, _)) => conf,
        Err(errors) => panic!("refused: {errors:?}\n{text}"),
    }
}

/// What is said about a text that is accepted, one line each.
#[track_caller]
fn notices(text: &str) -> Vec<String> {
    match read(text) {
        Ok((_, notices)) => notices.iter().map(ToString::to_string).collect(),
        Err(errors) => panic!("refused: {errors:?}\n{text}"),
    }
}

/// What is said about a text that is refused, one line each.
#[track_caller]
fn bad(text: &str) -> Vec<String> {
    match read(text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}
