//! What the other end of a link says it wants, held against its own sum of it, and mended where the two differ.

use wire::info::{Extension, InterestSum};

use super::interest::extension;
use super::ledger::Ledger;
use crate::conn::Conn;
use crate::core::Counters;
use crate::subscription::Sub;

/// The interest heard over a link to a server of ours.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    ledger: Ledger,
    /// All of it is being told anew: what is not in the ledger when that is done is gone.
    retelling: bool,
    /// It was asked to be told anew, and has not been yet.
    asked: bool,
}

impl Heard {
    pub(super) fn told(&mut self, pattern: &[u8], queue: Option<&[u8]>, weight: u32) {
        self.ledger.told(pattern, queue, weight);
    }

    pub(super) fn taken_back(&mut self, pattern: &[u8], queue: Option<&[u8]>) {
        self.ledger.taken_back(pattern, queue);
    }

    /// What the other end says of the interest it has told.
    pub(super) fn hear(&mut self, said: &Extension, conn: &Conn, counters: &Counters) {
        if let Some(epoch) = said.retelling {
            tracing::info!(conn = conn.id, epoch, "all interest is told anew");
            self.ledger = Ledger::default();
            self.retelling = true;
        }
        if let Some(theirs) = &said.interest {
            if std::mem::take(&mut self.retelling) {
                self.drop_stale(conn);
                self.asked = false;
            }
            self.compare(theirs, conn, counters);
        }
    }

    fn compare(&mut self, theirs: &InterestSum, conn: &Conn, counters: &Counters) {
        counters.interest_compared.add(1);
        if self.ledger.agrees(theirs) {
            return;
        }
        counters.interest_differed.add(1);
        let ours = self.ledger.sum(theirs.epoch);
        tracing::error!(
            conn = conn.id,
            told = theirs.count,
            known = ours.count,
            "interest on a link is not what the other end has told: asking for all of it"
        );
        if !std::mem::replace(&mut self.asked, true) {
            conn.send_now(|out| extension(out, |extension| extension.retell = true));
        }
    }

    /// Ends what was told before and not again.
    fn drop_stale(&self, conn: &Conn) {
        let stale: Vec<Sub> = {
            let mut subs = conn.subs.lock();
            let gone = |sub: &&Sub| {
                let queue = sub.queue();
                let pattern = sub.tag_pattern();
                !pattern.starts_with(b"$LDS.") && !self.ledger.has(pattern, queue)
            };
            let stale: Vec<Sub> = subs.iter().filter(gone).cloned().collect();
            stale.iter().for_each(|sub| drop(subs.remove(sub.tag())));
            stale
        };
        if !stale.is_empty() {
            tracing::warn!(
                conn = conn.id,
                entries = stale.len(),
                "interest that is gone at the other end ended"
            );
        }
        conn.account.unsubscribe(&stale);
    }
}
