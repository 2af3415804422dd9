//! What gets from one account into another: streams of messages, and services whose answers come back.
//!
//! An import is an entry of the exporting account's index (for a service: of the importing one's), owned by a
//! pseudo-connection. A route that meets it goes on in the other account, under the name the message has there.
//! A request that crosses gets a reply subject of the exporting account, `_R_.<account>.<answer>`; one permanent
//! entry of the index leads what is published there back to whoever asked.

mod request;
mod responses;

use std::sync::Arc;
use std::time::Duration;

use subject::{Mapping, MappingError};

use crate::account::Account;
use crate::conn::{Conn, Kind};
use crate::server::Server;
use crate::subscription::{Sub, Subscription};

pub(crate) use request::Requests;
pub(crate) use responses::Responses;

/// Accounts one message may pass through; more is a circle.
pub(crate) const DEEPEST: u8 = 8;

/// How many answers a service gives to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseKind {
    /// One.
    #[default]
    Single,
    /// Any number, until one that is empty or a time without any.
    Many,
}

/// How a service answers across accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceTerms {
    /// How many answers.
    pub responses: ResponseKind,
    /// How long an answer may take; of several, from one to the next. nats-server's default is 2 min.
    pub threshold: Duration,
    /// The service is told who asks: address, identity, name and library, besides the account.
    pub share: bool,
}

impl Default for ServiceTerms {
    fn default() -> Self {
        Self { responses: ResponseKind::Single, threshold: Duration::from_secs(120), share: false }
    }
}

/// Why an import can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The subjects don't fit together.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The name here can't be turned back into the name there.
    #[error("{to:?} does not hold every wildcard of {subject:?} exactly once")]
    NotReversible {
        /// The exported subject.
        subject: String,
        /// The name it was to have here.
        to: String,
    },
}

/// An import that was made. It stays when this is dropped.
#[derive(Debug)]
pub struct ImportHandle {
    account: Arc<Account>,
    sub: Sub,
}

impl ImportHandle {
    /// Ends it. Answers that are owed already still come back.
    pub fn end(self) {
        self.account.unsubscribe(std::slice::from_ref(&self.sub));
    }
}

/// One way from an account into another, as the routes see it.
#[derive(Debug)]
pub(crate) enum Import {
    /// Messages of an exported stream.
    Stream { into: Arc<Account>, map: Mapping },
    /// Requests to an exported service.
    Service { into: Arc<Account>, map: Mapping, terms: ServiceTerms },
    /// Answers, back to where the requests came from.
    Answers,
}

impl Import {
    /// Where messages of `subject` go on, and under which name. For answers, `from` knows.
    pub(crate) fn onward(&self, from: &Account, subject: &[u8]) -> Option<(Arc<Account>, Vec<u8>)> {
        match self {
            Self::Stream { into, map } | Self::Service { into, map, .. } => {
                let mut name = Vec::new();
                map.apply(subject, &mut name).then(|| (into.clone(), name))
            }
            Self::Answers => from.responses.wanted(subject),
        }
    }
}

impl Server {
    /// Lets `importer` have what is published to `subject` in `exporter`, under the name `to`, in which `$1` or `*`
    /// stand for what the wildcards of `subject` caught.
    ///
    /// # Errors
    /// The subjects don't fit together.
    pub fn import_stream(
        &self,
        exporter: &str,
        subject: &str,
        importer: &str,
        to: &str,
    ) -> Result<ImportHandle, ImportError> {
        let map = Mapping::new(subject, to)?;
        let (from, into) = self.family(exporter, importer);
        Ok(self.import(&from, subject, Import::Stream { into, map }))
    }

    /// Lets `importer` ask the service `subject` of `exporter`, under the name `to`.
    ///
    /// # Errors
    /// The subjects don't fit together.
    pub fn import_service(
        &self,
        exporter: &str,
        subject: &str,
        importer: &str,
        to: &str,
        terms: ServiceTerms,
    ) -> Result<ImportHandle, ImportError> {
        let map = Mapping::new(subject, to)?.inverse();
        let map =
            map.ok_or_else(|| ImportError::NotReversible { subject: subject.to_owned(), to: to.to_owned() })?;
        let (exporter, importer) = self.family(exporter, importer);
        if exporter.responses.begin(&self.core.limits) {
            let pattern = exporter.responses.pattern();
            self.import(&exporter, &pattern, Import::Answers);
        }
        let pattern = map.source().to_owned();
        Ok(self.import(&importer, &pattern, Import::Service { into: exporter, map, terms }))
    }

    /// Both accounts, whose routes are from now on derived anew when either changes.
    fn family(&self, exporter: &str, importer: &str) -> (Arc<Account>, Arc<Account>) {
        let accounts = (self.core.account(exporter), self.core.account(importer));
        accounts.0.join(&self.core.family);
        accounts.1.join(&self.core.family);
        accounts
    }

    fn import(&self, account: &Arc<Account>, pattern: &str, import: Import) -> ImportHandle {
        let conn: Arc<Conn> = self.pseudo("import", account.clone(), Kind::Import(Arc::new(import)));
        let sub = Sub(Arc::new(Subscription::new(conn, pattern.as_bytes(), None, b"")));
        account.subscribe(&sub);
        ImportHandle { account: account.clone(), sub }
    }
}
