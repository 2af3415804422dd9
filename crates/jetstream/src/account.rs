//! JetStream in one account: its streams, its bounds, its API.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Weak};

use broker::{Call, Handler, HandlerPort, Reception};
use parking_lot::{Mutex, RwLock};

use crate::config::Storage;
use crate::hub::Hub;
use crate::settings::AccountLimits;
use crate::stream::Stream;

/// Figures of one account.
#[derive(Debug, Default)]
pub struct Usage {
    /// Bytes of messages in memory.
    pub memory: AtomicI64,
    /// Bytes of messages on disk.
    pub file: AtomicI64,
    /// API requests answered, and of these with an error.
    pub api_requests: AtomicU64,
    /// See [`Self::api_requests`].
    pub api_errors: AtomicU64,
}

impl Usage {
    /// The counter of bytes for a kind of storage.
    pub(crate) fn bytes(&self, storage: Storage) -> &AtomicI64 {
        match storage {
            Storage::File => &self.file,
            Storage::Memory => &self.memory,
        }
    }
}

/// Figures of one account, as they were when asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // See `Usage`.
pub struct AccountFigures {
    pub memory: u64,
    pub file: u64,
    pub api_requests: u64,
    pub api_errors: u64,
}

/// JetStream in one account.
pub struct Account {
    /// The account's name in the broker.
    pub name: Arc<str>,
    pub(crate) hub: Weak<Hub>,
    pub(crate) limits: AccountLimits,
    pub(crate) usage: Arc<Usage>,
    /// Where the API is answered, and acknowledgements are taken.
    pub(crate) port: HandlerPort,
    streams: RwLock<BTreeMap<Arc<str>, Arc<Stream>>>,
    /// Held while streams are created, changed or removed: what is checked then stays true until it is done.
    pub(crate) changing: Mutex<()>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Account {
    pub(crate) fn open(hub: &Arc<Hub>, name: &str, limits: AccountLimits) -> Arc<Self> {
        let account = Arc::new_cyclic(|me: &Weak<Self>| Self {
            name: name.into(),
            hub: Arc::downgrade(hub),
            limits,
            usage: Arc::default(),
            port: hub.server.handler(name, "jetstream", me.clone()),
            streams: RwLock::default(),
            changing: Mutex::new(()),
        });
        let domain = hub.settings.domain.as_ref().map(|domain| format!("$JS.{domain}.API.>"));
        let patterns = ["$JS.API.>", "$JS.ACK.>", "$JS.FC.>"].into_iter().map(Into::into).chain(domain);
        for pattern in patterns {
            let pattern: String = pattern;
            if let Err(error) = account.port.subscribe(pattern.as_bytes(), None) {
                tracing::error!(account = name, pattern, %error, "no JetStream here");
            }
        }
        account.answer_domain(hub);
        account
    }

    /// Leads what clients across a link write into buckets, which comes under the API's name with the domain because
    /// nothing else of JetStream crosses, to where the buckets are.
    fn answer_domain(&self, hub: &Hub) {
        let Some(domain) = &hub.settings.domain else { return };
        for stored in ["$KV.>", "$OBJ.>"] {
            let crossing = format!("$JS.{domain}.API.{stored}");
            let led = hub.server.import_stream(&self.name, &crossing, &self.name, stored);
            if let Err(error) = led {
                tracing::error!(account = &*self.name, crossing, %error, "can't be written from across a link");
            }
        }
    }

    /// Its figures now.
    #[must_use]
    pub fn figures(&self) -> AccountFigures {
        use std::sync::atomic::Ordering::Relaxed;
        let bytes = |counter: &AtomicI64| counter.load(Relaxed).try_into().unwrap_or(0);
        AccountFigures {
            memory: bytes(&self.usage.memory),
            file: bytes(&self.usage.file),
            api_requests: self.usage.api_requests.load(Relaxed),
            api_errors: self.usage.api_errors.load(Relaxed),
        }
    }

    /// The hub; `None` while everything ends.
    pub(crate) fn hub(&self) -> Option<Arc<Hub>> {
        self.hub.upgrade()
    }

    /// The stream of that name.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<Arc<Stream>> {
        self.streams.read().get(name).cloned()
    }

    /// All streams, by name.
    #[must_use]
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.streams.read().values().cloned().collect()
    }

    pub(crate) fn add_stream(&self, stream: &Arc<Stream>) {
        self.streams.write().insert(stream.name.clone(), stream.clone());
    }

    pub(crate) fn forget_stream(&self, name: &str) -> Option<Arc<Stream>> {
        self.streams.write().remove(name)
    }
}

impl Handler for Account {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        crate::api::inline::receive(self, call)
    }
}
