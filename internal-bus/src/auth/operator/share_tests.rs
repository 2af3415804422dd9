//! Imports by JWT: public, by activation, and refused.

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::share::{ExportClaims, ImportClaims};
use super::tests::jwt;
use super::*;

struct World {
    exporter: KeyPair,
    importer: KeyPair,
}

impl World {
    fn new() -> Self {
        Self { exporter: KeyPair::new_account(), importer: KeyPair::new_account() }
    }

    /// The plans, as `subject to`, and how many imports were refused.
    fn imports(&self, export: Value, import: Value) -> (Vec<String>, usize) {
        let export: ExportClaims = serde_json::from_value(export).unwrap();
        let mut import = import;
        import["account"] = json!(self.exporter.public_key());
        let import: ImportClaims = serde_json::from_value(import).unwrap();
        let accounts = HashMap::from([
            (self.exporter.public_key(), AccountClaims { exports: vec![export], ..AccountClaims::default() }),
            (self.importer.public_key(), AccountClaims { imports: vec![import], ..AccountClaims::default() }),
        ]);
        let (plans, refused) = Operators { accounts }.imports();
        (plans.iter().map(|plan| format!("{} {}", plan.subject, plan.to)).collect(), refused.len())
    }

    fn activation(&self, by: &KeyPair, subject: &str) -> String {
        let nats = json!({"type": "activation", "version": 2, "subject": subject, "kind": "stream"});
        jwt(by, json!({"iss": by.public_key(), "sub": self.importer.public_key(), "iat": 1000, "nats": nats}))
    }
}

#[test]
fn names_there_and_here() {
    let world = World::new();
    let (stream, service) =
        (json!({"type": "stream", "subject": "a.*"}), json!({"type": "service", "subject": "s.*"}));
    let one = |text: &str| (vec![text.to_owned()], 0);
    let import = |kind: &str, more: &[(&str, &str)]| {
        let mut import = json!({"type": kind, "subject": if kind == "stream" { "a.*" } else { "s.*" }});
        more.iter().for_each(|(key, value)| import[*key] = json!(value));
        import
    };
    assert_eq!(world.imports(stream.clone(), import("stream", &[])), one("a.* a.*"));
    assert_eq!(world.imports(stream.clone(), import("stream", &[("to", "pre")])), one("a.* pre.a.*"));
    assert_eq!(
        world.imports(stream.clone(), import("stream", &[("local_subject", "b.$1")])),
        one("a.* b.$1")
    );
    assert_eq!(
        world.imports(service.clone(), import("service", &[("local_subject", "b.$1")])),
        one("s.* b.$1")
    );
    let old = json!({"type": "service", "subject": "ask.*", "to": "s.*"});
    assert_eq!(world.imports(service.clone(), old), one("s.* ask.*"));
    assert_eq!(world.imports(service, import("stream", &[])).1, 1);
    assert_eq!(world.imports(json!({"type": "stream", "subject": "b"}), import("stream", &[])).1, 1);
}

#[test]
fn private_exports_need_an_activation_for_this_account_and_subject() {
    let world = World::new();
    let private = json!({"type": "stream", "subject": "a.*", "token_req": true});
    let import = |token: String| json!({"type": "stream", "subject": "a.*", "token": token});
    let ours = world.activation(&world.exporter, "a.>");
    assert_eq!(world.imports(private.clone(), import(ours.clone())).1, 0);
    assert_eq!(world.imports(private.clone(), import(String::new())).1, 1);
    assert_eq!(world.imports(private.clone(), import(world.activation(&world.exporter, "b.>"))).1, 1);
    assert_eq!(world.imports(private.clone(), import(world.activation(&KeyPair::new_account(), "a.>"))).1, 1);
    let mut revoked = private;
    revoked["revocations"] = json!({"*": 1000});
    assert_eq!(world.imports(revoked, import(ours)).1, 1);
}
