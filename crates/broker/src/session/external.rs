//! What a client from outside may not say, taken out of its messages before they go on.
//!
//! Two things are looked at, for clients whose inboxes are isolated: headers that only servers write (see
//! [`crate::provenance`]), and requests to streams that name a subject to deliver to. The stream would publish there
//! with rights of its own, so the subject must be one the client could subscribe to; its inbox is named as it is known
//! inside.

use std::borrow::Cow;

use serde_json::{Map, Value};
use wire::client::Publish;

use super::ClientSession;
use crate::provenance;

/// What is to become of a message.
pub(super) enum Vetted {
    AsItIs,
    /// With this payload, of which so much is headers.
    Instead(Vec<u8>, usize),
    /// Its headers can't be read without doubt.
    BadHeaders,
    /// It asks for deliveries the client has no right to.
    Refused,
}

/// Requests whose body may name a subject to deliver to, as their subject goes on behind the prefix of the API.
const IN_CONFIG: [&[u8]; 2] = [b"CONSUMER.CREATE.", b"CONSUMER.DURABLE.CREATE."];
const AT_TOP: &[u8] = b"STREAM.SNAPSHOT.";
const KEY: &str = "deliver_subject";

impl ClientSession {
    /// Whether what is said in messages of this subject is looked at, beyond their headers.
    pub(super) fn looks_into(&self, subject: &[u8]) -> bool {
        self.conn.inbox.is_some() && api_request(subject).is_some()
    }

    pub(super) fn vet(&self, publish: &Publish<'_>) -> Vetted {
        if self.conn.inbox.is_none() {
            return Vetted::AsItIs;
        }
        let header_len = if publish.has_headers { publish.header_len } else { 0 };
        let (block, body) = publish.payload.split_at(header_len.min(publish.payload.len()));
        let block = match publish.has_headers.then(|| provenance::strip(block)) {
            Some(Err(_)) => return Vetted::BadHeaders,
            Some(Ok(Some(stripped))) => Some(stripped),
            _ => None,
        };
        let wanted = match api_request(publish.subject) {
            Some(place) => self.deliveries(place, body),
            None => Ok(None),
        };
        match (block, wanted) {
            (_, Err(())) => Vetted::Refused,
            (None, Ok(None)) => Vetted::AsItIs,
            (stripped, Ok(wanted)) => {
                let block = stripped.map_or(Cow::Borrowed(&publish.payload[..header_len]), Cow::Owned);
                let payload = [&*block, wanted.as_deref().unwrap_or(body)].concat();
                Vetted::Instead(payload, block.len())
            }
        }
    }

    /// The body of a request with its deliveries in the client's own space; `None` when there is nothing to change.
    fn deliveries(&self, place: Place, body: &[u8]) -> Result<Option<Vec<u8>>, ()> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        // What this parser does not read, another one might.
        let mut request: Map<String, Value> = serde_json::from_slice(body).map_err(drop)?;
        let mut found = false;
        match place {
            Place::Top => found |= self.move_deliveries(&mut request)?,
            Place::Config => {
                for (_, config) in request.iter_mut().filter(|(key, _)| folds_to(key, "config")) {
                    if let Value::Object(config) = config {
                        found |= self.move_deliveries(config)?;
                    }
                }
            }
        }
        // Written anew also where nothing was moved: of a key that stands twice, each reader takes another one.
        Ok(found.then(|| Value::Object(request).to_string().into_bytes()))
    }

    fn move_deliveries(&self, object: &mut Map<String, Value>) -> Result<bool, ()> {
        let mut found = false;
        for (_, value) in object.iter_mut().filter(|(key, _)| folds_to(key, KEY)) {
            let Value::String(subject) = value else { continue };
            found = true;
            if subject.is_empty() {
                continue;
            }
            let isolated = self.conn.inbox.as_ref().and_then(|space| space.isolate(subject.as_bytes()));
            if let Some(inside) = isolated {
                *subject = String::from_utf8(inside).map_err(drop)?;
            } else if !subject::valid_subject(subject.as_bytes())
                || !self.conn.grant().rights.may_subscribe(subject.as_bytes(), None)
            {
                return Err(());
            }
        }
        Ok(found)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Config,
}

/// Where the body of a request to `subject` may name a subject to deliver to. `$JS.API.…`, or with a domain
/// `$JS.<domain>.API.…`.
fn api_request(subject: &[u8]) -> Option<Place> {
    let rest = subject.strip_prefix(b"$JS.")?;
    let operation = rest.strip_prefix(b"API.").or_else(|| {
        let dot = rest.iter().position(|byte| *byte == b'.')?;
        rest.get(dot + 1..)?.strip_prefix(b"API.")
    })?;
    if IN_CONFIG.iter().any(|start| operation.starts_with(start)) {
        return Some(Place::Config);
    }
    operation.starts_with(AT_TOP).then_some(Place::Top)
}

/// Whether a reader that does not look at case takes `key` for `name` (in lower case); Go's folds two letters beyond
/// ASCII, too.
fn folds_to(key: &str, name: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_name_a_delivery() {
        for (subject, place) in [
            ("$JS.API.CONSUMER.CREATE.ORDERS", Some(Place::Config)),
            ("$JS.API.CONSUMER.CREATE.ORDERS.c.orders.>", Some(Place::Config)),
            ("$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.c", Some(Place::Config)),
            ("$JS.hub.API.CONSUMER.CREATE.ORDERS", Some(Place::Config)),
            ("$JS.API.STREAM.SNAPSHOT.ORDERS", Some(Place::Top)),
            ("$JS.API.CONSUMER.MSG.NEXT.ORDERS.c", None),
            ("$JS.ACK.CONSUMER.CREATE.x", None),
            ("orders.new", None),
        ] {
            assert_eq!(api_request(subject.as_bytes()), place, "{subject}");
        }
    }

    #[test]
    fn keys_as_careless_readers_see_them() {
        for key in ["deliver_subject", "Deliver_Subject", "DELIVER_SUBJECT", "deliver_\u{17f}ubject"] {
            assert!(folds_to(key, KEY), "{key}");
        }
        assert!(!folds_to("deliver_subjects", KEY) && !folds_to("deliversubject", KEY));
    }
}
