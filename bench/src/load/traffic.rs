//! Publishes as fast as the subscribers keep up, and waits until all has arrived.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::{Delivery, Frames, Subscribers};
use crate::client::Client;

/// Most bytes on their way to one subscriber. Servers cut readers that are farther behind (nats-server at
/// 64 MiB); what is measured here is throughput, not that.
const WINDOW_PER_SUBSCRIBER: u64 = 8 * 1024 * 1024;
/// Most bytes on their way to all subscribers together.
const WINDOW: u64 = 64 * 1024 * 1024;
/// Most messages on their way to one subscriber: servers may bound queued messages by number too.
const WINDOW_MESSAGES: u64 = 64 * 1024;
/// Pause of a publisher whose window is full.
const FULL_PAUSE: Duration = Duration::from_micros(50);
/// Pause between two looks at what is still missing.
const DRAIN_PAUSE: Duration = Duration::from_micros(200);
/// When nothing has arrived for this long, what is missing is lost.
const STALL: Duration = Duration::from_secs(6);

/// Publishers, and the subscribers they publish to.
pub(crate) struct Traffic {
    publishers: Vec<Client>,
    frames: Frames,
    subscribers: Option<(Subscribers, Delivery)>,
    /// Most messages published but not yet delivered.
    window: u64,
    published: AtomicU64,
}

impl Traffic {
    /// Publishing to nobody.
    pub(crate) fn unheard(publishers: Vec<Client>, frames: Frames) -> Self {
        Self { publishers, frames, subscribers: None, window: u64::MAX, published: AtomicU64::new(0) }
    }

    /// Publishing to `subscribers`.
    pub(crate) fn new(
        publishers: Vec<Client>,
        frames: Frames,
        subscribers: Subscribers,
        delivery: Delivery,
    ) -> Self {
        let frame = frames.first().len() as u64;
        let sharing = match delivery {
            Delivery::ToEach => subscribers.count(),
            Delivery::ToOne => 1,
        };
        let bytes = WINDOW_PER_SUBSCRIBER.min(WINDOW / sharing.max(1));
        // Two chunks at least, so that one can be written while the other is on its way.
        let window = (bytes / frame).min(WINDOW_MESSAGES).max(2 * frames.per_chunk());
        Self {
            publishers,
            frames,
            subscribers: Some((subscribers, delivery)),
            window,
            published: AtomicU64::new(0),
        }
    }

    /// Publishes for `duration`, then waits until the server has taken all and the subscribers have it.
    /// Says how many messages were published.
    ///
    /// # Errors
    /// When a connection breaks, or not exactly what was published arrives.
    pub(crate) fn run(&mut self, duration: Duration) -> Result<u64> {
        let deadline = Instant::now() + duration;
        let before = self.published.load(Ordering::SeqCst);
        let gate = Gate { subscribers: &self.subscribers, window: self.window, published: &self.published };
        let frames = &self.frames;
        thread::scope(|scope| {
            let threads: Vec<_> = self
                .publishers
                .iter_mut()
                .enumerate()
                .map(|(number, client)| {
                    let gate = &gate;
                    scope.spawn(move || publish(client, frames, number, gate, deadline))
                })
                .collect();
            // All are waited for before the first failure is passed on.
            let results: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            results.into_iter().try_for_each(|result| result.map_err(|_| anyhow!("a publisher panicked"))?)
        })?;
        self.wait_for_the_rest()?;
        Ok(self.published.load(Ordering::SeqCst) - before)
    }

    fn wait_for_the_rest(&self) -> Result<()> {
        let Some((subscribers, delivery)) = &self.subscribers else { return Ok(()) };
        let published = self.published.load(Ordering::SeqCst);
        let expected = match delivery {
            Delivery::ToEach => published * subscribers.count(),
            Delivery::ToOne => published,
        };
        let progress = subscribers.progress();
        let mut last = (progress.deliveries(), Instant::now());
        while progress.completed(*delivery) < published {
            progress.check()?;
            thread::sleep(DRAIN_PAUSE);
            let now = progress.deliveries();
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > STALL {
                bail!("{} of {expected} deliveries were lost", expected.saturating_sub(now));
            }
        }
        match progress.deliveries() {
            arrived if arrived == expected => Ok(()),
            arrived => bail!("{arrived} deliveries where {expected} were due"),
        }
    }
}

/// Holds publishers back while too much is on its way.
struct Gate<'a> {
    subscribers: &'a Option<(Subscribers, Delivery)>,
    window: u64,
    published: &'a AtomicU64,
}

impl Gate<'_> {
    fn is_open(&self) -> Result<bool> {
        let Some((subscribers, delivery)) = self.subscribers else { return Ok(true) };
        let progress = subscribers.progress();
        progress.check()?;
        let on_the_way = self.published.load(Ordering::Relaxed).saturating_sub(progress.completed(*delivery));
        Ok(on_the_way < self.window)
    }
}

fn publish(
    client: &mut Client,
    frames: &Frames,
    number: usize,
    gate: &Gate<'_>,
    until: Instant,
) -> Result<()> {
    for chunk in frames.chunks(number) {
        while Instant::now() < until && !gate.is_open()? {
            thread::sleep(FULL_PAUSE);
        }
        if Instant::now() >= until {
            break;
        }
        client.send(chunk.bytes)?;
        gate.published.fetch_add(chunk.frames, Ordering::Relaxed);
    }
    client.flush()
}
