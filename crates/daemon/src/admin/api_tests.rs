//! The admin API over real loopback connections: who may use it, and what it makes of odd requests.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::tests::{Answer, exchange};
use super::*;
use crate::audit::{Audit, AuditConfig};
use crate::metrics::Metrics;
use crate::readiness::Readiness;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

struct World {
    folder: TempDir,
    handle: AdminHandle,
    audit: Audit,
}

fn world(with_login: bool) -> World {
    let folder = TempDir::new().unwrap();
    let audit_file = folder.path().join("audit.jsonl");
    let audit =
        Audit::open(&AuditConfig { file: Some(audit_file), ..AuditConfig::default() }, "test").unwrap();
    let token_file = folder.path().join("tokens");
    fs::write(&token_file, format!("# who may\nops:{TOKEN}\nci:{}\n", TOKEN.replace('0', "x"))).unwrap();
    let login = AdminLogin { token_file: with_login.then_some(token_file), certificates: false };
    let routes = AdminRoutes::new(Metrics::new("test", "0"), Readiness::new())
        .login(login, audit.clone())
        .api(Method::Get, "/api/v1/things", |request| {
            Ok(json!({"by": request.actor, "limit": request.query.number("limit")}))
        })
        .api(Method::Post, "/api/v1/things", |request| match &request.body {
            Value::Null => Err(ApiError::bad("nothing").with("id", 7)),
            body => Ok(json!({"by": request.actor, "body": body})),
        })
        .api(Method::Delete, "/api/v1/things/{tail}", |request| Ok(json!({"gone": request.tail})))
        .api(Method::Post, "/api/v1/panic", |_| panic!("boom"))
        .form("/logout", |fields| Ok(json!({"got": fields.get("logout_token")})));
    let handle = AdminServer::bind(([127, 0, 0, 1], 0).into(), routes).unwrap();
    World { folder, handle, audit }
}

impl World {
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        exchange(self.handle.local_addr(), text.as_bytes()).await
    }

    async fn post(&self, token: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.ask("POST", "/api/v1/things", &headers, body).await
    }

    fn audited(&self) -> Vec<Value> {
        assert!(self.audit.flush(Duration::from_secs(20)));
        let text = fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn without_a_login_questions_are_answered_and_commands_refused() {
    let world = world(false);
    assert_eq!(world.ask("GET", "/api/v1/things?limit=3", &[], "").await.json()["limit"], 3);
    for (method, path) in [("POST", "/api/v1/things"), ("DELETE", "/api/v1/things/x")] {
        let refused = world.ask(method, path, &[], "").await;
        assert_eq!(refused.status, 403);
        assert!(refused.json()["error"].as_str().unwrap().contains("token_file"));
    }
    assert_eq!(world.audited()[0]["event"], "admin_denied");
}

#[tokio::test]
async fn a_token_of_the_file_is_needed_and_named_in_the_audit_log() {
    let world = world(true);
    let done = world.post(TOKEN, r#"{"a":1}"#).await;
    assert_eq!((done.status, done.json()), (200, json!({"by": "token:ops", "body": {"a": 1}})));
    for wrong in ["", "x", &TOKEN[1..], &format!("{TOKEN}0"), "ops", "# who may"] {
        assert_eq!(world.post(wrong, "{}").await.status, 401, "{wrong}");
    }
    assert_eq!(world.ask("GET", "/api/v1/things", &[], "").await.status, 401, "questions need it, too");
    assert_eq!(world.ask("GET", "/healthz", &[], "").await.status, 200, "probes do not");
    let audited = world.audited();
    assert_eq!(
        (&audited[0]["event"], &audited[0]["actor"], &audited[0]["status"]),
        (&"admin".into(), &"token:ops".into(), &200.into())
    );
    assert_eq!(audited.iter().filter(|line| line["event"] == "admin_denied").count(), 7);
    assert!(!fs::read_to_string(world.folder.path().join("audit.jsonl")).unwrap().contains(TOKEN));

    fs::write(world.folder.path().join("tokens"), format!("{}\n", TOKEN.replace('0', "y"))).unwrap();
    assert_eq!(world.post(TOKEN, "{}").await.status, 401, "the file counts as it is now");
    fs::write(world.folder.path().join("tokens"), "short\n").unwrap();
    assert_eq!(world.post("short", "{}").await.status, 503);
}

#[tokio::test]
async fn errors_are_json_and_bodies_are_bounded() {
    let world = world(true);
    let bearer = format!("Bearer {TOKEN}");
    let with = |kind: &'static str| [("authorization", bearer.as_str()), ("content-type", kind)];
    let empty = world.post(TOKEN, "").await;
    assert_eq!((empty.status, empty.json()), (400, json!({"error": "nothing", "id": 7})));
    assert_eq!(world.post(TOKEN, "{").await.status, 400);
    assert_eq!(world.ask("POST", "/api/v1/things", &with("text/plain"), "{}").await.status, 415);
    let large = format!("\"{}\"", "x".repeat(MAX_BODY_BYTES));
    assert_eq!(world.post(TOKEN, &large).await.status, 413);
    let gone = world.ask("DELETE", "/api/v1/things/a%2Fb", &with("application/json"), "").await;
    assert_eq!(gone.json()["gone"], "a/b");
    assert_eq!(world.ask("POST", "/api/v1/panic", &with("application/json"), "").await.status, 500);
    let nothing = world.ask("GET", "/api/v1/nothing", &[], "").await;
    assert_eq!((nothing.status, nothing.json()["error"].is_string()), (404, true));
}

#[tokio::test]
async fn forms_are_read_without_a_login() {
    let world = world(true);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let got = world.ask("POST", "/logout", &form, "a=b&logout_token=x%2By+z").await;
    assert_eq!((got.status, got.json()["got"].clone()), (200, json!("x+y z")));
    assert_eq!(world.ask("POST", "/logout", &[("content-type", "application/json")], "{}").await.status, 415);
    assert_eq!(world.ask("POST", "/logout", &form, "a b\u{0}").await.status, 400);
}

#[test]
fn files_of_tokens() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tokens");
    for (text, good) in [
        (format!("{TOKEN}\n"), true),
        (format!("ops:{TOKEN}"), true),
        ("# nothing\n".to_owned(), false),
        ("ops:short\n".to_owned(), false),
        (String::new(), false),
        ("x".repeat(70_000), false),
    ] {
        fs::write(&file, &text).unwrap();
        assert_eq!(check_token_file(&file).is_ok(), good, "{:.20}", text);
    }
    assert!(!check_token_file(&file).unwrap_err().contains("xxxx"));
}
