//! Who is at the other end, and what they may do: certificates and bearer tokens in, a [`Grant`] out.
//!
//! Nothing here speaks the event protocol or opens a socket. The clock is an argument (`now`, seconds
//! since the Unix epoch); files are read only by what says so in its name (loading keys, reloading).

pub mod crl;
mod grant;
pub mod nkey;
pub mod opaque;
pub mod peer;
pub mod pem;
pub mod policy;
pub mod remote;
pub mod revocation;
mod rights;
pub mod rotate;
pub mod tls;
pub mod token;

pub use grant::{DEFAULT_ACCOUNT, Grant, Provenance, Quotas};
pub use rights::{Permission, PermissionError, ResponseLimit, Rights};

/// Chooses the cryptography behind token signatures (aws-lc-rs) for the whole process. Idempotent; called
/// from `main`, and by [`token::TokenVerifier`] for whoever forgot.
pub fn install_crypto() {
    // The error case only says that a provider was installed before; then there is nothing to do.
    let _already = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
