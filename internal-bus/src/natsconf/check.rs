//! What can only be judged when the whole configuration is read.

use std::collections::HashMap;
use std::time::Duration;

use super::NatsConf;
use super::auth::{GLOBAL_ACCOUNT, SYSTEM_ACCOUNT};
use super::reader::Reader;
use super::report::Position;
use super::share;
use super::value::{Entry, Map};

/// What nats-server takes when the setting is absent.
const DEFAULT_MAX_PAYLOAD: u64 = 1 << 20;
const DEFAULT_MAX_PENDING: u64 = 64 << 20;
const DEFAULT_LAME_DUCK_DURATION: Duration = Duration::from_secs(120);
const DEFAULT_LAME_DUCK_GRACE: Duration = Duration::from_secs(10);

/// Payloads above this work, but hold up everything behind them.
const BIG_PAYLOAD: u64 = 8 << 20;

pub(super) fn check(reader: &mut Reader, conf: &NatsConf, root: &Map) {
    sizes(reader, conf, root);
    times(reader, conf, root);
    unique_users(reader, conf);
    no_auth_user(reader, conf, root);
    accounts_exist(reader, conf, root);
    share::check(reader, conf);
}

/// The entry of a setting, whatever the case of its key.
fn find<'m>(root: &'m Map, names: &[&str]) -> Option<&'m Entry> {
    root.entries().iter().rev().find(|entry| names.iter().any(|name| entry.key.eq_ignore_ascii_case(name)))
}

fn place(root: &Map, names: &[&str]) -> Position {
    find(root, names).map(|entry| entry.at.clone()).unwrap_or_default()
}

fn sizes(reader: &mut Reader, conf: &NatsConf, root: &Map) {
    let payload = conf.max_payload.map_or(DEFAULT_MAX_PAYLOAD, u64::from);
    let pending = conf.max_pending.unwrap_or(DEFAULT_MAX_PENDING);
    let at = || place(root, if conf.max_payload.is_some() { &["max_payload"] } else { &["max_pending"] });
    if payload > pending {
        let what = format!("`max_payload` ({payload}) can't be greater than `max_pending` ({pending})");
        reader.error(&at(), what);
    } else if payload > BIG_PAYLOAD {
        reader.advise(&at(), format!("a `max_payload` over {BIG_PAYLOAD} delays everything behind it"));
    }
}

fn times(reader: &mut Reader, conf: &NatsConf, root: &Map) {
    let duration = conf.lame_duck_duration.unwrap_or(DEFAULT_LAME_DUCK_DURATION);
    let grace = conf.lame_duck_grace_period.unwrap_or(DEFAULT_LAME_DUCK_GRACE);
    if grace >= duration {
        let at = place(root, &["lame_duck_grace_period"]);
        reader.error(&at, "`lame_duck_grace_period` must be shorter than `lame_duck_duration`");
    }
}

/// Names and nkeys are unique over `authorization` and all accounts, and a single login excludes a list.
fn unique_users(reader: &mut Reader, conf: &NatsConf) {
    let mut seen: HashMap<&str, &Position> = HashMap::new();
    let listed = conf.authorization.iter().flat_map(|auth| &auth.users);
    for user in listed.chain(conf.accounts.iter().flat_map(|account| &account.users)) {
        if let Some(first) = seen.insert(user.login.id(), &user.at) {
            let id = user.login.id().escape_debug();
            reader.error(&user.at, format!("user `{id}` is defined twice, first at {first}"));
        }
    }
    let Some(auth) = &conf.authorization else { return };
    let lone = auth.user.is_some() || auth.token.is_some();
    if let Some(user) = conf.accounts.iter().flat_map(|account| &account.users).next().filter(|_| lone) {
        reader.error(&user.at, "users in `accounts` exclude a single user or token in `authorization`");
    }
}

fn no_auth_user(reader: &mut Reader, conf: &NatsConf, root: &Map) {
    let Some(name) = &conf.no_auth_user else { return };
    let listed = conf.authorization.iter().flat_map(|auth| &auth.users);
    let mut all = listed.chain(conf.accounts.iter().flat_map(|account| &account.users));
    if !all.any(|user| user.login.id() == name) {
        let at = find(root, &["no_auth_user"]).map(|entry| entry.value.at.clone()).unwrap_or_default();
        let what = format!("`no_auth_user` names `{}`, which is no configured user", name.escape_debug());
        reader.error(&at, what);
    }
}

/// Accounts that others refer to must exist.
fn accounts_exist(reader: &mut Reader, conf: &NatsConf, root: &Map) {
    let system = conf.system_account.as_deref();
    let implied = |name: &str| {
        let default_system =
            system.is_none() && conf.no_system_account != Some(true) && name == SYSTEM_ACCOUNT;
        name == GLOBAL_ACCOUNT || default_system
    };
    let exists = |name: &str| implied(name) || conf.accounts.iter().any(|account| account.name == name);
    // With an operator, accounts are public keys that only its resolver knows.
    let by_operator = find(root, &["operator", "operators", "trusted", "trusted_keys"]).is_some();
    if let Some(name) = system.filter(|name| !by_operator && *name != SYSTEM_ACCOUNT && !exists(name)) {
        let at = place(root, &["system_account", "system"]);
        reader.error(&at, format!("there is no account `{}`", name.escape_debug()));
    }
    let Some(leaf) = &conf.leafnodes else { return };
    let leaf_at = place(root, &["leafnodes", "leaf"]);
    let mut wanted: Vec<(&str, &Position)> = Vec::new();
    if let Some(auth) = &leaf.authorization {
        wanted.extend(auth.account.as_deref().map(|name| (name, &leaf_at)));
        wanted.extend(auth.users.iter().filter_map(|user| Some((user.account.as_deref()?, &user.at))));
    }
    wanted.extend(leaf.remotes.iter().filter_map(|remote| Some((remote.account.as_deref()?, &remote.at))));
    for (name, at) in wanted {
        if !by_operator && !exists(name) {
            reader.error(at, format!("there is no account `{}`", name.escape_debug()));
        }
    }
}
