//! The gateway protocol: two clusters of one server each, ours and stock in every combination, and three in a mesh.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, HeaderMap};
use futures_util::StreamExt;
use gatehouse_tests::{
    ConfServer, Kind, Pki, count_until_end, eventually, free_ports, known, next_payload, within,
};
use tempfile::TempDir;

/// One cluster of one server.
struct Party {
    kind: Kind,
    name: &'static str,
    conf: String,
    server: ConfServer,
    client: Client,
}

/// Clusters that know each other.
struct Mesh {
    parties: Vec<Party>,
    dir: TempDir,
}

/// A nats.conf of a cluster that dials `remotes` and gives `port` to those who dial it.
fn conf(name: &str, ports: (u16, u16), remotes: &[(&str, u16)], extra: &str) -> String {
    let remotes: Vec<String> = remotes
        .iter()
        .map(|(name, port)| format!("{{ name: {name}, url: \"nats://127.0.0.1:{port}\" }}"))
        .collect();
    let (clients, gateway) = ports;
    format!(
        "server_name: {name}\nlisten: \"127.0.0.1:{clients}\"\nhttp: \"127.0.0.1:-1\"\naccounts {{ APP {{ users: [{{ user: a, password: a }}] }} }}\nno_auth_user: a\n\
         gateway {{ name: {name}, listen: \"127.0.0.1:{gateway}\", gateways: [{}]\n{extra} }}\n",
        remotes.join(", ")
    )
}

impl Mesh {
    /// Clusters of these kinds; the first dials the others, which have to find each other. `None` where stock
    /// nats-server is not installed.
    async fn start(kinds: &[Kind]) -> Result<Option<Self>> {
        const NAMES: [&str; 3] = ["A", "B", "C"];
        let dir = TempDir::with_prefix("gatehouse-test-")?;
        let ports = free_ports(kinds.len() * 2)?;
        let own = |at: usize| (ports[2 * at], ports[2 * at + 1]);
        let mut mesh = Self { parties: Vec::new(), dir };
        for (at, kind) in kinds.iter().enumerate() {
            let others: Vec<_> = match at {
                0 => (1..kinds.len()).map(|other| (NAMES[other], own(other).1)).collect(),
                _ => Vec::new(),
            };
            let conf = conf(NAMES[at], own(at), &others, "");
            let Some(party) = Party::start(mesh.dir.path(), *kind, NAMES[at], conf).await? else {
                return Ok(None);
            };
            mesh.parties.push(party);
        }
        mesh.joined().await?;
        Ok(Some(mesh))
    }

    fn client(&self, at: usize) -> &Client {
        &self.parties[at].client
    }

    /// Waits until a message gets from everybody to everybody.
    async fn joined(&self) -> Result<()> {
        for (to, party) in self.parties.iter().enumerate() {
            for from in (0..self.parties.len()).filter(|from| *from != to) {
                let subject = format!("joined.{from}.{to}");
                let mut heard = party.client.subscribe(subject.clone()).await?;
                party.client.flush().await?;
                known(self.client(from), &subject, &mut heard).await?;
            }
        }
        Ok(())
    }
}

impl Party {
    async fn start(
        dir: &std::path::Path,
        kind: Kind,
        name: &'static str,
        conf: String,
    ) -> Result<Option<Self>> {
        let Some(server) = ConfServer::named(kind, dir, name, &conf).await? else { return Ok(None) };
        let client = connect(&server).await?;
        Ok(Some(Self { kind, name, conf, server, client }))
    }

    /// Ends the server without notice and starts it again.
    async fn restart(&mut self, dir: &std::path::Path) -> Result<()> {
        self.server.process.kill().await?;
        let conf = &self.conf;
        self.server =
            ConfServer::named(self.kind, dir, self.name, conf).await?.context("not installed any more")?;
        self.client = connect(&self.server).await?;
        Ok(())
    }
}

async fn connect(server: &ConfServer) -> Result<Client> {
    Ok(async_nats::ConnectOptions::new().connect(server.url()).await?)
}

/// A service that answers `name:payload`, in a queue group.
async fn serve(client: &Client, subject: &'static str, name: &'static str) -> Result<()> {
    let mut asked = client.queue_subscribe(subject, "workers".to_owned()).await?;
    client.flush().await?;
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(message) = asked.next().await {
            if let Some(reply) = message.reply {
                let text = format!("{name}:{}", String::from_utf8_lossy(&message.payload));
                drop(client.publish(reply, text.into()).await);
            }
        }
    });
    Ok(())
}

