//! TLS configurations out of files: [`ServerTls`] for listeners, [`ClientTls`] for what dials.
//!
//! Both are plain descriptions. `load` reads the files and gives a rustls configuration with what is worth knowing
//! about it (expiry, warnings); [`crate::rotate`] does that again whenever a file changes.
//!
//! No session is ever resumed: a resumed session would skip the certificate check that revocation and rotation rely
//! on, and tickets and session caches cost memory per connection.

mod certified;
mod client;
mod error;
mod names;
mod provider;
mod remembered;
mod server;
mod trust;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod weak_tests;

pub use certified::{CertificateExpiry, CertifiedFile};
pub use client::{ClientTls, LoadedClient};
pub use error::{TlsError, TlsWarning};
pub use names::HostPattern;
pub use provider::{TlsVersion, install_default_provider, provider};
pub use server::{ClientAuth, LoadedServer, ServerTls};
