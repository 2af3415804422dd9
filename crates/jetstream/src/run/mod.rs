//! What runs by itself: the tasks that work off queues and keep time. The only tokio of this crate.

mod queue;

pub(crate) use queue::Queue;
