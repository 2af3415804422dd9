//! Roles and bindings of the bus change while it runs: whoever is connected has the rights of now.

use std::fs;

use anyhow::{Result, ensure};
use gatehouse_tests::{BusOptions, InternalBus, Pki, Raw, client_config, eventually, http_get};
use serde_json::Value;

fn rights(subject: &str) -> String {
    format!(
        "[[roles]]\nname = \"service\"\npublish = {{ allow = [\"{subject}\"] }}\nsubscribe = {{ allow = [\"{subject}\"] }}\n\
         [[bindings]]\nrole = \"service\"\nwhen = {{ \"certificate.dns\" = \"orders.internal\" }}\n"
    )
}

async fn readyz(bus: &InternalBus) -> Result<(u16, Value)> {
    let answer = http_get(bus.admin()?, "/readyz").await?;
    Ok((answer.status, answer.json()?))
}

#[tokio::test]
async fn rights_on_the_bus_change_without_a_restart() -> Result<()> {
    let pki = Pki::new()?;
    let options = BusOptions::default().with_sections(&rights("old.>"));
    let mut bus = InternalBus::start(&pki, &options).await?;
    let config = client_config(&pki.service("orders"), &[])?;
    let (mut live, _) = Raw::tls(bus.addresses.clients, config, "internal-bus").await?;
    live.login(r#"{"verbose":false}"#).await?;
    live.send("SUB old.a 1\r\n").await?;
    live.fence().await?;
    let file = pki.path("bus.toml");
    let text = fs::read_to_string(&file)?;
    // By the file alone.
    fs::write(&file, text.replace("old.>", "new.>"))?;
    live.expect_start("-ERR 'Permissions Violation for Subscription to \"old.a\"").await?;
    live.send("SUB new.a 2\r\nPUB new.a 1\r\nx\r\n").await?;
    ensure!(live.message().await?.payload == b"x");
    // What is wrong changes nothing, and is told.
    fs::write(&file, text.replace("publish = {", "publsh = {"))?;
    bus.process.signal("HUP").await?;
    bus.process.wait_log("a refusal", |log| log.contains("configuration refused").then_some(())).await?;
    let (status, page) = readyz(&bus).await?;
    ensure!(status == 200 && page["notes"][0]["name"] == "configuration", "{page}");
    ensure!(page["notes"][0]["reason"].as_str().is_some_and(|reason| reason.contains("publsh")), "{page}");
    live.send("PUB new.a 1\r\ny\r\n").await?;
    ensure!(live.message().await?.payload == b"y");
    let metrics = http_get(bus.admin()?, "/metrics").await?;
    ensure!(metrics.body.contains("gatehouse_config_stale 1"), "{}", metrics.body);
    // A role that is gone takes its sessions along; the note goes with the mistake.
    fs::write(&file, text.replace("orders.internal", "billing.internal"))?;
    live.closed().await?;
    let well = || async { readyz(&bus).await.ok().filter(|(_, page)| page["notes"].is_null()) };
    eventually("the note to go", well).await?;
    Ok(())
}
