//! The options, one row each: names, what follows, what it sets.

use super::{Action, ConfigFile, Flags, SignalRequest};
use crate::natsconf::{Port, Secret};

/// What follows an option.
pub(super) enum Takes {
    /// Nothing, or `=true`, `=false`.
    Switch,
    /// A value; the text says what kind.
    Value(&'static str),
}

/// An option. `set` gets the value, for a switch `true` if none is written, and says what is wrong with it.
pub(super) struct Spec {
    pub(super) names: &'static [&'static str],
    pub(super) takes: Takes,
    pub(super) set: fn(&mut Flags, &str) -> Result<(), String>,
}

const fn switch(names: &'static [&'static str], set: fn(&mut Flags, &str) -> Result<(), String>) -> Spec {
    Spec { names, takes: Takes::Switch, set }
}

const fn value(
    names: &'static [&'static str],
    expected: &'static str,
    set: fn(&mut Flags, &str) -> Result<(), String>,
) -> Spec {
    Spec { names, takes: Takes::Value(expected), set }
}

pub(super) const OPTIONS: &[Spec] = &[
    value(&["c", "config"], "a file", |flags, text| {
        flags.config = Some(ConfigFile::new(filled(text)?.into()));
        Ok(())
    }),
    switch(&["ignore-unsupported", "ignore_unsupported"], |flags, text| {
        flags.ignore_unsupported = truth(text)?;
        Ok(())
    }),
    switch(&["allow-remote-plaintext"], |flags, text| {
        flags.allow_remote_plaintext = truth(text)?;
        Ok(())
    }),
    switch(&["h", "help", "help_tls"], |flags, text| act(flags, text, Action::Help)),
    switch(&["v", "version"], |flags, text| act(flags, text, Action::Version)),
    switch(&["t"], |flags, text| act(flags, text, Action::TestConfig)),
    value(&["sl", "signal"], "ldm, stop, quit, term, reopen or reload, and =PID or =FILE", |flags, text| {
        let request = SignalRequest::parse(text)?;
        act(flags, "true", Action::Signal(request))
    }),
    value(&["a", "addr", "net"], "an address", |flags, text| keep(&mut flags.host, text)),
    value(&["p", "port"], "a port, or -1 for any free one", |flags, text| port(&mut flags.port, text)),
    value(&["client_advertise"], "host:port", |flags, text| keep(&mut flags.client_advertise, text)),
    value(&["n", "name", "server_name"], "a name", |flags, text| {
        if text.contains(' ') {
            return Err("a server name can't hold spaces".to_owned());
        }
        keep(&mut flags.server_name, text)
    }),
    value(&["m", "http_port"], "a port, or -1 for any free one", |flags, text| {
        port(&mut flags.http_port, text)
    }),
    value(&["ms", "https_port"], "a port", |flags, _| not_done(flags, "monitoring over HTTPS")),
    switch(&["D", "debug"], |flags, text| on(&mut flags.debug, text)),
    switch(&["V", "trace"], |flags, text| on(&mut flags.trace, text)),
    switch(&["VV"], |flags, text| {
        on(&mut flags.trace, text)?;
        on(&mut flags.trace_verbose, text)
    }),
    switch(&["DV"], |flags, text| {
        on(&mut flags.debug, text)?;
        on(&mut flags.trace, text)
    }),
    switch(&["DVV"], |flags, text| {
        on(&mut flags.debug, text)?;
        on(&mut flags.trace, text)?;
        on(&mut flags.trace_verbose, text)
    }),
    switch(&["T", "logtime"], |flags, text| on(&mut flags.logtime, text)),
    switch(&["logtime_utc"], |flags, text| on(&mut flags.logtime_utc, text)),
    value(&["l", "log"], "a file", |flags, text| path(&mut flags.log_file, text)),
    value(&["log_size_limit"], "a number of bytes", |flags, text| number(&mut flags.log_size_limit, text)),
    value(&["max_traced_msg_len"], "a number of bytes", |flags, text| {
        number(&mut flags.max_traced_msg_len, text)
    }),
    switch(&["s", "syslog"], |flags, text| not_done_if(flags, text, "logging to syslog")),
    value(&["r", "remote_syslog"], "an address", |flags, _| not_done(flags, "logging to syslog")),
    value(&["P", "pid"], "a file", |flags, text| path(&mut flags.pid_file, text)),
    value(&["ports_file_dir"], "a folder", |flags, text| path(&mut flags.ports_file_dir, text)),
    switch(&["js", "jetstream"], |flags, text| on(&mut flags.jetstream, text)),
    value(&["sd", "store_dir"], "a folder", |flags, text| path(&mut flags.store_dir, text)),
    value(&["user"], "a name", |flags, text| keep(&mut flags.user, text)),
    value(&["pass"], "a password", |flags, text| secret(&mut flags.password, text)),
    value(&["auth"], "a token", |flags, text| secret(&mut flags.token, text)),
    switch(&["tls"], |flags, text| on(&mut flags.tls.enabled, text)),
    switch(&["tlsverify"], |flags, text| on(&mut flags.tls.verify, text)),
    value(&["tlscert"], "a file", |flags, text| path(&mut flags.tls.cert_file, text)),
    value(&["tlskey"], "a file", |flags, text| path(&mut flags.tls.key_file, text)),
    value(&["tlscacert"], "a file", |flags, text| path(&mut flags.tls.ca_file, text)),
    value(&["cluster", "cluster_listen"], "a URL", |flags, _| not_done(flags, CLUSTER)),
    value(&["routes"], "URLs divided by commas", |flags, _| not_done(flags, CLUSTER)),
    value(&["cluster_name"], "a name", |flags, _| not_done(flags, CLUSTER)),
    value(&["cluster_advertise"], "host:port", |flags, _| not_done(flags, CLUSTER)),
    value(&["connect_retries"], "a number", |flags, _| not_done(flags, CLUSTER)),
    switch(&["no_advertise"], |flags, text| not_done_if(flags, text, CLUSTER)),
    value(&["profile"], "a port", |flags, _| not_done(flags, "profiling over HTTP")),
];

