//! Agreeing on the compression of a leafnode link.
//!
//! The accepting end offers it in INFO. The end that dials answers with an INFO of its own, the last line in clear, and
//! from there on both compress, CONNECT included. As the login is still to come, only certificates say who is there by
//! then: without one that was verified, compression is neither offered nor chosen.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wire::info::LeafInfo;

use super::dial::Remote;
use super::entry::refuse;
use super::greeting::{Greeted, Refused};
use super::leaf_dial::read_info;
use super::listener::{Listener, Purpose};
use crate::conn::CloseReason;
use crate::core::Core;
use crate::link::compression::{Compressed, Compression, Mode};

/// What is told where links are compressed although they must not be: before it is clear who is there.
const NOT_OFFERED: &str = "compression was not offered";

/// What a listener offers; `None` where it offers none.
pub(super) fn offered(listener: &Listener) -> Option<&'static str> {
    offer(listener).map(|compression| compression.mode.word())
}

fn offer(listener: &Listener) -> Option<&Compression> {
    let verified = listener.config.tls.as_ref().is_some_and(|tls| tls.verify);
    match &listener.config.purpose {
        Purpose::Leafnodes(purpose) if verified && purpose.compression.mode != Mode::Off => {
            Some(&purpose.compression)
        }
        _ => None,
    }
}

/// The end that dialled has said something of itself: if it compresses, so do we. `ours` is the INFO it was sent, which
/// it now expects once more.
pub(super) async fn follow(
    core: &Arc<Core>,
    listener: &Listener,
    peer: &mut Greeted,
    json: &[u8],
    ours: &[u8],
    until: Instant,
) -> Result<(), Refused> {
    let info = LeafInfo::parse(json)
        .map_err(|error| Refused::new(CloseReason::ProtocolViolation, error.to_string()))?;
    let Some(theirs) = info.compression.as_deref().and_then(Mode::from_word) else { return Ok(()) };
    if matches!(theirs, Mode::Off | Mode::Accept) || peer.unpacker.is_some() {
        return Ok(());
    }
    let known = listener.config.authenticator.knows(&peer.certificates);
    let Some(compression) = offer(listener).filter(|_| known) else {
        refuse(peer, NOT_OFFERED, until).await;
        return Err(Refused::new(CloseReason::ProtocolViolation, NOT_OFFERED));
    };
    let mode = compression.follow(theirs);
    peer.compress(&Compressed::new(core, compression, mode, Duration::ZERO));
    peer.write(ours, until).await
}

/// Chooses for a link we have dialled, `rtt` long, and tells the other end.
pub(super) async fn choose(
    core: &Arc<Core>,
    remote: &Remote,
    peer: &mut Greeted,
    info: &LeafInfo,
    rtt: Duration,
    until: Instant,
) -> Result<(), Refused> {
    let compression = &remote.config.compression;
    let known = !peer.certificates.is_empty();
    let Some(mode) = compression.answer(info.compression.as_deref(), rtt).filter(|_| known) else {
        return Ok(());
    };
    let answer = LeafInfo {
        server_id: core.server_id.clone(),
        server_name: core.server_name.clone(),
        version: crate::NATS_VERSION.into(),
        proto: 1,
        headers: true,
        max_payload: core.limits.max_payload,
        compression: Some(mode.word().into()),
        ..LeafInfo::default()
    };
    peer.write(&answer.to_line(), until).await?;
    peer.compress(&Compressed::new(core, compression, mode, rtt));
    read_info(peer, until).await.map(drop)
}
