//! Publishing for those who can't do it where they are.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use broker::{Letter, Outlet};

use crate::hub::Hub;

/// Works off what is to be published.
pub(super) async fn work(hub: Weak<Hub>) {
    let Some(queue) = hub.upgrade().map(|hub| hub.outgoing.clone()) else { return };
    let mut outlets: HashMap<Arc<str>, Outlet> = HashMap::new();
    loop {
        let list = queue.take().await;
        let Some(hub) = hub.upgrade() else { return };
        for outgoing in &list {
            let Some(account) = hub.account(&outgoing.account) else { continue };
            let outlet = outlets.entry(outgoing.account.clone()).or_insert_with(|| account.port.outlet());
            outlet.push(&Letter {
                subject: &outgoing.subject,
                payload: &outgoing.payload,
                ..Letter::default()
            });
        }
        for outlet in outlets.values_mut() {
            outlet.flush();
        }
    }
}
