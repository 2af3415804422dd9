//! Messages of one subject on their way through: ranges in the buffer they were read into.

use crate::outbox::Load;

/// One message, as its canonical tail `[reply ][header length ]size CRLF headers payload CRLF`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    /// Where the tail starts: in the read buffer, or in the side buffer when `rewritten`.
    pub(crate) at: u32,
    pub(crate) len: u32,
    pub(crate) header_len: u32,
    /// Headers and payload, without the closing CRLF.
    pub(crate) payload_len: u32,
    /// The subject shown to readers where that is not the routed one; lies in the same buffer.
    pub(crate) shown_at: u32,
    pub(crate) shown_len: u16,
    pub(crate) reply_len: u16,
    pub(crate) has_headers: bool,
    pub(crate) rewritten: bool,
    /// Bytes right before the tail that belong in front of the reply: the way back to another cluster.
    pub(crate) front: u8,
}

/// Messages that share a route, in the order they were published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Items<'a> {
    pub(crate) list: &'a [Item],
    pub(crate) read: &'a [u8],
    pub(crate) side: &'a [u8],
    /// Each of them needs a look of its own when it is given to a client.
    pub(crate) singly: bool,
}

impl<'a> Items<'a> {
    #[inline]
    pub(crate) fn tail(&self, item: &Item) -> &'a [u8] {
        let buffer = if item.rewritten { self.side } else { self.read };
        &buffer[item.at as usize..(item.at + item.len) as usize]
    }

    pub(crate) fn reply(&self, item: &Item) -> &'a [u8] {
        &self.tail(item)[..item.reply_len as usize]
    }

    /// The tail with what belongs in front of the reply.
    pub(crate) fn whole_tail(&self, item: &Item) -> &'a [u8] {
        let buffer = if item.rewritten { self.side } else { self.read };
        let front = u32::from(item.front);
        buffer.get((item.at - front) as usize..(item.at + item.len) as usize).unwrap_or_default()
    }

    /// The reply with the way back in front, where it came with one.
    pub(crate) fn whole_reply(&self, item: &Item) -> &'a [u8] {
        let end = item.front as usize + item.reply_len as usize;
        self.whole_tail(item).get(..end).unwrap_or_default()
    }

    /// The subject to show, when it is not the routed one.
    #[inline]
    pub(crate) fn shown(&self, item: &Item) -> Option<&'a [u8]> {
        if item.shown_len == 0 {
            return None;
        }
        let buffer = if item.rewritten { self.side } else { self.read };
        buffer.get(item.shown_at as usize..item.shown_at as usize + item.shown_len as usize)
    }

    /// Headers and payload.
    pub(crate) fn payload(&self, item: &Item) -> &'a [u8] {
        let tail = self.tail(item);
        &tail[tail.len() - 2 - item.payload_len as usize..tail.len() - 2]
    }

    /// All of them as a load on an outbox.
    pub(crate) fn load(&self) -> Load {
        self.load_of(0, 1)
    }

    /// Every `step`th of them from `start`.
    pub(crate) fn load_of(&self, start: usize, step: usize) -> Load {
        let dealt = self.list.iter().skip(start).step_by(step);
        dealt.fold(Load::default(), |load, item| Load {
            messages: load.messages + 1,
            payload: load.payload + item.payload_len as usize,
        })
    }

    pub(crate) fn tail_bytes(&self) -> usize {
        self.list.iter().map(|item| item.len as usize).sum()
    }
}
