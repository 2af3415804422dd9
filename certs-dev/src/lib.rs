//! A development PKI: certificate authorities, the certificates of both processes and of named services, rotation.
//!
//! The binary `certs-dev` writes a ready directory; the library mints certificates in memory, also the broken ones
//! that tests need (expired, wrong usage, CA as leaf, two URI names, revoked by CRL).
//!
//! All keys are ECDSA P-256. Nothing here is meant for production: the CA's private key lies in a file beside the
//! certificates it has signed.

mod authority;
mod error;
mod files;
mod inspect;
mod leaf;
mod rotate;
mod set;

pub use authority::{Authority, AuthorityOptions};
pub use error::Error;
pub use leaf::{Issued, LeafRequest, San, Usage};
pub use rotate::{finish_ca_rotation, rotate_ca, rotate_leaf};
pub use set::{AuthorityName, Made, SERVICES, SPIFFE_TRUST_DOMAIN, init, issue_into};
