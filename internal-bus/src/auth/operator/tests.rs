//! Operator, account and user JWTs minted here, right and wrong.

use nkeys::KeyPair;
use serde_json::{Value, json};
use wire::info::ConnectOptions;

use super::*;

pub(super) fn jwt(key: &KeyPair, claims: Value) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

struct World {
    account: KeyPair,
    user: KeyPair,
    operators: Operators,
    signing: KeyPair,
}

fn world(account_claims: Value) -> Result<World, OperatorError> {
    let (operator, account, user, signing) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user(), KeyPair::new_account());
    let mut nats = json!({"type": "account", "version": 2, "signing_keys": [signing.public_key()]});
    for (key, value) in account_claims.as_object().unwrap() {
        nats[key] = value.clone();
    }
    let mode = OperatorMode {
        operators: vec![jwt(
            &operator,
            json!({"iss": operator.public_key(), "sub": operator.public_key(), "nats": {"type": "operator", "version": 2}}),
        )],
        trusted_keys: Vec::new(),
        preload: vec![(
            account.public_key(),
            jwt(&operator, json!({"iss": operator.public_key(), "sub": account.public_key(), "nats": nats})),
        )],
    };
    let operators = Operators::new(&mode)?;
    Ok(World { account, user, operators, signing })
}

impl World {
    fn user_jwt(&self, key: &KeyPair, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": key.public_key(), "sub": self.user.public_key(), "name": "anna", "iat": 1000,
            "nats": {"type": "user", "version": 2, "pub": {"allow": ["orders.>"]}, "sub": {}, "subs": -1},
        });
        change(&mut claims);
        jwt(key, claims)
    }

    fn log_in(&self, jwt: String, signer: &KeyPair) -> Result<Arc<Grant>, Denied> {
        let nonce = "abc";
        let sig = BASE64_URL_SAFE_NO_PAD.encode(signer.sign(nonce.as_bytes()).unwrap());
        let options = ConnectOptions { jwt: Some(jwt), sig: Some(sig), ..ConnectOptions::default() };
        let login = Login {
            credentials: Credentials::Client(&options),
            certificates: &[],
            address: ([127, 0, 0, 1], 1).into(),
            websocket: false,
            nonce,
            until: std::time::Instant::now(),
        };
        self.operators.decide(&login)
    }

    fn refused(&self, jwt: String, signer: &KeyPair) -> &'static str {
        self.log_in(jwt, signer).map_or_else(|denied| denied.reason, |_| "let in")
    }
}

#[test]
fn an_operator_may_be_trusted_by_its_key_alone() {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let claims = json!({"iss": operator.public_key(), "sub": account.public_key(),
        "nats": {"type": "account", "version": 2}});
    let trusting = |key: &KeyPair| {
        Operators::new(&OperatorMode {
            operators: Vec::new(),
            trusted_keys: vec![key.public_key()],
            preload: vec![(account.public_key(), jwt(&operator, claims.clone()))],
        })
    };
    assert!(trusting(&operator).is_ok());
    let refused = trusting(&KeyPair::new_operator()).map(drop);
    assert!(matches!(refused, Err(OperatorError::Account { source: JwtError::Issuer, .. })));
}

#[test]
fn a_user_of_a_preloaded_account_gets_the_rights_its_jwt_names() {
    let world = world(json!({})).unwrap();
    let grant = world.log_in(world.user_jwt(&world.account, |_| {}), &world.user).unwrap();
    assert_eq!((&*grant.identity, &*grant.account), ("anna", world.account.public_key().as_str()));
    assert!(grant.rights.may_publish(b"orders.new") && !grant.rights.may_publish(b"other"));
    assert!(grant.rights.may_subscribe(b"anything.>", None));
}

