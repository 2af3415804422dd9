//! Time of the interest index: insertion, lookup and removal per subscription, for literal and
//! wildcard patterns.
//!
//! `cargo run --release -p gatehouse-subject --example interest_timing`

#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use subject::{Entry, Interest};

const SUBSCRIPTIONS: u64 = 100_000;

#[derive(Clone)]
struct Sub(Arc<(u64, Box<[u8]>)>);

impl Entry for Sub {
    fn subject(&self) -> &[u8] {
        &self.0.1
    }

    fn queue(&self) -> Option<&[u8]> {
        None
    }

    fn id(&self) -> u64 {
        self.0.0
    }
}

fn main() {
    println!("{:34} {:>8} {:>8} {:>8} {:>8}", "", "insert", "lookup", "random", "remove");
    measure("literals many.<n>", |n| (format!("many.{n}"), format!("many.{n}")));
    measure("many.<n>.*", |n| (format!("many.{n}.*"), format!("many.{n}.x")));
    measure("many.*.<n>", |n| (format!("many.*.{n}"), format!("many.x.{n}")));
    measure("svc.<n/2>.<a or b>.>", |n| {
        let verb = ["a", "b"][n as usize % 2];
        (format!("svc.{}.{verb}.>", n / 2), format!("svc.{}.{verb}.x", n / 2))
    });
    measure("one pattern orders.*", |_| ("orders.*".to_owned(), "orders.x".to_owned()));
}

/// Prints nanoseconds per operation. `name` gives the n-th pattern and a subject it matches. Lookups
/// are made in order of subscription and in no order.
fn measure(what: &str, name: impl Fn(u64) -> (String, String)) {
    let subs: Vec<Sub> =
        (0..SUBSCRIPTIONS).map(|n| Sub(Arc::new((n, name(n).0.into_bytes().into())))).collect();
    let subjects: Vec<String> = (0..SUBSCRIPTIONS).map(|n| name(n).1).collect();
    // A step that shares no factor with the number visits all in an order no cache expects.
    let scattered: Vec<&String> =
        (0..SUBSCRIPTIONS).map(|n| &subjects[(n * 61_803 % SUBSCRIPTIONS) as usize]).collect();

    let mut index = Interest::new();
    let insert = timed(|| subs.iter().for_each(|sub| index.insert(sub.clone())));
    let mut found = 0;
    let mut look = |subject: &str| {
        index.matches(black_box(subject.as_bytes()), |members| found += members.plain().len());
    };
    let lookup = timed(|| subjects.iter().for_each(|subject| look(subject)));
    let random = timed(|| scattered.iter().for_each(|subject| look(subject)));
    black_box(found);
    let remove = timed(|| subs.iter().for_each(|sub| assert!(index.remove(sub), "it was inserted")));
    println!("{what:34} {insert:8.1} {lookup:8.1} {random:8.1} {remove:8.1}");
}

/// Nanoseconds per subscription.
fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / SUBSCRIPTIONS as f64
}