/// Asks until `answer` is the answer.
async fn answered_by(client: &Client, subject: &'static str, answer: &str) -> Result<()> {
    eventually(&format!("an answer of {answer} to {subject}"), || async {
        let asked = client.request(subject, "x".into());
        let got = tokio::time::timeout(Duration::from_millis(300), asked).await.ok()?.ok()?;
        (got.payload == format!("{answer}:x")).then_some(())
    })
    .await
}

async fn messages_cross_both_ways_once_and_in_order(mesh: &mut Mesh) -> Result<()> {
    for (from, to) in [(0, 1), (1, 0)] {
        let subject = format!("news.{from}");
        let mut heard = mesh.client(to).subscribe(format!("{subject}.>")).await?;
        let mut wide = mesh.client(to).subscribe(format!("{subject}.*")).await?;
        mesh.client(to).flush().await?;
        known(mesh.client(from), &format!("{subject}.warm"), &mut heard).await?;
        for i in 0..200 {
            let mut headers = HeaderMap::new();
            headers.insert("n", i.to_string().as_str());
            let client = mesh.client(from);
            if i % 2 == 0 {
                client.publish(format!("{subject}.n"), i.to_string().into()).await?;
            } else {
                client.publish_with_headers(format!("{subject}.n"), headers, i.to_string().into()).await?;
            }
        }
        for sub in [&mut heard, &mut wide] {
            for i in 0..200 {
                let mut message = within("a message", sub.next()).await?.context("the end")?;
                while message.payload == "probe" {
                    message = within("a message", sub.next()).await?.context("the end")?;
                }
                ensure!(message.payload == i.to_string(), "{:?} in place of {i}", message.payload);
                ensure!((i % 2 == 1) == message.headers.is_some(), "headers of {i}");
            }
        }
    }
    Ok(())
}

async fn requests_cross_both_ways_from_inboxes_just_made(mesh: &mut Mesh) -> Result<()> {
    serve(mesh.client(1), "ask.b", "b").await?;
    serve(mesh.client(0), "ask.a", "a").await?;
    answered_by(mesh.client(0), "ask.b", "b").await?;
    answered_by(mesh.client(1), "ask.a", "a").await?;
    // Each with a connection, and so an inbox, of its own: interest in it can't have arrived before the request.
    for i in 0..10 {
        for (from, subject, name) in [(0, "ask.b", "b"), (1, "ask.a", "a")] {
            let fresh = connect(&mesh.parties[from].server).await?;
            let answer = within("an answer", fresh.request(subject, i.to_string().into())).await??;
            ensure!(answer.payload == format!("{name}:{i}"), "{:?}", answer.payload);
        }
    }
    Ok(())
}

async fn queue_groups_prefer_their_own_cluster_and_reach_others(mesh: &mut Mesh) -> Result<()> {
    serve(mesh.client(1), "work", "b").await?;
    answered_by(mesh.client(0), "work", "b").await?;
    serve(mesh.client(0), "work", "a").await?;
    answered_by(mesh.client(0), "work", "a").await?;
    for i in 0..50 {
        for (at, name) in [(0, "a"), (1, "b")] {
            let answer = within("an answer", mesh.client(at).request("work", i.to_string().into())).await??;
            ensure!(answer.payload == format!("{name}:{i}"), "{:?} answered at {name}", answer.payload);
        }
    }
    // A group that is only over there is one group, however many of its members match: one copy crosses.
    let mut one = mesh.client(1).queue_subscribe("jobs.*", "g".to_owned()).await?;
    mesh.client(1).flush().await?;
    known(mesh.client(0), "jobs.warm", &mut one).await?;
    let mut two = mesh.client(1).queue_subscribe("jobs.>", "g".to_owned()).await?;
    mesh.client(1).flush().await?;
    for i in 0..100 {
        mesh.client(0).publish("jobs.n", i.to_string().into()).await?;
    }
    mesh.client(0).publish("jobs.n", "last".into()).await?;
    let mut counts: HashMap<String, usize> = HashMap::new();
    while counts.values().sum::<usize>() < 101 {
        let either = futures_util::future::select(Box::pin(one.next()), Box::pin(two.next()));
        let (message, _) = within("a job", either).await?.factor_first();
        let text = String::from_utf8_lossy(&message.context("the end")?.payload).into_owned();
        if text != "probe" {
            *counts.entry(text).or_default() += 1;
        }
    }
    ensure!(counts.values().all(|count| *count == 1), "twice: {counts:?}");
    Ok(())
}

async fn what_nobody_answers_fails_at_once(mesh: &mut Mesh) -> Result<()> {
    let asked = within("a refusal", mesh.client(0).request("nobody.there", "".into())).await?;
    ensure!(asked.is_err_and(|error| error.kind() == async_nats::RequestErrorKind::NoResponders));
    Ok(())
}

