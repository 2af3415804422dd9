//! Loading and choosing keys, reloading them, and minting.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use jsonwebtoken::Algorithm as A;
use serde_json::{Value, json};

use super::mint::{MintKey, mint};
use super::testing::*;
use super::*;

const ALL: [A; 9] =
    [A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512, A::ES256, A::ES384, A::EdDSA];

fn load(algorithms: &[A], source: KeySource) -> Result<TokenVerifier, String> {
    TokenVerifier::new(vec![config(ISSUER, algorithms, source)])
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn load_jwks(algorithms: &[A], keys: &Value) -> Result<TokenVerifier, String> {
    let files = Files::new();
    let path = files.write("jwks.json", json!({"keys": keys}).to_string());
    load(algorithms, KeySource::JwksFile(path))
}

fn refusal(algorithms: &[A], keys: Value) -> String {
    load_jwks(algorithms, &keys).unwrap_err()
}

#[test]
fn every_algorithm_verifies() {
    let keys = json!([
        EC.jwk(json!({"kid": "a"})),
        EC384.jwk(json!({"kid": "b"})),
        ED.jwk(json!({"kid": "c"})),
        RSA.jwk(json!({"kid": "d"})),
    ]);
    let verifier = load_jwks(&ALL, &keys).unwrap();
    for algorithm in ALL {
        let (key, kid) = match algorithm {
            A::ES256 => (&EC, "a"),
            A::ES384 => (&EC384, "b"),
            A::EdDSA => (&ED, "c"),
            _ => (&RSA, "d"),
        };
        let header = json!({"alg": format!("{algorithm:?}"), "kid": kid}).to_string();
        let token = sign_with(&key.encoding, algorithm, &header, &claims(json!({})).to_string());
        assert!(verifier.verify(&token, NOW).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn a_key_restricted_to_one_algorithm_serves_no_other() {
    let verifier = load_jwks(&ALL, &json!([RSA.jwk(json!({"kid": "rsa", "alg": "RS512"}))])).unwrap();
    assert_eq!(
        verifier.verify(&RSA.token("rsa", &claims(json!({}))), NOW).unwrap_err(),
        TokenError::UnknownKey
    );
}

#[test]
fn a_token_without_kid_needs_a_single_key() {
    let token = EC.sign(r#"{"alg":"ES256"}"#, &claims(json!({})).to_string());
    let one = json!([EC.jwk(json!({"kid": "a"})), RSA.jwk(json!({"kid": "b"}))]);
    let two = json!([EC.jwk(json!({"kid": "a"})), EC_OTHER.jwk(json!({"kid": "b"}))]);
    assert!(load_jwks(&[A::ES256, A::RS256], &one).unwrap().verify(&token, NOW).is_ok());
    let refused = load_jwks(&[A::ES256], &two).unwrap().verify(&token, NOW);
    assert_eq!(refused.unwrap_err(), TokenError::UnknownKey);
    // A key its issuer did not name fits any kid, as long as there is no choice.
    let unnamed = json!([EC.jwk(json!({}))]);
    let token = EC.token("whatever", &claims(json!({})));
    assert!(load_jwks(&[A::ES256], &unnamed).unwrap().verify(&token, NOW).is_ok());
}

#[test]
fn unsafe_or_useless_sets_are_refused() {
    let weak = json!([{"kty": "RSA", "n": base64([0xff; 128]), "e": "AQAB"}]);
    assert!(refusal(&[A::RS256], weak).contains("1024 bits"));
    let padded = json!([{"kty": "RSA", "n": base64([vec![0; 200], vec![0xff; 128]].concat()), "e": "AQAB"}]);
    assert!(refusal(&[A::RS256], padded).contains("1024 bits"));
    let exponent = json!([RSA.jwk(json!({"e": "AQ"}))]);
    assert!(refusal(&[A::RS256], exponent).contains("exponent"));
    let twice = json!([EC.jwk(json!({"kid": "a"})), EC_OTHER.jwk(json!({"kid": "a"}))]);
    assert!(refusal(&[A::ES256], twice).contains("duplicate kid `a`"));
    let off_curve = json!([EC.jwk(json!({"x": base64([7; 32])}))]);
    assert!(refusal(&[A::ES256], off_curve).contains("not a point"));
    let private = json!([EC.jwk(json!({"d": base64([1; 32])}))]);
    let told = refusal(&[A::ES256], private);
    assert!(told.contains("private") && !told.contains(&base64([1; 32])), "{told}");
    for useless in [
        json!([]),
        json!([EC.jwk(json!({"use": "enc"}))]),
        json!([EC.jwk(json!({"key_ops": ["sign"]}))]),
        json!([EC.jwk(json!({"alg": "ES256K"}))]),
        json!([{"kty": "XYZ"}]),
        json!([EC384.jwk(json!({}))]),
    ] {
        assert!(refusal(&[A::ES256], useless).contains("no key for any"));
    }
    let files = Files::new();
    for text in ["", "[]", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[],"keys":[]}"#] {
        let path = files.write("bad.json", text);
        assert!(load(&[A::ES256], KeySource::JwksFile(path)).is_err(), "{text}");
    }
    let big = files.write("big.json", vec![b' '; 1024 * 1024 + 1]);
    assert!(load(&[A::ES256], KeySource::JwksFile(big)).unwrap_err().contains("larger than"));
    let missing = files.path().join("missing.json");
    assert!(load(&[A::ES256], KeySource::JwksFile(missing)).unwrap_err().contains("cannot read"));
}

#[test]
fn pem_files_and_certificates() {
    let files = Files::new();
    let pair = rcgen::KeyPair::from_pem(&EC.pem).unwrap();
    let public = files.write("ec-1.pem", pair.public_key_pem());
    let certificate = rcgen::CertificateParams::new(vec!["x".into()]).unwrap().self_signed(&pair).unwrap();
    let certificate = files.write("ec-2.pem", certificate.pem());
    let rsa = rcgen::KeyPair::from_pem(&RSA.pem).unwrap();
    let rsa = files.write("rsa-1.pem", rsa.public_key_pem());
    let ed = files.write("ed.pem", rcgen::KeyPair::from_pem(&ED.pem).unwrap().public_key_pem());

    let sources =
        |paths: &[&PathBuf]| KeySource::PemFiles(paths.iter().map(|path| (*path).clone()).collect());
    let algorithms = [A::ES256, A::RS256, A::EdDSA];
    for ec in [&public, &certificate] {
        let verifier = load(&algorithms, sources(&[ec, &rsa, &ed])).unwrap();
        for token in [
            EC.token("the issuer's own name for it", &claims(json!({}))),
            RSA.token("rsa-1", &claims(json!({}))),
            ED.token("x", &claims(json!({}))),
        ] {
            assert!(verifier.verify(&token, NOW).is_ok());
        }
    }
    // With two keys for an algorithm the token has to say which.
    let verifier = load(&algorithms, sources(&[&public, &certificate])).unwrap();
    assert!(verifier.verify(&EC.token("ec-2", &claims(json!({}))), NOW).is_ok());
    let refused = verifier.verify(&EC.token("other", &claims(json!({}))), NOW);
    assert_eq!(refused.unwrap_err(), TokenError::UnknownKey);

    let private = files.write("private.pem", &EC.pem);
    assert!(load(&algorithms, sources(&[&private])).unwrap_err().contains("private key"));
    for text in ["", "nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        let path = files.write("bad.pem", text);
        assert!(load(&algorithms, sources(&[&path])).is_err(), "{text}");
    }
}

#[test]
fn secrets_are_long_enough_and_alone() {
    let files = Files::new();
    let secret = |name: &str, length: usize| KeySource::SecretFile(files.write(name, "s".repeat(length)));
    assert!(load(&[A::HS256], secret("a", 32)).is_ok());
    assert!(load(&[A::HS256], secret("b", 31)).unwrap_err().contains("shorter"));
    assert!(load(&[A::HS256, A::HS512], secret("c", 63)).unwrap_err().contains("shorter"));
    assert!(load(&[A::HS256, A::ES256], secret("d", 64)).unwrap_err().contains("secret_file"));
    let jwks = files.write("jwks.json", json!({"keys": [EC.jwk(json!({}))]}).to_string());
    assert!(load(&[A::ES256, A::HS256], KeySource::JwksFile(jwks)).is_err());
    // An editor's line end is not part of the secret.
    let line = files.write("line", [SECRET, b"\r\n"].concat());
    let verifier = load(&[A::HS256], KeySource::SecretFile(line)).unwrap();
    let token = mint(&MintKey::from_secret(SECRET).unwrap(), &claims(json!({}))).unwrap();
    assert!(verifier.verify(&token, NOW).is_ok());
}

#[test]
fn configuration_errors_come_all_at_once() {
    let pushed = |issuer: &str| config(issuer, &[A::ES256], KeySource::Pushed);
    let mut no_audience = pushed("a");
    no_audience.audience.clear();
    let mut no_algorithm = pushed("b");
    no_algorithm.algorithms.clear();
    let configs = vec![no_audience, no_algorithm, pushed(""), pushed("c"), pushed("c")];
    let errors = TokenVerifier::new(configs).unwrap_err();
    assert_eq!(errors.len(), 4, "{errors:?}");
}

#[test]
fn reload_takes_new_keys_and_keeps_old_ones_on_error() {
    let files = Files::new();
    let set = |key: &Signer| json!({"keys": [key.jwk(json!({"kid": "k"}))]}).to_string();
    let path = files.write("jwks.json", set(&EC));
    let verifier = load(&[A::ES256], KeySource::JwksFile(path)).unwrap();
    let (old, new) = (EC.token("k", &claims(json!({}))), EC_OTHER.token("k", &claims(json!({}))));
    assert!(verifier.verify(&old, NOW).is_ok());

    files.write("jwks.json", "not json");
    assert_eq!(verifier.reload().unwrap_err().len(), 1);
    assert!(verifier.verify(&old, NOW).is_ok());

    files.write("jwks.json", set(&EC_OTHER));
    verifier.reload().unwrap();
    assert_eq!(verifier.verify(&old, NOW).unwrap_err(), TokenError::Signature);
    assert!(verifier.verify(&new, NOW).is_ok());
}

#[test]
fn pushed_keys() {
    let verifier = load(&[A::ES256], KeySource::Pushed).unwrap();
    let token = EC.token("k", &claims(json!({})));
    assert_eq!(verifier.verify(&token, NOW).unwrap_err(), TokenError::UnknownKey);
    let set = json!({"keys": [EC.jwk(json!({"kid": "k"}))]}).to_string();
    verifier.replace_keys(ISSUER, set.as_bytes()).unwrap();
    assert!(verifier.verify(&token, NOW).is_ok());
    assert!(verifier.replace_keys(ISSUER, b"{}").is_err());
    assert!(verifier.replace_keys("other", set.as_bytes()).is_err());
    verifier.reload().unwrap();
    assert!(verifier.verify(&token, NOW).is_ok());
}

#[test]
fn settings_want_exactly_one_key_source() {
    let read = |text: &str| {
        let settings: Result<IssuerSettings, _> = serde_json::from_str(text);
        settings.map_err(|error| error.to_string())?.into_config().map_err(|error| error.to_string())
    };
    let config = read(r#"{"issuer":"i","audience":["a"],"algorithms":["ES256"],"jwks_file":"f"}"#).unwrap();
    assert_eq!(config.leeway, DEFAULT_LEEWAY);
    for (bad, word) in [
        (r#"{"issuer":"i","audience":["a"],"algorithms":["ES256"]}"#, "exactly one"),
        (
            r#"{"issuer":"i","audience":["a"],"algorithms":["ES256"],"jwks_file":"f","secret_file":"g"}"#,
            "exactly one",
        ),
        (r#"{"issuer":"i","audience":["a"],"algorithms":["none"],"jwks_file":"f"}"#, "unknown algorithm"),
        (r#"{"issuer":"i","algorithms":["ES256"],"jwks_file":"f"}"#, "audience"),
        (r#"{"issuer":"i","audience":["a"],"jwks_file":"f"}"#, "algorithms"),
        (r#"{"issuer":"i","audience":["a"],"algorithms":["ES256"],"jwks_fil":"f"}"#, "unknown field"),
    ] {
        let told = read(bad).unwrap_err();
        assert!(told.contains(word), "{told}");
    }
}

#[test]
fn development_issuer() {
    let files = Files::new();
    let directory = files.path().join("issuer");
    let made = DevIssuer::load_or_create(&directory).unwrap();
    let mode = std::fs::metadata(made.key_path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(DevIssuer::create(&directory).is_err(), "an existing key is never overwritten");
    let again = DevIssuer::load_or_create(&directory).unwrap();
    assert_eq!(again.key().kid(), made.key().kid());

    let verifier = load(&[A::ES256], KeySource::JwksFile(made.jwks_path())).unwrap();
    let token = again.mint(&claims(json!({}))).unwrap();
    assert!(verifier.verify(&token, NOW).is_ok());
    let told = format!("{again:?}");
    assert!(!told.contains("PRIVATE") && told.contains("ES256"), "{told}");
}

#[test]
fn minting_with_every_kind_of_key() {
    let keys = json!([EC.jwk(json!({})), EC384.jwk(json!({})), ED.jwk(json!({})), RSA.jwk(json!({}))]);
    let verifier = load_jwks(&ALL, &keys).unwrap();
    for signer in [&*EC, &*EC384, &*ED, &*RSA] {
        let key = MintKey::from_pem(signer.pem.as_bytes()).unwrap();
        assert_eq!(key.algorithm(), signer.algorithm);
        assert!(verifier.verify(&mint(&key, &claims(json!({}))).unwrap(), NOW).is_ok());
    }
    let ps = MintKey::from_pem(RSA.pem.as_bytes()).unwrap().with_algorithm(A::PS256);
    assert!(verifier.verify(&mint(&ps, &claims(json!({}))).unwrap(), NOW).is_ok());
    let wrong = MintKey::from_pem(EC.pem.as_bytes()).unwrap().with_algorithm(A::RS256);
    assert!(mint(&wrong, &claims(json!({}))).is_err());
    assert!(MintKey::from_pem(b"nonsense").is_err());
    assert!(MintKey::from_secret(&[7; 31]).is_err());
    assert!(mint(&ps, &json!("not an object")).is_err());
}
