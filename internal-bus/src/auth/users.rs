//! Users as a nats-server configuration lists them: one token, one user, or many with rights of their own.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use broker::{Authenticator, Credentials, Decision, Denied, Login};
use identity::peer::PeerCertificate;
use identity::{DEFAULT_ACCOUNT, Grant, Permission, PermissionError, ResponseLimit, Rights};
use subtle::ConstantTimeEq;
use wire::info::{ConnectOptions, LeafConnect};

use crate::natsconf::{self, LeafAuthorization, NatsConf, Permissions, Secret, SubjectRules};

/// Why users can't be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// A user's rights hold something that is no subject.
    #[error("{at}: {source}")]
    Permission {
        /// Where the user is defined.
        at: String,
        /// What is wrong.
        source: PermissionError,
    },
    /// `no_auth_user` names nobody.
    #[error("no_auth_user {0:?} is not among the users")]
    NoSuchUser(String),
}

struct Entry {
    password: Option<Secret>,
    grant: Arc<Grant>,
    doors: Doors,
}

/// By which ports a user may come in (`allowed_connection_types`).
#[derive(Clone, Copy)]
struct Doors {
    plain: bool,
    websocket: bool,
}

impl Doors {
    const ALL: Self = Self { plain: true, websocket: true };

    fn of(user: &natsconf::User) -> Self {
        let listed = |kind| user.allowed_connection_types.as_ref().is_none_or(|types| types.contains(&kind));
        Self {
            plain: listed(natsconf::ConnectionType::Standard),
            websocket: listed(natsconf::ConnectionType::Websocket),
        }
    }

    fn admit(self, login: &Login<'_>) -> Result<(), Denied> {
        if if login.websocket { self.websocket } else { self.plain } {
            return Ok(());
        }
        Err(Denied::new("connection_type", "the user may not come in by this kind of connection"))
    }
}

/// Decides by token, name and password, nkey signature, or certificate (`verify_and_map`).
#[derive(Default)]
pub struct Users {
    token: Option<Secret>,
    by_name: HashMap<String, Entry>,
    by_nkey: HashMap<String, Entry>,
    /// Who comes without credentials.
    fallback: Option<Arc<Grant>>,
    by_certificate: bool,
}

impl Users {
    /// Everybody a configuration lists. Without anybody, all may log in.
    ///
    /// # Errors
    /// Rights that can't be used, or a `no_auth_user` that does not exist.
    pub fn new(conf: &NatsConf) -> Result<Self, UsersError> {
        let mut users = Self::default();
        if let Some(authorization) = &conf.authorization {
            users.token.clone_from(&authorization.token);
            if let Some(name) = &authorization.user {
                let grant = grant(
                    name,
                    DEFAULT_ACCOUNT,
                    authorization.default_permissions.as_ref(),
                    "authorization",
                )?;
                users.by_name.insert(
                    name.clone(),
                    Entry { password: authorization.password.clone(), grant, doors: Doors::ALL },
                );
            }
            users.add(&authorization.users, DEFAULT_ACCOUNT)?;
        }
        for account in &conf.accounts {
            users.add(&account.users, &account.name)?;
        }
        users.by_certificate = conf.tls.as_ref().is_some_and(|tls| tls.verify_and_map);
        if let Some(name) = &conf.no_auth_user {
            let known = users
                .by_name
                .get(name)
                .map(|entry| entry.grant.clone())
                .or_else(|| users.by_nkey.get(name).map(|entry| entry.grant.clone()));
            users.fallback = Some(known.ok_or_else(|| UsersError::NoSuchUser(name.clone()))?);
        } else if users.nobody() {
            users.fallback = Some(Arc::new(Grant::unrestricted("anonymous")));
        }
        Ok(users)
    }

    /// The rights of somebody who logged in when `before` was in force; `None`: he would not be let in so now.
    pub(super) fn after(&self, before: &Self, grant: &Grant) -> Option<Arc<Grant>> {
        let name = &*grant.identity;
        let known = if let (Some(old), Some(new)) = (before.by_name.get(name), self.by_name.get(name)) {
            (old.password == new.password).then(|| new.grant.clone())
        } else if before.by_nkey.contains_key(name) {
            self.by_nkey.get(name).map(|entry| entry.grant.clone())
        } else if before.by_name.contains_key(name) {
            None
        } else if before.token.is_some() {
            (before.token == self.token).then(|| Arc::new(grant.clone()))
        } else {
            self.fallback.clone()
        };
        known.filter(|known| known.account == grant.account)
    }

