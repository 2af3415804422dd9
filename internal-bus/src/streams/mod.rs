//! Stored events on the bus: opening the store, JetStream over it, and what operators see of both.

mod health;
mod jsz;
mod metrics;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use broker::Server;
use daemon::exit::Failure;
use jetstream::JetStream;
use store::{Cipher, Keys, SecretKey, Severity, Store, StoreError, StoreOptions};

use crate::natsconf;
use crate::plan::{StoreDir, StoreKey, StreamsPlan};

/// Processes of one machine that may each have a folder of their own where none was asked for.
const MAX_TEMPORARY: usize = 100;

/// Streams as the rest of the process sees them: there once they are recovered, if they are wanted at all.
#[derive(Clone)]
pub(crate) struct Streams {
    server: Server,
    plan: Option<Arc<StreamsPlan>>,
    /// All accounts, with streams or without.
    everyone: Arc<[String]>,
    running: Arc<OnceLock<JetStream>>,
    folder: Arc<OnceLock<PathBuf>>,
}

impl Streams {
    /// Nothing is opened yet.
    pub(crate) fn new(server: &Server, plan: Option<StreamsPlan>, everyone: &[&str]) -> Self {
        Self {
            server: server.clone(),
            plan: plan.map(Arc::new),
            everyone: everyone.iter().map(ToString::to_string).collect(),
            running: Arc::default(),
            folder: Arc::default(),
        }
    }

    /// Whether there are to be any.
    pub(crate) fn wanted(&self) -> bool {
        self.plan.is_some()
    }

    pub(crate) fn running(&self) -> Option<&JetStream> {
        self.running.get()
    }

    /// Whether an account may have any.
    pub(crate) fn in_account(&self, name: &str) -> bool {
        self.running().is_some_and(|running| running.accounts().iter().any(|account| *account.name == *name))
    }

    /// The folder they are kept in, once it is open.
    pub(crate) fn folder(&self) -> Option<&PathBuf> {
        self.folder.get()
    }

    /// Opens the store, recovers what is in it, and answers the API. Takes as long as recovery does; has to be called
    /// in the runtime, on a thread that may wait.
    ///
    /// # Errors
    /// The store can't be opened.
    pub(crate) fn open(&self) -> Result<(), Failure> {
        let Some(plan) = &self.plan else { return Ok(()) };
        tracing::info!("Starting JetStream");
        let begun = std::time::Instant::now();
        let (store, folder) = open_store(plan)?;
        for problem in store.problems() {
            match problem.severity {
                Severity::Notice => tracing::warn!("{problem}"),
                Severity::Damage => tracing::error!("{problem}"),
            }
        }
        let jetstream = JetStream::start(self.server.clone(), store, plan.settings.clone());
        let jetstream = jetstream.map_err(Failure::runtime)?;
        for account in &plan.accounts {
            jetstream.open_account(account);
        }
        for account in &*self.everyone {
            jetstream.turn_away(account);
        }
        let figures = jetstream.figures();
        tracing::info!(
            streams = figures.streams,
            messages = figures.messages,
            "Took {:?} to start JetStream in {}",
            begun.elapsed(),
            folder.display()
        );
        self.server.announce_streams(plan.settings.domain.as_deref(), jetstream::config::API_LEVEL);
        // They are set once, here.
        drop(self.folder.set(folder));
        drop(self.running.set(jetstream));
        Ok(())
    }

    /// Tells whoever waits for messages that the process is about to stop.
    pub(crate) fn stop_waiting(&self) {
        if let Some(jetstream) = self.running() {
            jetstream.stop_waiting();
        }
    }

    /// Commits what waits and gives the store back.
    pub(crate) fn close(&self) {
        if let Some(jetstream) = self.running() {
            jetstream.close();
        }
    }
}

/// Opens the store of a plan, and says where it is.
///
/// # Errors
/// It is in use, can't be read or written, or the keys are no keys.
pub(crate) fn open_store(plan: &StreamsPlan) -> Result<(Store, PathBuf), Failure> {
    let default = StoreOptions::default();
    let tail_bytes = plan.tail_cache.unwrap_or(default.tail_bytes);
    let compact_percent = plan.compact_percent.unwrap_or(default.compact_percent);
    let options = StoreOptions { keys: keys(&plan.keys)?, compact_percent, tail_bytes, ..default };
    let opened = match &plan.store_dir {
        StoreDir::Given(folder) => Store::open(folder, options).map(|store| (store, folder.clone())),
        StoreDir::Temporary { base, below } => open_free(base, below, &options),
    };
    opened.map_err(|error| Failure::runtime(format!("streams: {error}")))
}

/// Opens the first of `base`, `base-2`, … that no other process has.
fn open_free(base: &Path, below: &str, options: &StoreOptions) -> Result<(Store, PathBuf), StoreError> {
    let mut number = 1;
    loop {
        let mut folder = base.as_os_str().to_owned();
        if number > 1 {
            folder.push(format!("-{number}"));
        }
        let folder = Path::new(&folder).join(below);
        match Store::open(&folder, options.clone()) {
            Err(StoreError::Locked { .. }) if number < MAX_TEMPORARY => number += 1,
            Ok(store) => {
                tracing::warn!("streams are kept in {}: set `store_dir`", folder.display());
                return Ok((store, folder));
            }
            Err(error) => return Err(error),
        }
    }
}

fn keys(given: &[StoreKey]) -> Result<Option<Keys>, Failure> {
    let key = |key: &StoreKey| {
        let bytes = key.secret.expose().as_bytes().to_vec();
        SecretKey::new(bytes).map_err(|error| Failure::usage(format!("streams: encryption key: {error}")))
    };
    let Some((current, previous)) = given.split_first() else { return Ok(None) };
    let cipher = match current.cipher {
        natsconf::Cipher::Aes => Cipher::Aes256Gcm,
        natsconf::Cipher::ChaCha => Cipher::ChaCha20Poly1305,
    };
    let previous = previous.iter().map(key).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Keys { cipher, current: key(current)?, previous }))
}
