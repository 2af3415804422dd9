//! What we have told the other end of a link that we want: a count per pattern and queue, so that the first
//! local subscription announces and the last one withdraws.

use hashbrown::HashMap;
use identity::Rights;
use wire::info::{Extension, GatewayInfo, LeafInfo};

use super::Link;
use super::ledger::Ledgers;
use crate::inbox::STOCK;
use crate::subscription::Subscription;

/// Where the one ledger of a leafnode link is kept.
pub(super) const LEAF: &[u8] = b"";

type Counts = HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>;

/// Announced interest, by `pattern` or `pattern queue`.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    counts: Counts,
    /// The inbox prefix of this server's isolated clients: covered by one announcement.
    inboxes: Box<[u8]>,
    /// What was told, where the other end compares.
    ledgers: Option<Ledgers>,
    /// How often something was told anew.
    epoch: u64,
}

impl Announced {
    /// `compared` says whether the other end keeps a ledger, too.
    pub(crate) fn new(inboxes: &[u8], compared: bool) -> Self {
        let ledgers = compared.then(Ledgers::default);
        Self { counts: Counts::default(), inboxes: inboxes.into(), ledgers, epoch: 0 }
    }

    /// The other end has said that it compares.
    pub(crate) fn compare(&mut self) {
        self.ledgers.get_or_insert_default();
    }

    /// Whether the other end compares what it knows with what was told.
    pub(crate) fn is_compared(&self) -> bool {
        self.ledgers.is_some()
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
        let mut announced = self.announced.lock();
        let mut pattern = announced.inboxes.to_vec();
        pattern.push(b'>');
        if self.is_gateway() {
            wire::encode::remote_subscribe(out, account.as_bytes(), &pattern, None);
            note(&mut announced.ledgers, account.as_bytes(), &pattern, None, 1);
        } else if self.may_announce(&pattern) {
            wire::encode::leaf_subscribe(out, &pattern, None);
            note(&mut announced.ledgers, LEAF, &pattern, None, 1);
        } else {
            tracing::error!(link = %self.name, "the other end does not let us subscribe to our clients' inboxes: requests will get no answers");
        }
    }

    /// Sums up what was told, for the other end to compare; nothing where it does not.
    pub(crate) fn sum_up(&self, out: &mut Vec<u8>) {
        let mut announced = self.announced.lock();
        let epoch = announced.epoch;
        if let Some(ledgers) = &mut announced.ledgers {
            let sum = if self.is_gateway() { ledgers.sum(epoch) } else { ledgers.of(LEAF).sum(epoch) };
            self.extension(out, |extension| extension.interest = Some(sum));
        }
    }

    /// Sums up what was told of one account.
    pub(crate) fn sum_up_account(&self, account: &str, out: &mut Vec<u8>) {
        let mut announced = self.announced.lock();
        let epoch = announced.epoch;
        if let Some(ledgers) = &mut announced.ledgers {
            let sum = ledgers.of(account.as_bytes()).sum(epoch);
            self.extension(out, |extension| {
                extension.interest = Some(sum);
                extension.account = Some(account.into());
            });
        }
    }

    /// Sums up what was told of each account there is.
    pub(crate) fn sum_up_accounts(&self, out: &mut Vec<u8>) {
        let accounts = self.announced.lock().ledgers.as_ref().map(Ledgers::accounts).unwrap_or_default();
        accounts.iter().for_each(|account| self.sum_up_account(account, out));
    }

