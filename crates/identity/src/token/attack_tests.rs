//! Attacks on tokens, one row each, and the exact error each must meet.

use serde_json::{Value, json};

use super::TokenError as E;
use super::testing::*;
use super::*;

/// A row: what the attack is, the token, the error.
type Row = (&'static str, String, E);

fn check(rows: Vec<Row>) {
    for (name, token, expected) in rows {
        assert_eq!(verify(&token).unwrap_err(), expected, "{name}");
    }
}

/// A token of the usual issuer's EC key with another header.
fn with_header(header: Value) -> String {
    EC.sign(&header.to_string(), &claims(json!({})).to_string())
}

/// The same with further headers.
fn with_headers(more: Value) -> String {
    let mut header = json!({"alg": "ES256", "typ": "JWT", "kid": "ec"});
    header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    with_header(header)
}

fn with_claims(more: Value) -> String {
    EC.token("ec", &claims(more))
}

fn good() -> String {
    with_claims(json!({}))
}

/// The good token with its signature replaced.
fn resigned(signature: &str) -> String {
    let token = good();
    let (message, _) = token.rsplit_once('.').unwrap();
    format!("{message}.{signature}")
}

#[test]
fn good_tokens_pass() {
    let secret = jsonwebtoken::EncodingKey::from_secret(SECRET);
    let mut secret_claims = claims(json!({}));
    secret_claims["iss"] = SECRET_ISSUER.into();
    for token in [
        good(),
        RSA.token("rsa", &claims(json!({}))),
        ED.token("ed", &claims(json!({}))),
        with_claims(json!({"aud": ["other", "events"]})),
        with_claims(json!({"exp": NOW as f64 + 0.5, "nbf": NOW})),
        with_claims(json!({"exp": NOW - 29, "nbf": NOW + 30, "iat": NOW + 30})),
        with_header(json!({"alg": "ES256"})),
        with_headers(json!({"typ": "at+jwt"})),
        with_headers(json!({"typ": "application/AT+JWT"})),
        with_headers(json!({"x5t": "abc", "cty": "json"})),
        sign_with(&secret, Algorithm::HS256, r#"{"alg":"HS256"}"#, &secret_claims.to_string()),
        sign_with(&secret, Algorithm::HS256, r#"{"alg":"HS256","kid":"any"}"#, &secret_claims.to_string()),
    ] {
        assert_eq!(verify(&token).unwrap().sub(), Some("alice"));
    }
}

#[test]
fn algorithms_are_not_the_tokens_to_choose() {
    let mut rows: Vec<Row> = Vec::new();
    for none in ["none", "None", "NONE", "nOnE", "", "HS257", "ES256K", "es256"] {
        rows.push(("alg none and its kind", with_header(json!({"alg": none, "kid": "ec"})), E::Algorithm));
    }
    let unsigned = format!("{}.{}.", base64(r#"{"alg":"none"}"#), base64(claims(json!({})).to_string()));
    rows.push(("alg none, no signature", unsigned, E::Signature));
    rows.push(("no alg", with_header(json!({"kid": "ec"})), E::Algorithm));
    rows.push((
        "alg is a list",
        with_header(json!({"alg": ["ES256"]})),
        E::Malformed("a header is not text"),
    ));
    // The public key as an HMAC secret: in every notation an attacker could find it.
    let public = RSA.jwk(json!({}));
    for secret in [public.to_string(), public["n"].as_str().unwrap().to_owned(), RSA.pem.clone()] {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        let header = r#"{"alg":"HS256","kid":"rsa"}"#;
        let token = sign_with(&key, Algorithm::HS256, header, &claims(json!({})).to_string());
        rows.push(("RS256 to HS256", token, E::Algorithm));
    }
    // Fits the key, but the issuer's configuration does not name it.
    let header = r#"{"alg":"PS256","kid":"rsa"}"#;
    let token = sign_with(&RSA.encoding, Algorithm::PS256, header, &claims(json!({})).to_string());
    rows.push(("algorithm not configured", token, E::Algorithm));
    let header = r#"{"alg":"RS256","kid":"ec"}"#;
    let token = sign_with(&RSA.encoding, Algorithm::RS256, header, &claims(json!({})).to_string());
    rows.push(("kid of a key for another algorithm", token, E::UnknownKey));
    let mut stolen = claims(json!({}));
    stolen["iss"] = SECRET_ISSUER.into();
    rows.push(("ES256 where a secret is configured", EC.token("ec", &stolen), E::Algorithm));
    check(rows);
}

#[test]
fn signatures() {
    let token = good();
    let signature = token.rsplit_once('.').unwrap().1;
    let raw = {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap()
    };
    let mut flipped = raw.clone();
    flipped[40] ^= 1;
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&order[at * 2..at * 2 + 2], 16).unwrap()).collect();
    let foreign = EC_OTHER.token("ec", &claims(json!({})));
    let other_payload = {
        let parts: Vec<_> = token.split('.').collect();
        let forged = claims(json!({"sub": "admin"})).to_string();
        format!("{}.{}.{}", parts[0], base64(forged), parts[2])
    };
    check(vec![
        ("blank", resigned(""), E::Signature),
        ("truncated", resigned(&base64(&raw[..63])), E::Signature),
        ("one byte", resigned(&base64([0])), E::Signature),
        ("doubled", resigned(&base64([raw.clone(), raw.clone()].concat())), E::Signature),
        ("a bit flipped", resigned(&base64(flipped)), E::Signature),
        ("r = s = 0", resigned(&base64([0; 64])), E::Signature),
        ("r = s = n", resigned(&base64([order.clone(), order.clone()].concat())), E::Signature),
        ("r = 0", resigned(&base64([vec![0; 32], raw[32..].to_vec()].concat())), E::Signature),
        ("DER instead of fixed", resigned(&base64([0x30, 6, 2, 1, 0, 2, 1, 0])), E::Signature),
        ("another key's", foreign, E::Signature),
        ("claims exchanged", other_payload, E::Signature),
        (
            "EdDSA of zeros",
            {
                let token = ED.token("ed", &claims(json!({})));
                format!("{}.{}", token.rsplit_once('.').unwrap().0, base64([0; 64]))
            },
            E::Signature,
        ),
    ]);
}

#[test]
fn key_identifiers() {
    let mut rows: Vec<Row> = Vec::new();
    for kid in
        ["../../dev/null", "/etc/passwd", "ec' OR '1'='1", "ec\0", "EC", "", "ec ", "https://evil.example/k"]
    {
        let token = with_headers(json!({"kid": kid}));
        rows.push(("kid that is a path, a query, a URL", token, E::UnknownKey));
    }
    rows.push((
        "kid is an object",
        with_headers(json!({"kid": {"ec": 1}})),
        E::Malformed("a header is not text"),
    ));
    rows.push(("kid is null", with_headers(json!({"kid": null})), E::Malformed("a header is not text")));
    // The other issuer has a key under the same kid; ours must not verify its tokens, nor the reverse.
    let mut theirs = claims(json!({}));
    theirs["iss"] = OTHER_ISSUER.into();
    rows.push(("our key, their name", EC.token("ec", &theirs), E::Signature));
    rows.push(("their key, our name", EC_OTHER.token("ec", &claims(json!({}))), E::Signature));
    check(rows);
    assert!(verify(&EC_OTHER.token("ec", &theirs)).is_ok());
}

#[test]
fn headers_that_would_choose_the_key_or_the_rules() {
    let jwk = EC_OTHER.jwk(json!({"kid": "ec"}));
    check(vec![
        ("inline jwk", with_headers(json!({"jwk": jwk})), E::Header("jwk")),
        ("jku", with_headers(json!({"jku": "https://evil.example/jwks.json"})), E::Header("jku")),
        ("x5u", with_headers(json!({"x5u": "https://evil.example/cert.pem"})), E::Header("x5u")),
        ("x5c", with_headers(json!({"x5c": ["MIIB"]})), E::Header("x5c")),
        ("crit", with_headers(json!({"crit": ["exp"]})), E::Header("crit")),
        ("empty crit", with_headers(json!({"crit": []})), E::Header("crit")),
        ("b64", with_headers(json!({"b64": false})), E::Header("b64")),
        ("zip", with_headers(json!({"zip": "DEF"})), E::Header("zip")),
        ("typ of an id token's neighbour", with_headers(json!({"typ": "logout+jwt"})), E::Type),
        ("typ is empty", with_headers(json!({"typ": ""})), E::Type),
        ("typ is a number", with_headers(json!({"typ": 1})), E::Malformed("a header is not text")),
        ("huge header", with_headers(json!({"x": "a".repeat(20_000)})), E::Oversized),
    ]);
}

#[test]
fn form() {
    let token = good();
    let parts: Vec<&str> = token.split('.').collect();
    let text = claims(json!({})).to_string();
    let header = r#"{"alg":"ES256","kid":"ec"}"#;
    let segments = E::Malformed("not three segments");
    let (head, body) = (
        E::Malformed("header is not a JSON object in base64url"),
        E::Malformed("payload is not a JSON object in base64url"),
    );
    let tail = E::Malformed("signature is not base64url");
    check(vec![
        ("empty", String::new(), segments),
        ("no dots", "abc".into(), segments),
        ("two segments", format!("{}.{}", parts[0], parts[1]), segments),
        ("four segments", format!("{token}.abc"), segments),
        ("five segments, as JWE has", format!("{token}.abc.def"), segments),
        ("two dots and nothing", "..".into(), E::Signature),
        ("padding", format!("{token}=="), tail),
        ("trailing newline", format!("{token}\n"), tail),
        ("leading space", format!(" {token}"), head),
        ("standard alphabet", resigned("+/+/"), tail),
        ("stray bits at the end", resigned("AB"), tail),
        ("not UTF-8", format!("{}.{}.{}", parts[0], base64([0xff, 0xfe]), parts[2]), body),
        ("header is no object", EC.sign("[]", &text), head),
        ("header goes on", EC.sign(&format!("{header}{header}"), &text), head),
        ("claims are no object", EC.sign(header, "\"nested.jwt.here\""), body),
        ("claims go on", EC.sign(header, &format!("{text} x")), body),
        ("deep nesting", EC.sign(header, &format!("{{\"a\":{}", "[".repeat(5_000))), body),
        ("oversized", format!("{token}{}", "A".repeat(16 * 1024)), E::Oversized),
    ]);
}

#[test]
fn duplicates() {
    let text = claims(json!({})).to_string();
    let inner = &text[1..text.len() - 1];
    let header = r#"{"alg":"ES256","kid":"ec"}"#;
    check(vec![
        ("sub twice", EC.sign(header, &format!(r#"{{{inner},"sub":"admin"}}"#)), E::Duplicate("claim")),
        ("same sub twice", EC.sign(header, &format!(r#"{{{inner},"sub":"alice"}}"#)), E::Duplicate("claim")),
        (
            "sub twice, escaped",
            EC.sign(header, &format!(r#"{{{inner},"s\u0075b":"x"}}"#)),
            E::Duplicate("claim"),
        ),
        (
            "nested",
            EC.sign(header, &format!(r#"{{{inner},"realm":{{"roles":[],"roles":["admin"]}}}}"#)),
            E::Duplicate("claim"),
        ),
        ("alg twice", EC.sign(r#"{"alg":"none","alg":"ES256","kid":"ec"}"#, &text), E::Duplicate("header")),
        ("kid twice", EC.sign(r#"{"alg":"ES256","kid":"ec","kid":"ec"}"#, &text), E::Duplicate("header")),
    ]);
}

#[test]
fn issuer_and_audience() {
    let mut rows: Vec<Row> = Vec::new();
    for iss in ["https://evil.example", "https://login.example.com/", "HTTPS://LOGIN.EXAMPLE.COM", " ", ""] {
        rows.push(("issuer by near miss", with_claims(json!({"iss": iss})), E::Issuer));
    }
    rows.push(("no issuer", with_claims(json!({"iss": null})), E::MissingClaim("iss")));
    rows.push(("issuer list", with_claims(json!({"iss": [ISSUER]})), E::ClaimType("iss")));
    for aud in
        [json!("other"), json!([]), json!(["other", "EVENTS"]), json!(["events "]), json!("events,other")]
    {
        rows.push(("another audience", with_claims(json!({"aud": aud})), E::Audience));
    }
    rows.push(("no audience", with_claims(json!({"aud": null})), E::MissingClaim("aud")));
    for aud in [json!(["events", 1]), json!({"events": 1}), json!(1), json!([["events"]])] {
        rows.push(("audience of a wrong type", with_claims(json!({"aud": aud})), E::ClaimType("aud")));
    }
    check(rows);
}

#[test]
fn times() {
    let mut rows: Vec<Row> = vec![
        ("expired", with_claims(json!({"exp": NOW - 30})), E::Expired),
        ("expired long ago", with_claims(json!({"exp": 0})), E::Expired),
        ("no exp", with_claims(json!({"exp": null})), E::MissingClaim("exp")),
        ("not yet", with_claims(json!({"nbf": NOW + 31})), E::NotYetValid),
        ("issued in the future", with_claims(json!({"iat": NOW + 31})), E::IssuedInFuture),
    ];
    for exp in [json!("9999999999"), json!(-1), json!(1e300), json!(true), json!([NOW + 1])] {
        rows.push(("exp of a wrong type", with_claims(json!({"exp": exp})), E::ClaimType("exp")));
    }
    rows.push(("nbf of a wrong type", with_claims(json!({"nbf": "0"})), E::ClaimType("nbf")));
    rows.push(("iat of a wrong type", with_claims(json!({"iat": {}})), E::ClaimType("iat")));
    rows.push(("sub is a number", with_claims(json!({"sub": 7})), E::ClaimType("sub")));
    rows.push(("sub is empty", with_claims(json!({"sub": ""})), E::ClaimType("sub")));
    rows.push(("jti is a list", with_claims(json!({"jti": []})), E::ClaimType("jti")));
    check(rows);
    // A number at the end of its range does not wrap around.
    assert!(verify(&with_claims(json!({"exp": u64::MAX}))).is_ok());
    assert_eq!(verify(&with_claims(json!({"nbf": u64::MAX}))).unwrap_err(), E::NotYetValid);
}

#[test]
fn errors_tell_nothing_of_the_token() {
    let token = with_claims(json!({"aud": "visible-audience", "sub": "visible-subject"}));
    let error = verify(&token).unwrap_err();
    let told = format!("{error} {error:?} {}", error.reason());
    assert!(!told.contains("visible") && !told.contains(&token[..20]), "{told}");
}
