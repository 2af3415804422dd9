//! Read buffers, one set a thread: borrowed within one poll, so that an idle connection holds none.

use std::cell::RefCell;

use crate::session::Work;

/// Bytes read from a socket at once.
pub(crate) const READ: usize = 256 * 1024;
/// What may be kept before a read batch: a longer rest is read on in a buffer of its own.
pub(crate) const KEEP: usize = 16 * 1024;

/// A thread's buffers.
pub(crate) struct Buffers {
    /// What was kept of earlier reads, and room to read behind it.
    pub(crate) input: Box<[u8]>,
    /// Decrypted input, where there is TLS.
    pub(crate) plain: Vec<u8>,
    pub(crate) work: Work,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        input: vec![0; KEEP + READ].into_boxed_slice(),
        plain: Vec::new(),
        work: Work::default(),
    });
}

/// Lends the thread's buffers.
pub(crate) fn with<T>(f: impl FnOnce(&mut Buffers) -> T) -> T {
    BUFFERS.with_borrow_mut(f)
}
