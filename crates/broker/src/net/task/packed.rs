//! Reading from a compressed link.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::Task;
use crate::net::buffers::{self, READ};
use crate::pool;

impl Task {
    /// Unpacks a batch and works it off: what was read before first, so that what few bytes stand for is never there as
    /// a whole, and whoever must be waited for is waited for in between.
    pub(super) fn poll_read_packed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut read = 1;
        if !self.unpack()? {
            if self.closed {
                return Poll::Ready(Ok(0));
            }
            read = ready!(self.poll_read_into_unpacker(cx))?;
            if read == 0 || !self.unpack()? {
                return Poll::Ready(Ok(read));
            }
        }
        if self.kept.len() >= self.need {
            self.work_kept();
        }
        Poll::Ready(Ok(read))
    }

    /// Whether there was anything to unpack.
    fn unpack(&mut self) -> io::Result<bool> {
        let Some(unpacker) = self.source.unpacker() else { return Ok(false) };
        if self.kept.capacity() == 0 {
            self.kept = pool::take();
        }
        let unpacked = unpacker.unpack(&mut self.kept, self.need.max(READ));
        if self.kept.is_empty() {
            pool::give(std::mem::take(&mut self.kept));
        }
        unpacked
    }

    fn poll_read_into_unpacker(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        buffers::with(|buffers| {
            let mut room = ReadBuf::new(&mut buffers.input);
            ready!(Pin::new(&mut self.source.socket).poll_read(cx, &mut room))?;
            let read = room.filled();
            self.closed |= !self.source.take_packed(read)?;
            Poll::Ready(Ok(read.len()))
        })
    }
}
