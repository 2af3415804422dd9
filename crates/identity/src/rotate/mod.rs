//! Values that are built from files and replaced when the files change: TLS configurations above all.
//!
//! A [`Rotating`] holds the present value on a watch channel. Whoever needs it takes the present `Arc` without
//! reading a file and without waiting; connections keep the value they started with. A new value is built completely
//! before it replaces the old one; when that fails, the old one stays.

mod fingerprint;
mod watch;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch as channel;

use crate::tls::CertificateExpiry;
use fingerprint::{Fingerprint, Observer};

pub use watch::{WatchOptions, watch_files};

/// A description from which a value can be built, again and again.
pub trait Material: Send + Sync + 'static {
    /// What is built.
    type Value: Send + Sync + 'static;
    /// Why it can't be built.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Reads the files and builds the value. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When a file can't be used; nothing may have changed then.
    fn load(&self, now: i64) -> Result<Self::Value, Self::Error>;

    /// Whether `new` may take the place of `old`, which works at this moment (`now`, seconds since 1970).
    ///
    /// # Errors
    /// When `new` was built well but would serve worse; it is then refused as if it could not be built.
    fn may_replace(_old: &Self::Value, _new: &Self::Value, _now: i64) -> Result<(), Self::Error> {
        Ok(())
    }

    /// The files and directories `load` reads.
    fn inputs(&self) -> Vec<PathBuf>;

    /// The ends of the certificates in a value; for metrics.
    fn expiries(_value: &Self::Value) -> &[CertificateExpiry] {
        &[]
    }
}

/// What came of looking at the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The files had changed, and the new value is in force.
    Reloaded,
    /// Nothing had changed since the files were last tried.
    Unchanged,
    /// The files had changed, but no value could be built from them. The old one stays. The text says why.
    Refused(String),
}

/// A value that follows its files.
#[derive(Debug)]
pub struct Rotating<M: Material> {
    current: channel::Sender<Arc<M::Value>>,
    /// Held while files are read, so that two reloads can't overtake each other. Never held by readers.
    loading: Mutex<Loading<M>>,
}

#[derive(Debug)]
struct Loading<M> {
    material: Arc<M>,
    observer: Observer,
    /// The files as they were when last tried, whether that went well or not.
    tried: Fingerprint,
}

impl<M: Material> Rotating<M> {
    /// Builds the first value.
    ///
    /// # Errors
    /// As [`Material::load`].
    pub fn new(material: M) -> Result<Self, M::Error> {
        let mut observer = Observer::default();
        // The files are looked at before they are read: a change in between is then seen as one later on.
        let tried = observer.look(&material.inputs());
        let value = material.load(unix_now())?;
        let loading = Loading { material: Arc::new(material), observer, tried };
        Ok(Self { current: channel::Sender::new(Arc::new(value)), loading: Mutex::new(loading) })
    }

    /// The value in force. Cheap; takes no lock that is held while files are read.
    pub fn current(&self) -> Arc<M::Value> {
        Arc::clone(&self.current.borrow())
    }

    /// Hears of every replacement.
    pub fn subscribe(&self) -> channel::Receiver<Arc<M::Value>> {
        self.current.subscribe()
    }

    /// Builds the value anew whether or not files have changed, as on SIGHUP. Reads files: not for the accept path.
    ///
    /// # Errors
    /// As [`Material::load`] and [`Material::may_replace`]; the old value stays in force.
    pub fn reload(&self) -> Result<(), M::Error> {
        let mut loading = self.loading();
        let material = Arc::clone(&loading.material);
        self.adopt(&mut loading, &material)
    }

    /// Builds the value from another description and, if that goes well, follows that one's files from now on.
    ///
    /// # Errors
    /// As [`Material::load`] and [`Material::may_replace`]; the old value and description stay.
    pub fn reload_with(&self, material: M) -> Result<(), M::Error> {
        let mut loading = self.loading();
        let material = Arc::new(material);
        let before = loading.tried.clone();
        let adopted = self.adopt(&mut loading, &material);
        match &adopted {
            Ok(()) => loading.material = material,
            Err(_) => loading.tried = before,
        }
        adopted
    }

    /// Looks at the files, and builds the value anew if they have changed since they were last tried. Reads files.
    pub fn check(&self) -> Outcome {
        let mut loading = self.loading();
        let material = Arc::clone(&loading.material);
        if loading.observer.look(&material.inputs()) == loading.tried {
            return Outcome::Unchanged;
        }
        match self.adopt(&mut loading, &material) {
            Ok(()) => Outcome::Reloaded,
            Err(error) => Outcome::Refused(error.to_string()),
        }
    }

    /// The ends of all certificates in force, seconds since 1970.
    pub fn expiries(&self) -> Vec<CertificateExpiry> {
        M::expiries(&self.current()).to_vec()
    }

    /// The end of the certificate in force that ends first, seconds since 1970.
    pub fn earliest_expiry(&self) -> Option<i64> {
        M::expiries(&self.current()).iter().map(|expiry| expiry.not_after).min()
    }

    fn adopt(&self, loading: &mut Loading<M>, material: &M) -> Result<(), M::Error> {
        loading.tried = loading.observer.look(&material.inputs());
        let now = unix_now();
        let value = material.load(now)?;
        M::may_replace(&self.current(), &value, now)?;
        self.current.send_replace(Arc::new(value));
        Ok(())
    }

    fn loading(&self) -> MutexGuard<'_, Loading<M>> {
        // A panic while loading leaves the state whole: fields are replaced one at a time, each valid by itself.
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock of this machine in seconds since 1970; 0 before.
pub(crate) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