    fn nobody(&self) -> bool {
        self.token.is_none() && self.by_name.is_empty() && self.by_nkey.is_empty()
    }

    fn add(&mut self, users: &[natsconf::User], account: &str) -> Result<(), UsersError> {
        for user in users {
            let grant = grant(user.login.id(), account, user.permissions.as_ref(), &user.at.to_string())?;
            let doors = Doors::of(user);
            match &user.login {
                natsconf::Login::Name { name, password } => {
                    self.by_name.insert(name.clone(), Entry { password: password.clone(), grant, doors });
                }
                natsconf::Login::Nkey(key) => {
                    self.by_nkey.insert(key.clone(), Entry { password: None, grant, doors });
                }
            }
        }
        Ok(())
    }

    async fn decide(&self, login: Login<'_>) -> Result<Arc<Grant>, Denied> {
        let Credentials::Client(options) = login.credentials else {
            return Err(Denied::new("wrong_port", "a leafnode on the client port"));
        };
        if self.by_certificate
            && let Some(found) = self.by_certificate(&login)?
        {
            return Ok(found);
        }
        if let (Some(key), Some(signature)) = (&options.nkey, &options.sig) {
            let entry =
                self.by_nkey.get(key).ok_or_else(|| Denied::new("unknown_user", "nkey is not configured"))?;
            entry.doors.admit(&login)?;
            return if signed(key, login.nonce, signature) {
                Ok(entry.grant.clone())
            } else {
                Err(Denied::new("signature", "the nonce is not signed by this nkey"))
            };
        }
        let given = options.auth_token.as_deref().or(options.pass.as_deref());
        if let Some(token) = &self.token {
            let given = given.or(options.user.as_deref()).unwrap_or_default();
            return if matches(token, given).await {
                Ok(Arc::new(Grant::unrestricted("token")))
            } else {
                Err(Denied::new("token", "wrong token"))
            };
        }
        match (&options.user, &self.fallback) {
            (Some(name), _) if self.by_name.contains_key(name) => {
                self.by_password(&login, name, given.unwrap_or_default()).await
            }
            (None, Some(fallback)) => Ok(fallback.clone()),
            (Some(_), Some(fallback)) if self.nobody() => Ok(fallback.clone()),
            (Some(_), _) => Err(Denied::new("unknown_user", "user is not configured")),
            (None, None) => Err(Denied::new("no_credentials", "nothing presented")),
        }
    }

    async fn by_password(&self, login: &Login<'_>, name: &str, given: &str) -> Result<Arc<Grant>, Denied> {
        let wrong = || Denied::new("password", format!("wrong password for {name:?}"));
        let entry = self.by_name.get(name).ok_or_else(wrong)?;
        entry.doors.admit(login)?;
        let Some(password) = &entry.password else {
            // Who says nothing is taken for this user, too: naming it gains nobody anything.
            let anybody = given.is_empty()
                && self.fallback.as_ref().is_some_and(|fallback| Arc::ptr_eq(fallback, &entry.grant));
            return if anybody { Ok(entry.grant.clone()) } else { Err(wrong()) };
        };
        if matches(password, given).await { Ok(entry.grant.clone()) } else { Err(wrong()) }
    }

    /// The user a certificate names, by e-mail, DNS name or common name.
    fn by_certificate(&self, login: &Login<'_>) -> Result<Option<Arc<Grant>>, Denied> {
        let Some(leaf) = login.certificates.first() else { return Ok(None) };
        let certificate = PeerCertificate::from_der(leaf)
            .map_err(|error| Denied::new("certificate", format!("unreadable certificate: {error}")))?;
        let common = certificate.cn.iter().flat_map(|cn| [format!("CN={cn}"), cn.clone()]);
        let names = certificate.emails.iter().chain(&certificate.dns).cloned().chain(common);
        let Some(entry) = names.into_iter().find_map(|name| self.by_name.get(&name)) else { return Ok(None) };
        entry.doors.admit(login)?;
        Ok(Some(entry.grant.clone()))
    }
}

impl Authenticator for Users {
    fn required(&self) -> bool {
        !self.nobody()
    }

    fn authenticate<'a>(&'a self, login: Login<'a>) -> Decision<'a> {
        Box::pin(async move { Ok(self.decide(login).await?.into()) })
    }
}

