//! `exports` and `imports` of an account: what it lets other accounts have, and what it has from them.

use std::time::Duration;

use super::NatsConf;
use super::reader::Reader;
use super::report::Position;
use super::value::{Entry, Kind, Value};

/// What is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Messages.
    Stream,
    /// Requests, and their answers.
    Service,
}

/// What an account lets others have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Messages or requests.
    pub kind: Shared,
    /// Their subjects.
    pub subject: String,
    /// Who may import; `None` means everybody.
    pub accounts: Option<Vec<String>>,
    /// A service gives any number of answers, not one.
    pub many_responses: bool,
    /// Time for an answer. Default 2 minutes.
    pub threshold: Option<Duration>,
    /// Token of the subject, from 1, that has to be the importing account's name.
    pub account_token_position: Option<usize>,
    /// Where it is written.
    pub at: Position,
}

/// What an account has from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Messages or requests.
    pub kind: Shared,
    /// The account they come from, or go to.
    pub account: String,
    /// Their subjects there.
    pub subject: String,
    /// What they are called here; the wildcards of `subject` are `$1`, `$2`, or `*` in order.
    pub to: String,
    /// The service is told who asks.
    pub share: bool,
    /// Where it is written.
    pub at: Position,
}

pub(super) fn exports(reader: &mut Reader, value: &Value) -> Vec<Export> {
    let items = reader.list(value).unwrap_or_default();
    items.iter().filter_map(|item| export(reader, item)).collect()
}

fn export(reader: &mut Reader, value: &Value) -> Option<Export> {
    let (mut kind, mut subject) = (None, None);
    let (mut accounts, mut threshold, mut account_token_position) = (None, None, None);
    let mut responses: Option<(bool, Position)> = None;
    reader.each(value, |reader, key, entry| match key {
        "stream" | "service" => {
            let this = if key == "stream" { Shared::Stream } else { Shared::Service };
            if kind.replace(this).is_some() {
                reader.error(&entry.at, "an export is either a `stream` or a `service`");
            }
            subject = pattern(reader, &entry.value);
        }
        "response" | "response_type" => {
            responses = many(reader, &entry.value).map(|many| (many, entry.at.clone()));
        }
        "threshold" | "response_threshold" | "response_max_time" | "response_time" => {
            threshold = reader.strict_duration(&entry.value);
        }
        "accounts" => accounts = reader.plain_texts(&entry.value),
        "account_token_position" => {
            account_token_position = reader.count::<u8>(&entry.value, 255).map(usize::from);
        }
        "latency" => reader.no_effect(entry, "answers are not timed"),
        "allow_trace" => reader.no_effect(entry, "messages are not traced"),
        _ => reader.unknown(entry, "exports"),
    });
    let Some(kind) = kind else {
        reader.error(&value.at, "each of `exports` needs a `stream` or a `service`");
        return None;
    };
    if let (Shared::Stream, Some((_, at))) = (kind, &responses) {
        reader.error(at, "only a `service` has responses");
    }
    let many_responses = responses.is_some_and(|(many, _)| many);
    let at = value.at.clone();
    Some(Export { kind, subject: subject?, accounts, many_responses, threshold, account_token_position, at })
}

fn many(reader: &mut Reader, value: &Value) -> Option<bool> {
    match reader.text(value)?.to_ascii_lowercase().as_str() {
        "single" | "singleton" => Some(false),
        "stream" | "chunk" | "chunked" => Some(true),
        _ => {
            reader.error(&value.at, "expected `single`, `stream` or `chunked`");
            None
        }
    }
}

pub(super) fn imports(reader: &mut Reader, value: &Value) -> Vec<Import> {
    let items = reader.list(value).unwrap_or_default();
    items.iter().filter_map(|item| import(reader, item)).collect()
}

fn import(reader: &mut Reader, value: &Value) -> Option<Import> {
    let (mut source, mut to, mut prefix, mut share) = (None, None, None, false);
    reader.each(value, |reader, key, entry| match key {
        "stream" | "service" => {
            let kind = if key == "stream" { Shared::Stream } else { Shared::Service };
            if source.is_some() {
                reader.error(&entry.at, "an import is either a `stream` or a `service`");
            }
            source = Some((kind, from(reader, entry)));
        }
        "to" => to = reader.text_or_unset(&entry.value),
        "prefix" => prefix = reader.text_or_unset(&entry.value),
        "share" => share = reader.boolean(&entry.value).unwrap_or_default(),
        "allow_trace" => reader.no_effect(entry, "messages are not traced"),
        _ => reader.unknown(entry, "imports"),
    });
    let Some((kind, from)) = source else {
        reader.error(&value.at, "each of `imports` needs a `stream` or a `service`");
        return None;
    };
    let (account, subject) = from?;
    let to = match (to, prefix, kind) {
        (Some(_), Some(_), _) => {
            reader.error(&value.at, "an import has either `to` or `prefix`");
            return None;
        }
        (_, Some(_), Shared::Service) => {
            reader.error(&value.at, "a service has no `prefix`; use `to`");
            return None;
        }
        (Some(to), None, _) => to,
        (None, Some(prefix), _) => format!("{}.{subject}", prefix.trim_end_matches('.')),
        (None, None, _) => subject.clone(),
    };
    Some(Import { kind, account, subject, to, share, at: value.at.clone() })
}

