//! Load on a store: appends with one sync for all who wait, reads, starts, memory. For numbers, build with --release.
//!
//! `load DIR append IN_FLIGHT MESSAGES [commit|none|memory]`, `load DIR fill MESSAGES SUBJECTS`,
//! `load DIR open`, `load DIR scan`. The directory is created; `fill` leaves its stream there.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::time::{Duration, Instant};

use store::{Append, Filter, Store, StoreOptions, Stream, StreamOptions, Sync};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize| arguments[at].parse::<usize>().unwrap();
    let dir = Path::new(&arguments[1]);
    let started = Instant::now();
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    println!("open: {:.1} ms, {} kB resident", started.elapsed().as_secs_f64() * 1e3, resident());
    assert_eq!(store.problems(), vec![]);
    match arguments[2].as_str() {
        "append" => append(&store, number(3), number(4), arguments.get(5).map_or("commit", String::as_str)),
        "fill" => fill(&store, number(3), number(4)),
        "scan" => scan(&store.stream("S").unwrap()),
        _ => println!("{:?}", store.stream("S").unwrap().state()),
    }
    let started = Instant::now();
    store.close();
    println!("close: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
}

/// Resident memory of this process in kB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    Duration::from_millis((fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10)
}

fn subjects(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("orders.region.{n}")).collect()
}

fn append(store: &Store, in_flight: usize, messages: usize, how: &str) {
    let options = match how {
        "memory" => StreamOptions::memory(),
        "none" => StreamOptions { sync: Sync::None, ..StreamOptions::file() },
        _ => StreamOptions::file(),
    };
    let stream = store.create("A", options, b"").unwrap();
    let (subjects, payload) = (subjects(10), [b'x'; 128]);
    let batch: Vec<Append<'_>> = (0..in_flight)
        .map(|n| Append {
            subject: subjects[n % 10].as_bytes(),
            payload: &payload,
            time: 1,
            ..Append::default()
        })
        .collect();
    let (started, used) = (Instant::now(), cpu());
    let mut times = Vec::new();
    for _ in 0..messages / in_flight {
        let begun = Instant::now();
        for part in batch.chunks(256) {
            assert!(stream.append(part).refused.is_none());
        }
        stream.wait().unwrap();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let took = started.elapsed().as_secs_f64();
    println!(
        "append {how}, {in_flight} in flight: {:.0}/s, {:.0} per CPU second, p50 {:.3} ms, p99 {:.3} ms",
        messages as f64 / took,
        messages as f64 / (cpu() - used).as_secs_f64().max(0.01),
        times[times.len() / 2].as_secs_f64() * 1e3,
        times[times.len() * 99 / 100].as_secs_f64() * 1e3,
    );
    store.remove("A").unwrap();
}

fn fill(store: &Store, messages: usize, count: usize) {
    let stream = store.create("S", StreamOptions { sync: Sync::None, ..StreamOptions::file() }, b"").unwrap();
    let payload = [b'x'; 128];
    let mut begun = (Instant::now(), cpu());
    for from in (0..messages).step_by(256) {
        let subjects: Vec<String> =
            (from..from + 256).map(|n| format!("orders.region.{}", n % count)).collect();
        let batch: Vec<Append<'_>> = subjects
            .iter()
            .map(|subject| Append {
                subject: subject.as_bytes(),
                payload: &payload,
                time: 1,
                ..Append::default()
            })
            .collect();
        while stream.append(&batch).refused.is_some() {
            stream.wait().unwrap();
        }
        let million = 1_000_000;
        if (from + 256) / million > from / million {
            println!("{} M: {:?} CPU for the last million", (from + 256) / million, cpu() - begun.1);
            begun = (Instant::now(), cpu());
        }
    }
    stream.wait().unwrap();
    println!(
        "{:?}, index {} kB, {} kB resident",
        stream.state().messages,
        stream.footprint().1 / 1024,
        resident()
    );
}

fn scan(stream: &Stream) {
    let (started, used) = (Instant::now(), cpu());
    let (mut from, mut count) = (0, 0);
    while from <= stream.last_seq() {
        let scan = stream.scan(&Filter::all(), from, u64::MAX, 256, 1 << 20).unwrap();
        count += scan.messages.len();
        from = scan.next;
    }
    let per_second = f64::from(u32::try_from(count).unwrap());
    println!(
        "scan: {:.0}/s, {:.0} per CPU second",
        per_second / started.elapsed().as_secs_f64(),
        per_second / (cpu() - used).as_secs_f64()
    );
    let begun = Instant::now();
    let last = stream.last_seq();
    for n in 0..100_000u64 {
        assert!(stream.get(n * 7919 % last + 1).unwrap().is_some());
    }
    println!("get: {:.2} us each", begun.elapsed().as_secs_f64() * 10.0);
}
