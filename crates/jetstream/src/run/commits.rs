//! Sending acknowledgements when the disk has what they are about.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use broker::Outlet;

use crate::hub::Hub;
use crate::stream::Due;

/// Works off the streams with something committed.
pub(super) async fn work(hub: Weak<Hub>) {
    let Some(queue) = hub.upgrade().map(|hub| hub.committed.clone()) else { return };
    let mut outlets: HashMap<Arc<str>, Outlet> = HashMap::new();
    let mut due = Due::default();
    loop {
        for stream in queue.take().await {
            let Some(account) = stream.account() else { continue };
            let outlet = outlets.entry(account.name.clone()).or_insert_with(|| account.port.outlet());
            stream.work_off(&mut due, outlet);
        }
    }
}
