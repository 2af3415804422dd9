//! All of JetStream on one server: its accounts, its store, its way to the broker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use broker::{Outlet, Server};
use parking_lot::{Mutex, RwLock};
use store::Store;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::account::Account;
use crate::advisory::Outgoing;
use crate::config::Storage;
use crate::run::Queue;
use crate::settings::Settings;
use crate::stamp::Stamp;
use crate::stream::{Due, Stream};

/// Figures of the whole. Bytes are those of messages, as nats-server counts them.
#[derive(Debug, Default)]
pub struct Totals {
    /// Bytes of messages in memory.
    pub memory: AtomicI64,
    /// Bytes of messages on disk.
    pub file: AtomicI64,
    /// API requests answered, and of these with an error.
    pub api_requests: AtomicU64,
    /// See [`Self::api_requests`].
    pub api_errors: AtomicU64,
    /// API requests that wait.
    pub api_waiting: AtomicUsize,
    /// Atomic batches that are open.
    pub batches: AtomicUsize,
    /// Fast batches that are open.
    pub fast_batches: AtomicUsize,
}

impl Totals {
    /// The counter of bytes for a kind of storage.
    pub(crate) fn bytes(&self, storage: Storage) -> &AtomicI64 {
        match storage {
            Storage::File => &self.file,
            Storage::Memory => &self.memory,
        }
    }
}

/// What the commit thread sends acknowledgements with.
#[derive(Default)]
struct Direct {
    outlets: BTreeMap<Arc<str>, Outlet>,
    due: Due,
}

/// What all parts share.
pub struct Hub {
    pub(crate) server: Server,
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    pub(crate) totals: Arc<Totals>,
    /// Streams with something new on disk; worked off by [`crate::run`].
    pub(crate) committed: Arc<Queue<Arc<Stream>>>,
    /// What the commit thread answers with.
    direct: Mutex<Direct>,
    /// API requests; worked off by [`crate::run`].
    pub(crate) requests: Arc<Queue<crate::api::Request>>,
    /// What others want published.
    pub(crate) outgoing: Arc<Queue<Outgoing>>,
    /// Gives consumers their turns.
    pub(crate) crew: Arc<crate::consumers::crew::Crew>,
    /// Wakes who keeps time.
    pub(crate) timers: Arc<Notify>,
    runtime: Handle,
    closed: AtomicBool,
    accounts: RwLock<BTreeMap<Arc<str>, Arc<Account>>>,
    /// Itself, for those it makes.
    me: Weak<Self>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("accounts", &self.accounts.read().len()).finish_non_exhaustive()
    }
}

impl Hub {
    pub(crate) fn new(server: Server, store: Store, settings: Settings) -> Arc<Self> {
        let waiting = settings.max_api_requests;
        Arc::new_cyclic(|me| Self {
            server,
            store,
            settings,
            totals: Arc::default(),
            committed: Arc::new(Queue::new(usize::MAX)),
            direct: Mutex::default(),
            requests: Arc::new(Queue::new(waiting)),
            outgoing: Arc::new(Queue::new(waiting)),
            crew: Arc::default(),
            timers: Arc::default(),
            runtime: Handle::current(),
            closed: AtomicBool::new(false),
            accounts: RwLock::default(),
            me: me.clone(),
        })
    }

    /// The time of the clock on the wall, in nanoseconds since 1970. The only clock of this crate: what is inside is
    /// told it.
    pub(crate) fn now(&self) -> Stamp {
        Stamp::of(SystemTime::now())
    }

    /// The account of that name, if JetStream is there for it.
    pub(crate) fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.accounts.read().get(name).cloned()
    }

    /// All accounts.
    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.read().values().cloned().collect()
    }

    /// Opens JetStream for an account; what is there already stays.
    pub(crate) fn open_account(&self, name: &str) -> Option<Arc<Account>> {
        if let Some(known) = self.account(name) {
            return Some(known);
        }
        let hub = self.me.upgrade()?;
        let limits = match self.settings.accounts.get(name) {
            Some(limits) => limits.clone(),
            None if self.settings.accounts.is_empty() => crate::settings::AccountLimits::default(),
            None => return None,
        };
        let account = Account::open(&hub, name, limits);
        self.accounts.write().insert(account.name.clone(), account.clone());
        Some(account)
    }

    /// Runs something until it ends or the runtime does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// A name nobody else has, as ids of events and names of consumers are: 22 characters of `[0-9A-Za-z]`.
    pub(crate) fn token(&self) -> String {
        const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        (0..22).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])).collect()
    }

    /// Sends the acknowledgements of a stream at once if they are few: who waits for one alone does not wait for another
    /// thread to wake. Called by the commit thread; `false` says that somebody else has to.
    pub(crate) fn answers_now(&self, stream: &Stream) -> bool {
        let (Some(mut direct), Some(account)) = (self.direct.try_lock(), stream.account()) else {
            return false;
        };
        let Direct { outlets, due } = &mut *direct;
        let outlet = outlets.entry(account.name.clone()).or_insert_with(|| account.port.outlet());
        stream.work_off_few(due, outlet)
    }

    /// Whether everything ends.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends everything: what waits is committed, streams take no more.
    pub(crate) fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        for stream in self.all_streams() {
            stream.save_progress();
            stream.close(false);
        }
        self.store.close();
    }

    pub(crate) fn all_streams(&self) -> Vec<Arc<Stream>> {
        self.accounts().iter().flat_map(|account| account.streams()).collect()
    }

    pub(crate) fn used(&self, memory: bool) -> u64 {
        let counter = if memory { &self.totals.memory } else { &self.totals.file };
        counter.load(Ordering::Relaxed).try_into().unwrap_or(0)
    }
}