/// `{ account, subject }`
fn from(reader: &mut Reader, entry: &Entry) -> Option<(String, String)> {
    let (mut account, mut subject) = (None, None);
    reader.each(&entry.value, |reader, key, entry| match key {
        "account" => account = reader.text_or_unset(&entry.value),
        "subject" => subject = pattern(reader, &entry.value),
        _ => reader.unknown(entry, "imports"),
    });
    if matches!(entry.value.kind, Kind::Map(_)) && (account.is_none() || subject.is_none()) {
        reader.error(&entry.at, "expected an `account` and a `subject`");
    }
    account.zip(subject)
}

fn pattern(reader: &mut Reader, value: &Value) -> Option<String> {
    let text = reader.text(value)?;
    if subject::valid_pattern(text.as_bytes()) {
        return Some(text);
    }
    reader.error(&value.at, format!("`{}` is not a subject", text.escape_debug()));
    None
}

/// Imports must be of what there is, allowed, and not lead in a circle.
pub(super) fn check(reader: &mut Reader, conf: &NatsConf) {
    for account in &conf.accounts {
        for import in &account.imports {
            if let Err(what) = allowed(conf, &account.name, import) {
                reader.error(&import.at, what);
            } else if circle(conf, &account.name, import) {
                reader.error(&import.at, "this import leads back to the account it starts from");
            }
        }
    }
}

/// The export an import takes from.
pub(crate) fn export_of<'a>(conf: &'a NatsConf, importer: &str, import: &Import) -> Option<&'a Export> {
    let exporter = conf.accounts.iter().find(|account| account.name == import.account)?;
    let mut fitting = exporter.exports.iter().filter(|export| {
        export.kind == import.kind && subject::covers(export.subject.as_bytes(), import.subject.as_bytes())
    });
    fitting.find(|export| export.lets(importer, &import.subject))
}

impl Export {
    fn lets(&self, importer: &str, subject: &str) -> bool {
        let named = self.accounts.as_ref().is_none_or(|names| names.iter().any(|name| name == importer));
        let position = self.account_token_position;
        named && position.is_none_or(|at| subject.split('.').nth(at - 1) == Some(importer))
    }
}

fn allowed(conf: &NatsConf, importer: &str, import: &Import) -> Result<(), String> {
    if !conf.accounts.iter().any(|account| account.name == import.account) {
        return Err(format!("there is no account `{}`", import.account.escape_debug()));
    }
    if export_of(conf, importer, import).is_none() {
        let (account, subject) = (import.account.escape_debug(), import.subject.escape_debug());
        return Err(format!("account `{account}` does not export `{subject}` to this account"));
    }
    let map = subject::Mapping::new(&import.subject, &import.to).map_err(|error| error.to_string())?;
    if import.kind == Shared::Service && map.inverse().is_none() {
        return Err(format!("`{}` must hold every wildcard of `{}` once", import.to, import.subject));
    }
    Ok(())
}

/// Whether messages that come in by `import` can come back to the account they are from.
fn circle(conf: &NatsConf, importer: &str, import: &Import) -> bool {
    let account = |name: &str| conf.accounts.iter().find(|account| account.name == name);
    let mut open = vec![(import.account.as_str(), import.subject.clone())];
    let mut seen = Vec::new();
    while let Some((name, subject)) = open.pop() {
        if name == importer {
            return true;
        }
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let onward = account(name).into_iter().flat_map(|account| &account.imports);
        let same = onward.filter(|next| {
            next.kind == import.kind
                && subject::overlaps(wildcards(&next.to).as_bytes(), wildcards(&subject).as_bytes())
        });
        open.extend(same.map(|next| (next.account.as_str(), next.subject.clone())));
    }
    false
}

/// A destination with its captures as wildcards.
fn wildcards(to: &str) -> String {
    let token = |token: &str| if token.starts_with('$') { "*".to_owned() } else { token.to_owned() };
    to.split('.').map(token).collect::<Vec<_>>().join(".")
}
