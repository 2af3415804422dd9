//! The commands as users type them.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{
    BusOptions, GatewayOptions, Pki, Process, ProcessBuilder, Ran, Scene, Tokens, binary, peers_dir, run,
    run_binary, skip,
};
use tempfile::TempDir;

async fn gateway(dir: &Path, args: &[&str]) -> Result<Ran> {
    run_binary("event-gateway", dir, args).await
}

/// Starts a command that goes on until it is stopped, and waits for words in what it prints.
async fn start(program: &Path, dir: &Path, log: &str, args: &[&str], words: &str) -> Result<Process> {
    let mut process = ProcessBuilder::new(program, dir.join(log)).args(args).current_dir(dir).spawn()?;
    process.wait_log(words, |log| log.contains(words).then_some(())).await?;
    Ok(process)
}

#[tokio::test]
async fn every_program_helps_and_tells_its_version() -> Result<()> {
    let dir = TempDir::new()?;
    for program in ["event-gateway", "internal-bus", "certs-dev"] {
        let help = run_binary(program, dir.path(), ["--help"]).await?.output()?;
        ensure!(help.contains("Usage") && help.lines().count() > 10, "{program}: {help}");
        let version = run_binary(program, dir.path(), ["--version"]).await?.output()?;
        ensure!(version.starts_with(program) && version.contains('.'), "{program}: {version}");
    }
    for command in ["up", "token", "check-config", "pub", "sub", "request", "health-check"] {
        let help = gateway(dir.path(), &[command, "--help"]).await?.output()?;
        ensure!(help.contains("Usage: event-gateway"), "{command}: {help}");
    }
    let wrong = gateway(dir.path(), &["--no-such-flag"]).await?;
    ensure!(wrong.code == Some(2), "{wrong:?}");
    Ok(())
}

/// Configurations that must be refused, each with what the message has to name.
const BAD: [(&str, &str, &str); 6] = [
    ("an unknown key", "[service]\nhots = \"127.0.0.1\"\n", "hots"),
    ("an unknown section", "[services]\nport = 1\n", "services"),
    ("a wrong type", "[service]\nport = \"many\"\n", "port"),
    ("a number out of range", "[service]\nport = 70000\n", "port"),
    ("no TOML", "[service\nport = 1\n", "1"),
    ("an unknown level", "[log]\nlevel = \"loud\"\n", "level"),
];

#[tokio::test]
async fn a_bad_configuration_is_named_by_file_line_and_key() -> Result<()> {
    let pki = Pki::new()?;
    let tokens = Tokens::new(pki.dir())?;
    let good = GatewayOptions::dialling(&pki, ([127, 0, 0, 1], 7422).into()).to_toml(&pki, &tokens);
    for (what, bad, word) in BAD {
        // The bad lines come first, so that their line is known; a section that stands twice is bad, too.
        let file = pki.path("bad.toml");
        std::fs::write(&file, bad)?;
        for program in ["event-gateway", "internal-bus"] {
            let refused =
                run_binary(program, pki.dir(), [OsString::from("--config"), file.clone().into()]).await?;
            ensure!(refused.code == Some(2), "{program}, {what}: {refused:?}");
            let said = &refused.stderr;
            ensure!(said.contains("bad.toml:") && said.contains(word), "{program}, {what}: {said}");
            ensure!(!said.contains("panicked") && !said.contains("backtrace"), "{program}, {what}: {said}");
        }
        let refused = gateway(pki.dir(), &["check-config", "bad.toml"]).await?;
        ensure!(refused.code == Some(2), "{what}: {refused:?}");
    }
    std::fs::write(pki.path("good.toml"), &good)?;
    let said = gateway(pki.dir(), &["check-config", "good.toml"]).await?.output()?;
    ensure!(said.contains("ok"), "{said}");
    let bus = BusOptions::default().to_toml(&pki);
    std::fs::write(pki.path("bus.toml"), bus)?;
    run_binary("internal-bus", pki.dir(), ["-t", "--config", "bus.toml"]).await?.output()?;
    let missing = gateway(pki.dir(), &["--config", "nowhere.toml"]).await?;
    ensure!(missing.code == Some(2) && missing.stderr.contains("nowhere.toml"), "{missing:?}");
    Ok(())
}

