//! What happens to a panic: one line in the log, one more on a counter.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};

/// Panics since the hook was installed; a panic is a process-wide event, and so is its count.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Longest part of a panic's message that is logged, in characters: it may hold data of a peer.
const MESSAGE_SHOWN: usize = 200;

/// From now on panics are logged as errors with their place, instead of printed, and counted.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(report));
}

/// Panics since [`install_panic_hook`].
#[must_use]
pub fn panic_count() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

fn report(info: &PanicHookInfo<'_>) {
    PANICS.fetch_add(1, Ordering::Relaxed);
    let message = message_of(info);
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    tracing::error!(reason = message, location, thread = thread.name().unwrap_or("unnamed"), "panic");
}

/// The text a panic was raised with, cut short; other payloads are not shown.
fn message_of(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref().map(String::as_str));
    text.unwrap_or("no message").chars().take(MESSAGE_SHOWN).collect()
}
