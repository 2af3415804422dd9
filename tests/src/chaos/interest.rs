//! Interest that comes and goes while things go wrong, and has to be right in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, RequestErrorKind, Subscriber};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::traffic::{count_until_end, known};
use crate::wait::eventually;

/// A side of the link: who subscribes there, and who publishes to it from the other side.
#[derive(Debug)]
pub(super) struct Side {
    /// Its name in subjects.
    pub(super) name: String,
    /// Subscribes.
    pub(super) subscriber: Client,
    /// Publishes on the other side.
    pub(super) publisher: Client,
}

/// Subscriptions of one side at the end.
#[derive(Debug)]
pub(super) struct Interest {
    side: Side,
    live: BTreeMap<String, Subscriber>,
    gone: Vec<String>,
}

/// Subscribes and unsubscribes until told to stop.
///
/// # Errors
/// When the client is closed.
pub(super) async fn churn(side: Side, stop: watch::Receiver<bool>) -> Result<Interest> {
    let mut interest = Interest { side, live: BTreeMap::new(), gone: Vec::new() };
    let mut pace = interval(Duration::from_millis(250));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u32.. {
        pace.tick().await;
        if *stop.borrow() {
            break;
        }
        let subject = format!("peer.churn.{}.{number}", interest.side.name);
        let subscribed = interest.side.subscriber.subscribe(subject.clone()).await?;
        interest.live.insert(subject, subscribed);
        if number % 2 == 1
            && let Some((subject, mut subscription)) = interest.live.pop_first()
        {
            // A client that is not connected takes a few commands, then it waits.
            if let Ok(ended) = timeout(Duration::from_secs(30), subscription.unsubscribe()).await {
                ended?;
                interest.gone.push(subject);
            }
        }
    }
    Ok(interest)
}

impl Interest {
    /// Whether each subscription gets a message once, and nobody is where nobody should be.
    ///
    /// # Errors
    /// When not, with the subject.
    pub(super) async fn complete(mut self) -> Result<usize> {
        let publisher = &self.side.publisher;
        for (subject, subscription) in &mut self.live {
            known(publisher, subject, subscription).await.with_context(|| subject.clone())?;
            publisher.publish(subject.clone(), "once".into()).await?;
            let counts = count_until_end(publisher, subject, subscription).await?;
            ensure!(counts.len() == 1 && counts.get("once") == Some(&1), "{subject}: {counts:?}");
        }
        for subject in &self.gone {
            eventually(&format!("nobody on {subject}"), || async {
                let asked = timeout(Duration::from_secs(1), publisher.request(subject.clone(), "".into()));
                let error = asked.await.ok()?.err()?;
                (error.kind() == RequestErrorKind::NoResponders).then_some(())
            })
            .await?;
        }
        Ok(self.live.len() + self.gone.len())
    }
}
