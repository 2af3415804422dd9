//! Starting the servers under test: one process for most scenarios, two joined by a link for the whole way.

mod conf;
mod fleet;
mod gatehouse;
mod login;
pub(crate) mod pki;
mod process;
pub(crate) mod programs;
mod wire;

pub(crate) use fleet::Fleet;
pub(crate) use pki::Pki;
pub(crate) use programs::{Programs, Side};
