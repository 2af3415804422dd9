//! Who is at the other end, and what they may do: certificates and bearer tokens in, a [`Grant`] out.
//!
//! Nothing here speaks the event protocol or opens a socket. The clock is an argument (`now`, seconds
//! since the Unix epoch); files are read only by what says so in its name (loading keys, reloading).

pub mod crl;
mod grant;
pub mod peer;
pub mod pem;
mod rights;
pub mod rotate;
pub mod tls;

pub use grant::{Grant, Provenance, Quotas};
pub use rights::{Permission, PermissionError, ResponseLimit, Rights};
