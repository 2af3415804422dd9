//! Reading on from the origins of mirrors and sources.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::hub::Hub;
use crate::stream::Stream;

/// An origin that is not there is looked for so often.
const RETRY: Duration = Duration::from_secs(1);

/// Starts to copy for a stream, unless it is done already.
pub(crate) fn copy(hub: &Arc<Hub>, stream: &Arc<Stream>) {
    let Some(wake) = stream.begin_copying() else { return };
    hub.spawn(work(Arc::downgrade(stream), wake));
}

async fn work(weak: Weak<Stream>, wake: Arc<Notify>) {
    loop {
        let Some(stream) = weak.upgrade() else { return };
        if stream.is_closed() {
            return;
        }
        let more = stream.copy_some(stream.now());
        drop(stream);
        if more {
            tokio::task::yield_now().await;
        } else {
            drop(tokio::time::timeout(RETRY, wake.notified()).await);
        }
    }
}