/// Compares in constant time, or with bcrypt on a thread where it may take its time.
async fn matches(secret: &Secret, given: &str) -> bool {
    if !secret.is_bcrypt_hash() {
        return bool::from(secret.expose().as_bytes().ct_eq(given.as_bytes()));
    }
    let (hash, given) = (secret.expose().to_owned(), given.to_owned());
    tokio::task::spawn_blocking(move || bcrypt::verify(given, &hash).unwrap_or(false)).await.unwrap_or(false)
}

/// Whether `signature` is the key's signature of the nonce. Clients write it in either alphabet of base64, with and
/// without padding.
pub(super) fn signed(key: &str, nonce: &str, signature: &str) -> bool {
    let signature = signature.trim_end_matches('=').replace('+', "-").replace('/', "_");
    let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return false };
    nkeys::KeyPair::from_public_key(key).is_ok_and(|key| key.verify(nonce.as_bytes(), &signature).is_ok())
}

fn grant(
    name: &str,
    account: &str,
    permissions: Option<&Permissions>,
    at: &str,
) -> Result<Arc<Grant>, UsersError> {
    let mut grant = Grant::unrestricted(name);
    grant.account = account.into();
    if let Some(permissions) = permissions {
        grant.rights =
            rights(permissions).map_err(|source| UsersError::Permission { at: at.to_owned(), source })?;
    }
    Ok(Arc::new(grant))
}

fn rights(permissions: &Permissions) -> Result<Rights, PermissionError> {
    let lists = |rules: &SubjectRules| (rules.allow.clone(), rules.deny.clone());
    let publish = match permissions.publish.as_ref().map(lists) {
        Some((allow, deny)) => Permission::for_publish(allow.as_deref(), &deny)?,
        None => Permission::everything(),
    };
    let subscribe = match permissions.subscribe.as_ref().map(lists) {
        Some((allow, deny)) => Permission::for_subscribe(allow.as_deref(), &deny)?,
        None => Permission::everything(),
    };
    let responses = permissions.allow_responses.map(|responses| ResponseLimit {
        max: responses.max.map(|max| u32::try_from(max).unwrap_or(u32::MAX)),
        ttl: responses.expires,
    });
    Ok(Rights::new(publish, subscribe, responses))
}

/// Decides about links as the `authorization` of a `leafnodes` block says; without one, as about clients.
pub struct LeafUsers {
    authorization: Option<LeafAuthorization>,
    tls: bool,
    clients: Arc<dyn Authenticator>,
}

impl LeafUsers {
    /// `tls` says that links have shown a verified certificate; `clients` decides about clients.
    #[must_use]
    pub fn new(authorization: Option<LeafAuthorization>, tls: bool, clients: Arc<dyn Authenticator>) -> Self {
        Self { authorization, tls, clients }
    }

    /// A link where no `authorization` is for links: it logs in as a user, as on nats-server. Where there are no
    /// users, TLS alone decides, or nothing does.
    async fn as_client(&self, login: Login<'_>, connect: &LeafConnect) -> Result<Arc<Grant>, Denied> {
        if self.tls && login.certificates.is_empty() {
            return Err(Denied::new("no_certificate", "the link showed no certificate"));
        }
        if !self.clients.required() {
            return Ok(Arc::new(Grant::unrestricted("leafnode")));
        }
        let options = ConnectOptions {
            user: connect.user.clone(),
            pass: connect.pass.clone(),
            auth_token: connect.auth_token.clone(),
            jwt: connect.jwt.clone(),
            nkey: connect.nkey.clone(),
            sig: connect.sig.clone(),
            ..ConnectOptions::default()
        };
        let login = Login { credentials: Credentials::Client(&options), ..login };
        Ok(self.clients.authenticate(login).await?.grant)
    }

    async fn decide(&self, login: Login<'_>) -> Result<Arc<Grant>, Denied> {
        let Credentials::Leafnode(connect) = login.credentials else {
            return Err(Denied::new("wrong_port", "a client on the leafnode port"));
        };
        let grant = |name: &str, account: Option<&String>| {
            let mut grant = Grant::unrestricted(name);
            grant.account = account.map_or(DEFAULT_ACCOUNT, String::as_str).into();
            Arc::new(grant)
        };
        let Some(authorization) = &self.authorization else { return self.as_client(login, connect).await };
        let name = connect.user.as_deref().unwrap_or_default();
        let given = connect.pass.as_deref().unwrap_or_default();
        let single =
            authorization.user.as_ref().map(|user| (user, &authorization.password, &authorization.account));
        let listed = authorization.users.iter().map(|user| (&user.name, &user.password, &user.account));
        for (user, password, account) in single.into_iter().chain(listed) {
            if user == name {
                let right = match password {
                    Some(password) => matches(password, given).await,
                    None => given.is_empty(),
                };
                return if right {
                    Ok(grant(name, account.as_ref()))
                } else {
                    Err(Denied::new("password", format!("wrong password for leafnode user {name:?}")))
                };
            }
        }
        Err(Denied::new("unknown_user", "leafnode user is not configured"))
    }
}

