//! A queue between whoever has no time (the publisher's task, the commit thread) and a task that works it off.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A bounded queue; putting something in neither blocks nor awaits.
pub(crate) struct Queue<T> {
    items: Mutex<Vec<T>>,
    arrived: Notify,
    most: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self { items: Mutex::new(Vec::new()), arrived: Notify::new(), most }
    }

    /// Puts something in; gives it back when too much is in there already.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        {
            let mut items = self.items.lock();
            if items.len() >= self.most {
                return Err(item);
            }
            items.push(item);
        }
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes everything that is in there, in order; waits for the first.
    pub(crate) async fn take(&self) -> Vec<T> {
        loop {
            let items = std::mem::take(&mut *self.items.lock());
            if !items.is_empty() {
                return items;
            }
            self.arrived.notified().await;
        }
    }
}
