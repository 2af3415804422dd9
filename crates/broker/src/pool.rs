//! Spare buffers, a few per thread, so that a busy connection does not allocate per batch and an idle one
//! holds nothing.

use std::cell::RefCell;

/// Buffers kept per thread.
const KEPT: usize = 8;
/// A larger buffer goes back to the allocator.
const LARGEST: usize = 512 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, with capacity when one is at hand.
pub(crate) fn take() -> Vec<u8> {
    SPARE.with_borrow_mut(|spare| spare.pop().unwrap_or_default())
}

/// Takes a buffer back.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > LARGEST {
        return;
    }
    buffer.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < KEPT {
            spare.push(buffer);
        }
    });
}