#[test]
fn what_is_wrong_is_refused() {
    let world = world(json!({})).unwrap();
    let right = world.user_jwt(&world.account, |_| {});
    let stranger = KeyPair::new_account();
    let mut tampered = right.clone();
    tampered.replace_range(right.len() - 4.., if right.ends_with("AAAA") { "BBBB" } else { "AAAA" });
    let cases = [
        ("signature", right.clone(), &KeyPair::new_user()),
        ("signature", tampered, &world.user),
        ("issuer", world.user_jwt(&stranger, |_| {}), &world.user),
        ("expired", world.user_jwt(&world.account, |claims| claims["exp"] = json!(1001)), &world.user),
        (
            "not_yet_valid",
            world.user_jwt(&world.account, |claims| claims["nbf"] = json!(i64::MAX)),
            &world.user,
        ),
        (
            "type",
            world.user_jwt(&world.account, |claims| claims["nats"]["type"] = json!("account")),
            &world.user,
        ),
        ("malformed", "a.b".to_owned(), &world.user),
        ("malformed", "x".repeat(LONGEST + 1), &world.user),
        // A signing key signs for the account it belongs to, and says so.
        ("issuer", world.user_jwt(&world.signing, |_| {}), &world.user),
    ];
    for (expected, jwt, signer) in cases {
        assert_eq!(world.refused(jwt, signer), expected);
    }
}

#[test]
fn signing_keys_sign_for_their_account_only() {
    let world = world(json!({})).unwrap();
    let named = |claims: &mut Value| claims["nats"]["issuer_account"] = json!(world.account.public_key());
    assert!(world.log_in(world.user_jwt(&world.signing, named), &world.user).is_ok());
    assert_eq!(world.refused(world.user_jwt(&KeyPair::new_account(), named), &world.user), "issuer");
}

#[test]
fn a_scoped_key_fixes_the_rights() {
    let scoped = KeyPair::new_account();
    let world = world(json!({"signing_keys": [{
        "kind": "user_scope", "key": scoped.public_key(), "template": {"pub": {"allow": ["only.this"]}},
    }]}))
    .unwrap();
    let jwt = world
        .user_jwt(&scoped, |claims| claims["nats"]["issuer_account"] = json!(world.account.public_key()));
    let grant = world.log_in(jwt, &world.user).unwrap();
    assert!(grant.rights.may_publish(b"only.this") && !grant.rights.may_publish(b"orders.new"));
}

#[test]
fn a_template_with_placeholders_lets_nobody_in() {
    let scoped = KeyPair::new_account();
    let world = world(json!({"signing_keys": [{
        "kind": "user_scope", "key": scoped.public_key(), "template": {"pub": {"deny": ["secret.{{name()}}.>"]}},
    }]}))
    .unwrap();
    let named = |claims: &mut Value| claims["nats"]["issuer_account"] = json!(world.account.public_key());
    assert_eq!(world.refused(world.user_jwt(&scoped, named), &world.user), "template");
}

#[test]
fn revoked_users_stay_out_until_they_have_a_newer_jwt() {
    let world = world(json!({"revocations": {"*": 1000}})).unwrap();
    assert_eq!(world.refused(world.user_jwt(&world.account, |_| {}), &world.user), "revoked");
    let newer = world.user_jwt(&world.account, |claims| claims["iat"] = json!(1001));
    assert!(world.log_in(newer, &world.user).is_ok());
}

#[test]
fn a_bearer_needs_no_signature() {
    let world = world(json!({})).unwrap();
    let jwt = world.user_jwt(&world.account, |claims| claims["nats"]["bearer_token"] = json!(true));
    assert!(world.log_in(jwt, &KeyPair::new_user()).is_ok());
}

