//! Users who bring a JWT signed by their account: who may come in, and for how long, on both servers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use gatehouse_tests::{ConfServer, Kind, Raw, nats_jwt, on_both};
use nkeys::KeyPair;
use serde_json::{Value, json};

on_both! {
    a_user_comes_in_only_as_its_jwt_allows
    nobody_outlives_the_jwt_of_the_account
}

struct World {
    account: KeyPair,
    scoped: KeyPair,
    server: ConfServer,
}

/// Seconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A server with one account, whose scoped key signs users for WebSocket alone.
async fn world(kind: Kind, exp: Option<u64>) -> Result<Option<World>> {
    let (operator, account, scoped) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1, "wildcards": true });
    let template = json!({ "subs": -1, "data": -1, "payload": -1, "bearer_token": true, "allowed_connection_types": ["WEBSOCKET"] });
    let scope =
        json!({ "kind": "user_scope", "key": scoped.public_key(), "role": "web", "template": template });
    let claims = json!({ "type": "account", "version": 2, "limits": limits, "signing_keys": [scope] });
    let operator_claims = json!({ "type": "operator", "version": 2 });
    let conf = format!(
        "operator: {}\nresolver: MEMORY\nresolver_preload {{ {}: {} }}\n",
        nats_jwt(&operator, &operator.public_key(), "O", &operator_claims, None)?,
        account.public_key(),
        nats_jwt(&operator, &account.public_key(), "A", &claims, exp)?,
    );
    let server = ConfServer::fresh(kind, &conf).await?;
    Ok(server.map(|server| World { account, scoped, server }))
}

impl World {
    /// Logs in with a bearer token of these claims; what the server says to it.
    async fn login(&self, issuer: &KeyPair, change: &Value, exp: Option<u64>) -> Result<(Raw, String)> {
        let mut claims = json!({ "type": "user", "version": 2 });
        let own = json!({ "subs": -1, "data": -1, "payload": -1, "bearer_token": true });
        let given = if issuer.public_key() == self.account.public_key() {
            own
        } else {
            json!({ "issuer_account": self.account.public_key() })
        };
        for fields in [&given, change] {
            for (key, value) in fields.as_object().into_iter().flatten() {
                claims[key] = value.clone();
            }
        }
        let jwt = nats_jwt(issuer, &KeyPair::new_user().public_key(), "u", &claims, exp)?;
        let mut raw = Raw::connect(self.server.addresses.clients).await?;
        raw.info().await?;
        raw.send(format!("CONNECT {{\"verbose\":false,\"jwt\":\"{jwt}\"}}\r\nPING\r\n")).await?;
        let mut said = raw.line().await?;
        while said.starts_with("INFO ") {
            said = raw.line().await?;
        }
        Ok((raw, said))
    }
}

async fn a_user_comes_in_only_as_its_jwt_allows(kind: Kind) -> Result<()> {
    let Some(world) = world(kind, None).await? else { return Ok(()) };
    // Two hours from now on, and two hours that begin in six.
    let hour = |from: u64| format!("{:02}:00:00", (now() / 3600 + from) % 24);
    let times = |from: u64| json!({ "times": [{ "start": hour(from), "end": hour(from + 2) }] });
    for (change, allowed) in [
        (json!({}), true),
        (json!({ "allowed_connection_types": ["STANDARD"] }), true),
        (json!({ "allowed_connection_types": ["standard", "MQTT"] }), true),
        (json!({ "allowed_connection_types": ["WEBSOCKET"] }), false),
        (json!({ "allowed_connection_types": ["LEAFNODE"] }), false),
        (json!({ "allowed_connection_types": ["NOTHING_KNOWN"] }), false),
        (json!({ "src": ["10.0.0.0/8", "127.0.0.0/8"] }), true),
        (json!({ "src": ["10.0.0.0/8"] }), false),
        (times(6), false),
        (
            json!({ "times": [{ "start": "00:00:00", "end": "23:59:59" }], "times_location": "Nowhere/None" }),
            false,
        ),
    ] {
        let (_raw, said) = world.login(&world.account, &change, None).await?;
        let found = said == "PONG";
        ensure!(found == allowed && (found || said == "-ERR 'Authorization Violation'"), "{change}: {said}");
    }
    // Now lies in one of these ranges, whichever way the clock turns meanwhile.
    let around = json!({ "times": [
        { "start": "00:00:00", "end": "12:00:00" }, { "start": "11:59:58", "end": "23:59:59" },
        { "start": "23:00:00", "end": "01:00:00" } ] });
    let (_raw, said) = world.login(&world.account, &around, None).await?;
    ensure!(said == "PONG", "{said}");
    let (_raw, said) = world.login(&world.account, &json!({}), Some(now() - 1)).await?;
    ensure!(said == "-ERR 'Authorization Violation'", "{said}");
    let (_raw, said) = world.login(&world.scoped, &json!({}), None).await?;
    ensure!(said == "-ERR 'Authorization Violation'", "the template of the key holds: {said}");
    Ok(())
}

async fn nobody_outlives_the_jwt_of_the_account(kind: Kind) -> Result<()> {
    let Some(world) = world(kind, Some(now() + 4)).await? else { return Ok(()) };
    let (mut raw, said) = world.login(&world.account, &json!({}), None).await?;
    ensure!(said == "PONG", "{said}");
    let said = raw.closed().await?;
    ensure!(said.contains("Authentication Expired"), "{said}");
    let deadline = Duration::from_secs(20);
    let refused = tokio::time::timeout(deadline, async {
        // The other server looks at the account once in a while.
        loop {
            let (_raw, said) = world.login(&world.account, &json!({}), None).await?;
            if said != "PONG" {
                return anyhow::Ok(said);
            }
        }
    });
    let said = refused.await??;
    ensure!(said == "-ERR 'Authorization Violation'", "{said}");
    Ok(())
}