impl Authenticator for LeafUsers {
    fn required(&self) -> bool {
        self.authorization.is_some() || self.clients.required()
    }

    fn authenticate<'a>(&'a self, login: Login<'a>) -> Decision<'a> {
        Box::pin(async move { Ok(self.decide(login).await?.into()) })
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn users(text: &str) -> Users {
        let (conf, _) = natsconf::parse_text("t.conf", text, &|_| None, false).unwrap();
        Users::new(&conf).unwrap()
    }

    #[test]
    fn a_reload_decides_about_those_who_are_in() {
        let before = users("authorization { users: [{user: a, password: x}, {user: b, password: y}] }");
        let rights = "permissions: {publish: p, subscribe: s}";
        let after = users(&format!("authorization {{ users: [{{user: a, password: x, {rights}}}] }}"));
        let grant = |name: &str| Grant::unrestricted(name);
        assert!(!after.after(&before, &grant("a")).unwrap().rights.may_publish(b"q"));
        assert!(after.after(&before, &grant("b")).is_none(), "b is gone");
        let moved = users("accounts { X { users: [{user: a, password: x}] } }");
        assert!(moved.after(&before, &grant("a")).is_none(), "a belongs to another account");
        let changed = users("authorization { users: [{user: a, password: z}] }");
        assert!(changed.after(&before, &grant("a")).is_none(), "a has another password");
        let token = users("authorization { token: t }");
        assert!(token.after(&users("authorization { token: t }"), &grant("token")).is_some());
        assert!(token.after(&users("authorization { token: u }"), &grant("token")).is_none());
        assert!(after.after(&users(""), &grant("anonymous")).is_none());
        assert!(users("").after(&users(""), &grant("anonymous")).is_some());
    }

    #[test]
    fn signatures_in_either_alphabet() {
        let key = nkeys::KeyPair::new_user();
        // Long enough to meet the letters in which the alphabets differ.
        for nonce in (0..64).map(|number| format!("nonce{number}")) {
            let raw = key.sign(nonce.as_bytes()).unwrap();
            assert!(signed(&key.public_key(), &nonce, &BASE64_STANDARD.encode(&raw)));
            assert!(signed(&key.public_key(), &nonce, &BASE64_URL_SAFE_NO_PAD.encode(&raw)));
            assert!(!signed(&key.public_key(), "another", &BASE64_STANDARD.encode(&raw)));
        }
    }

    #[tokio::test]
    async fn a_link_without_rules_of_its_own_logs_in_as_a_user() {
        let decide = async |text: &str, connect: &str| {
            let clients: Arc<dyn Authenticator> = Arc::new(users(text));
            let links = LeafUsers::new(None, false, clients);
            let connect: LeafConnect = serde_json::from_str(connect).unwrap();
            let login = Login {
                credentials: Credentials::Leafnode(&connect),
                certificates: &[],
                address: ([127, 0, 0, 1], 1).into(),
                websocket: false,
                nonce: "",
                until: std::time::Instant::now() + std::time::Duration::from_secs(5),
            };
            links.decide(login).await.map(|grant| grant.account.to_string()).map_err(|denied| denied.reason)
        };
        let accounts = "accounts { APP { users: [{user: a, password: x}] } }";
        assert_eq!(decide(accounts, r#"{"user":"a","pass":"x"}"#).await, Ok("APP".to_owned()));
        assert_eq!(decide(accounts, r#"{"user":"a","pass":"y"}"#).await, Err("password"));
        assert_eq!(decide(accounts, "{}").await, Err("no_credentials"));
        assert_eq!(decide("authorization { token: t }", "{}").await, Err("token"));
        assert_eq!(decide("", "{}").await, Ok(DEFAULT_ACCOUNT.to_owned()));
    }
}
