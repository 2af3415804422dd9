//! What we have told the other end of a link that we want: a count per pattern and queue, so that the first
//! local subscription announces and the last one withdraws.

use hashbrown::HashMap;

use super::Link;
use crate::inbox::STOCK;
use crate::subscription::Subscription;

type Counts = HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>;

/// Announced interest, by `pattern` or `pattern queue`.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    counts: Counts,
    /// The inbox prefix of this server's isolated clients: covered by one announcement.
    inboxes: Box<[u8]>,
}

impl Announced {
    pub(crate) fn new(inboxes: &[u8]) -> Self {
        Self { counts: Counts::default(), inboxes: inboxes.into() }
    }

    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }
}

fn key(pattern: &[u8], queue: Option<&[u8]>) -> Box<[u8]> {
    match queue {
        None => pattern.into(),
        Some(queue) => [pattern, b" ", queue].concat().into_boxed_slice(),
    }
}

impl Link {
    /// Announces everything that is wanted whatever the subscriptions: our loop mark, and the inbox space.
    pub(crate) fn announce_fixed(&self, out: &mut Vec<u8>) {
        wire::encode::leaf_subscribe(out, self.loop_subject.as_bytes(), None);
        if self.is_filtered() {
            let mut pattern = self.announced.lock().inboxes.to_vec();
            pattern.push(b'>');
            wire::encode::leaf_subscribe(out, &pattern, None);
        }
    }

    /// Takes one local subscription more (`added`) or less into account; the lines to send go to `out`.
    pub(crate) fn local_changed(&self, sub: &Subscription, added: bool, out: &mut Vec<u8>) {
        let mut announced = self.announced.lock();
        match &self.crossing {
            None => self.change(
                &mut announced.counts,
                sub.subject(),
                sub.queue(),
                added,
                subject_weight(sub),
                out,
            ),
            Some(crossing) => {
                if sub.subject().starts_with(&announced.inboxes) {
                    return;
                }
                for rule in &crossing.receive {
                    if let Some(pattern) = rule.source_interest(sub.subject()) {
                        self.change(
                            &mut announced.counts,
                            &pattern,
                            sub.queue(),
                            added,
                            subject_weight(sub),
                            out,
                        );
                    }
                }
            }
        }
    }

    fn change(
        &self,
        counts: &mut Counts,
        pattern: &[u8],
        queue: Option<&[u8]>,
        added: bool,
        weight: u32,
        out: &mut Vec<u8>,
    ) {
        let key = key(pattern, queue);
        let before = counts.get(&key).copied().unwrap_or(0);
        let after = if added { before.saturating_add(weight) } else { before.saturating_sub(weight) };
        if after == 0 {
            counts.remove(&key);
        } else {
            counts.insert(key, after);
        }
        if !self.may_announce(pattern) {
            return;
        }
        match queue {
            // The weight of a queue group is told anew each time.
            Some(queue) if after > 0 => wire::encode::leaf_subscribe(out, pattern, Some((queue, after))),
            None if before == 0 && after > 0 => wire::encode::leaf_subscribe(out, pattern, None),
            _ if before > 0 && after == 0 => wire::encode::leaf_unsubscribe(out, pattern, queue),
            _ => {}
        }
    }
}

fn subject_weight(sub: &Subscription) -> u32 {
    if sub.queue().is_some() { sub.weight().max(1) } else { 1 }
}

/// Whether a subject lies in some inbox space of `server_inboxes`.
pub(crate) fn is_isolated(subject: &[u8], server_inboxes: &[u8]) -> bool {
    subject.starts_with(STOCK) && subject.starts_with(server_inboxes)
}
