//! Keeping time for streams: expiry, schedules, batches that are silent.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use broker::Outlet;

use crate::hub::Hub;

/// The shortest time between two looks when something is due.
const SHORTEST: Duration = Duration::from_millis(10);
/// The shortest time between two looks when somebody asks for one.
const SHORT: Duration = Duration::from_millis(50);
/// The longest: messages may begin to expire without anybody being told.
const LONGEST: Duration = Duration::from_millis(500);
/// How often progress of sources is saved, in looks.
const SAVE_EVERY: u32 = 120;

/// Looks at the streams that are due.
pub(super) async fn work(weak: Weak<Hub>) {
    let mut outlets: HashMap<Arc<str>, Outlet> = HashMap::new();
    let mut looks = 0_u32;
    loop {
        let Some(hub) = weak.upgrade() else { return };
        let now = hub.now();
        let mut next = i64::MAX;
        looks = looks.wrapping_add(1);
        for stream in hub.all_streams() {
            let mut due = stream.due_at();
            if due <= now.0 {
                let Some(account) = stream.account() else { continue };
                let outlet = outlets.entry(account.name.clone()).or_insert_with(|| account.port.outlet());
                stream.tick(now, outlet);
                outlet.flush();
                due = stream.due_at();
            }
            if looks.is_multiple_of(SAVE_EVERY) {
                stream.save_progress();
            }
            next = next.min(due);
        }
        let wait = Duration::from_nanos(next.saturating_sub(now.0).max(0).unsigned_abs());
        let timers = hub.timers.clone();
        drop(hub);
        let pause = wait.clamp(SHORTEST, SHORT);
        tokio::time::sleep(pause).await;
        drop(tokio::time::timeout(wait.min(LONGEST).saturating_sub(pause), timers.notified()).await);
    }
}
