//! Harness of the suites: boots real processes on free loopback ports with freshly minted certificates, drives
//! foreign clients, and speaks raw protocol where a client would be too polite.
//!
//! Nothing here sleeps to hope: every wait polls a condition until a deadline, and says what it waited for.

mod address;
mod bus;
mod door;
mod gateway;
mod http;
mod natsconf;
mod peer;
mod pki;
mod process;
mod proxy;
mod raw;
mod skip;
mod tls;
mod tokens;
mod wait;

pub use address::Addresses;
pub use bus::{BusOptions, InternalBus};
pub use door::Door;
pub use gateway::{Gateway, GatewayOptions, LINK_PEER};
pub use http::{HttpAnswer, http_get};
pub use natsconf::{ConfServer, Kind};
pub use peer::{Client, Outcome, PeerProcess, ResultExt, peers_dir, run_scenarios};
pub use pki::Pki;
pub use process::{Process, ProcessBuilder, binary};
pub use proxy::Proxy;
pub use raw::{Raw, RawMessage};
pub use skip::{long_run, skip};
pub use tls::{ClientTls, client_config};
pub use tokens::{Claims, Tokens};
pub use wait::{DEADLINE, eventually, within};
