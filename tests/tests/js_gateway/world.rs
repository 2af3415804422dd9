//! A hub with streams, ours or stock, and a gateway before it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, consumer, kv, stream};
use gatehouse_tests::{
    BusOptions, Client, ConfServer, Gateway, GatewayOptions, InternalBus, Kind, Pki, ResultExt, Tokens,
    peers_dir, run_scenarios,
};
use serde_json::{Value, json};

/// All that a user writes beside his usual `[link]`: see docs/streams.md.
const LINK: &str = "jetstream_domain = \"hub\"\n";

/// Streams and buckets a partner may use; the others are nobody's business.
const RIGHTS: &str = "consume = [\"ORDERS\"]\nstream_read = [\"AUDIT\"]\nkv_read = [\"config\", \"state\"]\nkv_write = [\"state\"]";

/// All scenarios of a script together.
const PATIENCE: Duration = Duration::from_secs(90);

/// What holds the streams.
enum Hub {
    Ours(InternalBus),
    Stock(ConfServer),
}

impl Hub {
    async fn start(kind: Kind, pki: &Pki) -> Result<Option<Self>> {
        if kind == Kind::Ours {
            let streams = "[streams]\nstore_dir = \"store\"\ndomain = \"hub\"\n";
            let bus = InternalBus::start(pki, &BusOptions::default().with_sections(streams)).await?;
            return Ok(Some(Self::Ours(bus)));
        }
        let conf = "listen: \"127.0.0.1:-1\"\nleafnodes { listen: \"127.0.0.1:-1\" }\n\
            jetstream { store_dir: \"store\", domain: hub }\n";
        Ok(ConfServer::start(kind, pki.dir(), conf).await?.map(Self::Stock))
    }

    async fn gateway(&self, pki: &Pki, tokens: &Tokens) -> Result<Gateway> {
        let leafnodes = match self {
            Self::Ours(bus) => bus.leafnodes()?,
            Self::Stock(server) => server.addresses.leafnodes.context("no leafnode port")?,
        };
        let mut options = GatewayOptions::dialling(pki, leafnodes);
        options.rights = options.rights.replacen("publish = ", &format!("{RIGHTS}\npublish = "), 1);
        let mut gateway = if let Self::Ours(_) = self {
            options.link.push_str(LINK);
            Gateway::start(pki, tokens, &options).await?
        } else {
            options.link = format!("urls = [\"nats-leaf://{leafnodes}\"]\n{LINK}");
            Gateway::start_plain(pki, tokens, &options).await?
        };
        gateway.ready().await?;
        Ok(gateway)
    }

    async fn client(&self, pki: &Pki) -> Result<async_nats::Client> {
        Ok(match self {
            Self::Ours(bus) => bus.client(&pki.service("orders")).await?,
            Self::Stock(server) => async_nats::connect(server.url()).await?,
        })
    }
}

/// A hub with streams, and a gateway whose role may do something with them.
pub(crate) struct World {
    gateway: Gateway,
    /// Ends with the world.
    _hub: Hub,
    /// A service's.
    pub(crate) inside: jetstream::Context,
    tokens: Tokens,
    pki: Pki,
}

impl World {
    /// `None`, counted as a skip, where the hub is not installed.
    pub(crate) async fn new(kind: Kind) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let tokens = Tokens::new(pki.dir())?;
        let Some(hub) = Hub::start(kind, &pki).await? else { return Ok(None) };
        let gateway = hub.gateway(&pki, &tokens).await?;
        let inside = jetstream::new(hub.client(&pki).await?);
        fill(&inside).await?;
        Ok(Some(Self { gateway, _hub: hub, inside, tokens, pki }))
    }

    /// A partner, once the API can be reached over the link.
    pub(crate) async fn outside(&self) -> Result<jetstream::Context> {
        let client = self.gateway.client(&self.pki, &self.tokens.good()?).await?;
        Ok(jetstream::new(client))
    }

    /// What the `nats` command needs to come in as a partner.
    pub(crate) fn command_login(&self) -> Result<Vec<String>> {
        let server = format!("tls://{}", self.gateway.addresses.clients);
        let (token, ca) = (self.tokens.good()?, self.pki.text("frontend-ca.crt"));
        let words = ["--server", &server, "--token", &token, "--tlsca", &ca, "--timeout", "5s"];
        Ok(words.map(str::to_owned).to_vec())
    }

    /// Where it may leave files.
    pub(crate) fn dir(&self) -> &Path {
        self.pki.dir()
    }

    /// Runs scenarios of a script of a peer.
    pub(crate) async fn peer(&self, client: Client, script: &str, scenarios: &[&str]) -> Result<()> {
        let mut options = json!({
            "url": format!("tls://{}", self.gateway.addresses.clients), "token": self.tokens.good()?,
            "ca": self.pki.path("frontend-ca.crt"),
        });
        if client == Client::Go {
            return run_scenarios(client, &options, scenarios, |_| {}).await?.all_pass();
        }
        options["scenarios"] = json!(scenarios);
        let program = if client == Client::Python { peers_dir().join("bin/python") } else { "node".into() };
        let mut command = tokio::process::Command::new(program);
        command.arg(format!("{}/peers/{script}", env!("CARGO_MANIFEST_DIR"))).arg(options.to_string());
        command.env("GATEHOUSE_PEERS", peers_dir()).stdin(Stdio::null()).kill_on_drop(true);
        let output =
            tokio::time::timeout(PATIENCE, command.output()).await.context("the script takes too long")??;
        let said = String::from_utf8_lossy(&output.stdout);
        let results: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let good = results.iter().filter(|result| result["ok"] == true).count();
        ensure!(good == scenarios.len(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// What partners find: streams of 20 messages, two with a consumer each; the buckets `config`, with two keys, `state` and `secret`, empty.
async fn fill(inside: &jetstream::Context) -> Result<()> {
    for name in ["ORDERS", "SECRET", "AUDIT"] {
        let subject = format!("{}.in", name.to_lowercase());
        let config =
            stream::Config { name: name.to_owned(), subjects: vec![subject.clone()], ..Default::default() };
        let stream = inside.create_stream(config).await?;
        if name != "AUDIT" {
            let config =
                consumer::pull::Config { durable_name: Some("partner".to_owned()), ..Default::default() };
            stream.create_consumer(config).await?;
        }
        for number in 0..20 {
            inside.publish(subject.clone(), number.to_string().into()).await?.await?;
        }
    }
    for bucket in ["config", "state", "secret"] {
        let config = kv::Config { bucket: bucket.to_owned(), history: 5, ..kv::Config::default() };
        inside.create_key_value(config).await?;
    }
    let config = inside.get_key_value("config").await?;
    for (key, value) in [("limits.max", "9"), ("limits.min", "0"), ("limits.max", "10")] {
        config.put(key, value.into()).await?;
    }
    Ok(())
}
