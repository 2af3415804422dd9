//! What a consumer says during a turn, on its way to the broker.

use broker::{Letter, Outlet as BrokerOutlet, Sent};

use super::advice;
use crate::account::Account;
use crate::consumer::{Advisory, Handed, Outlet, Stored};

/// Where the words of one consumer go during one turn.
pub(super) struct Mouth<'a> {
    pub(super) account: &'a Account,
    pub(super) outlet: &'a mut BrokerOutlet,
    pub(super) stream: &'a str,
    pub(super) consumer: &'a str,
    /// Confirmations that wait until the journal is durable.
    pub(super) confirmations: &'a mut Vec<Box<[u8]>>,
    /// Messages that are done with.
    pub(super) done: &'a mut Vec<u64>,
}

impl Outlet for Mouth<'_> {
    fn listens(&mut self, subject: &[u8]) -> bool {
        self.account.port.has_interest(subject)
    }

    fn message(&mut self, to: &[u8], reply: &[u8], message: &Stored<'_>) -> Handed {
        let letter = Letter {
            subject: to,
            shown: message.subject,
            reply,
            headers: message.headers,
            payload: message.payload,
        };
        match self.outlet.push(&letter) {
            Sent::Ok => Handed::Taken,
            Sent::Full => Handed::Full,
            Sent::Nobody => Handed::Nobody,
        }
    }

    fn status(&mut self, to: &[u8], reply: &[u8], headers: &[u8]) {
        // Who asked and is gone misses nothing.
        self.outlet.push(&Letter { subject: to, reply, headers, ..Letter::default() });
    }

    fn confirm(&mut self, reply: &[u8]) {
        self.confirmations.push(reply.into());
    }

    fn advise(&mut self, advisory: Advisory) {
        advice::tell(self.account, self.stream, self.consumer, advisory);
    }

    fn done(&mut self, sequence: u64) {
        self.done.push(sequence);
    }
}
