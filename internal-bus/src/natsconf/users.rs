//! Users and what they may do: shared by `authorization` and `accounts`.

use std::time::Duration;

use super::reader::Reader;
use super::report::Position;
use super::secret::Secret;
use super::units::{self, NkeyKind, is_public_nkey};
use super::value::{Entry, Kind, Value};

/// Someone who may log in, by name and password, or by nkey, or (with `verify_and_map`) by certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// How the user proves who it is.
    pub login: Login,
    /// Rights; `None` means no restriction. Defaults of the enclosing block are already filled in.
    pub permissions: Option<Permissions>,
    /// Kinds of connection the user may log in over; `None` means all.
    pub allowed_connection_types: Option<Vec<ConnectionType>>,
    /// Where the user is defined.
    pub at: Position,
}

/// How a user proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// By name. Without a password only a certificate (`verify_and_map`) or `no_auth_user` leads to it.
    Name {
        /// The user's name.
        name: String,
        /// The password, or its bcrypt hash ([`Secret::is_bcrypt_hash`]): comparing is done elsewhere.
        password: Option<Secret>,
    },
    /// By signing a nonce with the private half of this public user key (`U…`, 56 characters, checked).
    Nkey(String),
}

impl Login {
    /// The user's name, or its public key: unique in a configuration.
    pub fn id(&self) -> &str {
        match self {
            Self::Name { name, .. } => name,
            Self::Nkey(key) => key,
        }
    }
}

/// A kind of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the protocol's own")]
pub enum ConnectionType {
    Standard,
    Websocket,
    Leafnode,
    LeafnodeWs,
    Mqtt,
    MqttWs,
    InProcess,
}

/// What a user may publish and subscribe to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects to publish to; `None` means all.
    pub publish: Option<SubjectRules>,
    /// Subjects to subscribe to, each possibly followed by a space and a queue group; `None` means all.
    pub subscribe: Option<SubjectRules>,
    /// Right to answer requests on the reply subject they carry. With it, publishing is otherwise restricted to
    /// what `publish` allows, which may be nothing; that is already filled in.
    pub allow_responses: Option<AllowResponses>,
}

/// Subjects allowed and denied. Deny wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectRules {
    /// What is allowed; `None` means all, an empty list nothing.
    pub allow: Option<Vec<String>>,
    /// What is denied.
    pub deny: Vec<String>,
}

/// Bounds of the right to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowResponses {
    /// Answers per request; `None` means any number. Default 1.
    pub max: Option<u64>,
    /// Time to answer; `None` means for ever. Default 2 minutes.
    pub expires: Option<Duration>,
}

impl Default for AllowResponses {
    fn default() -> Self {
        Self { max: Some(1), expires: Some(Duration::from_secs(120)) }
    }
}

/// Reads a list of users.
pub(super) fn users(reader: &mut Reader, value: &Value) -> Vec<User> {
    let items = reader.list(value).unwrap_or_default();
    items.iter().filter_map(|item| user(reader, item)).collect()
}

/// Gives users without rights of their own the default ones.
pub(super) fn apply_default(users: &mut [User], default: Option<&Permissions>) {
    for user in users {
        if user.permissions.is_none() {
            user.permissions = default.cloned();
        }
    }
}

fn user(reader: &mut Reader, value: &Value) -> Option<User> {
    let errors = reader.errors.len();
    let (mut name, mut password, mut nkey) = (None, None, None);
    let (mut permissions, mut allowed_connection_types) = (None, None);
    reader.each(value, |reader, key, entry| match key {
        "user" | "username" => name = reader.text_or_unset(&entry.value),
        "pass" | "password" => password = reader.secret(&entry.value),
        "nkey" => nkey = user_nkey(reader, &entry.value),
        "permission" | "permissions" | "authorization" => permissions = read_permissions(reader, entry),
        "allowed_connection_types" | "connection_types" | "clients" => {
            allowed_connection_types = connection_types(reader, &entry.value);
        }
        "proxy_required" => {
            if reader.boolean(&entry.value).unwrap_or_default() {
                reader.unsupported(entry, "users");
            }
        }
        _ => reader.unknown(entry, "users"),
    });
    let login = match (name, nkey) {
        (None, Some(key)) if password.is_none() => Login::Nkey(key),
        (_, Some(_)) => {
            reader.error(&value.at, "a user with an `nkey` has no `user` and no `password`");
            return None;
        }
        (Some(name), None) => Login::Name { name, password },
        (None, None) => {
            // A bad value was reported already; only a missing one is news.
            if reader.errors.len() == errors {
                reader.error(&value.at, "each of `users` needs a `user` or an `nkey`");
            }
            return None;
        }
    };
    Some(User { login, permissions, allowed_connection_types, at: value.at.clone() })
}

pub(super) fn user_nkey(reader: &mut Reader, value: &Value) -> Option<String> {
    let key = reader.text(value)?;
    if is_public_nkey(&key, NkeyKind::User) {
        return Some(key);
    }
    reader.error(&value.at, "expected a public user nkey: `U` and 55 more characters, with a valid checksum");
    None
}

