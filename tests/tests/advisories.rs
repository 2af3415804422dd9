//! Public advisories of nats-server that can be tried from outside, each by its id, against both processes.

use anyhow::{Result, ensure};
use gatehouse_tests::{BusOptions, InternalBus, Lobby, Pki, Raw, client_config, http_get};
use serde_json::json;

/// What crashed, or got past, a leafnode port before anybody had logged in: CVE-2026-29785, CVE-2026-33218,
/// secnote-2026-16, secnote-2026-19.
const BEFORE_LOGIN: &[&str] = &[
    "INFO {}\r\nINFO {}\r\n",
    "INFO {\"compression\":\"s2_auto\",\"info_on_connect\":true}\r\nINFO {\"compression\":\"s2_fast\"}\r\nCONNECT {\"compress_mode\":\"s2_fast\"}\r\n",
    "PING\r\nLS+ secret.>\r\nLMSG x 1\r\na\r\n",
    "LS+ >\r\n",
    "SUB > 1\r\n",
    "RS+ $G >\r\n",
    "LMSG a b c d e 99999999999999999999 1\r\n",
    "LMSG x -1\r\n",
    "CONNECT {\"compress_mode\":null,\"nkey\":\"U\",\"jwt\":\"a.b.c\"}\r\n",
    "CONNECT {\"server_id\":\"\",\"cluster\":\"\",\"headers\":\"yes\"}\r\n",
    "\u{0}\r\n",
];

#[tokio::test]
async fn nothing_said_before_login_breaks_or_opens_a_leafnode_port() -> Result<()> {
    let pki = Pki::new()?;
    let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    let tls = client_config(&pki.service("stranger").with_ca(pki.path("internal-ca.crt")), &[])?;
    let without = client_config(&gatehouse_tests::ClientTls::new(pki.path("internal-ca.crt")), &[])?;
    for said in BEFORE_LOGIN {
        // With a certificate the port refuses, and with none at all: nothing may be answered but the end.
        for config in [&tls, &without] {
            let Ok((mut raw, _)) = Raw::tls(bus.leafnodes()?, config.clone(), "internal-bus").await else {
                continue;
            };
            if raw.send(said).await.is_ok() {
                let answer = raw.closed().await.unwrap_or_default();
                ensure!(!answer.contains("LS+") && !answer.contains("PONG"), "{said:?}: {answer}");
            }
        }
    }
    let client = bus.client(&pki.service("orders")).await?;
    client.flush().await?;
    ensure!(!bus.process.log().contains("panicked"), "{}", bus.process.log());
    Ok(())
}

/// secnote-2026-28: numbers for pages that overflow; secnote-2026-14, CVE-2026-33216: credentials in monitoring.
#[tokio::test]
async fn monitoring_neither_overflows_nor_shows_credentials() -> Result<()> {
    let lobby = Lobby::start(Pki::new()?, |_, _| {}).await?;
    let token = lobby.tokens.good()?;
    let mut raw = lobby.connect(&lobby.pki.outsider()).await?;
    raw.login(&json!({ "verbose": false, "auth_token": token, "jwt": token, "name": "tester" }).to_string())
        .await?;
    let admin = lobby.gateway.admin()?;
    for query in [
        "offset=18446744073709551615&limit=18446744073709551615",
        "offset=-1&limit=-9223372036854775808",
        "limit=1e9",
        "cid=99999999999999999999",
    ] {
        ensure!(http_get(admin, &format!("/connz?{query}")).await?.status == 200, "{query}");
    }
    for path in ["/connz?auth=1&subs=1", "/varz", "/metrics", "/api/v1/sessions", "/subsz?subs=1"] {
        let body = http_get(admin, path).await?.body;
        let signature = token.rsplit('.').next().unwrap_or_default();
        ensure!(!body.contains(&token) && !body.contains(signature), "{path} shows a token");
    }
    ensure!(!lobby.gateway.process.log().contains(&token), "the log shows a token");
    ensure!(http_get(admin, "/debug/vars").await?.status == 404);
    Ok(())
}

/// secnote-2026-24, secnote-2026-16: a first operation that is no CONNECT gets nobody in where a login is due.
#[tokio::test]
async fn nothing_but_connect_opens_the_door() -> Result<()> {
    let lobby = Lobby::start(Pki::new()?, |_, _| {}).await?;
    for said in [
        "PING\r\n",
        "SUB > 1\r\n",
        "PUB x 1\r\na\r\n",
        "PONG\r\n",
        "UNSUB 1\r\n",
        "HPUB x 12 13\r\nNATS/1.0\r\n\r\na\r\n",
    ] {
        let mut raw = lobby.connect(&lobby.pki.outsider()).await?;
        raw.send(said).await?;
        let answer = raw.closed().await?;
        ensure!(answer.contains("Authorization Violation") && !answer.contains("PONG"), "{said:?}: {answer}");
    }
    Ok(())
}