const CLUSTER: &str = "clustering";

/// An empty value counts as "not given".
fn keep(target: &mut Option<String>, text: &str) -> Result<(), String> {
    *target = Some(text.to_owned()).filter(|text| !text.is_empty());
    Ok(())
}

fn secret(target: &mut Option<Secret>, text: &str) -> Result<(), String> {
    *target = Some(Secret::new(text)).filter(|secret| !secret.expose().is_empty());
    Ok(())
}

fn filled(text: &str) -> Result<&str, String> {
    if text.is_empty() { Err("the name is empty".to_owned()) } else { Ok(text) }
}

fn path(target: &mut Option<std::path::PathBuf>, text: &str) -> Result<(), String> {
    *target = Some(filled(text)?.into());
    Ok(())
}

fn on(target: &mut Option<bool>, text: &str) -> Result<(), String> {
    *target = Some(truth(text)?);
    Ok(())
}

fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err(format!("expected true or false, found `{text}`")),
    }
}

fn port(target: &mut Option<Port>, text: &str) -> Result<(), String> {
    let number =
        text.parse().map_err(|_| format!("expected a port, or -1 for any free one, found `{text}`"))?;
    *target = Port::from_number(number)?;
    Ok(())
}

/// 0 counts as "not given".
fn number<T: std::str::FromStr + PartialEq + Default>(
    target: &mut Option<T>,
    text: &str,
) -> Result<(), String> {
    let number = text.parse().map_err(|_| format!("expected a number, found `{text}`"))?;
    *target = Some(number).filter(|number| *number != T::default());
    Ok(())
}

/// Help wins over version, version over anything else, as they do no harm.
fn act(flags: &mut Flags, text: &str, action: Action) -> Result<(), String> {
    let weight = |action: &Action| match action {
        Action::Run => 0,
        Action::TestConfig => 1,
        Action::Signal(_) => 2,
        Action::Version => 3,
        Action::Help => 4,
    };
    if truth(text)? && weight(&action) >= weight(&flags.action) {
        flags.action = action;
    }
    Ok(())
}

fn not_done_if(flags: &mut Flags, text: &str, what: &str) -> Result<(), String> {
    if truth(text)? { not_done(flags, what) } else { Ok(()) }
}

fn not_done(flags: &mut Flags, what: &str) -> Result<(), String> {
    let notice = format!("{what} is not supported: the options that ask for it are ignored");
    if !flags.notices.contains(&notice) {
        flags.notices.push(notice);
    }
    Ok(())
}