fn connection_types(reader: &mut Reader, value: &Value) -> Option<Vec<ConnectionType>> {
    let mut types = Vec::new();
    for (at, text) in reader.texts(value)? {
        types.push(match text.to_ascii_uppercase().as_str() {
            "STANDARD" => ConnectionType::Standard,
            "WEBSOCKET" => ConnectionType::Websocket,
            "LEAFNODE" => ConnectionType::Leafnode,
            "LEAFNODE_WS" => ConnectionType::LeafnodeWs,
            "MQTT" => ConnectionType::Mqtt,
            "MQTT_WS" => ConnectionType::MqttWs,
            "IN_PROCESS" => ConnectionType::InProcess,
            _ => {
                let known = "STANDARD, WEBSOCKET, LEAFNODE, LEAFNODE_WS, MQTT, MQTT_WS, IN_PROCESS";
                reader.error(&at, format!("unknown connection type; known are {known}"));
                continue;
            }
        });
    }
    Some(types)
}

/// Reads `permissions { … }`.
pub(super) fn read_permissions(reader: &mut Reader, block: &Entry) -> Option<Permissions> {
    reader.map(&block.value)?;
    let mut permissions = Permissions::default();
    reader.each(&block.value, |reader, key, entry| match key {
        "pub" | "publish" | "import" => permissions.publish = rules(reader, &entry.value, Queues::Refused),
        "sub" | "subscribe" | "export" => {
            permissions.subscribe = rules(reader, &entry.value, Queues::Allowed)
        }
        "allow_responses" | "publish_allow_responses" => {
            permissions.allow_responses = allow_responses(reader, &entry.value);
        }
        _ => reader.unknown(entry, "permissions"),
    });
    if permissions.allow_responses.is_some() {
        permissions.publish.get_or_insert_default().allow.get_or_insert_default();
    }
    Some(permissions)
}

/// Whether a subject may be followed by a queue group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Queues {
    Allowed,
    Refused,
}

/// One subject, several, or `{ allow, deny }`.
fn rules(reader: &mut Reader, value: &Value, queues: Queues) -> Option<SubjectRules> {
    let Kind::Map(map) = &value.kind else {
        let allow = allowed(reader, value, queues)?;
        return Some(SubjectRules { allow: Some(allow), deny: Vec::new() });
    };
    if map.is_empty() {
        return None;
    }
    let mut rules = SubjectRules::default();
    reader.each(value, |reader, key, entry| match key {
        "allow" => rules.allow = allowed(reader, &entry.value, queues),
        "deny" => rules.deny = subjects(reader, &entry.value, queues),
        _ => reader.unknown(entry, "permissions"),
    });
    Some(rules)
}

/// nats-server takes an empty list of allowed subjects as no restriction, which is hardly what was meant.
fn allowed(reader: &mut Reader, value: &Value, queues: Queues) -> Option<Vec<String>> {
    let subjects = subjects(reader, value, queues);
    if matches!(&value.kind, Kind::List(items) if items.is_empty()) {
        reader.advise(&value.at, "an empty list restricts nothing; to allow nothing, deny \">\"");
        return None;
    }
    Some(subjects)
}

/// One subject, or a list of them, each checked.
pub(super) fn subjects(reader: &mut Reader, value: &Value, queues: Queues) -> Vec<String> {
    let mut subjects = Vec::new();
    for (at, text) in reader.texts(value).unwrap_or_default() {
        let valid = match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            [subject, queue] if queues == Queues::Allowed => is_subject(subject) && is_subject(queue),
            _ => is_subject(&text),
        };
        if valid {
            subjects.push(text);
        } else {
            reader.error(&at, format!("`{}` is not a subject", text.escape_debug()));
        }
    }
    subjects
}

/// Tokens divided by dots, none empty, no white space, `>` only as the last.
fn is_subject(text: &str) -> bool {
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        let last = tokens.peek().is_none();
        if token.is_empty() || token.contains(char::is_whitespace) || (token == ">" && !last) {
            return false;
        }
    }
    true
}

fn allow_responses(reader: &mut Reader, value: &Value) -> Option<AllowResponses> {
    let mut bounds = AllowResponses::default();
    match value.kind {
        Kind::Boolean(truth) => return truth.then_some(bounds),
        Kind::Map(_) => {}
        _ => {
            reader.error(&value.at, "expected a boolean, or a map with `max` and `expires`");
            return None;
        }
    }
    reader.each(value, |reader, key, entry| match key {
        "max" | "max_msgs" | "max_messages" | "max_responses" => match reader.integer(&entry.value) {
            None | Some(0) => {}
            Some(max) => bounds.max = u64::try_from(max).ok(),
        },
        "expires" | "expiration" | "ttl" => {
            match reader.text(&entry.value).map(|text| units::duration(&text)) {
                None => {}
                Some(None) => {
                    reader.error(&entry.value.at, "expected a duration such as \"2s\", or \"-1s\" for ever")
                }
                Some(Some(expires)) if expires.positive() == Some(Duration::ZERO) => {}
                Some(Some(expires)) => bounds.expires = expires.positive(),
            }
        }
        _ => reader.unknown(entry, "allow_responses"),
    });
    Some(bounds)
}