#[tokio::test]
async fn the_reference_configurations_are_accepted_as_text() -> Result<()> {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let dir = TempDir::new()?;
    for (program, file) in [("event-gateway", "gateway.toml"), ("internal-bus", "internal-bus.toml")] {
        let text = std::fs::read_to_string(config.join(file)).with_context(|| file.to_owned())?;
        ensure!(text.lines().any(|line| line.trim_start().starts_with('#')), "{file} is not annotated");
        // Beside the certificates that `certs-dev init` makes, where the reference files expect them.
        std::fs::create_dir_all(dir.path().join("config"))?;
        std::fs::write(dir.path().join("config").join(file), text)?;
        run_binary("certs-dev", dir.path(), ["init", "--out", "certs", "--force"]).await?.output()?;
        let check: &[&str] = if program == "event-gateway" {
            &["check-config", "config/gateway.toml"]
        } else {
            &["-t", "-c", "config/internal-bus.toml"]
        };
        let ran = run_binary(program, dir.path(), check).await?;
        // Only files that an operator has to bring may be missing, never a key misunderstood.
        let said = format!("{}{}", ran.stdout, ran.stderr);
        ensure!(ran.code == Some(0) || !said.contains("unknown"), "{program}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn one_command_brings_it_all_up_and_down() -> Result<()> {
    let dir = TempDir::with_prefix("gatehouse-up-")?;
    let mut up = start(&binary("event-gateway")?, dir.path(), "up.log", &["up"], "Gatehouse is up.").await?;
    let log =
        up.wait_log("the last command", |log| log.contains("Ctrl-C stops").then(|| log.to_owned())).await?;
    let root = dir.path().join("gatehouse-dev");
    let keys = find(&root, "key")?;
    ensure!(keys.len() >= 4, "{keys:?}");
    for key in keys {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&key)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{} has mode {mode:o}", key.display());
    }
    // The commands it prints do what it says: the first subscribes inside, the second publishes outside.
    let log = log.replace("\\\n", " ");
    let commands: Vec<&str> =
        log.lines().map(str::trim).filter(|line| line.contains("event-gateway ")).collect();
    let find =
        |word: &str| commands.iter().find(|line| line.contains(word)).copied().context(word.to_owned());
    let shell = Path::new("/bin/sh");
    let (inside, outside) = (find(" sub ")?, find(" pub ")?);
    let exec = |line: &str| format!("exec {line}");
    let mut sub =
        ProcessBuilder::new(shell, dir.path().join("sub.log")).args(["-c", &exec(inside)]).spawn()?;
    let mut tries = 0;
    while !sub.log().contains("orders.acme") {
        run(shell.as_os_str(), dir.path(), ["-c", outside]).await?.output()?;
        tries += 1;
        ensure!(tries < 50, "nothing arrived inside\n{}", sub.log());
    }
    drop(sub.kill().await);
    up.signal("INT").await?;
    let status = up.ended().await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// Files below `dir` with the given extension.
fn find(dir: &Path, extension: &str) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(find(&path, extension)?);
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn the_small_clients_publish_subscribe_and_ask() -> Result<()> {
    let scene = Scene::new().await?;
    let dir = scene.pki.dir();
    std::fs::write(dir.join("token"), scene.tokens.good()?)?;
    let inside = format!("tls://{}", scene.bus.addresses.clients);
    let outside = format!("tls://{}", scene.gateway.addresses.clients);
    let service =
        ["-s", &inside, "--tls-ca", "internal-ca.crt", "--tls-cert", "orders.crt", "--tls-key", "orders.key"];
    let partner = ["-s", &outside, "--tls-ca", "frontend-ca.crt", "--token-file", "token"];
    let serving = [&["sub", "peer.ask", "--reply", "re:{}"], &service[..]].concat();
    let program = binary("event-gateway")?;
    let responder =
        ProcessBuilder::new(&program, dir.join("sub.log")).args(serving).current_dir(dir).spawn()?;
    let asking = [&["request", "peer.ask", "hi", "--raw"], &partner[..]].concat();
    let mut tries = 0;
    let answer = loop {
        let ran = gateway(dir, &asking).await?;
        if ran.code == Some(0) {
            break ran.output()?;
        }
        tries += 1;
        ensure!(tries < 50, "no answer: {ran:?}");
    };
    ensure!(answer.trim() == "re:hi", "{answer:?}");
    drop(responder);
    let publishing = [&["pub", "peer.x", "one", "-H", "A:b"], &partner[..]].concat();
    gateway(dir, &publishing).await?.output()?;
    let denied = [&["pub", "secret.x", "one"], &partner[..]].concat();
    let denied = gateway(dir, &denied).await?;
    ensure!(denied.code == Some(1), "a refused publish looks like a success: {denied:?}");
    Ok(())
}

#[tokio::test]
async fn the_health_check_tells_by_its_exit_code() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new().await?;
    let credential = scene.pki.path("health-check.token");
    let mode = std::fs::metadata(&credential)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "the credential has mode {mode:o}");
    let check = ["health-check", "--config", "gateway.toml"];
    gateway(scene.pki.dir(), &check).await?.output()?;
    scene.proxy.cut();
    let sick =
        gateway(scene.pki.dir(), &["health-check", "--config", "gateway.toml", "--timeout", "2s"]).await?;
    ensure!(sick.code == Some(1), "well without a link: {sick:?}");
    scene.proxy.restore();
    drop(scene.gateway);
    let gone = run_binary("event-gateway", scene.pki.dir(), check).await?;
    ensure!(gone.code == Some(1), "well without a gateway: {gone:?}");
    Ok(())
}

