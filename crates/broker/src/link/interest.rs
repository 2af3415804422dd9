//! What we have told the other end of a link that we want: a count per pattern and queue, so that the first
//! local subscription announces and the last one withdraws.

use hashbrown::HashMap;
use identity::Rights;

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
    /// Announces our loop mark: from it the other end's side tells a loop.
    pub(crate) fn announce_loop_mark(&self, out: &mut Vec<u8>) {
        wire::encode::leaf_subscribe(out, self.loop_subject.as_bytes(), None);
    }

    /// Announces the inboxes of this server's isolated clients, which are wanted whatever the subscriptions.
    pub(crate) fn announce_inboxes(&self, account: &str, out: &mut Vec<u8>) {
        if !self.is_filtered() {
            return;
        }
        let mut pattern = self.announced.lock().inboxes.to_vec();
        pattern.push(b'>');
        if self.is_gateway() {
            wire::encode::remote_subscribe(out, account.as_bytes(), &pattern, None);
        } else if self.may_announce(&pattern) {
            wire::encode::leaf_subscribe(out, &pattern, None);
        } else {
            tracing::error!(link = %self.name, "the other end does not let us subscribe to our clients' inboxes: requests will get no answers");
        }
    }

    /// The other end allows something else than before: withdraws what it no longer allows, announces what it now does.
    pub(crate) fn allow(&self, rights: Option<Rights>, out: &mut Vec<u8>) {
        let announced = self.announced.lock();
        let split = |key: &[u8]| key.iter().position(|byte| *byte == b' ').unwrap_or(key.len());
        let pattern = |key: &[u8]| key.get(..split(key)).unwrap_or_default().to_vec();
        let before: Vec<bool> = announced.counts.keys().map(|key| self.may_announce(&pattern(key))).collect();
        self.allowed.write()[1] = rights;
        if !self.is_active() {
            return;
        }
        for ((key, count), before) in announced.counts.iter().zip(before) {
            let pattern = pattern(key);
            let queue = key.get(pattern.len() + 1..);
            match (before, self.may_announce(&pattern)) {
                (true, false) => wire::encode::leaf_unsubscribe(out, &pattern, queue),
                (false, true) => {
                    wire::encode::leaf_subscribe(out, &pattern, queue.map(|queue| (queue, *count)));
                }
                _ => {}
            }
        }
    }

    /// Takes one local subscription more (`added`) or less into account; the lines to send go to `out`.
    pub(crate) fn local_changed(&self, account: &str, sub: &Subscription, added: bool, out: &mut Vec<u8>) {
        let mut announced = self.announced.lock();
        match &self.crossing {
            None => self.change(
                &mut announced.counts,
                &Wanted { account, pattern: sub.subject(), queue: sub.queue(), weight: subject_weight(sub) },
                added,
                out,
            ),
            Some(crossing) => {
                if sub.subject().starts_with(&announced.inboxes) {
                    // Covered by one announcement; but nats-server's streams push only to a subject that is subscribed
                    // to by its very name.
                    let named = sub.queue().is_none() && subject::valid_subject(sub.subject());
                    if named && sub.conn.is_client() {
                        let wanted = Wanted { account, pattern: sub.subject(), queue: None, weight: 1 };
                        self.change(&mut announced.counts, &wanted, added, out);
                    }
                    return;
                }
                for rule in &crossing.receive {
                    if let Some(pattern) = rule.source_interest(sub.subject()) {
                        self.change(
                            &mut announced.counts,
                            &Wanted {
                                account,
                                pattern: &pattern,
                                queue: sub.queue(),
                                weight: subject_weight(sub),
                            },
                            added,
                            out,
                        );
                    }
                }
            }
        }
    }

    fn change(&self, counts: &mut Counts, wanted: &Wanted<'_>, added: bool, out: &mut Vec<u8>) {
        let key = if self.is_gateway() { wanted.key_in_account() } else { key(wanted.pattern, wanted.queue) };
        let before = counts.get(&key).copied().unwrap_or(0);
        let after =
            if added { before.saturating_add(wanted.weight) } else { before.saturating_sub(wanted.weight) };
        if after == 0 {
            counts.remove(&key);
        } else {
            counts.insert(key, after);
        }
        if self.may_announce(wanted.pattern) {
            if self.is_gateway() {
                wanted.tell_gateway(before > 0, after > 0, out);
            } else {
                wanted.tell_leafnode(before > 0, after, out);
            }
        }
    }
}

/// One interest of ours.
struct Wanted<'a> {
    account: &'a str,
    pattern: &'a [u8],
    queue: Option<&'a [u8]>,
    weight: u32,
}

impl Wanted<'_> {
    fn key_in_account(&self) -> Box<[u8]> {
        let queue = self.queue.unwrap_or_default();
        [self.account.as_bytes(), b" ", self.pattern, b" ", queue].concat().into_boxed_slice()
    }

    fn tell_leafnode(&self, before: bool, after: u32, out: &mut Vec<u8>) {
        match self.queue {
            // The weight of a queue group is told anew each time.
            Some(queue) if after > 0 => {
                wire::encode::leaf_subscribe(out, self.pattern, Some((queue, after)));
            }
            None if !before && after > 0 => wire::encode::leaf_subscribe(out, self.pattern, None),
            _ if before && after == 0 => wire::encode::leaf_unsubscribe(out, self.pattern, self.queue),
            _ => {}
        }
    }

    fn tell_gateway(&self, before: bool, after: bool, out: &mut Vec<u8>) {
        let account = self.account.as_bytes();
        match (before, after) {
            (false, true) => wire::encode::remote_subscribe(out, account, self.pattern, self.queue),
            (true, false) => wire::encode::remote_unsubscribe(out, account, self.pattern, self.queue),
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
