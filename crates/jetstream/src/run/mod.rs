//! What runs by itself: the tasks that work off queues and keep time. The only tokio of this crate.

mod api;
mod commits;
mod consumers;
mod copies;
mod outgoing;
mod queue;
mod timers;

use std::sync::Arc;

use tokio::task::AbortHandle;

pub(crate) use copies::copy;
pub(crate) use queue::Queue;

use crate::hub::Hub;

/// The tasks of one hub; they end with it.
#[derive(Debug)]
pub(crate) struct Tasks(Vec<AbortHandle>);

/// Starts what runs for all streams. Has to be called within a tokio runtime.
pub(crate) fn start(hub: &Arc<Hub>) -> Tasks {
    let spawned = [
        tokio::spawn(commits::work(Arc::downgrade(hub))).abort_handle(),
        tokio::spawn(outgoing::work(Arc::downgrade(hub))).abort_handle(),
        tokio::spawn(timers::work(Arc::downgrade(hub))).abort_handle(),
    ];
    api::spawn(hub);
    let mut tasks = Vec::from(spawned);
    consumers::start(&hub.crew, &mut tasks);
    Tasks(tasks)
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}
