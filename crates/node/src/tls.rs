//! Certificates that follow their files, for listeners and for links.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use identity::rotate::{Material, Outcome, Rotating, WatchOptions, watch_files};
use identity::tls::{
    CertificateExpiry, CertifiedFile, ClientAuth, ClientTls, ServerTls, TlsError, TlsWarning,
};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_rustls::rustls;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;

use crate::sections::TlsFiles;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Goes over to another description of the same kind; `None` for one of another kind.
type Replace = Box<dyn Fn(&dyn Any) -> Option<Result<(), String>> + Send + Sync>;

/// What is told of every change and every refusal, with the name of the TLS it is about.
type Observer = Box<dyn Fn(&str, &Outcome) + Send + Sync>;

type Observers = std::sync::Mutex<Vec<Observer>>;

/// The verifier in force.
type Verifier = Box<dyn Fn() -> Arc<dyn ClientCertVerifier> + Send + Sync>;

type Following = Option<(Handle, watch::Receiver<bool>)>;

struct Entry {
    name: String,
    check: Box<dyn Fn() -> Outcome + Send + Sync>,
    expiries: Box<dyn Fn() -> Vec<CertificateExpiry> + Send + Sync>,
    watch: Box<dyn Fn(watch::Receiver<bool>) -> Task + Send + Sync>,
    replace: Replace,
}

#[derive(Default)]
struct Counts {
    reloaded: AtomicU64,
    refused: AtomicU64,
}

/// Everything in the process that is made from certificate files.
#[derive(Clone, Default)]
pub struct Reloads {
    entries: Arc<std::sync::Mutex<Vec<Entry>>>,
    counts: Arc<Counts>,
    observers: Arc<Observers>,
    verifiers: Arc<std::sync::Mutex<HashMap<String, Verifier>>>,
    /// Where files are followed, and until when; from [`Reloads::spawn`] on.
    following: Arc<std::sync::Mutex<Following>>,
}

impl std::fmt::Debug for Reloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloads").finish_non_exhaustive()
    }
}

impl Reloads {
    /// Nothing to follow yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A listener's TLS. `name` stands for it in logs and metrics.
    ///
    /// # Errors
    /// The files can't be used; the error names the file and what is wrong with it.
    pub fn server(&self, name: &str, tls: ServerTls) -> Result<broker::TlsSource, TlsError> {
        let (source, rotating) =
            self.follow(name, tls, |loaded| loaded.config.clone(), |loaded| &loaded.warnings)?;
        let verifier: Verifier = Box::new(move || Arc::clone(&rotating.current().clients));
        locked(&self.verifiers).insert(name.to_owned(), verifier);
        Ok(source)
    }

    /// What verifies the client certificates of the listener `name` now.
    #[must_use]
    pub fn client_verifier(&self, name: &str) -> Option<Arc<dyn ClientCertVerifier>> {
        locked(&self.verifiers).get(name).map(|verifier| verifier())
    }

    /// Has `observer` told of every change that came into force, and of every one that was refused.
    pub fn observe(&self, observer: impl Fn(&str, &Outcome) + Send + Sync + 'static) {
        locked(&self.observers).push(Box::new(observer));
    }

    /// Goes over to another description for the listener `name`, whose files are followed from now on.
    ///
    /// # Errors
    /// What is wrong with the files; the old description stays.
    pub fn replace_server(&self, name: &str, tls: &ServerTls) -> Result<(), String> {
        let entries = locked(&self.entries);
        let found = entries.iter().find(|entry| entry.name == name);
        found
            .and_then(|entry| (entry.replace)(tls))
            .unwrap_or_else(|| Err(format!("there is no listener `{name}`")))
    }

    /// A dialled link's TLS.
    ///
    /// # Errors
    /// As [`Reloads::server`].
    pub fn client(
        &self,
        name: &str,
        tls: ClientTls,
    ) -> Result<watch::Receiver<Arc<rustls::ClientConfig>>, TlsError> {
        let followed = self.follow(name, tls, |loaded| loaded.config.clone(), |loaded| &loaded.warnings);
        followed.map(|(source, _)| source)
    }

