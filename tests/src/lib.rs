//! Harness of the suites: boots real processes on free loopback ports with freshly minted certificates, drives
//! foreign clients, and speaks raw protocol where a client would be too polite.
//!
//! Nothing here sleeps to hope: every wait polls a condition until a deadline, and says what it waited for.

/// Makes two tests of each named function: `ours::NAME` and `stock::NAME`. What the stock server does is what its
/// clients rely on; where ours has to differ, the function says so by the [`Kind`] it gets.
#[macro_export]
macro_rules! on_both {
    ($($name:ident)*) => {
        mod ours {
            $(#[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                super::$name($crate::Kind::Ours).await
            })*
        }
        mod stock {
            $(#[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                super::$name($crate::Kind::Stock).await
            })*
        }
    };
}

mod address;
mod audit;
mod balancer;
mod bus;
mod cable;
mod chaos;
mod cluster;
mod command;
mod door;
mod gateway;
mod http;
mod https;
mod link;
mod lobby;
mod natsconf;
mod natsjwt;
mod oidc;
mod peer;
mod pki;
mod process;
mod proxy;
mod raw;
mod scene;
mod skip;
mod tls;
mod tokens;
mod traffic;
mod wait;

pub use address::Addresses;
pub use audit::AuditLog;
pub use balancer::Balancer;
pub use bus::{BusOptions, InternalBus};
pub use cable::Cable;
pub use chaos::{Chaos, Joint, Published, Report, publish, stored_ids};
pub use cluster::{Cluster, ClusterOptions, Node, free_ports};
pub use command::{Ran, run, run_binary};
pub use door::Door;
pub use gateway::{Gateway, GatewayOptions};
pub use http::{HttpAnswer, http_api, http_form, http_get};
pub use https::{HttpRequest, HttpsServer, Reply};
pub use link::{End, Link};
pub use lobby::{Lobby, answer};
pub use natsconf::{ConfServer, Kind, late_login};
pub use natsjwt::nats_jwt;
pub use oidc::{Behaviour, FakeIssuer};
pub use peer::{Client, Outcome, PeerProcess, ResultExt, peers_dir, run_scenarios};
pub use pki::Pki;
pub use process::{Process, ProcessBuilder, binary};
pub use proxy::Proxy;
pub use raw::{Raw, RawMessage};
pub use scene::Scene;
pub use skip::{long_run, skip};
pub use tls::{ClientTls, client_config, first_certificate, peer_certificate};
pub use tokens::{Claims, Tokens};
pub use traffic::{count_until_end, known, next_payload, settle};
pub use wait::{DEADLINE, eventually, within};