#[test]
fn who_may_come_in_is_bounded_by_account_template_and_user() {
    let bearer = |claims: &mut Value| claims["nats"]["bearer_token"] = json!(true);
    let strict = world(json!({"limits": {"disallow_bearer": true}})).unwrap();
    assert_eq!(strict.refused(strict.user_jwt(&strict.account, bearer), &strict.user), "bearer");
    // As is, the login is by the first port from 127.0.0.1.
    let only_websocket = json!(["WEBSOCKET"]);
    let plain = world(json!({})).unwrap();
    let types = |claims: &mut Value| claims["nats"]["allowed_connection_types"] = only_websocket.clone();
    assert_eq!(plain.refused(plain.user_jwt(&plain.account, types), &plain.user), "connection_type");
    let elsewhere = |claims: &mut Value| claims["nats"]["src"] = json!(["10.0.0.0/8"]);
    assert_eq!(plain.refused(plain.user_jwt(&plain.account, elsewhere), &plain.user), "source");
    let scoped = KeyPair::new_account();
    let world = world(json!({"signing_keys": [{
        "kind": "user_scope", "key": scoped.public_key(), "template": {"allowed_connection_types": only_websocket},
    }]}))
    .unwrap();
    let named = |claims: &mut Value| claims["nats"]["issuer_account"] = json!(world.account.public_key());
    assert_eq!(world.refused(world.user_jwt(&scoped, named), &world.user), "connection_type");
}

#[test]
fn an_account_may_store_what_its_tier_of_one_copy_allows() {
    let streams = |limits: Value| {
        let limits = world(json!({ "limits": limits })).unwrap().operators.stream_limits();
        limits.into_iter().next().map(|(_, limits)| (limits.max_file, limits.max_streams))
    };
    let flat = json!({"disk_storage": 1000, "streams": 3});
    assert_eq!(streams(flat.clone()), Some((Some(1000), Some(3))));
    assert_eq!(
        streams(json!({"tiered_limits": {"R1": flat, "R3": {"disk_storage": -1}}})),
        Some((Some(1000), Some(3)))
    );
    assert_eq!(streams(json!({"tiered_limits": {"R3": {"disk_storage": -1}}})), None);
}

#[test]
fn nobody_outlives_the_jwt_of_the_account() {
    let mut world = world(json!({})).unwrap();
    let now = unix_now();
    let user = world.user_jwt(&world.account, |claims| claims["exp"] = json!(now + 2000));
    for (exp, expected) in [
        (0, Ok(now + 2000)),
        (now + 1000, Ok(now + 1000)),
        (now + 3000, Ok(now + 2000)),
        (now - 1, Err("expired")),
    ] {
        world.operators.accounts.get_mut(&world.account.public_key()).unwrap().exp = exp;
        let found = world.log_in(user.clone(), &world.user);
        let ends = found.map(|grant| grant.expires_at).map_err(|denied| denied.reason);
        assert_eq!(ends, expected.map(|at| u64::try_from(at).ok()));
    }
}

#[test]
fn accounts_have_to_be_signed_by_the_operator() {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let other = KeyPair::new_operator();
    let operator_jwt = jwt(
        &operator,
        json!({"iss": operator.public_key(), "sub": operator.public_key(), "nats": {"type": "operator"}}),
    );
    let preload = |key: &KeyPair| {
        let claims =
            json!({"iss": key.public_key(), "sub": account.public_key(), "nats": {"type": "account"}});
        vec![(account.public_key(), jwt(key, claims))]
    };
    let mode = |key: &KeyPair| OperatorMode {
        operators: vec![operator_jwt.clone()],
        trusted_keys: Vec::new(),
        preload: preload(key),
    };
    assert!(Operators::new(&mode(&operator)).is_ok());
    let error = Operators::new(&mode(&other)).err().unwrap();
    assert!(matches!(error, OperatorError::Account { source: JwtError::Issuer, .. }), "{error}");
}

#[test]
fn version_1_signs_the_claims_alone() {
    let world = world(json!({})).unwrap();
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = part(json!({
        "iss": world.account.public_key(), "sub": world.user.public_key(), "type": "user",
        "nats": {"pub": {}, "sub": {}},
    }));
    let header = part(json!({"typ": "jwt", "alg": "ed25519"}));
    let token = |covered: &str| {
        let signature = BASE64_URL_SAFE_NO_PAD.encode(world.account.sign(covered.as_bytes()).unwrap());
        format!("{header}.{claims}.{signature}")
    };
    assert!(world.log_in(token(&claims), &world.user).is_ok());
    assert_eq!(world.refused(token(&format!("{header}.{claims}")), &world.user), "signature");
}
