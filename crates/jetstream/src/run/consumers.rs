//! The hands and the clock of the crew that gives consumers their turns.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::consumers::crew::{Crew, Outlets};
use crate::stamp::Stamp;

/// Hands that work at once, at most.
const HANDS: usize = 4;
/// Turns after which a hand lets other tasks of its thread in.
const TURNS: usize = 8;

/// Starts the crew.
pub(super) fn start(crew: &Arc<Crew>, tasks: &mut Vec<AbortHandle>) {
    let hands = std::thread::available_parallelism().map_or(1, usize::from).min(HANDS);
    for _ in 0..hands {
        tasks.push(tokio::spawn(work(crew.clone())).abort_handle());
    }
    tasks.push(tokio::spawn(keep_time(crew.clone())).abort_handle());
}

/// Gives turns to those who want one.
async fn work(crew: Arc<Crew>) {
    let mut outlets = Outlets::default();
    loop {
        let mut turns = 0;
        while let Some(seat) = crew.next() {
            seat.run(&mut outlets);
            turns += 1;
            if turns % TURNS == 0 {
                tokio::task::yield_now().await;
            }
        }
        crew.called.notified().await;
    }
}

/// Calls those who wanted to be called.
async fn keep_time(crew: Arc<Crew>) {
    loop {
        let now = Stamp::of(std::time::SystemTime::now()).0;
        let wound = crew.wound.notified();
        match crew.ring(now) {
            Some(at) => {
                let span = Duration::from_nanos(at.saturating_sub(now).max(0).unsigned_abs());
                tokio::select! {
                    () = tokio::time::sleep(span) => {}
                    () = wound => {}
                }
            }
            None => wound.await,
        }
    }
}
