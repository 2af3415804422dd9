//! Publishing once more what was stored.

use std::collections::VecDeque;

use broker::Letter;
use store::Fate;

use super::ingest::Run;

/// Messages to be published when they are safe.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    items: VecDeque<Item>,
}

#[derive(Debug)]
struct Item {
    position: u64,
    subject: Vec<u8>,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

impl Queue {
    /// Sends those up to a position.
    pub(crate) fn take(&mut self, position: u64, out: &mut broker::Outlet) {
        while self.items.front().is_some_and(|item| item.position <= position) {
            if let Some(item) = self.items.pop_front() {
                out.push(&Letter {
                    subject: &item.subject,
                    headers: &item.headers,
                    payload: &item.payload,
                    ..Letter::default()
                });
            }
        }
    }

    /// Those after `from` up to `upto` are not to be sent after all.
    pub(crate) fn take_back(&mut self, from: u64, upto: u64) {
        self.items.retain(|item| item.position <= from || item.position > upto);
    }
}

impl Run<'_> {
    /// Whether this subject is published once more.
    pub(super) fn republishes(&self) -> bool {
        self.config.republish.is_some()
            && self
                .stream
                .republishing()
                .as_ref()
                .is_some_and(|mapping| subject::matches(mapping.source().as_bytes(), self.subject))
    }

    /// Publishes a stored message once more, now or when it is safe. `before`: the last sequence of its subject before.
    pub(super) fn republish(
        &mut self,
        position: u64,
        sequence: u64,
        before: u64,
        block: &[u8],
        payload: &[u8],
    ) {
        let mut to = Vec::new();
        let applied =
            self.stream.republishing().as_ref().is_some_and(|mapping| mapping.apply(self.subject, &mut to));
        if !applied || !subject::valid_subject(&to) {
            return;
        }
        let headers_only = self.config.republish.as_ref().is_some_and(|republish| republish.headers_only);
        let mut headers = if block.is_empty() { b"NATS/1.0\r\n\r\n".to_vec() } else { block.to_vec() };
        headers.truncate(headers.len() - 2);
        let (stream, subject, time) = (&self.stream.name, String::from_utf8_lossy(self.subject), self.now);
        let added = format!(
            "Nats-Stream: {stream}\r\nNats-Subject: {subject}\r\nNats-Sequence: {sequence}\r\n\
             Nats-Time-Stamp: {time}\r\nNats-Last-Sequence: {before}\r\n"
        );
        headers.extend_from_slice(added.as_bytes());
        if headers_only {
            headers.extend_from_slice(format!("Nats-Msg-Size: {}\r\n", payload.len()).as_bytes());
        }
        headers.extend_from_slice(b"\r\n");
        let payload = if headers_only { &[] } else { payload };
        match self.stream.log.fate(position) {
            Fate::Committed => {
                let letter = Letter { subject: &to, headers: &headers, payload, ..Letter::default() };
                return self.out.send(&letter);
            }
            Fate::TakenBack(_) => return,
            Fate::Waits => {}
        }
        self.ingest.republish.items.push_back(Item {
            position,
            subject: to,
            headers,
            payload: payload.to_vec(),
        });
    }
}
