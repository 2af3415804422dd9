//! `authorization { … }` and `accounts { … }`.

use std::time::Duration;

use super::mappings::{SubjectMap, mappings};
use super::reader::Reader;
use super::report::Position;
use super::secret::Secret;
use super::share::{self, Export, Import};
use super::units::{NkeyKind, is_public_nkey};
use super::users::{Permissions, User, apply_default, read_permissions, users};
use super::value::{Entry, Kind, Value};

/// How clients log in. At most one of `token`, `user` and `users` is set; if none is, and no account has users,
/// everybody may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorization {
    /// One token for everybody, or its bcrypt hash.
    pub token: Option<Secret>,
    /// One user name for everybody.
    pub user: Option<String>,
    /// Its password, or the bcrypt hash of it.
    pub password: Option<Secret>,
    /// Users, with `default_permissions` filled in where a user has none of its own.
    pub users: Vec<User>,
    /// The default rights themselves.
    pub default_permissions: Option<Permissions>,
    /// Time from connecting to a complete login. Default 2 s, or the TLS timeout and one second more.
    pub timeout: Option<Duration>,
}

/// An account: users that see each other's messages and nobody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Its name; `$SYS` is the system account.
    pub name: String,
    /// Its public key (`A…`), if one is given.
    pub nkey: Option<String>,
    /// Its users, with `default_permissions` filled in where a user has none of its own.
    pub users: Vec<User>,
    /// The default rights of its users.
    pub default_permissions: Option<Permissions>,
    /// What it may store; `None` means nothing.
    pub jetstream: Option<AccountJetStream>,
    /// What it lets others have.
    pub exports: Vec<Export>,
    /// What it has from others.
    pub imports: Vec<Import>,
    /// What messages of its subjects become.
    pub mappings: Vec<SubjectMap>,
    /// Where it is defined.
    pub at: Position,
}

/// What an account may store. `None` means no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountJetStream {
    /// Bytes in memory.
    pub max_memory: Option<u64>,
    /// Bytes on disk.
    pub max_store: Option<u64>,
    /// Streams.
    pub max_streams: Option<u64>,
    /// Consumers.
    pub max_consumers: Option<u64>,
    /// Bytes of one stream in memory.
    pub memory_max_stream_bytes: Option<u64>,
    /// Bytes of one stream on disk.
    pub store_max_stream_bytes: Option<u64>,
    /// Deliveries of one consumer that wait for their acknowledgement.
    pub max_ack_pending: Option<u64>,
    /// Every stream must state its greatest size.
    pub max_bytes_required: bool,
}

/// The account that exists without being configured, and that users without an account belong to.
pub(super) const GLOBAL_ACCOUNT: &str = "$G";

/// The system account's usual name.
pub(super) const SYSTEM_ACCOUNT: &str = "$SYS";

pub(super) fn read_authorization(reader: &mut Reader, block: &Entry) -> Option<Authorization> {
    reader.map(&block.value)?;
    let mut auth = Authorization::default();
    let mut has_users = false;
    reader.each(&block.value, |reader, key, entry| match key {
        "user" | "username" => auth.user = reader.text_or_unset(&entry.value),
        "pass" | "password" => auth.password = reader.secret(&entry.value),
        "token" => auth.token = reader.secret(&entry.value),
        "timeout" => auth.timeout = reader.timeout(&entry.value),
        "users" => {
            has_users = true;
            auth.users = users(reader, &entry.value);
        }
        "default_permission" | "default_permissions" | "permissions" => {
            auth.default_permissions = read_permissions(reader, entry);
        }
        "auth_callout" | "auth_hook" => reader.unsupported(entry, "authorization"),
        "proxy_required" => {
            if reader.boolean(&entry.value).unwrap_or_default() {
                reader.unsupported(entry, "authorization");
            }
        }
        _ => reader.unknown(entry, "authorization"),
    });
    apply_default(&mut auth.users, auth.default_permissions.as_ref());
    if auth.user.is_none() && auth.token.is_none() && auth.users.is_empty() {
        reader.advise(
            &block.at,
            "`authorization` names nobody: without users elsewhere, everybody may connect",
        );
    }
    let lone = auth.user.is_some() || auth.password.is_some();
    let clash = match (lone, auth.token.is_some(), has_users) {
        (true, true, _) => "a single user and a token",
        (true, _, true) if auth.user.is_some() => "a single user and a list of users",
        (_, true, true) => "a token and a list of users",
        _ => return Some(auth),
    };
    reader.error(&block.at, format!("`authorization` has both {clash}; use one of them"));
    Some(auth)
}

