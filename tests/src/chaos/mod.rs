//! Chaos with a seed: a cluster (or our bus), gateways before it, clients that publish, consume and subscribe while
//! nodes, gateways, wires and certificates go bad, and a checker of what has to hold afterwards.

mod check;
mod field;
mod group;
mod interest;
mod load;
mod random;
mod schedule;

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::chaos::field::Field;
use crate::chaos::interest::Side;
use crate::chaos::schedule::Schedule;
use crate::natsconf::Kind;
use crate::wait::within;

pub use check::{Report, stored_ids};
pub use field::Joint;
pub use load::{Published, publish};

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Chaos {
    /// Whose nodes.
    pub kind: Kind,
    /// How many.
    pub nodes: usize,
    /// How many gateways.
    pub gateways: usize,
    /// What joins them.
    pub joint: Joint,
    /// Whether gateways keep messages while their links are down. Publishers then stay with one gateway each: what
    /// one gateway keeps has no order relative to what goes through another.
    pub edge: bool,
    /// How long things go wrong.
    pub span: Duration,
}

impl Chaos {
    /// Runs a seed and checks. `None` where stock nats-server is needed and not installed.
    ///
    /// # Errors
    /// When something that has to hold does not; the seed is in the error.
    pub async fn run(self, seed: u64) -> Result<Option<Report>> {
        eprintln!("chaos: seed {seed} (GATEHOUSE_CHAOS_SEED={seed} runs it again), {self:?}");
        let Some(mut field) = Field::start(self).await? else {
            return Ok(None);
        };
        let schedule = Schedule::new(seed, field.nodes(), field.gateways(), self.joint.tls, self.span);
        let outcome = self.bear(&mut field, &schedule).await;
        match outcome {
            Ok(report) => {
                eprintln!("chaos: seed {seed}: {report}");
                Ok(Some(report))
            }
            Err(error) => {
                keep_logs(&field, seed);
                Err(error.context(format!("GATEHOUSE_CHAOS_SEED={seed}\n{schedule:#?}")))
            }
        }
    }

    async fn bear(self, field: &mut Field, schedule: &Schedule) -> Result<Report> {
        let inside = field.inside().await?;
        group::make(&inside, self.nodes).await?;
        let (stop, stopping) = watch::channel(false);
        let (done, finishing) = watch::channel(false);
        let mut publishing = JoinSet::new();
        for number in 0..2 * self.gateways {
            // The last one does not wait for one acknowledgement before the next message.
            let window = if number + 1 == 2 * self.gateways { 16 } else { 1 };
            let client = field.outside(&self.order(number, self.edge)).await?;
            publishing.spawn(publish(client, format!("p{number}"), window, stopping.clone()));
        }
        let (ledger, mut working) = (group::Shared::default(), JoinSet::new());
        for number in 0..2 * self.gateways {
            let client = field.outside(&self.order(number, false)).await?;
            let (ledger, finishing) = (ledger.clone(), finishing.clone());
            if self.joint.gateway {
                working.spawn(group::work_by_hand(client, ledger, finishing));
            } else {
                working.spawn(group::work(client, ledger, finishing));
            }
        }
        let mut churning = JoinSet::new();
        for at in 0..self.gateways {
            let outside = field.outside(&[at]).await?;
            let inside = field.inside().await?;
            for side in sides(at, &outside, &inside) {
                churning.spawn(interest::churn(side, stopping.clone()));
            }
        }

        let faults = field.suffer(schedule).await?;
        field.recovered().await?;
        stop.send_replace(true);
        let mut published = Vec::new();
        while let Some(one) = publishing.join_next().await {
            published.push(one??);
        }
        let acknowledged = published.iter().map(|one| one.acknowledged.len()).sum();
        let drained = check::drained(&inside, acknowledged).await;
        done.send_replace(true);
        while let Some(one) = within("the workers", working.join_next()).await? {
            one??;
        }
        drained.with_context(|| {
            let ledger = group::lock(&ledger);
            format!("{} confirmed by the group, {} redelivered", ledger.confirmed(), ledger.redelivered())
        })?;
        let ids = stored_ids(&inside).await?;
        let mut report = check::stored(&ids, &published, &group::lock(&ledger))?;
        let mut checking = JoinSet::new();
        while let Some(one) = within("the subscribers", churning.join_next()).await? {
            checking.spawn(one??.complete());
        }
        while let Some(one) = checking.join_next().await {
            report.interest += one??;
        }
        report.faults = faults;
        Ok(report)
    }

    /// Gateways of a client, the preferred one first; that one only, if it has to stay.
    fn order(self, number: usize, stay: bool) -> Vec<usize> {
        let first = number % self.gateways;
        if stay { vec![first] } else { (0..self.gateways).map(|at| (first + at) % self.gateways).collect() }
    }
}

fn sides(at: usize, outside: &async_nats::Client, inside: &async_nats::Client) -> [Side; 2] {
    let side = |name: &str, subscriber: &async_nats::Client, publisher: &async_nats::Client| Side {
        name: format!("{name}{at}"),
        subscriber: subscriber.clone(),
        publisher: publisher.clone(),
    };
    [side("out", outside, inside), side("in", inside, outside)]
}

/// Leaves the logs of a run that failed where somebody can read them.
fn keep_logs(field: &Field, seed: u64) {
    let dir = std::env::temp_dir().join(format!("gatehouse-chaos-{seed}"));
    let kept = std::fs::create_dir_all(&dir).and_then(|()| {
        field.logs().iter().try_for_each(|(name, log)| std::fs::write(dir.join(format!("{name}.log")), log))
    });
    match kept.context("logs") {
        Ok(()) => eprintln!("chaos: logs are in {}", dir.display()),
        Err(error) => eprintln!("chaos: {error:#}"),
    }
}