    #[allow(clippy::type_complexity)] // the receiver and what feeds it, taken apart at once
    fn follow<M, C>(
        &self,
        name: &str,
        material: M,
        config: fn(&M::Value) -> Arc<C>,
        warnings: fn(&M::Value) -> &[TlsWarning],
    ) -> Result<(watch::Receiver<Arc<C>>, Arc<Rotating<M>>), M::Error>
    where
        M: Material + Clone,
        C: Send + Sync + 'static,
    {
        let rotating = Arc::new(Rotating::new(material)?);
        for warning in warnings(&rotating.current()) {
            tracing::warn!(tls = name, %warning, "certificate");
        }
        let (sender, receiver) = watch::channel(config(&rotating.current()));
        let publish = {
            let (rotating, counts, name) = (rotating.clone(), self.counts.clone(), name.to_owned());
            let observers = Arc::clone(&self.observers);
            Arc::new(move |outcome: &Outcome| {
                match outcome {
                    Outcome::Reloaded => {
                        counts.reloaded.fetch_add(1, Ordering::Relaxed);
                        sender.send_replace(config(&rotating.current()));
                        tracing::info!(tls = name, "certificates reloaded");
                    }
                    Outcome::Refused(error) => {
                        counts.refused.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(tls = name, %error, "certificates refused, the old ones stay in use");
                    }
                    Outcome::Unchanged => return,
                }
                locked(&observers).iter().for_each(|observer| observer(&name, outcome));
            })
        };
        let (to_check, check_publish) = (rotating.clone(), publish.clone());
        let (to_expire, to_return) = (rotating.clone(), rotating.clone());
        let (to_replace, replace_publish) = (rotating.clone(), publish.clone());
        let entry = Entry {
            name: name.to_owned(),
            check: Box::new(move || {
                let outcome = to_check.check();
                check_publish(&outcome);
                outcome
            }),
            expiries: Box::new(move || to_expire.expiries()),
            replace: Box::new(move |material| {
                let material = material.downcast_ref::<M>()?.clone();
                let outcome = to_replace.reload_with(material).map_err(|error| error.to_string());
                if outcome.is_ok() {
                    replace_publish(&Outcome::Reloaded);
                }
                Some(outcome)
            }),
            watch: Box::new(move |mut stop| {
                let (rotating, publish) = (rotating.clone(), publish.clone());
                Box::pin(async move {
                    // An error says that the sender is gone, which ends it as well.
                    let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
                    watch_files(rotating, WatchOptions::default(), stopped, move |outcome| publish(&outcome))
                        .await;
                })
            }),
        };
        // What comes in by a reload is followed like what was there from the start.
        if let Some((runtime, stop)) = &*locked(&self.following) {
            runtime.spawn((entry.watch)(stop.clone()));
        }
        self.entries().push(entry);
        Ok((receiver, to_return))
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        locked(&self.entries)
    }

    /// Begins to look at the files, until `stop` says true or its sender is gone.
    pub fn spawn(&self, stop: &watch::Receiver<bool>) {
        *locked(&self.following) = Some((Handle::current(), stop.clone()));
        for entry in self.entries().iter() {
            tokio::spawn((entry.watch)(stop.clone()));
        }
    }

    /// Looks at all files now (SIGHUP). `true` when nothing was refused.
    #[must_use]
    pub fn reload_all(&self) -> bool {
        self.entries()
            .iter()
            .map(|entry| (entry.check)())
            .filter(|outcome| matches!(outcome, Outcome::Refused(_)))
            .count()
            == 0
    }

    /// Expiry of every certificate in use: what it is for, its file, and its end in seconds since the Unix epoch.
    #[must_use]
    pub fn expiries(&self) -> Vec<(String, PathBuf, i64)> {
        let entries = self.entries();
        let of = |entry: &Entry| {
            let name = entry.name.clone();
            (entry.expiries)()
                .into_iter()
                .map(move |expiry| (name.clone(), expiry.cert_path, expiry.not_after))
                .collect::<Vec<_>>()
        };
        entries.iter().flat_map(of).collect()
    }

    /// How often certificates were reloaded, and refused.
    #[must_use]
    pub fn outcomes(&self) -> (u64, u64) {
        (self.counts.reloaded.load(Ordering::Relaxed), self.counts.refused.load(Ordering::Relaxed))
    }
}

fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl TlsFiles {
    /// Mutual TLS for a listener: a client certificate is required.
    #[must_use]
    pub fn server(&self) -> ServerTls {
        ServerTls {
            certificates: vec![CertifiedFile::new(self.cert_path.clone(), self.key_path.clone())],
            client_auth: ClientAuth::Required { roots: self.root_ca_path.clone() },
            crls: self.crl_paths.clone(),
            ..ServerTls::default()
        }
    }

    /// Mutual TLS for dialling.
    #[must_use]
    pub fn client(&self) -> ClientTls {
        ClientTls {
            root_ca_path: self.root_ca_path.clone(),
            certificate: Some(CertifiedFile::new(self.cert_path.clone(), self.key_path.clone())),
            crls: self.crl_paths.clone(),
            ..ClientTls::default()
        }
    }
}
