//! JetStream as the one who embeds it sees it: start, state, shutdown.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use broker::Server;
use parking_lot::Mutex;
use store::Store;

use crate::account::Account;
use crate::api::outsider::Outsiders;
use crate::hub::Hub;
use crate::run::{self, Tasks};
use crate::settings::Settings;
use crate::stream::Stream;
use crate::stream::info::StreamInfo;

/// Why JetStream can't be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no tokio runtime.
    #[error("JetStream needs a tokio runtime")]
    NoRuntime,
}

/// A stream, for monitoring.
#[derive(Debug, Clone)]
pub struct StreamStatus {
    /// The account it is in.
    pub account: Arc<str>,
    /// What the API tells of it.
    pub info: StreamInfo,
    /// Why it takes no writes at the moment.
    pub stopped: Option<String>,
}

/// The whole in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Accounts with JetStream.
    pub accounts: usize,
    /// Streams.
    pub streams: usize,
    /// Consumers.
    pub consumers: usize,
    /// Messages.
    pub messages: u64,
    /// Bytes of messages in memory.
    pub memory: u64,
    /// Bytes of messages on disk.
    pub file: u64,
    /// Bytes that streams have reserved (`max_bytes`), in memory and on disk.
    pub reserved_memory: u64,
    /// See [`Self::reserved_memory`].
    pub reserved_file: u64,
    /// API requests answered.
    pub api_requests: u64,
    /// Of these, with an error.
    pub api_errors: u64,
}

/// A running JetStream. Dropping it ends it as [`JetStream::close`] does.
#[derive(Debug)]
pub struct JetStream {
    pub(crate) hub: Arc<Hub>,
    outsiders: Mutex<Outsiders>,
    _tasks: Tasks,
}

impl JetStream {
    /// Starts JetStream on a server: streams that the store holds are opened, and the API is answered in the accounts of
    /// the settings (all that have streams, and the default one, if the settings name none).
    ///
    /// # Errors
    /// See [`StartError`]. A stream that can't be opened is no error: it is left alone, and the log says why.
    pub fn start(server: Server, store: Store, settings: Settings) -> Result<Self, StartError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(StartError::NoRuntime);
        }
        let hub = Hub::new(server, store, settings);
        let tasks = run::start(&hub);
        let named: Vec<Arc<str>> = hub.settings.accounts.keys().cloned().collect();
        let default = named.is_empty().then(|| identity::DEFAULT_ACCOUNT.into());
        for name in named.into_iter().chain(default) {
            hub.open_account(&name);
        }
        let found: Vec<(Arc<Account>, Arc<Stream>)> =
            hub.store.streams().into_iter().filter_map(|log| Stream::recover(&hub, log)).collect();
        for (account, stream) in &found {
            stream.enter(account);
        }
        Ok(Self { hub, outsiders: Mutex::new(Outsiders::new()), _tasks: tasks })
    }

    /// Opens JetStream for one more account; with settings that name accounts, only for those.
    pub fn open_account(&self, name: &str) -> bool {
        self.hub.open_account(name).is_some()
    }

    /// Answers the API in an account that has no JetStream: with error 10039, as nats-server does. Where the account has
    /// streams by way of a link or an import, those answer instead. Nothing changes where JetStream is.
    pub fn turn_away(&self, name: &str) {
        if self.hub.account(name).is_some() {
            return;
        }
        if let Err(error) = self.outsiders.lock().add(&self.hub.server, name) {
            tracing::error!(account = name, %error, "requests to JetStream are not answered here");
        }
    }

    /// Accounts with JetStream.
    #[must_use]
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.hub.accounts()
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.hub.settings
    }

    /// Every stream as it is now.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamStatus> {
        let of = |account: &Arc<Account>| {
            let name = account.name.clone();
            account.streams().into_iter().map(move |stream| StreamStatus {
                account: name.clone(),
                info: stream.info(),
                stopped: stream.log.stopped().map(|why| why.to_string()),
            })
        };
        self.hub.accounts().iter().flat_map(of).collect()
    }

    /// The whole in numbers.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let totals = &self.hub.totals;
        let mut figures = Figures {
            accounts: self.hub.accounts().len(),
            memory: self.hub.used(true),
            file: self.hub.used(false),
            api_requests: totals.api_requests.load(Ordering::Relaxed),
            api_errors: totals.api_errors.load(Ordering::Relaxed),
            ..Figures::default()
        };
        for stream in self.hub.all_streams() {
            let config = stream.config();
            figures.streams += 1;
            figures.consumers += stream.consumers().map_or(0, |consumers| consumers.count());
            figures.messages += stream.log.size().0;
            let reserved = config.max_bytes.try_into().unwrap_or(0);
            match config.storage {
                crate::config::Storage::Memory => figures.reserved_memory += reserved,
                crate::config::Storage::File => figures.reserved_file += reserved,
            }
        }
        figures
    }

    /// How long it took to make messages durable.
    #[must_use]
    pub fn sync_times(&self) -> store::SyncTimes {
        self.hub.store.sync_times()
    }

    /// What is wrong with what is stored.
    #[must_use]
    pub fn problems(&self) -> Vec<store::Problem> {
        self.hub.store.problems()
    }

    /// Tells everybody whose pull request waits that the server is about to stop. Everything else goes on.
    pub fn stop_waiting(&self) {
        for stream in self.hub.all_streams() {
            if let Some(consumers) = stream.consumers() {
                consumers.stop_waiting();
            }
        }
    }

    /// Commits what waits, closes all streams and gives the store back.
    pub fn close(&self) {
        self.hub.close();
    }
}

impl Drop for JetStream {
    fn drop(&mut self) {
        self.hub.close();
    }
}