    /// Tells all interest (between gateways: of `account`) anew: the other end has found that it knows something else.
    pub(crate) fn retell(&self, account: &str, out: &mut Vec<u8>) {
        let told = if self.is_gateway() { account.as_bytes() } else { LEAF };
        let named = self.is_gateway().then(|| account.to_owned());
        let counts: Vec<(Box<[u8]>, u32)> = {
            let mut announced = self.announced.lock();
            let Announced { counts, ledgers: Some(ledgers), epoch, .. } = &mut *announced else { return };
            if named.is_some() && !ledgers.has(told) {
                return;
            }
            ledgers.begin(told);
            *epoch += 1;
            self.extension(out, |extension| {
                extension.retelling = Some(*epoch);
                extension.account.clone_from(&named);
            });
            let of_account = |key: &[u8]| named.is_none() || split_key(key).0 == told;
            counts.iter().filter(|(key, _)| of_account(key)).map(|(key, n)| (key.clone(), *n)).collect()
        };
        self.announce_inboxes(account, out);
        for (key, count) in &counts {
            if self.is_gateway() {
                let (pattern, queue) = split_key(split_key(key).1.unwrap_or_default());
                let queue = queue.filter(|queue| !queue.is_empty());
                wire::encode::remote_subscribe(out, told, pattern, queue);
                note(&mut self.announced.lock().ledgers, told, pattern, queue, 1);
                continue;
            }
            let (pattern, queue) = split_key(key);
            if self.may_announce(pattern) {
                wire::encode::leaf_subscribe(out, pattern, queue.map(|queue| (queue, *count)));
                note(&mut self.announced.lock().ledgers, told, pattern, queue, *count);
            }
        }
        match named {
            Some(account) => self.sum_up_account(&account, out),
            None => self.sum_up(out),
        }
    }

    /// An INFO that carries nothing but our extension.
    pub(super) fn extension(&self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Extension)) {
        let mut extension = Extension { version: crate::VERSION.into(), ..Extension::default() };
        fill(&mut extension);
        let gatehouse = Some(extension);
        let line = if self.is_gateway() {
            let gateway = Some(self.own_cluster.to_string());
            GatewayInfo { gateway, gatehouse, ..GatewayInfo::default() }.to_line()
        } else {
            LeafInfo { gatehouse, ..LeafInfo::default() }.to_line()
        };
        out.extend_from_slice(&line);
    }

    /// The other end allows something else than before: withdraws what it no longer allows, announces what it now does.
    pub(crate) fn allow(&self, rights: Option<Rights>, out: &mut Vec<u8>) {
        let mut announced = self.announced.lock();
        let Announced { counts, ledgers, .. } = &mut *announced;
        let split = |key: &[u8]| key.iter().position(|byte| *byte == b' ').unwrap_or(key.len());
        let pattern = |key: &[u8]| key.get(..split(key)).unwrap_or_default().to_vec();
        let before: Vec<bool> = counts.keys().map(|key| self.may_announce(&pattern(key))).collect();
        self.allowed.write()[1] = rights;
        if !self.is_active() {
            return;
        }
        for ((key, count), before) in counts.iter().zip(before) {
            let pattern = pattern(key);
            let queue = key.get(pattern.len() + 1..);
            match (before, self.may_announce(&pattern)) {
                (true, false) => {
                    wire::encode::leaf_unsubscribe(out, &pattern, queue);
                    note(ledgers, LEAF, &pattern, queue, 0);
                }
                (false, true) => {
                    wire::encode::leaf_subscribe(out, &pattern, queue.map(|queue| (queue, *count)));
                    note(ledgers, LEAF, &pattern, queue, *count);
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
                &mut announced,
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
                        self.change(&mut announced, &wanted, added, out);
                    }
                    return;
                }
                for rule in &crossing.receive {
                    if let Some(pattern) = rule.source_interest(sub.subject()) {
                        self.change(
                            &mut announced,
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

    fn change(&self, announced: &mut Announced, wanted: &Wanted<'_>, added: bool, out: &mut Vec<u8>) {
        let counts = &mut announced.counts;
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
                let account = wanted.account.as_bytes();
                note(&mut announced.ledgers, account, wanted.pattern, wanted.queue, after.min(1));
            } else {
                wanted.tell_leafnode(before > 0, after, out);
                note(&mut announced.ledgers, LEAF, wanted.pattern, wanted.queue, after);
            }
        }
    }
}

/// A key of [`Announced::counts`], taken apart.
fn split_key(key: &[u8]) -> (&[u8], Option<&[u8]>) {
    match key.iter().position(|byte| *byte == b' ') {
        Some(at) => (key.get(..at).unwrap_or_default(), key.get(at + 1..)),
        None => (key, None),
    }
}

/// Takes down what was told; `weight` 0 is nothing any more.
fn note(ledgers: &mut Option<Ledgers>, account: &[u8], pattern: &[u8], queue: Option<&[u8]>, weight: u32) {
    let Some(ledgers) = ledgers else { return };
    let ledger = ledgers.of(account);
    if weight > 0 {
        ledger.told(pattern, queue, weight);
    } else {
        ledger.taken_back(pattern, queue);
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