pub(super) fn read_accounts(reader: &mut Reader, block: &Entry) -> Vec<Account> {
    let mut accounts: Vec<Account> = Vec::new();
    if let Kind::List(items) = &block.value.kind {
        for item in items {
            if let Some(name) = reader.text(item) {
                let account = Account { name, at: item.at.clone(), ..Account::default() };
                if accounts.iter().any(|other| other.name == account.name) {
                    reader.error(&item.at, format!("account `{}` is listed twice", account.name));
                }
                add(reader, &mut accounts, account);
            }
        }
        return accounts;
    }
    let Some(map) = reader.map(&block.value) else { return accounts };
    for entry in map.entries().iter().filter(|entry| !entry.used_as_variable) {
        let account = read_account(reader, entry);
        add(reader, &mut accounts, account);
    }
    accounts
}

fn add(reader: &mut Reader, accounts: &mut Vec<Account>, account: Account) {
    if account.name == GLOBAL_ACCOUNT {
        reader.error(&account.at, "`$G` is the account that always exists; it can't be configured");
        return;
    }
    accounts.push(account);
}

fn read_account(reader: &mut Reader, block: &Entry) -> Account {
    let mut account = Account { name: block.key.clone(), at: block.at.clone(), ..Account::default() };
    reader.each(&block.value, |reader, key, entry| match key {
        "nkey" => account.nkey = account_nkey(reader, &entry.value),
        "users" => account.users = users(reader, &entry.value),
        "default_permissions" => account.default_permissions = read_permissions(reader, entry),
        "jetstream" => account.jetstream = jetstream(reader, &entry.value),
        "imports" => account.imports = share::imports(reader, &entry.value),
        "exports" => account.exports = share::exports(reader, &entry.value),
        "mappings" | "maps" => account.mappings = mappings(reader, &entry.value),
        "limits" | "msg_trace" | "trace_dest" => {
            let empty = match &entry.value.kind {
                Kind::List(items) => items.is_empty(),
                Kind::Map(map) => map.is_empty(),
                _ => false,
            };
            if !empty {
                reader.unsupported(entry, "accounts");
            }
        }
        _ => reader.unknown(entry, "accounts"),
    });
    apply_default(&mut account.users, account.default_permissions.as_ref());
    account
}

fn account_nkey(reader: &mut Reader, value: &Value) -> Option<String> {
    let key = reader.text(value)?;
    if is_public_nkey(&key, NkeyKind::Account) {
        return Some(key);
    }
    reader.error(
        &value.at,
        "expected a public account nkey: `A` and 55 more characters, with a valid checksum",
    );
    None
}

fn jetstream(reader: &mut Reader, value: &Value) -> Option<AccountJetStream> {
    if !matches!(value.kind, Kind::Map(_)) {
        return super::jetstream::switch(reader, value)?.then(AccountJetStream::default);
    }
    let mut limits = AccountJetStream::default();
    reader.each(value, |reader, key, entry| match key {
        "max_memory" | "max_mem" | "mem" | "memory" => limits.max_memory = limit(reader, entry),
        "max_store" | "max_file" | "max_disk" | "store" | "disk" => limits.max_store = limit(reader, entry),
        "max_streams" | "streams" => limits.max_streams = limit(reader, entry),
        "max_consumers" | "consumers" => limits.max_consumers = limit(reader, entry),
        "mem_max_stream_bytes" | "memory_max_stream_bytes" => {
            limits.memory_max_stream_bytes = limit(reader, entry);
        }
        "disk_max_stream_bytes" | "store_max_stream_bytes" => {
            limits.store_max_stream_bytes = limit(reader, entry);
        }
        "max_ack_pending" => limits.max_ack_pending = limit(reader, entry),
        "max_bytes_required" | "max_stream_bytes" | "max_bytes" => {
            limits.max_bytes_required = reader.boolean(&entry.value).unwrap_or_default();
        }
        "cluster_traffic" => reader.no_effect(entry, "there is no cluster"),
        _ => reader.unknown(entry, "jetstream"),
    });
    Some(limits)
}

/// A number where a negative one means no limit.
fn limit(reader: &mut Reader, entry: &Entry) -> Option<u64> {
    u64::try_from(reader.integer(&entry.value)?).ok()
}
