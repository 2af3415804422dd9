//! Sections that mean the same in both configuration files. Keys are documented for users in `config/`.

mod admin;
mod limits;
mod link;
mod routes;
mod tls;
mod url;

use broker::Role;

pub use self::admin::{Admin, AdminTlsFiles};
pub use self::limits::Limits;
pub use self::link::{DEFAULT_HOLD, Leafnodes, Link, LinkProtocol};
pub use self::routes::{Route, RouteDirection};
pub use self::tls::TlsFiles;
pub use self::url::{UrlError, parse_url, parse_url_with};
pub use crate::compress::Compress;

/// The key a policy error is about, as the configuration file spells it (`roles[2].publish.allow[0]`).
#[must_use]
pub fn policy_key(error: &identity::policy::PolicyError) -> String {
    let mut parts = error.place.split(' ');
    let first = parts.next().unwrap_or_default();
    match parts.next_back() {
        Some(last) if !last.ends_with('"') => format!("{first}.{last}"),
        _ => first.to_owned(),
    }
}

/// Our end of a link by what dials and what accepts: the gateway is the bus's leaf, whoever dials.
#[must_use]
pub fn gateway_role() -> Role {
    Role::Spoke
}
