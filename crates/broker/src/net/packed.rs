//! A compressed link below its session: what leaves is packed batch by batch, what comes is unpacked block by block.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use wire::s2::{MAX_BLOCK, Reader, Tables, Writer};

use crate::link::compression::Compressed;
use crate::outbox::Pipe;
use crate::pool;

/// What a block may hold before the other end is let in.
const LOGIN_BLOCK: usize = 64 * 1024;

thread_local! {
    static TABLES: RefCell<Tables> = RefCell::default();
}

/// Packs what is written to the pipe below. Each write is a chunk of its own: nothing waits for more to come.
pub(crate) struct PackedPipe {
    below: Arc<dyn Pipe>,
    compressed: Arc<Compressed>,
    state: Mutex<Packing>,
}

#[derive(Default)]
struct Packing {
    writer: Writer,
    /// Chunks the pipe below has not taken; `out[..at]` it has.
    out: Vec<u8>,
    at: usize,
}

impl PackedPipe {
    pub(crate) fn new(below: Arc<dyn Pipe>, compressed: Arc<Compressed>) -> Self {
        Self { below, compressed, state: Mutex::default() }
    }
}

impl Packing {
    fn push(&mut self, below: &dyn Pipe) -> io::Result<()> {
        while let Some(rest) = self.out.get(self.at..).filter(|rest| !rest.is_empty()) {
            match below.try_write(rest)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.at += written,
            }
        }
        pool::give(std::mem::take(&mut self.out));
        self.at = 0;
        Ok(())
    }
}

impl Pipe for PackedPipe {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.push(&*self.below)?;
        let Packing { writer, out, .. } = &mut *state;
        *out = pool::take();
        let effort = self.compressed.effort();
        let taken = TABLES.with_borrow_mut(|tables| writer.write(bytes, effort, tables, out));
        self.compressed.count_sent(taken, out.len());
        match state.push(&*self.below) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            // What is left goes before the next write.
            _ => Ok(taken),
        }
    }

    fn try_flush(&self) -> io::Result<()> {
        self.state.lock().push(&*self.below)?;
        self.below.try_flush()
    }
}

/// Unpacks what comes.
pub(crate) struct Unpacker {
    reader: Reader,
    compressed: Arc<Compressed>,
}

impl Unpacker {
    pub(crate) fn new(compressed: Arc<Compressed>) -> Self {
        Self { reader: Reader::new(LOGIN_BLOCK), compressed }
    }

    /// The other end is let in.
    pub(crate) fn let_in(&mut self) {
        self.reader.allow(MAX_BLOCK);
    }

    pub(crate) fn compressed(&self) -> &Arc<Compressed> {
        &self.compressed
    }

    /// Where bytes go as they come.
    pub(crate) fn input(&mut self) -> &mut Vec<u8> {
        self.reader.input()
    }

    /// Appends blocks to `plain` until it holds `enough`, or none is left; whether there was one.
    pub(crate) fn unpack(&mut self, plain: &mut Vec<u8>, enough: usize) -> io::Result<bool> {
        let (held, before) = (self.reader.held(), plain.len());
        let mut some = false;
        while plain.len() < enough.max(before + 1) {
            match self.reader.next(plain) {
                Ok(true) => some = true,
                Ok(false) => break,
                Err(error) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("the link's S2 stream {error}"),
                    ));
                }
            }
        }
        self.compressed.count_received(plain.len() - before, held - self.reader.held());
        Ok(some)
    }
}
