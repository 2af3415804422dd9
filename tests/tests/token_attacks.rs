//! Attacks on tokens, one row each, against a running gateway: every one of them is refused, and written down.
//!
//! Names are those of RFC 8725 (JWT Best Current Practices, by section), of jwt_tool's attacks, and of advisories.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gatehouse_tests::{Lobby, Pki, Tokens, eventually, run_binary};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

/// An attack, the token, and the reason that has to be written down.
struct Attack {
    name: &'static str,
    token: String,
    reason: &'static str,
}

/// The attacks, made with the tokens of an issuer the gateway trusts.
struct Forge<'a> {
    tokens: &'a Tokens,
    /// An issuer the gateway trusts too, with a key of the same `kid`.
    other: &'a Tokens,
    attacks: Vec<Attack>,
}

/// Name of the second issuer.
const OTHER: &str = "https://login.example.org/realms/others";

fn part(value: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(value)
}

impl Forge<'_> {
    fn add(&mut self, name: &'static str, reason: &'static str, token: impl Into<String>) {
        self.attacks.push(Attack { name, token: token.into(), reason });
    }

    fn claims(&self) -> Value {
        self.tokens.claims().json().clone()
    }

    /// The good header with other members; null takes one away.
    fn header(more: &Value) -> String {
        let mut header = json!({"alg": "ES256", "typ": "JWT", "kid": Tokens::KID});
        change(&mut header, more);
        header.to_string()
    }

    /// Adds a token with a good signature over another header.
    fn with_header(&mut self, name: &'static str, reason: &'static str, more: Value) -> Result<()> {
        let token = self.tokens.sign_text(&Self::header(&more), &self.claims().to_string())?;
        self.add(name, reason, token);
        Ok(())
    }

    /// Adds a token with a good signature over other claims.
    fn with_claims(&mut self, name: &'static str, reason: &'static str, more: Value) -> Result<()> {
        let mut claims = self.claims();
        change(&mut claims, &more);
        let token = self.tokens.sign_text(&Self::header(&json!({})), &claims.to_string())?;
        self.add(name, reason, token);
        Ok(())
    }

    /// Adds a token whose header and claims are these texts, well signed.
    fn with_text(
        &mut self,
        name: &'static str,
        reason: &'static str,
        header: &str,
        claims: &str,
    ) -> Result<()> {
        let token = self.tokens.sign_text(header, claims)?;
        self.add(name, reason, token);
        Ok(())
    }

    /// Adds a good token with another signature.
    fn with_signature(&mut self, name: &'static str, reason: &'static str, signature: &str) -> Result<()> {
        let good = self.tokens.good()?;
        let message = good.rsplit_once('.').context("a token")?.0;
        self.add(name, reason, format!("{message}.{signature}"));
        Ok(())
    }

    fn algorithms(&mut self) -> Result<()> {
        for (name, alg) in [
            ("RFC 8725 2.1: alg none", "none"),
            ("jwt_tool -X a: alg None", "None"),
            ("jwt_tool -X a: alg NONE", "NONE"),
            ("jwt_tool -X a: alg nOnE", "nOnE"),
            ("CVE-2018-0114 kin: alg es256 in small letters", "es256"),
            ("alg of another curve", "ES256K"),
            ("alg empty", ""),
            ("alg with a space", "ES256 "),
            ("alg with a NUL", "ES256\0"),
            ("RFC 8725 3.1: alg not configured", "ES384"),
        ] {
            self.with_header(name, "algorithm", json!({ "alg": alg }))?;
        }
        self.with_header("no alg", "algorithm", json!({"alg": null}))?;
        self.with_header("alg is a list", "malformed", json!({"alg": ["ES256"]}))?;
        let unsigned = |alg: &str, end: &str| {
            format!("{}.{}{end}", part(json!({"alg": alg}).to_string()), part(self.claims().to_string()))
        };
        let (blank, two) = (unsigned("none", "."), unsigned("none", ""));
        self.add("alg none without signature", "signature", blank);
        self.add("alg none, two segments", "malformed", two);
        // CVE-2015-9235 and its kin: the public key, in each form it may be found in, as an HMAC secret.
        let jwk = self.tokens.public_jwk()?;
        let set = std::fs::read_to_string(self.tokens.jwks_path())?;
        for secret in [set, jwk.to_string(), jwk["x"].as_str().unwrap_or_default().to_owned(), String::new()]
        {
            for (alg, name) in [(Algorithm::HS256, "HS256"), (Algorithm::HS512, "HS512")] {
                let header = json!({"alg": name, "kid": Tokens::KID}).to_string();
                let message = format!("{}.{}", part(header), part(self.claims().to_string()));
                let key = EncodingKey::from_secret(secret.as_bytes());
                let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, alg)?;
                self.add(
                    "CVE-2015-9235: public key as HMAC secret (jwt_tool -X k)",
                    "algorithm",
                    format!("{message}.{signature}"),
                );
            }
        }
        Ok(())
    }

    fn signatures(&mut self) -> Result<()> {
        let good = self.tokens.good()?;
        let raw = URL_SAFE_NO_PAD.decode(good.rsplit_once('.').context("a token")?.1)?;
        let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")?;
        let mut flipped = raw.clone();
        flipped[10] ^= 0x20;
        let der = [&[0x30, 0x44, 2, 0x20][..], &raw[..32], &[2, 0x20], &raw[32..]].concat();
        for (name, bytes) in [
            ("CVE-2020-28042: blank signature (jwt_tool -X b)", vec![]),
            ("truncated by a byte", raw[..63].to_vec()),
            ("half a signature", raw[..32].to_vec()),
            ("longer by a byte", [&raw[..], &[0]].concat()),
            ("twice", raw.repeat(2)),
            ("a bit flipped", flipped),
            ("CVE-2022-21449: r = s = 0 (psychic signature)", vec![0; 64]),
            ("CVE-2022-21449: r = 0", [vec![0; 32], raw[32..].to_vec()].concat()),
            ("CVE-2022-21449: s = 0", [raw[..32].to_vec(), vec![0; 32]].concat()),
            ("CVE-2022-21449: r = s = n", order.repeat(2)),
            ("r and s exchanged", [&raw[32..], &raw[..32]].concat()),
            ("in DER", der),
        ] {
            self.with_signature(name, "signature", &part(bytes))?;
        }
        self.add("another key's signature", "signature", self.tokens.forged()?);
        let mut claims = self.claims();
        change(&mut claims, &json!({"sub": "admin"}));
        let parts: Vec<&str> = good.split('.').collect();
        let exchanged = format!("{}.{}.{}", parts[0], part(claims.to_string()), parts[2]);
        self.add("claims exchanged (jwt_tool -T)", "signature", exchanged);
        let header = format!("{}.{}.{}", part(Self::header(&json!({"x": 1}))), parts[1], parts[2]);
        self.add("header exchanged", "signature", header);
        Ok(())
    }

    fn keys(&mut self) -> Result<()> {
        for (name, kid) in [
            ("jwt_tool kid: path to a known file", "../../../../../../dev/null"),
            ("jwt_tool kid: absolute path", "/proc/sys/kernel/randomize_va_space"),
            ("jwt_tool kid: SQL", "x' UNION SELECT 'key';--"),
            ("jwt_tool kid: command", "test-1|/usr/bin/id"),
            ("RFC 8725 3.10: kid is a URL", "https://evil.example/key"),
            ("kid: LDAP", "*)(uid=*))(|(uid=*"),
            ("kid with a NUL", "test-1\0"),
            ("kid in capitals", "TEST-1"),
            ("kid with a space", "test-1 "),
            ("kid empty", ""),
            ("kid of another set", "test-2"),
        ] {
            self.with_header(name, "key", json!({ "kid": kid }))?;
        }
        self.with_header("kid of four kilobytes", "key", json!({"kid": "k".repeat(4096)}))?;
        self.with_header("kid is an object", "malformed", json!({"kid": {"test-1": 1}}))?;
        self.with_header("kid is a number", "malformed", json!({"kid": 1}))?;
        let jwk = Tokens::public_jwk(self.other)?;
        for (name, more) in [
            ("CVE-2018-0114: inline jwk (jwt_tool -X i)", json!({ "jwk": jwk })),
            ("RFC 8725 3.10: jku (jwt_tool -X s)", json!({"jku": "https://evil.example/jwks.json"})),
            ("jku to this machine", json!({"jku": "http://127.0.0.1:8222/varz"})),
            ("RFC 8725 3.10: x5u", json!({"x5u": "https://evil.example/cert.pem"})),
            ("x5c", json!({"x5c": ["MIIB"]})),
            ("crit with what nobody knows", json!({"crit": ["x"], "x": true})),
            ("crit with what is known", json!({"crit": ["exp"]})),
            ("crit empty", json!({"crit": []})),
            ("RFC 7797: b64 false", json!({"b64": false, "crit": ["b64"]})),
            ("RFC 8725 2.6: compressed", json!({"zip": "DEF"})),
        ] {
            self.with_header(name, "header", more)?;
        }
        // Cross-issuer: both have a key named test-1.
        let theirs = self.other.claims().with("iss", Tokens::ISSUER);
        self.add(
            "CVE-2026-49998 kin: another issuer's key of the same kid",
            "signature",
            self.other.sign(&theirs)?,
        );
        let ours = self.tokens.claims().with("iss", OTHER);
        self.add("RFC 8725 2.8: our key in another issuer's name", "signature", self.tokens.sign(&ours)?);
        Ok(())
    }

    fn meaning(&mut self) -> Result<()> {
        let (now, far) = (now(), 4_102_444_800_u64);
        for (name, reason, more) in [
            ("expired", "expired", json!({"exp": now - 3600})),
            ("expired since 1970", "expired", json!({"exp": 0})),
            ("no exp", "missing_claim", json!({"exp": null})),
            ("exp as text", "malformed", json!({"exp": far.to_string()})),
            ("exp negative", "malformed", json!({"exp": -1})),
            ("exp beyond all numbers", "malformed", json!({"exp": 1e300})),
            ("not yet valid", "not_yet_valid", json!({"nbf": far})),
            ("nbf as text", "malformed", json!({"nbf": "0"})),
            ("issued in the future", "issued_in_future", json!({"iat": far})),
            ("iat is an object", "malformed", json!({"iat": {}})),
            ("RFC 8725 3.9: wrong aud", "audience", json!({"aud": "billing"})),
            ("wrong aud in a list", "audience", json!({"aud": ["billing", "EVENTS"]})),
            ("aud list empty", "audience", json!({"aud": []})),
            ("aud as a list in a text", "audience", json!({"aud": "[\"events\"]"})),
            ("aud with a NUL", "audience", json!({"aud": "events\0"})),
            ("aud list with a number", "malformed", json!({"aud": ["events", 1]})),
            ("aud list in a list", "malformed", json!({"aud": [["events"]]})),
            ("no aud", "missing_claim", json!({"aud": null})),
            ("RFC 8725 3.8: unknown iss", "issuer", json!({"iss": "https://evil.example"})),
            ("iss with a slash more", "issuer", json!({"iss": format!("{}/", Tokens::ISSUER)})),
            ("iss in capitals", "issuer", json!({"iss": Tokens::ISSUER.to_uppercase()})),
            ("iss with a NUL", "issuer", json!({"iss": format!("{}\0", Tokens::ISSUER)})),
            ("iss is a list", "malformed", json!({"iss": [Tokens::ISSUER]})),
            ("no iss", "missing_claim", json!({"iss": null})),
            ("sub is a number", "malformed", json!({"sub": 7})),
            ("sub empty", "malformed", json!({"sub": ""})),
            ("RFC 7800: bound to a key we can't check", "binding", json!({"cnf": {"jkt": "x"}})),
            (
                "RFC 8705: bound to a certificate not shown",
                "binding",
                json!({"cnf": {"x5t#S256": part([7; 32])}}),
            ),
            (
                "RFC 8417: a logout token",
                "malformed",
                json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
            ),
            ("RFC 8725 3.11: claims of a visitor", "no_role", json!({"groups": ["visitors"]})),
            ("subject injection through a claim", "template", json!({"tenant": "acme.>"})),
        ] {
            self.with_claims(name, reason, more)?;
        }
        self.with_header("RFC 8725 3.11: typ of a logout token", "type", json!({"typ": "logout+jwt"}))?;
        self.with_header("RFC 8725 3.11: typ of a DPoP proof", "type", json!({"typ": "dpop+jwt"}))?;
        self.with_header("typ empty", "type", json!({"typ": ""}))
    }

    fn form(&mut self) -> Result<()> {
        let good = self.tokens.good()?;
        let parts: Vec<&str> = good.split('.').collect();
        let (header, claims) = (Self::header(&json!({})), self.claims().to_string());
        let inner = &claims[1..claims.len() - 1];
        // A length that standard base64 pads.
        let padded = if header.len() % 3 == 0 { format!("{header} ") } else { header.clone() };
        self.add("two dots and claims", "signature", format!(".{}.", parts[1]));
        for (name, token) in [
            ("nothing of a token", "partner-1".to_owned()),
            ("a dot", ".".to_owned()),
            ("four segments", format!("{good}.x")),
            (
                "JWE: five segments",
                format!("{}.{}.{}.{}.{}", part(r#"{"alg":"dir","enc":"A128GCM"}"#), "", "a", "b", "c"),
            ),
            ("padding at the end", format!("{good}==")),
            ("padding in the middle", format!("{}=.{}.{}", parts[0], parts[1], parts[2])),
            ("a space before", format!(" {good}")),
            ("a line end behind", format!("{good}\n")),
            ("a line end inside", format!("{}\n.{}.{}", parts[0], parts[1], parts[2])),
            ("a NUL behind", format!("{good}\0")),
            ("a NUL inside", format!("{}\0.{}.{}", parts[0], parts[1], parts[2])),
            ("`Bearer` before", format!("Bearer {good}")),
            ("standard base64", format!("{}.{}.{}", STANDARD.encode(&padded), parts[1], parts[2])),
            (
                "JSON serialization",
                json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string(),
            ),
        ] {
            self.add(name, "malformed", token);
        }
        self.add(
            "huge header",
            "oversized",
            self.tokens.sign_text(&Self::header(&json!({"x": "a".repeat(20_000)})), &claims)?,
        );
        self.with_text(
            "nested token (cty JWT)",
            "malformed",
            r#"{"alg":"ES256","kid":"test-1","cty":"JWT"}"#,
            &good,
        )?;
        self.with_text("header is a list", "malformed", "[]", &claims)?;
        self.with_text("header goes on", "malformed", &format!("{header}{header}"), &claims)?;
        self.with_text("claims go on", "malformed", &header, &format!("{claims}{{}}"))?;
        self.with_text(
            "claims nested too deep",
            "malformed",
            &header,
            &format!("{{\"a\":{}", "[".repeat(5_000)),
        )?;
        self.with_text(
            "RFC 8725 2.4 kin: sub twice",
            "duplicate",
            &header,
            &format!("{{{inner},\"sub\":\"admin\"}}"),
        )?;
        self.with_text(
            "sub twice, escaped",
            "duplicate",
            &header,
            &format!("{{{inner},\"s\\u0075b\":\"admin\"}}"),
        )?;
        self.with_text("aud twice", "duplicate", &header, &format!("{{\"aud\":\"billing\",{inner}}}"))?;
        self.with_text("alg twice", "duplicate", r#"{"alg":"none","alg":"ES256","kid":"test-1"}"#, &claims)
    }
}

fn change(value: &mut Value, more: &Value) {
    let (Some(members), Some(more)) = (value.as_object_mut(), more.as_object()) else { return };
    for (name, value) in more {
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
}

fn hex(text: &str) -> Result<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The reasons of all refusals in the audit log, once there are `count` of them.
async fn denials(file: &Path, count: usize) -> Result<Vec<String>> {
    eventually(&format!("{count} refusals in the audit log"), || async {
        let text = std::fs::read_to_string(file).ok()?;
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let denied = lines.filter(|line| line["event"] == "denied");
        let reasons: Vec<String> =
            denied.filter_map(|line| Some(line["reason"].as_str()?.to_owned())).collect();
        (reasons.len() >= count).then_some(reasons)
    })
    .await
}

#[tokio::test]
async fn every_attack_is_refused_and_written_down() -> Result<()> {
    let pki = Pki::new()?;
    let folder = pki.path("other");
    std::fs::create_dir(&folder)?;
    let other = Tokens::new(&folder)?;
    let section = format!(
        "[[issuers]]\nissuer = \"{OTHER}\"\naudience = [\"events\"]\nalgorithms = [\"ES256\"]\njwks_file = \"{}\"\n\
         [limits]\nfailed_logins_free = 100000\n[audit]\nfile = \"{}\"\ndenials_per_second = 0\n",
        other.jwks_path().display(),
        pki.text("audit.jsonl")
    );
    let lobby = Lobby::start(pki, |_, options| options.sections = section).await?;
    let mut forge = Forge { tokens: &lobby.tokens, other: &other, attacks: Vec::new() };
    forge.algorithms()?;
    forge.signatures()?;
    forge.keys()?;
    forge.meaning()?;
    forge.form()?;
    ensure!(forge.attacks.len() >= 120, "{} attacks", forge.attacks.len());
    ensure!(lobby.login(&lobby.tokens.good()?).await? == "PONG", "the token they are made from is good");
    let mut answers = Vec::new();
    for attack in &forge.attacks {
        answers.push(lobby.login(&attack.token).await?);
    }
    let written = denials(&lobby.pki.path("audit.jsonl"), answers.len()).await?;
    let mut wrong = Vec::new();
    for ((Attack { name, reason, .. }, said), written) in forge.attacks.iter().zip(answers).zip(written) {
        // Whoever holds a token that was good once is told to get a new one; nobody else learns anything.
        let words =
            if *reason == "expired" { "User Authentication Expired" } else { "Authorization Violation" };
        if said != words || written != *reason {
            wrong.push(format!("{name}: {said}, written down as {written}, expected {reason}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let log = lobby.gateway.process.log() + &std::fs::read_to_string(lobby.pki.path("audit.jsonl"))?;
    let told = forge.attacks.iter().find(|attack| attack.token.len() > 20 && log.contains(&attack.token));
    ensure!(told.is_none(), "a token is in the log");
    ensure!(lobby.login(&lobby.tokens.good()?).await? == "PONG", "and it still is");
    let file = lobby.pki.text("audit.jsonl");
    run_binary("event-gateway", lobby.pki.dir(), ["audit", "verify", &file]).await?.output()?;
    Ok(())
}
