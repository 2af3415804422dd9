//! One stream: its configuration, its log, what comes in and what goes out.

pub(crate) mod hooks;

use std::sync::{Arc, OnceLock, Weak};

use broker::HandlerPort;
use parking_lot::RwLock;

use crate::account::Account;
use crate::config::StreamConfig;
use crate::stamp::Stamp;
pub use hooks::Consumers;

/// A stream.
pub struct Stream {
    /// Its name.
    pub name: Arc<str>,
    /// Its log. Read with [`Stream::readable`] in mind.
    pub log: store::Stream,
    /// When it was created.
    pub created: Stamp,
    pub(crate) account: Weak<Account>,
    config: RwLock<Arc<StreamConfig>>,
    consumers: OnceLock<Arc<dyn Consumers>>,
    /// Where its subjects are subscribed to.
    pub(crate) port: HandlerPort,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Stream {
    /// Its configuration as it is now.
    #[must_use]
    pub fn config(&self) -> Arc<StreamConfig> {
        self.config.read().clone()
    }

    /// Its consumers.
    #[must_use]
    pub fn consumers(&self) -> Option<&Arc<dyn Consumers>> {
        self.consumers.get()
    }

    /// The last sequence that may be shown to consumers: everything up to it is as durable as the stream promises.
    #[must_use]
    pub fn readable(&self) -> u64 {
        self.log.committed().seq
    }
}
