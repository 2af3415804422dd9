//! The same random JetStream calls to stock nats-server and to the internal bus: every answer is compared field by
//! field. What may differ is listed in [`compare`], with the reason.

mod compare;
mod ops;
mod random;
mod twin;

use anyhow::{Context, Result, bail};
use gatehouse_tests::long_run;

use ops::{Op, World};
use random::Random;
use twin::Twins;

/// Calls of one seed.
const CALLS: usize = 120;
/// How long what a consumer knows of its stream may take to be the same.
const SETTLING: std::time::Duration = std::time::Duration::from_secs(2);

async fn seed(seed: u64) -> Result<()> {
    let Some(twins) = Twins::start().await? else { return Ok(()) };
    let mut random = Random::new(seed);
    let mut world = World::default();
    let mut done: Vec<String> = Vec::new();
    for call in 0..CALLS {
        let op = world.next(&mut random);
        let what = op.describe();
        let (ours, stock) =
            twins.both(&op).await.with_context(|| format!("seed {seed}, call {call}: {what}"))?;
        if std::env::var_os("GATEHOUSE_TRACE").is_some() {
            eprintln!("TRACE {call} {what}\n  ours  {ours}\n  stock {stock}");
        }
        let mut differences = compare::differences(&ours, &stock);
        if let (false, Some(info)) = (differences.is_empty(), op.shown_later()) {
            differences = settled(&twins, &info).await?;
        }
        if !differences.is_empty() {
            let same = |before: &&String| op.stream().is_none_or(|stream| shows(before, stream));
            let before: Vec<&String> = done.iter().rev().filter(same).take(20).collect();
            bail!(
                "seed {seed}, call {call}: {what}\n  {}\nbefore, the latest first:\n  {before:#?}",
                differences.join("\n  ")
            );
        }
        world.learn(&op, &stock);
        done.push(what);
    }
    Ok(())
}

/// What differs when both had the time to take note of messages that are gone.
async fn settled(twins: &Twins, info: &Op) -> Result<Vec<String>> {
    let deadline = tokio::time::Instant::now() + SETTLING;
    let mut turns = tokio::time::interval(std::time::Duration::from_millis(20));
    loop {
        turns.tick().await;
        let (ours, stock) = twins.both(info).await?;
        let differences = compare::differences(&ours, &stock);
        if differences.is_empty() || tokio::time::Instant::now() > deadline {
            return Ok(differences);
        }
    }
}

/// Whether a call that was made is about a stream.
fn shows(call: &str, stream: &str) -> bool {
    [".", " "]
        .iter()
        .any(|end| [".", " "].iter().any(|start| call.contains(&format!("{start}{stream}{end}"))))
}

async fn seeds(first: u64) -> Result<()> {
    let count = if long_run() { 40 } else { 8 };
    run((first..first + count).collect()).await
}

async fn run(numbers: Vec<u64>) -> Result<()> {
    let count = numbers.len();
    let mut failed = Vec::new();
    for number in numbers {
        if let Err(error) = seed(number).await {
            failed.push(format!("{error:#}"));
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("{} of {count} seeds differ\n{}", failed.len(), failed.join("\n\n"))
    }
}

/// The seeds of `GATEHOUSE_SEEDS` (`139,223` or `400-499`), to look into one or to run many.
#[tokio::test]
async fn chosen_seeds_are_answered_alike() -> Result<()> {
    let Ok(chosen) = std::env::var("GATEHOUSE_SEEDS") else { return Ok(()) };
    let mut numbers = Vec::new();
    for part in chosen.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        numbers.extend(first.trim().parse::<u64>()?..=last.trim().parse::<u64>()?);
    }
    run(numbers).await
}

#[tokio::test]
async fn random_calls_are_answered_alike_1() -> Result<()> {
    seeds(100).await
}

#[tokio::test]
async fn random_calls_are_answered_alike_2() -> Result<()> {
    seeds(200).await
}

#[tokio::test]
async fn random_calls_are_answered_alike_3() -> Result<()> {
    seeds(300).await
}
