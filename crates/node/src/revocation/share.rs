//! Revocations told to the other gateways on the same bus, and learned from them.
//!
//! What is revoked or lifted here is published at once. A gateway whose link comes up says what it has (a digest of it),
//! and whoever has something else tells it everything; the same once a minute, for what was lost on the way. Entries are
//! merged, so it does not matter in which order or how often they come. Entries of the operators' file stay here: it is
//! configuration.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::{Direction, LinkGroup, LocalClient, LocalError, RouteRule};
use identity::revocation::{Entry, ShareKey, Told, summary};
use rand::Rng;
use rand::distr::Alphanumeric;

use super::Plane;

/// Where gateways tell one another. Clients can't reach it: the server keeps `$GATEHOUSE.` for itself.
const ALL: &str = "$GATEHOUSE.REVOCATIONS.all";
/// Followed by the name of the one that is meant.
const ONE: &str = "$GATEHOUSE.REVOCATIONS.to.";

/// Bytes of entries in one message.
const BATCH: usize = 256 * 1024;
/// How often what one has is said although nothing has happened.
const AGAIN: Duration = Duration::from_secs(60);

/// What has to be able to cross the link for this.
#[must_use]
pub fn route() -> RouteRule {
    RouteRule {
        subject: "$GATEHOUSE.REVOCATIONS.>".into(),
        direction: Direction::Both,
        to: None,
        stamp: false,
    }
}

/// The exchange between this gateway and the others.
#[derive(Debug)]
pub struct Exchange {
    plane: Arc<Plane>,
    key: ShareKey,
    name: String,
    /// What the others have been told, or told us: entry and when it was lifted.
    known: HashMap<String, Option<u64>>,
}

impl Exchange {
    /// An exchange of what `plane` has, sealed with `key`.
    #[must_use]
    pub fn new(plane: Arc<Plane>, key: ShareKey) -> Self {
        let name = rand::rng().sample_iter(Alphanumeric).take(22).map(char::from).collect();
        // What was there before is told to whoever turns out to lack it.
        let known = plane.shared().iter().map(|entry| (entry.id.clone(), entry.lifted_at)).collect();
        Self { plane, key, name, known }
    }

    /// Exchanges until the client is closed. `group` says when the link comes up.
    ///
    /// # Errors
    /// Never in practice: the subjects are written in this source.
    pub async fn run(mut self, mut client: LocalClient, group: Arc<LinkGroup>) -> Result<(), LocalError> {
        client.subscribe(ALL, None)?;
        client.subscribe(&format!("{ONE}{}", self.name), None)?;
        let mut links = group.watch();
        let mut changes = self.plane.changes();
        let mut again = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                message = client.next() => match message {
                    Some(message) => self.hear(&client, &message.payload).await,
                    None => return Ok(()),
                },
                changed = changes.changed() => match changed {
                    Ok(()) => self.tell_news(&client),
                    Err(_) => return Ok(()),
                },
                changed = links.changed() => match changed {
                    Ok(()) if *links.borrow_and_update() > 0 => self.say_summary(&client),
                    Ok(()) => {}
                    Err(_) => return Ok(()),
                },
                _ = again.tick() => self.say_summary(&client),
            }
        }
    }

    async fn hear(&mut self, client: &LocalClient, message: &[u8]) {
        match self.key.open(message) {
            Ok(Told::Entries(entries)) => self.take(entries).await,
            Ok(Told::Summary { from, digest, answer }) if from != self.name => {
                self.answer(client, &from, &digest, answer);
            }
            Ok(Told::Summary { .. }) => {}
            Err(error) => tracing::warn!(%error, "a message about revocations is not believed"),
        }
    }

    /// Merges what came. Each entry is on the disk afterwards, so this is done where blocking is no matter.
    async fn take(&mut self, mut entries: Vec<Entry>) {
        entries.retain(|entry| self.known.get(&entry.id) != Some(&entry.lifted_at));
        let plane = Arc::clone(&self.plane);
        let taken = tokio::task::spawn_blocking(move || {
            let take = |entry: Entry| {
                let (id, lifted_at) = (entry.id.clone(), entry.lifted_at);
                plane.take(entry).map(|_| (id.clone(), lifted_at)).map_err(|error| (id, error))
            };
            entries.into_iter().map(take).collect::<Vec<_>>()
        });
        for entry in taken.await.unwrap_or_default() {
            match entry {
                Ok((id, lifted_at)) => drop(self.known.insert(id, lifted_at)),
                Err((id, error)) => {
                    tracing::error!(%error, id, "a revocation made on another gateway is not in force here");
                }
            }
        }
    }

    /// Tells everything to one that has something else, and asks it for what it has, unless it was asked.
    fn answer(&self, client: &LocalClient, from: &str, digest: &str, asked: bool) {
        let entries = self.plane.shared();
        let own = summary(entries.iter().map(|entry| &**entry));
        if own == digest || !is_name(from) {
            return;
        }
        let to = format!("{ONE}{from}");
        self.tell(client, &to, &entries);
        if !asked {
            self.publish(client, &to, &Told::Summary { from: self.name.clone(), digest: own, answer: true });
        }
    }

    fn say_summary(&self, client: &LocalClient) {
        let digest = summary(self.plane.shared().iter().map(|entry| &**entry));
        self.publish(client, ALL, &Told::Summary { from: self.name.clone(), digest, answer: false });
    }

    /// Tells all others what they do not know yet.
    fn tell_news(&mut self, client: &LocalClient) {
        let known = &self.known;
        let mut news = self.plane.shared();
        news.retain(|entry| known.get(&entry.id) != Some(&entry.lifted_at));
        self.tell(client, ALL, &news);
        self.known.extend(news.into_iter().map(|entry| (entry.id.clone(), entry.lifted_at)));
    }

    fn tell(&self, client: &LocalClient, subject: &str, entries: &[Arc<Entry>]) {
        let mut batch = Vec::new();
        let mut size = 0;
        for entry in entries {
            size += 256 + entry.id.len() + entry.reason.len() + entry.by.len();
            batch.push(Entry::clone(entry));
            if size >= BATCH {
                self.publish(client, subject, &Told::Entries(std::mem::take(&mut batch)));
                size = 0;
            }
        }
        if !batch.is_empty() {
            self.publish(client, subject, &Told::Entries(batch));
        }
    }

    fn publish(&self, client: &LocalClient, subject: &str, told: &Told) {
        let sent = self.key.seal(told).map(|message| client.publish(subject.as_bytes(), b"", &message));
        match sent {
            // Nobody else, or no link: the summary when it is back makes up for it.
            Ok(Ok(()) | Err(LocalError::NoResponders | LocalError::LinkDown)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the other gateways are not told about revocations"),
            Err(error) => tracing::error!(%error, "revocations can't be told"),
        }
    }
}

/// Whether this can be the name of another exchange: it becomes part of a subject.
fn is_name(name: &str) -> bool {
    name.len() == 22 && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
