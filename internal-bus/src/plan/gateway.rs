//! A `gateway` block of a nats-server configuration as a plan.

use identity::tls::{CertifiedFile, ClientTls};
use node::gateways::{DEFAULT_PORT, DialPlan, GatewayPlan, Peers, RemotePlan};
use node::sections::DEFAULT_HOLD;

use super::from_natsconf::{PlanError, address, listener_tls, remote_urls, version};
use crate::natsconf::{Gateway, Secret, Tls};

/// Makes a plan of the block.
pub(super) fn gateway(
    block: &Gateway,
    remote_plaintext: bool,
    notices: &mut Vec<String>,
) -> Result<GatewayPlan, PlanError> {
    let tls = block.tls.as_ref().map(|tls| listener_tls("gateway.tls", tls, false)).transpose()?;
    let address =
        address(block.host.as_deref(), block.port, DEFAULT_PORT, tls.is_none(), remote_plaintext, notices)?;
    let verify = tls.as_ref().is_some_and(|tls| tls.verify);
    let remotes = block.remotes.iter().map(|remote| {
        let tls = remote.tls.as_ref().map(|tls| dial(tls, "gateway.gateways.tls")).transpose()?;
        Ok(RemotePlan { name: remote.name.clone(), urls: remote_urls(&remote.urls), tls })
    });
    let remotes = remotes.collect::<Result<Vec<_>, PlanError>>()?;
    let dial_tls = match &block.tls {
        Some(tls) if tls.ca_file.is_some() => Some(dial(tls, "gateway.tls")?),
        _ => None,
    };
    Ok(GatewayPlan {
        name: block.name.clone(),
        address,
        advertise: block.advertise.clone(),
        listen_tls: tls.map(|tls| tls.server),
        verify,
        dial_tls,
        peers: Peers {
            names: None,
            certificate: verify,
            login: block.user.clone().zip(block.password.as_ref().map(Secret::expose).map(str::to_owned)),
        },
        remotes,
        reject_unknown: block.reject_unknown,
        backoff: (std::time::Duration::from_millis(100), std::time::Duration::from_secs(5)),
        hold: DEFAULT_HOLD,
    })
}

fn dial(tls: &Tls, place: &'static str) -> Result<DialPlan, PlanError> {
    let certificate = tls.certificates.first();
    let certificate =
        certificate.map(|pair| CertifiedFile::new(pair.cert_file.clone(), pair.key_file.clone()));
    let root_ca_path = tls.ca_file.clone().ok_or(PlanError::NoCa(place))?;
    let tls = ClientTls { root_ca_path, certificate, min_version: version(tls), ..ClientTls::default() };
    tls.build().map_err(|error| PlanError::Tls(place, error))?;
    Ok(DialPlan { tls, server_name: None })
}
