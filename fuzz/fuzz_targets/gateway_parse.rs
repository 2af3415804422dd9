//! Gateway operations: any bytes, any cuts; interest survives being written anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::gateway::{Op, parse};
use wire::{Limits, Step, encode};

fuzz_target!(|bytes: &[u8]| {
    for limits in &checks::LIMITS {
        checks::cuts_do_not_matter(bytes, |buf| parse(buf, limits));
        if let Ok(Step::Frame(op, _)) = parse(bytes, limits) {
            written_anew(op, limits);
        }
    }
});

fn written_anew(op: Op<'_>, limits: &Limits) {
    let mut out = Vec::new();
    match op {
        Op::Subscribe { account, subject, queue } => {
            encode::remote_subscribe(&mut out, account, subject, queue.map(|(name, _)| name));
            let read = Op::Subscribe { account, subject, queue: queue.map(|(name, _)| (name, 1)) };
            assert_eq!(parse(&out, limits), Ok(Step::Frame(read, out.len())));
        }
        Op::Unsubscribe { account, subject, queue } => {
            encode::remote_unsubscribe(&mut out, account, subject, queue);
            assert_eq!(parse(&out, limits), Ok(Step::Frame(op, out.len())));
        }
        Op::AccountSubscribe(account) => {
            encode::account_subscribe(&mut out, account);
            assert_eq!(parse(&out, limits), Ok(Step::Frame(op, out.len())));
        }
        _ => {}
    }
}
