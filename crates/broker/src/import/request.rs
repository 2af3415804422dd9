//! Requests on their way into a service's account: with a reply that leads back, and word of who asks.

use std::sync::Arc;
use std::time::Instant;

use super::ServiceTerms;
use crate::account::Account;
use crate::conn::Conn;
use crate::route::{Item, Items};

/// The header that tells a service who asks. What a client writes into it never gets there.
const INFO: &[u8] = b"Nats-Request-Info";

/// Requests as they are delivered in the service's account.
pub(crate) struct Requests {
    list: Vec<Item>,
    bytes: Vec<u8>,
    /// The reply subjects made for them, to be forgotten where nobody was reached.
    replies: Vec<Vec<u8>>,
}

impl Requests {
    /// Rewrites requests published in `from`, for the account `into`.
    pub(crate) fn new(
        items: &Items<'_>,
        from: &Arc<Account>,
        into: &Account,
        origin: &Conn,
        terms: &ServiceTerms,
    ) -> Self {
        let who = describe(from, origin, terms.share);
        let now = Instant::now();
        let mut requests = Self { list: Vec::new(), bytes: Vec::new(), replies: Vec::new() };
        for item in items.list {
            let reply = match items.reply(item) {
                b"" => Vec::new(),
                // A consumer takes its acknowledgements by their subject: it must stay.
                ack if ack.starts_with(b"$JS.ACK.") => ack.to_vec(),
                reply => {
                    let name = into.responses.note(from, reply, terms, now);
                    requests.replies.push(name.clone());
                    name
                }
            };
            requests.push(&reply, who.as_bytes(), items.payload(item), item);
        }
        requests
    }

    fn push(&mut self, reply: &[u8], who: &[u8], payload: &[u8], item: &Item) {
        let (old, body) = payload.split_at(payload.len().min(item.header_len as usize));
        let pairs: &[(&[u8], &[u8])] = &[(INFO, who)];
        let added = match wire::headers::parse(old) {
            Ok(headers) => headers.rewrite(|name| !name.eq_ignore_ascii_case(INFO), pairs),
            Err(_) => wire::headers::build(pairs),
        };
        let headers = added.unwrap_or_else(|_| old.to_vec());
        let start = self.bytes.len();
        let payload = [headers.as_slice(), body].concat();
        let header_len = (!headers.is_empty()).then_some(headers.len());
        wire::encode::message_tail(&mut self.bytes, reply, header_len, &payload);
        let narrow = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        self.list.push(Item {
            at: narrow(start),
            len: narrow(self.bytes.len() - start),
            header_len: narrow(headers.len()),
            payload_len: narrow(payload.len()),
            reply_len: u16::try_from(reply.len()).unwrap_or(u16::MAX),
            has_headers: header_len.is_some(),
            rewritten: true,
            front: 0,
            shown_at: 0,
            shown_len: 0,
        });
    }

    pub(crate) fn items(&self) -> Items<'_> {
        Items { list: &self.list, read: &[], side: &self.bytes, singly: false }
    }

    /// Nobody got them: no answer will come.
    pub(crate) fn give_up(&self, into: &Account) {
        self.replies.iter().for_each(|name| into.responses.forget(name));
    }
}

/// As nats-server tells it: the account, and with `share` what the client says of itself.
fn describe(account: &Account, origin: &Conn, share: bool) -> String {
    let mut info = serde_json::json!({ "acc": &*account.name });
    if let (true, serde_json::Value::Object(fields)) = (share, &mut info) {
        let about = &origin.about;
        fields.insert("user".into(), (*origin.grant().identity).into());
        fields.insert("id".into(), origin.id.into());
        let named = [("name", &about.name), ("lang", &about.lang), ("ver", &about.version)];
        for (key, text) in named {
            if let Some(text) = text {
                fields.insert(key.into(), (**text).into());
            }
        }
        if let Some(address) = about.address {
            fields.insert("host".into(), address.ip().to_string().into());
        }
    }
    info.to_string()
}