#[tokio::test]
async fn a_minted_token_opens_the_door_it_is_for() -> Result<()> {
    let pki = Pki::new()?;
    let args = ["token", "--sub", "alice", "--dir", "issuer", "--claim", "tenant=acme", "--expires", "5m"];
    let token = gateway(pki.dir(), &args).await?.output()?;
    ensure!(token.trim().split('.').count() == 3 && token.trim().lines().count() == 1, "{token:?}");
    Ok(())
}

#[tokio::test]
async fn the_nats_command_talks_to_the_gateway_and_to_the_bus() -> Result<()> {
    let nats = peers_dir().join("bin/nats");
    if !nats.exists() {
        skip("the nats command is not installed");
        return Ok(());
    }
    let scene = Scene::new().await?;
    let dir = scene.pki.dir();
    let token = scene.tokens.good()?;
    let outside = format!("tls://{token}@{}", scene.gateway.addresses.clients);
    let inside = format!("tls://{}", scene.bus.addresses.clients);
    let partner = ["-s", &outside, "--tlsca", "frontend-ca.crt"];
    let service =
        ["-s", &inside, "--tlsca", "internal-ca.crt", "--tlscert", "orders.crt", "--tlskey", "orders.key"];
    let serving = [&["reply", "peer.ask", "from inside"], &service[..]].concat();
    let _responder = start(&nats, dir, "reply.log", &serving, "Listening").await?;
    let asking = [&["request", "peer.ask", "?", "--raw", "--timeout", "5s"], &partner[..]].concat();
    let mut tries = 0;
    while !run(nats.as_os_str(), dir, &asking).await?.stdout.contains("from inside") {
        tries += 1;
        ensure!(tries < 50, "no answer");
    }
    run(nats.as_os_str(), dir, [&["pub", "peer.x", "hello", "-H", "A:b"], &partner[..]].concat())
        .await?
        .output()?;
    Ok(())
}
