//! The API's own thread: it may wait for the disk.

use std::sync::Arc;

use broker::Letter;
use tokio::runtime::Handle;

use crate::hub::Hub;

/// Starts the thread. It ends when the hub does.
pub(super) fn spawn(hub: &Arc<Hub>) {
    let (runtime, weak) = (Handle::current(), Arc::downgrade(hub));
    let queue = hub.requests.clone();
    let thread = std::thread::Builder::new().name("jetstream-api".into());
    let started = thread.spawn(move || {
        loop {
            let requests = runtime.block_on(queue.take());
            let Some(hub) = weak.upgrade() else { return };
            for request in requests {
                answer(&hub, &request);
            }
            if hub.is_closed() {
                return;
            }
        }
    });
    if let Err(error) = started {
        tracing::error!(%error, "the JetStream API has no thread");
    }
}

fn answer(hub: &Arc<Hub>, request: &crate::api::Request) {
    let Some(account) = hub.account(&request.account) else { return };
    let answer = crate::api::answer(hub, &account, request);
    if answer.body.is_empty() || request.reply.is_empty() {
        return;
    }
    let mut outlet = account.port.outlet();
    outlet.push(&Letter { subject: &request.reply, payload: &answer.body, ..Letter::default() });
    outlet.flush();
    account.audit(request, &answer.body);
}
