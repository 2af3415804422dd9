//! `[internal_event_service]`: the bus as a gateway, under the names and ports of old.

use node::gateways::{Gateway, Remote};
use serde::{Deserialize, Serialize};

use super::Config;

/// The port of the bus for gateways unless configured.
const BUS_PORT: u16 = 10148;
/// Our own unless configured.
const OWN_PORT: u16 = 10147;

/// Where the bus takes gateways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InternalEventService {
    /// Its host.
    pub host: String,
    /// Its port for gateways; 10148 unless configured.
    #[serde(default = "bus_port")]
    pub gateway_port: u16,
}

fn bus_port() -> u16 {
    BUS_PORT
}

impl InternalEventService {
    /// The `[gateway]` this is short for: cluster `event-gateway`, which knows the cluster `event-service` and no other.
    pub(super) fn gateway(&self, config: &Config) -> Gateway {
        let tls = config.link.tls.clone();
        let scheme = if tls.is_some() { "tls" } else { "nats" };
        let expected = tls.as_ref().and_then(|tls| tls.server_name.clone());
        let mut peers = vec!["event-service".to_owned()];
        peers.extend(expected);
        let url = match self.host.contains(':') {
            true => format!("{scheme}://[{}]:{}", self.host, self.gateway_port),
            false => format!("{scheme}://{}:{}", self.host, self.gateway_port),
        };
        Gateway {
            host: config.service.host,
            peers,
            plaintext: tls.is_none(),
            reject_unknown_cluster: true,
            remotes: vec![Remote { name: "event-service".to_owned(), urls: vec![url], tls: None }],
            ..Gateway::named("event-gateway", config.service.gateway_port.unwrap_or(OWN_PORT))
        }
    }
}
