//! What the other end of a link says it wants, held against its own sum of it, and mended where the two differ.

use std::collections::HashSet;

use wire::info::{Extension, InterestSum};

use super::ledger::Ledgers;
use crate::conn::Conn;
use crate::core::Counters;
use crate::subscription::Sub;

/// The interest heard over a link to a server of ours, by account; a leafnode link has one, without a name.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    ledgers: Ledgers,
    /// What is being told anew: what is not in the ledger when that is done is gone.
    retelling: HashSet<Box<[u8]>>,
    /// What was asked to be told anew, and has not been yet.
    asked: HashSet<Box<[u8]>>,
}

impl Heard {
    pub(super) fn told(&mut self, account: &[u8], pattern: &[u8], queue: Option<&[u8]>, weight: u32) {
        self.ledgers.of(account).told(pattern, queue, weight);
    }

    pub(super) fn taken_back(&mut self, account: &[u8], pattern: &[u8], queue: Option<&[u8]>) {
        self.ledgers.of(account).taken_back(pattern, queue);
    }

    /// What the other end says of the interest it has told. Answers with what `belongs` to it, was told before and
    /// is no more, taken out of the connection's table: it is to be taken out of the account, too.
    #[must_use]
    pub(super) fn hear(
        &mut self,
        said: &Extension,
        conn: &Conn,
        counters: &Counters,
        belongs: impl Fn(&Sub) -> bool,
    ) -> Vec<Sub> {
        let account = said.account.as_deref().unwrap_or_default().as_bytes();
        if let Some(epoch) = said.retelling {
            tracing::info!(conn = conn.id, account = said.account, epoch, "all interest is told anew");
            self.ledgers.begin(account);
            self.retelling.insert(account.into());
        }
        let Some(theirs) = &said.interest else { return Vec::new() };
        let mut stale = Vec::new();
        if self.retelling.remove(account) {
            stale = self.take_stale(account, conn, belongs);
            self.asked.remove(account);
        }
        self.compare(said, theirs, conn, counters);
        stale
    }

    fn compare(&mut self, said: &Extension, theirs: &InterestSum, conn: &Conn, counters: &Counters) {
        counters.interest_compared.add(1);
        let of_all = said.account.is_none() && conn.link().is_some_and(|link| link.is_gateway());
        let account = said.account.as_deref().unwrap_or_default().as_bytes();
        let ours =
            if of_all { self.ledgers.sum(theirs.epoch) } else { self.ledgers.of(account).sum(theirs.epoch) };
        // While an account is still to be told anew, the sum of all of them says nothing.
        if ours == *theirs || of_all && !self.asked.is_empty() {
            return;
        }
        let Some(link) = conn.link() else { return };
        if of_all {
            tracing::warn!(
                conn = conn.id,
                "interest on a gateway is not what was told: asking for each account's sum"
            );
            return conn.send_now(|out| link.extension(out, |extension| extension.sums = true));
        }
        counters.interest_differed.add(1);
        tracing::error!(
            conn = conn.id,
            account = said.account,
            told = theirs.count,
            known = ours.count,
            "interest on a link is not what the other end has told: asking for all of it"
        );
        if self.asked.insert(account.into()) {
            conn.send_now(|out| {
                link.extension(out, |extension| {
                    extension.retell = true;
                    extension.account.clone_from(&said.account);
                });
            });
        }
    }

    /// Takes what was told before and not again.
    fn take_stale(&mut self, account: &[u8], conn: &Conn, belongs: impl Fn(&Sub) -> bool) -> Vec<Sub> {
        let ledger = self.ledgers.of(account);
        let mut subs = conn.subs.lock();
        let gone = |sub: &&Sub| belongs(sub) && !ledger.has(sub.tag_pattern(), sub.queue());
        let stale: Vec<Sub> = subs.iter().filter(gone).cloned().collect();
        stale.iter().for_each(|sub| drop(subs.remove(sub.tag())));
        if !stale.is_empty() {
            tracing::warn!(
                conn = conn.id,
                entries = stale.len(),
                "interest that is gone at the other end ended"
            );
        }
        stale
    }
}
