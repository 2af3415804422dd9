//! What a stream counts towards the bounds of its account and of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::Stream;
use crate::account::{Account, Usage};
use crate::config::Storage;
use crate::errors::{self as e, ApiError};
use crate::hub::{Hub, Totals};

/// Where the bytes of a stream are counted, at hand without asking the account or the hub.
#[derive(Debug)]
pub(super) struct Counted {
    /// Bytes that are counted.
    bytes: AtomicU64,
    storage: Storage,
    account: Arc<Usage>,
    totals: Arc<Totals>,
    /// The bounds of the account and of the server.
    most_of_account: Option<u64>,
    most: u64,
}

impl Counted {
    pub(super) fn new(hub: &Hub, account: &Account, storage: Storage) -> Self {
        let memory = storage == Storage::Memory;
        Self {
            bytes: AtomicU64::new(0),
            storage,
            account: account.usage.clone(),
            totals: hub.totals.clone(),
            most_of_account: if memory { account.limits.max_memory } else { account.limits.max_file },
            most: if memory { hub.settings.max_memory } else { hub.settings.max_file },
        }
    }

    fn of_account(&self) -> &AtomicI64 {
        self.account.bytes(self.storage)
    }

    fn of_all(&self) -> &AtomicI64 {
        self.totals.bytes(self.storage)
    }

    fn set(&self, bytes: u64) {
        let before = self.bytes.swap(bytes, Ordering::AcqRel);
        if bytes != before {
            let more = bytes.cast_signed() - before.cast_signed();
            self.of_account().fetch_add(more, Ordering::Relaxed);
            self.of_all().fetch_add(more, Ordering::Relaxed);
        }
    }
}

impl Stream {
    /// Brings the account's usage up to date.
    pub(crate) fn note_usage(&self) {
        self.counted.set(self.log.bytes());
    }

    /// It is gone and counts for nothing.
    pub(super) fn forget_usage(&self) {
        self.counted.set(0);
    }

    /// Whether the account and the server have room for more.
    pub(super) fn check_limits(&self) -> Result<(), ApiError> {
        let used = |counter: &AtomicI64| counter.load(Ordering::Relaxed).try_into().unwrap_or(0_u64);
        if used(self.counted.of_all()) >= self.counted.most {
            return Err(e::INSUFFICIENT_RESOURCES.err());
        }
        let of_account = self.counted.of_account().load(Ordering::Relaxed);
        if self
            .counted
            .most_of_account
            .is_some_and(|most| of_account >= 0 && of_account.unsigned_abs() >= most)
        {
            return Err(e::ACCOUNT_RESOURCES_EXCEEDED.err());
        }
        Ok(())
    }
}