async fn either_party_is_restarted_and_all_goes_on(mesh: &mut Mesh) -> Result<()> {
    for at in [1, 0] {
        let dir = mesh.dir.path().to_owned();
        mesh.parties[at].restart(&dir).await?;
        serve(mesh.client(1), "again.b", "b").await?;
        serve(mesh.client(0), "again.a", "a").await?;
        answered_by(mesh.client(0), "again.b", "b").await?;
        answered_by(mesh.client(1), "again.a", "a").await?;
        let subject = format!("flow.{at}");
        let mut heard = mesh.client(1).subscribe(subject.clone()).await?;
        mesh.client(1).flush().await?;
        known(mesh.client(0), &subject, &mut heard).await?;
        for i in 0..100 {
            mesh.client(0).publish(subject.clone(), format!("m{i}").into()).await?;
        }
        let counts = count_until_end(mesh.client(0), &subject, &mut heard).await?;
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
        ensure!(twice.is_empty(), "twice: {twice:?}");
        ensure!((0..100).all(|i| counts.contains_key(&format!("m{i}"))), "missing: {counts:?}");
    }
    Ok(())
}

macro_rules! on_pairs {
    ($($module:ident: $one:expr, $two:expr;)*) => {$(
        mod $module {
            use super::*;

            on_pairs!(@ $one, $two; messages_cross_both_ways_once_and_in_order
                requests_cross_both_ways_from_inboxes_just_made queue_groups_prefer_their_own_cluster_and_reach_others
                what_nobody_answers_fails_at_once either_party_is_restarted_and_all_goes_on);
        }
    )*};
    (@ $one:expr, $two:expr; $($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() -> Result<()> {
            match Mesh::start(&[$one, $two]).await? {
                Some(mut mesh) => super::$name(&mut mesh).await,
                None => Ok(()),
            }
        }
    )*};
}

on_pairs! {
    stock_and_stock: Kind::Stock, Kind::Stock;
    ours_dials_stock: Kind::Ours, Kind::Stock;
    stock_dials_ours: Kind::Stock, Kind::Ours;
    ours_and_ours: Kind::Ours, Kind::Ours;
}

#[tokio::test]
async fn three_find_each_other_and_nothing_comes_twice() -> Result<()> {
    for kinds in [[Kind::Ours, Kind::Stock, Kind::Stock], [Kind::Stock, Kind::Ours, Kind::Ours]] {
        let Some(mesh) = Mesh::start(&kinds).await? else { return Ok(()) };
        let mut subs = Vec::new();
        for at in 1..3 {
            subs.push(mesh.client(at).subscribe("all.>").await?);
            mesh.client(at).flush().await?;
        }
        for sub in &mut subs {
            known(mesh.client(0), "all.warm", sub).await?;
        }
        for i in 0..50 {
            mesh.client(0).publish("all.n", i.to_string().into()).await?;
        }
        for sub in &mut subs {
            for i in 0..50 {
                let got = next_payload(sub).await?;
                ensure!(got == i.to_string(), "{got} in place of {i}");
            }
        }
    }
    Ok(())
}

/// Our bus with certificates, which it checks.
#[tokio::test]
async fn a_gateway_needs_a_certificate_of_a_known_name_and_its_cluster_must_be_known() -> Result<()> {
    let pki = Pki::new()?;
    let ports = free_ports(4)?;
    let tls = |name: &str| {
        let file = |file: String| pki.text(&file);
        format!(
            "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
            file(format!("{name}.crt")),
            file(format!("{name}.key")),
            file("internal-ca.crt".into())
        )
    };
    let accepting = format!("reject_unknown_cluster: true\n{}", tls("internal-bus"));
    let accepting = conf("A", (ports[0], ports[1]), &[("B", ports[3])], &accepting);
    let accepting = accepting.replace("nats://127.0.0.1", "tls://localhost");
    let mut inside =
        ConfServer::named(Kind::Ours, pki.dir(), "inside", &accepting).await?.context("not built")?;
    for (name, certificate, works) in [("X", "event-gateway", false), ("B", "event-gateway", true)] {
        let dialling = conf(name, (ports[2], ports[3]), &[("A", ports[1])], &tls(certificate));
        let dialling = dialling.replace("nats://127.0.0.1", "tls://localhost");
        let outside = ConfServer::named(Kind::Ours, pki.dir(), "outside", &dialling).await?;
        let mut outside = outside.context("not built")?;
        if works {
            let (inner, outer) = (connect(&inside).await?, connect(&outside).await?);
            serve(&inner, "ask", "inside").await?;
            answered_by(&outer, "ask", "inside").await?;
        } else {
            let refused = |log: &str| log.contains("is unknown").then_some(());
            inside.process.wait_log("a refusal", refused).await?;
        }
        outside.process.kill().await?;
    }
    Ok(())
}
